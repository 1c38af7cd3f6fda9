"""Parts found on their ground, cut out and turned upright."""

import math
from dataclasses import dataclass, replace
from typing import Any, List, Optional, Tuple

import numpy as np

from ...sources.base import load_cv2

SMALL = 320  # longer side of the picture in which parts are looked for
GRID = 48  # pixels of the longer side of the picture to which the ground is fitted
MARGIN = 6  # pixels around an upright part
DARK = 15.0  # levels of a ground below which its noise is more than its colour
MOST_LIGHT = 1.6  # times the light may be more or less
TURNS = 72  # directions in which a part without a longer side is tried


@dataclass(frozen=True)
class Look:
    """One part in one picture.

    Attributes:
        xyxy: `(4,)` float64 pixels around it.
        cut: Whether it touches the border.
        middle: `(2,)` pixels.
        length: Pixels of its longer side.
        width: Of its shorter side.
        area: Square pixels within its outline, holes as well.
        angle: Degrees by which its longer side is turned from x to y, 0..180.
        image: `(h, w, 3)` uint8 BGR, upright, with nothing but the part: all else has the colour
            of the ground.
        mask: `(h, w)` uint8, 255 where the part is.
        warp: `(2, 3)` float64, from pixels of `image` to pixels of the picture.
        ground: `(3,)` BGR of the ground around it.
    """

    xyxy: np.ndarray
    cut: bool
    middle: np.ndarray
    length: float
    width: float
    area: float
    angle: float
    image: np.ndarray
    mask: np.ndarray
    warp: np.ndarray
    ground: np.ndarray


def stands_out(image: np.ndarray) -> Tuple[np.ndarray, np.ndarray, float]:
    """Where a picture is not its ground.

    The ground is a quadratic surface fitted to the logarithm of each channel, again and again
    without what stands out: uneven light bends it, parts do not.

    Args:
        image: `(h, w, 3)` uint8 BGR.

    Returns:
        `(h, w)` float32, how far each pixel lies from the ground in units of the least that
        counts (1 and more is a part), the ground `(h, w, 3)` float32, and the factor by which both
        are smaller than the picture.
    """
    cv2 = load_cv2()
    factor = max(max(image.shape[:2]) / SMALL, 1.0)
    size = (round(image.shape[1] / factor), round(image.shape[0] / factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor > 1 else image
    small = cv2.GaussianBlur(small, (3, 3), 0)
    log = cv2.log(small.astype(np.float32) + 6.0)
    step = max(max(size) // GRID, 1)
    # The median of each cell: specks and thin seams do not reach the fit.
    thin = cv2.medianBlur(small, 5)[step // 2 :: step, step // 2 :: step]
    cells = np.log(thin.astype(np.float64) + 6.0)
    terms = _terms(cells.shape[:2])
    flat, values = terms.reshape(-1, 6), cells.reshape(-1, 3)
    rim = np.ones(cells.shape[:2], bool)
    edge = max(min(rim.shape) // 8, 1)
    rim[edge:-edge, edge:-edge] = False
    # The border shows ground most of all; the commonest colour there begins it.
    start = np.median(values[rim.ravel()], axis=0)
    kept = np.abs(values - start).max(axis=1) < 0.5
    spread = 0.2
    weights = np.zeros((6, 3))
    for _ in range(6):
        if kept.sum() < 12:
            kept = rim.ravel()
        weights = np.linalg.lstsq(flat[kept], values[kept], rcond=None)[0]
        rest = np.abs(values - flat @ weights).max(axis=1)
        spread = 1.4826 * float(np.median(rest[kept])) + 0.004
        kept = rest < 3.5 * spread
    coarse = (terms.reshape(-1, 6) @ weights).reshape(*cells.shape).astype(np.float32)
    ground = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    away = np.abs(log - ground).max(axis=2)
    least = max(6.0 * spread, 0.12)
    out = away[away > least]
    # Halfway between the ground and what stands out of it, or shadows would be parts.
    level = max(0.4 * float(np.median(out)), least) if out.size > 20 else least
    return away / level, np.exp(ground) - 6.0, factor


def _terms(shape: Tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=2)


def find_parts(
    image: np.ndarray, least_area: float = 400.0, size: Optional[Tuple[int, int]] = None
) -> List[Look]:
    """The parts in a picture, from the left.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        least_area: Pixels; what is smaller is dirt.
        size: `(width, height)` of the upright pictures; each part's own where it is not given.
    """
    cv2 = load_cv2()
    away, ground, factor = stands_out(image)
    mask = (away >= 1.0).astype(np.uint8) * 255
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    found = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    contours = found[0]
    if not contours:
        return []
    tree = np.asarray(found[1]).reshape(-1, 4)
    looks = []
    for k, contour in enumerate(contours):
        if tree[k][3] >= 0 or cv2.contourArea(contour) * factor**2 < least_area:
            continue
        holes = [contours[j] for j in range(len(contours)) if tree[j][3] == k]
        looks.append(_look(image, away, contour, holes, ground, factor, size))
    return sorted(looks, key=lambda look: (float(look.middle[0]), float(look.middle[1])))


def _look(
    image: np.ndarray, away: np.ndarray, contour: np.ndarray, holes: List[np.ndarray],
    ground: np.ndarray, factor: float, size: Optional[Tuple[int, int]],
) -> Look:  # fmt: skip
    shape = away.shape
    cv2 = load_cv2()
    rows = contour.reshape(-1, 2)
    points = _fine(away, rows, factor)
    low, high = points.min(axis=0), points.max(axis=0)
    box = np.array([max(low[0], 0), max(low[1], 0), high[0] + 1, high[1] + 1])
    box[2:] = np.minimum(box[2:], (image.shape[1], image.shape[0]))
    far = rows.max(axis=0) >= (shape[1] - 1, shape[0] - 1)
    cut = bool((rows <= 0).any() or far.any())
    (x, y), (a, b), turn = cv2.minAreaRect(points.astype(np.float32))
    if a < b:
        a, b, turn = b, a, turn + 90
    turn %= 180
    area = cv2.contourArea(points.astype(np.float32))
    if size is None:
        size = (int(math.ceil(a)) + 2 * MARGIN, int(math.ceil(b)) + 2 * MARGIN)
    middle = np.array([x, y])
    warp = upright_warp(middle, turn, size)
    own = np.zeros(shape, np.uint8)
    cv2.drawContours(own, [contour], -1, 255, -1)
    if holes:
        cv2.drawContours(own, holes, -1, 0, -1)
    left, top = np.floor(box[:2] / factor).astype(int)
    right, bottom = np.ceil(box[2:] / factor).astype(int)
    around = ground[max(top, 0) : bottom, max(left, 0) : right].reshape(-1, 3)
    colour = np.clip(np.median(around, axis=0), 0, 255)
    # Of the small picture, in which the mask is.
    to_small = np.array(
        [[warp[0, 0], warp[0, 1], warp[0, 2] + 0.5], [warp[1, 0], warp[1, 1], warp[1, 2] + 0.5]]
    ) / factor  # fmt: skip
    to_small[:, 2] -= 0.5
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    wide = cv2.dilate(own, np.ones((3, 3), np.uint8))
    near = cv2.warpAffine(wide, to_small, size, flags=how)
    inner = cv2.warpAffine(own, to_small, size, flags=how)
    seen = cv2.warpAffine(image, warp, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    share = (near.astype(np.float32) / 255)[..., None]
    only = share * seen + (1 - share) * colour.astype(np.float32)
    return Look(
        box, cut, middle, float(a), float(b), max(float(area), 1.0), float(turn),
        np.rint(only).astype(np.uint8), ((inner > 127) * 255).astype(np.uint8), warp,
        colour,
    )  # fmt: skip


def _fine(away: np.ndarray, rows: np.ndarray, factor: float) -> np.ndarray:
    """The edge of a part, `(n, 2)` pixels of the picture, to a part of a pixel.

    Between the pixels in which parts are looked for, how far they stand out is a slope: where it
    passes 1 is the edge.
    """
    cv2 = load_cv2()
    low = np.maximum(rows.min(axis=0) - 2, 0)
    high = np.minimum(rows.max(axis=0) + 3, (away.shape[1], away.shape[0]))
    region = away[low[1] : high[1], low[0] : high[0]]
    finer = int(np.clip(round(2 * factor), 2, 6))
    size = (region.shape[1] * finer, region.shape[0] * finer)
    out = (cv2.resize(region, size, interpolation=cv2.INTER_LINEAR) >= 1.0).astype(np.uint8)
    found = cv2.findContours(out, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    edge = max(found, key=cv2.contourArea).reshape(-1, 2) if found else rows * finer
    return ((edge + 0.5) / finer + low) * factor - 0.5


def upright_warp(middle: Any, turn: float, size: Tuple[int, int]) -> np.ndarray:
    """`(2, 3)` from pixels of an upright picture to those of a picture in which a part lies turned
    by so many degrees."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    half = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    return np.array(
        [[c, -s, middle[0] - c * half[0] + s * half[1]],
         [s, c, middle[1] - s * half[0] - c * half[1]]]
    )  # fmt: skip


def in_light(look: Look, ground: Any) -> Look:
    """The look as in the light in which the ground has that colour.

    Light that comes and goes, a little of it at the rim of the picture as well, so leaves no mark.
    A ground that is nearly black tells no light: then the look stays as it is.

    Args:
        look: A part.
        ground: `(3,)` BGR.
    """
    cv2 = load_cv2()
    wanted = np.asarray(ground, np.float64)
    if min(wanted.min(), look.ground.min()) < DARK:
        return look
    gain = np.clip(wanted / look.ground, 1 / MOST_LIGHT, MOST_LIGHT)
    levels = np.arange(256)[:, None] * gain
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)[None]
    return replace(look, image=cv2.LUT(look.image, table), ground=wanted)


def turned_like(look: Look, golden: np.ndarray) -> Look:
    """The look, turned in its own plane so that it lies like a golden picture.

    A part with a longer side may lie the other way round; one without is tried in all directions,
    by the colours along circles about its middle.

    Args:
        look: Of the golden picture's size.
        golden: `(h, w, 3)` uint8 BGR.
    """
    cv2 = load_cv2()
    if look.length > 1.15 * look.width:
        other = cv2.rotate(look.image, cv2.ROTATE_180)
        if _likeness(other, golden) > _likeness(look.image, golden) + 1e-6:
            return _turn(look, 180.0)
        return look
    height, width = golden.shape[:2]
    radius = 0.5 * min(height, width)
    middle = ((width - 1) / 2, (height - 1) / 2)
    size = (24, TURNS * 2)
    flags = cv2.WARP_POLAR_LINEAR | cv2.INTER_LINEAR
    rings = [
        cv2.warpPolar(p, size, middle, radius, flags).astype(np.float64)
        for p in (golden, look.image)
    ]
    for ring in rings:
        ring -= ring.mean(axis=0)
    product = np.fft.rfft(rings[1], axis=0) * np.conj(np.fft.rfft(rings[0], axis=0))
    match = np.fft.irfft(product, n=size[1], axis=0)
    strength = (match * np.arange(1, size[0] + 1)[None, :, None]).sum(axis=(1, 2))
    best = int(strength.argmax())
    turn = 360.0 * best / size[1]
    # A part that is round in itself has no direction: it is left as it lies.
    if strength[best] - strength[0] < 0.05 * abs(strength[best]) or turn == 0:
        return look
    return _turn(look, turn)


def _likeness(one: np.ndarray, two: np.ndarray) -> float:
    a, b = one.astype(np.float32), two.astype(np.float32)
    a, b = a - a.mean(axis=(0, 1)), b - b.mean(axis=(0, 1))
    return float((a * b).sum() / math.sqrt(float((a * a).sum() * (b * b).sum()) + 1e-9))


def _turn(look: Look, degrees: float) -> Look:
    """The look turned about its middle."""
    cv2 = load_cv2()
    height, width = look.image.shape[:2]
    size = (width, height)
    own = upright_warp(((width - 1) / 2, (height - 1) / 2), degrees, size)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(look.image, own, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(look.mask, own, size, flags=how)
    whole = np.vstack((look.warp, (0, 0, 1))) @ np.vstack((own, (0, 0, 1)))
    return Look(
        look.xyxy, look.cut, look.middle, look.length, look.width, look.area, look.angle, image,
        ((mask > 127) * 255).astype(np.uint8), whole[:2], look.ground,
    )  # fmt: skip
