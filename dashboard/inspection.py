"""Sections on an inspection: verdicts, reasons, control charts, challenges, pictures of rejects."""

import csv
import io
import math
from collections import deque
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional, Tuple

from ..core import DataError, EdgelaneError, Event, StorageError
from ..pipelines.inspection import deciding
from ..pipelines.quality import Rate, capability, individuals, pareto, xbar_r
from ..runtime.files import whole_file, write_whole
from . import markup
from .png import data_uri
from .quality import Section, control_section, pareto_section

MOST_POINTS = 250
"""Latest points of a control chart; its limits are of these."""

MOST_CHARTS = 8
"""Characteristics that have charts in the report; tables have all."""

MOST_PICTURES = 24
"""Latest rejects that are shown."""

MOST_NAMES = 200

Text = Callable[[float], str]


@dataclass
class _Measure:
    """The latest values of one characteristic."""

    unit: str = ""
    limits: Tuple[Optional[float], Optional[float]] = (None, None)
    values: Deque[float] = field(default_factory=lambda: deque(maxlen=MOST_POINTS * 10))
    count: int = 0


class InspectionEvents:
    """What the events of an inspection come to, in bounded memory.

    Args:
        subgroup: Parts in a subgroup of the control charts.
    """

    def __init__(self, subgroup: int = 1) -> None:
        self.subgroup = subgroup
        self.counts = {"pass": 0, "fail": 0, "unsure": 0}
        self.reasons: Dict[str, int] = {}
        self.measures: Dict[str, _Measure] = {}
        self.recipes: Dict[str, int] = {}
        self.challenges: Deque[Tuple[float, Dict[str, Any]]] = deque(maxlen=100)
        self.failed_challenges = 0
        self.unread = 0

    @property
    def total(self) -> int:
        """Parts that were inspected."""
        return sum(self.counts.values())

    def add(self, event: Event) -> None:
        """Take in one event; other kinds are passed over, what cannot be understood is counted."""
        try:
            if event.kind == "verdict":
                self._verdict(event.payload)
            elif event.kind == "challenge":
                self.failed_challenges += not event.payload["passed"]
                self.challenges.append((event.timestamp, event.payload))
        except (KeyError, IndexError, TypeError, ValueError):
            self.unread += 1

    def _verdict(self, payload: Dict[str, Any]) -> None:
        decided = deciding(payload)
        self.counts[payload["verdict"]] += 1
        named = f"{payload.get('recipe', '')} version {payload.get('version', '?')}"
        named += f" ({payload.get('recipe_hash', '')})"
        if named in self.recipes or len(self.recipes) < MOST_NAMES:
            self.recipes[named] = self.recipes.get(named, 0) + 1
        for name in decided:
            if name in self.reasons or len(self.reasons) < MOST_NAMES:
                self.reasons[name] = self.reasons.get(name, 0) + 1
        for reason in payload["reasons"]:
            value, name = reason["value"], str(reason["name"])
            if value is None or reason.get("condition"):
                continue
            measure = self.measures.get(name)
            if measure is None:
                if len(self.measures) >= MOST_NAMES:
                    continue
                measure = self.measures[name] = _Measure()
            low, high = reason["limits"]
            measure.unit, measure.limits = str(reason.get("unit", "")), (low, high)
            measure.values.append(float(value))
            measure.count += 1


def inspection_sections(found: InspectionEvents, when: Text, folder: Path) -> List[Section]:
    """The sections of a run's report; none where nothing was inspected.

    Args:
        found: What its events come to.
        when: Words for a timestamp.
        folder: The run folder, with its pictures of rejects.
    """
    if not found.total and not found.challenges:
        return []
    sections = [_verdicts(found)]
    pictures = _pictures(folder)
    if pictures is not None:
        sections.append(pictures)
    sections.append(pareto_section(pareto(found.reasons)))
    if found.challenges:
        sections.append(_challenges(found, when))
    for name in _charted(found)[:MOST_CHARTS]:
        section = _control(name, found)
        if section is not None:
            sections.append(section)
    return sections


def _section(title: str, body: str, tables: Optional[Dict[str, str]] = None) -> Section:
    html = f'<section class="quality"><h2>{escape(title)}</h2>{body}</section>'
    return Section(title, html, tables or {})


def _verdicts(found: InspectionEvents) -> Section:
    total = found.total
    rate = Rate(found.counts["pass"], total)
    low, high = rate.exact or (0.0, 1.0)
    share = "–" if rate.value is None else f"{rate.value:.1%}"
    bad = "verdict-bad" if found.counts["fail"] else ""
    cards = [
        ("Inspected", str(total), "parts", ""),
        ("Passed", str(found.counts["pass"]), "", "verdict-good"),
        ("Failed", str(found.counts["fail"]), "", bad),
        ("Unsure", str(found.counts["unsure"]), "to be looked at by people",
         "verdict-marginal" if found.counts["unsure"] else ""),
        ("Yield", share, f"{low:.1%} to {high:.1%} (95 %)", ""),
    ]  # fmt: skip
    texts = []
    if found.failed_challenges:
        texts.append(
            f"{found.failed_challenges} times the challenge set did not come out as known."
        )
    if found.unread:
        texts.append(f"{found.unread} events could not be understood.")
    body = markup.cards(cards) + markup.notices(texts)
    body += markup.fine("Judged by " + ", ".join(found.recipes) + ".") if found.recipes else ""
    rows = [[k, v] for k, v in found.counts.items()]
    return _section("Verdicts", body, {"verdicts.csv": markup.csv_text(["verdict", "parts"], rows)})


def _pictures(folder: Path) -> Optional[Section]:
    files = sorted((folder / "rejects").glob("*.jpg"))
    if not files:
        return None
    shown = []
    for path in reversed(files[-MOST_PICTURES:]):
        try:
            uri = data_uri("image/jpeg", path.read_bytes())
        except OSError:  # the run goes on, and its folder makes room
            continue
        serial, _, verdict = path.stem.rpartition("-")
        shown.append(
            f'<figure class="reject {escape(verdict)}"><img loading="lazy" alt="part '
            f'{escape(serial)}, {escape(verdict)}" src="{uri}"><figcaption>{escape(serial)}'
            f" {escape(verdict)}</figcaption></figure>"
        )
    note = f"The latest {len(shown)} of {len(files)} pictures that are kept in the folder rejects."
    body = '<div class="rejects">' + "".join(shown) + "</div>" + markup.fine(note)
    return _section("Parts that did not pass", markup.block("Latest first", body))


def _challenges(found: InspectionEvents, when: Text) -> Section:
    last = found.challenges[-1][1]
    right = last["parts"] - len(last["wrong"])
    state, kind = ("passed", "good") if last["passed"] else ("failed", "bad")
    cards = [
        ("Latest challenge", state, f"{right} of {last['parts']} parts as known",
         f"verdict-{kind}"),
        ("Challenges", str(len(found.challenges)), f"{found.failed_challenges} failed",
         "verdict-bad" if found.failed_challenges else ""),
    ]  # fmt: skip
    head = ["When", "Shift", "Result", "What went wrong"]
    rows, table = [], []
    for stamp, payload in found.challenges:
        moment = payload.get("at", stamp)
        wrong = "; ".join(w["text"] for w in payload["wrong"])
        result = "passed" if payload["passed"] else "failed"
        rows.append([when(stamp), str(payload.get("shift", "")), result, wrong or "–"])
        table.append([moment, payload.get("shift", ""), result, wrong])
    body = markup.cards(cards) + markup.block("Challenges", markup.table(head, rows[-20:]))
    text = markup.csv_text(["unix", "shift", "result", "wrong"], table)
    return _section("Challenge set", body, {"challenges.csv": text})


def _charted(found: InspectionEvents) -> List[str]:
    """Characteristics in the order of the page: those with two limits first."""
    names = [n for n, m in found.measures.items() if len(m.values) >= 2 and any(
        v is not None for v in m.limits)]  # fmt: skip
    return sorted(names, key=lambda n: None in found.measures[n].limits)


def _control(name: str, found: InspectionEvents) -> Optional[Section]:
    measure = found.measures[name]
    size = found.subgroup
    values = list(measure.values)[-MOST_POINTS * size :]
    values = [v for v in values if math.isfinite(v)]
    try:
        charts = individuals(values) if size == 1 else xbar_r(values, size)
    except EdgelaneError:
        return None
    low, high = measure.limits
    capable = None
    try:
        capable = capability(values, low, high, size=size)
    except EdgelaneError:
        capable = None  # too few values, or a count that must be one number: the chart alone
    section = control_section(name, charts, capable, measure.unit)
    if measure.count > len(values):
        note = markup.fine(f"The latest {len(values)} of {measure.count} values.")
        return Section(section.title, section.html.replace("</section>", note + "</section>"),
                       section.tables)  # fmt: skip
    return section


def write_tables(folder: Path, out: Path) -> List[Path]:
    """Write the tables of an inspection's report as CSV, and `parts.csv` with a row for each part.

    Args:
        folder: The run folder.
        out: Folder for the tables.

    Returns:
        The files.

    Raises:
        StorageError: The run cannot be read, or the folder cannot be written.
        DataError: The run is no inspection.
    """
    from ..runtime.journal import Journal

    with Journal(folder / "events.db", readonly=True) as journal:
        found = InspectionEvents(subgroup_of(journal))
        for event in journal.events():
            found.add(event)
        if not found.total:
            raise DataError(
                f"{folder} has no tables", got="no verdicts in its journal",
                expected="the run of a recipe",
            )  # fmt: skip
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{out} cannot be made", got=error.strerror) from None
        written = [_write_parts(out / "parts.csv", journal.events(kind="verdict"), found)]
    for section in [*inspection_sections(found, str, folder), *_others(found)]:
        for name, text in section.tables.items():
            write_whole(out / name, text.encode("utf-8"))
            written.append(out / name)
    return written


def _others(found: InspectionEvents) -> List[Section]:
    """Charts for which the page has no room."""
    sections = [_control(name, found) for name in _charted(found)[MOST_CHARTS:]]
    return [s for s in sections if s is not None]


def _write_parts(path: Path, events: Iterable[Event], found: InspectionEvents) -> Path:
    names = list(found.measures)
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["serial", "time", "verdict", "score", "reasons", "recipe", "version",
                         "recipe_hash", *names])  # fmt: skip
        for event in events:
            payload = event.payload
            values = {r["name"]: r["value"] for r in payload["reasons"]}
            row = [payload["serial"], payload["seen"], payload["verdict"], payload["score"],
                   "; ".join(deciding(payload)), payload.get("recipe"), payload.get("version"),
                   payload.get("recipe_hash"), *(values.get(n) for n in names)]  # fmt: skip
            writer.writerow(["" if v is None else v for v in row])
        text.flush()
        text.detach()
    return path


def subgroup_of(journal: Any) -> int:
    """Parts in a subgroup, as the recipe of a run says."""
    settings = (journal.get("identity") or {}).get("settings") or {}
    for own in settings.values():
        if isinstance(own, dict) and isinstance(own.get("subgroup"), int):
            return int(own["subgroup"])
    return 1
