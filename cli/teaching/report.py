"""The page about a lesson: scores of good parts, limits, how the ways to judge compare."""

import base64
from html import escape
from pathlib import Path
from typing import Any, List, Sequence, Tuple

import numpy as np

from ...dashboard import markup
from ...dashboard.plots import Series, figures, line_chart
from ...dashboard.quality import Section, quality_page
from ...pipelines.quality.threshold import Threshold
from ...runtime.files import write_whole
from ...runtime.sources.base import load_cv2
from .checks import Learnt
from .parts import Sample

CELL = 150  # pixels of a picture on the sheet
MOST = 12  # pictures on a sheet

NAMES = {"golden": "Golden sample", "anomaly": "Learnt anomaly"}


def write_lesson(path: Path, lesson: Any, parts: Sequence[Sample], new: Any) -> None:
    """Write the page.

    Args:
        path: Where to.
        lesson: What was taught.
        parts: The good parts, upright.
        new: The version that was written.
    """
    sections = [_summary(lesson)]
    if lesson.surface:
        sections.append(_surface(lesson, parts))
    sections.append(_limits(lesson))
    title = f"{new.label}: what was taught"
    write_whole(path, quality_page(title, sections).encode("utf-8"))


def _section(title: str, body: str) -> Section:
    return Section(title, f'<section class="quality"><h2>{escape(title)}</h2>{body}</section>')


def _summary(lesson: Any) -> Section:
    more = f"{lesson.more_parts} more would prove it" if lesson.more_parts else "proved"
    cards = [
        ("Good parts", str(lesson.good), "that taught", ""),
        ("False rejects", f"{lesson.false_rejects:.2%}", f"wanted; {more}", ""),
        ("At most", f"{lesson.proved:.1%}", "are rejected, with 95 % confidence", ""),
    ]
    if lesson.bad:
        stopped = lesson.bad - len(lesson.missed)
        kind = "verdict-good" if stopped == lesson.bad else "verdict-bad"
        cards.append(("Bad parts", f"{stopped} of {lesson.bad}", "do not pass", kind))
    body = markup.cards(cards) + markup.notices(lesson.warnings)
    if lesson.judged:
        rows = [[name, verdict] for name, verdict in lesson.judged.items()]
        rows.sort(key=lambda row: ("pass", "unsure", "fail").index(row[1]))
        body += markup.block("Bad parts", markup.table(["Part", "Verdict"], rows))
    if lesson.masters:
        rows = [
            [name, f"{told['offset']:+.4g}".replace("-", "−"), f"± {told['doubt']:.2g}"]
            for name, told in lesson.masters.items()
        ]
        head = ["Gauge", "Adds", "Known to (95 %)"]
        body += markup.block("What masters of known size tell", markup.table(head, rows))
    return _section("What was taught", body)


def _surface(lesson: Any, parts: Sequence[Sample]) -> Section:
    rows: List[List[str]] = []
    against = "bad parts" if lesson.bad else "drawn flaws"
    for k, one in enumerate(lesson.surface):
        name = NAMES[one.name]
        if one.skipped:
            rows.append([name, "–", "–", "–", one.skipped])
            continue
        told = "kept" if k == 0 or len(lesson.surface) == 1 else ""
        rows.append([
            name, figures(one.threshold.value, 3), f"{one.caught:.0%}", f"{one.auroc:.3f}", told,
        ])  # fmt: skip
    head = ["Way", "Limit", f"Stops of {against}", "AUROC", ""]
    body = markup.block("How the ways to judge a surface compare", markup.table(head, rows))
    best = lesson.surface[0]
    if not best.skipped:
        body += _scores(best)
        body += markup.block("Good parts, upright", _sheet([p.look.image for p in parts]))
    note = "Scores of good parts are of parts that had no part in what judges them. "
    if best.limits:
        note += "They are shares of the limits below, of which the nearest counts. "
    note += f"{len(best.bad)} {against}."
    return _section("Surface", body + markup.fine(note))


def _scores(one: Learnt) -> str:
    assert one.threshold is not None
    picture = line_chart(
        [Series("good part", one.scores.tolist())],
        [str(k + 1) for k in range(len(one.scores))],
        title="Scores of good parts in the order of their pictures",
        limits=[("limit", one.threshold.value)],
        flags={int(k): "above the limit" for k in np.flatnonzero(one.scores > one.threshold.value)},
        from_zero=True,
    )
    return markup.block("Scores of good parts, in order", markup.scroll(picture))


def _limits(lesson: Any) -> Section:
    rows = []
    for name, t in lesson.thresholds.items():
        rows.append(_row(name, t))
    head = ["Check", "Limit", "Good parts", "Above", "Expected above", "95 %"]
    body = markup.block("Limits that good parts set", markup.table(head, rows))
    body += markup.fine(
        "Expected: the share of further good parts above the limit if they are spread normally "
        "(skew scores by their logarithm, the worst of many places as Gumbel's extremes), and its "
        "interval. Limits of length, width and area are how far they may lie from the median, in "
        "pixels; of colour CIEDE2000; of the difference pixels of full contrast; of the deviation "
        "times what is usual for good parts. Beyond these limits of difference and deviation a "
        "part is unsure, a quarter beyond them it fails."
    )
    return _section("Limits", body)


def _row(name: str, t: Threshold) -> List[str]:
    low, high = t.interval
    return [
        name, figures(t.value, 4), str(t.parts), str(t.above), f"{t.expected:.2%}",
        f"{low:.2%} to {high:.2%}",
    ]  # fmt: skip


def _sheet(images: Sequence[np.ndarray]) -> str:
    """Pictures beside each other, as one."""
    cv2 = load_cv2()
    at = np.linspace(0, len(images) - 1, min(len(images), MOST)).round().astype(int)
    cells: List[Tuple[str, int]] = []
    for k in at:
        image = images[k]
        factor = min(CELL / max(image.shape[:2]) * 1.6, 3.0)
        size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
        cells.append((base64.b64encode(jpeg).decode("ascii"), size[0]))
    return '<p class="sheet">' + " ".join(
        f'<img alt="good part" width="{width}" src="data:image/jpeg;base64,{data}">'
        for data, width in cells
    ) + "</p>"  # fmt: skip
