"""A golden clip for those who have none: people who walk over every line and into every zone."""

from typing import Any, Dict, List, Tuple

import numpy as np

from ..runtime.mot import mot_row

FPS = 10.0
_WALK_S = 5.0
_STAY_S = 6.0
_PAUSE_S = 2.0


def picture_size(settings: Any) -> Tuple[int, int]:
    """A picture that the shapes of a camera fit into, where nothing tells its size."""
    points = [p for shape in _shapes(settings) for p in shape]
    if not points:
        return 640, 360
    width, height = np.max(points, axis=0) * 1.2
    return max(int(width), 64), max(int(height), 64)


def walkers(settings: Any, size: Tuple[int, int]) -> str:
    """MOTChallenge rows of people who do what a camera is there to count.

    One after another: over the middle of each line and back, into the middle of each zone to stay
    there for a while, and across the picture.

    Args:
        settings: Of the pipeline for this camera, with `lines` and `zones` where it has them.
        size: `(width, height)` of the picture.
    """
    paths = [_crossing(line) for line in _lines(settings).values()]
    paths += [_visit(polygon, size) for polygon in _zones(settings).values()]
    width, height = size
    paths.append(np.array([[0.1 * width, 0.7 * height], [0.9 * width, 0.7 * height]]))
    tall = 0.3 * height
    rows: List[str] = []
    begin = 1
    for path in paths:
        feet = _steps(path)
        for number, (x, y) in enumerate(feet):
            box = np.array([x - tall / 6, y - tall, x + tall / 6, y], np.float32)
            rows.append(mot_row(begin + number, -1, box, 0.9))
        begin += len(feet) + int(_PAUSE_S * FPS)
    return "".join(row + "\n" for row in rows)


def _lines(settings: Any) -> Dict[str, np.ndarray]:
    lines = getattr(settings, "lines", None) or {}
    return {name: np.array([line.start, line.to], float) for name, line in lines.items()}


def _zones(settings: Any) -> Dict[str, np.ndarray]:
    zones = getattr(settings, "zones", None) or {}
    return {name: np.array(zone.polygon, float) for name, zone in zones.items()}


def _shapes(settings: Any) -> List[np.ndarray]:
    return [*_lines(settings).values(), *_zones(settings).values()]


def _crossing(line: np.ndarray) -> np.ndarray:
    """Over the middle of a line and back, as far as half its length on each side."""
    middle, along = line.mean(axis=0), line[1] - line[0]
    across = np.array([-along[1], along[0]]) * 0.6
    return np.array([middle - across, middle + across, middle - across])


def _visit(polygon: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """From the side into a zone, a stay, and out again."""
    middle = polygon.mean(axis=0)
    door = np.array([0.0 if middle[0] > size[0] / 2 else float(size[0]), middle[1]])
    return np.array([door, middle, middle, door])


def _steps(path: np.ndarray) -> np.ndarray:
    """Where the feet are, frame by frame; a point that stands there twice is a stay."""
    parts = []
    for start, end in zip(path, path[1:]):
        count = int((_STAY_S if (start == end).all() else _WALK_S) * FPS)
        share = np.arange(count)[:, None] / count
        parts.append(start + share * (end - start))
    return np.concatenate([*parts, path[-1:]])
