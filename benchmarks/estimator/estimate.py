"""Latency of a model on Jetsons that are not on the desk, with an interval."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...calibration.graph import read_model
from ...core import ModelError, UsageError, did_you_mean
from ...core.devices import PRECISIONS, Device, find_device
from ..networks import build_network
from . import dla as accelerator
from .advice import advice, dominating
from .fit import load
from .hardware import Gpu, gpu_of, in_modes
from .latency import KINDS, columns, parts, runs_of, seconds, share_by_kind
from .layers import Layer, gigaflops, in_precision, layers_of
from .published import TIMINGS
from .validate import generation_group

STATED = (
    "estimated from the graph, nothing was measured: the engine alone, as trtexec times it, "
    "in the fastest power mode unless said, with clocks locked"
)

# What an interval grows by where rows do not reach, added to the logarithm's half width as squares.
NO_ROWS = 0.15
NO_ROWS_OF_GENERATION = 0.7
SLOWER_MODE = 0.15
ACCELERATOR = 0.45

Size = Optional[Tuple[int, int]]


class _Model(NamedTuple):
    name: str
    size: Size
    layers: List[Layer]
    marked: bool


@lru_cache(maxsize=1)
def _fitted() -> Dict[str, Any]:
    return load()


def estimate(
    models: Union[Any, Sequence[Any]],
    devices: Sequence[str],
    precisions: Sequence[str] = ("fp16",),
    batch: int = 1,
    sizes: Sequence[Size] = (None,),
    mode: Union[str, Sequence[str], None] = None,
    dla: bool = False,
    timing: str = "bare",
) -> List[Dict[str, Any]]:
    """Latency of models on devices, estimated from their graphs.

    Args:
        models: Path of an ONNX file, a `ModelProto`, the name of a reference network such as
            `resnet50`, or several of them.
        devices: Names as in `core.devices`.
        precisions: Of `fp32`, `fp16` and `int8`. Where a device has no fast INT8, what it would
            run instead is estimated and the row says so. A graph with Q/DQ keeps its own layers in
            float in INT8; in the others it is taken without them.
        batch: Pictures a run.
        sizes: `(width, height)` of the picture; None for the model's own.
        mode: Power mode, or several, of which each device takes those that it has; the fastest
            unless given.
        dla: On a deep-learning accelerator, with the GPU for what it cannot run.
        timing: What is counted: `bare`, `framework loop`, `end to end` or `mlperf`.

    Returns:
        Rows of `model`, `device`, `precision`, `batch`, `size`, `ms` of one run, `low_ms` and
        `high_ms` that hold it with `confidence`, `runs_as`, `mode`, `gflops` of one run,
        `launches`, `share` of the time by kind of launch, `dominating` launches, `notes` and
        `advice`.

    Raises:
        UsageError: A device, precision, power mode or network is unknown.
        ModelError: A graph cannot be read, its shapes cannot be told, or it is made for another
            size.
    """
    wanted = [find_device(name) for name in devices]
    _check(wanted, precisions, batch, timing)
    pairs = in_modes(wanted, [mode] if isinstance(mode, str) else list(mode or ()))
    for device in wanted if dla else ():
        for precision in precisions:
            accelerator.check(device, precision)
    rows = []
    several = isinstance(models, (list, tuple))
    for model in models if several else [models]:
        for size in sizes:
            read = _read(model, size)
            for device, slower in pairs:
                gpu = gpu_of(device, slower)
                for precision in precisions:
                    rows.append(_row(read, device, gpu, precision, batch, slower, dla, timing))
    return rows


def _check(devices: Sequence[Device], precisions: Sequence[str], batch: int, timing: str) -> None:
    for precision in precisions:
        if precision not in PRECISIONS:
            raise UsageError(
                f"there is no precision {precision!r}", remedy=did_you_mean(precision, PRECISIONS)
            )
    if timing not in TIMINGS:
        raise UsageError(f"nothing is timed as {timing!r}", expected=" or ".join(TIMINGS))
    if batch < 1:
        raise UsageError("a run has at least one picture", got=batch)
    if not devices or not precisions:
        raise UsageError("nothing to estimate", expected="at least one device and precision")


def _read(model: Any, size: Size) -> _Model:
    from ..profile.resize import resize

    name = "model"
    if isinstance(model, (str, Path)):
        name, path = Path(model).stem, Path(model)
        if path.exists() or path.suffix == ".onnx":
            model = read_model(path)
        else:
            name = str(model)
            model = build_network(name, size)
    own = _size(model)
    if size is not None and own is not None and own != size:
        model = resize(model, size, name)
    layers = layers_of(model, 1, size)
    if not layers:
        raise ModelError(f"{name} has nothing that takes time", got="a graph without layers")
    return _Model(name, size or own, layers, any(layer.quantised for layer in layers))


def _size(model: Any) -> Size:
    """Size of the picture that a graph takes; None where there is none or it is open."""
    from ..profile.resize import input_size

    try:
        width, height = input_size(model)
    except ModelError:
        return None
    return (width, height) if width and height else None


def _row(
    model: _Model,
    device: Device,
    gpu: Gpu,
    precision: str,
    batch: int,
    mode: Optional[str],
    dla: bool,
    timing: str,
) -> Dict[str, Any]:
    found = _fitted()
    p = found["parameters"]
    runs_as = precision if device.fast(precision) else "fp16"
    layers = in_precision(model.layers, model.marked and runs_as == "int8")
    entry = (columns(layers), gpu, runs_as, batch, timing)
    runs = runs_of([entry])
    cost = parts(p, runs)
    if dla:
        took = accelerator.dla_seconds(found["dla"]["parameters"], p, entry, device.soc)
    else:
        took = float(seconds(p, runs)[0])
    ms = 1e3 * took
    share = share_by_kind(p, runs)[0]
    notes = _notes(model, device, precision, runs_as, mode, dla)
    width, why = _half_width(found, device, gpu, share, ms, mode, dla)
    return {
        "kind": "estimate",
        "model": model.name,
        "device": device.name,
        "precision": precision,
        "batch": batch,
        "size": list(model.size) if model.size else None,
        "ms": _round(ms),
        "low_ms": _round(ms * np.exp(-width)),
        "high_ms": _round(ms * np.exp(width)),
        "confidence": found["confidence"],
        "runs_as": runs_as,
        "mode": mode or "MAXN",
        "processor": "dla" if dla else "gpu",
        "timing": timing,
        "gflops": _round(gigaflops(layers) * batch),
        "launches": len(layers),
        "share": {kind: round(float(s), 3) for kind, s in zip(KINDS, share) if s >= 0.005},
        "dominating": [] if dla else dominating(layers, cost),
        "notes": notes + why,
        "advice": [] if dla else advice(layers, cost, device, runs_as, batch),
    }


def _notes(
    model: _Model, device: Device, precision: str, runs_as: str, mode: Optional[str], dla: bool
) -> List[str]:
    notes = []
    if runs_as != precision:
        notes.append(
            f"{device.title} has no fast {precision.upper()}; TensorRT runs it in "
            f"{runs_as.upper()}, the best precision there"
        )
    if model.marked and precision != "int8":
        notes.append(
            f"the graph is quantised, and TensorRT keeps it so: this is its float model in "
            f"{runs_as.upper()}"
        )
    if mode is not None:
        notes.append(f"clocks of the power mode {mode}; published rows are of the fastest modes")
    if dla:
        notes.append("few rows tell of accelerators: a rough figure")
    return notes


def _half_width(
    found: Dict[str, Any],
    device: Device,
    gpu: Gpu,
    share: np.ndarray,
    ms: float,
    mode: Optional[str],
    dla: bool,
) -> Tuple[float, List[str]]:
    """Logarithm of what the interval multiplies and divides by, and why it is wider than usual."""
    base = found["half_widths"]
    grown, why = [base.get(generation_group(gpu.generation), base["all"])], []
    if not gpu.known:
        grown.append(NO_ROWS_OF_GENERATION)
        why.append(f"no rows of the generation of {device.title}: little more than a guess")
    elif not found["devices"].get(device.name):
        grown.append(NO_ROWS)
        why.append(f"no rows of {device.title} itself, but of the same generation")
    largest = np.array([found["largest_share"][kind] for kind in KINDS])
    beyond = float(np.maximum(share - largest, 0).sum())
    if beyond > 0.02:
        grown.append(1.5 * beyond)
        kind = KINDS[int(np.argmax(share - largest))]
        why.append(f"more of its time goes to `{kind}` than in any network that was fitted")
    low, high = found["range_ms"]
    outside = max(np.log(low / ms), np.log(ms / high), 0.0)
    if outside > 0.1:
        grown.append(0.2 * float(outside))
        why.append("faster or slower than anything that was published")
    if mode is not None:
        grown.append(SLOWER_MODE)
    if dla:
        grown.append(ACCELERATOR)
    return float(np.sqrt(np.sum(np.square(grown)))), why


def _round(value: float) -> float:
    """Four digits: more would not be true."""
    return float(f"{value:.4g}")
