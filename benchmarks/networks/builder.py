"""Writes a network layer by layer as an ONNX graph whose weights have shapes and no values."""

import math
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ...calibration.graph import load_onnx

Pair = Union[int, Tuple[int, int]]


class Builder:
    """An ONNX graph in the making. Tensors are named by strings; shapes are `(n, c, h, w)`.

    Args:
        size: `(width, height)` of the picture.
        batch: Pictures a run.
        channels: Colours of the picture.
    """

    def __init__(self, size: Tuple[int, int], batch: int = 1, channels: int = 3) -> None:
        self.onnx = load_onnx()
        self.nodes: List[Any] = []
        self.inputs: List[Any] = []
        self.initialisers: List[Any] = []
        self.shapes: Dict[str, Tuple[int, ...]] = {}
        self.count = 0
        self.images = self._input("images", (batch, channels, size[1], size[0]))

    def channels(self, x: str) -> int:
        """Channels of a tensor."""
        return self.shapes[x][1]

    def conv(
        self,
        x: str,
        out: int,
        kernel: Pair = 1,
        stride: Pair = 1,
        groups: int = 1,
        act: Optional[str] = None,
        pad: Optional[Pair] = None,
        dilation: int = 1,
    ) -> str:
        """A convolution with bias, and its activation; padded to keep the size unless told."""
        (kh, kw), (sh, sw) = _pair(kernel), _pair(stride)
        ph, pw = (dilation * (kh - 1) // 2, dilation * (kw - 1) // 2) if pad is None else _pair(pad)
        n, c, h, w = self.shapes[x]
        shape = (
            n,
            out,
            (h + 2 * ph - dilation * (kh - 1) - 1) // sh + 1,
            (w + 2 * pw - dilation * (kw - 1) - 1) // sw + 1,
        )
        weight = self._input(f"w{self.count}", (out, c // groups, kh, kw))
        bias = self._input(f"b{self.count}", (out,))
        y = self._node(
            "Conv",
            [x, weight, bias],
            shape,
            kernel_shape=[kh, kw],
            strides=[sh, sw],
            pads=[ph, pw, ph, pw],
            dilations=[dilation, dilation],
            group=groups,
        )
        return self.act(y, act)

    def act(self, x: str, kind: Optional[str]) -> str:
        """An activation: `relu`, `relu6`, `leaky`, `silu`, `mish`, `hswish`, `sigmoid` or None."""
        if kind is None:
            return x
        shape = self.shapes[x]
        if kind == "silu":
            return self._node("Mul", [x, self._node("Sigmoid", [x], shape)], shape)
        if kind == "mish":
            soft = self._node("Tanh", [self._node("Softplus", [x], shape)], shape)
            return self._node("Mul", [x, soft], shape)
        if kind == "relu6":
            return self._node("Clip", [x, self.scalar(0.0), self.scalar(6.0)], shape)
        if kind == "hswish":
            return self._node("HardSwish", [x], shape)
        names = {"relu": "Relu", "leaky": "LeakyRelu", "sigmoid": "Sigmoid"}
        return self._node(names[kind], [x], shape)

    def add(self, x: str, y: str) -> str:
        """Sum of two tensors of one shape."""
        return self._node("Add", [x, y], self.shapes[x])

    def mul(self, x: str, y: str) -> str:
        """Product, the second broadcast onto the first."""
        return self._node("Mul", [x, y], self.shapes[x])

    def concat(self, parts: Sequence[str], axis: int = 1) -> str:
        """Tensors behind one another along an axis."""
        shape = list(self.shapes[parts[0]])
        shape[axis] = sum(self.shapes[p][axis] for p in parts)
        return self._node("Concat", list(parts), tuple(shape), axis=axis)

    def split(self, x: str, sizes: Sequence[int], axis: int = 1) -> List[str]:
        """A tensor cut along an axis."""
        shape = self.shapes[x]
        held = self.constant(list(sizes))
        names = [f"t{self.count}_{i}" for i in range(len(sizes))]
        self.nodes.append(
            self.onnx.helper.make_node(
                "Split", [x, held], names, name=f"Split{self.count}", axis=axis
            )
        )
        self.count += 1
        for name, part in zip(names, sizes):
            self.shapes[name] = (*shape[:axis], part, *shape[axis + 1 :])
        return names

    def pool(
        self,
        x: str,
        kernel: int,
        stride: int = 1,
        pad: Optional[int] = None,
        kind: str = "Max",
        ceil: bool = False,
    ) -> str:
        """A pooling; padded to keep the size at stride 1 unless told; `ceil` rounds it up."""
        pad = kernel // 2 if pad is None else pad
        n, c, h, w = self.shapes[x]
        shape = (
            n,
            c,
            (h + 2 * pad - kernel + ceil * (stride - 1)) // stride + 1,
            (w + 2 * pad - kernel + ceil * (stride - 1)) // stride + 1,
        )
        return self._node(
            f"{kind}Pool",
            [x],
            shape,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            ceil_mode=int(ceil),
        )

    def mean(self, x: str) -> str:
        """The mean over a picture, `(n, c, 1, 1)`."""
        return self._node("GlobalAveragePool", [x], (*self.shapes[x][:2], 1, 1))

    def upsample(self, x: str, factor: int = 2) -> str:
        """Nearest neighbour, `factor` times as large."""
        n, c, h, w = self.shapes[x]
        scales = self.constant([1.0, 1.0, float(factor), float(factor)])
        return self._node(
            "Resize",
            [x, "", scales],
            (n, c, h * factor, w * factor),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """The same values in another shape; one entry may be -1."""
        total = math.prod(self.shapes[x])
        known = -math.prod(shape)
        whole = tuple(total // known if n == -1 else n for n in shape)
        return self._node("Reshape", [x, self.constant(list(whole))], whole)

    def transpose(self, x: str, order: Sequence[int]) -> str:
        """Axes in another order."""
        shape = tuple(self.shapes[x][i] for i in order)
        return self._node("Transpose", [x], shape, perm=list(order))

    def slice(self, x: str, axis: int, start: int, stop: int, step: int = 1) -> str:
        """Part of a tensor along an axis."""
        shape = list(self.shapes[x])
        shape[axis] = max(0, (stop - start + step - 1) // step)
        held = [self.constant([v]) for v in (start, stop, axis, step)]
        return self._node("Slice", [x, *held], tuple(shape))

    def matmul(self, x: str, y: str) -> str:
        """Product of matrices."""
        shape = (*self.shapes[x][:-1], self.shapes[y][-1])
        return self._node("MatMul", [x, y], shape)

    def softmax(self, x: str, axis: int) -> str:
        """Softmax along an axis."""
        return self._node("Softmax", [x], self.shapes[x], axis=axis)

    def linear(self, x: str, out: int, act: Optional[str] = None) -> str:
        """A fully connected layer on a flat tensor."""
        n = self.shapes[x][0]
        flat = x
        if len(self.shapes[x]) != 2:
            flat = self._node("Flatten", [x], (n, math.prod(self.shapes[x][1:])), axis=1)
        weight = self._input(f"w{self.count}", (out, self.shapes[flat][1]))
        bias = self._input(f"b{self.count}", (out,))
        y = self._node("Gemm", [flat, weight, bias], (n, out), transB=1)
        return self.act(y, act)

    def pointwise(self, kind: str, *inputs: str) -> str:
        """Any other elementwise operator; the shape is the first input's."""
        return self._node(kind, list(inputs), self.shapes[inputs[0]])

    def scalar(self, value: float) -> str:
        """A float constant without axes."""
        return self.constant(value)

    def constant(self, value: Union[float, List[float], List[int]]) -> str:
        """A small constant: floats as float32, whole numbers as int64."""
        import numpy as np

        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"c{self.count}_{len(self.initialisers)}"
        self.initialisers.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def finish(self, outputs: Sequence[str]) -> Any:
        """The `ModelProto`."""
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "network",
            self.inputs,
            [helper.make_tensor_value_info(o, kind, list(self.shapes[o])) for o in outputs],
            self.initialisers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)

    def _input(self, name: str, shape: Tuple[int, ...]) -> str:
        self.shapes[name] = shape
        self.inputs.append(
            self.onnx.helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, list(shape))
        )
        return name

    def _node(self, kind: str, inputs: List[str], shape: Tuple[int, ...], **attributes: Any) -> str:
        name = f"t{self.count}"
        self.nodes.append(
            self.onnx.helper.make_node(
                kind, inputs, [name], name=f"{kind}{self.count}", **attributes
            )
        )
        self.count += 1
        self.shapes[name] = shape
        return name


def _pair(value: Pair) -> Tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
