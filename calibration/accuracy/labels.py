"""Top-1 accuracy of a classifier on pictures that have one label each."""

from typing import Callable, Dict, List, Optional, Union

import numpy as np

from ...core import DataError, ModelCard, ModelError
from ...core.card import METADATA_KEY
from ...runtime.backends import Backend, open_backend
from ...runtime.graph import picture_input
from ...runtime.preprocess import Preprocessor
from .boxes import shared_classes
from .dataset import Dataset
from .evaluation import Evaluation


class Classifier:
    """From a picture to the scores of the classes.

    Args:
        model: Path of an ONNX with a card of task `classify`, or a backend that runs one.

    Raises:
        ModelError: There is no card, or it is of another task.
    """

    def __init__(self, model: Union[str, Backend]) -> None:
        self._backend = open_backend(model) if isinstance(model, str) else model
        text = self._backend.metadata.get(METADATA_KEY)
        card = ModelCard.from_json(text) if text else None
        if card is None or card.task != "classify":
            raise ModelError(
                "the model's card does not say that it classifies",
                got="no card" if card is None else f"task {card.task!r}",
                expected="'classify'",
            )
        self.classes = card.classes
        self._input = picture_input(self._backend, "the model")
        self._prepare = Preprocessor(card.input, self._input.dtype)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """`(classes,)` scores of a `(h, w, 3)` uint8 BGR picture."""
        tensor, _ = self._prepare(image)
        outputs = self._backend.infer({self._input.name: tensor[None]})
        return np.asarray(next(iter(outputs.values()))).reshape(-1)


def evaluate_labels(
    model: Callable[[np.ndarray], np.ndarray],
    dataset: Dataset,
    *,
    progress: Optional[Callable[[int, int], None]] = None,
) -> Evaluation:
    """Judge a classifier on pictures whose annotations are all of one category.

    Args:
        model: As `Classifier`: gives scores, and has `classes`.
        dataset: Labelled pictures; a class is the category of the same name.
        progress: Called with the number of pictures done and all.

    Returns:
        The score `top1`: the share of pictures whose class has the highest score.

    Raises:
        DataError: No class is a category, or no picture has one label alone.
    """
    kinds = shared_classes(getattr(model, "classes", ()), dataset)
    right: List[float] = []
    chosen: List[str] = []
    for number, picture in enumerate(dataset.pictures, 1):
        labels = {int(a["category_id"]) for a in picture.annotations} & set(kinds.values())
        if len(labels) == 1:
            best = int(np.argmax(model(picture.read())))
            right.append(float(kinds.get(best) in labels))
            chosen.append(str(picture.id))
        if progress:
            progress(number, len(dataset))
    if not right:
        raise DataError(f"no picture of {dataset.name} has one label that the model knows")
    values = np.array(right)
    notes = list(dataset.notes())
    if len(right) < len(dataset):
        notes.append(f"{len(dataset) - len(right)} pictures have no label or several")

    def redraw(weights: np.ndarray) -> Dict[str, np.ndarray]:
        return {"top1": weights @ values / np.maximum(weights.sum(axis=1), 1e-12)}

    return Evaluation("top1", {"top1": float(values.mean())}, tuple(chosen), redraw, tuple(notes))
