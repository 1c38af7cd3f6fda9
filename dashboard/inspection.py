"""Sections on an inspection: verdicts, reasons, control charts, challenges, pictures of rejects."""

import csv
import io
import math
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional, Tuple

import numpy as np

from ..core import DataError, EdgelaneError, Event, StorageError
from ..pipelines.inspection import deciding
from ..pipelines.quality import (
    AttributeStudy,
    Capability,
    ControlCharts,
    Judgements,
    Rate,
    attribute_study,
    capability,
    individuals,
    pareto,
    xbar_r,
)
from ..runtime.files import whole_file, write_whole
from . import markup
from .control import CAPABILITY_HEADER, capability_row, control_section
from .quality import Section, pareto_section, section
from .rejects import Rejects, hashes_of, kept_picture, rejects_section

MOST_POINTS = 250
"""Latest points of a control chart; its limits are of these."""

MOST_CHARTS = 8
"""Characteristics that have charts in the report; tables have all."""

SCORES = ("difference", "deviation", "anomaly", "classifier")
"""Characteristics that are scores of a check: they have a limit, and no tolerance."""

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
        self.rejects = Rejects()
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
        named = f"{payload.get('recipe', '')} version {payload.get('version', '?')}"
        named += f" ({payload.get('recipe_hash', '')}"
        named += "".join(f"; {text}" for text in hashes_of(payload).values() if text) + ")"
        self.rejects.add(payload, named)
        self.counts[payload["verdict"]] += 1
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
    stopped = rejects_section(found.rejects, when, folder)
    if stopped is not None:
        sections.append(stopped)
    sections.append(pareto_section(pareto(found.reasons)))
    if found.challenges:
        sections.append(_challenges(found, when))
    for name in _charted(found)[:MOST_CHARTS]:
        made = _control(name, found)
        if made is not None:
            sections.append(made)
    return sections


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
    return section("Verdicts", body, {"verdicts.csv": markup.csv_text(["verdict", "parts"], rows)})


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
    told = '<div class="told">' + markup.table(head, rows[-20:]) + "</div>"
    agreed = _agreement(found)
    if agreed is not None:
        (camera,) = agreed.operators
        cards += [
            (name, f"{rate.count} of {rate.total}", f"{_span(rate)} (95 %)", "")
            for name, rate in (("Misses", camera.miss), ("False alarms", camera.false_alarm))
            if rate is not None and rate.total
        ]
        kappa = "–" if camera.kappa is None else f"{camera.kappa:.2f}"
        cards.append(("Kappa with the truth", kappa, "above 0.75 is good", ""))
        told += markup.fine(
            f"Misses are bad parts that passed, false alarms good parts that failed, of all "
            f"verdicts on the {agreed.size[0]} known parts in "
            f"{markup.count(agreed.size[2], 'challenge')}."
        )
    body = markup.cards(cards) + markup.block("Challenges", told)
    text = markup.csv_text(["unix", "shift", "result", "wrong"], table)
    verdicts = markup.csv_text(
        ["unix", "shift", "part", "reference", "verdict"],
        [[payload.get("at", stamp), payload.get("shift", ""), part, should, had]
         for stamp, payload in found.challenges
         for part, should, had in payload.get("verdicts", ())],
    )  # fmt: skip
    return section("Challenge set", body, {"challenges.csv": text, "known-parts.csv": verdicts})


def _agreement(found: InspectionEvents) -> Optional[AttributeStudy]:
    """The known parts of all challenges against what they are; None where the set was changed."""
    told = [payload.get("verdicts") or () for _, payload in found.challenges]
    sets = {tuple((part, should) for part, should, _ in rows) for rows in told}
    if len(sets) != 1 or any(had is None for rows in told for _, _, had in rows):
        return None
    (known,) = sets
    verdicts = np.array([[had for _, _, had in rows] for rows in told]).T[:, None, :]
    parts, truth = tuple(p for p, _ in known), tuple(s for _, s in known)
    try:
        return attribute_study(Judgements(verdicts, parts, ("camera",), truth), "fail")
    except EdgelaneError:
        return None


def _span(rate: Rate) -> str:
    low, high = rate.exact or (0.0, 1.0)
    return f"{low:.0%} to {high:.0%}"


def _charted(found: InspectionEvents) -> List[str]:
    """Characteristics in the order of the page: those with two limits first, scores last."""
    names = [n for n, m in found.measures.items() if len(m.values) >= 2 and any(
        v is not None for v in m.limits)]  # fmt: skip
    return sorted(names, key=lambda n: (n in SCORES, None in found.measures[n].limits))


def _latest(measure: _Measure, size: int) -> List[float]:
    values = list(measure.values)[-MOST_POINTS * size :]
    return [v for v in values if math.isfinite(v)]


def _charts(
    name: str, measure: _Measure, size: int
) -> Tuple[Optional[ControlCharts], Optional[Capability], List[float]]:
    """The latest values of a characteristic, its charts, and its capability if it has one."""
    values = _latest(measure, size)
    try:
        charts = individuals(values) if size == 1 else xbar_r(values, size)
    except EdgelaneError:
        return None, None, values
    if name in SCORES:
        return charts, None, values
    low, high = measure.limits
    try:
        return charts, capability(values, low, high, size=size), values
    except EdgelaneError:
        return charts, None, values  # too few values, or a count that must be one number


def _control(name: str, found: InspectionEvents) -> Optional[Section]:
    measure = found.measures[name]
    charts, capable, values = _charts(name, measure, found.subgroup)
    if charts is None:
        return None
    made = control_section(name, charts, capable, measure.unit, values, score=name in SCORES)
    if measure.count > len(values):
        note = markup.fine(f"The latest {len(values)} of {measure.count} values.")
        html = made.html.replace("</section>", note + "</section>")
        return Section(made.title, html, made.tables)
    return made


def _capabilities(found: InspectionEvents) -> str:
    """All capabilities as one table."""
    rows = []
    for name in _charted(found):
        measure = found.measures[name]
        charts, capable, _ = _charts(name, measure, found.subgroup)
        if charts is not None and capable is not None:
            rows.append(capability_row(name, measure.unit, capable, charts.in_control))
    return markup.csv_text(CAPABILITY_HEADER, rows)


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
        live = journal.get("clock") == "unix"
        parts = journal.events(kind="verdict")
        written = [_write_parts(out / "parts.csv", parts, found, folder, live)]
    made = [t for s in [*inspection_sections(found, str, folder), *_others(found)]
            for t in s.tables.items()]  # fmt: skip
    for name, text in [*made, ("capability.csv", _capabilities(found))]:
        write_whole(out / name, text.encode("utf-8"))
        written.append(out / name)
    return written


def _others(found: InspectionEvents) -> List[Section]:
    """Charts for which the page has no room."""
    sections = [_control(name, found) for name in _charted(found)[MOST_CHARTS:]]
    return [s for s in sections if s is not None]


def _write_parts(
    path: Path, events: Iterable[Event], found: InspectionEvents, folder: Path, live: bool
) -> Path:
    names = list(found.measures)
    units = [found.measures[n].unit for n in names]
    headings = [f"{n} [{u}]" if u else n for n, u in zip(names, units)]
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["serial", "time", *(["utc"] if live else []), "verdict", "score",
                         "reasons", "picture", "recipe", "version", "recipe_hash", "models",
                         "engines", *headings])  # fmt: skip
        for event in events:
            payload = event.payload
            values = {r["name"]: r["value"] for r in payload["reasons"]}
            hashes = hashes_of(payload)
            seen = float(payload["seen"])
            utc = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seen))] if live else []
            row = [payload["serial"], seen, *utc, payload["verdict"], payload["score"],
                   "; ".join(deciding(payload)), kept_picture(payload, folder),
                   payload.get("recipe"), payload.get("version"), payload.get("recipe_hash"),
                   hashes["models"], hashes["engines"],
                   *(values.get(n) for n in names)]  # fmt: skip
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
