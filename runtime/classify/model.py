"""A classifier ready to use: a backend, a card, and the way from a picture to scores."""

import dataclasses
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from ...core import ModelCard, ModelError
from ..backends import Backend
from ..graph import Outputs
from ..picture_model import PictureModel
from ..preprocess import Preprocessor, size_of
from ..sources.base import load_cv2
from .cutting import View, box_view, cut, whole_view
from .maps import MAP
from .meaning import Meaning
from .scores import Classified
from .settings import Settings


class Classifier(PictureModel):
    """A net that tells what a picture shows. May be called from several threads at once.

    It has the methods of a detector and goes where one goes: its `postprocess` gives a
    `Classified`. Called with boxes it is a second model. Made by `load_classifier`, or
    `build_classifier` from a backend of one's own.

    Attributes:
        backend: What runs the graph.
        card: What the model is, with the input as it is used.
        classes: Names by class id.
        multi: Whether any number of classes may be there at once.
        settings: How pictures are cut.
        maps: Whether it tells where it saw the best class.
    """

    def __init__(
        self,
        backend: Backend,
        card: ModelCard,
        meaning: Meaning,
        settings: Settings,
        output: str,
        where: str = "the model",
    ) -> None:
        super().__init__(backend, card, where)
        self.classes = card.classes
        self.meaning = meaning
        self.multi = meaning.multi
        self.settings = settings
        self.maps = any(spec.name == MAP for spec in backend.outputs) and output != MAP
        self._output = output
        self._convert = Preprocessor(
            dataclasses.replace(card.input, resize="stretch"), self._picture.dtype
        )
        self._cv2 = load_cv2()

    def __call__(self, image: np.ndarray, boxes: Optional[np.ndarray] = None) -> Any:
        """The scores of a picture, or of parts of it.

        Args:
            image: `(h, w, 3)` uint8 BGR.
            boxes: `(n, 4)` left, top, right, bottom in pixels; they may reach beyond the picture.
                None for the whole picture, which is cut as the card says; so is a box that is
                the whole picture.

        Returns:
            `(classes,)` float32 of 0..1, with boxes `(n, classes)`.

        Raises:
            DataError: No such picture, or a box that is not finite or has no area.
            ModelError: The graph fails.
        """
        if boxes is None:
            tensor, view = self.preprocess(image)
            return self.postprocess(self.infer(tensor), view).score
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        if not len(boxes):
            return np.zeros((0, len(self.classes)), np.float32)
        tensor = np.empty((len(boxes), *self._convert.shape), self._convert.dtype)
        size = size_of(image)
        for row, box in enumerate(boxes):
            if tuple(box) == (0.0, 0.0, *size):
                view = whole_view(size, self.card.input, self.settings.crop)
            else:
                view = box_view(box, size, self.card.input, self.settings.padding)
            self._fill(image, view, tensor[row])
        return self._scores(self.infer(tensor))

    def preprocess(
        self, image: np.ndarray, out: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, View]:
        """The tensor of a whole picture, and what part of it that shows; see `Model.preprocess`."""
        tensor = np.empty(self._convert.shape, self._convert.dtype) if out is None else out
        view = whole_view(size_of(image), self.card.input, self.settings.crop)
        self._fill(image, view, tensor)
        return tensor, view

    def postprocess(self, outputs: Outputs, view: View) -> Classified:
        """What a picture shows, from outputs of `infer` for it."""
        score = self._scores(outputs)[0]
        seen = None
        if self.maps and np.isfinite(score).any():
            seen = _placed(self._cv2, outputs[MAP][0, int(np.nanargmax(score))], view)
        return Classified(score, self.multi, seen)

    def predict_batch(self, images: Sequence[np.ndarray]) -> List[Classified]:
        """What several pictures show, in one run where the graph leaves the batch open."""
        if not len(images):
            return []
        done = [self.preprocess(image) for image in images]
        outputs = self.infer(np.stack([tensor for tensor, _ in done]))
        return [
            self.postprocess({k: v[i : i + 1] for k, v in outputs.items()}, view)
            for i, (_, view) in enumerate(done)
        ]

    def map(self, image: np.ndarray, class_id: int) -> np.ndarray:
        """Where in a picture a class was seen: `(h, w)` float32, 1 at its strongest place.

        Raises:
            ModelError: The model was opened without maps.
        """
        if not self.maps:
            raise ModelError(
                f"{self.where} tells no class-activation maps",
                remedy="open it with maps=True",
            )
        tensor, view = self.preprocess(image)
        return _placed(self._cv2, self.infer(tensor)[MAP][0, class_id], view)

    def _scores(self, outputs: Outputs) -> np.ndarray:
        numbers = outputs[self._output]
        return self.meaning.scores(numbers.reshape(len(numbers), -1))

    def _fill(self, image: np.ndarray, view: View, out: np.ndarray) -> None:
        self._convert(cut(image, view, self.card.input), out=out)


def _placed(cv2: Any, seen: np.ndarray, view: View) -> np.ndarray:
    """A class's map over the whole picture: what speaks for the class, as a share of the most."""
    width, height = view.size
    left, top, right, bottom = view.box
    most = float(np.nanmax(seen)) if np.isfinite(seen).any() else 0.0
    shares = np.clip(np.nan_to_num(seen) / most, 0, 1) if most > 0 else np.zeros_like(seen)
    rows, columns = seen.shape
    # A cell of the map is a square of the view, and its centre is meant.
    grid = np.array(
        [
            [(right - left) / columns, 0.0, left + 0.5 * (right - left) / columns - 0.5],
            [0.0, (bottom - top) / rows, top + 0.5 * (bottom - top) / rows - 0.5],
        ]
    )
    inner = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    out = cv2.warpAffine(
        shares.astype(np.float32),
        grid,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    shown = np.zeros((height, width), np.float32)
    part = np.s_[inner[1] : inner[3], inner[0] : inner[2]]
    shown[part] = out[part]
    return shown
