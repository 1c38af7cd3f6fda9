"""How far a part's edge may lie from where it is seen: rims, chamfers, burrs and shadows.

The mean profile across an edge is a staircase that the lens has blurred: ground, shadow, rim, face.
All staircases of one to three steps on a grid are weighed by how likely they make what is seen,
their heights integrated out (Bayes' rule for linear models with Gaussian priors). Any step that is
not small may be what the drawing calls the edge: the edge may be off by as much as the furthest one
is away. One clean step leaves nothing.
"""

import math
from functools import lru_cache
from itertools import combinations
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

STEP = 0.5  # pixels from sample to sample
INSIDE, OUTSIDE = 5.5, 4.0  # pixels of a profile within the part and on the ground
NEAR, FAR = -4.5, 3.0  # where steps may lie, pixels towards the ground
FINE, COARSE = 0.25, 0.5  # pixels between places that two steps, and three, may have
MISFIT = 0.006  # share of the contrast by which no staircase fits a real lens
LEAST = 0.15  # share of the contrast that a step has at least
MOST = 1.9  # shares of the contrast that all steps have together at most
BACK = 5.0  # logarithm of how much less likely a step against the others is
BLURS = 0.25 * 1.17 ** np.arange(20)  # standard deviations of the blur that are tried, pixels
CLEAN = 1.7  # times the noise that one step leaves at most where there is but one
SOFTER = 1.1  # by how much blur differs over a picture
RIM = 1.3  # a rim's steps lie further off the softer its share is from one half
LEVELS = 1.3  # times by which a blur is known worse because levels are found with it
SHARPEST = 0.4  # share of the blur of one step alone that the true blur is at least


def samples() -> np.ndarray:
    """Places `(k,)` of the samples on a profile, pixels towards the ground."""
    return np.arange(-INSIDE, OUTSIDE + STEP / 2, STEP)


class _Stairs(NamedTuple):
    """All staircases of one blur and number of steps."""

    basis: np.ndarray  # (m, steps + 1, k) orthonormal
    size: np.ndarray  # (m, steps + 1) lengths of what was made orthonormal
    heights: np.ndarray  # (m, steps, k) what gives the heights
    away: np.ndarray  # (m,) furthest step from 0
    prior: float  # logarithm


@lru_cache(maxsize=32)
def _stairs(number: int) -> Tuple[_Stairs, ...]:
    from scipy.special import erf

    blur, t = float(BLURS[number]), samples()
    fine = np.arange(NEAR, FAR + 1e-9, FINE)
    coarse = np.arange(NEAR, FAR + 1e-9, COARSE)
    kinds: Sequence[List[Tuple[float, ...]]] = (
        [(x,) for x in np.arange(-1.0, 1.01, FINE / 4)],
        list(combinations(fine, 2)),
        list(combinations(coarse, 3)),
    )
    result = []
    for kind in kinds:
        places = np.array(kind, float)
        rise = 0.5 * (1 + erf((t - places[:, :, None]) / (blur * math.sqrt(2))))
        design = np.concatenate((np.ones((len(places), 1, len(t))), rise), axis=1)
        factors, triangle = np.linalg.qr(design.transpose(0, 2, 1))
        size = np.abs(np.diagonal(triangle, axis1=1, axis2=2))
        heights = np.linalg.pinv(design.transpose(0, 2, 1))[:, 1:]
        away = np.abs(places).max(axis=1)
        basis = factors.transpose(0, 2, 1)
        result.append(_Stairs(basis, size, heights, away, -math.log(len(places))))
    return tuple(result)


def _weigh(
    stairs: _Stairs, profiles: np.ndarray, noise: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Logarithm of how likely each staircase is, `(n, m)`."""
    count, steps, length = stairs.heights.shape
    along = (profiles @ stairs.basis.reshape(-1, length).T).reshape(-1, count, steps + 1)
    total = (profiles**2).sum(axis=1)[:, None]
    # What a direction explains, less what a height of that size is allowed beforehand.
    ratio = (high[:, None, None] * stairs.size[None, :, 1:] / noise[:, None, None]) ** 2
    explained = along[:, :, 0] ** 2 + (along[:, :, 1:] ** 2 * (ratio / (1 + ratio))).sum(axis=2)
    log = (explained - total) / (2 * noise[:, None] ** 2)
    log += stairs.prior - 0.5 * np.log1p(ratio).sum(axis=2)
    heights = (profiles @ stairs.heights.reshape(-1, length).T).reshape(-1, count, steps)
    whole = np.sign(heights.sum(axis=2, keepdims=True))
    log -= BACK * (heights * whole < -0.05 * high[:, None, None]).sum(axis=2)
    heights = np.abs(heights)
    # Steps that are next to nothing, or that cancel each other, explain noise.
    odd = (heights.min(axis=2) < LEAST * high[:, None]) | (
        heights.sum(axis=2) > MOST * high[:, None]
    )
    return np.where(odd, log - 1e3, log)


def one_step(profiles: np.ndarray, blur: float) -> Tuple[np.ndarray, np.ndarray]:
    """One blurred step fitted to each mean profile.

    Args:
        profiles: `(n, k)` grey levels at `samples()`.
        blur: Roughly, pixels.

    Returns:
        `(n,)` blur, and `(n,)` standard deviation of what the step leaves.
    """
    from scipy.special import erf

    t = samples()
    blurs = np.clip(blur * np.geomspace(0.5, 1.5, 34), 0.2, 5)
    shifts = np.arange(-0.6, 0.61, 0.05)
    width, place = (grid.ravel() for grid in np.meshgrid(blurs, shifts, indexing="ij"))
    rise = erf((t - place[:, None]) / (width[:, None] * math.sqrt(2)))
    rise -= rise.mean(axis=1, keepdims=True)
    rise /= np.linalg.norm(rise, axis=1, keepdims=True)
    own = profiles - profiles.mean(axis=1, keepdims=True)
    explained = (own @ rise.T) ** 2
    best = explained.argmax(axis=1)
    rest = np.maximum((own**2).sum(axis=1) - explained[np.arange(len(own)), best], 0)
    return width[best], np.sqrt(rest / (len(t) - 4))


def edge_doubt(profiles: np.ndarray, noise: np.ndarray, blur: float, lens: float) -> np.ndarray:
    """How far the edge that a drawing means may lie from where one blurred step was fitted.

    Args:
        profiles: `(n, k)` grey levels at `samples()` about the fitted edge, each a mean of many.
        noise: `(n,)` standard deviation of one of them.
        blur: Standard deviation of the fitted step, pixels.
        lens: Blur of the sharpest edge in the picture; an edge that is softer hides a rim, whose
            two steps lie as far from their middle as the blur exceeds the lens's.

    Returns:
        `(n,)` pixels, 95 % half width; zero for one clean step.
    """
    profiles = np.asarray(profiles, np.float64)
    high = np.maximum(np.ptp(profiles, axis=1), 1.0)
    own, rest = one_step(profiles, blur)
    # Noise alone makes some stretches softer than others: twice the standard deviation of a blur by
    # the bound of Cramér and Rao, levels found with it, is no sign of a rim.
    loose = LEVELS * noise / high * np.sqrt(4 * math.sqrt(math.pi) * own)
    hidden = RIM * np.sqrt(np.maximum(own**2 - (SOFTER * lens + 2 * loose) ** 2, 0))
    noise = np.hypot(noise, MISFIT * high)
    stepped = rest > CLEAN * noise
    if stepped.any():
        seen = _furthest(profiles[stepped], noise[stepped], high[stepped], blur)
        hidden[stepped] = np.maximum(hidden[stepped], seen)
    return hidden


def _furthest(profiles: np.ndarray, noise: np.ndarray, high: np.ndarray, blur: float) -> np.ndarray:
    """How far the furthest step of the likely staircases lies from 0."""
    profiles = profiles - profiles.mean(axis=1, keepdims=True)
    share = BLURS / blur
    tried = np.flatnonzero((share <= 1.1) & (share >= SHARPEST))
    tried = tried if len(tried) else np.array([int(np.abs(BLURS - blur).argmin())])
    logs, aways = [], []
    for number in tried:
        for stairs in _stairs(int(number)):
            logs.append(_weigh(stairs, profiles, noise, high))
            aways.append(stairs.away)
    log, away = np.concatenate(logs, axis=1), np.concatenate(aways)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ away
    spread = np.sqrt(np.maximum(weight @ away**2 - mean**2, 0))
    return mean + 2 * spread
