"""Made-up defects on good parts: what a method is taught with, or tried on, before any real one.

Spots, cracks, chips at the border, patches of other parts (CutPaste, Li et al. 2021; NSA, Schlüter
et al. 2022), regions whose texture or brightness is another (DRAEM, Zavrtanik et al. 2021) in
many ways: a region of a kind that was never made up is found less often.
"""

from typing import Callable, Tuple

import numpy as np

from ...runtime.sources.base import load_cv2
from .surfaces import SURFACES

KINDS = (
    "spot", "crack", "chip", "patch", "texture", "shade", "scratch", "finish", "polish", "cloud",
    "grain", "smear",
)  # fmt: skip


def make_defect(
    image: np.ndarray,
    other: np.ndarray,
    inside: np.ndarray,
    random: np.random.Generator,
    kind: str = "",
) -> Tuple[np.ndarray, np.ndarray]:
    """A good picture with one defect.

    Args:
        image: `(h, w, 3)` uint8 of a good part.
        other: `(h, w, 3)` uint8 of another one, from which patches are taken.
        inside: `(h, w)` bool, where the part's picture is, as against padding.
        random: Where chance comes from.
        kind: One of `KINDS`; drawn where it is empty.

    Returns:
        The picture, `(h, w, 3)` uint8, and where it was changed to be seen, `(h, w)` bool. The
        place is empty where the change cannot be told from the part's own noise.
    """
    kind = kind or KINDS[int(random.integers(len(KINDS)))]
    base, other = image.astype(np.float32), other.astype(np.float32)
    cover = _COVERS[kind](inside, random)
    cover = cover * inside
    changed = base + cover[..., None] * (_CHANGES[kind](base, other, cover, random) - base)
    noise = _noise(base, inside)
    result = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    gap = np.abs(result.astype(np.float32) - base).max(axis=2)
    cv2 = load_cv2()
    seen = (cover > 0.3) & (cv2.blur(gap, (5, 5)) > np.maximum(2.0 * noise, 2.0))
    if kind in _INNER and seen.any():
        seen = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        seen = (seen > 0) & (cover > 0.3)
    if seen.sum() < 6:
        return image, np.zeros(inside.shape, bool)
    return result, seen


def _noise(base: np.ndarray, inside: np.ndarray) -> float:
    """Typical size of the finest detail, grey levels."""
    grey = base.mean(axis=2)
    gap = np.abs(grey[1:, 1:] - grey[:-1, :-1])[inside[1:, 1:]]
    return float(np.median(gap)) if gap.size else 0.0


def _centre(inside: np.ndarray, random: np.random.Generator) -> Tuple[float, float]:
    ys, xs = np.nonzero(inside[::4, ::4])
    at = int(random.integers(len(ys)))
    return float(4 * xs[at]), float(4 * ys[at])


def _soft(cover: np.ndarray, random: np.random.Generator, most: float = 1.5) -> np.ndarray:
    sigma = float(random.uniform(0.4, most))
    return load_cv2().GaussianBlur(cover.astype(np.float32), (0, 0), sigma)


def _blob(
    shape: Tuple[int, int],
    centre: Tuple[float, float],
    radius: float,
    random: np.random.Generator,
    stretch: float = 2.0,
) -> np.ndarray:
    """A round shape with a wavy edge, 0 or 1."""
    cv2 = load_cv2()
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    wave = np.ones_like(angle)
    for order in range(2, 6):
        wave += random.normal(0, 0.35 / order) * np.cos(order * angle + random.uniform(0, 6.3))
    ratio = np.exp(random.uniform(-0.5, 0.5) * np.log(stretch) * 2)
    x, y = np.cos(angle) * wave * radius * ratio**0.5, np.sin(angle) * wave * radius / ratio**0.5
    turn = random.uniform(0, np.pi)
    points = np.stack(
        (
            centre[0] + x * np.cos(turn) - y * np.sin(turn),
            centre[1] + x * np.sin(turn) + y * np.cos(turn),
        ),
        axis=1,
    )
    cover = np.zeros(shape, np.uint8)
    cv2.fillPoly(cover, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cover.astype(np.float32) / 255


def _size(inside: np.ndarray, random: np.random.Generator, low: float, high: float) -> float:
    """A length between two shares of the part's size, small ones as likely as large ones."""
    whole = float(np.sqrt(inside.sum()))
    return max(whole * float(np.exp(random.uniform(np.log(low), np.log(high)))), 1.2)


def _cover_spot(inside: np.ndarray, random: np.random.Generator) -> np.ndarray:
    cover = np.zeros(inside.shape, np.float32)
    for _ in range(1 + int(random.random() < 0.2)):
        radius = _size(inside, random, 0.006, 0.04)
        cover = np.maximum(cover, _blob(inside.shape, _centre(inside, random), radius, random))
    return _soft(cover, random)


def _line(inside: np.ndarray, random: np.random.Generator, straight: float) -> np.ndarray:
    cv2 = load_cv2()
    x, y = _centre(inside, random)
    heading = random.uniform(0, 2 * np.pi)
    if random.random() < 0.4:  # along the picture's axes, as working directions mostly are
        heading = np.round(heading / (np.pi / 2)) * np.pi / 2 + random.normal(0, 0.1)
    length, step = _size(inside, random, 0.05, 0.5), 4.0
    points = [(x, y)]
    for _ in range(max(int(length / step), 2)):
        heading += random.normal(0, straight)
        x, y = x + step * np.cos(heading), y + step * np.sin(heading)
        points.append((x, y))
    cover = np.zeros(inside.shape, np.uint8)
    path = np.rint(np.array(points) * 16).astype(np.int32)
    thickness = int(random.integers(1, 4))
    cut = 0
    while cut < len(path) - 1:  # thickness changes along the way
        end = min(cut + int(random.integers(2, 8)), len(path) - 1)
        thick = max(thickness + int(random.integers(-1, 2)), 1)
        cv2.polylines(cover, [path[cut : end + 1]], False, 255, thick, cv2.LINE_AA, 4)
        cut = end
    return _soft(cover.astype(np.float32) / 255, random, 0.9)


def _cover_crack(inside: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _line(inside, random, 0.35)


def _cover_scratch(inside: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _line(inside, random, 0.03)


def _cover_chip(inside: np.ndarray, random: np.random.Generator) -> np.ndarray:
    ys, xs = np.nonzero(inside)
    left, right, top, bottom = xs.min(), xs.max(), ys.min(), ys.max()
    along = random.uniform(0, 1)
    x, y = left + along * (right - left), top + along * (bottom - top)
    centre = [(x, top), (x, bottom), (left, y), (right, y)][int(random.integers(4))]
    radius = _size(inside, random, 0.015, 0.09)
    return _soft(_blob(inside.shape, centre, radius, random, 3.0), random)


def _cover_patch(inside: np.ndarray, random: np.random.Generator) -> np.ndarray:
    radius = _size(inside, random, 0.02, 0.16)
    return _soft(_blob(inside.shape, _centre(inside, random), radius, random, 3.0), random)


def _cover_region(inside: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if random.random() < 0.3:  # everything on one side of a line
        height, width = inside.shape
        x, y = _centre(inside, random)
        turn = np.round(random.uniform(0, 4)) * np.pi / 2 + random.normal(0, 0.15)
        rows, columns = np.mgrid[0:height, 0:width]
        depth = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
        cover = (depth > 0).astype(np.float32)
        if cover[inside].mean() > 0.5:
            cover = 1 - cover
        return _soft(cover, random, 4.0)
    radius = _size(inside, random, 0.06, 0.3)
    return _soft(_blob(inside.shape, _centre(inside, random), radius, random, 3.0), random, 6.0)


def _tone(base: np.ndarray, cover: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A value for what is darker or brighter than its surroundings, darker mostly."""
    weight = float(cover.sum()) + 1e-6
    local = (base * cover[..., None]).sum(axis=(0, 1)) / weight
    if random.random() < 0.75:
        return local * random.uniform(0.1, 0.8)
    return local + (255 - local) * random.uniform(0.15, 0.7)


def _change_tone(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    tone = np.broadcast_to(_tone(base, cover, random), base.shape)
    kept = random.uniform(0.0, 0.6)  # of the part's own texture
    local = load_cv2().GaussianBlur(base, (0, 0), 6.0)
    noise = random.normal(0, random.uniform(0, 4), base.shape[:2])[..., None]
    return tone + kept * (base - local) + noise


def _change_patch(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    cv2 = load_cv2()
    source = other if random.random() < 0.5 else base
    height, width = base.shape[:2]
    zoom = np.exp(random.uniform(-0.5, 0.5))
    turn = random.uniform(-180, 180) if random.random() < 0.7 else 90.0 * random.integers(4)
    ys, xs = np.nonzero(cover > 0.3)
    middle = (float(xs.mean()), float(ys.mean())) if len(xs) else (width / 2, height / 2)
    warp = cv2.getRotationMatrix2D(middle, float(turn), float(zoom))
    warp[:, 2] += random.uniform(-0.4, 0.4, 2) * (width, height)
    moved = cv2.warpAffine(
        source.astype(np.float32), warp, (width, height), borderMode=cv2.BORDER_REFLECT
    )
    # Laid into the brightness that is there, fully or not: otherwise light alone would tell.
    fit = random.uniform(0.3, 1.0)
    weight = cover[..., None] / (cover.sum() + 1e-6)
    here, there = (base * weight).sum(axis=(0, 1)), (moved * weight).sum(axis=(0, 1))
    return moved * (here / np.maximum(there, 4)) ** fit


def _change_texture(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    cv2 = load_cv2()
    local = cv2.GaussianBlur(base, (0, 0), float(random.uniform(2, 8)))
    detail = base - local
    if random.random() < 0.5:
        gain = random.uniform(1.6, 3.5)
    else:
        gain = random.uniform(0.0, 0.45)
    light = 1 + random.normal(0, 0.12)
    return local * light + gain * detail


def _change_finish(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """The surface of another part, the same way round, in the light that is here."""
    cv2 = load_cv2()
    sigma = float(random.uniform(4, 12))
    here, there = cv2.GaussianBlur(base, (0, 0), sigma), cv2.GaussianBlur(other, (0, 0), sigma)
    rows = int(random.integers(base.shape[0]))
    columns = int(random.integers(base.shape[1]))
    detail = np.roll((other + 4) / (there + 4) - 1, (rows, columns), axis=(0, 1))
    light = 1 + random.normal(0, 0.08)
    return here * light * (1 + detail * random.uniform(0.8, 2.0))


def _change_shade(
    base: np.ndarray, other: np.ndarray, cover: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    light = random.uniform(1.2, 1.7) if random.random() < 0.6 else random.uniform(0.5, 0.83)
    return base * light


_INNER = ("patch", "texture", "finish", *SURFACES)
"""Kinds that change nothing here and there within their place, which is whole all the same."""

Cover = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Change = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]

_COVERS = {
    "spot": _cover_spot,
    "crack": _cover_crack,
    "chip": _cover_chip,
    "patch": _cover_patch,
    "texture": _cover_region,
    "shade": _cover_region,
    "scratch": _cover_scratch,
    "finish": _cover_region,
    **dict.fromkeys(SURFACES, _cover_region),
}
_CHANGES = {
    "spot": _change_tone,
    "crack": _change_tone,
    "chip": _change_tone,
    "patch": _change_patch,
    "texture": _change_texture,
    "shade": _change_shade,
    "scratch": _change_tone,
    "finish": _change_finish,
    **SURFACES,
}


def move_defect(
    image: np.ndarray,
    inside: np.ndarray,
    source: np.ndarray,
    mask: np.ndarray,
    random: np.random.Generator,
) -> Tuple[np.ndarray, np.ndarray]:
    """A good picture with a known defect of another part, moved and turned a little.

    What is carried over is how much brighter or darker the defect is than what lies around it.
    A defect at the border stays at that border.

    Args:
        image: `(h, w, 3)` uint8 of a good part.
        inside: `(h, w)` bool, where its picture is.
        source: `(h, w, 3)` uint8 of the defective part.
        mask: `(h, w)` bool of its defect.
        random: Where chance comes from.

    Returns:
        The picture and the mask; the mask is empty where the defect fell out of the picture.
    """
    cv2 = load_cv2()
    height, width = mask.shape
    around = (~cv2.dilate(mask.astype(np.uint8), np.ones((7, 7))).astype(bool)).astype(np.float32)
    if around.mean() < 0.05:
        return image, np.zeros_like(mask)
    base, from_ = image.astype(np.float32), source.astype(np.float32)
    # What would lie under the defect: its surroundings, blurred until they close over it.
    light, weight = np.zeros_like(from_), np.zeros_like(around)
    for sigma, share in ((8.0, 1.0), (24.0, 1e-2), (80.0, 1e-4)):
        light += share * cv2.GaussianBlur(from_ * around[..., None], (0, 0), sigma)
        weight += share * cv2.GaussianBlur(around, (0, 0), sigma)
    ratio = (from_ + 4) / (light / np.maximum(weight, 1e-9)[..., None] + 4)
    ys, xs = np.nonzero(mask)
    touches = [xs.min() <= 2, xs.max() >= width - 3, ys.min() <= 2, ys.max() >= height - 3]
    middle = (float(xs.mean()), float(ys.mean()))
    zoom = float(np.exp(random.uniform(-0.2, 0.2)))
    warp = cv2.getRotationMatrix2D(middle, float(random.uniform(-12, 12)), zoom)
    x, y = _centre(inside, random)
    if any(touches):
        warp = cv2.getRotationMatrix2D(middle, 0.0, 1.0)
        x = middle[0] if touches[0] or touches[1] else x
        y = middle[1] if touches[2] or touches[3] else y
    warp[:, 2] += (x - middle[0], y - middle[1])
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))).astype(np.float32)
    moved = cv2.warpAffine(ratio, warp, (width, height), borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.GaussianBlur(cv2.warpAffine(grown, warp, (width, height)), (0, 0), 0.8)
    truth = (cv2.warpAffine(mask.astype(np.float32), warp, (width, height)) > 0.5) & inside
    cover *= inside
    if truth.sum() < 0.3 * mask.sum() or truth.sum() < 4:
        return image, np.zeros_like(mask)
    local = cv2.GaussianBlur(base, (0, 0), 8.0)
    changed = base + cover[..., None] * ((local + 4) * moved - 4 - base)
    result = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return result, truth


def relight(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The picture in somewhat other light: brightness and gamma, no defect."""
    gamma = float(np.exp(random.normal(0, 0.15)))
    gain = float(np.exp(random.normal(0, 0.15)))
    table = 255 * gain * (np.arange(256) / 255) ** gamma
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)[image]
