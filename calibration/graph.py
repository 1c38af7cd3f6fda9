"""An ONNX graph that can be read and changed: who makes a tensor, who reads it, what it holds."""

from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

import numpy as np

from ..core import MissingDependency, ModelError
from ..runtime.files import whole_file

EXTERNAL_LIMIT = 2**31 - 2**20
"""Largest message in bytes that protobuf writes; weights beyond it go into a file of their own."""


def load_onnx() -> Any:
    """The onnx package.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency(
            "onnx is not installed, and it edits models",
            got=str(error),
            remedy="run: pip install 'edgelane[export]'",
        ) from None
    return onnx


def read_model(path: Union[str, Path]) -> Any:
    """An ONNX file as a `ModelProto`, with its external weights.

    Raises:
        ModelError: The file is missing, no ONNX, or cut short.
        MissingDependency: onnx is not installed.
    """
    onnx = load_onnx()
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"there is no model {path}", expected="an ONNX file")
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf and onnx share no error but Exception
        first = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ModelError(
            f"{path} cannot be read as ONNX", got=first[:200], remedy="fetch or export it again"
        ) from None
    if not model.graph.node and not model.graph.output:
        raise ModelError(f"{path} is no ONNX model", got="a file without a graph")
    return model


def write_model(model: Any, path: Union[str, Path]) -> None:
    """Write a `ModelProto` in one step.

    A model too large for one message keeps its weights in `NAME.data` beside it.

    Raises:
        StorageError: The folder cannot be written or the disk is full; what was there stays.
    """
    path = Path(path)
    if model.ByteSize() <= EXTERNAL_LIMIT:
        with whole_file(path) as file:
            file.write(model.SerializeToString())
        return
    onnx = load_onnx()
    data = path.with_name(path.name + ".data")
    moved: List[Tuple[Any, bytes]] = []
    try:
        with whole_file(data) as weights:
            for tensor in model.graph.initializer:
                if len(tensor.raw_data) < 1024:
                    continue
                weights.write(b"\0" * (-weights.tell() % 4096))  # so that it can be mapped
                start, raw = weights.tell(), tensor.raw_data
                weights.write(raw)
                moved.append((tensor, raw))
                onnx.external_data_helper.set_external_data(
                    tensor, data.name, offset=start, length=len(raw)
                )
                tensor.ClearField("raw_data")
        with whole_file(path) as file:
            file.write(model.SerializeToString())
    finally:
        for tensor, raw in moved:  # the caller's model stays as it was
            tensor.raw_data = raw
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")


class Graph:
    """The main graph of a model, to be changed in place.

    The model given is copied, so the caller's stays as it is. Tensors are named by strings;
    `nodes` is kept in an order in which it can run by `finish`.

    Args:
        model: A `ModelProto`.

    Attributes:
        model: The copy.
        nodes: Its nodes; insert and remove through `add`, `insert` and `remove`.
        inputs: Names of the inputs that are no initialisers.
        outputs: Names of the outputs.

    Raises:
        ModelError: The graph has control flow, which this cannot edit.
    """

    def __init__(self, model: Any) -> None:
        self.onnx = load_onnx()
        self.model = type(model)()
        self.model.CopyFrom(model)
        for node in self.model.graph.node:
            if any(a.type in (5, 10) for a in node.attribute):  # GRAPH, GRAPHS
                raise ModelError(
                    f"the graph has control flow at {node.name or node.output[0]!r}",
                    got=node.op_type,
                    expected="a plain graph",
                    remedy="export without loops and conditions",
                )
        self.nodes: List[Any] = list(self.model.graph.node)
        self.initialisers: Dict[str, Any] = {t.name: t for t in self.model.graph.initializer}
        self.inputs: List[str] = [
            i.name for i in self.model.graph.input if i.name not in self.initialisers
        ]
        self.outputs: List[str] = [o.name for o in self.model.graph.output]
        self._names = {o for n in self.nodes for o in (*n.output, n.name)}
        self._names.update(self.initialisers, self.inputs, self.outputs)
        self._shapes: Optional[Dict[str, Tuple[int, Optional[Tuple[Optional[int], ...]]]]] = None
        self._changed()

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        versions = [o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")]
        return max(versions) if versions else 1

    def _changed(self) -> None:
        self._producers: Optional[Dict[str, Any]] = None
        self._consumers: Optional[Dict[str, List[Any]]] = None

    def producer(self, tensor: str) -> Optional[Any]:
        """The node that makes a tensor, or None for inputs and initialisers."""
        if self._producers is None:
            self._producers = {o: n for n in self.nodes for o in n.output if o}
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> List[Any]:
        """The nodes that read a tensor, each once, in the graph's order."""
        if self._consumers is None:
            self._consumers = {}
            for node in self.nodes:
                for name in dict.fromkeys(i for i in node.input if i):
                    self._consumers.setdefault(name, []).append(node)
        return list(self._consumers.get(tensor, ()))

    def constant(self, tensor: str) -> Optional[np.ndarray]:
        """The value of an initialiser or of a Constant node's output; None for what is computed."""
        if tensor in self.initialisers:
            return self.onnx.numpy_helper.to_array(self.initialisers[tensor])
        node = self.producer(tensor)
        if node is not None and node.op_type == "Constant":
            for attribute in node.attribute:
                value = self.onnx.helper.get_attribute_value(attribute)
                if attribute.name == "value":
                    return self.onnx.numpy_helper.to_array(value)
                if attribute.name in ("value_float", "value_floats"):
                    return np.asarray(value, np.float32)
                if attribute.name in ("value_int", "value_ints"):
                    return np.asarray(value, np.int64)
        return None

    def set_constant(self, tensor: str, value: np.ndarray) -> None:
        """Give an initialiser or a Constant's output another value."""
        proto = self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), tensor)
        if tensor in self.initialisers:
            self.initialisers[tensor].CopyFrom(proto)
            return
        node = self.producer(tensor)
        if node is None or node.op_type != "Constant":
            raise ModelError(f"{tensor!r} is no constant of the graph")
        del node.attribute[:]
        node.attribute.append(self.onnx.helper.make_attribute("value", proto))

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """A new initialiser; the name it got, which is `name` unless that is taken."""
        name = self.fresh(name)
        self.model.graph.initializer.append(
            self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        )
        self.initialisers[name] = self.model.graph.initializer[-1]
        return name

    def fresh(self, name: str) -> str:
        """A name that nothing in the graph has, near the one given; it is taken from now on."""
        found, count = name, 1
        while found in self._names:
            found, count = f"{name}_{count}", count + 1
        self._names.add(found)
        return found

    def attribute(self, node: Any, name: str, default: Any = None) -> Any:
        """An attribute of a node as a Python value."""
        for attribute in node.attribute:
            if attribute.name == name:
                return self.onnx.helper.get_attribute_value(attribute)
        return default

    def make(
        self,
        kind: str,
        inputs: Iterable[str],
        outputs: Iterable[str],
        name: str = "",
        **attributes: Any,
    ) -> Any:
        """Append a node; `finish` puts it where it can run."""
        outputs = list(outputs)
        node = self.onnx.helper.make_node(
            kind, list(inputs), outputs, name=self.fresh(name or f"{kind}_{outputs[0]}")
        )
        for key, value in attributes.items():
            node.attribute.append(self.onnx.helper.make_attribute(key, value))
        self.nodes.append(node)
        self._names.update(outputs)
        self._changed()
        return node

    def remove(self, nodes: Iterable[Any]) -> None:
        """Take nodes out; who reads their outputs is the caller's to mend."""
        gone = {id(n) for n in nodes}
        self.nodes = [n for n in self.nodes if id(n) not in gone]
        self._changed()

    def rewire(self, node: Any, old: str, new: str) -> None:
        """Let a node read another tensor."""
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
        self._changed()

    def rewire_all(self, old: str, new: str, but: Iterable[Any] = ()) -> None:
        """Let every reader of a tensor but these nodes read another."""
        kept = {id(n) for n in but}
        for node in self.consumers(old):
            if id(node) not in kept:
                self.rewire(node, old, new)

    def shape(self, tensor: str) -> Optional[Tuple[Optional[int], ...]]:
        """Shape as the graph's inference knows it, None an axis that is open; None if unknown."""
        known = self._types().get(tensor)
        return known[1] if known else None

    def dtype(self, tensor: str) -> Optional[int]:
        """Element type as a `TensorProto` number, or None if unknown."""
        known = self._types().get(tensor)
        return known[0] if known else None

    def _types(self) -> Dict[str, Tuple[int, Optional[Tuple[Optional[int], ...]]]]:
        if self._shapes is None:
            try:
                inferred = self.onnx.shape_inference.infer_shapes(self.model).graph
            except Exception:  # too large or not inferable: what the model itself says is left
                inferred = self.model.graph
            self._shapes = {t.name: (t.data_type, tuple(t.dims)) for t in inferred.initializer}
            for info in (*inferred.input, *inferred.value_info, *inferred.output):
                kind = info.type.tensor_type
                if not kind.elem_type:
                    continue
                axes = None  # without the field the rank is not known; with no axes it is 0
                if kind.HasField("shape"):
                    axes = tuple(
                        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
                        for d in kind.shape.dim
                    )
                self._shapes.setdefault(info.name, (kind.elem_type, axes))
        return self._shapes

    def finish(self) -> Any:
        """The changed model: nodes sorted, what nothing reads dropped, stale shapes forgotten.

        Raises:
            ModelError: A node reads what nothing makes, or the nodes form a circle.
        """
        live = set(self.outputs)
        kept: List[Any] = []
        makers = {o: n for n in self.nodes for o in n.output if o}
        wanted, seen = list(self.outputs), set()
        while wanted:
            node = makers.get(wanted.pop())
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            wanted.extend(i for i in node.input if i)
            live.update(i for i in node.input if i)
        kept = [n for n in self.nodes if id(n) in seen]
        ready = {*self.inputs, *self.initialisers}
        order: List[Any] = []
        while kept:
            rest = []
            for node in kept:
                if all(i in ready for i in node.input if i):
                    order.append(node)
                    ready.update(node.output)
                else:
                    rest.append(node)
            if len(rest) == len(kept):
                node = rest[0]
                missing = [i for i in node.input if i and i not in ready]
                raise ModelError(
                    f"the node {node.name!r} reads {missing[0]!r}, which nothing makes"
                )
            kept = rest
        graph = self.model.graph
        protos = [type(n).FromString(n.SerializeToString()) for n in order]
        del graph.node[:]
        graph.node.extend(protos)
        used = {i for n in protos for i in n.input} | set(self.outputs)
        weights = [t for t in graph.initializer if t.name in used]
        if len(weights) != len(graph.initializer):
            weights = [type(t).FromString(t.SerializeToString()) for t in weights]
            del graph.initializer[:]
            graph.initializer.extend(weights)
        declared = {t.name for t in graph.initializer}
        inputs = [
            type(i).FromString(i.SerializeToString())
            for i in graph.input
            if i.name in declared or i.name in self.inputs
        ]
        del graph.input[:]
        graph.input.extend(inputs)
        del graph.value_info[:]
        self.nodes = list(graph.node)
        self.initialisers = {t.name: t for t in graph.initializer}
        self._shapes = None
        self._changed()
        return self.model
