"""Control charts of one characteristic and what its process can hold, with their tables."""

import math
from html import escape
from typing import Any, Dict, List, Optional, Sequence

from ..pipelines.quality import Capability, ControlCharts
from . import markup
from .plots import Series, histogram, line_chart
from .quality import Section, in_unit, section, with_unit

MOST_SIGNALS = 8
"""Points that break a rule which are listed on the page; the table has all."""

CAPABILITY_HEADER = (
    "characteristic", "unit", "values", "mean", "sigma_within", "sigma_overall", "lower_limit",
    "upper_limit", "outside", "in_control", "normality_p",
    *(f"{index}{end}" for index in ("cp", "cpk", "pp", "ppk") for end in ("", "_low95", "_high95")),
)  # fmt: skip


def control_section(
    name: str,
    charts: ControlCharts,
    capable: Optional[Capability] = None,
    unit: str = "",
    values: Sequence[float] = (),
    score: bool = False,
) -> Section:
    """Control charts of one characteristic, and what the process can hold.

    Args:
        name: The characteristic, e.g. `diameter`; also in the names of the files.
        charts: As `individuals` or `xbar_r` give them.
        capable: As `capability` gives it, if there are limits.
        unit: Of the values, e.g. `mm`.
        values: Single values, for the histogram beside the capability.
        score: Whether it is a score from 0 up, which has no lower control limit and no capability.
    """
    broken = len({s.index for c in (charts.location, charts.spread) for s in c.signals})
    state = "in control" if charts.in_control else "not in control"
    told = (
        "no rule is broken"
        if not broken
        else (f"{markup.count(broken, 'point')} break{'s' if broken == 1 else ''} a rule")
    )
    cards = [("Process", state, told, "verdict-good" if not broken else "verdict-bad")]
    notices = list(charts.warnings)
    if capable is not None:
        for label, index in (("Cp", capable.cp), ("Cpk", capable.cpk), ("Pp", capable.pp),
                             ("Ppk", capable.ppk)):  # fmt: skip
            if index is not None:
                span = f"{index.low:.2f} to {index.high:.2f} (95 %)"
                cards.append((label, f"{index.value:.2f}", span, ""))
        notices += [w for w in capable.warnings if w not in notices]
    body, rows = markup.cards(cards) + markup.notices(notices), []
    if capable is not None and len(values):
        body += _held(capable, values, unit)
    for chart in (charts.location, charts.spread):
        flags: Dict[int, str] = {}
        for s in chart.signals:
            flags[s.index] = "; ".join(filter(None, [flags.get(s.index), s.text]))
        limits = [("upper", chart.upper)]
        located = chart is charts.location
        if (located and not (score and chart.lower < 0)) or chart.lower > 0:
            limits.append(("lower", chart.lower))
        picture = line_chart(
            [Series("point", chart.values.tolist())],
            [str(i + 1) for i in range(len(chart.values))],
            title=f"Control chart of {chart.name}",
            centre=chart.centre,
            limits=limits,
            flags=flags,
            from_zero=not located or score,
            slim=True,
        )
        heading = chart.name[0].upper() + chart.name[1:] + in_unit(unit)
        listed = [f"<li>point {i + 1}: {escape(w)}</li>" for i, w in flags.items()]
        if len(listed) > MOST_SIGNALS:
            rest = len(listed) - MOST_SIGNALS
            listed[MOST_SIGNALS:] = [f"<li>and {rest} more, in the table</li>"]
        block = markup.scroll(picture)
        block += f'<ul class="fine">{"".join(listed)}</ul>' if flags else ""
        body += markup.block(heading, block)
        rows += [
            [chart.name, i + 1, None if math.isnan(v) else v, unit, chart.centre, chart.lower,
             chart.upper, flags.get(i, "")]
            for i, v in enumerate(chart.values.tolist())
        ]  # fmt: skip
    body += markup.fine(_explained(charts, score))
    header = ["chart", "point", "value", "unit", "centre", "lower", "upper", "signals"]
    table = markup.csv_text(header, rows)
    return section(f"Control of {name}", body, {f"{file_name(name)}-control.csv": table})


def capability_row(name: str, unit: str, found: Capability, in_control: bool) -> List[Any]:
    """A row under `CAPABILITY_HEADER`."""
    row: List[Any] = [
        name, unit, found.n, found.mean, found.sigma_within, found.sigma_overall, found.lower,
        found.upper, found.outside, "yes" if in_control else "no", found.normality_p,
    ]  # fmt: skip
    for index in (found.cp, found.cpk, found.pp, found.ppk):
        row += [None] * 3 if index is None else [index.value, index.low, index.high]
    return row


def _held(found: Capability, values: Sequence[float], unit: str) -> str:
    """The values against the tolerance: a histogram, and the figures that the indices are of."""
    limits = [(n, v) for n, v in (("lower", found.lower), ("upper", found.upper)) if v is not None]
    picture = histogram(values, limits, found.mean, found.sigma_overall, "Values and tolerance")
    facts = [("Values", str(found.n)), ("Mean", with_unit(found.mean, unit))]
    facts += [(f"Tolerance, {n} limit", with_unit(v, unit)) for n, v in limits]
    facts += [
        ("Standard deviation within", with_unit(found.sigma_within, unit)),
        ("Standard deviation overall", with_unit(found.sigma_overall, unit)),
        ("Outside the tolerance", markup.count(found.outside, "value")),
    ]
    if found.normality_p is not None:
        p = found.normality_p
        facts.append(("Normality (Anderson–Darling)", f"p {'< 0.001' if p < 1e-3 else f'{p:.3f}'}"))
    return (
        '<div class="pair">'
        + markup.block(f"Values and tolerance{in_unit(unit)}", markup.scroll(picture))
        + markup.block("What the indices are of", markup.facts(facts))
        + "</div>"
    )


def _explained(charts: ControlCharts, score: bool) -> str:
    points = "one part" if charts.size == 1 else f"{charts.size} parts in turn"
    text = (
        f"Each point is of {points}. Dashed are control limits, three standard deviations from the "
        "mean by what varies from part to part; they are not the tolerance."
    )
    if score:
        text += " This is a score, not a measured size: no capability is told of it."
    return text


def file_name(name: str) -> str:
    """A name that every file system takes."""
    kept = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
    return kept[:60] or "values"
