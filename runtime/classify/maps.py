"""Class-activation maps as a second output of a classifier."""

import os
import tempfile
from pathlib import Path
from typing import Any, Callable, List, Optional, Union

import numpy as np

from ...core import ModelError, StorageError
from ..files import write_whole
from .head import Head, find_head
from .wire import FLOAT, Graph, Node, addition, read

PathLike = Union[str, "os.PathLike[str]"]

MAP = "edgelane_map"
"""The output that holds the maps: `(n, classes, h, w)` float32, on the features' own grid. The
average of a class's map is its score before softmax or sigmoid, but for a constant."""


def add_map(path: PathLike, out: PathLike, output: Optional[str] = None) -> None:
    """Write a classifier with its class-activation maps as a further output.

    Everything else in the file stays as it is, byte for byte, so the scores do.

    Args:
        path: ONNX file.
        out: The new file; may be the same.
        output: The output that holds the scores; the first unless given.

    Raises:
        ModelError: The file is no ONNX, or its graph has no such maps; tells why.
        StorageError: `out` cannot be written.
    """
    write_whole(Path(out), with_map(_bytes(path), os.fspath(path), output))


def with_map(data: bytes, where: str, output: Optional[str] = None) -> bytes:
    """As `add_map`, in memory.

    Raises:
        ModelError: As there.
    """
    graph = read_graph(data, where)
    if MAP in graph.outputs:
        return data
    name = output or next(iter(graph.outputs), "")
    head, reason = find_head(graph, name)
    if head is None:
        raise ModelError(
            f"{where} has no class-activation map",
            got=reason,
            expected="features, their average over the picture, and one linear layer",
        )
    return data + _nodes(head)


def read_graph(data: bytes, where: str) -> Graph:
    """The graph of an ONNX in memory.

    Raises:
        ModelError: It is none.
    """
    try:
        graph = read(data)
    except ValueError:
        raise ModelError(f"{where} is no ONNX file, or damaged") from None
    if not graph.nodes:
        raise ModelError(f"{where} holds no operators", expected="an ONNX of a classifier")
    return graph


def _nodes(head: Head) -> bytes:
    """The nodes that make the maps of the features.

    A 1×1 convolution with the weight of the linear layer; its shape is changed in the graph, so
    that a weight of any type serves, also one that is dequantised.
    """
    nodes: List[Node] = []
    constants = {}
    tensor = head.features
    if head.weight is not None:
        weight = head.weight
        if head.transposed:
            nodes.append(Node("Transpose", (weight,), (f"{MAP}_turned",), {"perm": (1, 0)}))
            weight = f"{MAP}_turned"
        if not head.convolution:
            constants[f"{MAP}_shape"] = (0, 0, 1, 1)  # 0: as it is
            nodes.append(Node("Reshape", (weight, f"{MAP}_shape"), (f"{MAP}_kernel",), {}))
            weight = f"{MAP}_kernel"
        nodes.append(Node("Conv", (tensor, weight), (f"{MAP}_raw",), {}))
        tensor = f"{MAP}_raw"
    nodes.append(Node("Cast", (tensor,), (MAP,), {"to": (FLOAT,)}))
    return addition(nodes, constants, MAP, 4)


def open_with_map(path: str, open_path: Callable[[str], Any]) -> Any:
    """Open a classifier with its maps, made now where the file does not hold them.

    Args:
        path: ONNX file.
        open_path: Opens a file.

    Raises:
        ModelError: There are no maps; or the file's weights lie beside it, so that it cannot be
            opened from elsewhere.
    """
    data = _bytes(path)
    graph = read_graph(data, path)
    if MAP in graph.outputs:
        return open_path(path)
    if any(tensor.external for tensor in graph.constants.values()):
        raise ModelError(
            f"{path} keeps its weights in a file beside it, and its maps are not made yet",
            remedy="make them once: edgelane.runtime.classify.add_map(model, model)",
        )
    made = with_map(data, path)
    handle, name = tempfile.mkstemp(suffix=".onnx")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(made)
        return open_path(name)
    except OSError as error:
        raise StorageError(f"{name} cannot be written", got=error.strerror) from None
    finally:
        os.unlink(name)


def check_map(run: Callable[[np.ndarray], Any], shape: Any, dtype: Any, where: str) -> None:
    """Make sure that the maps are those of the scores, by two pictures of noise.

    Over the picture the average of a class's map and its score before softmax or sigmoid may
    differ by what is the same for all pictures, the bias; with softmax also by what is the same
    for all classes.

    Args:
        run: From a tensor of one picture to logarithms of scores `(classes,)`, or the scores
            where nothing was made of them, and maps `(classes, h, w)`.
        shape: Of a picture's tensor.
        dtype: Likewise.
        where: What errors call the model.

    Raises:
        ModelError: They are not.
    """
    draws = np.random.default_rng(0)
    gaps, sizes = [], []
    for low, high in ((0, 1), (0.3, 0.6)):
        noise = draws.uniform(low, high, shape)
        tensor = (noise * 255 if np.dtype(dtype).kind in "ui" else noise).astype(dtype)
        score, maps = run(tensor[None])
        gaps.append(np.asarray(score, np.float64) - maps.astype(np.float64).mean(axis=(1, 2)))
        sizes.append(np.abs(maps).max())
    apart = gaps[1] - gaps[0]
    apart = apart[np.isfinite(apart)]
    if len(apart) and apart.max() - apart.min() > 1e-3 + 0.02 * max(sizes):
        raise ModelError(
            f"the class-activation map of {where} does not add up to its scores",
            got=f"differences of up to {apart.max() - apart.min():.3g}",
            expected="an average over the whole picture and one linear layer",
        )


def _bytes(path: PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ModelError(f"there is no model {path}", remedy="check the path") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read", got=error.strerror) from None
