"""Regions of a part whose surface is another: ground or polished otherwise, stained, smeared.

Each takes `(h, w, 3)` float32 of a good part, of another one, how much of each place is covered
`(h, w)`, and where chance comes from; and gives the picture as it would look were it so all over.
"""

from typing import Callable, Dict

import numpy as np

from ...runtime.sources.base import load_cv2

BANDS = (1.0, 2.0, 4.0, 8.0, 16.0)


def polish(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Detail of each size stronger or weaker by a factor of its own."""
    cv2 = load_cv2()
    found = cv2.GaussianBlur(base, (0, 0), BANDS[-1])
    finer = base
    for sigma in BANDS:
        coarser = cv2.GaussianBlur(base, (0, 0), sigma)
        found = found + (finer - coarser) * float(np.exp(random.normal(0, 0.6)))
        finer = coarser
    return found * (1 + random.normal(0, 0.1))


def cloud(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Stains without an edge: brightness that wanders slowly."""
    sigma = float(np.exp(random.uniform(np.log(3), np.log(25))))
    wide = sigma * float(np.exp(random.normal(0, 0.5)))
    noise = random.normal(0, 1, base.shape[:2]).astype(np.float32)
    noise = load_cv2().GaussianBlur(noise, (0, 0), sigmaX=wide, sigmaY=sigma)
    noise /= noise.std() + 1e-6
    gain = 1 + noise[..., None] * random.uniform(0.08, 0.3) + random.normal(0, 0.1)
    return base * np.clip(gain, 0.2, 3)


def grain(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Another grain, along the picture's axes or across, instead of the part's own or upon it."""
    cv2 = load_cv2()
    noise = random.normal(0, 1, base.shape[:2]).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), float(random.uniform(0.6, 2)))
    noise = cv2.filter2D(noise, -1, _streak(random, 3, 30))
    noise /= noise.std() + 1e-6
    smooth = cv2.GaussianBlur(base, (0, 0), 4.0)
    detail = base - smooth
    weight = cover[..., None] / (cover.sum() + 1e-6)
    usual = float(np.sqrt((detail * detail * weight).sum() / base.shape[2])) + 1
    own = random.uniform(0, 1) * detail
    light = 1 + random.normal(0, 0.08)
    return smooth * light + own + noise[..., None] * usual * random.uniform(0.4, 1.6)


def smear(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Detail drawn out in one direction."""
    drawn = load_cv2().filter2D(base, -1, _streak(random, 5, 41))
    return drawn * (1 + random.normal(0, 0.1))


def _streak(random: np.random.Generator, least: int, most: int) -> np.ndarray:
    """A line of odd length through the middle of a square, which adds up to 1."""
    length = int(random.integers(least, most)) | 1
    if random.random() < 0.6:
        turn = float(random.choice([0, 90]) + random.normal(0, 8))
    else:
        turn = float(random.uniform(0, 180))
    middle = length // 2
    kernel = np.zeros((length, length), np.float32)
    kernel[middle] = 1
    cv2 = load_cv2()
    warp = cv2.getRotationMatrix2D((middle, middle), turn, 1)
    kernel = cv2.warpAffine(kernel, warp, (length, length))
    return kernel / (kernel.sum() + 1e-6)


Surface = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]

SURFACES: Dict[str, Surface] = {"polish": polish, "cloud": cloud, "grain": grain, "smear": smear}
