"""From what was seen of a soak to figures, each beside its limit."""

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .ledger import Audit
from .subject import Life, Reading, Seen

GAP_S = 3.5
"""A time without pictures that must be told as a gap: the run tells those of more than 3 s."""

OFF_S = 1.0
"""A gap is told with its length to this; a step of the clock is made good by 2 % of the time."""

MB_AN_HOUR = 5.0
SETTLING_MB = 4.0
"""What may be added once, whatever the time: pools that find their size."""

SHORT_MB = 20.0
"""The same where there was less time than `TELLING_H`, and pools had not found it yet."""

TELLING_H = 0.15
"""A slope over less than this many hours would tell of noise."""

MOVED = 1.2
MOVED_S = 0.01
"""Another camera's p99 may move by so much, or by so many seconds where that is more."""

WARM_S = 10.0
"""So long after its start a run is not taken for calm."""

SILENT = 0.02
STOP_S = 3.0


class Check(NamedTuple):
    """A figure and its limit.

    Attributes:
        name: What was measured.
        value: What came of it; None where there was nothing to measure.
        limit: What it may be at most.
        unit: Of both.
        good: Whether it holds.
        note: What a reader wants to know beside it.
    """

    name: str
    value: Optional[float]
    limit: float
    unit: str
    good: bool
    note: str = ""


def at_most(name: str, value: Optional[float], limit: float, unit: str, note: str = "") -> Check:
    """A figure that must not be above its limit; where nothing was measured it holds."""
    shown = None if value is None else round(float(value), 3)
    good = value is None or bool(value <= limit)
    return Check(name, shown, round(float(limit), 3), unit, good, note)


class Window(NamedTuple):
    """A time in which the cameras named are left alone.

    Attributes:
        start: By the monotonic clock.
        end: Likewise.
        cameras: That are left alone.
        calm: Whether all are.
    """

    start: float
    end: float
    cameras: Tuple[str, ...]
    calm: bool


def memory(lives: Sequence[Life]) -> List[Check]:
    """Growth of memory, open files, threads and processes, over the longest life."""
    life = max(lives, key=lambda one: len(one.readings))
    readings = life.readings
    settled = readings[max(len(readings) // 5, min(20, len(readings) // 2)) :]
    if len(settled) < 10:
        return [Check("memory", None, MB_AN_HOUR, "MB an hour", True, "too short to tell")]
    hours = (settled[-1].moment - settled[0].moment) / 3600
    slope = _slope([(r.moment / 3600, r.own_mb + r.children_mb) for r in settled])
    grown = slope * hours
    limit = (SETTLING_MB if hours >= TELLING_H else SHORT_MB) + MB_AN_HOUR * hours
    own = np.median([r.own_mb for r in settled])
    captures = np.median([r.children_mb for r in settled])
    rate = f"{slope:+.1f} MB an hour " if hours >= TELLING_H else ""
    note = f"{rate}over {60 * hours:.1f} minutes; {own:.0f} MB, and {captures:.0f} MB in captures"
    return [at_most("memory grown", max(grown, 0.0), limit, "MB", note), *_counts(settled)]


def _counts(settled: Sequence[Reading]) -> List[Check]:
    third = max(len(settled) // 3, 1)
    checks = []
    for name, field in (
        ("file descriptors", "descriptors"),
        ("threads", "threads"),
        ("processes", "children"),
    ):
        # The usual number: faults take a descriptor or a process away for a moment.
        early = np.median([getattr(r, field) for r in settled[:third]])
        late = np.median([getattr(r, field) for r in settled[-third:]])
        most = max(getattr(r, field) for r in settled)
        checks.append(
            at_most(f"{name} grown", late - early, 0, "", f"usually {late:g}, at most {most}")
        )
    return checks


def _slope(points: Sequence[Tuple[float, float]]) -> float:
    """The median of the slopes between points that lie far apart (Theil and Sen): a reading in the
    middle of a fault does not tilt it."""
    half = len(points) // 2
    x, y = np.array(points).T
    return float(np.median((y[half:] - y[: len(y) - half]) / (x[half:] - x[: len(x) - half])))


class Spell(NamedTuple):
    """A time without pictures of one camera.

    Attributes:
        seconds: From one picture to the next, by when they were captured or when they were
            processed, whichever is shorter: where the device does not keep up, a picture waits.
        timestamp: Of the picture that ended it, as the run tells it.
        edge: Whether the run was started anew meanwhile.
    """

    seconds: float
    timestamp: float
    edge: bool


def spells(lives: Sequence[Life], camera: str, least: float) -> List[Spell]:
    """Times without pictures longer than `least` seconds."""
    found: List[Spell] = []
    last: Optional[Seen] = None
    for life in lives:
        first = True
        for seen in life.steps[camera]:
            if last is not None:
                processed = seen.moment - last.moment
                seconds = min(processed, processed - seen.late + last.late)
                if seconds > least:
                    found.append(Spell(seconds, seen.timestamp, first))
            last, first = seen, False
    return found


def gaps_told(lives: Sequence[Life], audit: Audit, cameras: Iterable[str]) -> List[Check]:
    """Whether every time without pictures is told, and with its length."""
    untold = invented = 0
    worst = 0.0
    count = 0
    for camera in cameras:
        stamps = {round(s.timestamp, 3) for life in lives for s in life.steps[camera]}
        by_end = {round(g.payload["to"], 3): g for g in audit.gaps.get(camera, [])}
        known = {round(s.timestamp, 3): s for s in spells(lives, camera, GAP_S - 1.0)}
        for stamp, spell in known.items():
            if stamp in by_end:
                payload = by_end[stamp].payload
                count += 1
                # What was seen between the last snapshot and a kill counts as missing too.
                slack = 1.5 if spell.edge else 0.0
                off = abs(payload["to"] - payload["from"] - spell.seconds)
                worst = max(worst, off - slack)
            elif spell.seconds > GAP_S:
                untold += 1
        # A frame of the last moment before a kill was processed, and we were not told of it.
        invented += sum(stamp in stamps and stamp not in known for stamp in by_end)
    return [
        at_most("gaps not told", untold, 0, "", f"of {count + untold}"),
        at_most("gaps that were none", invented, 0, ""),
        at_most("gaps off in length by", max(worst, 0.0), OFF_S, "s"),
    ]


def latency(lives: Sequence[Life], windows: Sequence[Window]) -> List[Check]:
    """The p99 from capture to event of cameras beside one that has a fault, against calm times."""
    calm: Dict[str, List[float]] = {}
    beside: Dict[str, List[float]] = {}
    for life in lives:
        for camera, steps in life.steps.items():
            for seen in steps:
                if seen.moment < life.began + WARM_S:
                    continue
                for window in windows:
                    if camera in window.cameras and window.start <= seen.moment <= window.end:
                        into = calm if window.calm else beside
                        into.setdefault(camera, []).append(seen.late)
                        break
    both = [c for c in beside if c in calm and min(len(beside[c]), len(calm[c])) >= 100]
    if not both:
        note = "too few pictures beside a fault"
        return [Check("others' p99", None, MOVED, "", True, note)]
    before = _p99([v for c in both for v in calm[c]])
    after = _p99([v for c in both for v in beside[c]])
    limit = max(MOVED * before, before + MOVED_S)
    note = f"{1e3 * before:.0f} ms when calm, {1e3 * after:.0f} ms beside a fault"
    return [at_most("others' p99", after / before, limit / before, "times", note)]


def _p99(values: Sequence[float]) -> float:
    return max(float(np.quantile(values, 0.99)), 1e-4)


def frames(lives: Sequence[Life], windows: Sequence[Window], fps: Dict[str, float]) -> List[Check]:
    """Frames that were sent in calm times and neither processed nor counted as dropped."""
    sent = counted = processed = 0.0
    for window in windows:
        if not window.calm:
            continue
        for camera in window.cameras:
            for life in lives:
                inside = [
                    s for s in life.steps[camera] if window.start <= s.moment - s.late <= window.end
                ]
                if len(inside) < 10:
                    continue
                first, last = inside[0], inside[-1]
                passed = (last.moment - last.late) - (first.moment - first.late)
                sent += passed * fps[camera]
                counted += last.index - first.index
                processed += len(inside) - 1
    if not sent:
        return []
    lost = max(sent - counted, 0.0) / sent
    dropped = counted - processed
    note = f"{processed:.0f} processed and {dropped:.0f} dropped and counted, of {sent:.0f} sent"
    return [at_most("frames lost silently", 100 * lost, 100 * SILENT, "%", note)]


def worst(records: Sequence[Dict[str, Any]], key: str) -> Optional[float]:
    """The largest of a figure that some faults have."""
    known = [record[key] for record in records if record.get(key) is not None]
    return max(known) if known else None
