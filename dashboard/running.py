"""How the run went: speed, drops, gaps, times of the stages, model and settings."""

from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

from .collect import CameraEvents
from .words import duration, is_number, long_duration, number, plural

STAGES = (
    ("decode", "Decode the video"),
    ("preprocess", "Prepare the picture"),
    ("infer", "Find people (the model)"),
    ("postprocess", "Read the model's answer"),
    ("regions", "Choose whom to look at"),
    ("second", "Look at each (second model)"),
    ("pipeline", "Track and count"),
    ("journal", "Write the journal"),
    ("sinks", "Draw and write the video"),
)


SETTINGS = {
    "pipeline": "Pipeline",
    "model": "Model",
    "decoder": "Decoder",
    "precision": "Precision",
    "input": "Size of the model's input",
    "confidence": "Least score of a detection",
    "classes": "Classes",
    "sources": "Source",
    "detections": "Recorded detections",
    "fps": "Frames a second of the recording",
    "size": "Size of the picture",
}

MOST_ROWS = 50
"""Gaps that are listed; all are summed."""


@dataclass
class RunView:
    """How the run went."""

    facts: List[Tuple[str, str]]
    stages: List[Tuple[str, str, str, float]]
    has_cpu: bool
    settings: List[Tuple[str, str]]
    gaps: List[Tuple[str, str, str]]
    gaps_note: str
    more_gaps: str


def run_facts(part: Dict[str, Any]) -> List[Tuple[str, str]]:
    """Frames, drops and duration of a camera or of the whole run, as `(label, text)`."""
    facts = []
    labels = {"frames": "Frames", "dropped": "Dropped frames", "skipped": "Frames not asked for"}
    for key, label in labels.items():
        if is_number(part.get(key)):
            facts.append((label, number(part[key])))
    if is_number(part.get("duration_s")):
        facts.append(("Duration", duration(part["duration_s"])))
    latency = part.get("latency_ms")
    if (
        isinstance(latency, dict)
        and is_number(latency.get("p50"))
        and is_number(latency.get("p99"))
    ):
        text = f"{number(latency['p50'])} ms; 99 % within {number(latency['p99'])} ms"
        facts.append(("From picture to event", text))
    if is_number(part.get("resumed_at_frame")):
        facts.append(("Went on after a stop at frame", number(part["resumed_at_frame"])))
    return facts


def run_view(cameras: Dict[str, CameraEvents], summary: Dict[str, Any]) -> RunView:
    """Tell a run from `summary.json` and the gaps of the journal."""
    facts = run_facts(summary)
    if is_number(summary.get("fps")) and summary["fps"] > 0:
        facts.insert(0, ("Speed", f"{number(summary['fps'], 1)} frames a second"))
    facts.append(("Journalled events", number(sum(e.count for e in cameras.values()))))
    unread = sum(e.unread for e in cameras.values())
    if unread:
        facts.append(("Events in an unknown form", number(unread)))
    wall, cpu = _numbers(summary.get("timing_ms")), _numbers(summary.get("cpu_ms"))
    names = dict(STAGES)
    keys = [k for k, _ in STAGES if k in wall or k in cpu]
    keys = list(dict.fromkeys([*keys, *wall, *cpu]))
    top = max((*wall.values(), *cpu.values()), default=0.0) or 1.0
    stages = [
        (
            names.get(k, k),
            number(wall.get(k), 2),
            number(cpu.get(k), 2),
            round(100 * wall.get(k, cpu.get(k, 0.0)) / top, 2),
        )
        for k in keys
    ]
    settings = list(_flat(summary.get("run") if isinstance(summary.get("run"), dict) else {}))
    gaps, note, more = _gaps(cameras)
    return RunView(facts, stages, bool(cpu), settings, gaps, note, more)


def _gaps(cameras: Dict[str, CameraEvents]) -> Tuple[List[Tuple[str, str, str]], str, str]:
    rows = []
    several = len(cameras) > 1
    for name, events in cameras.items():
        for start, end, reason in events.gaps:
            when = f"{events.clock.text(start)} – {events.clock.text(end)}"
            rows.append((f"{name}: {when}" if several else when, duration(end - start), reason))
    count = sum(e.gap_count for e in cameras.values())
    if not count:
        return [], "", ""
    seconds = sum(e.gap_seconds for e in cameras.values())
    times = "once" if count == 1 else f"{number(count)} times"
    verb = "is" if long_duration(seconds).startswith("1 ") else "are"
    note = (
        f"The pictures stopped {times}: {long_duration(seconds)} {verb} missing, "
        "so every count here is a lower bound."
    )
    more = count - min(len(rows), MOST_ROWS)
    return rows[:MOST_ROWS], note, f"{plural(more, 'more time')} not listed here." if more else ""


def _flat(value: Any, path: str = "") -> Any:
    """A tree of settings as `(path, text)` rows."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}: {key}" if path else SETTINGS.get(key, str(key)))
    elif path == SETTINGS["size"] and isinstance(value, (list, tuple)):
        yield path, " × ".join(str(v) for v in value)
    elif isinstance(value, (list, tuple)):
        yield path, ", ".join(str(v) for v in value) or "–"
    elif value is None:
        yield path, "–"
    elif isinstance(value, bool):
        yield path, "yes" if value else "no"
    else:
        yield path, f"{value:g}" if isinstance(value, float) else str(value)


def _numbers(value: Any) -> Dict[str, float]:
    """The entries of a dict from JSON that are numbers."""
    items = value.items() if isinstance(value, dict) else ()
    return {str(k): float(v) for k, v in items if is_number(v)}
