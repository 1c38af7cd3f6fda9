"""Latency of launches on a GPU: a few physical parameters, the same for every network.

A launch costs a fixed overhead that shrinks with the GPU's clock, plus the larger of the time that
its arithmetic and its traffic take, with a soft corner between the two (the roofline of Williams et
al. 2009). Arithmetic runs at a share of the peak that falls where a launch has too few outputs to
fill the multiprocessors, where channels do not fill the tiles of the kernels, and rises for the
3 x 3 convolutions that Winograd's algorithm (Lavin and Gray 2016) does in fewer multiplications.
"""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ...core.devices import PRECISIONS
from .hardware import Gpu
from .layers import Layer
from .published import TIMINGS

KINDS = ("conv", "grouped", "product", "pool", "pointwise", "copy", "resize", "other")
_CONV, _GROUPED, _PRODUCT = 0, 1, 2

Parameters = Dict[str, np.ndarray]
"""By name; what has four entries is by generation: Maxwell, Pascal, Volta, Ampere."""


class Prior(NamedTuple):
    """What a parameter is before any row is seen, and how far it may go.

    Attributes:
        value: Its median.
        spread: Standard deviation of its logarithm.
        shared: How far neighbouring generations may differ from what was expected of them, as a
            standard deviation of the logarithm; 0 where they have nothing in common.
    """

    value: Tuple[float, ...]
    spread: float
    shared: float = 0.0


PRIORS: Dict[str, Prior] = {
    # Seconds a launch at 1 GHz.
    "overhead": Prior((30e-6, 30e-6, 20e-6, 12e-6), 0.6, 0.25),
    # Of that, what launches cost that are no convolution or product, or of groups.
    "light": Prior((0.6, 0.8), 0.4),
    # Share of the FP16 peak that a large convolution reaches.
    "efficiency": Prior((0.8, 0.8, 0.55, 0.55), 0.4, 0.15),
    # FP32 beside FP16: half without tensor cores, CUDA cores on Volta, TF32 on Ampere.
    "fp32": Prior((0.5, 0.5, 0.14, 0.4), 0.3, 0.15),
    # INT8 beside FP16; two at best.
    "int8": Prior((1.0, 1.0, 1.7, 1.7), 0.15),
    # Share of the FP16 peak that depthwise convolutions reach; they use no tensor cores.
    "grouped": Prior((0.3, 0.3, 0.1, 0.1), 0.6, 0.3),
    # Share of the memory's bandwidth.
    "bandwidth": Prior((0.6, 0.6, 0.6, 0.6), 0.3, 0.15),
    # Multiplications saved by Winograd: on CUDA cores, on tensor cores.
    "winograd": Prior((1.3, 1.1), 0.3),
    # Outputs a multiprocessor at which half the efficiency is reached.
    "outputs": Prior((1000.0,), 1.0),
    # Inner products of this length reach half of it, for kernels have to start and to end: on
    # CUDA cores, on tensor cores.
    "depth": Prior((30.0, 120.0), 0.7),
    # Of the work that empty channels of a tile cost.
    "padding": Prior((0.5,), 0.5),
    # Seconds a run that belong to no launch.
    "run": Prior((50e-6,), 0.7),
    # Seconds a picture of what is done around the engine when that was timed as well.
    "around": Prior((1e-3,), 1.0),
    # What a way of timing multiplies, in the order of TIMINGS.
    "timing": Prior((1.0, 1.05, 1.05, 0.6), 0.08),
}


class Runs(NamedTuple):
    """Launches of several runs, one behind the other, as columns."""

    start: np.ndarray
    run: np.ndarray
    kind: np.ndarray
    macs: np.ndarray
    activations: np.ndarray
    weights: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    elements: np.ndarray
    kernel: np.ndarray
    precision: np.ndarray
    generation: np.ndarray
    multiprocessors: np.ndarray
    clock: np.ndarray
    peak: np.ndarray
    bytes_a_second: np.ndarray
    batch: np.ndarray
    timing: np.ndarray


def columns(layers: Sequence[Layer]) -> np.ndarray:
    """`(n, 10)` figures of launches, for `runs_of`."""
    return np.array(
        [
            [
                KINDS.index(layer.kind),
                layer.macs,
                layer.read + layer.written,
                layer.weights,
                layer.channels[0],
                layer.channels[1],
                layer.positions,
                layer.groups,
                layer.kernel,
                layer.quantised,
            ]
            for layer in layers
        ],
        float,
    ).reshape(-1, 10)


def runs_of(
    entries: Sequence[Tuple[np.ndarray, Gpu, str, int, str]],
) -> Runs:
    """Runs as columns.

    Args:
        entries: For each its launches at batch 1 as `columns` gives them, the GPU, the precision,
            the batch and how it was timed. In INT8 launches that are not quantised run in FP16.
    """
    lengths = [len(entry[0]) for entry in entries]
    run = np.repeat(np.arange(len(entries)), lengths)
    table = np.concatenate([entry[0] for entry in entries])

    def each(value: Any) -> np.ndarray:
        return np.array([value(gpu) for _, gpu, *_ in entries], float)[run]

    batch = np.array([entry[3] for entry in entries], float)
    precision = np.array([PRECISIONS.index(entry[2]) for entry in entries])[run]
    weighted = table[:, 0] <= _PRODUCT
    precision[(precision == 2) & weighted & (table[:, 9] == 0)] = 1
    return Runs(
        start=np.cumsum([0, *lengths[:-1]]),
        run=run,
        kind=table[:, 0].astype(int),
        macs=table[:, 1] * batch[run],
        activations=table[:, 2] * batch[run],
        weights=table[:, 3],
        inputs=table[:, 4],
        outputs=table[:, 5],
        elements=table[:, 6] * batch[run] * np.maximum(table[:, 5] * table[:, 7], 1),
        kernel=table[:, 8],
        precision=precision,
        generation=each(lambda g: g.generation).astype(int),
        multiprocessors=each(lambda g: g.multiprocessors),
        clock=each(lambda g: g.clock),
        peak=each(lambda g: g.peak),
        bytes_a_second=each(lambda g: g.bandwidth),
        batch=batch,
        timing=np.array([TIMINGS.index(entry[4]) for entry in entries]),
    )


class Parts(NamedTuple):
    """Seconds of each launch: fixed, arithmetic, traffic, and all together."""

    overhead: np.ndarray
    compute: np.ndarray
    memory: np.ndarray
    total: np.ndarray


_TILE = np.array([2, 2, 8, 8])
"""Channels that a kernel takes at once in FP16; four times as many in INT8."""


def parts(p: Parameters, runs: Runs) -> Parts:
    """What each launch costs."""
    r, g = runs, runs.generation
    int8, fp32 = r.precision == 2, r.precision == 0
    gain = np.where(fp32, p["fp32"][g], np.where(int8, p["int8"][g], 1.0))
    tile = _TILE[g] * np.where(int8, 4, 1)
    dense = (r.kind == _CONV) | (r.kind == _PRODUCT)
    grouped = r.kind == _GROUPED

    def filled(channels: np.ndarray, tile: np.ndarray) -> np.ndarray:
        return np.ceil(channels / tile) * tile / np.maximum(channels, 1)

    # The colours of a picture have kernels of their own, which take four.
    first = np.where(r.inputs <= 4, np.minimum(tile, 4), tile)

    work = 2 * r.macs
    padded = (filled(r.inputs, first) * filled(r.outputs, tile)) ** np.minimum(p["padding"][0], 1.5)
    winograd = (r.kernel == 9) & (r.kind == _CONV) & ~int8
    tensor_cores = ((g > 2) | ((g == 2) & ~fp32)).astype(int)
    saved = np.where(winograd, p["winograd"][tensor_cores], 1.0)
    half = p["outputs"][0] * np.where(g < 2, 0.25, 1.0)
    busy = 1 / (1 + half * r.multiprocessors / np.maximum(r.elements, 1))
    inner = np.maximum(r.inputs, 1) * r.kernel
    deep = inner / (inner + p["depth"][tensor_cores])
    speed = r.peak * p["efficiency"][g] * gain * saved * busy * deep
    # A group of several channels lies between a depthwise and a whole convolution.
    shared = np.maximum(np.minimum(r.inputs, 8) ** 0.5, 1)
    speed_grouped = r.peak * p["grouped"][g] * np.where(fp32, 0.5, 1.0) * shared
    compute = np.where(dense, work * padded / speed, np.where(grouped, work / speed_grouped, 0.0))
    # Launches that are not quantised still read and write some INT8.
    size = np.where(fp32, 4.0, np.where(int8, np.where(r.kind <= _PRODUCT, 1.0, 1.5), 2.0))
    memory = (r.activations + r.weights) * size / (r.bytes_a_second * p["bandwidth"][g])
    light = np.where(dense, 1.0, np.where(grouped, p["light"][1], p["light"][0]))
    overhead = p["overhead"][g] * light / r.clock
    return Parts(overhead, compute, memory, overhead + np.cbrt(compute**3 + memory**3))


def seconds(p: Parameters, runs: Runs) -> np.ndarray:
    """What each run takes, as it was timed."""
    total = np.add.reduceat(parts(p, runs).total, runs.start) + p["run"][0]
    total = total + (runs.timing == TIMINGS.index("end to end")) * p["around"][0] * runs.batch
    return total * p["timing"][runs.timing]


def share_by_kind(p: Parameters, runs: Runs) -> np.ndarray:
    """`(runs, kinds)` shares of the time that each kind of launch takes."""
    total = parts(p, runs).total
    found = np.zeros((len(runs.start), len(KINDS)))
    np.add.at(found, (runs.run, runs.kind), total)
    return found / found.sum(axis=1, keepdims=True)


def names(values: Sequence[str]) -> List[str]:
    """Distinct values in the order they come."""
    return list(dict.fromkeys(values))
