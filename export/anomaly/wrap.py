"""A user's own network behind the same door: a classifier by its class-activation map, or any
network by what its layers see.

Class-activation map: Zhou et al., "Learning Deep Features for Discriminative Localization" (2016).
"""

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...calibration.graph import Graph, load_onnx, read_model
from ...core import DataError, InputSpec, ModelCard, ModelError, UsageError, did_you_mean
from ...core.card import METADATA_KEY
from ..complete import fix_shapes
from ..opset import to_opset
from .calibrate import auroc, check_false_reject, threshold
from .features import Features
from .learn import Learnt
from .methods import Looked, Statistics, lie_still
from .parts import LEAST, Picture, check_alike, hash_of, placed, read_parts
from .settle import apart, card_of, checked
from .tape import Ref, Tape, session_of

FOLDS = 4
CHANNELS = 96
"""Of a layer, at most: more are mixed at random, which keeps distances (Johnson-Lindenstrauss)."""

_PASS = ("Flatten", "Reshape", "Squeeze", "Dropout", "Identity", "Cast")


class Head(NamedTuple):
    """The end of a classifier: features that are averaged over places, then mixed.

    Attributes:
        features: Name of the tensor `(n, c, h, w)`.
        weight: `(classes, c)`.
        bias: `(classes,)`.
    """

    features: str
    weight: np.ndarray
    bias: np.ndarray


def wrap(
    model: Union[str, Path, Any],
    good: Sequence[Picture],
    *,
    layers: Optional[Sequence[str]] = None,
    input: Optional[InputSpec] = None,
    bad: Optional[Sequence[Picture]] = None,
    seed: int = 0,
    false_reject: float = 0.01,
) -> Learnt:
    """An anomaly model made of a network that somebody else trained.

    A classifier that ends in a mean over places and a linear layer gives its class-activation
    map: of its classes the one that the good parts look like is the good one, and the score is
    how far the best other one is above it. Of any other network, or where layers are named, what
    the layers see on good parts is learnt, as Gaussian statistics.

    Args:
        model: An ONNX with one picture input, or its path.
        good: Pictures of good parts.
        layers: Names of tensors whose values are taken as features, instead of a classifier's map.
        input: How a picture becomes the input; the card's, where the model has one, else
            RGB of 0..1.
        bad: Defective parts, to tell how well they are told apart.
        seed: Decides what is left to chance.
        false_reject: Wanted share of good parts above the threshold.

    Raises:
        UsageError: A layer is unknown or sees no places.
        DataError: As in `learn`.
        ModelError: The network has other inputs, or an operator that no opset from 13 to 17 has.
    """
    check_false_reject(false_reject)
    if len(good) < LEAST:
        raise DataError("too few good parts to learn from", got=len(good),
                        expected=f"at least {LEAST}")  # fmt: skip
    where = str(model) if isinstance(model, (str, Path)) else "the network"
    proto = read_model(model) if isinstance(model, (str, Path)) else model
    spec = _input(proto, input, where)
    proto = fix_shapes(proto, size=spec.size, batch=1, where=where)
    graph = Graph(proto)
    opset = int(np.clip(graph.opset, 13, 17))
    proto = to_opset(proto, opset)
    graph = Graph(proto)
    head = None if layers else find_head(graph)
    wanted = [head.features] if head is not None else list(layers or usual_layers(graph, spec))
    for name in wanted:
        _check_layer(graph, name, where)

    names, images = read_parts(good, "good")
    other_names, other_images = read_parts(bad or [], "defective")
    pixels = InputSpec(
        size=spec.size, layout="nhwc", colour="bgr", scale=1.0, resize=spec.resize, pad=spec.pad
    )
    parts, others = placed(names, images, pixels), placed(other_names, other_images, pixels)
    warnings = check_alike(parts)

    tape = Tape((int(spec.size[0]), int(spec.size[1])), opset)
    inner, run = _inner(proto, wanted)
    seen = tape.graft(_preprocess(tape, spec), inner, run)
    if head is not None:
        score, heat, raw, raw_bad = _by_map(tape, seen[0], head, parts.images, others.images)
        how = "class-activation map"
    else:
        random = np.random.default_rng(seed)
        features = _join(tape, seen, [_shape(graph, n) for n in wanted], random)
        score, heat, raw, raw_bad = _by_statistics(
            tape, features, parts.images, others.images, random
        )
        how = "statistics of " + ", ".join(wanted)
    cut, origin = threshold(raw, false_reject)
    low, cut = apart(raw, cut)
    unit = cut - low
    score, heat = (
        tape.affine(score, 1 / unit, -low / unit),
        tape.affine(heat, 1 / unit, -low / unit),
    )
    heat = tape.enlarge_to(heat, tape.size)
    notes: Dict[str, Any] = {
        "candidate": how,
        "good": len(images),
        "bad": len(other_images),
        "pictures": hash_of(images + other_images),
        "seed": seed,
        "threshold": {**origin, "raw": cut, "raw_zero": low},
    }
    report: Dict[str, Any] = {"chosen": how, "threshold": origin, "warnings": warnings,
                              "good": len(images), "bad": len(other_images),
                              "size": list(spec.size)}  # fmt: skip
    if len(raw_bad):
        notes["auroc"] = report["auroc"] = auroc(raw_bad, raw)
    card = ModelCard(
        task="anomaly", decoder="anomaly", input=pixels, classes=("good", "anomalous"),
        confidence=1.0, nms_iou=None, source=f"{Path(where).name}, taught with {len(images)} good "
        "parts by edgelane", extra={"anomaly": notes},
    )  # fmt: skip
    result, report["parity"] = checked(tape, score, heat, card, parts, others)
    return Learnt(result, card_of(result), report, (raw - low) / unit, (raw_bad - low) / unit)


def _input(proto: Any, given: Optional[InputSpec], where: str) -> InputSpec:
    graph = Graph(proto)
    if len(graph.inputs) != 1:
        raise ModelError(f"{where} has not one picture input", got=", ".join(graph.inputs))
    card = next((p.value for p in proto.metadata_props if p.key == METADATA_KEY), None)
    axes = next(
        i for i in proto.graph.input if i.name == graph.inputs[0]
    ).type.tensor_type  # fmt: skip
    shape = [d.dim_value or None for d in axes.shape.dim]
    if axes.elem_type != load_onnx().TensorProto.FLOAT or len(shape) != 4 or shape[1] not in (1, 3):
        raise ModelError(
            f"{where} takes no picture that can be put before it",
            got=f"{graph.inputs[0]} {shape}",
            expected="float32 of 1 x 3 x height x width",
        )
    size = (shape[3] or 256, shape[2] or 256)
    spec = given or (ModelCard.from_json(card).input if card else InputSpec(size, resize="stretch"))
    if (shape[3], shape[2]) != (None, None) and tuple(spec.size) != size:
        raise ModelError(f"{where} takes another size", got=spec.size, expected=size)
    return spec


def find_head(graph: Graph) -> Optional[Head]:
    """The classifier's end, or None where the graph does not end in one."""
    for node in reversed(graph.nodes):
        if not _averages(graph, node):
            continue
        name = node.output[0]
        for _ in range(6):
            readers = graph.consumers(name)
            if len(readers) != 1:
                break
            reader = readers[0]
            if reader.op_type in _PASS:
                name = reader.output[0]
                continue
            found = _linear(graph, reader, name)
            return None if found is None else Head(node.input[0], *found)
    return None


def _averages(graph: Graph, node: Any) -> bool:
    if node.op_type == "GlobalAveragePool":
        return True
    shape = graph.shape(node.input[0]) if node.input else None
    if shape is None or len(shape) != 4:
        return False
    if node.op_type == "ReduceMean":
        axes = graph.attribute(node, "axes")
        if axes is None and len(node.input) > 1:
            given = graph.constant(node.input[1])
            axes = None if given is None else given.tolist()
        return axes is not None and sorted(a % 4 for a in axes) == [2, 3]
    if node.op_type == "AveragePool":
        return list(graph.attribute(node, "kernel_shape", [])) == list(shape[2:])
    return False


def _linear(graph: Graph, node: Any, name: str) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """Weight `(classes, c)` and bias of a linear layer on a tensor."""
    if node.op_type not in ("Gemm", "MatMul", "Conv") or node.input[0] != name:
        return None
    weight = graph.constant(node.input[1])
    if weight is None:
        return None
    bias: Optional[np.ndarray] = None
    if node.op_type == "Gemm":
        gain = graph.attribute(node, "alpha", 1.0)
        weight = gain * (weight if graph.attribute(node, "transB", 0) else weight.T)
        if len(node.input) > 2:
            given = graph.constant(node.input[2])
            bias = None if given is None else graph.attribute(node, "beta", 1.0) * given
    elif node.op_type == "Conv":
        if weight.shape[2:] != (1, 1):
            return None
        weight = weight[:, :, 0, 0]
        bias = graph.constant(node.input[2]) if len(node.input) > 2 else None
    else:
        weight = weight.T
        after = graph.consumers(node.output[0])
        if len(after) == 1 and after[0].op_type == "Add":
            term = next(i for i in after[0].input if i != node.output[0])
            bias = graph.constant(term)
    bias = np.zeros(len(weight)) if bias is None else bias
    return weight.astype(np.float32), np.broadcast_to(bias.ravel(), (len(weight),)).astype(
        np.float32
    )


def usual_layers(graph: Graph, spec: InputSpec) -> List[str]:
    """The last tensor at each of the strides 4, 8 and 16."""
    found: Dict[int, str] = {}
    for node in graph.nodes:
        for name in node.output:
            shape = graph.shape(name)
            if shape is not None and len(shape) == 4 and shape[3] and shape[2]:
                stride = round(spec.size[0] / shape[3])
                if stride in (4, 8, 16) and min(shape[2], shape[3]) >= 4:
                    found[stride] = name
    if not found:
        raise ModelError(
            "the network has no layer that sees places at a stride of 4, 8 or 16",
            remedy="name its layers",
        )
    return [found[s] for s in sorted(found)]


def _check_layer(graph: Graph, name: str, where: str) -> None:
    known = [o for n in graph.nodes for o in n.output]
    if name not in known:
        raise UsageError(f"{where} has no layer {name!r}", remedy=did_you_mean(name, known))
    shape = graph.shape(name)
    if shape is None or len(shape) != 4 or None in shape[1:]:
        raise UsageError(
            f"the layer {name!r} sees no places", got=shape, expected="(n, channels, height, width)"
        )


def _shape(graph: Graph, name: str) -> Tuple[int, int, int]:
    shape = graph.shape(name)
    assert shape is not None
    return int(shape[1] or 0), int(shape[2] or 0), int(shape[3] or 0)


def _inner(proto: Any, wanted: Sequence[str]) -> Tuple[Any, Callable[[np.ndarray], Any]]:
    """The network up to some tensors with names of its own, and a way to run it as it stands."""
    onnx = load_onnx()
    inner = type(proto)()
    inner.CopyFrom(proto)
    graph = inner.graph
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=n) for n in wanted)
    del graph.value_info[:]
    constants = {t.name for t in graph.initializer}
    fed = [i for i in graph.input if i.name not in constants]
    del graph.input[:]
    graph.input.extend(fed)
    session = session_of(inner)
    feed, names = fed[0].name, list(wanted)

    def run(tensor: np.ndarray) -> Any:
        return session.run(names, {feed: tensor})

    renamed = type(inner)()
    renamed.CopyFrom(inner)
    for number, node in enumerate(renamed.graph.node):
        for side in (node.input, node.output):
            for index, name in enumerate(side):
                side[index] = f"net/{name}" if name else ""
        node.name = f"net/{number}"
    for info in (*renamed.graph.initializer, *renamed.graph.input, *renamed.graph.output):
        info.name = f"net/{info.name}"
    return renamed, run


def _preprocess(tape: Tape, spec: InputSpec) -> Ref:
    gain = np.float64(spec.scale) / np.asarray(spec.std)
    bias = -np.asarray(spec.mean) / np.asarray(spec.std)
    order = np.eye(3)[::-1] if spec.colour == "rgb" else np.eye(3)
    return tape.mix(0, order * gain[:, None], bias)


Judged = Tuple[Ref, Ref, np.ndarray, np.ndarray]


def _by_map(
    tape: Tape, seen: Ref, head: Head, good: Sequence[np.ndarray], bad: Sequence[np.ndarray]
) -> Judged:
    """Score and map of a classifier, and their raw values on the parts."""
    maps = tape.mix(seen, head.weight, head.bias)
    first = tape.run(good[0], [maps])[0]
    area = first.shape[1] * first.shape[2]
    mean = np.mean([tape.run(i, [maps])[0].mean(axis=(1, 2)) for i in good], axis=0)
    if len(mean) == 1:  # one logit: it tells what the good parts are not
        margin = tape.affine(maps, -float(np.sign(mean[0]) or 1.0))
    else:
        usual = int(np.argmax(mean))
        rest = [k for k in range(len(mean)) if k != usual]
        apart = np.eye(len(mean), dtype=np.float32)[rest]
        apart[:, usual] = -1
        margin = tape.mix(maps, apart)
    score = tape.over_channels(tape.affine(tape.total(margin), 1 / area), "max")
    heat = tape.over_channels(margin, "max")
    values = [
        np.array([tape.run(i, [score])[0].item() for i in images], np.float32)
        for images in (good, bad)
    ]
    return score, heat, values[0], values[1]


def _join(
    tape: Tape,
    seen: Sequence[Ref],
    shapes: Sequence[Tuple[int, int, int]],
    random: np.random.Generator,
) -> Features:
    """Layers at the finest one's places, each mixed down where it has many channels."""
    high = max(s[1] for s in shapes)
    parts, count = [], 0
    for ref, (channels, rows, _) in zip(seen, shapes):
        if high % rows:
            raise UsageError(
                "the layers do not fit upon one another", got=", ".join(map(str, shapes)),
                expected="heights that divide the largest",
            )  # fmt: skip
        if channels > CHANNELS:
            weight = random.normal(0, 1 / np.sqrt(channels), (CHANNELS, channels))
            ref, channels = tape.mix(ref, weight), CHANNELS
        parts.append(tape.enlarge(tape.smooth(ref, 3), high // rows))
        count += channels
    values = tape.concat(parts) if len(parts) > 1 else parts[0]
    valid = tape.affine(tape.over_channels(values, "max"), 0.0, 1.0)
    return Features(values, valid, count)


def _by_statistics(
    tape: Tape,
    features: Features,
    good: Sequence[np.ndarray],
    bad: Sequence[np.ndarray],
    random: np.random.Generator,
) -> Judged:
    """The same by how far a layer's values are from those on good parts, each held out."""

    def look(image: np.ndarray) -> Looked:
        values = tape.run(image, [features.values])[0]
        return Looked(values, np.ones(values.shape[1:], bool))

    looked = [look(i) for i in good]
    places = looked[0].valid.size
    top = max(places // 256, 1)

    def worst(heat: np.ndarray) -> float:
        return float(np.partition(heat.ravel(), places - top)[-top:].mean())

    fold = random.permutation(np.arange(len(good)) % FOLDS)
    raw = np.zeros(len(good), np.float32)
    still = lie_still(looked)
    for number in range(FOLDS):
        rest = [g for g, f in zip(looked, fold) if f != number]
        method = Statistics.learn(rest, random, still)
        for index in np.flatnonzero(fold == number):
            raw[index] = worst(method.heat(looked[index]))
    method = Statistics.learn(looked, random, still)
    raw_bad = np.array([worst(method.heat(look(i))) for i in bad], np.float32)
    heat = method.add(tape, features)
    return tape.top_mean(heat, top), heat, raw, raw_bad
