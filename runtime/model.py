"""A detector ready to use: a backend, a card, and the way from a picture to detections."""

import dataclasses
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union, overload

import numpy as np

from ..core import ConfigError, Detections, ModelCard, ModelError, did_you_mean
from .backends import Backend, open_backend
from .classes import class_names
from .decoders import Bound, Family, Request, Rows, Signature, bind_decoder, recognise
from .graph import Outputs, probe, signature_of
from .nms import nms
from .picture_model import (
    PictureModel,
    changed_input,
    closed_if_it_fails,
    given_thresholds,
    read_card,
    usual_input,
)
from .preprocess import Preprocessor, Transform

PathLike = Union[str, "os.PathLike[str]"]


class Model(PictureModel):
    """A detector. Its methods may be called from several threads at once.

    Made by `load_model`, or `build_model` from a backend of one's own.

    Attributes:
        backend: What runs the graph.
        card: What the model is; with thresholds and input as they are used.
        classes: Names by class id; empty where nothing says.
        keep: Sorted ids of the classes that are kept, or None for all.
    """

    def __init__(
        self,
        backend: Backend,
        card: ModelCard,
        bound: Bound,
        keep: Optional[np.ndarray] = None,
        where: str = "the model",
    ) -> None:
        super().__init__(backend, card, where)
        self.classes = card.classes
        self.keep = keep
        self._preprocessor = Preprocessor(card.input, self._picture.dtype)
        self._bound = bound
        self._decode = bound.decode
        self._request = Request(card.input.size, card.confidence, keep)
        self._half = any(o.dtype == np.float16 for o in backend.outputs)

    def __call__(self, image: np.ndarray) -> Detections:
        """Detections in one `(h, w, 3)` uint8 BGR picture, in its pixels."""
        tensor, transform = self.preprocess(image)
        return self._detections(self.infer(tensor), transform)

    def predict_batch(self, images: Sequence[np.ndarray]) -> List[Detections]:
        """Detections of several pictures, in one run where the graph leaves the batch open."""
        if not len(images):
            return []
        tensor, transforms = self._preprocessor.batch(images)
        return self._split(self.infer(tensor), transforms)

    def preprocess(
        self, image: np.ndarray, out: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, Transform]:
        """The tensor of a `(h, w, 3)` uint8 BGR picture, and how the picture lies in it.

        Args:
            image: The picture.
            out: A tensor of an earlier call to write into, which saves memory traffic; the
                caller sees to it that nothing uses it any more.
        """
        return self._preprocessor(image, out)

    @overload
    def postprocess(self, outputs: Outputs, transform: Transform) -> Detections: ...

    @overload
    def postprocess(self, outputs: Outputs, transform: Sequence[Transform]) -> List[Detections]: ...

    def postprocess(
        self, outputs: Outputs, transform: Union[Transform, Sequence[Transform]]
    ) -> Union[Detections, List[Detections]]:
        """Detections from outputs of `infer`, in pixels of the picture, best score first.

        Args:
            outputs: Outputs by name.
            transform: As `preprocess` gave it; a list of them for a batch.

        Returns:
            `Detections` for one transform, a list of them for a list. Boxes are cut off at the
            picture's edges. Rows that are not finite are dropped, and told in the log once.
        """
        if isinstance(transform, Transform):
            return self._detections(outputs, transform)
        return self._split(outputs, transform)

    def variant(self, **changes: Any) -> "Model":
        """The same graph with fields of its card replaced, e.g. `confidence=0.1`.

        It shares the backend, which is closed with either of them.
        """
        card = dataclasses.replace(self.card, **changes)
        return Model(self.backend, card, self._bound, self.keep, self.where)

    def _split(self, outputs: Outputs, transforms: Sequence[Transform]) -> List[Detections]:
        return [
            self._detections({k: v[i : i + 1] for k, v in outputs.items()}, transform)
            for i, transform in enumerate(transforms)
        ]

    def candidates(self, outputs: Outputs) -> Rows:
        """What the decoder makes of one picture's outputs, before suppression.

        Boxes are in pixels of the input; rows that are not finite are dropped.
        """
        if self._half:
            outputs = {
                k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in outputs.items()
            }
        with np.errstate(all="ignore"):  # what is no number is dropped below
            boxes, scores, classes = self._decode(outputs, self._request)
            if not len(boxes):
                return Rows(boxes, scores, classes)
            # NaN and infinity make their row's sum compare as False. The limit is beyond any
            # picture, and keeps areas finite in single precision.
            good = np.abs(boxes).sum(axis=1) + scores < 1e7
        if not good.all():
            lost = int(len(good) - good.sum())
            self._tell_lost(lost, "boxes or scores", "such rows are dropped")
            boxes, scores, classes = boxes[good], scores[good], classes[good]
        return Rows(boxes, scores, classes)

    def _detections(self, outputs: Outputs, transform: Transform) -> Detections:
        boxes, scores, classes = self.candidates(outputs)
        if not len(boxes):
            return Detections.empty()
        if self.card.nms_iou is not None:
            rows = nms(boxes, scores, classes, self.card.nms_iou)
        else:
            rows = np.argsort(-scores, kind="stable")
        boxes, scores, classes = transform.to_image(boxes[rows]), scores[rows], classes[rows]
        solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # not so beyond the picture's edge
        if not solid.all():
            boxes, scores, classes = boxes[solid], scores[solid], classes[solid]
        return Detections(boxes, scores, classes)


def load_model(
    path: PathLike,
    *,
    decoder: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    confidence: Optional[float] = None,
    nms_iou: Optional[float] = None,
    input: Optional[Dict[str, Any]] = None,
    threads: Optional[int] = None,
) -> Model:
    """Load a detector.

    Args:
        path: ONNX file. Its card is used where it carries one; otherwise its family is recognised
            from its outputs.
        decoder: Name of the decoder, or `module:function`, instead of the card's or recognised.
        classes: Names of the classes to keep; None for all.
        confidence: Score below which detections are dropped, instead of the card's.
        nms_iou: Overlap above which the weaker of two boxes of a class is dropped, instead of the
            card's; also for models that usually need no suppression.
        input: Fields of `core.InputSpec` that replace the card's, e.g. `{"colour": "rgb"}`.
        threads: Threads for one run; None for what suits a machine with nothing else to do.

    Raises:
        ModelError: The model cannot be loaded, or no decoder or more than one fits it.
        ConfigError: A class that the model lacks, or a threshold or input field that makes no
            sense.
        MissingDependency: onnxruntime or OpenCV is not installed.
    """
    where = os.fspath(path)
    with closed_if_it_fails(open_backend(where, threads)) as backend:
        return build_model(
            backend,
            decoder=decoder,
            classes=classes,
            confidence=confidence,
            nms_iou=nms_iou,
            input=input,
            where=where,
        )


def build_model(
    backend: Backend,
    *,
    decoder: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    confidence: Optional[float] = None,
    nms_iou: Optional[float] = None,
    input: Optional[Dict[str, Any]] = None,
    where: str = "the model",
) -> Model:
    """As `load_model`, from a backend that is open already."""
    thresholds = given_thresholds(confidence, nms_iou)
    card = read_card(backend, "detect", "detector", where)
    _check_task(backend.metadata, where)
    signature = signature_of(backend, card, input or {}, where)
    wanted = decoder or (card.decoder if card else None)
    family: Optional[Family]
    if wanted:
        family, bound = bind_decoder(wanted, signature)
    else:
        family, bound = recognise(signature, lambda: probe(backend, signature.size, where), where)
    if card is None:
        card = _usual_card(backend, signature, family, wanted, bound, where)
    elif bound.num_classes and card.classes and bound.num_classes != len(card.classes):
        raise ModelError(
            f"{where}: the card and the outputs do not agree on the classes",
            got=f"{bound.num_classes} in the outputs",
            expected=f"{len(card.classes)} as on the card",
        )
    card = dataclasses.replace(
        card,
        input=changed_input(card.input, input, signature.size),
        decoder=wanted or card.decoder,
        **thresholds,
    )
    return Model(backend, card, bound, _class_ids(classes, card.classes, where), where)


def _check_task(metadata: Dict[str, str], where: str) -> None:
    """Refuse what other exporters mark as something else than a detector of upright boxes."""
    task = metadata.get("task")
    if task in ("segment", "pose", "obb", "classify"):
        raise ModelError(
            f"{where} is no detector of upright boxes",
            got=f"task {task!r} in its metadata",
            expected="'detect'",
            remedy="export the detection model of the same family",
        )


def _usual_card(
    backend: Backend,
    signature: Signature,
    family: Optional[Family],
    decoder: Optional[str],
    bound: Bound,
    where: str,
) -> ModelCard:
    return ModelCard(
        task="detect",
        decoder=family.name if family else str(decoder),
        input=usual_input(backend, signature.size, family.input if family else {}, where),
        classes=class_names(bound.num_classes, backend.metadata),
        confidence=family.confidence if family else 0.3,
        nms_iou=family.nms_iou if family else 0.6,
    )


def _class_ids(
    wanted: Optional[Sequence[str]], names: Sequence[str], where: str
) -> Optional[np.ndarray]:
    """Ids of the classes of these names; a number stands for itself."""
    if wanted is None:
        return None
    ids = set()
    for name in wanted:
        if name in names:
            ids.add(names.index(name))
        elif str(name).isdigit() and (not names or int(name) < len(names)):
            ids.add(int(name))
        elif not names:
            raise ConfigError(
                f"classes: {where} does not say what its classes are called",
                got=repr(name),
                remedy="name them by number, e.g. '0', or leave classes out",
            )
        elif len(names) == 1:
            raise ConfigError(
                f"classes: {where} has no class {name!r}",
                remedy=f"it has one class, {names[0]!r}: leave classes out",
            )
        else:
            raise ConfigError(
                f"classes: {where} has no class {name!r}", remedy=did_you_mean(name, names)
            )
    if not ids:
        raise ConfigError("classes names none", remedy="name one, or leave it out to keep all")
    return np.asarray(sorted(ids), np.int64)
