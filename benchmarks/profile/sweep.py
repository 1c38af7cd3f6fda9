"""A sweep: every model in every size and precision, measured, estimated, and set against others."""

import contextlib
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from ...core import EdgelaneError, StorageError, UsageError, find_device
from .data import Data, find_data
from .front import Budget, answers, mark_front
from .journal import Journal
from .measuring import Plan, measure_rows, parse_backends, rows_of, usual_backends
from .rows import alike, beside, estimated_rows, measured_rows, this_machine
from .variants import Making, Variant, make_variants, parse_precisions, parse_sizes

PathLike = Union[str, Path]
Tell = Callable[[str, float, Optional[float]], None]


def profile(
    models: Sequence[PathLike],
    data: PathLike,
    *,
    out: PathLike,
    sizes: Sequence[Union[str, int, Sequence[int]]] = (),
    precisions: Sequence[str] = (),
    devices: Sequence[str] = (),
    modes: Sequence[str] = (),
    backends: Sequence[str] = (),
    images: Optional[PathLike] = None,
    calibration: Optional[PathLike] = None,
    repeats: int = 5,
    seconds: float = 1.0,
    threads: Optional[int] = None,
    task: Optional[str] = None,
    decoder: Optional[str] = None,
    accuracy: bool = True,
    budget: Optional[Budget] = None,
    on: Optional[str] = None,
    ssh: Sequence[str] = ("ssh",),
    remote_python: str = "python3",
    progress: Optional[Tell] = None,
) -> Dict[str, Any]:
    """Measure models on this machine, or on another one over ssh, and estimate other devices.

    Every row is measured `repeats` times, each time in a process of its own, in rounds that meet
    all rows. What is measured is kept in `out` at once: a sweep that was cut off goes on when it
    is called again. What fails is told in its row, and the others go on.

    Args:
        models: ONNX files, or engines.
        data: COCO file, or a folder of pictures with or without labels; see `data.find_data`.
        out: Folder for the report, the rows and the models that are made.
        sizes: Sizes of the input, `416` or `"640x384"`; none for what each file has.
        precisions: Of `fp32`, `fp16` and `int8`; none for what each file has. Others are made.
        devices: Names of Jetsons to estimate for, as in `core.DEVICES`.
        modes: Their power modes, of which each takes those that it has; none for the fastest.
        backends: Of `onnxruntime` and `tensorrt`; none for the fastest that the machine has.
        images: Folder of the images of a COCO file, where it is not beside it.
        calibration: Pictures to calibrate INT8 with; those of `data` unless given.
        repeats: Rounds; up to twice as many of rows that are not steady then.
        seconds: Time that a round measures at least.
        threads: Threads for one run on the CPU; None for what suits.
        task: `detect`, `pose` or `classify`, of models that do not say.
        decoder: How outputs are read, of models that do not show it.
        accuracy: Whether it is judged how right the models are.
        budget: What picks.
        on: `user@host` of the machine to measure on instead of this one.
        ssh: The command that reaches it, with its options.
        remote_python: Python there that has edgelane.
        progress: Called with what is being done, how much of it, and of how much or None.

    Returns:
        `rows` (those measured, then those estimated), `answers` (`device`, `text`, `row`),
        `notes`, `about`, the paths `report`, `csv`, `json` and `png` (None without matplotlib),
        and `problem`: why the files could not be written in the end, or None. Each row has
        `kind` (`measured` or `estimate`), `model`, `size`, `precision`, `backend`, `device`,
        `error` (None where all went well), `notes`, and as far as they are known `mode` (of
        estimates), `ms` with `low_ms` and `high_ms`, `infer_ms`, `fps`, `stages` (`p50`, `p95`,
        `p99`, `mean` and `of_median` by name), `peak_mb`, `file_mb`, `metric`, `accuracy` (0..1),
        `agreement`, `drop`, `watts`, `energy_mj`, `temperature_c`, `front` and `energy_front`.

    Raises:
        UsageError: What is asked for makes no sense.
        DataError: There are no pictures.
        StorageError: The folder cannot be written.
        EdgelaneError: The other machine cannot be reached.
    """
    from .outputs import write_outputs

    if isinstance(repeats, bool) or int(repeats) != repeats or repeats < 1:
        raise UsageError("repeats must be a count", got=repeats, expected="1 or more, usually 5")
    if not 0 < seconds <= 600:
        raise UsageError("seconds make no sense", got=seconds, expected="0.1 to 600")
    if not models:
        raise UsageError("there is no model to profile")
    wanted, kinds = parse_sizes(sizes), parse_precisions(precisions)
    targets = [find_device(name).name for name in devices]
    if modes and not targets:
        raise UsageError("power modes are those of devices to estimate for, and none is named")
    if targets:
        from ..estimator.hardware import in_modes

        in_modes([find_device(name) for name in targets], modes)  # refuses at once what is unknown
    runners = parse_backends(backends)
    found = find_data(data, images)
    folder = Path(out)
    journal = Journal(_usable(folder) / "rows.jsonl")
    tell: Tell = progress or (lambda what, done, of: None)
    # What the CPU runs fastest is less right than what TensorRT takes. So INT8 is made for the
    # CPU only where nothing else is asked about.
    elsewhere = on is not None or bool(targets)
    here = ["tensorrt"] if elsewhere else runners or usual_backends()
    making = Making(
        folder,
        found,
        None if calibration is None else Path(calibration),
        decoder,
        "trt" if "tensorrt" in here else "cpu",
        lambda text: tell(f"making {text}", 0, None),
    )
    variants = list(make_variants(models, wanted, kinds, making))
    plan = Plan(variants, found, runners, repeats, seconds, threads, task, decoder, accuracy)
    if on is not None:
        from .remote import measure_there

        rows, machine = measure_there(on, plan, journal, ssh=ssh, python=remote_python, tell=tell)
    else:
        rows, machine = measure_here(plan, journal, folder, tell), this_machine()
    table = measured_rows(rows, journal, machine)
    notes = alike(table)
    table += estimated_rows(table, targets, modes=modes)
    notes += beside(table)
    mark_front(table)
    picked = answers(table, budget or Budget())
    if not journal.flush():
        notes.append(f"{journal.path} could not be written: {journal.problem}")
    about = _about(found, plan, machine)
    try:
        return {**write_outputs(folder, table, picked, notes, about), "problem": None}
    except StorageError as error:
        # What was measured took longer than a disk takes to be cleared: it is handed on.
        told = {"rows": table, "answers": picked, "notes": notes, "about": about}
        files = dict.fromkeys(("report", "csv", "json", "png"))
        return {**told, **files, "problem": str(error)}


def measure_here(plan: Plan, journal: Journal, folder: Path, tell: Tell) -> List[Any]:
    """Measure a plan on this machine; its rows."""
    rows = rows_of(plan)
    measure_rows(rows, plan, journal, folder, lambda done, of: tell("measuring", done, of))
    return rows


def run_job(path: PathLike, out: PathLike, say: Callable[[Dict[str, Any]], None]) -> None:
    """Measure what a job file asks for and say each line of the journal as it comes.

    This is how another machine is measured: the models are made already, so neither onnx nor
    torch is needed.

    Args:
        path: The job: `data`, `variants` and the numbers of a `Plan`; paths are relative to it.
        out: Folder for the journal.
        say: Called with each line, those of an earlier run first; with the machine before them,
            and the keys of the rows after them.
    """
    path, folder = Path(path), Path(out)
    job = json.loads(path.read_text(encoding="utf-8"))
    variants = []
    for given in job["variants"]:
        variant = Variant.from_dict(given)
        if variant.path is not None:
            moved = {**variant.to_dict(), "path": str(path.parent / variant.path)}
            variant = Variant.from_dict(moved)
        variants.append(variant)
    plan = Plan(variants, Data.from_dict(job["data"], path.parent), **job["plan"])
    journal = _Told(_usable(folder) / "rows.jsonl", say)
    name, words = this_machine()
    say({"kind": "machine", "device": name, "machine": words})
    for line in journal:
        say(line)
    rows = rows_of(plan)
    say({"kind": "rows", "rows": [[row.backend, row.key] for row in rows]})

    def tell(done: float, of: float) -> None:
        say({"kind": "progress", "done": done, "of": of})

    measure_rows(rows, plan, journal, folder, tell)
    say({"kind": "end", "problem": None if journal.flush() else journal.problem})


class _Told(Journal):
    """A journal that tells each line as it comes."""

    def __init__(self, path: Path, say: Callable[[Dict[str, Any]], None]) -> None:
        super().__init__(path)
        self._say = say

    def append(self, line: Dict[str, Any]) -> bool:
        new = super().append(line)
        if new:
            self._say(line)
        return new


def _usable(folder: Path) -> Path:
    """The folder, made.

    Raises:
        StorageError: It cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (folder / ".tried").unlink()
        (folder / ".tried").touch()
        (folder / ".tried").unlink()
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written", got=error.strerror, remedy="choose another --out"
        ) from None
    return folder


def _about(data: Data, plan: Plan, machine: Any) -> Dict[str, Any]:
    import datetime

    from ... import __version__

    versions = {"edgelane": __version__}
    for library in ("onnxruntime", "numpy"):
        with contextlib.suppress(EdgelaneError, ImportError):
            versions[library] = _version(library)
    labels = data.annotations or data.labels or (data.images if data.kinds else None)
    return {
        "date": datetime.date.today().isoformat(),
        "device": machine[0],
        "machine": machine[1],
        "versions": versions,
        "data": str(data.images),
        "labels": None if labels is None else str(labels),
        "pictures_timed": len(data.timed),
        "repeats": plan.repeats,
        "seconds": plan.seconds,
    }


def _version(library: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        raise ImportError(library) from None
