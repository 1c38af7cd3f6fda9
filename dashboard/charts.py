"""Numbers in, shapes for the template out: SVG paths in a box of 1000 by 100, places in percent."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .series import DAY, Bins, Level, Spread
from .words import TIME_STEPS, Clock, duration, edge, number, plural, ticks

WIDTH, HEIGHT = 1000.0, 100.0

COUNT_TICKS = tuple(m * 10**e for e in range(9) for m in (1.0, 2.0, 5.0))

DWELL_EDGES = (
    *(0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
    *(3600.0, 7200.0, 14400.0),
)
"""Edges of the dwell histogram in seconds; the last bin has no end."""


@dataclass(frozen=True)
class Mark:
    """A label of an axis and its place in percent."""

    place: float
    text: str


@dataclass(frozen=True)
class Slot:
    """One bin of a chart: left edge, width (of 1000) and what a reader who points at it is told."""

    left: str
    width: str
    text: str


@dataclass(frozen=True)
class TimeChart:
    """A quantity over time.

    Attributes:
        title: What it shows.
        area: SVG path of the filled mean or count.
        line: SVG path of the highest values; empty where there is none.
        slots: Bins, for what is told on pointing at them.
        x: Marks of the time axis.
        y: Marks of the value axis, from the bottom.
        gaps: `(left, width)` of times without pictures.
        note: One sentence that says the same in words.
    """

    title: str
    area: str
    line: str
    slots: Tuple[Slot, ...]
    x: Tuple[Mark, ...]
    y: Tuple[Mark, ...]
    gaps: Tuple[Tuple[str, str], ...]
    note: str


def occupancy_charts(
    series: Sequence[Tuple[str, Bins[Level]]],
    clock: Clock,
    gaps: Sequence[Tuple[float, float, str]] = (),
) -> List[TimeChart]:
    """One chart for the scene and each zone, over the same time axis and with the same bins."""
    series = [(name, bins) for name, bins in series if len(bins)]
    if not series:
        return []
    width = max(bins.width for _, bins in series)
    for _, bins in series:
        bins.widen(width)
    width = max(bins.width for _, bins in series)
    low = min(next(iter(bins.items()))[0] for _, bins in series)
    high = max(list(bins.items())[-1][0] for _, bins in series) + width
    charts = []
    for name, bins in series:
        values = list(bins.items())
        top = max(level.highest for _, level in values)
        start, level = max(values, key=lambda v: (v[1].highest, v[1].mean))
        mean = sum(v.area for _, v in values) / (sum(v.seconds for _, v in values) or 1.0)
        note = f"On average {number(mean, 1)}, at most {number(top)} at once"
        if top:
            note += f" ({clock.text(start, width)})"
        charts.append(
            _time_chart(
                name,
                [(s, v.mean, v.highest, _level_text(v)) for s, v in values],
                (low, high, width),
                clock,
                gaps,
                note + ".",
            )
        )
    return charts


def count_chart(title: str, bins: Bins[Dict[Any, float]], clock: Clock) -> Optional[TimeChart]:
    """How many events came in each bin; None where one bin holds all."""
    values = [(start, value.get("", 0)) for start, value in bins.items()]
    if len(values) < 2:
        return None
    low, high = values[0][0], values[-1][0] + bins.width
    rows = [(start, count, None, plural(count, "event")) for start, count in values]
    note = f"Each step is {duration(bins.width)}."
    return _time_chart(title, rows, (low, high, bins.width), clock, (), note)


def _level_text(level: Level) -> str:
    return f"{number(level.mean, 1)} on average, {number(level.highest)} at most"


def _time_chart(
    title: str,
    rows: Sequence[Tuple[float, float, Optional[float], str]],
    span: Tuple[float, float, float],
    clock: Clock,
    gaps: Sequence[Tuple[float, float, str]],
    note: str,
) -> TimeChart:
    low, high, width = span
    top = max(max(mean, highest or 0.0) for _, mean, highest, _ in rows)
    y_ticks = ticks(0.0, max(top, 1.0), COUNT_TICKS, 5)
    top = max(top, y_ticks[-1], 1.0) * 1.06

    def x(time: float) -> float:
        return min(WIDTH, max(0.0, (time - low) / (high - low) * WIDTH))

    def y(value: float) -> float:
        return HEIGHT * (1.0 - value / top)

    area, line, last = [], [], None
    for start, mean, highest, _ in rows:
        left, right = _short(x(start)), _short(x(start + width))
        area.append(f"M{left} {HEIGHT:g}V{_short(y(mean))}H{right}V{HEIGHT:g}Z")
        if highest is not None:
            joined = last is not None and abs(start - last) < width * 1e-6
            line.append(f"{'V' if joined else f'M{left} '}{_short(y(highest))}H{right}")
        last = start + width
    shades = []
    for begin, end, _ in gaps:
        if end > low and begin < high:
            shades.append((_short(x(begin)), _short(max(2.0, x(end) - x(begin)))))
    return TimeChart(
        title=title,
        area="".join(area),
        line="".join(line),
        slots=tuple(
            Slot(
                _short(x(start)),
                _short(x(start + width) - x(start)),
                f"{_from_to(clock, start, width)}: {text}",
            )
            for start, _, _, text in rows
        ),
        x=time_marks(low, high, clock),
        y=tuple(Mark(round(100 * v / top, 2), number(v)) for v in y_ticks),
        gaps=tuple(shades),
        note=note,
    )


def _from_to(clock: Clock, start: float, width: float) -> str:
    if width >= DAY:
        return clock.text(start, width)
    return f"{clock.text(start, width)} – {clock.short(start + width, min(width, 3600.0))}"


def time_marks(low: float, high: float, clock: Clock) -> Tuple[Mark, ...]:
    """Marks of a time axis from `low` to `high` in seconds."""
    steps = TIME_STEPS
    if high - low > 1.5 * DAY:
        steps = tuple(s for s in steps if s >= DAY)
    at = ticks(low, high, steps)
    step = at[1] - at[0] if len(at) > 1 else min(high - low, 60.0)
    return tuple(Mark(round(100 * (t - low) / (high - low), 2), clock.short(t, step)) for t in at)


@dataclass(frozen=True)
class Bar:
    """One bar of a chart, its length in percent of the longest."""

    text: str
    value: float
    share: float


def bars(values: Sequence[Tuple[str, float]]) -> List[Bar]:
    """Bars for named values, in the order given."""
    top = max((v for _, v in values), default=0.0)
    return [Bar(name, v, round(100.0 * v / top, 2) if top > 0 else 0.0) for name, v in values]


def dwell_bars(spread: Spread) -> List[Bar]:
    """How many visits lasted how long, without the empty bins at both ends."""
    found = spread.histogram(DWELL_EDGES)
    used = [i for i, count in enumerate(found) if count]
    if not used:
        return []
    rows = []
    for i in range(used[0], used[-1] + 1):
        if i + 1 == len(DWELL_EDGES):
            text = f"{edge(DWELL_EDGES[i])} or more"
        else:
            low, high = edge(DWELL_EDGES[i]), edge(DWELL_EDGES[i + 1])
            same = low.split()[-1] == high.split()[-1]
            text = f"{low.split()[0] if same else low} – {high}"
        rows.append((text, float(found[i])))
    return bars(rows)


def _short(value: float) -> str:
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text
