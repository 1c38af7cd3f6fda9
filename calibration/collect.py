"""Runs a float graph and looks at every activation in it.

Memory stays flat: one batch of pictures at a time, and of a large graph only some tensors at a
time. A graph whose activations are larger than a budget is run in parts, each of which gives out
other tensors, so a batch is computed more than once, but never held whole.
"""

import contextlib
import ctypes
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from ..core import DataError, ModelError
from .graph import Graph, load_onnx, read_model
from .histograms import SAMPLE, magnitudes
from .sessions import open_session
from .store import Activation, Statistics

BUDGET = 160 << 20
"""Bytes of activations that are given out at a time, unless one tensor alone is larger."""

_HASHED = 16  # every so manieth value tells pictures apart

_FLOATS = {"tensor(float)", "tensor(float16)", "tensor(double)"}
_QUANTISED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv"}


def collect(
    model: Union[Any, str, Path],
    batches: Iterable[Mapping[str, np.ndarray]],
    *,
    names: Optional[Sequence[str]] = None,
    tensors: Optional[Iterable[str]] = None,
    sample: int = SAMPLE,
    threads: Optional[int] = None,
    budget: int = BUDGET,
    progress: Optional[Callable[[int], None]] = None,
) -> Statistics:
    """Statistics of every float activation of a graph: its inputs and what its nodes compute.

    What depends on no input (weights, folded constants) is no activation and is left out.

    Args:
        model: A `ModelProto`, or the path of an ONNX file; not quantised yet.
        batches: Arrays by input name, one mapping a run. Taken one by one, in a thread of their
            own; not more than two are held.
        names: What the pictures are called, in order, for errors; may grow while `batches` is
            read.
        tensors: Look at these only, which costs little where they are few.
        sample: Values of each tensor that are counted of one batch at most; at 0 there are no
            histograms. Smallest and largest values are looked for among all.
        threads: Threads of onnxruntime; None for one a core, at most four.
        budget: Bytes of activations that onnxruntime gives out at a time; as much again is being
            looked at meanwhile.
        progress: Called with the number of pictures done.

    Raises:
        ModelError: The graph is quantised already, has control flow, or does not run.
        DataError: There is no batch, or an activation is not finite.
        MissingDependency: onnx or onnxruntime is not installed.
    """
    if isinstance(model, (str, Path)):
        model = read_model(model)
    graph = Graph(model)
    for node in graph.nodes:
        if node.op_type in _QUANTISED:
            raise ModelError(
                f"the model is quantised already, at {node.name or node.output[0]!r}",
                got=node.op_type,
                expected="a float model",
                remedy="calibrate the model that it was made from",
            )
    wanted = activations(graph)
    if tensors is not None:
        chosen = set(tensors)
        wanted = [name for name in wanted if name in chosen]
    work = _Work(graph, wanted, iter(batches), threads, budget)
    found: Dict[str, Activation] = {}
    seen = 0
    # While numpy looks at one part, onnxruntime computes the next.
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(work.next)
        while True:
            part = coming.result()
            if part is None:
                break
            coming = pool.submit(work.next)
            known = [names[i] if names and i < len(names) else "" for i in part.pictures]
            part.values.reverse()
            for tensor in part.names:  # let go of one after the other
                _look(found, tensor, part.values.pop(), part.pictures.start, known, sample)
            if part.last:
                seen = part.pictures.stop
                if progress is not None:
                    progress(seen)
    if not seen:
        raise DataError("there is no picture to calibrate with")
    inputs = work.digest()
    del work
    _give_back()
    ordered = {name: found[name] for name in wanted if name in found}
    return Statistics(ordered, model=hash_model(model), inputs=inputs, images=seen)


def activations(graph: Graph) -> List[str]:
    """Names of the tensors that depend on an input, inputs first, in the graph's order."""
    live = dict.fromkeys(graph.inputs)
    for node in graph.nodes:
        if any(name in live for name in node.input):
            live.update(dict.fromkeys(name for name in node.output if name))
    return list(live)


def hash_model(model: Any) -> str:
    """Hash of what a model computes: its graph and operators, not its card and other notes."""
    bare = type(model)()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    bare.doc_string = bare.producer_name = bare.producer_version = ""
    digest = hashlib.sha256()
    # Weights apart from the rest: one message of more than 2 GB cannot be written.
    for tensor in bare.graph.initializer:
        digest.update(tensor.raw_data)
        tensor.ClearField("raw_data")
    digest.update(bare.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _look(
    found: Dict[str, Activation],
    name: str,
    value: np.ndarray,
    seen: int,
    pictures: Sequence[str],
    sample: int,
) -> None:
    if not value.size:
        return
    if value.dtype != np.float32 or not value.flags.c_contiguous:
        value = np.ascontiguousarray(value, np.float32)
    low, high, channels = magnitudes(value)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _not_finite(name, value, pictures)
    known = found.get(name)
    if known is None:
        known = found[name] = Activation(name, low, high, 0, channels)
    else:
        known.minimum, known.maximum = min(known.minimum, low), max(known.maximum, high)
        if known.channels is not None:
            if channels is None or channels.shape != known.channels.shape:
                known.channels = None
            else:
                np.maximum(known.channels, channels, out=known.channels)
    known.count += value.size
    known.histogram.add(value, max(abs(low), abs(high)), seen, sample)


def _not_finite(name: str, value: np.ndarray, pictures: Sequence[str]) -> DataError:
    guilty = 0
    if value.ndim and len(value) == len(pictures):
        bad = ~np.isfinite(value.reshape(len(value), -1)).all(axis=1)
        guilty = int(np.flatnonzero(bad)[0])
    picture = pictures[guilty] if pictures else ""
    kind = "NaN" if np.isnan(value).any() else "infinity"
    return DataError(
        f"the activation {name!r} is not finite" + (f" on {picture}" if picture else ""),
        got=kind,
        expected="numbers, or nothing can be calibrated",
        remedy="check the model in floating point, and what its input is scaled to",
    )


class _Part(NamedTuple):
    """Some activations of one batch.

    Attributes:
        pictures: Which of all pictures the batch holds.
        names: Of the tensors.
        values: Theirs.
        last: Whether the batch is done with them.
    """

    pictures: range
    names: List[str]
    values: List[np.ndarray]
    last: bool


class _Work:
    """Runs the graph on one batch after the other, in as many parts as the budget asks for."""

    def __init__(
        self,
        graph: Graph,
        wanted: Sequence[str],
        batches: Iterator[Mapping[str, np.ndarray]],
        threads: Optional[int],
        budget: int,
    ) -> None:
        self._graph, self._wanted, self._batches = graph, wanted, batches
        self._threads, self._budget = threads, budget
        self._sessions: Optional[List[Tuple[Any, List[str]]]] = None
        self._digest = hashlib.sha256()
        self._feeds: Mapping[str, np.ndarray] = {}
        self._pictures = range(0)
        self._left: List[Tuple[Any, List[str]]] = []

    def next(self) -> Optional[_Part]:
        """The next part, None after the last batch."""
        inputs: List[str] = []
        if not self._left:
            feeds = next(self._batches, None)
            if feeds is None:
                return None
            if self._sessions is None:
                self._sessions = self._open(feeds)
            start = self._pictures.stop
            self._pictures = range(start, start + len(next(iter(feeds.values()))))
            self._feeds, self._left = feeds, list(self._sessions)
            for name in sorted(feeds):
                some = feeds[name].reshape(-1)[::_HASHED]
                self._digest.update(np.ascontiguousarray(some).data)
            inputs = [n for n in self._wanted if n in feeds and feeds[n].dtype.kind == "f"]
        values = [self._feeds[name] for name in inputs]
        names: List[str] = []
        if self._left:
            session, names = self._left.pop(0)
            values += self._run(session, names)
        return _Part(self._pictures, inputs + names, values, not self._left)

    def digest(self) -> str:
        """Hash of what was fed."""
        return self._digest.hexdigest()

    def _open(self, feeds: Mapping[str, np.ndarray]) -> List[Tuple[Any, List[str]]]:
        computed = [name for name in self._wanted if name not in set(self._graph.inputs)]
        sizes = _sizes(self._graph, feeds)
        sessions = []
        for part in _split(computed, sizes, self._budget):
            few = 2 * len(self._wanted) < len(sizes)
            session = open_session(
                self._graph.model,
                part,
                self._threads,
                # Where they are few, what lies between is fused.
                "ORT_ENABLE_ALL" if few else "ORT_ENABLE_BASIC",
                # An arena would only hold longer what is given out.
                arena=False,
            )
            floats = [o.name for o in session.get_outputs() if o.type in _FLOATS]
            if floats:
                sessions.append((session, floats))
        return sessions

    def _run(self, session: Any, names: List[str]) -> List[np.ndarray]:
        try:
            return session.run(names, dict(self._feeds))
        except Exception as error:  # onnxruntime's errors share no base but Exception
            shapes = ", ".join(f"{k} {list(v.shape)} {v.dtype}" for k, v in self._feeds.items())
            raise ModelError(
                "the model failed while it was calibrated",
                got=f"{shapes} ({str(error).strip().splitlines()[0][:200]})",
            ) from None


def _sizes(graph: Graph, feeds: Mapping[str, np.ndarray]) -> Dict[str, int]:
    """Bytes of each tensor for a batch of this shape, as far as inference knows; else 0."""
    onnx = load_onnx()
    model = type(graph.model)()
    model.CopyFrom(graph.model)
    for info in model.graph.input:
        if info.name in feeds:
            kind = onnx.helper.np_dtype_to_tensor_dtype(feeds[info.name].dtype)
            info.CopyFrom(
                onnx.helper.make_tensor_value_info(info.name, kind, feeds[info.name].shape)
            )
    del model.graph.value_info[:]
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    known = Graph(model)
    sizes = {}
    for name in activations(graph):
        shape = known.shape(name)
        axes = [n for n in shape or () if n is not None]
        sizes[name] = 4 * int(np.prod(axes)) if shape and len(axes) == len(shape) else 0
    return sizes


def _split(names: Sequence[str], sizes: Mapping[str, int], budget: int) -> List[List[str]]:
    """Parts of about the same size, in the graph's order, each within the budget if it can be."""
    count = -(-sum(sizes[n] for n in names) // budget) or 1
    share = sum(sizes[n] for n in names) / count
    parts: List[List[str]] = [[]]
    held = 0
    for name in names:
        if parts[-1] and held and held + sizes[name] > max(share, 1):
            parts.append([])
            held = 0
        parts[-1].append(name)
        held += sizes[name]
    return [part for part in parts if part]


def _give_back() -> None:
    """Let the system have the memory that was freed. The allocator would keep it for the thread
    that is gone, and the next look would take as much again."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
