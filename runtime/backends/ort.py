"""ONNX models on the CPU through onnxruntime.

Threads. The run loop keeps every core busy with a worker each, so it asks for one thread a call.
A caller without an opinion gets one a core, at most four. The threads of onnxruntime's pool never
spin while they wait. Measured with YOLOX-nano on two cores, milliseconds a call: idle, one thread
6.3, two 5.9, two that spin 3.8; beside other busy processes two that spin took 22 to 48 and twice
the CPU, two that do not 7 to 20. A machine that counts people also decodes video, so it is the
busy case that matters.
"""

import os
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...core import MissingDependency, ModelError, UsageError
from ..surroundings import cores
from .base import TensorSpec

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
}


def load_onnxruntime() -> Any:
    """onnxruntime.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            "onnxruntime is not installed, and it runs ONNX models",
            got=str(error),
            remedy="pip install 'edgelane[cpu]'",
        ) from None
    return onnxruntime


class OnnxruntimeBackend:
    """An ONNX model run by onnxruntime on the CPU.

    Args:
        path: The ONNX file.
        threads: Threads for one call of `infer`; None for one a core, at most four.

    Raises:
        ModelError: The file is missing, no ONNX, cut short, or asks for what this onnxruntime
            does not know.
        MissingDependency: onnxruntime is not installed.
    """

    def __init__(self, path: str, threads: Optional[int] = None) -> None:
        if threads is not None and (isinstance(threads, bool) or int(threads) < 1):
            raise UsageError("threads must be a count", got=repr(threads), expected="1 or more")
        onnxruntime = load_onnxruntime()
        self.path = str(path)
        _check_file(self.path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what matters is raised; the rest is noise on stderr
        options.intra_op_num_threads = min(cores(), 4) if threads is None else int(threads)
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                self.path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base but Exception
            raise _load_error(self.path, error, onnxruntime.__version__) from None
        self.inputs = tuple(_spec(self.path, i) for i in self._session.get_inputs())
        self.outputs = tuple(_spec(self.path, o) for o in self._session.get_outputs())
        self.metadata: Dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.dynamic_batch = all(i.shape and i.shape[0] is None for i in self.inputs)
        self._names: List[str] = [o.name for o in self.outputs]

    def infer(self, feeds: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Run the graph: arrays by input name to arrays by output name. Thread-safe.

        Raises:
            ModelError: The feeds do not fit the inputs, or the graph fails on them.
        """
        session = self._session
        if session is None:
            raise ModelError(f"{self.path} has been closed", remedy="load the model again")
        try:
            values = session.run(self._names, feeds)
        except Exception as error:
            raise ModelError(
                f"{self.path} failed while running",
                got=", ".join(f"{k} {list(np.shape(v))}" for k, v in feeds.items())
                + f" ({_first_line(error)})",
                expected=", ".join(str(i) for i in self.inputs),
            ) from None
        return dict(zip(self._names, values))

    def close(self) -> None:
        """Let go of the session."""
        self._session = None


def _spec(path: str, node: Any) -> TensorSpec:
    if node.type not in _DTYPES:
        raise ModelError(f"{path}: {node.name} is no plain tensor", got=node.type)
    shape: Tuple[Optional[int], ...] = tuple(
        n if isinstance(n, int) and n > 0 else None for n in node.shape
    )
    return TensorSpec(node.name, shape, np.dtype(_DTYPES[node.type]))


def _check_file(path: str) -> None:
    """Tell the plain mistakes apart before onnxruntime words them its own way."""
    if os.path.isdir(path):
        raise ModelError(f"{path} is a folder", expected="an ONNX file")
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise ModelError(f"there is no model {path}", remedy="check the path") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read", got=error.strerror) from None
    if not head:
        raise ModelError(f"{path} is empty", expected="an ONNX file", remedy="fetch it again")
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(
            f"{path} is a Git LFS pointer, not the model itself", remedy="run: git lfs pull"
        )


def _load_error(path: str, error: Exception, version: str) -> ModelError:
    kind, text = type(error).__name__, _first_line(error)
    lower = str(error).lower()
    if kind == "InvalidProtobuf" or "protobuf parsing failed" in lower:
        with open(path, "rb") as file:
            head = file.read(2)
        # A ModelProto begins with its field 1, ir_version, a small number.
        if head[:1] == b"\x08" and len(head) == 2 and 0 < head[1] < 64:
            return ModelError(
                f"{path} is cut short or damaged",
                got=f"{os.path.getsize(path)} bytes that end amid the graph",
                expected="a whole ONNX file",
                remedy="fetch or export it again",
            )
        return ModelError(
            f"{path} is no ONNX model",
            expected="an ONNX file",
            remedy="export the model to ONNX first",
        )
    words = ("external data", "external_data", "model_path", "cannot get file size")
    if any(word in lower for word in words):
        return ModelError(
            f"the weights that {path} keeps in a file of their own are missing or cut short",
            got=text,
            remedy="put the .data file that was exported with it into the same folder",
        )
    if (
        kind == "NotImplemented"
        or "opset" in lower
        or "ir version" in lower
        or "ir_version" in lower
        or "not a registered function/op" in lower
        or "no op registered" in lower
    ):
        return ModelError(
            f"{path} uses an operator or opset that onnxruntime {version} does not know",
            got=text,
            remedy="export with a lower opset or standard operators, or update onnxruntime",
        )
    return ModelError(f"{path} cannot be loaded by onnxruntime {version}", got=text)


def _first_line(error: Exception) -> str:
    text = (str(error) or type(error).__name__).strip().splitlines()[0]
    return text if len(text) <= 300 else text[:297] + "..."
