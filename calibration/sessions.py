"""A graph in memory, run by onnxruntime."""

import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ..core import MissingDependency, ModelError
from .graph import EXTERNAL_LIMIT, load_onnx, write_model


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
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependency(
                "onnxruntime is not installed, and calibration runs the model with it",
                got=str(error),
                remedy="run: pip install 'edgelane[cpu]'",
            ) from None
        onnx = load_onnx()
        if tensors is None:
            tensors = [o.name for o in model.graph.output]
        fed = {i.name for i in model.graph.input}
        self._fed = [t for t in tensors if t in fed]
        part = type(model)()
        part.CopyFrom(model)
        del part.graph.output[:]
        for name in tensors:
            if name not in fed:
                part.graph.output.append(onnx.ValueInfoProto(name=name))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or min(len(os.sched_getaffinity(0)), 4)
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if brief:
            levels = onnxruntime.GraphOptimizationLevel
            options.graph_optimization_level = levels.ORT_DISABLE_ALL
        self._session: Any = None
        try:
            if part.ByteSize() <= EXTERNAL_LIMIT:
                what: Any = part.SerializeToString()
                self._open(onnxruntime, what, options)
            else:
                with tempfile.TemporaryDirectory(prefix="edgelane-") as folder:
                    path = Path(folder) / "part.onnx"
                    write_model(part, path)
                    self._open(onnxruntime, str(path), options)
        except (OSError, ModelError):
            raise
        except Exception as error:  # onnxruntime's errors share no base but Exception
            raise ModelError(
                f"the model cannot be run by onnxruntime {onnxruntime.__version__}",
                got=str(error).strip().splitlines()[0][:300],
                remedy="export it with standard operators, or update onnxruntime",
            ) from None
        floats = {o.name for o in self._session.get_outputs() if o.type == "tensor(float)"}
        self.names: List[str] = [t for t in tensors if t in floats or t in fed]
        self._computed = [t for t in self.names if t not in fed]

    def _open(self, onnxruntime: Any, what: Any, options: Any) -> None:
        self._session = onnxruntime.InferenceSession(
            what, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """The tensors for one batch, by name."""
        values: Dict[str, np.ndarray] = {}
        if self._computed:  # asked for nothing, onnxruntime fails
            values.update(zip(self._computed, self._session.run(self._computed, dict(feed))))
        values.update({name: feed[name] for name in self._fed if name in feed})
        return values
