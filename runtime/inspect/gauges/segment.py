"""Parts told from the ground they lie on, under uneven light."""

from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np

from ....core import DataError
from ...sources.base import load_cv2

SHORT = 360  # pixels of the shorter side at which parts are told from the ground
COARSE = 90  # pixels of the shorter side at which the light of the ground is found
FAR = 5.0  # spreads of the ground beyond which something is not the ground


class Blob(NamedTuple):
    """What lies on the ground, roughly.

    Attributes:
        contour: `(n, 2)` float64 pixels.
        holes: The same of each hole.
        mask: `(h, w)` bool: within the contour and in no hole.
        xyxy: `(4,)` float64 pixels around it.
        cut: Whether it touches the border of the picture.
        area: Pixels within the contour.
    """

    contour: np.ndarray
    holes: List[np.ndarray]
    mask: np.ndarray
    xyxy: np.ndarray
    cut: bool
    area: float


def ground_light(image: np.ndarray) -> np.ndarray:
    """How far each pixel stands out of the ground, in spreads of the ground.

    The light is a quadratic surface fitted to the logarithm of the ground in each channel, which is
    what the border shows most of; found anew a few times, each time without what stands out.

    Args:
        image: `(h, w, c)` float32 grey levels.

    Returns:
        `(h, w, c)` float32, negative where darker.

    Raises:
        DataError: No ground can be told.
    """
    cv2 = load_cv2()
    log = cv2.log(image + 4).reshape(image.shape)
    rows, columns = log.shape[:2]
    every = max(min(rows, columns) // COARSE, 1)
    start = every // 2
    rough = log[start::every, start::every]
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=2).astype(np.float32)
    few = terms[start::every, start::every].astype(np.float64)
    rim = np.zeros(rough.shape[:2], bool)
    edge = max(min(rim.shape) // 12, 2)
    rim[:edge] = rim[-edge:] = True
    rim[:, :edge] = rim[:, -edge:] = True
    middle = np.median(rough[rim], axis=0)
    ground = rim & (np.abs(rough - middle) < 0.7).all(axis=2)
    weights, sigma = np.zeros((6, log.shape[2])), np.ones(log.shape[2])
    for _ in range(5):
        if ground.sum() < 0.05 * ground.size:
            raise DataError("the ground cannot be told from parts", remedy="leave room around them")
        weights = np.linalg.lstsq(few[ground], rough[ground], rcond=None)[0]
        flat = rough - few @ weights
        own = flat[ground]
        own = own - np.median(own, axis=0)
        # A dark picture is counted in whole grey levels: its spread is never below half of one.
        least = 0.5 / np.exp(np.median(rough[ground], axis=0)) + 0.004
        sigma = 1.4826 * np.median(np.abs(own), axis=0) + least
        part = (np.abs(flat) > FAR * sigma).any(axis=2)
        ground = ~cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    return (terms @ weights.astype(np.float32) - log) * (-1 / sigma).astype(np.float32)


def find_blobs(image: np.ndarray, least_area: float = 400.0) -> List[Blob]:
    """What lies on the ground: from the left, holes of each included.

    A part is what can not be reached from the border over pixels like the ground, so one of the
    ground's own brightness is found by its rim. Its holes are what is not like its face.

    Args:
        image: `(h, w, 3)` uint8 BGR, or `(h, w)`.
        least_area: Pixels; what is smaller is dirt, and holes smaller than an eighth of it too.

    Raises:
        DataError: No ground can be told.
    """
    cv2 = load_cv2()
    height, width = image.shape[:2]
    factor = max(min(height, width) // SHORT, 1)
    size = (width // factor, height // factor)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 0.9).astype(np.float32).reshape(*size[::-1], -1)
    light = ground_light(small)
    own = (np.abs(light) > FAR).any(axis=2)
    blobs: List[Blob] = []
    for barrier, gap in ((own, 3), (own | _steep(cv2, small), 9)):
        labels = _enclosed(cv2, barrier.astype(np.uint8), gap)
        for k in range(1, int(labels.max()) + 1):
            whole = labels == k
            if whole.sum() * factor**2 < least_area:
                continue
            # A rim alone closes in a part of the ground's own brightness; what already stands out
            # as a whole is better known without it.
            area = float(whole.sum()) * factor**2
            inside = [b for b in blobs if whole[_middle(b, factor)]]
            if any(b.area > (0.45 if _solid(cv2, b) else 0.9) * area for b in inside):
                continue
            blob = _blob(cv2, whole, light, (width, height), factor, least_area)
            if blob is not None:
                blobs = [b for b in blobs if not any(b is other for other in inside)]
                blobs.append(blob)
    return sorted(blobs, key=lambda b: float(b.xyxy[0]))


def _solid(cv2: Any, blob: Blob) -> bool:
    """Whether an outline is smooth, as a part's is, and not ragged as half of a part's is."""
    hull = cv2.convexHull(blob.contour.astype(np.float32))
    return blob.area > 0.93 * float(cv2.contourArea(hull))


def _middle(blob: Blob, factor: int) -> Tuple[int, int]:
    """A pixel of a blob's own in the small picture, near its left rim."""
    rows, columns = np.nonzero(blob.mask[::factor, ::factor])
    first = len(rows) // 2
    return int(rows[first]), int(columns[first])


def _enclosed(cv2: Any, barrier: np.ndarray, gap: int) -> np.ndarray:
    """Labels of what cannot be reached from outside without crossing a barrier, gaps closed."""
    close = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    barrier = cv2.morphologyEx(barrier, cv2.MORPH_CLOSE, close)
    # From a rim of ground outside the picture, so that a part at the border does not close it off.
    room = cv2.copyMakeBorder(1 - barrier, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    labels = cv2.connectedComponents(room, connectivity=4)[1]
    filled = (labels != labels[0, 0])[1:-1, 1:-1].astype(np.uint8)
    round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    return cv2.connectedComponents(cv2.morphologyEx(filled, cv2.MORPH_OPEN, round_))[1]


def _steep(cv2: Any, small: np.ndarray) -> np.ndarray:
    """Where the picture changes far faster than the ground does."""
    log = np.log(small + 8)
    dx, dy = cv2.Sobel(log, -1, 1, 0), cv2.Sobel(log, -1, 0, 1)
    slope = np.sqrt((dx**2 + dy**2).reshape(*small.shape[:2], -1).sum(axis=2))
    return slope > 4 * float(np.median(slope))


def _blob(
    cv2: Any,
    whole: np.ndarray,
    light: np.ndarray,
    size: Tuple[int, int],
    factor: int,
    least_area: float,
) -> Optional[Blob]:
    """One blob without its shadow, and its holes."""
    depth = cv2.distanceTransform(whole.astype(np.uint8), cv2.DIST_L2, 3)
    rim = whole & (depth > 2.5) & (depth < 8)
    if rim.sum() < 30:
        return None
    inner = whole & (depth > 2.5)
    strong = np.sqrt((light**2).sum(axis=2))
    # Most of a part stands out far more than its shadow does: then halfway is its edge.
    typical = float(np.median(strong[rim]))
    if typical > 4 * FAR:
        solid = whole & (strong > 0.5 * typical)
        if solid.sum() < 0.3 * whole.sum():
            solid = whole
    else:
        solid = whole
        face = np.median(light[inner], axis=0)
        spread = 1.4826 * np.median(np.abs(light[inner] - face), axis=0) + 0.3
        other = inner & (depth > 4) & (np.abs(light - face) > 3.5 * spread).any(axis=2)
        solid = whole & ~cv2.morphologyEx(
            other.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
        ).astype(bool)
    mask = cv2.morphologyEx(solid.astype(np.uint8) * 255, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)[1]
    found = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    contours, tree = found[0], np.asarray(found[1]).reshape(-1, 4)
    outer = [j for j in range(len(contours)) if tree[j][3] < 0]
    if not outer:
        return None
    best = max(outer, key=lambda j: cv2.contourArea(contours[j]))
    contour = contours[best].reshape(-1, 2).astype(float)
    area = float(cv2.contourArea(contours[best]))
    if area < least_area:
        return None
    holes = [
        contours[j].reshape(-1, 2).astype(float)
        for j in range(len(contours))
        if tree[j][3] == best and cv2.contourArea(contours[j]) > least_area / 8
    ]
    painted = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(painted, contours, best, 255, cv2.FILLED)
    for hole in holes:
        cv2.fillPoly(painted, [hole.astype(np.int32)], 0)
    low, high = contour.min(axis=0), contour.max(axis=0) + 1
    cut = bool((low <= 1).any() or (high >= np.array(size) - 1).any())
    return Blob(contour, holes, painted > 0, np.concatenate((low, high)), cut, area)
