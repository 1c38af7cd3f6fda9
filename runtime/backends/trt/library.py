"""What the backend asks of the `tensorrt` module itself."""

import re
from typing import Any, Optional, Tuple

import numpy as np

from ....core import ModelError
from ...engines.machine import tensorrt_logger

# TensorRT's own `nptype` of 8.x names np.bool, which numpy 1.24 took away.
_DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


def release_of(trt: Any) -> Tuple[int, ...]:
    """`(8, 5, 2)` of TensorRT 8.5.2.2."""
    return tuple(int(n) for n in re.findall(r"\d+", trt.__version__)[:3])


def numpy_type(dtype: Any, name: str) -> np.dtype:
    """numpy's type of a tensor.

    Raises:
        ModelError: numpy has none for it.
    """
    if dtype.name not in _DTYPES:
        raise ModelError(
            f"the engine's tensor {name} has a type that numpy lacks",
            got=dtype.name,
            expected=", ".join(_DTYPES),
        )
    return np.dtype(_DTYPES[dtype.name])


def told(trt: Any) -> str:
    """What TensorRT said went wrong, the first error, without the lead-in that it puts before."""
    errors = tensorrt_logger(trt).take_errors()
    if not errors:
        return "no reason given"
    text = re.sub(r"^.{0,120}?Error Code \d+: ", "", errors[0]).strip()
    return text if len(text) <= 300 else text[:297] + "..."


def deserialize(path: str, trt: Any, dla_core: Optional[int] = None) -> Tuple[Any, Any]:
    """Runtime and engine of a file.

    Raises:
        ModelError: The file cannot be read, or this TensorRT refuses it.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise ModelError(f"there is no engine {path}", remedy="check the path") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read", got=error.strerror) from None
    if not data:
        raise ModelError(f"{path} is empty", expected="an engine", remedy="edgelane build")
    logger = tensorrt_logger(trt)
    logger.take_errors()
    try:
        # Engines may hold TensorRT's own plugins, EfficientNMS_TRT above all.
        trt.init_libnvinfer_plugins(logger, "")
        runtime = trt.Runtime(logger)
    except Exception as error:
        raise ModelError("TensorRT cannot start", got=str(error)) from None
    if dla_core is not None:
        runtime.DLA_core = dla_core
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise ModelError(
            f"TensorRT {trt.__version__} does not take the engine {path}",
            got=told(trt),
            remedy="build it on this machine: edgelane build",
        )
    return runtime, engine
