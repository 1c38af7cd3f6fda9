"""A graph written down once: run here with numpy and OpenCV, written as ONNX for everywhere else.

The two share nothing but the list of steps, so one is the reference of the other.
"""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...calibration.graph import load_onnx as load_any_onnx
from ...core import MissingDependency, ModelCard
from ...core.card import METADATA_KEY
from ...runtime.sources.base import load_cv2

EXTRA = "run: pip install 'edgelane[teach]'"
"""What brings all that learning from good parts needs: onnx, onnxruntime and OpenCV."""

OPSET = 13
"""The oldest that holds all that is used; TensorRT 8 reads it."""

Ref = int
_Run = Callable[..., np.ndarray]


def load_onnx() -> Any:
    """The onnx package.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        return load_any_onnx()
    except MissingDependency as error:
        raise MissingDependency(
            "onnx is not installed, and what is learnt is written with it",
            got=error.got, remedy=EXTRA,
        ) from None  # fmt: skip


class Tape:
    """Steps on tensors `(channels, h, w)` float32 of one picture, batch axis left out.

    Every method adds a step and gives its number. Step 0 is the picture as
    `(3, h, w)` float32, BGR of 0..255, made from `(1, h, w, 3)` uint8.

    Args:
        size: `(width, height)` of the picture.
        opset: ONNX operators, 13 to 17; the steps are the same in all of them.
    """

    def __init__(self, size: Tuple[int, int], opset: int = OPSET) -> None:
        self.size = size
        self.opset = opset
        self._steps: List[Tuple[_Run, Tuple[Ref, ...]]] = [(lambda: np.zeros(0), ())]
        self._nodes: List[Tuple[str, List[str], str, Dict[str, Any]]] = []
        self._weights: Dict[str, np.ndarray] = {}
        self._grafts: List[Tuple[Any, str]] = []

    def _add(
        self,
        run: _Run,
        refs: Sequence[Ref],
        op: str,
        extra: Sequence[str] = (),
        **attributes: Any,
    ) -> Ref:
        self._steps.append((run, tuple(refs)))
        number = len(self._steps) - 1
        names = [f"t{r}" for r in refs] + list(extra)
        self._nodes.append((op, names, f"t{number}", attributes))
        return number

    def _weight(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"w{len(self._weights)}"
        self._weights[name] = np.ascontiguousarray(array, dtype)
        return name

    # Elementwise; shapes broadcast as in numpy.
    def add(self, a: Ref, b: Ref) -> Ref:
        return self._add(np.add, (a, b), "Add")

    def sub(self, a: Ref, b: Ref) -> Ref:
        return self._add(np.subtract, (a, b), "Sub")

    def mul(self, a: Ref, b: Ref) -> Ref:
        return self._add(np.multiply, (a, b), "Mul")

    def div(self, a: Ref, b: Ref) -> Ref:
        return self._add(np.divide, (a, b), "Div")

    def affine(self, a: Ref, gain: Any = 1.0, bias: Any = 0.0) -> Ref:
        """`a * gain + bias`; arrays stand for channels, `(c, 1, 1)`, or places, `(c, h, w)`."""
        gain, bias = np.asarray(gain, np.float32), np.asarray(bias, np.float32)
        if not np.all(gain == 1):
            a = self._add(lambda x: x * gain, (a,), "Mul", [self._weight(_batched(gain))])
        if np.any(bias != 0):
            a = self._add(lambda x: x + bias, (a,), "Add", [self._weight(_batched(bias))])
        return a

    def relu(self, a: Ref) -> Ref:
        return self._add(lambda x: np.maximum(x, 0), (a,), "Relu")

    def abs(self, a: Ref) -> Ref:
        return self._add(np.abs, (a,), "Abs")

    def sqrt(self, a: Ref) -> Ref:
        return self._add(np.sqrt, (a,), "Sqrt")

    def log(self, a: Ref) -> Ref:
        return self._add(np.log, (a,), "Log")

    def clip(self, a: Ref, low: float, high: float) -> Ref:
        names = [self._weight(low), self._weight(high)]
        return self._add(
            lambda x: np.minimum(np.maximum(x, np.float32(low)), np.float32(high)),
            (a,),
            "Clip",
            names,
        )

    # Along axes.
    def total(self, a: Ref) -> Ref:
        """Sum over places, `(c, 1, 1)`."""
        axes = self._weight([2, 3], np.int64)
        return self._add(
            lambda x: x.sum(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32),
            (a,), "ReduceSum", [axes], keepdims=1,
        )  # fmt: skip

    def over_channels(self, a: Ref, how: str) -> Ref:
        """`sum`, `max` or `min` over channels, `(1, h, w)`."""
        if how == "sum":
            axes = self._weight([1], np.int64)
            return self._add(
                lambda x: x.sum(axis=0, keepdims=True), (a,), "ReduceSum", [axes], keepdims=1
            )
        if how == "max":
            return self._add(
                lambda x: x.max(axis=0, keepdims=True), (a,), "ReduceMax", axes=[1], keepdims=1
            )
        return self._add(
            lambda x: x.min(axis=0, keepdims=True), (a,), "ReduceMin", axes=[1], keepdims=1
        )

    def concat(self, refs: Sequence[Ref]) -> Ref:
        return self._add(lambda *x: np.concatenate(x, axis=0), refs, "Concat", axis=1)

    # Filters.
    def mix(self, a: Ref, weight: np.ndarray, bias: Optional[np.ndarray] = None) -> Ref:
        """A matrix `(out, in)` over the channels of every place."""
        weight = np.asarray(weight, np.float32)
        rows = len(weight)
        shift = np.zeros(rows, np.float32) if bias is None else np.asarray(bias, np.float32)
        names = [self._weight(weight[:, :, None, None]), self._weight(shift)]

        def run(x: np.ndarray) -> np.ndarray:
            flat = weight @ x.reshape(len(x), -1) + shift[:, None]
            return flat.reshape(rows, *x.shape[1:])

        return self._add(run, (a,), "Conv", names, kernel_shape=[1, 1])

    def bank(self, a: Ref, kernels: np.ndarray) -> Ref:
        """Filters `(k, n, n)`, n odd, on one channel, with zeros beyond the border."""
        kernels = np.asarray(kernels, np.float32)
        n = kernels.shape[-1]
        name = self._weight(kernels[:, None])
        cv2 = load_cv2()

        def run(x: np.ndarray) -> np.ndarray:
            return np.stack(
                [cv2.filter2D(x[0], -1, k, borderType=cv2.BORDER_CONSTANT) for k in kernels]
            )

        return self._add(run, (a,), "Conv", [name], kernel_shape=[n, n], pads=[n // 2] * 4)

    def conv(self, a: Ref, weight: np.ndarray, bias: np.ndarray, stride: int = 1) -> Ref:
        """A convolution `(out, in, n, n)`, n odd, with zeros beyond the border."""
        weight, bias = np.asarray(weight, np.float32), np.asarray(bias, np.float32)
        n = weight.shape[-1]
        names = [self._weight(weight), self._weight(bias)]

        def run(x: np.ndarray) -> np.ndarray:
            wide = np.pad(x, ((0, 0), (n // 2, n // 2), (n // 2, n // 2)))
            seen = np.lib.stride_tricks.sliding_window_view(wide, (n, n), axis=(1, 2))
            seen = seen[:, ::stride, ::stride]
            return np.tensordot(weight, seen, ((1, 2, 3), (0, 3, 4))) + bias[:, None, None]

        return self._add(
            run, (a,), "Conv", names,
            kernel_shape=[n, n], pads=[n // 2] * 4, strides=[stride, stride],
        )  # fmt: skip

    def stand_in(self, number: Ref, a: Ref, run: Callable[[np.ndarray], np.ndarray]) -> None:
        """Let another program be the reference of a step: `run` gives it from the value of a."""
        self._steps[number] = (run, (a,))

    def halve(self, a: Ref) -> Ref:
        """One channel smoothed by (1, 4, 6, 4, 1) / 16, every other place; zeros beyond."""
        row = np.array([1, 4, 6, 4, 1], np.float32) / 16
        name = self._weight(np.outer(row, row)[None, None])
        cv2 = load_cv2()

        def run(x: np.ndarray) -> np.ndarray:
            soft = cv2.sepFilter2D(x[0], -1, row, row, borderType=cv2.BORDER_CONSTANT)
            return np.ascontiguousarray(soft[None, ::2, ::2])

        return self._add(
            run, (a,), "Conv", [name], kernel_shape=[5, 5], pads=[2] * 4, strides=[2, 2]
        )

    def smooth(self, a: Ref, n: int, m: Optional[int] = None) -> Ref:
        """Mean over n × m places (rows × columns, odd), zeros beyond the border."""
        m = m or n
        if min(n, m) > 3:  # a column and a row cost much less than a square
            return self.smooth(self.smooth(a, n, 1), 1, m)
        cv2 = load_cv2()

        def run(x: np.ndarray) -> np.ndarray:
            return np.stack([cv2.blur(c, (m, n), borderType=cv2.BORDER_CONSTANT) for c in x])

        return self._add(
            run, (a,), "AveragePool",
            kernel_shape=[n, m], pads=[n // 2, m // 2] * 2, strides=[1, 1], count_include_pad=1,
        )  # fmt: skip

    def pool(self, a: Ref, n: int, how: str) -> Ref:
        """`mean` or `max` of blocks of n × n places."""
        if n == 1:
            return a
        op, numpy_op = ("MaxPool", np.max) if how == "max" else ("AveragePool", np.mean)

        def run(x: np.ndarray) -> np.ndarray:
            c, h, w = x.shape
            return numpy_op(x.reshape(c, h // n, n, w // n, n), axis=(2, 4))

        return self._add(run, (a,), op, kernel_shape=[n, n], strides=[n, n])

    def widest(self, a: Ref, n: int) -> Ref:
        """Largest of n × n places around each, n odd."""
        cv2 = load_cv2()
        around = np.ones((n, n), np.uint8)
        return self._add(
            lambda x: np.stack([cv2.dilate(c, around) for c in x]), (a,), "MaxPool",
            kernel_shape=[n, n], pads=[n // 2] * 4, strides=[1, 1],
        )  # fmt: skip

    def enlarge(self, a: Ref, n: int) -> Ref:
        """n times as large, linear between the middles of places."""
        if n == 1:
            return a
        cv2 = load_cv2()

        def run(x: np.ndarray) -> np.ndarray:
            h, w = x.shape[1:]
            how = cv2.INTER_LINEAR
            return np.stack([cv2.resize(c, (w * n, h * n), interpolation=how) for c in x])

        names = ["", self._weight([1, 1, n, n])]
        return self._add(
            run, (a,), "Resize", names,
            mode="linear", coordinate_transformation_mode="half_pixel",
        )  # fmt: skip

    def enlarge_to(self, a: Ref, size: Tuple[int, int]) -> Ref:
        """As `enlarge`, to `(width, height)` whatever the ratio."""
        cv2 = load_cv2()

        def run(x: np.ndarray) -> np.ndarray:
            return np.stack([cv2.resize(c, size, interpolation=cv2.INTER_LINEAR) for c in x])

        number = self._add(
            run, (a,), "Resize", ["", ""],
            mode="linear", coordinate_transformation_mode="half_pixel",
        )  # fmt: skip
        # The number of channels is not known here: only one is ever enlarged so.
        self._nodes[-1][1].append(self._weight([1, 1, size[1], size[0]], np.int64))
        return number

    def graft(self, a: Ref, model: Any, run: Callable[[np.ndarray], List[np.ndarray]]) -> List[Ref]:
        """Another graph as steps.

        Args:
            a: What it is fed.
            model: A `ModelProto` with one input and no name that begins with t or w and a number.
            run: The graph itself as it stands: `(1, c, h, w)` to its outputs.

        Returns:
            A step for each output, of `(c, h, w)`.
        """
        self._grafts.append((model, f"t{a}"))
        found = []
        for index, info in enumerate(model.graph.output):

            def one(x: np.ndarray, index: int = index) -> np.ndarray:
                return run(x[None])[index][0]

            found.append(self._add(one, (a,), "Identity"))
            self._nodes[-1][1][:] = [info.name]
        return found

    def top_mean(self, a: Ref, k: int) -> Ref:
        """Mean of the k largest values of one channel, `(1, 1, 1)`."""

        def run(x: np.ndarray) -> np.ndarray:
            return np.partition(x.ravel(), x.size - k)[-k:].mean().reshape(1, 1, 1)

        number = self._add(run, (a,), "ReduceMean", axes=[1], keepdims=1)
        op, _, name, attributes = self._nodes.pop()
        flat, top, mean = f"{name}_flat", f"{name}_top", f"{name}_mean"
        shape = self._weight([1, -1], np.int64)
        count = self._weight([k], np.int64)
        self._nodes.append(("Reshape", [f"t{a}", shape], flat, {}))
        self._nodes.append(("TopK", [flat, count], f"{top} {top}_at", {"axis": 1}))
        self._nodes.append((op, [top], mean, attributes))
        square = self._weight([1, 1, 1, 1], np.int64)
        self._nodes.append(("Reshape", [mean, square], name, {}))
        return number

    # Use.
    def run(self, picture: np.ndarray, wanted: Sequence[Ref]) -> List[np.ndarray]:
        """The reference: values of steps for a `(h, w, 3)` uint8 BGR picture."""
        needed, stack = set(), list(wanted)
        while stack:
            number = stack.pop()
            if number not in needed:
                needed.add(number)
                stack.extend(self._steps[number][1])
        last: Dict[Ref, Ref] = {}
        for number in sorted(needed):
            for ref in self._steps[number][1]:
                last[ref] = number
        values = {0: np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)}
        for number in sorted(needed - {0}):
            run, refs = self._steps[number]
            values[number] = np.asarray(run(*(values[r] for r in refs)), np.float32)
            for ref in set(refs):
                if last[ref] == number and ref not in wanted:
                    del values[ref]
        return [values[number] for number in wanted]

    def to_onnx(self, score: Ref, heat: Ref, card: Optional[ModelCard] = None) -> Any:
        """The graph with `image` in, `score` `(1,)` and `map` `(1, h, w)` out.

        Args:
            score: Step of shape `(1, 1, 1)`.
            heat: Step of shape `(1, h, w)`.
            card: Goes into the file.

        Raises:
            MissingDependency: onnx is not installed.
        """
        onnx = load_onnx()
        make, float_ = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
        width, height = self.size
        ends = [
            (score, make("score", float_, [1]), [1]),
            (heat, make("map", float_, [1, height, width]), [1, height, width]),
        ]
        model = self._model(ends)
        if card is not None:
            note = model.metadata_props.add()
            note.key, note.value = METADATA_KEY, card.to_json()
        onnx.checker.check_model(model, full_check=True)
        return model

    def to_onnx_steps(self, refs: Sequence[Ref]) -> Any:
        """The graph with steps as they are as outputs, `(1, c, h, w)` each; for this machine."""
        onnx = load_onnx()
        make, float_ = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
        return self._model([(r, make(f"out{r}", float_, [None] * 4), None) for r in refs])

    def _model(self, ends: Sequence[Tuple[Ref, Any, Optional[List[int]]]]) -> Any:
        """A graph with these steps as outputs, reshaped where a shape is given."""
        onnx = load_onnx()
        helper, types = onnx.helper, onnx.TensorProto
        width, height = self.size
        nodes = [
            helper.make_node("Cast", ["image"], ["image_float"], to=types.FLOAT),
            helper.make_node("Transpose", ["image_float"], ["t0"], perm=[0, 3, 1, 2]),
        ]
        for op, inputs, output, attributes in self._nodes:
            nodes.append(helper.make_node(op, inputs, output.split(), **attributes))
        weights = dict(self._weights)
        # In between, where what they are fed is made and nothing reads them yet.
        initialisers = []
        for graft, feed in self._grafts:
            place = next(i for i, n in enumerate(nodes) if feed in n.output) + 1
            inner = [type(n)() for n in graft.graph.node]
            for copy, node in zip(inner, graft.graph.node):
                copy.CopyFrom(node)
                for index, name in enumerate(copy.input):
                    copy.input[index] = feed if name == graft.graph.input[0].name else name
            nodes[place:place] = inner
            initialisers += list(graft.graph.initializer)
        for ref, info, shape in ends:
            if shape is None:
                nodes.append(helper.make_node("Identity", [f"t{ref}"], [info.name]))
                continue
            weights[f"{info.name}_shape"] = np.array(shape, np.int64)
            nodes.append(
                helper.make_node("Reshape", [f"t{ref}", f"{info.name}_shape"], [info.name])
            )
        nodes, used = _reachable(nodes, [info.name for _, info, _ in ends])
        graph = helper.make_graph(
            nodes,
            "anomaly",
            [helper.make_tensor_value_info("image", types.UINT8, [1, height, width, 3])],
            [info for _, info, _ in ends],
            [onnx.numpy_helper.from_array(w, n) for n, w in weights.items() if n in used]
            + [i for i in initialisers if i.name in used],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], producer_name="edgelane"
        )
        model.ir_version = 8 if self.opset > 14 else 7
        return model


def _batched(array: np.ndarray) -> np.ndarray:
    """An array for channels and places with the batch axis before it; a number stays one."""
    return array if array.ndim == 0 else array[None]


def _reachable(nodes: List[Any], wanted: Sequence[str]) -> Tuple[List[Any], set]:
    """The nodes that lead to these names, in order, and every name they take."""
    used = set(wanted)
    kept = []
    for node in reversed(nodes):
        if used.intersection(node.output):
            kept.append(node)
            used.update(node.input)
    return kept[::-1], used


def session_of(model: Any) -> Any:
    """onnxruntime on one thread for a `ModelProto`.

    Raises:
        MissingDependency: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            "onnxruntime is not installed, and what is learnt is run with it",
            got=str(error),
            remedy=EXTRA,
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
