"""Engines on NVIDIA GPUs through TensorRT 8.2 to 11."""

import atexit
import threading
import weakref
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ....core import ModelError, UsageError
from ...cuda import CudaDevice, CudaError, open_device
from ...engines.machine import load_tensorrt
from ..base import TensorSpec
from .api import Tensor, wrap
from .library import deserialize, release_of, told
from .slot import Slot

_OPEN: "weakref.WeakSet[TensorrtBackend]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Before the interpreter takes modules apart: CUDA must outlive what was made with it."""
    for backend in list(_OPEN):
        backend._shut(2.0)


class TensorrtBackend:
    """An engine run by TensorRT.

    Several threads share the engine; each runs in a context and stream of its own, as far as
    `contexts` goes, and waits for a free one beyond that.

    Args:
        path: The engine file.
        metadata: What the model says about itself: the notes of the ONNX it was built from.
        contexts: Runs that may go on at once; each takes device memory of its own.
        graphs: Whether runs of unchanging shapes are launched as CUDA graphs.
        transfer: How arrays travel: `mapped`, `pinned` or `pageable`; what suits the device's
            memory by default, see `runtime.cuda.transfer_mode`.
        dla_core: The DLA core that an engine built for DLA is to run on.
        trt: The `tensorrt` module; imported by default.
        device: The CUDA device; the first by default.

    Raises:
        ModelError: The engine is missing, damaged, of another TensorRT or device, or does not run,
            or there is no NVIDIA driver.
        MissingDependency: There is no TensorRT for this Python.
    """

    def __init__(
        self,
        path: str,
        *,
        metadata: Optional[Dict[str, str]] = None,
        contexts: int = 2,
        graphs: bool = True,
        transfer: Optional[str] = None,
        dla_core: Optional[int] = None,
        trt: Any = None,
        device: Optional[CudaDevice] = None,
    ) -> None:
        self.path = str(path)
        self.metadata = dict(metadata or {})
        self._trt = trt = load_tensorrt() if trt is None else trt
        self._device = open_device() if device is None else device
        if transfer not in (None, "mapped", "pinned", "pageable"):
            raise UsageError(
                "transfer is unknown", got=repr(transfer), expected="mapped, pinned or pageable"
            )
        self._graphs, self._transfer = graphs, transfer
        self._idle: List[Slot] = []
        self._made = 0
        self._closed = False
        self._changed = threading.Condition()
        with self._device.current():
            self._runtime, engine = deserialize(self.path, trt, dla_core)
            self._engine = wrap(engine, trt)
        tensors = self._engine.tensors
        self._inputs = {t.name: t for t in tensors if t.is_input}
        self._outputs = {t.name: t for t in tensors if not t.is_input}
        self.inputs = tuple(_spec(t) for t in self._inputs.values())
        self.outputs = tuple(_spec(t) for t in self._outputs.values())
        self.dynamic_batch = all(i.shape and i.shape[0] is None for i in self.inputs)
        self._limit = max(1, contexts)
        dynamic = any(-1 in t.shape for t in self._inputs.values())
        # Before 10, no two contexts may share a profile where shapes are open.
        self._profiles = [0] * self._limit
        if dynamic and release_of(trt) < (10,):
            self._profiles = self._engine.profiles[: self._limit]
            self._limit = len(self._profiles)
        try:
            # An engine that loads may still not run: better known now than with the first frame.
            self._attempt({t.name: np.zeros(t.usual, t.dtype) for t in self._inputs.values()})
        except BaseException:
            self.close()
            raise
        _OPEN.add(self)

    def infer(self, feeds: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Run the engine: arrays by input name to arrays by output name. Thread-safe.

        A batch larger than the engine was built for is run in parts.

        Raises:
            ModelError: The feeds do not fit the inputs.
            CudaError: The engine or the device failed; it may need a restart of the process.
        """
        ready = self._check(feeds)
        parts = self._parts(ready)
        if parts is None:
            return self._attempt(ready)
        given = len(next(iter(ready.values())))
        results = [self._attempt(part) for part in parts]
        return {name: np.concatenate([r[name] for r in results])[:given] for name in self._outputs}

    def close(self) -> None:
        """Let go of the device's memory, once the last run is done."""
        self._shut(None)

    def _shut(self, patience: Optional[float]) -> None:
        with self._changed:
            self._closed = True
            done = self._changed.wait_for(lambda: self._made <= len(self._idle), patience)
            self._changed.notify_all()
            if not done or self._runtime is None:
                return
            idle, self._idle, self._made = self._idle, [], 0
            with self._device.current():
                for slot in idle:
                    slot.close()
                # In this order: TensorRT wants its contexts gone before the engine, and so on.
                del idle
                self._engine = None
                self._runtime = None

    @property
    def graph_launches(self) -> int:
        """How many runs were launched as CUDA graphs, by the contexts that are idle now."""
        with self._changed:
            return sum(slot.launches for slot in self._idle)

    # ----

    def _attempt(self, feeds: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        while True:
            slot = self._take()
            good = False
            try:
                with self._device.current():
                    values = slot.run(feeds)
                good = True
            except CudaError as error:
                if error.no_room and self._do_with_less():
                    continue
                raise CudaError(
                    f"{self.path} failed on the device",
                    got=error.got,
                    remedy=error.remedy
                    or "start edgelane anew; if it happens again, run edgelane doctor",
                ) from None
            except ModelError:
                good = True
                raise
            finally:
                self._give(slot, good)
            if values is None:
                raise CudaError(f"{self.path} failed while running", got=told(self._trt))
            return values

    def _do_with_less(self) -> bool:
        """There was no room for a run: wait for the others from now on, if there are any."""
        with self._changed:
            if self._made < 2:
                return False
            self._limit = self._made - 1
            return True

    def _take(self) -> Slot:
        """An idle slot, a new one, or the next that becomes idle."""
        with self._changed:
            while True:
                if self._closed or self._engine is None:
                    raise ModelError(f"{self.path} has been closed", remedy="load the model again")
                if self._idle:
                    return self._idle.pop()
                if self._made < self._limit:
                    engine, profile = self._engine, self._profiles.pop(0)
                    self._made += 1
                    break
                self._changed.wait()
        try:
            with self._device.current():
                return Slot(engine, self._device, profile, self._graphs, self._transfer)
        except ModelError:
            with self._changed:
                self._profiles.append(profile)
                self._made -= 1
                self._changed.notify_all()
                if not self._made:
                    raise
                # There is no room for another one: those that exist must do.
                self._limit = self._made
        return self._take()

    def _give(self, slot: Slot, good: bool) -> None:
        if not good:
            with self._device.current():
                slot.close()
        with self._changed:
            if good:
                self._idle.append(slot)
            else:
                self._profiles.append(slot.profile)
                self._made -= 1
            self._changed.notify_all()

    def _check(self, feeds: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Contiguous arrays of the right types, or an error that shows what was fed."""
        ready: Dict[str, np.ndarray] = {}
        good = set(feeds) == set(self._inputs)
        for name, tensor in self._inputs.items():
            if not good:
                break
            value = np.asarray(feeds[name])
            # TensorRT before 10 makes 32-bit inputs of 64-bit ones.
            shrunk = value.dtype == np.int64 and tensor.dtype == np.int32
            good = (value.dtype == tensor.dtype or shrunk) and len(value.shape) == len(tensor.shape)
            good = good and all(n in (-1, m) for n, m in zip(tensor.shape, value.shape))
            ready[name] = np.ascontiguousarray(value, tensor.dtype)
        if not good:
            raise ModelError(
                f"{self.path} failed while running",
                got=", ".join(
                    f"{k} {list(np.shape(v))} {getattr(v, 'dtype', type(v).__name__)}"
                    for k, v in feeds.items()
                )
                or "nothing",
                expected=", ".join(str(i) for i in self.inputs),
            )
        return ready

    def _parts(self, feeds: Dict[str, np.ndarray]) -> Optional[List[Dict[str, np.ndarray]]]:
        """The feeds in batches that the engine takes, the last filled up; None where they fit."""
        if not self.dynamic_batch or not feeds:
            return None
        count = len(next(iter(feeds.values())))
        low = max(t.low[0] for t in self._inputs.values())
        high = min(t.high[0] for t in self._inputs.values())
        if low <= count <= high or count < 1 or any(len(v) != count for v in feeds.values()):
            return None
        if not all(o.shape and o.shape[0] is None for o in self.outputs):
            return None
        parts = []
        for start in range(0, count, high):
            part = {name: value[start : start + high] for name, value in feeds.items()}
            missing = low - len(next(iter(part.values())))
            if missing > 0:
                part = {
                    name: np.concatenate((v, np.zeros((missing, *v.shape[1:]), v.dtype)))
                    for name, v in part.items()
                }
            parts.append(part)
        return parts


def _spec(tensor: Tensor) -> TensorSpec:
    shape: Tuple[Optional[int], ...] = tuple(None if n < 0 else n for n in tensor.shape)
    return TensorSpec(tensor.name, shape, tensor.dtype)
