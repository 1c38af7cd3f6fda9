"""A net that is given a picture and boxes, and tells where the points of each pose are."""

import dataclasses
import logging
import os
from typing import Any, Dict, Optional, Tuple, Union

import numpy as np

from ...core import ConfigError, DataError, InputSpec, ModelCard, ModelError, did_you_mean
from ...core.card import METADATA_KEY
from ..backends import Backend, open_backend
from ..graph import Outputs, layout_of, picture_input, run_pictures, signature_of
from ..preprocess import Preprocessor
from ..sources.base import load_cv2
from .base import BoundPose, PoseFamily, PoseSettings
from .crops import Crops, place_crops
from .families import bind_pose
from .skeleton import COCO_17, Skeleton, read_skeleton

_LOG = logging.getLogger("edgelane")

PathLike = Union[str, "os.PathLike[str]"]


class PoseModel:
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
        self.backend = backend
        self.card = card
        self.skeleton = skeleton
        self.settings = settings
        self.where = where
        self._picture = picture_input(backend, where)
        self._convert = Preprocessor(card.input, self._picture.dtype)
        self._cv2 = load_cv2()
        self._bound = bound
        self._noticed = False

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

    @property
    def input_name(self) -> str:
        """What the graph calls the input that takes the crops."""
        return self._picture.name

    def preprocess(self, image: np.ndarray, boxes: np.ndarray) -> Tuple[np.ndarray, Crops]:
        """The crops around boxes as the net's input: `(n, 3, h, w)`, or `(n, h, w, 3)` by the
        card's layout, and where they lie in the picture. What lies outside it is `card.input.pad`.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(
                "poses are looked for in BGR pictures of uint8",
                got=f"{image.shape} {image.dtype}",
                expected="(h, w, 3) uint8",
            )
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

    def infer(self, tensor: np.ndarray) -> Outputs:
        """Run the graph on crops of `preprocess`, at least one: in one batch where the graph
        leaves it open.

        Raises:
            ModelError: The graph fails.
        """
        return run_pictures(self.backend, self._picture, self.card.input.size, tensor)

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
            self._notice(int(lost.sum()))
        return points

    def close(self) -> None:
        """Let go of the model's memory."""
        self.backend.close()

    def __enter__(self) -> "PoseModel":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _notice(self, count: int) -> None:
        if not self._noticed:
            self._noticed = True
            _LOG.warning(
                "%s gave %d points that are not finite; such points score 0. "
                "A model that was converted to fp16 or int8 may have lost its numbers.",
                self.where,
                count,
            )


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
    backend = open_backend(os.fspath(path), threads)
    try:
        return build_pose(
            backend,
            decoder=decoder,
            skeleton=skeleton,
            settings=settings,
            input=input,
            where=os.fspath(path),
        )
    except BaseException:
        backend.close()
        raise


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
    text = backend.metadata.get(METADATA_KEY)
    card = ModelCard.from_json(text) if text else None
    if card is not None and card.task != "pose":
        raise ModelError(f"{where} is no pose net", got=f"task {card.task!r}", expected="'pose'")
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
    spec = card.input if card else _usual_input(backend, signature.size, family, where)
    names = [field.name for field in dataclasses.fields(InputSpec)]
    for name in input or {}:
        if name not in names:
            raise ConfigError(f"input.{name} is unknown", remedy=did_you_mean(name, names))
    spec = dataclasses.replace(spec, **{**(input or {}), "size": signature.size})
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


def _usual_input(
    backend: Backend, size: Tuple[int, int], family: PoseFamily, where: str
) -> InputSpec:
    layout = layout_of(picture_input(backend, where))
    return InputSpec(size=size, layout=layout, resize="stretch", **family.input)
