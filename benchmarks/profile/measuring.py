"""Rounds of measurements on this machine: a process for each, in an order anew each time."""

import hashlib
import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from ...core import EdgelaneError, UsageError, did_you_mean
from ...runtime.backends.serve import is_engine
from .data import Data
from .journal import Journal
from .sensors import Sensors
from .stats import median_of_rounds
from .variants import Variant

WORKER = "edgelane.benchmarks.profile.worker"
BACKENDS = ("onnxruntime", "tensorrt")

STEADY = 0.015
"""Half of the interval of a median, as a share of it, with which a row needs no more rounds."""

LONGEST_S = 900.0
"""Seconds after which a round is given up."""


@dataclass
class Plan:
    """What is measured.

    Attributes:
        variants: The models; those without a file are passed over.
        data: Pictures.
        backends: Names; empty for the fastest that this machine has.
        repeats: Rounds of each row; up to twice as many where a row is not steady.
        seconds: That a round measures at least.
        threads: Threads for one run on the CPU; None for what suits.
        task: What the models do, where nothing says.
        decoder: How their outputs are read, where nothing shows it.
        accuracy: Whether it is judged how right they are.
    """

    variants: Sequence[Variant]
    data: Data
    backends: Sequence[str] = ()
    repeats: int = 5
    seconds: float = 1.0
    threads: Optional[int] = None
    task: Optional[str] = None
    decoder: Optional[str] = None
    accuracy: bool = True


@dataclass
class Row:
    """A variant on a backend.

    Attributes:
        variant: The model.
        backend: What runs it.
        key: Its name in the journal: changes with all that its times depend on.
        path: The file that is run, an engine where the variant is an ONNX for TensorRT.
    """

    variant: Variant
    backend: str
    key: str
    path: Optional[str] = None
    failed: bool = field(default=False, compare=False)


def parse_backends(names: Sequence[str]) -> List[str]:
    """The backends, checked and once each.

    Raises:
        UsageError: One is unknown.
    """
    for name in names:
        if name not in BACKENDS:
            raise UsageError(f"backend {name!r} is unknown", remedy=did_you_mean(name, BACKENDS))
    return list(dict.fromkeys(names))


def usual_backends() -> List[str]:
    """The fastest backend that this machine has."""
    from ...runtime.engines import installed_tensorrt, load_tensorrt

    if installed_tensorrt() is None:
        return ["onnxruntime"]
    try:
        load_tensorrt()
    except EdgelaneError:
        return ["onnxruntime"]
    return ["tensorrt"]


def rows_of(plan: Plan) -> List[Row]:
    """Every variant on every backend."""
    backends = list(plan.backends) or usual_backends()
    rows = []
    for variant in plan.variants:
        engine = variant.path is not None and is_engine(variant.path)
        for backend in ["tensorrt"] if engine else backends:
            rows.append(Row(variant, backend, _key(variant, backend, plan)))
    return rows


def _key(variant: Variant, backend: str, plan: Plan) -> str:
    mark = hashlib.sha256()
    if variant.path is not None:
        mark.update(Path(variant.path).read_bytes())
    how = [plan.data.identity, plan.seconds, plan.threads, plan.task, plan.decoder]
    mark.update(json.dumps([variant.size, *how]).encode())
    size = "own" if variant.size is None else "{}x{}".format(*variant.size)
    return f"{variant.model}/{size}/{variant.precision}/{backend}#{mark.hexdigest()[:12]}"


def measure_rows(
    rows: Sequence[Row],
    plan: Plan,
    journal: Journal,
    folder: Path,
    tell: Callable[[float, float], None] = lambda done, of: None,
) -> None:
    """Measure what the journal lacks.

    In every round each row is measured once, in an order drawn anew, so that a machine that grows
    hot or busy meets all alike. A row that fails is left aside from then on.

    Args:
        rows: What to measure.
        plan: How.
        journal: Where measurements go.
        folder: For detections and engines.
        tell: Called with how many measurements are done, and of how many.
    """
    rows = [row for row in rows if row.variant.error is None]
    done = {row.key: len(journal.of(row.key, "round")) for row in rows}
    judged = {row.key for row in rows if journal.of(row.key, "accuracy")}
    total = len(rows) * (plan.repeats + plan.accuracy)

    def told() -> None:
        left = sum(max(plan.repeats - done[r.key], 0) for r in rows if not r.failed)
        left += sum(plan.accuracy and r.key not in judged for r in rows if not r.failed)
        tell(max(total - left, 0), total)

    def fail(row: Row, what: str, reason: str) -> None:
        row.failed = True
        journal.append({"kind": "error", "key": row.key, "step": what, "error": reason})
        told()

    told()
    for row in rows:
        lacking = done[row.key] < plan.repeats or (plan.accuracy and row.key not in judged)
        try:
            row.path = _ready(row, folder) if lacking else row.variant.path
        except EdgelaneError as error:
            fail(row, "build", str(error))
    with Sensors() as sensors:
        for number in range(2 * plan.repeats):
            open_ones = [r for r in rows if not r.failed and done[r.key] <= number]
            if number >= plan.repeats:
                open_ones = [r for r in open_ones if not steady(journal, r.key)]
            random.Random(number).shuffle(open_ones)
            for row in open_ones:
                found = _ask({"what": "time", "seconds": plan.seconds, **_task(row, plan)})
                if "error" in found:
                    fail(row, "time", found["error"])
                    continue
                begin, end = found.pop("begin"), found.pop("end")
                found.update(sensors.between(begin, end))
                if "watts" in found:
                    mean = (end - begin) / found["frames"]
                    found["energy_mj"] = round(1e3 * found["watts"] * mean, 3)
                journal.append({"kind": "round", "key": row.key, "round": number, **found})
                done[row.key] += 1
                told()
    if plan.accuracy:
        _judge(rows, plan, journal, folder, judged, fail, told)


def steady(journal: Journal, key: str) -> bool:
    """Whether the median of a row is known well enough."""
    rounds = [line["stages"]["end_to_end"]["p50"] for line in journal.of(key, "round")]
    return median_of_rounds(rounds).spread <= STEADY


def _judge(
    rows: Sequence[Row],
    plan: Plan,
    journal: Journal,
    folder: Path,
    judged: set,
    fail: Callable[[Row, str, str], None],
    told: Callable[[], None],
) -> None:
    """How right each row is; the float ones first, for others are compared with them."""
    kept = folder / "found"
    kept.mkdir(parents=True, exist_ok=True)
    files = {row.key: kept / (hashlib.sha256(row.key.encode()).hexdigest()[:16] + ".npz")
             for row in rows}  # fmt: skip
    floating: Dict[Any, str] = {}
    for row in sorted(rows, key=lambda r: r.variant.precision != "fp32"):
        group = (row.variant.source, row.variant.size, row.backend)
        if row.variant.precision == "fp32" and row.key in judged and files[row.key].exists():
            floating[group] = str(files[row.key])
        if row.failed or row.key in judged:
            continue
        reference = None if row.variant.precision == "fp32" else floating.get(group)
        asked = {"what": "accuracy", "keep": str(files[row.key]), "reference": reference}
        found = _ask({**asked, **_task(row, plan)})
        if "error" in found:
            # Its times are measured, and stay.
            journal.append(
                {"kind": "error", "key": row.key, "step": "accuracy", "error": found["error"]}
            )
            judged.add(row.key)
            told()
            continue
        if row.variant.precision == "fp32" and files[row.key].exists():
            floating[group] = str(files[row.key])
        journal.append({"kind": "accuracy", "key": row.key, **found})
        judged.add(row.key)
        told()


def _task(row: Row, plan: Plan) -> Dict[str, Any]:
    return {
        "path": row.path or row.variant.path,
        "backend": row.backend,
        "data": plan.data.to_dict(),
        "task": plan.task,
        "decoder": plan.decoder,
        "threads": plan.threads,
    }


def _ready(row: Row, folder: Path) -> Optional[str]:
    """The file that the backend runs; an engine is built of an ONNX for TensorRT.

    Raises:
        EdgelaneError: It cannot be built.
    """
    path = row.variant.path
    if row.backend != "tensorrt" or path is None or is_engine(path):
        return path
    from ...runtime.engines import build_engine

    place = folder / "engines"
    place.mkdir(parents=True, exist_ok=True)
    engine = place / f"{Path(path).stem}-{row.variant.precision}.engine"
    return str(build_engine(path, engine, precision=row.variant.precision).path)


def _ask(task: Dict[str, Any]) -> Dict[str, Any]:
    """What a worker answers; `error` where it failed or died."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", WORKER],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it was given up after {LONGEST_S:.0f} s."}
    except OSError as error:
        return {"error": f"no process could be started: {error.strerror}."}
    lines = done.stdout.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    return {"error": _death(done.returncode, done.stderr, time.monotonic() - began)}


def _death(code: int, stderr: str, seconds: float) -> str:
    if code == -9:
        return f"its process was killed after {seconds:.0f} s; most often memory had run out."
    if code < 0:
        return f"its process died of signal {-code} after {seconds:.0f} s."
    last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
    return f"its process failed: {last[:300]}"
