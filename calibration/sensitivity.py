"""What each layer costs when it alone computes in INT8: which layers had better stay float.

The float graph is run once for reference, and once a layer with that layer's data and weights
rounded as the quantised graph rounds them. How far the outputs move is the layer's sensitivity. No
labels are needed; `detection_distance` looks at detections instead of raw outputs.
"""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from ..core import DataError, Detections, ModelError
from ..runtime.backends.ort import load_onnxruntime
from .graph import Graph
from .lint import View
from .simulate import simulated
from .spare import spare

Tensors = Mapping[str, np.ndarray]
Distance = Callable[[Tensors, Tensors], float]


class Sensitivity(NamedTuple):
    """What one layer costs in INT8.

    Attributes:
        layer: Name of the layer's first output, as `quantise` takes it for what stays float.
        node: Name of its node.
        kind: Its operator.
        error: How far the outputs move, mean over the pictures; 0 is not at all.
        share: Share of the model's multiply-adds, 0..1.
    """

    layer: str
    node: str
    kind: str
    error: float
    share: float


class Layer(NamedTuple):
    """A layer that computes in INT8.

    Attributes:
        output: Name of its first output.
        data: The float tensor that it reads.
        scale: Scale of its data.
        weight: Its weights, rounded to what INT8 holds.
    """

    output: str
    data: str
    scale: float
    weight: np.ndarray


def layers_of(quantised: Any) -> List[Layer]:
    """The layers of a Q/DQ graph that compute in INT8, in the graph's order.

    Raises:
        ModelError: The graph has none.
    """
    view = View(quantised)
    found = []
    for node in view.weighted:
        dq, stored = view.weight(node)
        data = view.dequantiser(node.input[0])
        scale = view.scale(data) if data is not None else None
        if dq is None or stored is None or scale is None or scale.size != 1:
            continue
        found.append(
            Layer(
                node.output[0],
                view.origin(node.input[0]),
                float(scale.reshape(-1)[0]),
                view.rounded(dq, stored),
            )
        )
    if not found:
        raise ModelError(
            "no layer of the model computes in INT8", remedy="quantise it: edgelane calibrate"
        )
    return found


def sensitivity(
    floating: Any,
    quantised: Any,
    feeds: Sequence[Tensors],
    *,
    distance: Optional[Distance] = None,
    layers: Optional[Sequence[str]] = None,
    threads: Optional[int] = 1,
    progress: Optional[Callable[[int, int], None]] = None,
) -> List[Sensitivity]:
    """Measure every quantised layer alone.

    Args:
        floating: The float `ModelProto`, whose tensors are called as in the quantised one.
        quantised: The Q/DQ `ModelProto` that was made of it.
        feeds: Inputs by name, a few pictures like those the model will see; 8 rank layers well.
        distance: From the reference's outputs and a variant's, by name, to how far they lie
            apart; `output_error` if left out.
        layers: First outputs of the layers to measure; all if left out.
        threads: Threads of a run.
        progress: Called with the number of layers done and all.

    Returns:
        Most sensitive first.

    Raises:
        DataError: There are no feeds.
        ModelError: No layer is quantised, the graphs are not of one model, or one does not run.
    """
    feeds = list(feeds)
    if not feeds:
        raise DataError("there are no pictures to measure the layers on")
    distance = distance or output_error
    graph = Graph(floating)
    nodes = {n.output[0]: n for n in graph.nodes if n.output}
    wanted = [a for a in layers_of(quantised) if layers is None or a.output in set(layers)]
    shares = _shares(graph, nodes)
    reference = _run(graph.model, feeds, threads)
    found = []
    for number, layer in enumerate(wanted, 1):
        node = nodes.get(layer.output)
        if node is None:
            raise ModelError(
                f"the float model has no layer {layer.output!r} of the quantised one",
                remedy="give the float model that it was quantised from",
            )
        outputs = _run(_alone(graph, node, layer), feeds, threads)
        errors = [distance(one, two) for one, two in zip(reference, outputs)]
        found.append(
            Sensitivity(
                layer.output,
                node.name,
                node.op_type,
                float(np.mean(errors)),
                shares.get(layer.output, 0.0),
            )
        )
        if progress:
            progress(number, len(wanted))
    return sorted(found, key=lambda s: (-s.error, s.layer))


def relief(
    floating: Any,
    quantised: Any,
    feeds: Sequence[Tensors],
    *,
    distance: Optional[Distance] = None,
    threads: Optional[int] = 1,
    progress: Optional[Callable[[int, int], None]] = None,
) -> List[Sensitivity]:
    """Measure what each layer's return to float would save in the quantised graph as it is.

    The counterpart of `sensitivity`, and the better guide to which layers to spare: errors do not
    add up, and weights may have been fitted to the errors before them.

    Args:
        floating: The float `ModelProto` that the quantised one was made of.
        quantised: The Q/DQ `ModelProto`, as `quantise` writes it.
        feeds: As for `sensitivity`.
        distance: Likewise.
        threads: Threads of a run.
        progress: Called with the number of layers done and all.

    Returns:
        Most useful first; `error` is by how much the outputs come nearer to the float ones, below
        0 where they move away.

    Raises:
        DataError, ModelError: As `sensitivity`.
    """
    feeds = list(feeds)
    if not feeds:
        raise DataError("there are no pictures to measure the layers on")
    distance = distance or output_error
    graph = Graph(floating)
    nodes = {n.output[0]: n for n in graph.nodes if n.output}
    shares = _shares(graph, nodes)
    reference = _run(floating, feeds, threads)

    def error(model: Any) -> float:
        outputs = _run(simulated(model), feeds, threads)
        return float(np.mean([distance(one, two) for one, two in zip(reference, outputs)]))

    layers = layers_of(quantised)
    whole = error(quantised)
    found = []
    for number, layer in enumerate(layers, 1):
        name = layer.output
        left = error(spare(quantised, floating, [name]))
        node = nodes[name]
        found.append(
            Sensitivity(name, node.name, node.op_type, whole - left, shares.get(name, 0.0))
        )
        if progress:
            progress(number, len(layers))
    return sorted(found, key=lambda s: (-s.error, s.layer))


def output_error(reference: Tensors, outputs: Tensors) -> float:
    """Squared error of the outputs over their variance, mean over the outputs.

    An output with a value that is not finite counts as 1 wrong altogether.
    """
    errors = []
    for name, expected in reference.items():
        if expected.dtype.kind != "f" or not expected.size:
            continue
        expected = expected.astype(np.float64)
        with np.errstate(all="ignore"):
            error = float(((outputs[name] - expected) ** 2).mean())
        spread = float(expected.var()) or float((expected**2).mean()) or 1.0
        errors.append(error / spread if np.isfinite(error) else 1.0)
    return float(np.mean(errors)) if errors else 0.0


def detection_distance(model: Any, confidence: float = 0.05) -> Distance:
    """How far the detections of two runs lie apart, 0..1.

    1 minus twice the sum, over detections that are found by both, of IoU × the lower score, over
    the sum of all scores: as 1 − F1, but boxes that drift and scores that fall count in part.

    Args:
        model: The `Model` that reads the outputs.
        confidence: Detections below are left out.
    """
    from ..runtime.nms import nms

    low = model.variant(confidence=confidence)

    def detect(outputs: Tensors) -> Detections:
        boxes, scores, classes = low.candidates(dict(outputs))
        if len(boxes) and low.card.nms_iou is not None:
            rows = nms(boxes, scores, classes, low.card.nms_iou)
            boxes, scores, classes = boxes[rows], scores[rows], classes[rows]
        return Detections.cleaned(boxes, scores, classes)

    def distance(reference: Tensors, outputs: Tensors) -> float:
        return _apart(detect(reference), detect(outputs))

    return distance


def _apart(one: Detections, two: Detections) -> float:
    from .accuracy.boxes import overlap

    total = float(one.score.sum() + two.score.sum())
    if total == 0:
        return 0.0
    sides = [np.hstack([d.xyxy[:, :2], d.xyxy[:, 2:] - d.xyxy[:, :2]]) for d in (one, two)]
    alike = overlap(sides[0].astype(float), sides[1].astype(float), np.zeros(len(two), bool))
    alike[one.class_id[:, None] != two.class_id[None]] = 0.0
    shared = 0.0
    for row in np.argsort(-one.score, kind="stable") if len(two) else ():
        column = int(alike[row].argmax())
        if alike[row, column] >= 0.5:
            weight = min(float(one.score[row]), float(two.score[column]))
            shared += float(alike[row, column]) * weight
            alike[:, column] = 0.0
    return max(0.0, 1 - 2 * shared / total)


def _alone(graph: Graph, node: Any, layer: Layer) -> bytes:
    """The float graph with one layer in INT8, serialised; the graph stays as it was."""
    onnx = graph.onnx
    model, name = graph.model, "one_layer_alone"
    before = list(node.input)
    # In float operators: onnxruntime would round the weights anew beside Q/DQ.
    steps = (
        ("Div", [layer.data, f"{name}/step"], f"{name}/ratio"),
        ("Round", [f"{name}/ratio"], f"{name}/level"),
        ("Clip", [f"{name}/level", f"{name}/low", f"{name}/high"], f"{name}/clipped"),
        ("Mul", [f"{name}/clipped", f"{name}/step"], f"{name}/data"),
    )
    added = [onnx.helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps]
    constants = {
        f"{name}/step": np.array(layer.scale, np.float32),
        f"{name}/low": np.array(-128, np.float32),
        f"{name}/high": np.array(127, np.float32),
        f"{name}/weight": layer.weight,
    }
    count, weights = len(model.graph.node), len(model.graph.initializer)
    try:
        node.input[0], node.input[1] = f"{name}/data", f"{name}/weight"
        model.graph.node.extend(added)  # onnxruntime sorts nodes by itself
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(v, k) for k, v in constants.items()
        )
        return model.SerializeToString()
    finally:
        node.input[0], node.input[1] = before[0], before[1]
        del model.graph.node[count:]
        del model.graph.initializer[weights:]


def _run(model: Any, feeds: Sequence[Tensors], threads: Optional[int]) -> List[Dict[str, Any]]:
    """Outputs of a graph for each of the feeds."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    content = model if isinstance(model, bytes) else model.SerializeToString()
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        return [dict(zip(names, session.run(names, dict(f)))) for f in feeds]
    except Exception as error:  # onnxruntime's errors share no base but Exception
        first = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ModelError("the model does not run", got=first[:200]) from None


def _shares(graph: Graph, nodes: Mapping[str, Any]) -> Dict[str, float]:
    from .patterns import multiply_adds, weighted

    counts = {i.node.output[0]: multiply_adds(graph, i) for i in weighted(graph)}
    total = sum(counts.values()) or 1
    return {name: count / total for name, count in counts.items() if name in nodes}
