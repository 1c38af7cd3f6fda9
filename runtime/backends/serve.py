"""Serving a model with its engine where that fits this machine, with onnxruntime where not.

An engine is tied to the release of TensorRT, the GPU and the ONNX it was built from. Where one of
them has changed, the ONNX is run on the CPU at once, and the engine is built anew in the
background and takes over when it is ready. A camera never waits for it.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ...core import EdgelaneError, MissingDependency, ModelError
from ..cuda.base import CudaError
from .base import Backend
from .rebuild import Rebuild
from .swap import SwappableBackend

_LOG = logging.getLogger("edgelane")

SUFFIXES = (".engine", ".plan", ".trt")
"""Endings of engine files."""


class _Pair(NamedTuple):
    """An engine and the ONNX that it is of.

    Attributes:
        engine: The engine file.
        onnx: The ONNX, or None where it is not at hand.
        place: Where a new engine is to be put; None for the cache.
    """

    engine: str
    onnx: Optional[str]
    place: Optional[str]


class EngineBackend(SwappableBackend):
    """What `serve` gives: an engine, or an ONNX until its engine is ready.

    Attributes:
        rebuild: The build in the background, if one was started.
    """

    rebuild: Optional[Any] = None

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until a build in the background has ended, well or not."""
        if self.rebuild is not None:
            self.rebuild.join(timeout)

    def close(self) -> None:
        """Let go of the graph once its last call is done, and give up a build that goes on."""
        super().close()
        if self.rebuild is not None:
            self.rebuild.cancel()


def is_engine(path: str) -> bool:
    """Whether a file is named as an engine."""
    return path.lower().endswith(SUFFIXES)


def find_engine(onnx: str) -> Optional[str]:
    """The engine that was built of an ONNX: beside it, or in the cache; fit to use or not."""
    from ..engines import cached_engine, read_passport

    if not os.path.isfile(onnx):
        return None
    for suffix in SUFFIXES:
        beside = Path(onnx).with_suffix(suffix)
        if beside.exists():
            try:
                named = read_passport(beside).onnx
            except ModelError:
                continue  # nothing tells that it is of this ONNX
            if os.path.realpath(beside.parent / named) == os.path.realpath(onnx):
                return str(beside)
    found = cached_engine(onnx)
    return None if found is None else str(found)


def serve(
    path: str,
    engine: Optional[str] = None,
    threads: Optional[int] = None,
    *,
    start: Callable[..., Any] = Rebuild,
) -> Backend:
    """Open an engine, or what can stand in for it.

    Args:
        path: An engine file, or an ONNX.
        engine: The engine of the ONNX, where `path` is one.
        threads: Threads for one run on the CPU.
        start: How a build in the background is started; `Rebuild`.

    Raises:
        ModelError: The engine cannot be used, and there is no ONNX to turn to.
        MissingDependency: Likewise, for want of a library.
    """
    pair = _pair(path, engine)
    passport = _passport(pair.engine)
    tensorrt: Optional[Any] = None
    problem: EdgelaneError
    try:
        tensorrt = _tensorrt(pair.engine)
        backend = _open_engine(pair, passport, tensorrt)
        return EngineBackend(backend, rescue=_rescue(pair, threads))
    except EdgelaneError as error:
        problem = error
    except Exception as error:  # TensorRT and what lies below it raise what they like
        problem = ModelError(
            f"{pair.engine} cannot be used", got=f"{type(error).__name__}: {error}"
        )
    if pair.onnx is None:
        raise problem
    return _stand_in(pair, passport, problem, tensorrt, threads, start)


def _pair(path: str, engine: Optional[str]) -> _Pair:
    if engine is not None:
        beside = Path(engine).resolve().parent == Path(path).resolve().parent
        return _Pair(engine, path, engine if beside else None)
    candidates: List[Path] = []
    passport = _passport(path)
    if passport is not None:
        candidates.append(Path(path).parent / passport.onnx)
    candidates.append(Path(path).with_suffix(".onnx"))
    onnx = next((str(c) for c in candidates if c.is_file()), None)
    if onnx is None and not os.path.exists(path):
        raise ModelError(f"there is no engine {path}", remedy="check the path")
    return _Pair(path, onnx, path)


def _passport(engine: str) -> Optional[Any]:
    from ..engines import read_passport

    try:
        return read_passport(engine)
    except ModelError:
        return None


def _tensorrt(engine: str) -> Any:
    """The module `tensorrt`.

    Raises:
        ModelError: There is no driver, or no TensorRT that works.
    """
    from ..engines import load_tensorrt

    try:
        return load_tensorrt()
    except EdgelaneError as error:
        missing = isinstance(error, MissingDependency)
        raise ModelError(
            f"engine {engine} cannot be used here",
            got=f"{error.what} ({error.got})" if missing else error.got or error.what,
            remedy="edgelane doctor tells what is missing",
        ) from None


def _open_engine(pair: _Pair, passport: Optional[Any], tensorrt: Any) -> Backend:
    """The engine, once its passport says that it fits.

    Raises:
        ModelError: It does not, or it cannot be opened.
    """
    from ..engines import here, read_engine, read_graph
    from .trt import TensorrtBackend

    if passport is None and pair.onnx is None:
        _LOG.warning(
            "%s has no passport: nothing tells what it was built from, so it is taken as it is",
            pair.engine,
        )
        return TensorrtBackend(pair.engine, trt=tensorrt)
    _, passport = read_engine(pair.engine)
    digest = None if pair.onnx is None else read_graph(pair.onnx).sha256
    found = passport.differences(here(tensorrt), digest)
    if found:
        raise ModelError(
            f"engine {pair.engine} does not fit: {'; '.join(found)}",
            remedy="build it from its ONNX on this machine: edgelane build m.onnx",
        )
    return TensorrtBackend(
        pair.engine, metadata=passport.metadata, dla_core=passport.dla_core, trt=tensorrt
    )


def _stand_in(
    pair: _Pair,
    passport: Optional[Any],
    problem: EdgelaneError,
    tensorrt: Optional[Any],
    threads: Optional[int],
    start: Callable[..., Any],
) -> Backend:
    """The ONNX on the CPU, and a build of its engine in the background where that can help."""
    from .ort import OnnxruntimeBackend

    onnx = str(pair.onnx)
    try:
        backend = OnnxruntimeBackend(onnx, threads=threads)
    except MissingDependency as missing:
        raise ModelError(
            f"{_reason(problem)}; nor is onnxruntime installed, which could stand in",
            remedy=missing.remedy,
        ) from None
    if tensorrt is None:
        _LOG.warning("%s. %s is run by onnxruntime on the CPU instead.", _reason(problem), onnx)
        return backend
    _LOG.warning(
        "%s. It is built anew in the background; until then %s is run by onnxruntime on the CPU.",
        _reason(problem),
        onnx,
    )
    serving = EngineBackend(backend)
    ready = threading.Event()

    def then(path: Optional[str], reason: str) -> None:
        ready.wait()
        _take_over(serving, pair, path, reason, tensorrt, threads)

    options: Dict[str, Any] = dict(passport.options) if passport is not None else {}
    try:
        serving.rebuild = start(onnx, pair.place, options, then)
    except OSError as error:
        _LOG.warning("the engine cannot be built anew: %s", error.strerror or error)
    ready.set()
    return serving


def _take_over(
    serving: EngineBackend,
    pair: _Pair,
    path: Optional[str],
    reason: str,
    tensorrt: Any,
    threads: Optional[int],
) -> None:
    """Let the new engine serve."""
    if path is None:
        _LOG.warning("the engine of %s cannot be built; the CPU goes on: %s", pair.onnx, reason)
        return
    backend: Optional[Backend] = None
    try:
        fresh = pair._replace(engine=path)
        backend = _open_engine(fresh, _passport(path), tensorrt)
        serving.rescue_with(_rescue(fresh, threads))
        serving.swap(backend)
    except Exception as error:
        if backend is not None:
            backend.close()
        _LOG.warning("the new engine cannot be used; the CPU goes on: %s", error)
        return
    _LOG.info("the new engine %s serves from now on", path)


def _rescue(
    pair: _Pair, threads: Optional[int]
) -> Optional[Callable[[CudaError], Optional[Backend]]]:
    """What to do when the device fails under a running engine."""
    if pair.onnx is None:
        return None

    def rescue(error: CudaError) -> Optional[Backend]:
        from .ort import OnnxruntimeBackend

        try:
            backend = OnnxruntimeBackend(str(pair.onnx), threads=threads)
        except EdgelaneError:
            return None
        _LOG.warning("%s. Now %s is run by onnxruntime on the CPU.", _reason(error), pair.onnx)
        return backend

    return rescue


def _reason(error: EdgelaneError) -> str:
    """What an error says, without its remedy and full stop: we do what can be done ourselves."""
    return str(type(error)(error.what, got=error.got, expected=error.expected)).rstrip(".")
