"""Charts of quality as inline SVG: numbers in, markup out, coloured by the page's style sheet."""

import math
from dataclasses import dataclass
from html import escape
from typing import Dict, List, Optional, Sequence, Tuple

WIDTH, HEIGHT = 760, 250
HALF = 470
"""Width of a chart that has half of the page."""
WIDEST = 150
"""Of a column."""
LEFT, RIGHT, TOP, BOTTOM = 66, 118, 14, 32
MOST_MARKS = 300
"""Points beyond which only flagged ones get a mark of their own."""

SERIES = 4
"""Styles of line there are; further series begin anew."""


@dataclass(frozen=True)
class Series:
    """A line of a chart; NaN breaks it."""

    name: str
    values: Sequence[float]


def figures(value: Optional[float], digits: int = 4) -> str:
    """A number to so many figures, with a true minus sign, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-6 < abs(value) < 1e7:
        text = f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return text.replace("-", "−")


def line_chart(
    series: Sequence[Series],
    labels: Sequence[str],
    *,
    title: str,
    centre: Optional[float] = None,
    limits: Sequence[Tuple[str, float]] = (),
    flags: Optional[Dict[int, str]] = None,
    groups: Sequence[Tuple[int, str]] = (),
    from_zero: bool = False,
    slim: bool = False,
) -> str:
    """A chart of values in order, as an `<svg>`.

    Args:
        series: Lines over the same places.
        labels: Of each place, e.g. the part or the number of the subgroup.
        title: What it shows, for who cannot see it.
        centre: A thin line, if any.
        limits: Name and value of dashed lines.
        flags: What is wrong at which place of the first series.
        groups: First place and name of parts of the axis, which lines keep apart.
        from_zero: Whether the axis begins at 0, as it should for ranges.
        slim: Whether its labels are short enough to be drawn larger where the page is narrow.
    """
    count = len(labels)
    shown = [v for s in series for v in s.values if math.isfinite(v)]
    shown += [v for _, v in limits] + ([] if centre is None else [centre])
    low, high, steps = _scale(shown + [0.0] * from_zero)
    low = 0.0 if from_zero else low
    steps = [v for v in steps if v >= low]
    # A limit is read to a tenth of a step, or it would not be where its line is.
    digits = max(0, 1 - math.floor(math.log10(steps[1] - steps[0]) + 1e-9))
    right = RIGHT if limits or centre is not None else 16
    starts = {start for start, _ in groups}

    def x(place: float) -> float:
        return LEFT + (WIDTH - LEFT - right) * (place + 0.5) / max(count, 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    out = [_open(title, kind="chart slim" if slim else "chart")]
    for v in steps:
        out.append(_line("grid", LEFT, y(v), WIDTH - right, y(v)))
        out.append(_text(LEFT - 8, y(v) + 4, figures(v), "end"))
    for start, _ in groups[1:]:
        out.append(_line("grid", x(start - 0.5), TOP, x(start - 0.5), HEIGHT - BOTTOM))
    out.append(_line("axis", LEFT, HEIGHT - BOTTOM, WIDTH - right, HEIGHT - BOTTOM))
    named: List[Tuple[str, float]] = list(limits)
    if centre is not None:
        out.append(_line("centre", LEFT, y(centre), WIDTH - right, y(centre)))
        named.append(("mean", centre))
    for _, value in limits:
        out.append(_line("limit", LEFT, y(value), WIDTH - right, y(value)))
    places = _apart([(y(v), f"{name} {v:.{digits}f}".replace("-", "−")) for name, v in named])
    out.extend(_text(WIDTH - right + 8, at + 4, text, "start", "named") for at, text in places)
    for number, line in enumerate(series):
        style = number % SERIES
        out.append(f'<path class="run s{style}" d="{_path(line.values, x, y, starts)}"/>')
        if count <= MOST_MARKS:
            size = 3 if count <= 80 else 1.8
            out.extend(
                f'<circle class="p{style}" cx="{x(i):.1f}" cy="{y(v):.1f}" r="{size}">'
                f"<title>{escape(_tip(line.name, labels[i], v))}</title></circle>"
                for i, v in enumerate(line.values)
                if math.isfinite(v)
            )
    for i, why in (flags or {}).items():
        tip = _tip(series[0].name, labels[i], series[0].values[i]) + f": {why}"
        out.append(
            f'<circle class="flag" cx="{x(i):.1f}" cy="{y(series[0].values[i]):.1f}" r="4.5">'
            f"<title>{escape(tip)}</title></circle>"
        )
    if groups:
        ends = [start for start, _ in groups[1:]] + [count]
        for (start, name), end in zip(groups, ends):
            room = (WIDTH - LEFT - right) * (end - start) / count
            out.append(_text(x((start + end - 1) / 2), HEIGHT - 10, _cut(name, room), "middle"))
    else:
        out.extend(_axis(labels, x, right))
    return "".join(out) + "</svg>"


def column_chart(
    columns: Sequence[Tuple[str, float, bool]], shares: Sequence[float], title: str
) -> str:
    """Columns with the line of their running share, as an `<svg>`.

    Args:
        columns: Name, value and whether it stands out.
        shares: Running share up to each column, 0 to 1.
        title: What it shows, for who cannot see it.
    """
    # Both axes end at the total, so that the line begins at the top of the first column.
    total = sum(value for _, value, _ in columns)
    _, high, steps = _scale([0.0, total])
    low, room = 0.0, min((WIDTH - LEFT - RIGHT) / max(len(columns), 1), WIDEST)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    out = [_open(title)]
    for v in steps:
        if v >= 0 and v == int(v):
            out.append(_line("grid", LEFT, y(v), WIDTH - RIGHT, y(v)))
            out.append(_text(LEFT - 8, y(v) + 4, figures(v), "end"))
    for i, (name, value, vital) in enumerate(columns):
        kind = "tall-bar vital" if vital else "tall-bar"
        left, top = LEFT + room * (i + 0.12), y(value)
        out.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{room * 0.76:.1f}" '
            f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{escape(name)}: {value:g}</title></rect>'
        )
        out.append(_text(left + room * 0.38, HEIGHT - 12, _cut(name, room), "middle"))
    points = [(LEFT + room * (i + 0.5), y(s * total)) for i, s in enumerate(shares)]
    path = "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
    out.append(_line("axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM))
    out.append(f'<path class="run s1" d="M{path}"/>' if points else "")
    for (px, py), share in zip(points, shares):
        out.append(
            f'<circle class="p1" cx="{px:.1f}" cy="{py:.1f}" r="3">'
            f"<title>up to here {share:.0%}</title></circle>"
        )
    for share in (0, 0.5, 1):
        out.append(_text(WIDTH - RIGHT + 8, y(share * total) + 4, f"{share:.0%}", "start"))
    return "".join(out) + "</svg>"


def histogram(
    values: Sequence[float],
    limits: Sequence[Tuple[str, float]],
    mean: float,
    sigma: float,
    title: str,
) -> str:
    """Values by how often they came, with limits and the normal curve, as an `<svg>`.

    Args:
        values: Finite numbers.
        limits: Name and value of dashed lines.
        mean: Of the normal curve.
        sigma: Its standard deviation, above 0.
        title: What it shows, for who cannot see it.
    """
    low, high, steps = _scale([*values, *(v for _, v in limits), mean - 3 * sigma,
                               mean + 3 * sigma])  # fmt: skip
    # Square root of n bins over the values, as wide all the way.
    span = max(max(values) - min(values), 1e-12 * max(abs(high), abs(low)))
    width = max(span / max(math.sqrt(len(values)), 1), (high - low) / 120)
    first = math.floor((min(values) - low) / width)
    counts = [0] * (math.floor((max(values) - low) / width) - first + 1)
    for v in values:
        counts[math.floor((v - low) / width) - first] += 1
    peak = len(values) * width / (sigma * math.sqrt(2 * math.pi))
    top = 1.08 * max(max(counts), peak)
    head = TOP + 22  # names of limits stand above

    def x(value: float) -> float:
        return 16 + (HALF - 32) * (value - low) / (high - low)

    def y(value: float) -> float:
        return head + (HEIGHT - head - BOTTOM) * (1 - value / top)

    out = [_open(title, HALF, "chart half")]
    for k, count in enumerate(counts):
        if count:
            left, right = x(low + (first + k) * width), x(low + (first + k + 1) * width)
            out.append(
                f'<rect class="tall-bar" x="{left + 0.5:.1f}" y="{y(count):.1f}" '
                f'width="{max(right - left - 1, 1):.1f}" height="{y(0) - y(count):.1f}">'
                f"<title>{count} from {figures(low + (first + k) * width)}</title></rect>"
            )
    at = [mean + sigma * (k / 10 - 3.5) for k in range(71)]
    curve = [(x(v), y(peak * math.exp(-0.5 * ((v - mean) / sigma) ** 2))) for v in at]
    path = "L".join(f"{px:.1f} {py:.1f}" for px, py in curve if 0 <= px <= HALF)
    out.append(f'<path class="run s1" d="M{path}"/>')
    out.append(_line("axis", 16, y(0), HALF - 16, y(0)))
    out.extend(_text(x(v), HEIGHT - 10, figures(v), "middle") for v in steps)
    for name, value in limits:
        out.append(_line("limit", x(value), head - 6, x(value), y(0)))
        anchor = "start" if x(value) < HALF / 2 else "end"
        out.append(_text(x(value), TOP + 6, f"{name} {figures(value)}", anchor, "named"))
    return "".join(out) + "</svg>"


def _open(title: str, width: int = WIDTH, kind: str = "chart") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
    )


def _scale(values: Sequence[float]) -> Tuple[float, float, List[float]]:
    """Ends of an axis around the values, and some four round values between them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    # Spans below what a float resolves would make no axis.
    least = max(abs(low), abs(high)) * 1e-9 or 1e-9
    if high - low < least:
        low, high = low - max(least, abs(low) * 0.01), high + max(least, abs(high) * 0.01)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough * 0.999)
    edge = (high - low) * 0.06
    low, high = low - edge, high + edge
    first = math.ceil(low / step)
    return low, high, [i * step for i in range(first, math.floor(high / step) + 1)]


def _path(values: Sequence[float], x, y, starts) -> str:
    out, broken = [], True
    for i, v in enumerate(values):
        if not math.isfinite(v):
            broken = True
            continue
        out.append(f"{'M' if broken or i in starts else 'L'}{x(i):.1f} {y(v):.1f}")
        broken = False
    return "".join(out)


def _axis(labels: Sequence[str], x, right: float) -> List[str]:
    every = max(1, math.ceil(len(labels) / 12))
    room = every * (WIDTH - LEFT - right) / max(len(labels), 1)
    return [
        _text(x(i), HEIGHT - 12, _cut(labels[i], room), "middle")
        for i in range(0, len(labels), every)
    ]


def _apart(places: Sequence[Tuple[float, str]], gap: float = 15.0) -> List[Tuple[float, str]]:
    """Labels moved down until none covers another, then up from the lower end."""
    out: List[Tuple[float, str]] = []
    for at, text in sorted(places):
        out.append((max(at, out[-1][0] + gap) if out else at, text))
    floor = float(HEIGHT - 12)
    for i in range(len(out) - 1, -1, -1):
        out[i] = (min(out[i][0], floor), out[i][1])
        floor = out[i][0] - gap
    return out


def _cut(text: str, room: float) -> str:
    most = max(1, int(room / 7.5))
    return text if len(text) <= most else text[: most - 1] + "…"


def _tip(name: str, label: str, value: float) -> str:
    return f"{name} {label}: {figures(value, 6)}"


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
