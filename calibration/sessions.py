"""A graph in memory, run by onnxruntime."""

import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ..core import ModelError
from ..runtime.backends.ort import load_onnxruntime
from ..runtime.surroundings import cores
from .graph import EXTERNAL_LIMIT, load_onnx, write_model


def open_session(
    model: Any,
    tensors: Sequence[str],
    threads: Optional[int] = None,
    level: str = "ORT_ENABLE_ALL",
    arena: bool = True,
) -> Any:
    """onnxruntime on the part of a graph that computes some tensors.

    Args:
        model: A `ModelProto`.
        tensors: Names of what nodes give, whether the model gives it out or not.
        threads: Of one run; None for one a core, at most four.
        level: How far onnxruntime changes the graph, by its own name for it.
        arena: Whether freed memory is kept for what comes.

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        ModelError: onnxruntime cannot run the model.
        MissingDependency: onnx or onnxruntime is not installed.
    """
    onnxruntime, onnx = load_onnxruntime(), load_onnx()
    part = type(model)()
    part.CopyFrom(model)
    del part.graph.output[:]
    for name in tensors:  # without a type: onnxruntime finds it out
        part.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or min(cores(), 4)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena

    def opened(what: Any) -> Any:
        return onnxruntime.InferenceSession(what, options, providers=["CPUExecutionProvider"])

    try:
        if part.ByteSize() <= EXTERNAL_LIMIT:
            return opened(part.SerializeToString())
        with tempfile.TemporaryDirectory(prefix="edgelane-") as folder:
            path = Path(folder) / "part.onnx"
            write_model(part, path)
            return opened(str(path))
    except (OSError, ModelError):
        raise
    except Exception as error:  # onnxruntime's errors share no base but Exception
        raise ModelError(
            f"the model cannot be run by onnxruntime {onnxruntime.__version__}",
            got=str(error).strip().splitlines()[0][:300],
            remedy="export it with standard operators, or update onnxruntime",
        ) from None


class Session:
    """Runs a model for some of its tensors.

    Args:
        model: A `ModelProto`.
        tensors: Names of tensors, outputs or any others; None for its outputs. Inputs among them
            are given back as they are fed.
        threads: Threads of onnxruntime; None for one a core, at most four.
        brief: Run it as it stands: for a few runs, preparing it takes longer than it saves.

    Attributes:
        names: The tensors that are float32, in the order asked for.

    Raises:
        ModelError: onnxruntime cannot run the model.
        MissingDependency: onnxruntime is not installed.
    """

    def __init__(
        self,
        model: Any,
        tensors: Optional[Sequence[str]] = None,
        threads: Optional[int] = None,
        brief: bool = False,
    ) -> None:
        if tensors is None:
            tensors = [o.name for o in model.graph.output]
        fed = {i.name for i in model.graph.input}
        self._fed = [t for t in tensors if t in fed]
        computed = [t for t in tensors if t not in fed]
        level = "ORT_DISABLE_ALL" if brief else "ORT_ENABLE_ALL"
        self._session = open_session(model, computed, threads, level)
        floats = {o.name for o in self._session.get_outputs() if o.type == "tensor(float)"}
        self.names: List[str] = [t for t in tensors if t in floats or t in fed]
        self._computed = [t for t in self.names if t not in fed]

    def __call__(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """The tensors for one batch, by name."""
        values: Dict[str, np.ndarray] = {}
        if self._computed:  # asked for nothing, onnxruntime fails
            values.update(zip(self._computed, self._session.run(self._computed, dict(feed))))
        values.update({name: feed[name] for name in self._fed if name in feed})
        return values
