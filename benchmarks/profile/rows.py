"""From what was measured to one row for each model, size, precision and backend."""

import os
import platform
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core import DEVICES, EdgelaneError, find_device
from .journal import Journal, Line
from .measuring import Row
from .stats import ALIKE, compare_rounds, median_of_rounds

STAGES = ("decode", "preprocess", "infer", "postprocess", "pipeline", "end_to_end")

_ENDS_IN_SIZE = re.compile(r"[-_.]\d{2,4}(x\d{2,4})?$")

NOISY = 0.05
"""Half of the interval of a median, as a share of it, above which a reader is warned."""

ADDS_UP = 0.05
"""Share by which the stages' medians may miss that of the whole."""


def this_machine() -> Tuple[str, str]:
    """The device that this machine is, as in the table of devices, and what it is in words."""
    from ...runtime.jetson import detect

    jetson = detect()
    if jetson is not None:
        mode = f", {jetson.power_mode}" if jetson.power_mode else ""
        name = jetson.device.name if jetson.device is not None else jetson.model
        return name, f"{jetson.model}{mode}"
    processor = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    except (OSError, UnicodeDecodeError):
        pass
    return "this machine", f"{processor}, {os.cpu_count()} cores"


def measured_rows(
    rows: Sequence[Row], journal: Journal, machine: Tuple[str, str]
) -> List[Dict[str, Any]]:
    """One row each, in their order.

    Args:
        rows: What was asked for.
        journal: What was measured of it.
        machine: Where, see `this_machine`.
    """
    table = [_row(row, journal, machine) for row in rows]
    several = len({row["backend"] for row in table if row["backend"]}) > 1
    return [{**row, "several_backends": True} for row in table] if several else table


def _row(row: Row, journal: Journal, machine: Tuple[str, str]) -> Dict[str, Any]:
    variant = row.variant
    rounds = journal.of(row.key, "round")
    judged = journal.of(row.key, "accuracy")
    errors = journal.of(row.key, "error")
    result: Dict[str, Any] = {
        "kind": "measured",
        "model": variant.model,
        "size": None if variant.size is None else list(variant.size),
        "precision": None if variant.precision == "own" else variant.precision,
        "backend": row.backend,
        "device": machine[0],
        "machine": machine[1],
        "key": row.key,
        "path": variant.path or variant.source,
        "made": variant.path is not None,
        "error": variant.error,
        "notes": list(variant.notes),
    }
    if rounds:
        result.update(_times(rounds))
        result["notes"] += _doubts(result)
    if judged:
        result.update(_accuracy(judged[-1]))
        result["notes"] += judged[-1].get("notes", [])
    result["file_mb"] = _file_mb(variant.path)
    for line in errors[-1:]:
        if line["step"] == "accuracy" and not judged:
            result["notes"].append(f"no accuracy: {line['error']}")
        elif not rounds:
            result["error"] = line["error"]
        elif line["step"] == "time":
            result["notes"].append(f"a round failed: {line['error']}")
    return result


def _times(rounds: Sequence[Line]) -> Dict[str, Any]:
    names = [name for name in STAGES if name in rounds[0]["stages"]]
    stages = {
        name: {
            part: round(float(np.median([r["stages"][name][part] for r in rounds])), 4)
            for part in ("p50", "p95", "p99", "mean")
        }
        for name in names
    }
    ends = [r["stages"]["end_to_end"]["p50"] for r in rounds]
    infers = [r["stages"]["infer"]["p50"] for r in rounds]
    whole, infer = median_of_rounds(ends), median_of_rounds(infers)
    parts = {
        name: float(np.median([r["stages"][name].get("of_median", 0.0) for r in rounds]))
        for name in names
        if name != "end_to_end"
    }
    total = sum(parts.values())
    for name, part in parts.items():
        if total:
            stages[name]["of_median"] = round(part * whole.value / total, 4)

    def middle(name: str, digits: int = 3) -> Optional[float]:
        values = [r[name] for r in rounds if r.get(name) is not None]
        return round(float(np.median(values)), digits) if values else None

    found: Dict[str, Any] = {
        "ms": round(whole.value, 4),
        "low_ms": round(whole.low, 4),
        "high_ms": None if whole.high == float("inf") else round(whole.high, 4),
        "infer_ms": round(infer.value, 4),
        "fps": middle("fps"),
        "stages": stages,
        "sum_ratio": middle("sum_ratio", 4),
        "rounds": len(rounds),
        "frames": sum(r["frames"] for r in rounds),
        "round_ms": [round(v, 4) for v in ends],
        "load_ms": middle("load_ms", 1),
        "peak_mb": max((r["peak_mb"] for r in rounds if r.get("peak_mb")), default=None),
        "watts": middle("watts"),
        "energy_mj": middle("energy_mj"),
        "temperature_c": max(
            (r["temperature_c"] for r in rounds if r.get("temperature_c") is not None),
            default=None,
        ),
        "task": rounds[-1].get("task"),
        "size": rounds[-1].get("size"),
    }
    return found


def _doubts(row: Dict[str, Any]) -> List[str]:
    notes = []
    high = row["high_ms"]
    if high is None:
        notes.append("one round alone tells nothing about how sure its times are")
    elif (high - row["low_ms"]) / (2 * row["ms"]) > NOISY:
        notes.append("the machine was noisy: look at the interval before you trust the median")
    if abs(row["sum_ratio"] - 1) > ADDS_UP:
        notes.append(
            "the machine was busy: the stages' medians (p50) do not add up to the whole, their "
            "parts of it (of_median) do"
        )
    return notes


def _accuracy(line: Line) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    if "metric" in line:
        found["metric"] = line["metric"]
        found["scores"] = line["scores"]
        found["accuracy"] = line["scores"][line["metric"]]
    for name in ("agreement", "drop", "confusion"):
        if name in line:
            found[name] = line[name]
    return found


def _file_mb(path: Optional[str]) -> Optional[float]:
    try:
        return None if path is None else round(os.path.getsize(path) / 1e6, 3)
    except OSError:
        return None


def alike(rows: Sequence[Dict[str, Any]]) -> List[str]:
    """Sentences on neighbours in speed that could not be told apart for noise."""
    timed = sorted((r for r in rows if r.get("round_ms")), key=lambda r: r["ms"])
    found = []
    for one, two in zip(timed, timed[1:]):
        ratio = compare_rounds(one["round_ms"], two["round_ms"])
        if ratio.verdict == "too close to tell" and abs(ratio.value - 1) > ALIKE:
            found.append(f"{title(one)} ({one['ms']:.1f} ms) and {title(two)} ({two['ms']:.1f})")
    if not found:
        return []
    return ["the machine was too noisy to tell apart: " + "; ".join(found)]


def title(row: Dict[str, Any]) -> str:
    """What a row is called in words, e.g. `yolox-tiny 416 INT8`."""
    name, size = str(row["model"]), row.get("size")
    parts = [name]
    if size:
        text = str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"
        if text not in name:
            # A file's name often ends with the size that it was exported in.
            parts = [_ENDS_IN_SIZE.sub("", name) or name, text]
    if row.get("precision"):
        parts.append(str(row["precision"]).upper())
    if row.get("several_backends"):
        parts.append(f"by {row['backend']}")
    return " ".join(parts)


def place_of(row: Dict[str, Any], titled: bool = False) -> str:
    """Where a row was measured or estimated: the device, and its power mode where it is a slower
    one, e.g. `orin-nano in 7W`.

    Args:
        row: As `profile` gives it.
        titled: The device as its maker calls it.
    """
    device = str(row["device"])
    place = DEVICES[device].title if titled and device in DEVICES else device
    return f"{place} in {row['mode']}" if row.get("mode") not in (None, "MAXN") else place


def estimated_rows(
    measured: Sequence[Dict[str, Any]],
    devices: Sequence[str],
    batch: int = 1,
    modes: Sequence[str] = (),
) -> List[Dict[str, Any]]:
    """What each measured or made model would take on other devices, in each of their modes.

    Accuracy is that of the model measured here: precisions of two backends differ little. What
    cannot be estimated has a row with `error`.

    Raises:
        UsageError: A device or power mode is unknown.
    """
    if not devices:
        return []
    from ..estimator.hardware import in_modes

    pairs = in_modes([find_device(name) for name in devices], modes)
    found: List[Dict[str, Any]] = []
    seen = set()
    floating = {_of(r): r["path"] for r in measured if r.get("precision") == "fp32"}
    for row in measured:
        precision = row.get("precision")
        # Casts and Q/DQ would be counted as work: the float graph is what engines are made of.
        path = str(floating.get(_of(row)) or (row["path"] if row["made"] else ""))
        for device, mode in pairs:
            mark = (*_of(row), precision, device.name, mode)
            if mark in seen or precision is None or not path.endswith(".onnx"):
                continue
            seen.add(mark)
            shared = {
                "kind": "estimate",
                "model": row["model"],
                "size": row.get("size"),
                "precision": precision,
                "device": device.name,
                "mode": mode or "MAXN",
                "error": None,
                "notes": [],
            }
            for name in ("accuracy", "metric"):
                if row.get(name) is not None:
                    shared[name] = row[name]
            try:
                told = _estimate(path, device.name, mode, precision, batch)
                found.append({**shared, **told})
            except EdgelaneError as error:
                found.append({**shared, "error": str(error)})
    return found


def _of(row: Dict[str, Any]) -> Tuple[Any, ...]:
    return (row["model"], tuple(row.get("size") or ()))


def _estimate(
    path: str, device: str, mode: Optional[str], precision: str, batch: int
) -> Dict[str, Any]:
    from ..estimator import estimate

    told = estimate(path, [device], [precision], batch=batch, mode=mode)[0]
    # What is known of the model here stays, such as the size that was asked for.
    kept = {k: v for k, v in told.items() if k not in ("model", "size", "precision", "device")}
    kept.update(infer_ms=told["ms"], fps=round(1e3 * batch / told["ms"], 3))
    kept["fitted_on"] = _fitted_on()
    return kept


def _fitted_on() -> str:
    """What estimates were fitted on, in words."""
    from ..estimator.fit import load

    found = load()
    sources = len(found["publishers"])
    return f"{found['rows']} published latencies from {sources} sources (published.csv)"


def beside(rows: Sequence[Dict[str, Any]]) -> List[str]:
    """Sentences on how far estimates were from what was measured on the same device."""
    measured = {
        (*_of(r), r.get("precision"), r["device"]): r
        for r in rows
        if r["kind"] == "measured" and r.get("infer_ms")
    }
    found = []
    for row in rows:
        mark = (*_of(row), row.get("precision"), row["device"])
        if row["kind"] != "estimate" or mark not in measured or not row.get("ms"):
            continue
        if place_of(row) != row["device"]:
            continue  # which mode a device was measured in is not known
        truth = measured[mark]["infer_ms"]
        off = 100 * (row["ms"] / truth - 1)
        inside = row["low_ms"] <= truth <= row["high_ms"]
        row["off_percent"] = round(off, 1)
        found.append(
            f"{title(row)} on {row['device']}: estimated {row['ms']:.1f} ms, measured "
            f"{truth:.1f} ms: {abs(off):.0f} % too {'high' if off > 0 else 'low'}, "
            f"{'within' if inside else 'outside'} its interval"
        )
    return found
