"""How TensorRT is to be asked for an engine: a plan, made before anything is built.

Everything here is pure: a graph's facts, a device and a release of TensorRT go in, and a plan or a
refusal with its reason comes out, the same on any machine.

Since TensorRT 10 a graph can carry its own types, and since 11 it must: then the plan has no flags
of precision. Before, FP16 is a flag; INT8 is a flag together with Q/DQ in the graph, or with ranges
in a calibration cache. Source: NVIDIA's TensorRT developer guides and release notes of 8.2 to 11,
and the support matrix of each.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ...core import ModelError, UsageError
from ...core.devices import PRECISIONS, Device
from .graph import GraphFacts
from .ranges import CalibrationCache
from .shapes import Batch, Profile, plan_shapes

AUTO = "auto"

_MAX_OPSET = (((11, 0), 25), ((10, 15), 24), ((10, 0), 20), ((8, 5), 17), ((8, 0), 13))
_LAST_WITH_DLA = (10, 7)


@dataclass(frozen=True)
class BuildPlan:
    """What the builder is told.

    Attributes:
        device: Name of the device.
        tensorrt: Release, e.g. `8.5.2`.
        precision: `fp32`, `fp16` or `int8`.
        flags: Names of the builder's flags to set.
        network_flags: Names of the network's flags to set.
        calibration: The cache that gives ranges of INT8, or None.
        workspace_mb: Memory that layers may use while they run.
        workspace_by: `max_workspace_size` or `set_memory_pool_limit`, whatever the release has.
        optimization_level: 0 to 5, or None for the release's own.
        dla_core: Core of the deep-learning accelerator, or None for the GPU.
        profile: Smallest, usual and largest shape by input, for inputs with open axes.
        keep_float: Names of tensors that must be computed in FP32, where the release does not
            take that from the graph itself.
        progress: Whether the release tells how far a build is.
        notes: Sentences that a user should read.
    """

    device: str
    tensorrt: str
    precision: str
    flags: Tuple[str, ...] = ()
    network_flags: Tuple[str, ...] = ()
    calibration: Optional[CalibrationCache] = None
    workspace_mb: int = 1024
    workspace_by: str = "set_memory_pool_limit"
    optimization_level: Optional[int] = None
    dla_core: Optional[int] = None
    profile: Profile = field(default_factory=dict)
    keep_float: Tuple[str, ...] = ()
    progress: bool = False
    notes: Tuple[str, ...] = ()

    @property
    def typed(self) -> bool:
        """Whether the precision is taken from the graph."""
        return "STRONGLY_TYPED" in self.network_flags

    def as_dict(self) -> Dict[str, Any]:
        """The plan for programs; what a release does not have is None."""
        return {
            "device": self.device,
            "tensorrt": self.tensorrt,
            "precision": self.precision,
            "flags": list(self.flags),
            "network_flags": list(self.network_flags),
            "calibration": self.calibration and self.calibration.path,
            "workspace_mb": self.workspace_mb,
            "workspace_by": self.workspace_by,
            "optimization_level": self.optimization_level,
            "dla_core": self.dla_core,
            "profile": {name: [list(s) for s in shapes] for name, shapes in self.profile.items()},
            "keep_float": list(self.keep_float),
            "progress": self.progress,
            "notes": list(self.notes),
        }


def plan_build(
    graph: GraphFacts,
    device: Device,
    tensorrt: str,
    *,
    precision: str = AUTO,
    dla_core: Optional[int] = None,
    calibration: Optional[CalibrationCache] = None,
    batch: Union[None, int, Batch] = None,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    workspace_mb: Optional[int] = None,
    level: Optional[int] = None,
) -> BuildPlan:
    """Plan an engine.

    Args:
        graph: What the ONNX is.
        device: The device that will run it.
        tensorrt: Release of TensorRT on it, e.g. `8.5.2`.
        precision: `fp32`, `fp16`, `int8`, or `auto`: what the graph and the cache were made for,
            else the fastest that loses next to nothing.
        dla_core: Core of the deep-learning accelerator to run on; what it lacks runs on the GPU.
        calibration: Ranges for INT8 of a graph without Q/DQ.
        batch: Pictures a run, or `(smallest, usual, largest)`, where the graph leaves it open.
        shapes: Shape by input, for other axes that are open.
        workspace_mb: Memory that layers may use while they run; a quarter of the device's, at most
            4 GB, unless said.
        level: How hard the builder tries, 0 to 5; TensorRT 8.6 and newer.

    Raises:
        UsageError: What is asked for does not go together, or the device cannot do it.
        ModelError: The graph is not fit for this device and release.
    """
    version = parse_version(tensorrt)
    if precision not in (AUTO, *PRECISIONS):
        known = ", ".join((AUTO, *PRECISIONS))
        raise UsageError("precision is unknown", got=repr(precision), expected=known)
    _check_release(device, version)
    notes: List[str] = []
    _check_graph(graph, version, notes)
    chosen = _precision(graph, device, version, precision, calibration)
    _check_precision(graph, device, version, chosen, calibration)
    if dla_core is not None:
        _check_dla(graph, device, version, chosen, dla_core, notes)
    if calibration is not None:
        _check_ranges(graph, calibration, notes)
    profile = plan_shapes(graph, batch, shapes)
    if dla_core is not None and any(low != high for low, _, high in profile.values()):
        raise UsageError(
            "the DLA runs fixed shapes only", remedy="give --batch one number, or leave --dla out"
        )
    flags, network_flags, keep = _flags(graph, device, version, chosen, dla_core, notes)
    return BuildPlan(
        device=device.name,
        tensorrt=".".join(str(n) for n in version),
        precision=chosen,
        flags=flags,
        network_flags=network_flags,
        calibration=calibration,
        workspace_mb=_workspace(device, workspace_mb),
        workspace_by="set_memory_pool_limit" if version >= (8, 4) else "max_workspace_size",
        optimization_level=_level(version, level),
        dla_core=dla_core,
        profile=profile,
        keep_float=keep,
        progress=version >= (10, 0),
        notes=tuple(notes),
    )


def parse_version(text: str) -> Tuple[int, ...]:
    """Major, minor and patch of a release.

    Raises:
        UsageError: It is none, or older than 8.0.
    """
    parts = str(text).strip().split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        raise UsageError("this is no release of TensorRT", got=repr(text), expected="e.g. 8.5.2")
    numbers = [int(part) for part in parts[:3] if part.isdigit()]
    if numbers[0] < 8:
        raise UsageError(
            f"TensorRT {text} is too old",
            expected="8.0 or newer",
            remedy="install JetPack 4.6.1 or newer",
        )
    return tuple(numbers)


def newest_opset(version: Tuple[int, ...]) -> int:
    """The newest opset that the parser of a release reads, by its `operators.md`."""
    return next(opset for release, opset in _MAX_OPSET if version >= release)


def _check_release(device: Device, version: Tuple[int, ...]) -> None:
    oldest, newest = device.tensorrt
    shown = _shown(version)
    if device.jetson and version[:2] < oldest:
        raise UsageError(
            f"TensorRT {shown} does not run on {device.title}",
            expected=f"{_shown(oldest)} or newer",
        )
    if newest is not None and version[:2] > newest:
        raise UsageError(
            f"TensorRT {shown} does not run on {device.title}",
            expected=f"up to {_shown(newest)}, the last that a JetPack for it brings",
        )


def _check_graph(graph: GraphFacts, version: Tuple[int, ...], notes: List[str]) -> None:
    newest, shown = newest_opset(version), _shown(version)
    if graph.quantized and graph.opset < 13:
        raise ModelError(
            f"{graph.path} holds Q/DQ in an old form",
            got=f"opset {graph.opset}",
            expected="opset 13, the first with a scale per channel",
            remedy="convert the float model to opset 13 and calibrate that",
        )
    if graph.opset > newest:
        notes.append(
            f"opset {graph.opset} is newer than the {newest} that the parser of TensorRT {shown} "
            f"knows; where it refuses an operator, export with --opset {newest}"
        )
    pixels = [i.name for i in graph.inputs if i.dtype == "uint8"]
    if pixels and version < (8, 5):
        raise ModelError(
            f"{graph.path} takes pixels as they are (input {pixels[0]!r} is uint8)",
            got=f"TensorRT {shown}",
            expected="8.5 or newer for such an input",
            remedy="export it without folding the preprocessing in",
        )
    if graph.control_flow:
        found = ", ".join(graph.control_flow)
        notes.append(f"the graph has control flow ({found}), which TensorRT takes only in part")


def _precision(
    graph: GraphFacts,
    device: Device,
    version: Tuple[int, ...],
    wanted: str,
    calibration: Optional[CalibrationCache],
) -> str:
    if wanted != AUTO:
        return wanted
    if graph.quantized or calibration is not None:
        return "int8"
    if graph.half:
        return "fp16"
    shipped = _shipped(graph)
    if shipped is not None and shipped != "int8":
        return shipped
    return "fp16" if device.fast("fp16") and version < (11,) else "fp32"


def _shipped(graph: GraphFacts) -> Optional[str]:
    """The precision that an accuracy budget settled on, as the card tells it."""
    if graph.card is None or "budget" not in graph.card.extra:
        return None
    return graph.card.precision if graph.card.precision in PRECISIONS else None


def _check_precision(
    graph: GraphFacts,
    device: Device,
    version: Tuple[int, ...],
    precision: str,
    calibration: Optional[CalibrationCache],
) -> None:
    path = graph.path
    if precision == "int8" and not device.fast("int8"):
        why = "Q/DQ in the graph" if graph.quantized else "a request for INT8"
        best = device.precisions[-1].upper()
        raise UsageError(
            f"{device.title} has no fast INT8",
            got=why,
            expected=f"{best}, its best precision",
            remedy="give the float ONNX it was made from"
            if graph.quantized
            else "leave --cache out"
            if calibration is not None
            else f"say --precision {best.lower()}",
        )
    if precision == "fp16" and not device.fast("fp16"):
        raise UsageError(f"{device.title} has no fast FP16", expected=", ".join(device.precisions))
    if graph.quantized and precision != "int8":
        raise ModelError(
            f"{path} holds Q/DQ and can only be built in INT8",
            got=precision,
            remedy="give the float ONNX it was made from",
        )
    if graph.half and (precision == "fp32" or (precision == "int8" and not graph.quantized)):
        raise ModelError(
            f"{path} computes in FP16 by itself",
            got=f"a request for {precision}",
            remedy="give the float ONNX it was made from",
        )
    if calibration is not None and precision != "int8":
        raise UsageError(
            f"a calibration cache is of no use in {precision}", remedy="leave one of the two out"
        )
    if calibration is not None and graph.quantized:
        raise UsageError(
            f"{path} holds Q/DQ, and that is all INT8 needs",
            got="a calibration cache beside it",
            remedy="leave --cache out, or give the float ONNX with it",
        )
    if version >= (11,):
        _check_typed(graph, precision, calibration)
    elif precision == "int8" and not graph.quantized and calibration is None:
        raise ModelError(
            f"nothing tells the ranges of {path} for INT8",
            expected="Q/DQ in the graph, or --cache",
            remedy="make them with: edgelane calibrate m.onnx --images DIR --out q.onnx "
            "--cache q.calib",
        )


def _check_typed(
    graph: GraphFacts, precision: str, calibration: Optional[CalibrationCache]
) -> None:
    """TensorRT 11 takes the precision from the graph alone."""
    if calibration is not None or (precision == "int8" and not graph.quantized):
        raise ModelError(
            "TensorRT 11 has no calibration: INT8 is Q/DQ in the graph",
            got=f"{graph.path} without Q/DQ",
            remedy="give what this writes: edgelane calibrate m.onnx --images DIR --out q.onnx",
        )
    if precision == "fp16" and not graph.half:
        raise ModelError(
            "TensorRT 11 takes FP16 from the graph",
            got=f"{graph.path} in FP32",
            remedy="export it typed: edgelane export MODEL --precision fp16 --out m.onnx",
        )


def _check_dla(
    graph: GraphFacts,
    device: Device,
    version: Tuple[int, ...],
    precision: str,
    core: int,
    notes: List[str],
) -> None:
    if not device.dla_cores:
        raise UsageError(
            f"{device.title} has no DLA", got=f"--dla {core}", remedy="leave --dla out"
        )
    if not 0 <= core < device.dla_cores:
        raise UsageError(
            f"{device.title} has no DLA core {core}",
            expected="core 0" if device.dla_cores == 1 else f"0 to {device.dla_cores - 1}",
        )
    if graph.quantized:
        raise ModelError(
            "the DLA takes no Q/DQ",
            got=graph.path,
            expected="the float ONNX with a calibration cache"
            if version < (11,)
            else "a graph without Q/DQ",
            remedy="give --cache q.calib and the float ONNX that edgelane calibrate wrote with it"
            if version < (11,)
            else "run it on the GPU: leave --dla out",
        )
    if precision == "fp32":
        raise UsageError(
            "the DLA computes in FP16 and INT8 only",
            got="fp32",
            remedy="say --precision fp16, or leave --dla out",
        )
    if version[:2] > _LAST_WITH_DLA:
        notes.append(
            f"TensorRT {_shown(version)} may come without the DLA ({_shown(_LAST_WITH_DLA)} was "
            "the last that surely has it here): the build asks the device, and says so"
        )


def _check_ranges(graph: GraphFacts, cache: CalibrationCache, notes: List[str]) -> None:
    """A cache belongs to a graph when it speaks of the graph's tensors."""
    foreign = [name for name in cache.scales if name not in graph.tensors]
    if 2 * len(foreign) > len(cache.scales):
        raise ModelError(
            f"calibration cache {cache.path} is not of {graph.path}",
            got=f"{len(foreign)} of {len(cache.scales)} tensors that are not in it, such as "
            f"{foreign[0]!r}",
            remedy="give the ONNX that was calibrated, or calibrate this one",
        )
    if cache.mended:
        notes.append(
            f"{len(cache.mended)} scales of the calibration cache had lost their leading zeros, "
            f"such as that of {cache.mended[0]!r}; they were put back"
        )
    if foreign:
        notes.append(f"tensors of the calibration cache that are not in the graph: {len(foreign)}")
    blind = [i.name for i in graph.inputs if i.dtype == "float32" and i.name not in cache.scales]
    if blind:
        notes.append(f"the calibration cache tells no range of input {blind[0]!r}")


def _flags(
    graph: GraphFacts,
    device: Device,
    version: Tuple[int, ...],
    precision: str,
    dla_core: Optional[int],
    notes: List[str],
) -> Tuple[Tuple[str, ...], Tuple[str, ...], Tuple[str, ...]]:
    """Flags of the builder and of the network, and the tensors that must stay in FP32."""
    network = ("EXPLICIT_BATCH",) if version < (10,) else ()
    flags: List[str] = ["GPU_FALLBACK"] if dla_core is not None else []
    typed = version >= (11,) or (version >= (10,) and dla_core is None and _carries(graph))
    if typed:
        if precision == "int8" and not graph.half:
            notes.append(
                "what is not in INT8 runs in FP32, as the graph says; with the rest in FP16 it "
                "would be faster"
            )
        elif precision == "fp32" and device.fast("fp16"):
            notes.append(
                "TensorRT 11 takes the precision from the graph, which is FP32; for FP16 export "
                "it typed"
            )
        return tuple(flags), (*network, "STRONGLY_TYPED"), ()
    if precision != "fp32" and device.fast("fp16"):
        flags.append("FP16")
    if precision == "int8":
        flags.append("INT8")
    # In a graph with Q/DQ what they feed is typed FP32 and yet to run in INT8.
    keep = graph.float_tensors if "FP16" in flags and not graph.quantized else ()
    if keep:
        flags.append("PREFER_PRECISION_CONSTRAINTS")
    return tuple(flags), network, keep


def _carries(graph: GraphFacts) -> bool:
    """Whether the graph itself says FP16, so that nothing is lost by taking it at its word."""
    return graph.half


def _workspace(device: Device, wanted: Optional[int]) -> int:
    memory = device.ram_gb[0] * 1024 if device.ram_gb else None
    if wanted is None:
        return min(memory // 4, 4096) if memory else 4096
    largest = device.ram_gb[-1] * 1024 if device.ram_gb else None
    if wanted < 1 or (largest is not None and wanted > largest):
        limit = f"1 to {largest} MB on {device.title}" if largest else "1 MB or more"
        raise UsageError("workspace is out of range", got=f"{wanted} MB", expected=limit)
    return int(wanted)


def _level(version: Tuple[int, ...], level: Optional[int]) -> Optional[int]:
    if level is None:
        return None
    if version < (8, 6):
        raise UsageError(
            f"TensorRT {_shown(version)} has no optimisation levels", expected="8.6 or newer"
        )
    if not 0 <= level <= 5:
        raise UsageError("level is out of range", got=level, expected="0 to 5")
    return int(level)


def _shown(version: Sequence[int]) -> str:
    return ".".join(str(n) for n in version[:2])
