"""An ONNX in, an engine with its passport out: planned, built or taken from the cache."""

import contextlib
import dataclasses
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Union

from ...core import ModelError, StorageError, UsageError
from ...core.devices import Device, find_device
from ..jetson import JETPACKS
from ..onnx_metadata import read_metadata
from .builder import Report, compile_engine
from .cache import EngineCache, Kept
from .graph import GraphFacts, read_graph
from .machine import here, load_tensorrt, this_device
from .passport import Here, Passport, write_engine, write_passport
from .plan import AUTO, BuildPlan, plan_build
from .ranges import read_calibration_cache
from .shapes import Batch

PathLike = Union[str, "os.PathLike[str]"]


class Built(NamedTuple):
    """An engine that was asked for.

    Attributes:
        path: The engine.
        passport: What it is.
        plan: How it was planned.
        seconds: How long the build took; of one from the cache, then.
        fresh: Whether it was built now; False where it was in the cache.
    """

    path: Path
    passport: Passport
    plan: BuildPlan
    seconds: float
    fresh: bool


def make_plan(
    onnx: PathLike,
    device: Union[str, Device],
    tensorrt: Optional[str] = None,
    *,
    precision: str = AUTO,
    dla_core: Optional[int] = None,
    calibration: Optional[PathLike] = None,
    batch: Union[None, int, Sequence[int]] = None,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    workspace_mb: Optional[int] = None,
    level: Optional[int] = None,
) -> BuildPlan:
    """How an engine would be built, for any device, on any machine.

    Args:
        onnx: The model.
        device: The device, or its name.
        tensorrt: Release on the device; that of its newest JetPack unless said.
        precision, dla_core, batch, shapes, workspace_mb, level: As in `plan_build`.
        calibration: File of ranges for INT8.

    Raises:
        UsageError: What is asked for does not go together, or the device cannot do it.
        ModelError: The model or the cache cannot be read, or is not fit for the device.
    """
    target = find_device(device) if isinstance(device, str) else device
    return _plan(
        read_graph(onnx),
        target,
        tensorrt or usual_tensorrt(target),
        {
            "precision": precision,
            "dla_core": dla_core,
            "calibration": calibration,
            "batch": batch,
            "shapes": shapes,
            "workspace_mb": workspace_mb,
            "level": level,
        },
    )


def usual_tensorrt(device: Device) -> str:
    """The release of TensorRT that the newest JetPack of a device brings."""
    fits = []
    for jetpack in JETPACKS:
        release = tuple(int(n) for n in jetpack.tensorrt.split(".")[:2])
        oldest, newest = device.tensorrt
        if release >= oldest and (newest is None or release <= newest):
            fits.append(jetpack.tensorrt)
    return fits[-1]


def build_engine(
    onnx: PathLike,
    engine: Optional[PathLike] = None,
    *,
    precision: str = AUTO,
    dla_core: Optional[int] = None,
    calibration: Optional[PathLike] = None,
    batch: Union[None, int, Sequence[int]] = None,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    workspace_mb: Optional[int] = None,
    level: Optional[int] = None,
    device: Union[None, str, Device] = None,
    force: bool = False,
    cache: Optional[EngineCache] = None,
    trt: Any = None,
    root: str = "/",
    report: Optional[Report] = None,
) -> Built:
    """Build an engine on the machine that will run it, or take it from the cache.

    Args:
        onnx: The model.
        engine: The file to write, with its passport beside it; the cache alone if left out.
        precision, dla_core, batch, shapes, workspace_mb, level: As in `plan_build`.
        calibration: File of ranges for INT8.
        device: What this machine is, where it does not tell it right.
        force: Build even if the cache has it.
        cache: The cache of engines; the user's unless given.
        trt: The module `tensorrt`, if it is loaded already.
        root: Where `proc` and `etc` lie; another folder in tests.
        report: Called a few times a second with how far it is.

    Raises:
        UsageError: What is asked for does not go together, or the device cannot do it.
        ModelError: The model is not fit for it, or TensorRT fails.
        MissingDependency: TensorRT is not installed.
        StorageError: Nothing can be written where it should be.
    """
    options: Dict[str, Any] = {
        "precision": precision,
        "dla_core": dla_core,
        "calibration": calibration,
        "batch": batch,
        "shapes": shapes,
        "workspace_mb": workspace_mb,
        "level": level,
    }
    graph = read_graph(onnx)
    target = None if engine is None else Path(os.fspath(engine))
    if target is not None:
        _check_folder(target, graph)
    module = load_tensorrt() if trt is None else trt
    place = here(module, root)
    plan = _plan(graph, _target(device, place, root), place.tensorrt, options)
    if device is not None:
        options["device"] = plan.device
    store = cache or EngineCache()
    key = store.key(graph, plan, place)
    kept = None if force else store.find(key)
    fresh = kept is None
    if kept is None:
        kept = _build(module, graph, plan, place, store, key, target, options, report)
    path = kept.path
    if target is not None and path != target:
        _deliver(kept, target)
        path = target
    return Built(path, kept.passport, plan, kept.passport.seconds, fresh)


def _plan(
    graph: GraphFacts, device: Device, tensorrt: str, options: Mapping[str, Any]
) -> BuildPlan:
    asked = dict(options)
    path = asked.pop("calibration")
    batch = asked.pop("batch")
    calibration = None
    if path is not None:
        calibration = read_calibration_cache(path)
        _check_rewritten(graph, Path(os.fspath(path)))
    return plan_build(
        graph,
        device,
        tensorrt,
        calibration=calibration,
        batch=batch if batch is None or isinstance(batch, int) else _batch(batch),
        **asked,
    )


def _check_rewritten(graph: GraphFacts, cache: Path) -> None:
    """A calibration that rewrote the graph left it beside the cache, which is for that one alone.

    The tensors of both are called alike, so nothing else would tell.
    """
    beside = cache.with_name(f"{cache.stem}.float.onnx")
    if graph.quantized or not beside.is_file():
        return
    with contextlib.suppress(ModelError):
        right = read_graph(beside)
        mark = right.card.calibration if right.card else None
        mine = graph.card.calibration if graph.card else None
        if mark is None or right.sha256 == graph.sha256 or mark == mine:
            return
        raise UsageError(
            f"calibration cache {cache} is for {beside}, a rewritten graph",
            got=graph.path,
            remedy=f"build {beside}",
        )


def _batch(counts: Sequence[int]) -> Batch:
    if len(counts) != 3:
        raise UsageError(
            "batch is wrong", got=list(counts), expected="a count, or smallest, usual, largest"
        )
    return int(counts[0]), int(counts[1]), int(counts[2])


def _target(device: Union[None, str, Device], place: Here, root: str) -> Device:
    """The device to plan for: this machine, whatever it is called."""
    found = this_device(root)
    if device is None:
        assert found is not None  # `here` has found a GPU
        return found
    wanted = find_device(device) if isinstance(device, str) else device
    capability = "{}.{}".format(*wanted.compute_capability)
    if capability != place.compute_capability:
        raise UsageError(
            f"an engine for {wanted.title} is built on one",
            got=f"{place.gpu or 'this GPU'}, compute capability {place.compute_capability}",
            expected=capability,
            remedy="run it there, or add --dry-run to see the plan",
        )
    return wanted


def _check_folder(target: Path, graph: GraphFacts) -> None:
    """Tell before minutes of work that its result could not be written."""
    folder = target.parent
    if target.is_dir():
        raise UsageError(f"{target} is a folder", expected="a file to write")
    if not folder.is_dir():
        raise StorageError(f"folder {folder} does not exist", remedy="make it first")
    if not os.access(folder, os.W_OK):
        raise StorageError(f"folder {folder} cannot be written", remedy="choose another --out")
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        if free < graph.size:
            raise StorageError(
                f"the disk of {folder} is too full for an engine",
                got=f"{free / 2**20:.0f} MB free",
                expected=f"{graph.size / 2**20:.0f} MB or more",
                remedy="free some space",
            )


def _build(
    trt: Any,
    graph: GraphFacts,
    plan: BuildPlan,
    place: Here,
    store: EngineCache,
    key: str,
    target: Optional[Path],
    options: Mapping[str, Any],
    report: Optional[Report],
) -> Kept:
    """Build it, into the cache; straight into its place where the cache cannot be written."""
    usable = True
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(store.folder, os.W_OK)
    except OSError:
        usable = False
    if not usable and target is None:
        raise StorageError(
            f"the cache of engines {store.folder} cannot be written",
            remedy="set EDGELANE_ENGINES to another folder, or say --out",
        )
    begun = time.monotonic()
    timing = store.timing(place) if usable else None
    data = compile_engine(trt, graph, plan, timing, report, store.took(graph.path, place))
    passport = Passport(
        onnx=os.path.abspath(graph.path),
        onnx_sha256=graph.sha256,
        tensorrt=place.tensorrt,
        compute_capability=place.compute_capability,
        l4t=place.l4t,
        gpu=place.gpu,
        device=place.device,
        precision=plan.precision,
        dla_core=plan.dla_core,
        calibration=_calibration(graph, plan),
        profile={name: [list(s) for s in shapes] for name, shapes in plan.profile.items()},
        built=time.time(),
        seconds=round(time.monotonic() - begun, 3),
        engine_sha256=hashlib.sha256(data).hexdigest(),
        engine_size=len(data),
        metadata=read_metadata(graph.path),
        options=_again(options),
    )
    if usable:
        try:
            return Kept(store.store(key, data, passport), passport)
        except StorageError:
            if target is None:
                raise
    assert target is not None
    beside = _beside(passport, target)
    write_engine(target, data, beside)
    return Kept(target, beside)


def _calibration(graph: GraphFacts, plan: BuildPlan) -> Optional[str]:
    """What tells one calibration from another: of a graph with Q/DQ its card's hash."""
    if plan.calibration is not None:
        return plan.calibration.sha256
    return graph.card.calibration if graph.quantized and graph.card else None


def _again(options: Mapping[str, Any]) -> Dict[str, Any]:
    """The options that were given, as JSON keeps them, for `build_engine` to be asked again."""
    given = {name: value for name, value in options.items() if value is not None}
    if "calibration" in given:
        given["calibration"] = os.path.abspath(os.fspath(given["calibration"]))
    if "batch" in given and not isinstance(given["batch"], int):
        given["batch"] = list(given["batch"])
    if "shapes" in given:
        given["shapes"] = {name: list(shape) for name, shape in given["shapes"].items()}
    return given


def _beside(passport: Passport, target: Path) -> Passport:
    """The passport with its ONNX named from where the engine lies."""
    onnx = Path(passport.onnx)
    if onnx.parent != target.absolute().parent:
        return passport
    return dataclasses.replace(passport, onnx=onnx.name)


def _deliver(kept: Kept, target: Path) -> None:
    """Put an engine of the cache where it was asked for; without a copy on the same disk."""
    linked = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        os.link(kept.path, linked)
        os.replace(linked, target)
    except OSError:
        with contextlib.suppress(OSError):
            linked.unlink()
        write_engine(target, kept.path.read_bytes(), _beside(kept.passport, target))
        return
    write_passport(target, _beside(kept.passport, target))
