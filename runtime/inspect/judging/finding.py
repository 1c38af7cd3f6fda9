"""Parts found on their ground, cut out and turned upright."""

import math
from dataclasses import dataclass, replace
from typing import Any, List, Optional, Tuple

import numpy as np

from ...sources.base import load_cv2
from ..gauges.ground import coarseness, see_ground
from ..gauges.segment import Blob, find_blobs

MARGIN = 6  # pixels around an upright part
DARK = 15.0  # levels of a ground below which its noise is more than its colour
MOST_LIGHT = 1.6  # times the light may be more or less
GREY = np.array((0.114, 0.587, 0.299))
TINT = 0.02  # share by which the colours of light go apart
CHROMA = 2.5  # levels by which compression shifts the colour of a ground
LONGER = 1.15  # times the other: from there on a part has a longer side
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


def find_parts(
    image: np.ndarray, least_area: float = 400.0, size: Optional[Tuple[int, int]] = None
) -> List[Look]:
    """The parts in a picture, from the left.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        least_area: Pixels; what is smaller is dirt.
        size: `(width, height)` of the upright pictures; each part's own where it is not given.

    Raises:
        DataError: No ground can be told from parts.
    """
    rim = coarseness(image)
    looks = [_look(image, blob, rim, size) for blob in find_blobs(image, least_area)]
    return sorted(looks, key=lambda look: (float(look.middle[0]), float(look.middle[1])))


def _look(image: np.ndarray, blob: Blob, rim: int, size: Optional[Tuple[int, int]]) -> Look:
    cv2 = load_cv2()
    around = blob.contour.astype(np.float32)
    (x, y), (a, b), turn = cv2.minAreaRect(around)
    if a < b:
        a, b, turn = b, a, turn + 90
    turn %= 180
    if size is None:
        size = (int(math.ceil(a)) + 2 * MARGIN, int(math.ceil(b)) + 2 * MARGIN)
    middle = np.array([x, y])
    warp = upright_warp(middle, turn, size)
    own = blob.mask.astype(np.uint8) * 255
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inner = cv2.warpAffine(own, warp, size, flags=how)
    near = cv2.dilate(inner, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
    near = cv2.blur(near, (3, 3))
    seen = cv2.warpAffine(image, warp, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    share = (near.astype(np.float32) / 255)[..., None]
    only = share * seen + (1 - share) * blob.ground.astype(np.float32)
    return Look(
        blob.xyxy, blob.cut, middle, float(a), float(b), max(blob.area, 1.0), float(turn),
        np.rint(only).astype(np.uint8), ((inner > 127) * 255).astype(np.uint8), warp, blob.ground,
    )  # fmt: skip


def alone(image: np.ndarray, look: Look) -> np.ndarray:
    """The picture with nothing but one part on its ground, `(h, w, 3)` uint8: gauges learn from
    one at a time.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        look: The part in it that stays.
    """
    cv2 = load_cv2()
    size = (image.shape[1], image.shape[0])
    x1, y1, x2, y2 = (int(round(float(v))) for v in look.xyxy)
    more = max(x2 - x1, y2 - y1) // 6
    kept = (slice(max(y1 - more, 0), y2 + more), slice(max(x1 - more, 0), x2 + more))
    others = np.zeros(image.shape[:2], np.uint8)
    for blob in find_blobs(image, 50.0):
        cv2.fillPoly(others, [np.rint(blob.contour).astype(np.int32)], 1)
    others[kept] = 0
    wide = 16 * coarseness(image) + 1  # with its shadow
    others = cv2.dilate(others, np.ones((wide, wide), np.uint8)) > 0
    others[kept] = False
    ground = cv2.resize(see_ground(image).picture, size)
    # As rough as the ground is, or what is smooth would stand out.
    rest = (image - ground)[~others]
    rough = 1.4826 * np.median(np.abs(rest - np.median(rest, axis=0)), axis=0)
    grain = np.random.RandomState(0).normal(0, 1, ground.shape) * rough
    painted = np.clip(np.rint(ground + grain), 0, 255).astype(np.uint8)
    return np.where(others[..., None], painted, image)


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
    gain = float(wanted @ GREY) / float(look.ground @ GREY)
    # The colour of light changes little, and compression gives a dark ground a colour of its own:
    # it is followed as far as the ground is bright enough to tell it.
    tint = wanted / look.ground / gain
    sure = TINT**2 / (TINT**2 + (CHROMA / float(wanted.mean())) ** 2)
    gain = np.clip(gain * tint**sure, 1 / MOST_LIGHT, MOST_LIGHT)
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
    if look.length > LONGER * look.width:
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
