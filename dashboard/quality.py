"""Sections of a page on quality: studies, reasons, challenges, with their CSV; and the page."""

import pkgutil
from dataclasses import dataclass, field
from html import escape
from pathlib import PurePosixPath
from typing import Any, Dict, List, Optional, Sequence

from ..core import StorageError
from ..pipelines.quality import (
    AttributeStudy,
    ChallengeResult,
    GaugeStudy,
    Rate,
    Reason,
    Study,
)
from ..pipelines.quality.constants import range_limits
from . import markup
from .plots import Series, column_chart, figures, line_chart

NAMES = {
    "gauge": "gauge (R&R)",
    "repeatability": "repeatability",
    "reproducibility": "reproducibility",
    "operator": "– operator",
    "interaction": "– operator × part",
    "part": "part to part",
    "total": "total",
}

MEANING = {
    "good": "The gauge may be used.",
    "marginal": "The gauge may do, depending on what it decides and what a better one costs.",
    "bad": "The gauge needs work before it decides anything.",
}

AGREEMENT = {
    "good": "The verdicts may be relied on.",
    "marginal": "The verdicts may do, and want improvement.",
    "bad": "The verdicts are not to be relied on yet.",
}


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: Its heading.
        html: Its markup, `<section>` and all, for a page with `style()`.
        tables: CSV text by the name of its file.
    """

    title: str
    html: str
    tables: Dict[str, str] = field(default_factory=dict)


def gauge_section(study: Study, found: GaugeStudy, unit: str = "") -> Section:
    """A gauge study: the verdict, what varies, how operators see parts, how well they repeat."""
    gauge, basis = found.components["gauge"], "of the total variation"
    if found.tolerance is not None:
        basis = f"of the tolerance of {with_unit(found.tolerance, unit)}"
    ndc = "no limit" if found.ndc is None else str(found.ndc)
    cards = [
        ("Verdict", found.verdict, MEANING[found.verdict], f"verdict-{found.verdict}"),
        ("%GRR", f"{figures(found.grr, 3)} %", basis, ""),
        ("Categories (ndc)", ndc, "5 or more are wanted", ""),
    ]
    if found.tolerance is not None:
        cards.insert(2, ("%GRR", f"{figures(gauge.of_total, 3)} %", "of the total variation", ""))
    head = ["Source", "Standard deviation", "% of total", "% of tolerance", "% contribution"]
    rows = [
        [NAMES[c.name], figures(c.sd), _one(c.of_total), _one(c.of_tolerance), _one(c.contribution)]
        for c in found.components.values()
    ]
    bars = [
        (NAMES[name], found.components[name].of_total)
        for name in ("gauge", "repeatability", "reproducibility", "part")
        if name in found.components
    ]
    values, means = study.values, study.values.mean(2)
    shares = markup.bars(bars, " %")
    by_part = markup.legend(study.operators) + markup.scroll(
        line_chart(
            [Series(name, means[:, i].tolist()) for i, name in enumerate(study.operators)],
            study.parts,
            title="Mean of each part by operator",
        )
    )
    ranges = (values.max(2) - values.min(2)).T.ravel()
    parts = len(study.parts)
    mean = float(ranges.mean())
    limit = range_limits(values.shape[2])[1] * mean
    spread = markup.scroll(
        line_chart(
            [Series("range of part", ranges.tolist())],
            list(study.parts) * len(study.operators),
            title="Range of the trials, by operator and part",
            centre=mean,
            limits=[("limit", limit)],
            flags={i: "beyond its limit" for i, v in enumerate(ranges) if v > limit * (1 + 1e-9)},
            from_zero=True,
            groups=[(i * parts, name) for i, name in enumerate(study.operators)],
        )
    )
    p, o, r = found.size
    how = "analysis of variance" if found.method == "anova" else "averages and ranges"
    size = f"{p} parts, {o} operators, {r} trials" if o > 1 else f"{p} parts, {r} trials"
    body = (
        markup.cards(cards)
        + markup.notices(found.warnings)
        + '<div class="pair">'
        + markup.block("What the variation is made of", shares)
        + markup.block("Components of variation", markup.table(head, rows))
        + "</div>"
        + markup.block(f"What the operators find{in_unit(unit)}", by_part)
        + markup.block(f"How far the trials lie apart{in_unit(unit)}", spread)
        + markup.fine(f"{size}, by {how}" + (", interaction pooled." if found.pooled else "."))
    )
    tables = {
        "grr.csv": markup.csv_text(
            ["source", "variance", "sd", "of_total_percent", "of_tolerance_percent",
             "contribution_percent"],
            [[c.name, c.variance, c.sd, c.of_total, c.of_tolerance, c.contribution]
             for c in found.components.values()],
        )
    }  # fmt: skip
    if found.anova:
        tables["anova.csv"] = markup.csv_text(
            ["source", "degrees", "squares", "mean_square", "f", "p"],
            [[s.name, s.degrees, s.squares, s.mean_square, s.f, s.p] for s in found.anova],
        )
    return section("Gauge R&R", body, tables)


def attribute_section(found: AttributeStudy) -> Section:
    """An attribute study: agreement, misses and false alarms, with their intervals."""
    p, o, r = found.size
    worst = [w.name for w in found.operators if w.verdict == found.verdict]
    whose = f" {', '.join(worst)}." if found.verdict != "good" and o > 1 and worst else ""
    cards = [
        ("Verdict", found.verdict, AGREEMENT[found.verdict] + whose, f"verdict-{found.verdict}"),
        ("Fleiss' kappa", _kappa(found.fleiss), "of all verdicts on a part", ""),
        ("All agree", _percent(found.agreed), _interval(found.agreed) + " of parts", ""),
    ]
    if found.effective is not None:
        cards.append(
            (
                "All are right",
                _percent(found.effective),
                _interval(found.effective) + " of parts",
                "",
            )
        )
    head = ["Operator", "Kappa with the truth", "Kappa of trials", "Effective", "Misses",
            "False alarms", "Verdict"]  # fmt: skip
    rows = [
        [w.name, _kappa(w.kappa), _kappa(w.within), _told(w.effective), _told(w.miss),
         _told(w.false_alarm), w.verdict or "–"]
        for w in found.operators
    ]  # fmt: skip
    body = markup.cards(cards) + markup.notices(found.warnings)
    body += markup.block("Each operator", markup.table(head, rows))
    if found.between:
        pairs = [[f"{a} and {b}", _kappa(k)] for a, b, k in found.between]
        body += markup.block(
            "Operators with each other", markup.table(["Pair", "Cohen's kappa"], pairs)
        )
    size = f"{markup.count(o, 'operator')}, {markup.count(r, 'trial')}"
    body += markup.fine(
        "Good is effective on 90 % of parts, with 2 % of misses and 5 % of false alarms at most; "
        "marginal 80, 5 and 10 % (AIAG, Measurement Systems Analysis, 4th ed.). Kappa above 0.75 "
        "is good agreement, below 0.40 poor."
    )
    body += markup.fine(
        f"{p} parts, {size}. Intervals of 95 %, Clopper and Pearson's; trials of one part hang "
        "together, so those of misses and false alarms are rather too narrow."
    )
    parts = ("effective", "miss", "false_alarm")
    header = ["operator", "kappa_reference", "kappa_within"]
    header += [f"{name}_{what}" for name in parts for what in ("count", "total", "low", "high")]
    lines = [
        [w.name, w.kappa, w.within, *(c for name in parts for c in _cells(getattr(w, name)))]
        for w in found.operators
    ]
    tables = {"attribute.csv": markup.csv_text([*header, "verdict"], [
        [*line, w.verdict] for line, w in zip(lines, found.operators)
    ])}  # fmt: skip
    return section("Agreement of verdicts", body, tables)


def pareto_section(reasons: Sequence[Reason]) -> Section:
    """Why parts were stopped, the most frequent first; past ten the rest are one column."""
    rows = [[r.name, r.count, r.share, r.cumulative] for r in reasons]
    tables = {"reasons.csv": markup.csv_text(["reason", "count", "share", "cumulative"], rows)}
    if not reasons:
        return section("Reasons", '<p class="empty">No part was stopped.</p>', tables)
    columns = [(r.name, float(r.count), r.vital) for r in reasons[:10]]
    shares = [r.cumulative for r in reasons[:10]]
    if len(reasons) > 10:
        rest = sum(r.count for r in reasons[10:])
        columns.append((f"{len(reasons) - 10} others", float(rest), False))
        shares.append(1.0)
    vital = [r for r in reasons if r.vital]
    note = f"{vital[-1].cumulative:.0%} come from {len(vital)} of {len(reasons)} reasons (dark)."
    if len(vital) == len(reasons):
        note = "How often each reason was given, and the share up to it."
    picture = markup.scroll(column_chart(columns, shares, "Reasons by how often they were given"))
    return section(
        "Reasons", markup.block("Why parts were stopped", picture + markup.fine(note)), tables
    )


def challenge_section(result: ChallengeResult, operator: str = "recipe") -> Section:
    """Whether the challenge set came out as known, and what was said of each part.

    Args:
        result: Of the challenge.
        operator: Who judged, in the table, which a study of agreement can read.
    """
    right = result.parts - len(result.wrong)
    state, kind = ("passed", "good") if result.passed else ("failed", "bad")
    told = f"{right} of {result.parts} parts came out as known"
    cards = [("Challenge set", state, told, f"verdict-{kind}")]
    cards += [
        (name, f"{rate.count} of {rate.total}", _interval(rate) + " (95 %)", "")
        for name, rate in (("Misses", result.miss), ("False alarms", result.false_alarm))
        if rate.total
    ]
    kinds = {w.part: w.kind for w in result.wrong}
    rows = [
        [part, should, had or "–", kinds.get(part, "as known")]
        for part, should, had in result.verdicts
    ]
    rows.sort(key=lambda row: row[3] == "as known")
    head = ["Part", "Should be", "Was", "That is"]
    body = markup.cards(cards)
    body += markup.block("The parts", f'<div class="told">{markup.table(head, rows)}</div>')
    if result.unknown:
        body += markup.fine("Not of the set: " + ", ".join(result.unknown) + ".")
    names = [PurePosixPath(part).stem for part, _, _ in result.verdicts]
    if len(set(names)) < len(names):
        names = [part for part, _, _ in result.verdicts]  # pass/01.png and fail/01.png
    table = [
        [name, operator, 1, had, should, kinds.get(part, "")]
        for name, (part, should, had) in zip(names, result.verdicts)
    ]
    header = ["part", "operator", "trial", "verdict", "reference", "kind"]
    return section("Challenge", body, {"challenge.csv": markup.csv_text(header, table)})


def quality_page(title: str, sections: Sequence[Section]) -> str:
    """A page of its own, which opens offline and asks nothing of any network."""
    name = escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta name="generator" content="edgelane">\n<title>{name}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>\n{style()}</style>\n'
        f"</head>\n<body>\n<header><h1>{name}</h1></header>\n<main>\n"
        + "\n".join(s.html for s in sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def style() -> str:
    """The style sheet of the sections: the report's, and what charts add to it."""
    found = [pkgutil.get_data(__package__ or __name__, n) for n in ("report.css", "quality.css")]
    if None in found:
        raise StorageError(
            "a style sheet is missing from the package", remedy="install edgelane anew"
        )
    return "".join(text.decode("utf-8") for text in found if text)


def section(title: str, body: str, tables: Optional[Dict[str, str]] = None) -> Section:
    """A section of a heading and blocks."""
    html = f'<section class="quality"><h2>{escape(title)}</h2>{body}</section>'
    return Section(title, html, tables or {})


def in_unit(unit: str) -> str:
    """The end of a heading of values in a unit."""
    return f", in {unit}" if unit else ""


def with_unit(value: float, unit: str) -> str:
    """A number and its unit."""
    return figures(value) + (f" {unit}" if unit else "")


def _one(percent: Optional[float]) -> str:
    return "–" if percent is None else f"{percent:.1f}"


def _kappa(value: Optional[float]) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _percent(rate: Rate) -> str:
    return "–" if rate.value is None else f"{100 * rate.value:.0f} %"


def _interval(rate: Rate) -> str:
    ends = rate.exact
    return "nothing" if ends is None else f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"


def _told(rate: Optional[Rate]) -> str:
    if rate is None or rate.value is None:
        return "–"
    return f"{100 * rate.value:.1f} % ({rate.count}/{rate.total}; {_interval(rate)})"


def _cells(rate: Optional[Rate]) -> List[Any]:
    if rate is None:
        return [None] * 4
    low, high = rate.exact or (None, None)
    return [rate.count, rate.total, low, high]
