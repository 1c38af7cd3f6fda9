"""A net that finds all people of a picture and their points at once."""

import dataclasses
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import Detections, ModelCard
from ..backends import Backend, open_backend
from ..classes import class_names
from ..decoders import Request
from ..graph import Outputs, signature_of
from ..nms import nms
from ..picture_model import (
    PictureModel,
    changed_input,
    closed_if_it_fails,
    given_thresholds,
    read_card,
    usual_input,
)
from ..preprocess import Preprocessor, Transform
from .skeleton import Skeleton, read_skeleton
from .whole import BoundWhole, WholeSignature, bind_whole, points_in_metadata

PathLike = Union[str, "os.PathLike[str]"]


class PoseDetector(PictureModel):
    """A net that gives detections with key points. May be called from several threads at once.

    It has the methods of a detector, `runtime.model.Model`, and goes where one goes. Made by
    `load_pose_detector`, or `build_pose_detector` from a backend of one's own.

    Attributes:
        backend: What runs the graph.
        card: What the model is, with thresholds and input as they are used.
        classes: Names by class id.
        skeleton: What its points are.
    """

    def __init__(
        self, backend: Backend, card: ModelCard, bound: BoundWhole, where: str = "the model"
    ) -> None:
        super().__init__(backend, card, where)
        self.classes = card.classes
        self.skeleton: Skeleton = bound.skeleton
        self._preprocessor = Preprocessor(card.input, self._picture.dtype)
        self._bound = bound
        self._request = Request(card.input.size, card.confidence)

    def __call__(self, image: np.ndarray) -> Detections:
        """Detections with key points in one `(h, w, 3)` uint8 BGR picture, in its pixels."""
        tensor, transform = self.preprocess(image)
        return self.postprocess(self.infer(tensor), transform)

    def preprocess(
        self, image: np.ndarray, out: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, Transform]:
        """The tensor of a picture, and how the picture lies in it; see `Model.preprocess`."""
        return self._preprocessor(image, out)

    def postprocess(self, outputs: Outputs, transform: Transform) -> Detections:
        """Detections from outputs of `infer` for one picture, best score first.

        Boxes are cut off at the picture's edges; points are not. Rows that are not finite are
        dropped, and told in the log once. A point that was not found is 0, 0 with a score of 0.
        """
        with np.errstate(all="ignore"):  # what is no number is dropped below
            boxes, scores, classes, points = self._bound.decode(outputs, self._request)
            good = np.isfinite(scores) & (np.abs(boxes).sum(axis=1) < 1e7)
            good &= (np.abs(points) < 1e7).all(axis=(1, 2))
        if not good.all():
            self._tell_lost(int(len(good) - good.sum()), "people", "such rows are dropped")
            boxes, scores, classes, points = boxes[good], scores[good], classes[good], points[good]
        if self.card.nms_iou is not None:
            rows = nms(boxes, scores, classes, self.card.nms_iou)
        else:
            rows = np.argsort(-scores, kind="stable")
        boxes, points = transform.to_image(boxes[rows]), points[rows]
        place = points[:, :, :2]
        if self._bound.centred:
            place = transform.points_to_image(place + 0.5) - 0.5
        else:
            place = transform.points_to_image(place)
        score = np.clip(points[:, :, 2:], 0, 1)
        keypoints = np.where(score > 0, np.concatenate((place, score), axis=2), 0)
        keypoints = keypoints.reshape(len(rows), len(self.skeleton), 3)
        solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # not so beyond the picture's edge
        kept = rows[solid]
        return Detections(boxes[solid], scores[kept], classes[kept], keypoints=keypoints[solid])

    def predict_batch(self, images: Sequence[np.ndarray]) -> List[Detections]:
        """Detections of several pictures, in one run where the graph leaves the batch open."""
        if not len(images):
            return []
        tensor, transforms = self._preprocessor.batch(images)
        outputs = self.infer(tensor)
        return [
            self.postprocess({k: v[i : i + 1] for k, v in outputs.items()}, transform)
            for i, transform in enumerate(transforms)
        ]


def load_pose_detector(
    path: PathLike,
    *,
    decoder: Optional[str] = None,
    skeleton: Any = None,
    confidence: Optional[float] = None,
    nms_iou: Optional[float] = None,
    input: Optional[Dict[str, Any]] = None,
    threads: Optional[int] = None,
) -> PoseDetector:
    """Load a net that finds all people of a picture and their points at once.

    Args:
        path: ONNX file. Its card is used where it carries one; otherwise its family is recognised
            from its outputs and what its file says about its points.
        decoder: Name of the decoder instead of the card's or the recognised one.
        skeleton: A `Skeleton`, an object as in a card or the name of one, instead of the card's.
        confidence: Score below which people are dropped, instead of the card's.
        nms_iou: Overlap above which the weaker of two boxes of a class is dropped, instead of the
            card's.
        input: Fields of `core.InputSpec` that replace the card's.
        threads: Threads for one run; None for what suits a machine with nothing else to do.

    Raises:
        ModelError: The model cannot be loaded, is no such net, or its skeleton makes no sense.
        ConfigError: A threshold or input field that makes no sense.
        MissingDependency: onnxruntime or OpenCV is not installed.
    """
    where = os.fspath(path)
    with closed_if_it_fails(open_backend(where, threads)) as backend:
        return build_pose_detector(
            backend,
            decoder=decoder,
            skeleton=skeleton,
            confidence=confidence,
            nms_iou=nms_iou,
            input=input,
            where=where,
        )


def build_pose_detector(
    backend: Backend,
    *,
    decoder: Optional[str] = None,
    skeleton: Any = None,
    confidence: Optional[float] = None,
    nms_iou: Optional[float] = None,
    input: Optional[Dict[str, Any]] = None,
    where: str = "the model",
) -> PoseDetector:
    """As `load_pose_detector`, from a backend that is open already."""
    thresholds = given_thresholds(confidence, nms_iou)
    card = read_card(backend, "pose", "pose net", where)
    known = skeleton if skeleton is not None else (card.extra.get("skeleton") if card else None)
    given = None if known is None else read_skeleton(known)
    signature = signature_of(backend, card, input or {}, where)
    points = points_in_metadata(backend.metadata)
    wanted = decoder or (card.decoder if card else None)
    family, bound = bind_whole(wanted, WholeSignature(signature, given, points), where)
    if card is None:
        names = class_names(bound.classes, backend.metadata)
        card = ModelCard(
            task="pose",
            decoder=family.name,
            input=usual_input(backend, signature.size, family.input, where),
            classes=("person",) if names == ("class_0",) else names,
            confidence=family.confidence,
            nms_iou=family.nms_iou,
        )
    spec = changed_input(card.input, input, signature.size)
    card = dataclasses.replace(card, input=spec, decoder=family.name, **thresholds)
    return PoseDetector(backend, card, bound, where)
