"""Parts told from the ground they lie on: dark or light, under uneven light, without shadows."""

from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np

from ...sources.base import load_cv2
from .ground import FAR, Ground, see_ground
from .holes import find_holes
from .shadow import shadow_of, smooth_contour, without_shadow

GAPS = (3, 9, 15)  # pixels that are closed where something stands out, and where edges alone do
RIMMED = 0.7  # share of the rim of a thing with wide gaps that is seen
SHOWN = 0.05  # share of it that stands out
STEEP = 4.0  # times the ground's usual slope from which something is an edge
SMOOTH = 1.5  # pixels of the small picture along a contour
ROOM = 10  # pixels of the small picture around a part that are looked at with it


class Blob(NamedTuple):
    """What lies on the ground, roughly.

    Attributes:
        contour: `(n, 2)` float64 pixels, to about half a pixel.
        holes: The same of each hole.
        mask: `(h, w)` bool: within the contour and in no hole.
        xyxy: `(4,)` float64 pixels around it.
        cut: Whether it touches the border of the picture.
        area: Pixels within the contour.
        ground: `(c,)` grey levels of the ground around it.
        shadow: `(2,)` pixels from its edge to the end of its shadow; zeros without one.
    """

    contour: np.ndarray
    holes: List[np.ndarray]
    mask: np.ndarray
    xyxy: np.ndarray
    cut: bool
    area: float
    ground: np.ndarray = np.zeros(3)
    shadow: np.ndarray = np.zeros(2)


class _Thing(NamedTuple):
    """What cannot be reached from the ground, in the small picture."""

    mask: np.ndarray  # uint8 0 or 1, cut out
    corner: Tuple[int, int]  # column and row of its first pixel
    middle: Tuple[int, int]  # row and column of a pixel of its own
    area: float
    solid: bool


def find_blobs(image: np.ndarray, least_area: float = 400.0) -> List[Blob]:
    """What lies on the ground: from the left, holes of each included.

    A part is what can not be reached from the border over pixels like the ground, so one of the
    ground's own brightness is found by its rim. The shadow that it casts to one side is taken off.

    Args:
        image: `(h, w, 3)` uint8 BGR, or `(h, w)`.
        least_area: Pixels; what is smaller is dirt, and holes smaller than an eighth of it too.

    Raises:
        DataError: No ground can be told.
    """
    cv2 = load_cv2()
    ground = see_ground(image)
    size = (image.shape[1], image.shape[0])
    blobs = [_blob(cv2, thing, ground, size, least_area) for thing in _things(ground, least_area)]
    return sorted((b for b in blobs if b is not None), key=lambda b: float(b.xyxy[0]))


def _things(ground: Ground, least_area: float) -> List[_Thing]:
    cv2 = load_cv2()
    own = (ground.strength > FAR).astype(np.uint8)
    found: List[_Thing] = []
    edged = own | _steep(cv2, ground.away)
    for barrier, gap in zip((own, edged, edged), GAPS):
        labels, boxes = _enclosed(cv2, barrier, gap)
        for k in range(1, len(boxes)):
            x, y, w, h, area = (int(v) for v in boxes[k])
            if area * ground.factor**2 < least_area:
                continue
            # A rim alone closes in a part of the ground's own brightness; what already stands out
            # as a whole is better known without it.
            inside = [t for t in found if labels[t.middle] == k]
            if any(t.area > (0.45 if t.solid else 0.9) * area for t in inside):
                continue
            # Several parts that lie close together are no one part either.
            if gap == GAPS[2] and sum(t.area for t in inside if t.solid) > 0.45 * area:
                continue
            mask = (labels[y : y + h, x : x + w] == k).astype(np.uint8)
            cut = (slice(y, y + h), slice(x, x + w))
            if gap == GAPS[2] and (
                float(own[cut][mask > 0].mean()) < SHOWN or _seen(cv2, mask, barrier[cut]) < RIMMED
            ):
                continue
            found = [t for t in found if not any(t is other for other in inside)]
            rows, columns = np.nonzero(mask)
            first = len(rows) // 2
            middle = (int(rows[first]) + y, int(columns[first]) + x)
            found.append(_Thing(mask, (x, y), middle, float(area), _solid(cv2, mask)))
    return found


def _enclosed(cv2: Any, barrier: np.ndarray, gap: int) -> Tuple[np.ndarray, np.ndarray]:
    """Labels of what cannot be reached from outside without crossing a barrier, gaps closed, and
    `(n, 5)` left, top, width, height and area of each."""
    close = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    barrier = cv2.morphologyEx(barrier, cv2.MORPH_CLOSE, close)
    # From a rim of ground outside the picture, so that a part at the border does not close it off.
    room = cv2.copyMakeBorder(1 - barrier, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(room, None, (0, 0), 2)
    filled = (room != 2)[1:-1, 1:-1].astype(np.uint8)
    round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    filled = cv2.morphologyEx(filled, cv2.MORPH_OPEN, round_)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(filled)
    return labels, boxes


def _steep(cv2: Any, away: np.ndarray) -> np.ndarray:
    """Where the picture changes far faster than the ground does."""
    total = np.zeros(away.shape[:2], np.float32)
    for k in range(away.shape[2]):
        channel = np.ascontiguousarray(away[..., k])
        for order in ((1, 0), (0, 1)):
            slope = cv2.Sobel(channel, -1, *order)
            total = cv2.accumulateSquare(slope, total)
    return (total > STEEP**2 * float(np.median(total[::2, ::2]))).astype(np.uint8)


def _seen(cv2: Any, mask: np.ndarray, barrier: np.ndarray) -> float:
    """Share of a thing's rim where there is an edge; the rest are gaps that were closed."""
    wide = np.ones((5, 5), np.uint8)
    inner = cv2.erode(mask, wide, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    near = cv2.dilate(barrier, wide[:3, :3])
    return float(near[(mask > 0) & (inner == 0)].mean())


def _solid(cv2: Any, mask: np.ndarray) -> bool:
    """Whether an outline is smooth, as a part's is, and not ragged as half of a part's is."""
    contour = _outer(cv2, mask)
    return bool(cv2.contourArea(contour) > 0.93 * cv2.contourArea(cv2.convexHull(contour)))


def _outer(cv2: Any, mask: np.ndarray) -> Any:
    """The longest contour of a mask."""
    found = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    return max(found, key=cv2.contourArea)


def _blob(
    cv2: Any, thing: _Thing, ground: Ground, size: Tuple[int, int], least_area: float
) -> Optional[Blob]:
    """One blob without its shadow, and its holes."""
    factor = ground.factor
    height, width = ground.away.shape[:2]
    (x, y), (h, w) = thing.corner, thing.mask.shape
    left, top = max(x - ROOM, 0), max(y - ROOM, 0)
    right, bottom = min(x + w + ROOM, width), min(y + h + ROOM, height)
    mask = cv2.copyMakeBorder(
        thing.mask * 255, y - top, bottom - y - h, x - left, right - x - w, cv2.BORDER_CONSTANT
    )
    away = np.ascontiguousarray(ground.away[top:bottom, left:right])
    lightest = np.ascontiguousarray(away.max(axis=2))
    shadow = shadow_of(_outer(cv2, mask).reshape(-1, 2), lightest)
    mask = without_shadow(mask, shadow)
    if factor > 1:
        finer = (mask.shape[1] * factor, mask.shape[0] * factor)
        whole = cv2.resize(mask, finer, interpolation=cv2.INTER_LINEAR)
    else:
        whole = mask
    whole = (whole > 127).astype(np.uint8)
    if not whole.any():
        return None
    corner = np.array([left, top]) * factor
    raw = _outer(cv2, whole).reshape(-1, 2) + corner
    contour = smooth_contour(raw.astype(np.float64), SMOOTH * factor)
    area = float(cv2.contourArea(contour.astype(np.float32)))
    if area < least_area:
        return None
    rough = find_holes(
        (mask > 127).astype(np.uint8), away, ground.spread, least_area / 8 / factor**2
    )
    holes = [(hole + (left, top) + 0.5) * factor - 0.5 for hole in rough]
    painted = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(painted, [np.rint(contour).astype(np.int32)], 255)
    for hole in holes:
        cv2.fillPoly(painted, [np.rint(hole).astype(np.int32)], 0)
    low, high = raw.min(axis=0), raw.max(axis=0) + 1.0
    cut = bool((low <= 1).any() or (high >= np.array(size) - 1).any())
    box = np.concatenate((np.maximum(contour.min(axis=0), 0), contour.max(axis=0) + 1.0))
    around = ground.light_at(left, top, right, bottom)
    return Blob(contour, holes, painted > 0, box, cut, area, around, shadow * factor)
