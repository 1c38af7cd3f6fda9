"""What every backend offers, whatever library stands behind it."""

from dataclasses import dataclass
from typing import Dict, Optional, Protocol, Tuple

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph.

    Attributes:
        name: Its name in the graph.
        shape: One entry an axis; None where the graph leaves it open.
        dtype: numpy dtype.
    """

    name: str
    shape: Tuple[Optional[int], ...]
    dtype: np.dtype

    def __str__(self) -> str:
        axes = ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} [{axes}] {self.dtype}"


class Backend(Protocol):
    """A loaded graph that can be run.

    `infer` may be called from several threads at once.
    """

    @property
    def inputs(self) -> Tuple[TensorSpec, ...]:
        """The graph's inputs, in its order."""
        ...

    @property
    def outputs(self) -> Tuple[TensorSpec, ...]:
        """The graph's outputs, in its order."""
        ...

    @property
    def metadata(self) -> Dict[str, str]:
        """What the model file says about itself, as text by key."""
        ...

    @property
    def dynamic_batch(self) -> bool:
        """Whether the first axis of every input is open, so that a batch can be of any size."""
        ...

    def infer(self, feeds: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Run the graph: arrays by input name to arrays by output name.

        Raises:
            ModelError: The feeds do not fit the inputs, or the graph fails.
        """
        ...

    def close(self) -> None:
        """Let go of the model's memory. Closing twice is harmless."""
        ...


def open_backend(path: str, threads: Optional[int] = None) -> Backend:
    """Open a model file with the backend that suits it and this machine.

    An engine, or an ONNX of which an engine was built (beside it as `m.engine`, or in the cache of
    engines), is run by TensorRT. Where the engine does not fit this machine or the ONNX any more,
    or the device fails, onnxruntime takes its place with a warning, and the engine is built anew
    in the background and takes over when it is ready. Any other ONNX is run by onnxruntime.

    Args:
        path: An ONNX or engine file.
        threads: Threads that one call of `infer` may use on the CPU; None lets the backend choose.

    Raises:
        ModelError: The file is missing, damaged or needs something the backend lacks.
        MissingDependency: The backend's library is not installed.
    """
    from .serve import find_engine, is_engine, serve

    if is_engine(path):
        return serve(path, threads=threads)
    engine = find_engine(path)
    if engine is not None:
        return serve(path, engine, threads)
    from .ort import OnnxruntimeBackend

    return OnnxruntimeBackend(path, threads=threads)
