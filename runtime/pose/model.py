"""A net that is given a picture and boxes, and tells where the points of each pose are."""

import dataclasses
import os
from typing import Any, Dict, Optional, Tuple, Union

import numpy as np

from ...core import ModelCard, ModelError
from ..backends import Backend, open_backend
from ..graph import Outputs, signature_of
from ..picture_model import (
    PictureModel,
    changed_input,
    closed_if_it_fails,
    read_card,
    usual_input,
)
from ..preprocess import Preprocessor, size_of
from ..sources.base import load_cv2
from .base import BoundPose, PoseSettings
from .crops import Crops, place_crops
from .families import bind_pose
from .skeleton import COCO_17, Skeleton, read_skeleton

PathLike = Union[str, "os.PathLike[str]"]


class PoseModel(PictureModel):
    """A net that looks at one person at a time. May be called from several threads at once.

    Made by `load_pose`, or `build_pose` from a backend of one's own.

    Attributes:
        backend: What runs the graph.
        card: What the model is, with the input as it is used.
        skeleton: What its points are.
        settings: How crops are cut and maps are read.
    """

    def __init__(
        self,
        backend: Backend,
        card: ModelCard,
        skeleton: Skeleton,
        settings: PoseSettings,
        bound: BoundPose,
        where: str = "the model",
    ) -> None:
        super().__init__(backend, card, where)
        self.skeleton = skeleton
        self.settings = settings
        self._convert = Preprocessor(card.input, self._picture.dtype)
        self._cv2 = load_cv2()
        self._bound = bound

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The poses in boxes of a picture.

        Args:
            image: `(h, w, 3)` uint8 BGR.
            boxes: `(n, 4)` left, top, right, bottom in pixels; they may reach beyond the picture.

        Returns:
            `(n, k, 3)` float32: x, y in pixels of the picture, where the centre of the first is
            0, 0, and a score of 0..1.

        Raises:
            DataError: No such picture, or a box that is not finite or has no area.
            ModelError: The graph fails.
        """
        tensor, crops = self.preprocess(image, boxes)
        if not len(crops):
            return np.zeros((0, len(self.skeleton), 3), np.float32)
        return self.postprocess(self.infer(tensor), crops)

    def preprocess(self, image: np.ndarray, boxes: np.ndarray) -> Tuple[np.ndarray, Crops]:
        """The crops around boxes as the net's input: `(n, 3, h, w)`, or `(n, h, w, 3)` by the
        card's layout, and where they lie in the picture. What lies outside it is `card.input.pad`.

        Raises:
            DataError: No such picture, or a box that is not finite or has no area.
        """
        size_of(image)
        size = self.card.input.size
        crops = place_crops(boxes, size, self.settings.padding, self.settings.keep_ratio)
        tensor = np.empty((len(crops), *self._convert.shape), self._convert.dtype)
        cv2 = self._cv2
        cut = np.empty((size[1], size[0], 3), np.uint8)
        for row in range(len(crops)):
            cv2.warpAffine(
                image,
                crops.matrix(row),
                size,
                dst=cut,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=(self.card.input.pad,) * 3,
            )
            self._convert(cut, out=tensor[row])
        return tensor, crops

    def postprocess(self, outputs: Outputs, crops: Crops) -> np.ndarray:
        """`(n, k, 3)` float32 from outputs of `infer`, in pixels of the picture. A point for
        which the net gave no number scores 0; that is told in the log once."""
        place, score = self._bound.decode(outputs)
        points = np.empty((*score.shape, 3), np.float32)
        points[..., :2] = crops.to_image(place)
        points[..., 2] = score
        lost = ~np.isfinite(points).all(axis=2)
        if lost.any():
            points[lost] = 0
            self._tell_lost(int(lost.sum()), "points", "such points score 0")
        return points


def load_pose(
    path: PathLike,
    *,
    decoder: Optional[str] = None,
    skeleton: Any = None,
    settings: Optional[Dict[str, Any]] = None,
    input: Optional[Dict[str, Any]] = None,
    threads: Optional[int] = None,
) -> PoseModel:
    """Load a net that finds the pose in a box.

    Args:
        path: ONNX file. Its card is used where it carries one; otherwise its family is recognised
            from its outputs, fed as ImageNet is, and 17 points are taken for those of COCO.
        decoder: Name of the decoder instead of the card's or the recognised one.
        skeleton: A `Skeleton`, an object as in a card or `coco-17`, instead of the card's.
        settings: Fields of `PoseSettings` that replace the card's, e.g. `{"padding": 1.2}`.
        input: Fields of `core.InputSpec` that replace the card's.
        threads: Threads for one run; None for what suits a machine with nothing else to do.

    Raises:
        ModelError: The model cannot be loaded, is no such net, or its skeleton makes no sense.
        ConfigError: An input field or setting that makes no sense.
        MissingDependency: onnxruntime or OpenCV is not installed.
    """
    where = os.fspath(path)
    with closed_if_it_fails(open_backend(where, threads)) as backend:
        return build_pose(
            backend,
            decoder=decoder,
            skeleton=skeleton,
            settings=settings,
            input=input,
            where=where,
        )


def build_pose(
    backend: Backend,
    *,
    decoder: Optional[str] = None,
    skeleton: Any = None,
    settings: Optional[Dict[str, Any]] = None,
    input: Optional[Dict[str, Any]] = None,
    where: str = "the model",
) -> PoseModel:
    """As `load_pose`, from a backend that is open already."""
    card = read_card(backend, "pose", "pose net", where)
    signature = signature_of(backend, card, input or {}, where)
    wanted = decoder or (card.decoder if card else None)
    wanted = None if wanted == "none" else wanted  # of a card that does not say
    noted = card.extra.get("pose") if card else None
    chosen = PoseSettings.read(noted) if noted is not None else None
    if settings:
        chosen = PoseSettings.read({**(noted or {}), **settings})
    family, bound = bind_pose(wanted, signature, chosen, where)
    known = skeleton if skeleton is not None else (card.extra.get("skeleton") if card else None)
    if known is None:
        if bound.points != len(COCO_17):
            raise ModelError(
                f"{where} gives {bound.points} points, and nothing says what they are",
                expected="a skeleton in its card, extra.skeleton, or the 17 points of COCO",
            )
        known = COCO_17
    if card is not None:
        spec = card.input
    else:
        usual = {**family.input, "resize": "stretch"}
        spec = usual_input(backend, signature.size, usual, where)
    spec = changed_input(spec, input, signature.size)
    if card is None:
        card = ModelCard(
            task="pose", decoder=family.name, input=spec, classes=("person",), nms_iou=None
        )
    else:
        card = dataclasses.replace(card, input=spec, decoder=family.name)
    return PoseModel(
        backend,
        card,
        read_skeleton(known, bound.points),
        chosen or family.settings,
        bound,
        where,
    )
