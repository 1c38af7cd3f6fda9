"""The layouts of outputs of nets that find all people of a picture at once.

Sources: the exported models of YOLO-pose (v8 and later, end to end, and v7), of RTMO, of MoveNet
multi-pose and of OpenPose's line.
"""

import ast
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core import ModelError, UsageError, did_you_mean
from ..decoders import Request, Signature, Unfit
from ..decoders.base import centre_to_corners, need, one_output, pick, wanted_classes
from .base import Outputs, to_input
from .paf import assemble
from .skeleton import COCO_17, OPENPOSE_18, Skeleton, pose_score

STRIDES = ((8, 16, 32), (8, 16, 32, 64))


class PoseRows(NamedTuple):
    """What a decoder found in one picture, before suppression.

    Attributes:
        boxes: `(m, 4)` float32 corners in pixels of the input.
        scores: `(m,)` float32.
        classes: `(m,)` integers.
        keypoints: `(m, k, 3)` float32 x, y in pixels of the input, and a score.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    keypoints: np.ndarray


@dataclass(frozen=True)
class WholeSignature:
    """A model as the families of this module see it.

    Attributes:
        model: Outputs, inputs and size.
        skeleton: From its card or its user, or None.
        points: `(points, values each)` as its file says, or None.
    """

    model: Signature
    skeleton: Optional[Skeleton] = None
    points: Optional[Tuple[int, int]] = None

    def shape(self, values: int, classes: int) -> Tuple[int, int, int]:
        """Classes, points and values a point that make up so many values a row.

        Raises:
            Unfit: They do not, or nothing says how they are shared out.
        """
        if self.points is not None:
            points, each = self.points
        else:
            points, each = len(self.skeleton or COCO_17), 3
        rest = values - points * each
        need(
            each in (2, 3) and rest >= classes,
            f"{values} values a row do not hold {points} points of {each}",
        )
        named = self.model.named
        need(named in (None, rest) or classes == 0, f"there are {rest} classes, not {named}")
        if named is None and self.points is None and classes:
            need(rest == 1, f"nothing says that there are {rest} classes and {points} points")
        return rest, points, each


@dataclass(frozen=True)
class BoundWhole:
    """A decoder bound to one model.

    Attributes:
        decode: Outputs of one picture to rows.
        skeleton: What the points are.
        classes: How many classes it tells apart.
        centred: Whether points are counted in pixels, the centre of the first being 0, rather
            than between edges.
    """

    decode: Callable[[Outputs, Request], PoseRows]
    skeleton: Skeleton
    classes: int = 1
    centred: bool = False


@dataclass(frozen=True)
class WholeFamily:
    """One layout of outputs.

    Attributes:
        name: What a card's `decoder` calls it.
        layout: The outputs in words, for error messages.
        bind: Gives the decoder for a signature.
        input: The usual `InputSpec` fields, for models without a card.
        nms_iou: Usual threshold of suppression; None where the outputs need none.
        confidence: Usual threshold of scores.
    """

    name: str
    layout: str
    bind: Callable[[WholeSignature], BoundWhole]
    input: Dict[str, Any]
    nms_iou: Optional[float] = None
    confidence: float = 0.3


def _known(given: Optional[Skeleton], points: int) -> Skeleton:
    """The skeleton of so many points: the given one, or COCO's."""
    skeleton = given or COCO_17
    need(
        len(skeleton) == points,
        f"the skeleton has {len(skeleton)} points and the outputs hold {points}",
    )
    return skeleton


def _points(table: np.ndarray, points: int, each: int, scores: np.ndarray) -> np.ndarray:
    """`(m, points * each)` as `(m, points, 3)`; where points have no score, their row's."""
    few = table.reshape(len(table), points, each).astype(np.float32, copy=False)
    if each == 3:
        return few
    own = np.broadcast_to(scores[:, None, None], (len(few), points, 1))
    return np.concatenate((few, own), axis=2).astype(np.float32)


def _bind_yolo(signature: WholeSignature) -> BoundWhole:
    output = one_output(signature.model, 3)
    _, rows, anchors = output.shape
    need(
        any(signature.model.cells(s) == anchors for s in STRIDES),
        f"{anchors} anchors are not one for each cell of strides 8, 16, 32",
    )
    assert rows is not None
    classes, points, each = signature.shape(rows - 4, 1)
    name = output.name

    def decode(outputs: Outputs, request: Request) -> PoseRows:
        table = outputs[name][0]
        at, scores, ids = pick(table[4 : 4 + classes], request, axis=0)
        few = table[:, at].T
        boxes = centre_to_corners(few[:, :2], few[:, 2:4])
        return PoseRows(boxes, scores, ids, _points(few[:, 4 + classes :], points, each, scores))

    return BoundWhole(decode, _known(signature.skeleton, points), classes)


def _bind_yolov7(signature: WholeSignature) -> BoundWhole:
    output = one_output(signature.model, 3)
    _, anchors, columns = output.shape
    need(
        any(3 * signature.model.cells(s) == anchors for s in STRIDES),
        f"{anchors} anchors are not three for each cell of strides 8, 16, 32",
    )
    assert columns is not None
    classes, points, each = signature.shape(columns - 5, 1)
    name = output.name

    def decode(outputs: Outputs, request: Request) -> PoseRows:
        table = outputs[name][0]
        table = table[~(table[:, 4] < request.confidence)]  # a class score is at most 1
        at, scores, ids = pick(table[:, 5 : 5 + classes] * table[:, 4:5], request)
        few = table[at]
        boxes = centre_to_corners(few[:, :2], few[:, 2:4])
        return PoseRows(boxes, scores, ids, _points(few[:, 5 + classes :], points, each, scores))

    return BoundWhole(decode, _known(signature.skeleton, points), classes)


def _wanted(scores: np.ndarray, classes: np.ndarray, request: Request) -> np.ndarray:
    good = ~(scores < request.confidence)
    if request.keep is not None:
        good &= wanted_classes(classes, request.keep)
    return good


def _bind_end_to_end(signature: WholeSignature) -> BoundWhole:
    output = one_output(signature.model, 3)
    _, rows, columns = output.shape
    need(rows is not None and rows <= 1000, f"{rows} rows are more than suppression leaves")
    assert columns is not None
    rest, points, each = signature.shape(columns - 6, 0)
    need(rest == 0, f"{columns} columns are not box, score, class and {points} points of {each}")
    name = output.name

    def decode(outputs: Outputs, request: Request) -> PoseRows:
        table = outputs[name][0]
        classes = np.nan_to_num(table[:, 5]).astype(np.int64)
        good = _wanted(table[:, 4], classes, request)
        few, scores = table[good], table[good, 4]
        return PoseRows(
            few[:, :4], scores, classes[good], _points(few[:, 6:], points, each, scores)
        )

    return BoundWhole(decode, _known(signature.skeleton, points), signature.model.named or 1)


def _bind_rtmo(signature: WholeSignature) -> BoundWhole:
    named = signature.model.by_name("dets", "keypoints")
    need(named, "there are no outputs named dets and keypoints")
    assert named is not None
    dets, keypoints = named
    need(len(dets.shape) == 3 and dets.shape[2] == 5, "dets is not [N, M, 5]")
    need(len(keypoints.shape) == 4 and keypoints.shape[3] == 3, "keypoints is not [N, M, k, 3]")
    points = keypoints.shape[2]
    assert points is not None

    def decode(outputs: Outputs, request: Request) -> PoseRows:
        table, places = outputs[dets.name][0], outputs[keypoints.name][0]
        scores, classes = table[:, 4], np.zeros(len(table), np.int64)
        good = _wanted(scores, classes, request)
        return PoseRows(table[good, :4], scores[good], classes[good], places[good])

    return BoundWhole(decode, _known(signature.skeleton, points))


def _bind_movenet(signature: WholeSignature) -> BoundWhole:
    output = one_output(signature.model, 3)
    _, rows, columns = output.shape
    need(rows is not None and rows <= 100, f"{rows} rows are too many people")
    need(
        columns is not None and columns > 5 and (columns - 5) % 3 == 0,
        f"{columns} columns are not y, x, score for each point, and a box with its score",
    )
    assert columns is not None
    points = (columns - 5) // 3
    name, size = output.name, signature.model.size

    def decode(outputs: Outputs, request: Request) -> PoseRows:
        table = outputs[name][0]
        scores, classes = table[:, -1], np.zeros(len(table), np.int64)
        good = _wanted(scores, classes, request)
        few = table[good].astype(np.float32, copy=False)
        keypoints = few[:, :-5].reshape(len(few), points, 3)[:, :, [1, 0, 2]]
        keypoints[:, :, :2] *= np.asarray(size, np.float32)
        boxes = few[:, -5:-1][:, [1, 0, 3, 2]] * np.asarray(size * 2, np.float32)
        return PoseRows(boxes, scores[good], classes[good], keypoints)

    return BoundWhole(decode, _known(signature.skeleton, points))


def _bind_paf(signature: WholeSignature) -> BoundWhole:
    outputs = [o for o in signature.model.outputs if len(o.shape) == 4]
    need(len(outputs) >= 2, "there are no two outputs of maps and fields")
    maps, fields = outputs[-2:]  # some exports give those of earlier stages before
    skeleton = signature.skeleton or OPENPOSE_18
    points, limbs = len(skeleton), len(skeleton.edges)
    if fields.shape[1] != 2 * limbs or maps.shape[1] not in (points, points + 1):
        maps, fields = fields, maps
    need(
        maps.shape[1] in (points, points + 1) and fields.shape[1] == 2 * limbs,
        f"{maps.shape[1]} maps and {fields.shape[1]} fields are not those of "
        f"{points} points and {limbs} edges",
    )
    need(maps.shape[2:] == fields.shape[2:], "maps and fields are not of one size")
    height, width = maps.shape[2:]
    assert height is not None and width is not None
    size = signature.model.size

    def decode(tensors: Outputs, request: Request) -> PoseRows:
        cells = assemble(tensors[maps.name][0], tensors[fields.name][0], skeleton)
        seen = cells[:, :, 2] > 0
        keypoints = cells.copy()
        place = to_input(cells[:, :, :2], (width, height), size, "centres")
        keypoints[:, :, :2] = np.where(seen[..., None], place, 0)
        # A box is not told: it is what the points span, by half a cell of the maps more.
        margin = 0.5 * size[0] / width
        low = np.where(seen[..., None], place, np.inf).min(axis=1, initial=np.inf) - margin
        high = np.where(seen[..., None], place, -np.inf).max(axis=1, initial=-np.inf) + margin
        boxes = np.concatenate((low, high), axis=1).astype(np.float32) + np.float32(0.5)
        scores = pose_score(cells, least=0.0)
        classes = np.zeros(len(cells), np.int64)
        good = _wanted(scores, classes, request)
        return PoseRows(boxes[good], scores[good], classes[good], keypoints[good])

    return BoundWhole(decode, skeleton, centred=True)


_YOLO = {"colour": "rgb", "scale": 1 / 255, "resize": "centre", "pad": 114}

WHOLE_FAMILIES: Dict[str, WholeFamily] = {
    family.name: family
    for family in (
        WholeFamily(
            "yolo-pose",
            "one [N, 4 + classes + 3 points, A] in pixels: centre, size, class scores, x y score "
            "of each point; an anchor for each cell of strides 8, 16, 32",
            _bind_yolo,
            _YOLO,
            0.6,
        ),
        WholeFamily(
            "yolov7-pose",
            "one [N, A, 5 + classes + 3 points] in pixels: centre, size, objectness, class "
            "scores, x y score of each point; three anchors for each cell",
            _bind_yolov7,
            _YOLO,
            0.6,
        ),
        WholeFamily(
            "pose-end-to-end",
            "one [N, K, 6 + 3 points] in pixels: left, top, right, bottom, score, class, x y "
            "score of each point; K up to 1000",
            _bind_end_to_end,
            _YOLO,
        ),
        WholeFamily(
            "rtmo",
            "dets [N, K, 5] and keypoints [N, K, points, 3] in pixels",
            _bind_rtmo,
            {"colour": "bgr", "scale": 1.0, "resize": "letterbox", "pad": 114},
        ),
        WholeFamily(
            "movenet-multi",
            "one [N, K, 3 points + 5] as shares of the input: y x score of each point, top, left, "
            "bottom, right, score; K up to 100",
            _bind_movenet,
            {"colour": "rgb", "scale": 1.0, "resize": "letterbox", "pad": 0},
        ),
        WholeFamily(
            "paf",
            "[N, points + 1, h, w] of heatmaps and [N, 2 edges, h, w] of part affinity fields",
            _bind_paf,
            {
                "colour": "bgr",
                "scale": 1.0,
                "mean": (128.0, 128.0, 128.0),
                "std": (256.0, 256.0, 256.0),
                "resize": "letterbox",
                "pad": 128,
            },
        ),
    )
}


def points_in_metadata(metadata: Dict[str, str]) -> Optional[Tuple[int, int]]:
    """How many points a file says it gives, and how many values each, as `kpt_shape`."""
    try:
        points, each = ast.literal_eval(metadata.get("kpt_shape", ""))
        points, each = int(points), int(each)
    except (ValueError, SyntaxError, TypeError):
        return None
    return (points, each) if points > 0 and each in (2, 3) else None


def bind_whole(
    name: Optional[str], signature: WholeSignature, where: str
) -> Tuple[WholeFamily, BoundWhole]:
    """The decoder of this name for a model, or without a name the one that fits.

    Raises:
        UsageError: There is no decoder of this name.
        ModelError: The layout does not fit the model; none or more than one does.
    """
    got = "; ".join(str(o) for o in signature.model.outputs)
    if name is not None:
        if name not in WHOLE_FAMILIES:
            raise UsageError(
                f"there is no decoder {name!r} of poses in whole pictures",
                remedy=did_you_mean(name, WHOLE_FAMILIES),
            )
        family = WHOLE_FAMILIES[name]
        try:
            return family, family.bind(signature)
        except Unfit as reason:
            raise ModelError(
                f"decoder {name!r} does not fit {where}, {reason}", got=got, expected=family.layout
            ) from None
    fitting: List[Tuple[WholeFamily, BoundWhole]] = []
    for family in WHOLE_FAMILIES.values():
        try:
            fitting.append((family, family.bind(signature)))
        except Unfit:
            continue
    if len(fitting) == 1:
        return fitting[0]
    wide, high = signature.model.size
    names = " and ".join(family.name for family, _ in fitting)
    raise ModelError(
        f"the outputs of {where} fit more than one decoder of poses, {names}"
        if fitting
        else f"no decoder of poses in whole pictures fits the outputs of {where}",
        got=f"{got} for an input of {wide}x{high}",
        expected="one of " + ", ".join(WHOLE_FAMILIES),
        remedy="name its decoder, and its points with a skeleton",
    )
