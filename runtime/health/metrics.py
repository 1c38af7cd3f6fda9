"""The metrics of a run in Prometheus' text format.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

import math
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Tuple

from ..stats import Times
from .state import STATES, Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metric(NamedTuple):
    """One metric: its name without the prefix `edgelane_`, kind, labels and meaning."""

    name: str
    kind: str
    labels: Tuple[str, ...]
    help: str


METRICS: Tuple[Metric, ...] = (
    Metric("info", "gauge", ("version", "pipeline", "model"), "1; what runs stands in the labels."),
    Metric("health_state", "gauge", (), "0 ok, 1 degraded, 2 failed."),
    Metric("start_time_seconds", "gauge", (), "When the run was started, in Unix seconds."),
    Metric("loop_turns_total", "counter", (), "How often the run loop went round."),
    Metric("loop_last_turn_age_seconds", "gauge", (), "Seconds since the loop went round last."),
    Metric("camera_up", "gauge", ("camera",), "1 while the camera gives pictures, else 0."),
    Metric("camera_fps", "gauge", ("camera",), "Frames a second of the last ten seconds."),
    Metric("camera_frames_total", "counter", ("camera",), "Frames that the pipeline saw."),
    Metric(
        "camera_dropped_frames_total", "counter", ("camera",), "Frames for which there was no time."
    ),
    Metric(
        "camera_skipped_frames_total",
        "counter",
        ("camera",),
        "Frames between those of the rate that was asked for.",
    ),
    Metric("camera_gaps_total", "counter", ("camera",), "How often pictures were missing."),
    Metric("camera_missing_seconds_total", "counter", ("camera",), "Seconds of these gaps."),
    Metric("camera_reconnects_total", "counter", ("camera",), "How often pictures came back."),
    Metric("camera_capture_restarts_total", "counter", ("camera",), "Capture processes replaced."),
    Metric("camera_failed_tries_total", "counter", ("camera",), "Tries to connect that failed."),
    Metric("camera_last_frame_age_seconds", "gauge", ("camera",), "Seconds since the last frame."),
    Metric(
        "camera_latency_seconds",
        "histogram",
        ("camera",),
        "From the capture of a frame to its events in the journal.",
    ),
    Metric(
        "camera_recent_latency_seconds",
        "gauge",
        ("camera", "quantile"),
        "Quantiles of the latency over the last minute.",
    ),
    Metric("events_total", "counter", ("camera", "kind"), "Events, also of before a restart."),
    Metric(
        "crossings_total",
        "counter",
        ("camera", "line", "direction"),
        "Crossings of a line, also of before a restart.",
    ),
    Metric("entries_total", "counter", ("camera", "zone"), "Entries, also of before a restart."),
    Metric("visitors_total", "counter", ("camera",), "Visitors, also of before a restart."),
    Metric("temperature_celsius", "gauge", ("sensor",), "Degrees Celsius."),
    Metric("hot", "gauge", (), "1 while the machine is hot, else 0."),
    Metric("throttled", "gauge", (), "1 while the machine is slowed down, else 0."),
    Metric("power_watts", "gauge", (), "What the whole module draws."),
    Metric("gpu_load_ratio", "gauge", (), "Load of the GPU, 0 to 1."),
    Metric("memory_total_bytes", "gauge", (), "Memory of the machine."),
    Metric("memory_available_bytes", "gauge", (), "Memory that is available."),
    Metric("process_resident_memory_bytes", "gauge", (), "Memory of this process."),
    Metric("process_open_fds", "gauge", (), "File descriptors of this process."),
    Metric("process_threads", "gauge", (), "Threads of this process."),
    Metric("disk_total_bytes", "gauge", (), "Size of the disk that the run folder is on."),
    Metric("disk_free_bytes", "gauge", (), "What is free of it."),
    Metric("journal_bytes", "gauge", (), "Size of the journal."),
    Metric("log_suppressed_total", "counter", (), "Log messages that were counted, not written."),
    Metric("webhook_queued", "gauge", ("webhook",), "Events that wait to be delivered."),
    Metric("webhook_delivered_total", "counter", ("webhook",), "Events that were delivered."),
    Metric("webhook_failed_tries_total", "counter", ("webhook",), "Tries that failed."),
    Metric(
        "webhook_dropped_total",
        "counter",
        ("webhook",),
        "Events that were given up: the queue was full, or the receiver refused them.",
    ),
    Metric("clips_written_total", "counter", (), "Clips that were written."),
    Metric("clips_failed_total", "counter", (), "Clips that could not be written."),
    Metric("clips_bytes", "gauge", (), "Size of the clips that are kept."),
)
"""Every metric, in the order in which it is told. All names begin with `edgelane_`."""

Sample = Tuple[str, Mapping[str, str], float]


def metrics_text(report: Dict[str, Any], tally: Tally, latencies: Mapping[str, Times]) -> str:
    """A run's metrics as Prometheus reads them.

    Args:
        report: As `Monitor.report` gives it.
        tally: Counts of events.
        latencies: By camera, since the run was started.
    """
    samples: Dict[str, List[Sample]] = {}

    def add(name: str, value: Any, suffix: str = "", **labels: str) -> None:
        if value is not None:
            samples.setdefault(name, []).append((name + suffix, labels, float(value)))

    run, machine = report["run"], report["machine"]
    add("info", 1, version=run["version"], pipeline=run["pipeline"], model=run["model"])
    add("health_state", STATES.index(report["state"]))
    add("start_time_seconds", run["started_unix"])
    add("loop_turns_total", run["turns"])
    add("loop_last_turn_age_seconds", run["last_turn_age_s"])
    for name, camera in report["cameras"].items():
        add("camera_up", camera["state"] in ("ok", "ended"), camera=name)
        for key, told in _CAMERA:
            add(f"camera_{key}", camera.get(told), camera=name)
        for quantile, told in (("0.5", "p50"), ("0.99", "p99")):
            seconds = camera["latency_ms"][told] / 1e3
            add("camera_recent_latency_seconds", seconds, camera=name, quantile=quantile)
        _histogram(add, name, latencies.get(name) or Times())
    for (camera, kind), count in sorted(dict(tally.kinds).items()):
        add("events_total", count, camera=camera, kind=kind)
    for (camera, line, way), count in sorted(dict(tally.crossings).items()):
        add("crossings_total", count, camera=camera, line=line, direction=way)
    for (camera, zone), count in sorted(dict(tally.entries).items()):
        add("entries_total", count, camera=camera, zone=zone)
    for camera, count in sorted(dict(tally.visitors).items()):
        add("visitors_total", count, camera=camera)
    for sensor, value in machine["temperatures_c"].items():
        add("temperature_celsius", value, sensor=sensor)
    for name, key in _MACHINE:
        add(name, machine.get(key))
    for name, key in _PROCESS:
        add(name, machine["process"].get(key))
    add("log_suppressed_total", report["log"]["suppressed"])
    for hook, told in report.get("webhooks", {}).items():
        for key in ("queued", "delivered_total", "failed_tries_total", "dropped_total"):
            add(f"webhook_{key}", told[key.replace("_total", "")], webhook=hook)
    clips = report.get("clips")
    if clips:
        add("clips_written_total", clips["written"])
        add("clips_failed_total", clips["failed"])
        add("clips_bytes", clips["bytes"])
    return _text(samples)


_CAMERA = (
    ("fps", "fps"),
    ("frames_total", "frames"),
    ("dropped_frames_total", "dropped"),
    ("skipped_frames_total", "skipped"),
    ("gaps_total", "gaps"),
    ("missing_seconds_total", "missing_s"),
    ("reconnects_total", "reconnects"),
    ("capture_restarts_total", "restarts"),
    ("failed_tries_total", "tries"),
    ("last_frame_age_seconds", "last_frame_age_s"),
)
_MACHINE = (
    ("hot", "hot"),
    ("throttled", "throttled"),
    ("power_watts", "power_w"),
    ("gpu_load_ratio", "gpu_load"),
    ("memory_total_bytes", "memory_total_bytes"),
    ("memory_available_bytes", "memory_available_bytes"),
    ("disk_total_bytes", "disk_total_bytes"),
    ("disk_free_bytes", "disk_free_bytes"),
    ("journal_bytes", "journal_bytes"),
)
_PROCESS = (
    ("process_resident_memory_bytes", "rss_bytes"),
    ("process_open_fds", "fds"),
    ("process_threads", "threads"),
)


def _histogram(add: Any, camera: str, times: Times) -> None:
    name = "camera_latency_seconds"
    counts = times.since(Times())  # one state of it, though the loop counts on
    for bound in LATENCY_BUCKETS_S:
        add(name, counts.at_most(bound), "_bucket", camera=camera, le=_number(bound))
    add(name, counts.count, "_bucket", camera=camera, le="+Inf")
    add(name, counts.wall, "_sum", camera=camera)
    add(name, counts.count, "_count", camera=camera)


def _text(samples: Mapping[str, Iterable[Sample]]) -> str:
    lines = []
    for metric in METRICS:
        rows = samples.get(metric.name)
        if not rows:
            continue
        name = f"edgelane_{metric.name}"
        lines.append(f"# HELP {name} {_escaped(metric.help, quotes=False)}")
        lines.append(f"# TYPE {name} {metric.kind}")
        for full, labels, value in rows:
            told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            lines.append(f"edgelane_{full}{{{told}}} {_number(value)}".replace("{}", ""))
    return "\n".join(lines) + "\n"


def _escaped(text: str, quotes: bool = True) -> str:
    text = str(text).replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
