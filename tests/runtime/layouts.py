"""Known boxes written down in the layout of each family, the way its models would give them."""

from typing import Dict, NamedTuple, Tuple

import numpy as np

SIZE = (160, 128)
CLASSES = 5


class Truth(NamedTuple):
    """What is put in: corners in pixels of the input, scores and classes, best first."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


TRUTH = Truth(
    np.array([[20, 30, 60, 110], [70, 8, 150, 60], [96, 64, 128, 120]], np.float32),
    np.array([0.9, 0.75, 0.5], np.float32),
    np.array([2, 0, 4]),
)


def cells(strides) -> Tuple[np.ndarray, np.ndarray]:
    """Column and row of every cell, and strides, by counting."""
    places, steps = [], []
    for stride in strides:
        for row in range(-(-SIZE[1] // stride)):
            for column in range(-(-SIZE[0] // stride)):
                places.append((column, row))
                steps.append(stride)
    return np.array(places, np.float64), np.array(steps, np.float64)


def nearest(places, steps, box, reach=None) -> int:
    """The cell whose centre is nearest to the box's, of the strides that can reach its sides."""
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    middle = (places + 0.5) * steps[:, None]
    distance = np.abs(middle - centre).sum(1)
    if reach is not None:
        distance[steps * reach < max(box[2] - box[0], box[3] - box[1])] = np.inf
    return int(distance.argmin())


def logits(p):
    p = np.clip(np.asarray(p, np.float64), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def centre_size(box):
    return [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]]


def f32(array) -> np.ndarray:
    return np.asarray(array, np.float32)


def yolox(raw=True, objectness=0.0, strides=(8, 16, 32)) -> Dict[str, np.ndarray]:
    places, steps = cells(strides)
    table = np.zeros((len(steps), 5 + CLASSES))
    centre = (places + 0.5) * steps[:, None]
    table[:, :4] = np.c_[centre, steps, steps]  # every anchor has a small box of score 0
    table[:, 4] = objectness
    for box, score, kind in zip(*TRUTH):
        row = nearest(places, steps, box)
        table[row, :4] = centre_size(box)
        table[row, 4] = objectness or 0.95
        table[row, 5 + kind] = score / table[row, 4]
    if raw:
        table[:, :2] = table[:, :2] / steps[:, None] - places
        table[:, 2:4] = np.log(table[:, 2:4] / steps[:, None])
    return {"output": f32(table[None])}


def yolov5() -> Dict[str, np.ndarray]:
    one = yolox(raw=False)["output"]
    quiet = one.copy()
    quiet[..., 4:] = 0
    return {"output0": np.concatenate((quiet, one, quiet), axis=1)}


def yolov8(strides=(8, 16, 32)) -> Dict[str, np.ndarray]:
    places, steps = cells(strides)
    table = np.zeros((4 + CLASSES, len(steps)))
    table[:4] = np.c_[(places + 0.5) * steps[:, None], steps, steps].T
    for box, score, kind in zip(*TRUTH):
        column = nearest(places, steps, box)
        table[:4, column] = centre_size(box)
        table[4 + kind, column] = score
    return {"output0": f32(table[None])}


def end_to_end() -> Dict[str, np.ndarray]:
    table = np.zeros((1, 300, 6))
    for row, (box, score, kind) in enumerate(zip(*TRUTH)):
        table[0, row] = [*box, score, kind]
    return {"output0": f32(table)}


def distribution(value: float, bins: int) -> np.ndarray:
    """Logits of a distribution over 0..bins-1 whose mean is the value."""
    low = int(min(np.floor(value), bins - 2))
    weights = np.full(bins, 1e-12)
    weights[low], weights[low + 1] = low + 1 - value, value - low
    return np.log(np.maximum(weights, 1e-12))


def distances(strides, shift, bins=8):
    """Scores `(A, classes)`, distributions `(A, 4 * bins)` and strides of every cell."""
    places, steps = cells(strides)
    random = np.random.default_rng(0)
    scores = np.zeros((len(steps), CLASSES))
    sides = random.normal(0, 3, (len(steps), 4 * bins))
    for box, score, kind in zip(*TRUTH):
        row = nearest(places, steps, box, reach=bins - 2)
        point = (places[row] + shift) * steps[row]
        ltrb = np.r_[point - box[:2], box[2:] - point] / steps[row]
        scores[row, kind] = score
        sides[row] = np.concatenate([distribution(v, bins) for v in ltrb])
    return scores, sides, steps


def nanodet_levels(strides=(8, 16, 32), bins=8) -> Dict[str, np.ndarray]:
    scores, sides, steps = distances(strides, 0.5, bins)
    outputs = {f"cls_{s}": f32(scores[None, steps == s]) for s in strides}
    outputs.update({f"reg_{s}": f32(sides[None, steps == s]) for s in strides})
    return outputs


def nanodet_table(strides, shift, bins=8) -> Dict[str, np.ndarray]:
    scores, sides, _ = distances(strides, shift, bins)
    return {"output": f32(np.concatenate((scores, sides), 1)[None])}


def boxes_scores(strides, transposed, order=("scores", "boxes")) -> Dict[str, np.ndarray]:
    places, steps = cells(strides)
    boxes = np.repeat((places + 0.5) * steps[:, None], 2, axis=0).reshape(-1, 4)
    boxes = np.c_[boxes[:, :2] - 4, boxes[:, :2] + 4]
    scores = np.zeros((len(steps), CLASSES))
    for box, score, kind in zip(*TRUTH):
        row = nearest(places, steps, box)
        boxes[row] = box
        scores[row, kind] = score
    found = {"scores": f32((scores.T if transposed else scores)[None]), "boxes": f32(boxes[None])}
    return {name: found[name] for name in order}


def fastestdet() -> Dict[str, np.ndarray]:
    places, steps = cells((16,))
    table = np.zeros((len(steps), 5 + CLASSES))
    table[:, 3:5] = -9
    for box, score, kind in zip(*TRUTH):
        centre, extent = np.array(centre_size(box)[:2]), np.array(centre_size(box)[2:])
        row = int(np.flatnonzero((places == centre // 16).all(1))[0])
        table[row, 0] = 0.9
        table[row, 1:3] = np.arctanh(centre / 16 - places[row])
        table[row, 3:5] = logits(extent / SIZE)
        table[row, 5 + kind] = (score / 0.9**0.6) ** (1 / 0.4)
    high, wide = -(-SIZE[1] // 16), -(-SIZE[0] // 16)
    return {"758": f32(table.T.reshape(1, -1, high, wide))}


def queries(count=20):
    boxes = np.tile([0.5, 0.5, 0.1, 0.1], (count, 1)).astype(np.float64)
    scores = np.full((count, CLASSES), -8.0)
    for row, (box, score, kind) in enumerate(zip(*TRUTH)):
        boxes[row] = np.array(centre_size(box)) / (SIZE * 2)
        scores[row, kind] = logits(score)
    return boxes, scores


def rtdetr() -> Dict[str, np.ndarray]:
    """Corners in 0..1, for the graph to scale by `orig_target_sizes` as it does."""
    boxes, scores = queries()
    corners = np.c_[boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2]
    return {
        "labels": scores.argmax(1)[None].astype(np.int64),
        "boxes": f32(corners[None]),
        "scores": f32(1 / (1 + np.exp(-scores.max(1))))[None],
    }


def rfdetr() -> Dict[str, np.ndarray]:
    boxes, scores = queries()
    return {"dets": f32(boxes[None]), "labels": f32(scores[None])}


def num_dets(names=("num_dets", "det_boxes", "det_scores", "det_classes")):
    count = len(TRUTH.scores)
    boxes, scores = np.full((1, 100, 4), 7.0), np.full((1, 100), 0.99)  # what follows is waste
    kinds = np.full((1, 100), 1, np.int32)
    boxes[0, :count], scores[0, :count], kinds[0, :count] = TRUTH
    values = (np.array([[count]], np.int32), f32(boxes), f32(scores), kinds)
    return dict(zip(names, values))


def yolov9(strides=(8, 16, 32), distributions=True) -> Dict[str, np.ndarray]:
    places, steps = cells(strides)
    scores, sides = np.full((len(steps), CLASSES), -9.0), np.ones((len(steps), 4))
    for box, score, kind in zip(*TRUTH):
        row = nearest(places, steps, box)
        point = (places[row] + 0.5) * steps[row]
        sides[row] = np.r_[point - box[:2], box[2:] - point] / steps[row]
        scores[row, kind] = logits(score)
    outputs = {}
    for index, stride in enumerate(strides):
        high, wide = -(-SIZE[1] // stride), -(-SIZE[0] // stride)
        here = steps == stride
        outputs[f"class_{index}"] = f32(scores[here].T.reshape(1, CLASSES, high, wide))
        if distributions:
            outputs[f"anchor_{index}"] = np.zeros((1, 16, 4, high, wide), np.float32)
        outputs[f"vector_{index}"] = f32(sides[here].T.reshape(1, 4, high, wide))
    return outputs


LAYOUTS = {
    "yolox": yolox(),
    "yolox-decoded": yolox(raw=False),
    "yolov6": yolox(raw=False, objectness=1.0),
    "yolov5": yolov5(),
    "yolov8": yolov8(),
    "end-to-end": end_to_end(),
    "nanodet": nanodet_levels(),
    "nanodet-table": nanodet_table((8, 16, 32), 0.5),
    "nanodet-plus": nanodet_table((8, 16, 32, 64), 0.0),
    "picodet": boxes_scores((8, 16, 32, 64), True, ("boxes", "scores")),
    "picodet-raw": nanodet_levels((8, 16, 32, 64)),
    "fastestdet": fastestdet(),
    "rt-detr": rtdetr(),
    "rf-detr": rfdetr(),
    "d-fine": dict(zip(("pred_boxes", "logits"), rfdetr().values())),
    "damo-yolo": boxes_scores((8, 16, 32), False),
    "num-dets": num_dets(),
    "yolov9-mit": yolov9(),
}
"""Outputs by the name of the decoder that reads them."""
