"""Pictures with gauges drawn in: where each was taken, its value and its limits."""

from typing import Any, List, Optional, Tuple

import numpy as np

from ....core.verdict import FAIL, PASS, UNSURE, Reason
from ...sources.base import load_cv2
from .gauging import FoundPart, Measured
from .kinds import Measure

RED, AMBER, GREEN = (60, 60, 230), (40, 170, 240), (90, 200, 90)
GROUND, INK, QUIET = (28, 28, 28), (232, 232, 232), (165, 165, 165)
LEAST = 960  # pixels that a picture is made wide at least, so that its words can be read
MOST_ROWS = 24
_INKS = {PASS: GREEN, FAIL: RED, UNSURE: AMBER}
_SYMBOLS = {"degrees": "deg", "mm2": "mm2", "px2": "px2", "dE00": "dE"}


def draw_measured(image: np.ndarray, measured: Measured) -> np.ndarray:
    """The picture with each gauge drawn where it was taken, and a table of values below.

    Args:
        image: `(h, w, 3)` uint8 BGR, not changed.
        measured: What gauges said of it.

    Returns:
        `(h', w', 3)` uint8: a small picture is enlarged by a whole number, the table stands below.
    """
    cv2 = load_cv2()
    times = max(-(-LEAST // image.shape[1]), 1)
    large = cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST)
    height, width = large.shape[:2]
    unit = max(width / 1100, 0.75)
    several = len(measured.parts) > 1
    taken: List[Tuple[float, float, float, float]] = []
    canvas = large.copy()
    for number, part in enumerate(measured.parts, 1):
        _outline(cv2, canvas, part, times, unit, number if several else None)
    for part in measured.parts:
        for name, lines in part.drawn.items():
            _lines(cv2, canvas, lines, times, _ink(part, name), unit)
    for part in measured.parts:
        for name, lines in part.drawn.items():
            measure = part.measures.get(name)
            if measure is not None and measure.unit and lines:
                text = _value(measure, False)
                _label(cv2, canvas, lines, times, _ink(part, name), unit, text, taken, part)
    rows = _rows(measured)
    line = int(21 * unit)
    table = np.full((line * (len(rows) + 2), width, 3), GROUND, np.uint8)
    verdict = measured.verdict.verdict
    _words(cv2, table, (8 * unit, line), verdict.upper(), _INKS[verdict], 0.62 * unit, 2)
    for k, (cells, ink) in enumerate(rows, 2):
        for text, share in zip(cells, (0.008, 0.2, 0.4, 0.6)):
            _words(cv2, table, (share * width, k * line + line // 3), text, ink, 0.5 * unit)
    return np.concatenate((canvas, table))


def _ink(part: FoundPart, name: str) -> Any:
    reason = next((r for r in part.reasons if r.name == name), None)
    return INK if reason is None else _INKS[reason.outcome]


def _value(measure: Measure, doubt: bool) -> str:
    unit = _SYMBOLS.get(measure.unit, measure.unit)
    digits = 3 if measure.unit == "mm" else 2
    if not measure.unit:
        return f"{measure.value:.0f}"
    text = f"{measure.value:.{digits}f}"
    return f"{text} +-{measure.uncertainty:.{digits}f} {unit}" if doubt else f"{text} {unit}"


def _rows(measured: Measured) -> List[Tuple[Tuple[str, str, str, str], Any]]:
    """Name, value, limits and remark of each gauge, then what forbids to judge."""
    rows: List[Tuple[Tuple[str, str, str, str], Any]] = []
    told = set()
    for reason in measured.reasons:
        if reason.condition:
            continue
        told.add(reason.name)
        measure = measured.measures.get(reason.name)
        value = "?" if reason.value is None else f"{reason.value:.3f}"
        if measure is not None:
            value = _value(measure, True)
        remark = reason.text if reason.outcome != PASS else ""
        rows.append(((reason.name, value, _limits(reason), remark), _INKS[reason.outcome]))
    for name, measure in measured.measures.items():
        if name not in told:
            rows.append(((name, _value(measure, True), "", ""), QUIET))
    for reason in measured.problems:
        value = "" if reason.value is None else f"{reason.value:.2f} {_limits(reason)}: "
        rows.append(((reason.name, value + reason.text, "", ""), AMBER))
    if len(rows) > MOST_ROWS:
        # What decided comes first where not all can be shown.
        rows.sort(key=lambda row: {RED: 0, AMBER: 1}.get(row[1], 2))
        left = len(rows) - MOST_ROWS
        rows = rows[:MOST_ROWS] + [((f"and {left} more", "", "", ""), QUIET)]
    return rows


def _limits(reason: Reason) -> str:
    if reason.low is None and reason.high is None:
        return ""
    if reason.low is None:
        return f"at most {reason.high:.4g}"
    if reason.high is None:
        return f"at least {reason.low:.4g}"
    if reason.low == reason.high:
        return f"exactly {reason.low:.4g}"
    return f"{reason.low:.3f} to {reason.high:.3f}"


def _outline(
    cv2: Any, canvas: np.ndarray, part: FoundPart, times: int, unit: float, number: Optional[int]
) -> None:
    points = _fixed(part.outline, times)
    cv2.polylines(canvas, [points], True, _INKS[part.verdict], 1, cv2.LINE_AA, 4)
    if number is not None:
        x, y = part.xyxy[:2] * times
        _words(cv2, canvas, (x, y - 6 * unit), f"part {number}", INK, 0.5 * unit, 1, True)


def _fixed(points: np.ndarray, times: int) -> np.ndarray:
    """Places in sixteenths of a pixel of the enlarged picture."""
    finite = points[np.isfinite(points).all(axis=1)]
    places = np.clip(((finite + 0.5) * times - 0.5) * 16, -(2**20), 2**20)
    return np.rint(places).astype(np.int32).reshape(-1, 1, 2)


def _lines(
    cv2: Any, canvas: np.ndarray, lines: List[np.ndarray], times: int, ink: Any, unit: float
) -> None:
    for line in lines:
        thick = max(int(round(1.6 * unit)), 1)
        cv2.polylines(canvas, [_fixed(line, times)], False, GROUND, thick + 2, cv2.LINE_AA, 4)
    for line in lines:
        thick = max(int(round(1.6 * unit)), 1)
        cv2.polylines(canvas, [_fixed(line, times)], False, ink, thick, cv2.LINE_AA, 4)


def _label(
    cv2: Any, canvas: np.ndarray, lines: List[np.ndarray], times: int, ink: Any, unit: float,
    text: str, taken: List[Tuple[float, float, float, float]], part: FoundPart,
) -> None:  # fmt: skip
    """A value beside its gauge, where no other value stands yet."""
    size = 0.5 * unit
    (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    points = (np.concatenate(lines) + 0.5) * times
    middle = points.mean(axis=0)
    out = middle - (part.xyxy[:2] + part.xyxy[2:]) * 0.5 * times
    right = 1 if out[0] >= 0 else -1
    anchors = [
        (middle[0] - wide / 2, middle[1] + tall / 2),
        (points[:, 0].max() + 8, middle[1] + tall / 2),
        (points[:, 0].min() - 8 - wide, middle[1] + tall / 2),
        (middle[0] - wide / 2, points[:, 1].min() - 8),
        (middle[0] - wide / 2, points[:, 1].max() + 8 + tall),
    ]
    if right < 0:
        anchors[1], anchors[2] = anchors[2], anchors[1]
    height, width = canvas.shape[:2]
    candidates = [(x, y + step * (tall + 8)) for step in (0, 1, -1, 2, -2, 3) for x, y in anchors]
    chosen = candidates[0]
    for x, y in candidates:
        box = (x - 3, y - tall - 3, x + wide + 3, y + 4)
        inside = box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height
        if inside and not any(_overlap(box, other) for other in taken):
            chosen = (x, y)
            break
    x = float(np.clip(chosen[0], 0, max(width - wide, 0)))
    y = float(np.clip(chosen[1], tall, height - 4))
    taken.append((x - 3, y - tall - 3, x + wide + 3, y + 4))
    _words(cv2, canvas, (x, y), text, ink, size, 1, True)


def _overlap(a: Tuple[float, ...], b: Tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _words(
    cv2: Any, canvas: np.ndarray, at: Any, text: str, ink: Any, size: float, thick: int = 1,
    ground: bool = False,
) -> None:  # fmt: skip
    text = text.encode("ascii", "replace").decode("ascii")
    x, y = int(at[0]), int(at[1])
    font = cv2.FONT_HERSHEY_SIMPLEX
    if ground:
        (wide, tall), _ = cv2.getTextSize(text, font, size, thick)
        top, left = max(y - tall - 3, 0), max(x - 3, 0)
        box = canvas[top : y + 4, left : x + wide + 3]
        box[:] = (0.3 * box + 0.7 * np.array(GROUND)).astype(np.uint8)
    cv2.putText(canvas, text, (x, y), font, size, ink, thick, cv2.LINE_AA)
