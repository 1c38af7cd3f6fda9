"""What is drawn over a picture of the scene: presence, paths, lines and zones."""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .collect import CameraEvents, Path
from .png import data_uri, indexed_png
from .words import duration, is_number

STOPS = ((76, 29, 149), (190, 24, 120), (239, 83, 80), (253, 164, 58), (253, 240, 120))
"""Colours of the heatmap from little to much; lightness only rises, so it reads in grey too."""


def heat_palette() -> np.ndarray:
    """`(256, 4)` uint8 RGBA: index 0 is clear, the rest from violet to yellow."""
    at = np.linspace(0.0, 1.0, 256)
    places = np.linspace(0.0, 1.0, len(STOPS))
    palette = np.zeros((256, 4), np.uint8)
    for channel in range(3):
        palette[:, channel] = np.interp(at, places, [s[channel] for s in STOPS]).round()
    palette[:, 3] = np.interp(at, (0.0, 0.15, 1.0), (0.0, 150.0, 225.0)).round()
    return palette


@dataclass(frozen=True)
class Heat:
    """A heatmap ready to be laid over the scene.

    Attributes:
        uri: The picture as a data URI, one pixel a cell.
        marks: `(place 0..1, text)` of the legend.
        total: Person-seconds in all.
        cell: Size of a cell in pixels of the stream.
        clipped: Whether cells beyond the last mark share its colour.
    """

    uri: str
    marks: Tuple[Tuple[float, str], ...]
    total: float
    cell: Tuple[float, float]
    clipped: bool


def heat(events: CameraEvents) -> Optional[Heat]:
    """The heatmap of presence, or None where nobody was seen.

    Colour goes with the square root of the seconds, so that where people pass is seen beside
    where they stand. The scale ends at the 99.8th percentile of the cells with anyone in them.
    """
    if not events.heat:
        return None
    key = max(events.heat, key=lambda k: float(events.heat[k].sum()))
    grid = events.heat[key]
    width, height, columns, rows = key
    present = grid[grid > 0]
    if not len(present):
        return None
    highest = float(np.percentile(present, 99.8))
    share = np.sqrt(np.clip(grid / highest, 0.0, 1.0))
    pixels = np.where(grid > 0, np.maximum(1, np.round(share * 255)), 0).astype(np.uint8)
    clipped = float(present.max()) > highest * 1.05
    marks = []
    for place in (0.0, 0.5, 1.0):
        text = duration(place * place * highest) if place else "0 s"
        marks.append((place, text + (" or more" if clipped and place == 1.0 else "")))
    return Heat(
        uri=data_uri("image/png", indexed_png(pixels.reshape(rows, columns), heat_palette())),
        marks=tuple(marks),
        total=float(grid.sum()),
        cell=(width / columns, height / rows),
        clipped=clipped,
    )


def legend_gradient() -> str:
    """The colours of the heatmap as a CSS gradient from left to right."""
    stops = ",".join(f"rgb({red},{green},{blue})" for red, green, blue in STOPS)
    return f"linear-gradient(90deg,{stops})"


@dataclass(frozen=True)
class Label:
    """A name on the scene, with its place in percent of the picture."""

    text: str
    kind: str
    left: float
    top: float


@dataclass(frozen=True)
class Overlay:
    """Lines and zones as SVG attributes in stream pixels, and their names.

    Attributes:
        size: `(width, height)` of the stream.
        zones: `points` of each polygon.
        lines: `(x1, y1, x2, y2)` of each line.
        arrows: SVG path of the arrow of each line, to its `in` side.
        labels: Names, or numbers where names would not fit.
        key: What the numbers stand for; empty where names stand themselves.
    """

    size: Tuple[float, float]
    zones: Tuple[str, ...]
    lines: Tuple[Tuple[str, str, str, str], ...]
    arrows: Tuple[str, ...]
    labels: Tuple[Label, ...]
    key: Tuple[Tuple[str, str], ...] = ()


MOST_NAMES, LONGEST_NAME = 6, 18
"""Up to so many names of so many letters stand on the picture; past that, numbers do."""


def overlay(shapes: Dict[str, Any], size: Tuple[float, float]) -> Overlay:
    """Lay out lines and zones; a shape that cannot be read is left out.

    The `in` side of a line is the right-hand side of someone who stands at `from` and looks to
    `to`: with y down the arrow points along `(-dy, dx)`.
    """
    zones: List[str] = []
    lines: List[Tuple[str, str, str, str]] = []
    arrows: List[str] = []
    labels: List[Label] = []
    taken: List[Tuple[float, float]] = []  # by arrows
    names: List[Tuple[str, str, List[Tuple[float, float]]]] = []
    for name, zone in _named(shapes.get("zones")):
        points = [_point(p) for p in zone.get("polygon") or ()]
        if len(points) < 3 or any(p is None for p in points):
            continue
        known = [p for p in points if p is not None]
        zones.append(" ".join(f"{short(x)},{short(y)}" for x, y in known))
        x, y = (sum(values) / len(known) for values in zip(*known))
        top, bottom = min(p[1] for p in known), max(p[1] for p in known)
        names.append((name, "zone", [(x, top), (x, bottom), (x, y)]))
    for name, line in _named(shapes.get("lines")):
        start, end = _point(line.get("from")), _point(line.get("to"))
        if start is None or end is None or start == end:
            continue
        lines.append((short(start[0]), short(start[1]), short(end[0]), short(end[1])))
        arrows.append(_arrow(start, end, size))
        nx, ny = _normal(start, end)
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        tip, away = 0.2 * min(size), 0.07 * min(size)
        _place(labels, "in", "in", [(x + nx * tip, y + ny * tip)], size)
        taken.append((x + nx * tip / 2, y + ny * tip / 2))
        past = 0.05 * min(size)  # beyond the ends, along the line: the normal turned
        ends = [
            (end[0] + ny * past, end[1] - nx * past),
            (start[0] - ny * past, start[1] + nx * past),
        ]
        names.append((name, "line", [*ends, (x - nx * away, y - ny * away)]))
    key: List[Tuple[str, str]] = []
    if len(names) > MOST_NAMES or any(len(name) > LONGEST_NAME for name, _, _ in names):
        key = [(str(i), name) for i, (name, _, _) in enumerate(names, 1)]
        names = [(str(i), kind, places) for i, (_, kind, places) in enumerate(names, 1)]
    for name, kind, places in names:
        _place(labels, name, kind, places, size, taken)
    return Overlay(size, tuple(zones), tuple(lines), tuple(arrows), tuple(labels), tuple(key))


def _named(value: Any) -> Sequence[Tuple[str, Dict[str, Any]]]:
    if not isinstance(value, dict):
        return ()
    return [(str(name), shape) for name, shape in value.items() if isinstance(shape, dict)]


def _point(value: Any) -> Optional[Tuple[float, float]]:
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_number, value)):
        return float(value[0]), float(value[1])
    return None


def _normal(start: Tuple[float, float], end: Tuple[float, float]) -> Tuple[float, float]:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    return -dy / length, dx / length


def _arrow(start: Tuple[float, float], end: Tuple[float, float], size) -> str:
    nx, ny = _normal(start, end)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    length, head = 0.13 * min(size), 0.045 * min(size)
    tip = x + nx * length, y + ny * length
    base = x + nx * (length - head), y + ny * (length - head)
    wing = head * 0.6  # across the shaft: the normal turned by 90 degrees
    left = base[0] - ny * wing, base[1] + nx * wing
    right = base[0] + ny * wing, base[1] - nx * wing
    shaft = f"M{short(x)} {short(y)}L{short(base[0])} {short(base[1])}"
    return shaft + "M" + "L".join(f"{short(a)} {short(b)}" for a, b in (tip, left, right)) + "Z"


def _place(
    labels: List[Label],
    text: str,
    kind: str,
    places: Sequence[Tuple[float, float]],
    size: Tuple[float, float],
    taken: Sequence[Tuple[float, float]] = (),
) -> None:
    """Put a label where it is clear of others and of arrows: the first such place, or the best."""
    others = [(x.left, x.top) for x in labels]
    others += [(100 * x / size[0], 100 * y / size[1]) for x, y in taken]

    def clear(place: Tuple[float, float]) -> float:
        # Labels are some four times as wide as high, so nearness in height matters more.
        return min(
            (math.hypot((x - place[0]) / 2.5, y - place[1]) for x, y in others),
            default=math.inf,
        )

    spots = [
        (min(98.0, max(2.0, 100 * x / size[0])), min(96.0, max(4.0, 100 * y / size[1])))
        for x, y in places
    ]
    spot = next((s for s in spots if clear(s) > 9.0), None) or max(spots, key=clear)
    labels.append(Label(text, kind, spot[0], spot[1]))


def path_data(path: Path) -> str:
    """A trajectory as an SVG path in whole pixels of the stream."""
    steps = [(round(x), round(y)) for _, x, y in path.points]
    return "M" + "L".join(f"{x} {y}" for x, y in steps)


def path_end(path: Path) -> Tuple[int, int]:
    """Where a trajectory ends, in whole pixels of the stream."""
    _, x, y = path.points[-1]
    return round(x), round(y)


def short(value: float) -> str:
    """A coordinate without needless digits."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text
