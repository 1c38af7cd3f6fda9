"""Exchanging what is in use, while it is in use.

A camera must not miss a frame because its model is replaced. Whoever uses the thing holds a lease;
a swap takes effect with the next lease, and the old thing is closed when its last lease ends.
"""

import contextlib
import logging
import threading
from typing import Any, Callable, Dict, Generic, Iterator, List, Optional, Protocol, TypeVar

import numpy as np

from ...core import ModelError
from ..cuda.base import CudaError
from .base import Backend, TensorSpec

_LOG = logging.getLogger("edgelane")


class Closeable(Protocol):
    """What can be closed."""

    def close(self) -> None: ...


T = TypeVar("T", bound=Closeable)


class _Held(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value
        self.users = 0
        self.retired = False


class Swappable(Generic[T]):
    """A thing that can be exchanged while others use it: a backend, or a whole `Model`.

    >>> model = Swappable(load_model("old.onnx"))      # doctest: +SKIP
    >>> with model.lease() as current:                 # doctest: +SKIP
    ...     detections = current(image)
    >>> model.swap(load_model("new.onnx"))             # doctest: +SKIP

    Args:
        value: The first one. It is closed by this object.
    """

    def __init__(self, value: T) -> None:
        self._lock = threading.Lock()
        self._held: Optional[_Held[T]] = _Held(value)

    @contextlib.contextmanager
    def lease(self) -> Iterator[T]:
        """The current one, which stays open while the `with` lasts, whatever is swapped in.

        Raises:
            ModelError: It has been closed.
        """
        with self._lock:
            held = self._held
            if held is None:
                raise ModelError("the model has been closed", remedy="load the model again")
            held.users += 1
        try:
            yield held.value
        finally:
            with self._lock:
                held.users -= 1
                last = held.retired and not held.users
            if last:
                _close(held.value)

    def swap(self, value: T) -> None:
        """Put another one in place; from now on it is what leases give.

        The old one is closed as soon as nobody uses it any more. After `close` the new one is
        closed at once, so that a rebuild that ends too late leaks nothing.
        """
        with self._lock:
            held, closed = self._held, self._held is None
            if not closed:
                self._held = _Held(value)
        if closed:
            _close(value)
        else:
            self._retire(held)

    def close(self) -> None:
        """Close the current one as soon as nobody uses it. Closing twice is harmless."""
        with self._lock:
            held, self._held = self._held, None
        self._retire(held)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._held is None

    def _retire(self, held: Optional[_Held[T]]) -> None:
        if held is None:
            return
        with self._lock:
            held.retired = True
            idle = not held.users
        if idle:
            _close(held.value)


def _close(value: Closeable) -> None:
    try:
        value.close()
    except Exception as error:  # what is thrown away must not stop what serves
        _LOG.warning("the model that was replaced could not be closed: %s", error)


class SwappableBackend:
    """A backend whose graph can be exchanged for the same graph in another form while it runs.

    What it promised at the start (inputs, outputs, metadata) it keeps: feeds and outputs are cast
    and batches are cut where the new form differs, as an engine of a fixed batch does.

    Args:
        backend: The first form. It is closed by this object.
        rescue: Called once when the device fails under a running graph; the backend that it gives
            takes over, and the frame is run again there.
    """

    def __init__(
        self, backend: Backend, rescue: Optional[Callable[[CudaError], Optional[Backend]]] = None
    ) -> None:
        self._current: Swappable[Any] = Swappable(backend)
        self._rescue = rescue
        self._rescuing = threading.Lock()
        self.inputs = backend.inputs
        self.outputs = backend.outputs
        self.metadata = backend.metadata
        self.dynamic_batch = backend.dynamic_batch

    @property
    def backend(self) -> Backend:
        """What serves at this moment, to look at; it may be closed at any time."""
        with self._current.lease() as backend:
            return backend

    def infer(self, feeds: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Run the graph in its present form. Thread-safe, also with `swap`.

        Raises:
            ModelError: The feeds do not fit the inputs, or the graph fails.
        """
        try:
            with self._current.lease() as backend:
                return self._run(backend, feeds)
        except CudaError as error:
            self._replace(backend, error)
        with self._current.lease() as backend:
            return self._run(backend, feeds)

    def swap(self, backend: Backend) -> None:
        """Let another form of the same graph take over from the next call on.

        Raises:
            ModelError: Its inputs or outputs are other ones; nothing was changed, and the given
                backend stays open.
        """
        check_alike(self, backend)
        self._current.swap(backend)

    def rescue_with(self, rescue: Optional[Callable[[CudaError], Optional[Backend]]]) -> None:
        """Say what to do when the device fails; see the argument `rescue`."""
        with self._rescuing:
            self._rescue = rescue

    def close(self) -> None:
        """Let go of the graph once its last call is done."""
        self._current.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._current.closed

    def _run(self, backend: Backend, feeds: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        if backend.inputs == self.inputs and backend.outputs == self.outputs:
            return backend.infer(feeds)
        promised = {spec.name: spec for spec in self.inputs}
        ready = {}
        for spec in backend.inputs:
            value = feeds.get(spec.name)
            if value is None or spec.name not in promised or len(feeds) != len(promised):
                return backend.infer(feeds)  # it words the error
            if value.dtype == promised[spec.name].dtype:
                value = value.astype(spec.dtype, copy=False)
            ready[spec.name] = value
        results = [backend.infer(part) for part in _parts(backend, ready)]
        count = len(next(iter(ready.values()))) if ready else 0
        outputs = {}
        for spec in self.outputs:
            values = [r[spec.name] for r in results]
            value = values[0] if len(values) == 1 else np.concatenate(values)
            if self.dynamic_batch and spec.shape and spec.shape[0] is None and len(value) > count:
                value = value[:count]
            outputs[spec.name] = value.astype(spec.dtype, copy=False)
        return outputs

    def _replace(self, failed: Backend, error: CudaError) -> None:
        """Put what `rescue` gives in the place of a backend whose device failed."""
        with self._rescuing:
            if self.backend is not failed:  # another thread was here before
                return
            rescue, self._rescue = self._rescue, None
            made = rescue(error) if rescue is not None else None
            if made is None:
                raise error
            self._current.swap(made)


def _parts(backend: Backend, feeds: Dict[str, np.ndarray]) -> List[Dict[str, np.ndarray]]:
    """Feeds in batches that a graph of a fixed batch takes, the last filled up with zeros."""
    steps = {spec.shape[0] if spec.shape else None for spec in backend.inputs}
    counts = {len(v) if v.ndim else 0 for v in feeds.values()}
    step = steps.pop() if len(steps) == 1 else None
    count = counts.pop() if len(counts) == 1 else 0
    if step is None or count in (0, step):
        return [feeds]
    parts = []
    for start in range(0, count, step):
        part = {name: value[start : start + step] for name, value in feeds.items()}
        missing = step - min(step, count - start)
        if missing:
            part = {
                name: np.concatenate((v, np.zeros((missing, *v.shape[1:]), v.dtype)))
                for name, v in part.items()
            }
        parts.append(part)
    return parts


def check_alike(promised: Any, backend: Backend) -> None:
    """Make sure that a backend can serve in the place of another.

    Raises:
        ModelError: Names, ranks, kinds of numbers or fixed axes of inputs or outputs differ.
    """
    for what in ("inputs", "outputs"):
        old = {spec.name: spec for spec in getattr(promised, what)}
        new = {spec.name: spec for spec in getattr(backend, what)}
        good = set(old) == set(new)
        if not good or not all(_alike(old[name], new[name]) for name in old):
            raise ModelError(
                f"the new model's {what} are other ones",
                got="; ".join(map(str, new.values())),
                expected="; ".join(map(str, old.values())),
                remedy="build the engine from the same ONNX",
            )


def _alike(old: TensorSpec, new: TensorSpec) -> bool:
    if len(old.shape) != len(new.shape) or not _same_kind(old.dtype, new.dtype):
        return False
    axes = list(zip(old.shape, new.shape))
    # The batch may be fixed in the one and open in the other.
    return all(a is None or b is None or a == b for a, b in axes[1:]) and (
        not axes or axes[0][0] in (None, axes[0][1]) or axes[0][1] is None
    )


def _same_kind(one: np.dtype, other: np.dtype) -> bool:
    kinds = {one.kind, other.kind}
    return one == other or (len(kinds) == 1 and kinds <= {"f", "i"})
