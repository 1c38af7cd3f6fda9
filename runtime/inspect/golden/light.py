"""How two pictures differ in light alone: as a whole, across the picture, in colour."""

from typing import Tuple

import numpy as np

from ...sources.base import load_cv2

CELLS = 32  # along each side, over which the light is compared
AGREE = 0.06  # share of the light by which cells that agree differ
DARK = 16  # grey levels below which a cell tells nothing of the light's colour
TINT = 1.25  # times that light may tint a channel


def as_light(seen: np.ndarray, wanted: np.ndarray) -> Tuple[float, float]:
    """Gain and offset that give `seen` the mean and spread of `wanted`.

    Not the least squares, which take every misplaced edge for a loss of contrast.
    """
    gain = float(np.clip((wanted.std() + 0.1) / (seen.std() + 0.1), 0.2, 5.0))
    return gain, float(wanted.mean() - gain * seen.mean())


def slope(places: np.ndarray, seen: np.ndarray, rest: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The part of what is left between two pictures that light explains which falls off.

    Args:
        places: `(2, n)` in the picture, -1..1.
        seen: `(n,)` grey levels there.
        rest: `(n,)` what is left.
        weight: `(n,)` how much each place has to say.

    Returns:
        `(n,)` of the rest.
    """
    columns = seen * places
    weighted = columns * weight
    normal = weighted @ columns.T
    normal[range(2), range(2)] += 1e-2 * float(weight @ (seen * seen)) + 1e-6
    return np.linalg.solve(normal, weighted @ rest) @ columns


def light_field(
    golden: np.ndarray, seen: np.ndarray, gain: float, offset: float
) -> Tuple[np.ndarray, float]:
    """What makes the tested picture as light as the golden one, place by place.

    A surface of the second order, so that it follows lamps and not defects, fitted to means over
    cells with Cauchy weights. It counts as far as most cells agree with it.

    Args:
        golden: `(h, w)` float32.
        seen: `(h, w)` float32 that lies upon it.
        gain: Over the whole picture.
        offset: To add after that.

    Returns:
        `(h, w)` float32 to multiply with, between half and twice `gain`, and what to add then.
    """
    cv2 = load_cv2()
    height, width = golden.shape
    size = (min(width, CELLS), min(height, CELLS))
    wanted = cv2.resize(golden, size, interpolation=cv2.INTER_AREA).ravel().astype(np.float64)
    known = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).ravel().astype(np.float64) * gain
    v, u = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j].reshape(2, -1)
    one = np.ones_like(u)
    surface = np.stack((one, u, v, u * u, u * v, v * v))
    columns = np.vstack((surface * known, one * known.mean()))
    left = wanted - offset - known
    rest, bend = left, np.zeros(7)
    for _ in range(4):
        spread = 1.4826 * np.median(np.abs(rest)) + 1.0
        weighted = columns / (1 + (rest / (2 * spread)) ** 2)
        normal = weighted @ columns.T
        # Where the pictures tell little of it the light is even.
        normal[range(7), range(7)] += 1e-2 * normal[0, 0] + 1e-6
        bend = np.linalg.solve(normal, weighted @ left)
        rest = left - bend @ columns
    # A step in the light is none of a lamp's: then places do not agree, and it stays.
    agree = float(np.mean(np.abs(rest) < AGREE * wanted.max()))
    bend *= np.clip((agree - 0.6) / 0.3, 0, 1)
    field = np.clip(1 + bend[:6] @ surface, 0.5, 2.0).reshape(size[::-1]).astype(np.float32)
    field = cv2.resize(field * np.float32(gain), (width, height), interpolation=cv2.INTER_LINEAR)
    return field, offset + float(bend[6] * known.mean())


def cast(golden: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What each channel is multiplied with where the light has another colour.

    Light tints dark and bright places, part and ground alike. Where the places do not agree it is
    the part that has another colour, and none of it is taken away.

    Args:
        golden: `(n, m, 3)` means over cells.
        seen: The same of a picture that lies upon it and is as light.

    Returns:
        `(3,)` float64.
    """
    wanted, known = golden.reshape(-1, 3).astype(np.float64), seen.reshape(-1, 3).astype(np.float64)
    told = np.minimum(wanted.min(axis=1), known.min(axis=1)) > DARK
    if told.sum() < 16:
        return np.ones(3)
    ratio = wanted[told] / known[told]
    usual = np.median(ratio, axis=0)
    agree = (np.abs(ratio / usual - 1) < AGREE).all(axis=1).mean()
    # Little by little, so that no verdict hangs on a single place.
    sure = float(np.clip((agree - 0.6) / 0.3, 0, 1))
    return 1 + sure * (np.clip(usual, 1 / TINT, TINT) - 1)
