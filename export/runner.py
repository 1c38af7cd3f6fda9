"""Graphs run as they stand in memory, with any of their tensors to look at."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import numpy as np

from ..calibration.graph import EXTERNAL_LIMIT, load_onnx, write_model
from ..core import EdgelaneError, ModelError
from ..runtime.backends import Backend, open_backend

Tensors = Dict[str, np.ndarray]

STANDARD = ("", "ai.onnx")


@contextlib.contextmanager
def running(model: Any, where: str, tensors: Sequence[str] = ()) -> Iterator[Backend]:
    """A `ModelProto` as a backend.

    Args:
        model: The model.
        where: What errors call it.
        tensors: Names of inner tensors that are given beside the outputs.

    Raises:
        ModelError: onnxruntime cannot load it, or later run it.
        MissingDependency: onnxruntime is not installed.
    """
    onnx = load_onnx()
    known = {o.name for o in model.graph.output}
    added = [onnx.ValueInfoProto(name=name) for name in tensors if name not in known]
    with tempfile.TemporaryDirectory(prefix="edgelane-") as folder:
        path = Path(folder) / "model.onnx"
        model.graph.output.extend(added)
        try:
            write_model(model, path)
        finally:
            del model.graph.output[len(known) :]
        with _renamed(str(path), where):
            backend = open_backend(str(path))
            try:
                yield backend
            finally:
                backend.close()


@contextlib.contextmanager
def _renamed(path: str, where: str) -> Iterator[None]:
    """Errors about a file that is gone again name what the user knows instead."""
    try:
        yield
    except EdgelaneError as error:
        for field in ("what", "got", "expected", "remedy"):
            text = getattr(error, field)
            if isinstance(text, str):
                setattr(error, field, text.replace(path, where))
        raise


def check(model: Any, where: str) -> None:
    """Hold a model against the standard: well formed, and its types and shapes fit together.

    Raises:
        ModelError: It is not.
    """
    onnx = load_onnx()
    try:
        if model.ByteSize() <= EXTERNAL_LIMIT:
            onnx.checker.check_model(model, full_check=True)
            return
        with tempfile.TemporaryDirectory(prefix="edgelane-") as folder:
            path = Path(folder) / "model.onnx"
            write_model(model, path)
            onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the graph of {where} is not valid", got=first_line(error)) from None


def has_control_flow(model: Any) -> bool:
    """Whether a node has graphs of its own: If, Loop, Scan."""
    return any(a.type in (5, 10) for n in model.graph.node for a in n.attribute)


def check_plain(model: Any, where: str) -> None:
    """Refuse control flow, whose types and shapes nothing can settle before it runs.

    Raises:
        ModelError: There is some.
    """
    for node in model.graph.node:
        if any(a.type in (5, 10) for a in node.attribute):  # GRAPH, GRAPHS
            raise ModelError(
                f"{where} has control flow at {node.name or node.output[0]!r}",
                got=node.op_type,
                expected="a plain graph",
                remedy="export the model without loops and conditions",
            )


def check_operators(model: Any, where: str) -> List[str]:
    """Make sure that every operator is one of the standard's.

    Returns:
        Notes on operators of onnxruntime's own, which nothing else runs.

    Raises:
        ModelError: An operator is in no standard, or in none of the model's opset.
    """
    onnx = load_onnx()
    versions = {("" if o.domain == "ai.onnx" else o.domain): o.version for o in model.opset_import}
    foreign: Dict[str, int] = {}
    for node in model.graph.node:
        domain = "" if node.domain in STANDARD else node.domain
        if domain in ("com.microsoft", "com.microsoft.nchwc"):
            foreign[node.op_type] = foreign.get(node.op_type, 0) + 1
            continue
        try:
            onnx.defs.get_schema(node.op_type, versions.get(domain, 1), domain)
        except onnx.defs.SchemaError:
            kind = f"{node.domain}.{node.op_type}" if domain else node.op_type
            raise ModelError(
                f"{where} has an operator that ONNX does not know at "
                f"{node.name or node.output[0]!r}",
                got=kind + (f" in opset {versions.get('', 1)}" if not domain else ""),
                remedy="export the model with standard operators only",
            ) from None
    if not foreign:
        return []
    kinds = ", ".join(sorted(foreign))
    return [f"{kinds}: operators of onnxruntime's own, which TensorRT does not read"]


def first_line(error: BaseException, limit: int = 300) -> str:
    """The first line of what an error says, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
