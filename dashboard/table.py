"""The table over time, and the typical day of a long run."""

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

from .charts import Bar, bars
from .collect import MISSING, WATCHED, CameraEvents
from .figures import Figures
from .series import DAY, HOUR, TABLE_STEPS
from .words import duration, long_duration, number

MOST_ROWS = TABLE_STEPS[3][1]


@dataclass(frozen=True)
class Row:
    """One row: when, and its numbers; without numbers the time was not watched."""

    when: str
    cells: Tuple[str, ...]


@dataclass(frozen=True)
class TimeTable:
    """Counts over time.

    Attributes:
        title: Heading, by the length of a row.
        note: What a reader must know about the rows, or empty.
        groups: `(name, number of columns)` of the upper head.
        columns: Names of the columns under them.
        rows: In order of time.
        total: Sums of the columns.
        day: Visitors (or crossings) an hour by hour of the day, for runs of many days.
        day_title: What `day` shows.
    """

    title: str
    note: str
    groups: Tuple[Tuple[str, int], ...]
    columns: Tuple[str, ...]
    rows: Tuple[Row, ...]
    total: Tuple[str, ...]
    day: Tuple[Bar, ...]
    day_title: str


def time_table(events: CameraEvents, figures: Figures) -> TimeTable:
    """Build the table; its sums are those of the journal."""
    width = events.table.width
    keys: List[Any] = [("visitors",)]
    groups: List[Tuple[str, int]] = [("People", 1)]
    columns: List[str] = ["visitors"]
    for line in figures.lines:
        groups.append((line.name, 2))
        columns += ["in", "out"]
        keys += [("line", line.name, "in"), ("line", line.name, "out")]
    for zone in figures.zones:
        groups.append((zone.name, 1))
        columns.append("entries")
        keys.append(("zone", zone.name))
    watching = width >= HOUR and bool(len(events.scene))
    missing = events.gap_seconds > 0
    if watching or missing:
        groups.append(("Camera", watching + missing))
        columns += ["watched"] * watching + ["missing"] * missing
    total: Dict[Any, float] = {}
    rows = []
    filled = _filled(events)
    one_day = bool(filled) and filled[0][0] // DAY == filled[-1][0] // DAY
    for when, value in filled:
        for key, count in value.items():
            total[key] = total.get(key, 0) + count
        label = events.clock.row(when, width, one_day)
        blind = value.get(MISSING, 0) >= 0.999 * width and value.keys() == {MISSING}
        if blind or (not value and len(events.scene)):
            rows.append(Row(label, ()))
        else:
            rows.append(Row(label, _cells(value, keys, watching, missing)))
    title, note = _told(width, events)
    if missing:
        note += (
            " Where pictures are missing, counts are a lower bound (≥): "
            f"{long_duration(events.gap_seconds)} in all."
        )
    day, day_title = _typical_day(events, figures) if width >= DAY else ((), "")
    return TimeTable(
        title=title,
        note=note,
        groups=tuple(groups),
        columns=tuple(columns),
        rows=tuple(rows),
        total=_cells(total, keys, watching, missing),
        day=day,
        day_title=day_title,
    )


def _cells(
    value: Dict[Any, float], keys: Sequence[Any], watching: bool, missing: bool
) -> Tuple[str, ...]:
    least = "≥ " if value.get(MISSING, 0) >= 0.5 else ""
    cells = [least + number(value.get(key, 0)) for key in keys]
    for key, shown in ((WATCHED, watching), (MISSING, missing)):
        if shown:
            cells.append(duration(value[key]) if value.get(key) else "–")
    return tuple(cells)


def _filled(events: CameraEvents) -> List[Tuple[float, Dict[Any, float]]]:
    """The bins with the holes between them, unless that would be too many rows."""
    known = list(events.table.items())
    width = events.table.width
    if not known or (known[-1][0] - known[0][0]) / width >= MOST_ROWS:
        return known
    by_index = {round(start / width): value for start, value in known}
    return [(i * width, by_index.get(i, {})) for i in range(min(by_index), max(by_index) + 1)]


def _told(width: float, events: CameraEvents) -> Tuple[str, str]:
    zone = events.clock.zone()
    if width >= DAY:
        return "Day by day", f"The run is longer than three days, so days are told. {zone}"
    if width >= HOUR:
        return "Hour by hour", zone
    return (
        "Counts over time",
        f"The run is shorter than two hours, so rows are {duration(width)} long, "
        f"not an hour. {zone}",
    )


def _typical_day(events: CameraEvents, figures: Figures) -> Tuple[Tuple[Bar, ...], str]:
    def rate(key: Any, hour: Dict[Any, float]) -> float:
        hours = hour.get(WATCHED, 0.0) / HOUR
        return hour.get(key, 0) / hours if hours > 0.05 else 0.0

    if not any(WATCHED in hour for hour in events.day):
        return (), ""
    values = [
        (f"{i:02d}–{(i + 1) % 24:02d}", rate(("visitors",), hour))
        for i, hour in enumerate(events.day)
    ]
    busy = [i for i, (_, value) in enumerate(values) if value > 0]
    if not busy:
        return (), ""
    values = values[busy[0] : busy[-1] + 1]
    return tuple(bars(values)), "A typical day: visitors per hour that the camera watched"
