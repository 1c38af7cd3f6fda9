"""TensorRT's builder, driven by a plan: every release from 8.0 to 11."""

import contextlib
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from ...core import EdgelaneError, ModelError, StorageError
from ..files import write_whole
from .graph import GraphFacts
from .machine import tensorrt_logger
from .plan import BuildPlan, newest_opset, parse_version


class Step(NamedTuple):
    """How far a build is.

    Attributes:
        seconds: Since it began.
        fraction: How much of it is done, 0..1, or None where the release does not tell.
        phase: What is being done, in TensorRT's words; empty where it does not tell.
    """

    seconds: float
    fraction: Optional[float]
    phase: str


Report = Callable[[Step], None]


def compile_engine(
    trt: Any,
    graph: GraphFacts,
    plan: BuildPlan,
    timing: Optional[Path] = None,
    report: Optional[Report] = None,
    expected: Optional[float] = None,
) -> bytes:
    """Build an engine; takes minutes.

    The work is done in a thread, so that the caller stays free to report and to be interrupted:
    an exception raised within TensorRT's callbacks would end the process.

    Args:
        trt: The module `tensorrt`.
        graph: The ONNX.
        plan: How to build it, for this release.
        timing: File of measured kernels to go on from and to write; None for none.
        report: Called a few times a second in the caller's thread.
        expected: Seconds that the last build like it took, for releases that tell nothing.

    Raises:
        ModelError: TensorRT refuses the graph or fails.
        KeyboardInterrupt: The user stopped it. A release that can be stopped has been.
    """
    work = _Work(trt, graph, plan, timing)
    thread = threading.Thread(target=work.run, name="edgelane-build", daemon=True)
    begun = time.monotonic()
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
            if report is not None:
                spent = time.monotonic() - begun
                fraction, phase = work.state()
                if fraction is None and expected:
                    fraction = min(spent / expected, 0.99)
                report(Step(spent, fraction, phase))
    except BaseException:
        work.stopped.set()
        if plan.progress:
            thread.join(60)  # it asks between two steps
        raise
    if work.error is not None:
        raise work.error
    assert work.engine is not None
    return work.engine


def still_building() -> bool:
    """Whether a build that was given up goes on, because its release cannot be stopped."""
    return any(t.name == "edgelane-build" and t.is_alive() for t in threading.enumerate())


class _Work:
    """One build, in its own thread."""

    def __init__(
        self, trt: Any, graph: GraphFacts, plan: BuildPlan, timing: Optional[Path]
    ) -> None:
        self.trt, self.graph, self.plan, self.timing = trt, graph, plan, timing
        self.stopped = threading.Event()
        self.engine: Optional[bytes] = None
        self.error: Optional[BaseException] = None
        self._phases = _Phases()

    def state(self) -> Tuple[Optional[float], str]:
        """Fraction and phase."""
        return self._phases.state() if self.plan.progress else (None, "")

    def run(self) -> None:
        try:
            self.engine = self._build()
        except EdgelaneError as error:
            self.error = error
        except BaseException as error:  # pybind11's errors share no base but Exception
            self.error = ModelError(
                f"TensorRT {self.plan.tensorrt} failed on {self.graph.path}",
                got=f"{type(error).__name__}: {_line(str(error))}",
            )

    def _build(self) -> bytes:
        trt, plan = self.trt, self.plan
        logger = tensorrt_logger(trt)
        logger.take_errors()
        trt.init_libnvinfer_plugins(logger, "")  # or the parser does not know them
        try:
            builder = trt.Builder(logger)
        except TypeError as error:
            raise ModelError("TensorRT has no device to build for", got=_line(str(error))) from None
        cores = int(getattr(builder, "num_DLA_cores", 0))
        if plan.dla_core is not None and plan.dla_core >= cores:
            raise ModelError(
                f"TensorRT {plan.tensorrt} finds no DLA core {plan.dla_core} here",
                got=f"{cores} cores",
                remedy="leave --dla out",
            )
        bits = sum(
            1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))
            for name in plan.network_flags
        )
        network = builder.create_network(bits)
        # Everything made here has to outlive the build.
        parser = self._parse(network, logger)
        config = builder.create_builder_config()
        calibrator = self._configure(builder, network, config)
        data = builder.build_serialized_network(network, config)
        if data is None:
            raise self._failure(logger.take_errors(), calibrator)
        self._keep_timing(config)
        engine = bytes(data)
        del parser
        return engine

    def _parse(self, network: Any, logger: Any) -> Any:
        parser = self.trt.OnnxParser(network, logger)
        # From the file itself, so that weights beside it are found.
        good = parser.parse_from_file(str(Path(self.graph.path).resolve()))
        if not good or network.num_outputs < 1:
            errors = [parser.get_error(i) for i in range(parser.num_errors)]
            raise self._refusal(errors, logger.take_errors())
        return parser

    def _configure(self, builder: Any, network: Any, config: Any) -> Any:
        """Tell the builder what the plan says; gives the calibrator, which must be kept."""
        trt, plan = self.trt, self.plan
        for name in plan.flags:
            config.set_flag(getattr(trt.BuilderFlag, name))
        size = plan.workspace_mb << 20
        if plan.workspace_by == "max_workspace_size":
            config.max_workspace_size = size
        else:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)
        if plan.optimization_level is not None:
            config.builder_optimization_level = plan.optimization_level
        if plan.dla_core is not None:
            config.default_device_type = trt.DeviceType.DLA
            config.DLA_core = plan.dla_core
        profile = None
        if plan.profile:
            profile = builder.create_optimization_profile()
            for name, shapes in plan.profile.items():
                profile.set_shape(name, *shapes)
            if config.add_optimization_profile(profile) < 0:
                raise ModelError(f"TensorRT does not take these shapes: {plan.profile}")
        calibrator = None
        if plan.calibration is not None:
            calibrator = make_calibrator(trt, plan.calibration.text(parse_version(plan.tensorrt)))
            config.int8_calibrator = calibrator
            if profile is not None:
                config.set_calibration_profile(profile)
        if plan.keep_float:
            _pin(trt, network, {*plan.keep_float, *self.graph.float_nodes})
        if plan.progress:
            config.progress_monitor = make_monitor(trt, self._phases, self.stopped)
        self._take_timing(config)
        return calibrator

    def _take_timing(self, config: Any) -> None:
        data = b""
        if self.timing is not None:
            with contextlib.suppress(OSError):
                data = self.timing.read_bytes()
        cache = config.create_timing_cache(data)
        if cache is None or not config.set_timing_cache(cache, False):
            # Of another release or device, or damaged: begin anew.
            cache = config.create_timing_cache(b"")
            if cache is not None:
                config.set_timing_cache(cache, False)

    def _keep_timing(self, config: Any) -> None:
        cache = config.get_timing_cache()
        if self.timing is None or cache is None:
            return
        with contextlib.suppress(StorageError):  # only the next build would be longer
            write_whole(self.timing, bytes(cache.serialize()))

    def _refusal(self, errors: List[Any], logged: List[str]) -> ModelError:
        """What the parser does not take, with the node's name."""
        path, release = self.graph.path, self.plan.tensorrt
        opset = newest_opset(parse_version(release))
        for error in errors:
            number = int(error.node())
            name = operator = ""
            if 0 <= number < len(self.graph.nodes):
                name, operator = self.graph.nodes[number]
            # Newer releases tell them by themselves; a node in a branch has a number of its own.
            name = (error.node_name() if hasattr(error, "node_name") else "") or name
            operator = (
                error.node_operator() if hasattr(error, "node_operator") else ""
            ) or operator
            if not operator:
                continue
            return ModelError(
                f"TensorRT {release} does not take node {name or number!r} ({operator}) of {path}",
                got=_line(error.desc()),
                remedy=f"export it with --opset {opset} or without this operator"
                if self.graph.opset > opset
                else "export the model without this operator",
            )
        text = [error.desc() for error in errors] or logged or ["no reason given"]
        return ModelError(f"TensorRT {release} cannot read {path}", got=_line(text[-1]))

    def _failure(self, logged: List[str], calibrator: Any) -> ModelError:
        path, release = self.graph.path, self.plan.tensorrt
        if calibrator is not None and calibrator.asked:
            assert self.plan.calibration is not None
            return ModelError(
                f"TensorRT {release} does not take calibration cache {self.plan.calibration.path}",
                remedy="calibrate the model again",
            )
        text = _line(logged[-1]) if logged else "no reason given"
        remedy = None
        lowered = " ".join(logged).lower()
        if "memory" in lowered and ("out of" in lowered or "alloc" in lowered):
            remedy = (
                "close other programs, add swap, or give less: --workspace "
                f"{max(self.plan.workspace_mb // 2, 16)}"
            )
        elif self.plan.dla_core is not None and "dla" in lowered:
            remedy = "leave --dla out"
        return ModelError(f"TensorRT {release} cannot build {path}", got=text, remedy=remedy)


class _Phases:
    """How far a build is, from phases within phases."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Dict[str, List[Any]] = {}  # parent, steps, steps done; in order of opening
        self._most = 0.0

    def start(self, phase: str, parent: Optional[str], steps: int) -> None:
        with self._lock:
            self._open[phase] = [parent, max(int(steps), 1), 0]

    def step(self, phase: str, step: int) -> None:
        with self._lock:
            if phase in self._open:
                self._open[phase][2] = int(step) + 1
                self._advance()

    def finish(self, phase: str) -> None:
        with self._lock:
            self._open.pop(phase, None)

    def state(self) -> Tuple[Optional[float], str]:
        """Fraction done, which never falls, and the innermost phase."""
        with self._lock:
            if not self._open:
                return (self._most or None), ""
            return self._most, next(reversed(list(self._open)))

    def _advance(self) -> None:
        root = next((p for p, (parent, _, _) in self._open.items() if not parent), None)
        if root is not None:
            self._most = max(self._most, min(self._share(root), 1.0))

    def _share(self, phase: str) -> float:
        _, steps, done = self._open[phase]
        inner = [p for p, (parent, _, _) in self._open.items() if parent == phase]
        within = max((self._share(p) for p in inner), default=0.0)
        return (done + (within if done < steps else 0.0)) / steps


def make_monitor(trt: Any, phases: _Phases, stopped: threading.Event) -> Any:
    """An `IProgressMonitor` that notes how far a build is and ends it on request."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: Any, num_steps: int) -> None:
            with contextlib.suppress(Exception):
                phases.start(str(phase_name), parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with contextlib.suppress(Exception):
                phases.step(str(phase_name), step)
            return not stopped.is_set()

        def phase_finish(self, phase_name: str) -> None:
            with contextlib.suppress(Exception):
                phases.finish(str(phase_name))

    return Monitor()


def make_calibrator(trt: Any, cache: bytes) -> Any:
    """An `IInt8EntropyCalibrator2` that has nothing but a cache.

    Its `asked` tells whether TensorRT wanted pictures, that is, did not take the cache.
    """

    class CacheCalibrator(trt.IInt8EntropyCalibrator2):
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)
            self.asked = False

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: Any) -> None:
            self.asked = True

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, cache: Any) -> None:
            return

    return CacheCalibrator()


def _pin(trt: Any, network: Any, names: Set[str]) -> None:
    """Ask for FP32 in the layers of these nodes, or that give these tensors.

    The parser calls a layer as its node, and of a node without a name what it likes.
    """
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        outputs = [layer.get_output(i) for i in range(layer.num_outputs)]
        if layer.name in names or any(o is not None and o.name in names for o in outputs):
            layer.precision = trt.float32
            for output in range(layer.num_outputs):
                layer.set_output_type(output, trt.float32)


def _line(text: str) -> str:
    """The first line with something in it, shortened."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return (lines[0] if lines else "no reason given")[:240].rstrip(". ")
