"""The verdict on a soak, and how it is told."""

import time
from typing import Any, Dict, Iterator, List, Mapping, Set, Tuple

from .course import Course, Record
from .faults import BACK_S, NOTICED_S, RESTART_S
from .judge import STOP_S, Check, at_most, frames, gaps_told, latency, memory, worst
from .subject import Life

LAST_WORDS_S = 2.0
"""What was told so short before a kill may not have been journalled."""


def judged(course: Course) -> Record:
    """What `soak` returns, but for what it knows itcourse."""
    lives, records = course.subject.lives, course.records
    audit = course.ledger.audit()
    checks: List[Check] = list(memory(lives))
    away = [r for r in records if "noticed_s" in r]
    back = [r for r in records if r.get("limit_s") == BACK_S]
    patient = [r for r in records if r["fault"] == "password"]
    again = [r for r in records if r["fault"] in ("kill", "term", "disk")]
    checks += [
        at_most("a lost camera is noticed", worst(away, "noticed_s"), NOTICED_S, "s"),
        at_most("a camera that is back is counted", worst(back, "back_s"), BACK_S, "s"),
    ]
    if patient:
        name, limit = "after a wrong password", patient[0]["limit_s"]
        checks.append(at_most(name, worst(patient, "back_s"), limit, "s"))
    if again:
        name = "the run is back after it ended"
        checks.append(at_most(name, worst(again, "back_s"), RESTART_S, "s"))
    checks.append(at_most("SIGTERM ends it", max(course.stops), STOP_S, "s"))
    checks += frames(lives, course.windows, {n: p.fps for n, p in course.posts.items()})
    checks += latency(lives, course.windows)
    checks += gaps_told(lives, audit, course.names)
    untold = sum(len(course.ledger.missing(_sure(life))) for life in lives)
    counted = _decreases([life.summary for life in lives if life.summary is not None])
    checks += [
        at_most("journalled events lost", audit.lost, 0, "", f"of {audit.events}"),
        at_most("events told and not journalled", untold, 0, ""),
        at_most("events journalled twice", audit.twice, 0, ""),
        at_most("counts or times that went back", audit.backwards + counted, 0, ""),
    ]
    bad = [r for r in records if not r["good"]]
    tally = f"of {len(records)}"
    checks.append(at_most("faults that ended badly", len(bad), 0, "", tally))
    clean = course.subject.life.code == 0 and course.subject.life.summary is not None
    checks.append(at_most("the end was not clean", 0 if clean else 1, 0, ""))
    return {
        "verdict": "pass" if all(check.good for check in checks) else "fail",
        "checks": [check._asdict() for check in checks],
        "faults": records,
        "not_reached": course.not_reached,
        "seconds": round(time.monotonic() - course.began, 1),
        "cameras": course.names,
        "events": audit.counts,
        "lives": len(lives),
    }


def _sure(life: Life) -> Set[str]:
    """Ids that must be in the journal: not those of the last moments before it was killed."""
    until = float("inf")
    if life.code != 0 and life.ended is not None:
        until = life.ended - LAST_WORDS_S
    return {name for name, moment in life.told.items() if moment <= until}


def _decreases(summaries: List[Dict[str, Any]]) -> int:
    """How many counts are smaller in a later summary."""
    worse = 0
    for before, after in zip(summaries, summaries[1:]):
        later = dict(_counts(after))
        worse += sum(value > later.get(name, 0) for name, value in _counts(before))
    return worse


def _counts(summary: Mapping[str, Any], path: str = "") -> Iterator[Tuple[str, int]]:
    for key, value in summary.items():
        if isinstance(value, Mapping):
            yield from _counts(value, f"{path}{key}.")
        elif key in ("in", "out", "entries", "visitors"):
            yield f"{path}{key}", int(value)


def describe(result: Mapping[str, Any]) -> Iterator[str]:
    """A result as lines of text."""
    yield (
        f"{len(result['faults'])} faults on {len(result['cameras'])} cameras in "
        f"{result['seconds'] / 60:.1f} minutes, {result['lives']} starts of the run"
    )
    yield ""
    yield f"{'fault':<16}{'times':>6}{'noticed':>10}{'back':>8}   worst of all, in seconds"
    by_name: Dict[str, List[Record]] = {}
    for record in result["faults"]:
        by_name.setdefault(record["fault"], []).append(record)
    for name, records in sorted(by_name.items()):
        figures = []
        for key in ("noticed_s", "back_s"):
            value = worst(records, key)
            figures.append("" if value is None else f"{value:.1f}")
        bad = sum(not record["good"] for record in records)
        mark = f"   {bad} BAD" if bad else ""
        yield f"{name:<16}{len(records):>6}{figures[0]:>10}{figures[1]:>8}{mark}"
    yield ""
    yield f"{'check':<34}{'value':>9}{'limit':>9}"
    for check in result["checks"]:
        value = "-" if check["value"] is None else f"{check['value']:g}"
        limit = f"{check['limit']:g}"
        mark = "" if check["good"] else "  FAIL"
        note = f"  ({check['note']})" if check["note"] else ""
        unit = f" {check['unit']}" if check["unit"] else ""
        yield f"{check['name']:<34}{value:>9}{limit:>9}{unit}{mark}{note}"
    for title in ("left_out", "not_reached"):
        for name, why in result[title].items():
            yield f"{title.replace('_', ' ')}: {name} ({why})"
    yield f"verdict {result['verdict']}, journal in {result['folder']}"
