"""Holes in a part: where its ground shows through it."""

from typing import Any, List

import numpy as np

from ...sources.base import load_cv2

RIM = 3.0  # pixels of the small picture within a part's edge that belong to its rim
TONE, LEAST_TONE = 3.5, 0.07  # spreads, and logarithm, by which something is not the face
STEEP, LEAST_STEEP = 2.0, 0.035  # times the face's usual slope, and logarithm a pixel, of an edge
LIGHTER = 0.04  # logarithm by which a hole may be lighter than the ground around the part
NEARER = 0.5  # share of the way from the ground to a light face that a small hole may shine
DARKEST = -1.3  # logarithm under the ground, deep in a hole's own shadow
COLOURED = 0.15  # logarithm by which channels of a hole may differ against the ground
ROUNDED = 0.85  # share of its hull that a hole fills
LARGEST = 0.5  # share of the part


def find_holes(
    mask: np.ndarray, away: np.ndarray, spread: np.ndarray, least: float
) -> List[np.ndarray]:
    """Contours `(n, 2)` of a part's holes, in pixels of its mask.

    A hole is what has another tone than the face, or what an edge encloses within it, and has the
    colour of the ground, no lighter than that: it lies in its own shadow. Marks, dents of another
    colour and raised rings are none.

    Args:
        mask: `(h, w)` uint8, 1 where the part is, holes and all.
        away: `(h, w, c)` float32 against the ground, as `Ground.away`.
        spread: `(c,)` of the ground.
        least: Pixels of the smallest hole.
    """
    cv2 = load_cv2()
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    core = depth > RIM + 1
    if core.sum() < 50:
        return []
    found: List[np.ndarray] = []
    taken = np.zeros(mask.shape, np.uint8)
    noise = 2 * float(spread.max())
    for region in _by_tone(cv2, away, depth, core, noise) + _by_edge(cv2, away, depth, core):
        around = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        contour = max(around, key=cv2.contourArea)
        area = float(cv2.contourArea(contour))
        if not least <= area <= LARGEST * float(mask.sum()):
            continue
        if area < ROUNDED * float(cv2.contourArea(cv2.convexHull(contour))):
            continue
        level = np.percentile(away[region > 0], 30, axis=0)
        if not DARKEST < level.min() <= level.max() < LIGHTER:
            continue
        if float(np.ptp(level)) > COLOURED + noise:
            continue
        whole = cv2.drawContours(np.zeros_like(mask), [contour], -1, 1, cv2.FILLED)
        if not (whole & taken).any():
            taken |= whole
            found.append(contour.reshape(-1, 2))
    return found


def _by_tone(
    cv2: Any, away: np.ndarray, depth: np.ndarray, core: np.ndarray, noise: float
) -> List[np.ndarray]:
    """Masks of what has another tone than the face, and may be ground."""
    face = np.median(away[core], axis=0)
    usual = 1.4826 * np.median(np.abs(away[core] - face), axis=0)
    other = (np.abs(away - face) > np.maximum(TONE * usual, LEAST_TONE)).any(axis=2)
    ground = away.max(axis=2) < max(LIGHTER + noise, NEARER * float(face.max()))
    shown = (other & ground & (depth > RIM)).astype(np.uint8)
    shown = cv2.morphologyEx(shown, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels = cv2.connectedComponents(shown)
    return [(labels == k).astype(np.uint8) for k in range(1, count)]


def _by_edge(cv2: Any, away: np.ndarray, depth: np.ndarray, core: np.ndarray) -> List[np.ndarray]:
    """Masks of what edges part from the face, whatever its tone."""
    dx, dy = cv2.Sobel(away, -1, 1, 0) / 8, cv2.Sobel(away, -1, 0, 1) / 8
    slope = np.sqrt((dx * dx + dy * dy).reshape(away.shape).mean(axis=2))
    edge = slope > max(STEEP * float(np.median(slope[core])), LEAST_STEEP)
    close = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    edge = cv2.morphologyEx(edge.astype(np.uint8), cv2.MORPH_CLOSE, close)
    free = ((depth > RIM) & (edge == 0)).astype(np.uint8)
    count, labels = cv2.connectedComponents(free, connectivity=4)
    beside = np.bincount(labels[(depth > RIM) & (depth < RIM + 4)], minlength=count)
    beside[0] = 0
    face = int(beside.argmax())
    wide = np.ones((3, 3), np.uint8)  # half of the edge belongs to the hole
    return [cv2.dilate((labels == k).astype(np.uint8), wide) for k in range(1, count) if k != face]
