"""A net that finds all people of a picture and their points at once."""

import dataclasses
import logging
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import ConfigError, Detections, InputSpec, ModelCard, ModelError, did_you_mean
from ...core.card import METADATA_KEY
from ..backends import Backend, open_backend
from ..classes import class_names
from ..decoders import Request
from ..graph import Outputs, layout_of, picture_input, run_pictures, signature_of
from ..nms import nms
from ..preprocess import Preprocessor, Transform
from .skeleton import Skeleton, read_skeleton
from .whole import BoundWhole, WholeSignature, bind_whole, points_in_metadata

_LOG = logging.getLogger("edgelane")

PathLike = Union[str, "os.PathLike[str]"]


class PoseDetector:
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
        self.backend = backend
        self.card = card
        self.classes = card.classes
        self.skeleton: Skeleton = bound.skeleton
        self.where = where
        self._picture = picture_input(backend, where)
        self._preprocessor = Preprocessor(card.input, self._picture.dtype)
        self._bound = bound
        self._request = Request(card.input.size, card.confidence)
        self._noticed = False

    def __call__(self, image: np.ndarray) -> Detections:
        """Detections with key points in one `(h, w, 3)` uint8 BGR picture, in its pixels."""
        tensor, transform = self.preprocess(image)
        return self.postprocess(self.infer(tensor), transform)

    def preprocess(
        self, image: np.ndarray, out: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, Transform]:
        """The tensor of a picture, and how the picture lies in it; see `Model.preprocess`."""
        return self._preprocessor(image, out)

    def infer(self, tensor: np.ndarray) -> Outputs:
        """Run the graph on a tensor of `preprocess`, or on several along a new first axis.

        Raises:
            ModelError: The graph fails.
        """
        if tensor.ndim == 3:
            tensor = tensor[None]
        return run_pictures(self.backend, self._picture, self.card.input.size, tensor)

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
            self._notice(int(len(good) - good.sum()))
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

    @property
    def batch(self) -> Optional[int]:
        """How many pictures the graph takes a run, None for any number; see `run_loop`."""
        return self._picture.shape[0]

    def close(self) -> None:
        """Let go of the model's memory."""
        self.backend.close()

    def __enter__(self) -> "PoseDetector":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _notice(self, count: int) -> None:
        if not self._noticed:
            self._noticed = True
            _LOG.warning(
                "%s gave %d people that are not finite; such rows are dropped. "
                "A model that was converted to fp16 or int8 may have lost its numbers.",
                self.where,
                count,
            )


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
    backend = open_backend(os.fspath(path), threads)
    try:
        return build_pose_detector(
            backend,
            decoder=decoder,
            skeleton=skeleton,
            confidence=confidence,
            nms_iou=nms_iou,
            input=input,
            where=os.fspath(path),
        )
    except BaseException:
        backend.close()
        raise


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
    for name, value in (("confidence", confidence), ("nms_iou", nms_iou)):
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{name} is out of range", got=value, expected="0 to 1")
    text = backend.metadata.get(METADATA_KEY)
    card = ModelCard.from_json(text) if text else None
    if card is not None and card.task != "pose":
        raise ModelError(f"{where} is no pose net", got=f"task {card.task!r}", expected="'pose'")
    known = skeleton if skeleton is not None else (card.extra.get("skeleton") if card else None)
    given = None if known is None else read_skeleton(known)
    signature = signature_of(backend, card, input or {}, where)
    points = points_in_metadata(backend.metadata)
    wanted = decoder or (card.decoder if card else None)
    family, bound = bind_whole(wanted, WholeSignature(signature, given, points), where)
    if card is None:
        layout = layout_of(picture_input(backend, where))
        names = class_names(bound.classes, backend.metadata)
        card = ModelCard(
            task="pose",
            decoder=family.name,
            input=InputSpec(size=signature.size, layout=layout, **family.input),
            classes=("person",) if names == ("class_0",) else names,
            confidence=family.confidence,
            nms_iou=family.nms_iou,
        )
    fields = [field.name for field in dataclasses.fields(InputSpec)]
    for name in input or {}:
        if name not in fields:
            raise ConfigError(f"input.{name} is unknown", remedy=did_you_mean(name, fields))
    spec = dataclasses.replace(card.input, **{**(input or {}), "size": signature.size})
    changes: Dict[str, Any] = {"input": spec, "decoder": family.name}
    if confidence is not None:
        changes["confidence"] = float(confidence)
    if nms_iou is not None:
        changes["nms_iou"] = float(nms_iou)
    return PoseDetector(backend, dataclasses.replace(card, **changes), bound, where)
