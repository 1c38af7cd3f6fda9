"""A learnt anomaly model on the device: picture in, score, map and boxes of defects out."""

import os
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np

from ....core import DataError, InputSpec, ModelCard, ModelError
from ....core.card import METADATA_KEY
from ...backends import Backend, open_backend
from ...preprocess import Transform, place
from ...sources.base import load_cv2

PathLike = Union[str, "os.PathLike[str]"]
OUTPUTS = ("score", "map")


def lay(image: np.ndarray, spec: InputSpec) -> Tuple[np.ndarray, Transform]:
    """A picture in the model's input, as the card says.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        spec: Size and rule of resizing.

    Returns:
        `(height, width, 3)` uint8 BGR of the input's size, and how the picture lies in it.
    """
    cv2 = load_cv2()
    height, width = image.shape[:2]
    transform, (wide, high) = place((width, height), spec)
    if (wide, high) == (width, height):
        small = image
    else:
        # A mean over what becomes one pixel keeps thin defects, and does not alias texture.
        shrinks = wide <= width and high <= height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = cv2.resize(image, (wide, high), interpolation=how)
    if (wide, high) == tuple(spec.size):
        return small, transform
    laid = np.full((spec.size[1], spec.size[0], 3), spec.pad, np.uint8)
    left, top = int(transform.offset[0]), int(transform.offset[1])
    laid[top : top + high, left : left + wide] = small
    return laid, transform


class Anomaly:
    """A model that tells how unlike good parts a picture is. Made by `load_anomaly`.

    May be called from several threads at once; a context, too.

    Attributes:
        card: What the model is.
        limits: What its threshold rests on, as it was learnt: the card's `extra["anomaly"]`.
    """

    def __init__(self, backend: Backend, card: ModelCard, where: str) -> None:
        self.card = card
        self.limits: Dict[str, Any] = dict(card.extra.get("anomaly", {}))
        self._backend = backend
        self._where = where
        self._spec = card.input
        self._cv2 = load_cv2()

    def __call__(self, image: np.ndarray) -> Tuple[float, np.ndarray]:
        """Score and map of a picture; in both 1.0 is the threshold, 0 the best of good parts.

        Where the score is at the threshold or above, so is the worst place of the map.

        Args:
            image: `(h, w, 3)` uint8 BGR, or `(h, w)` uint8.

        Returns:
            The score, and the map as `(h, w)` float32 in pixels of the picture.

        Raises:
            DataError: It is no such picture.
            ModelError: The model fails, or answers with what is no number.
        """
        if image.ndim == 2:
            image = self._cv2.merge((image,) * 3) if image.dtype == np.uint8 else image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(
                "an anomaly model takes BGR pictures of uint8",
                got=f"{image.shape} {image.dtype}",
                expected="(h, w, 3) uint8",
            )
        laid, transform = lay(image, self._spec)
        outputs = self._backend.infer({"image": laid[None]})
        score, heat = float(outputs["score"].ravel()[0]), outputs["map"][0]
        if not (np.isfinite(score) and np.isfinite(heat).all()):
            raise ModelError(
                f"{self._where} answers with what is no number", got=f"a score of {score}"
            )
        spread = self._spread(np.asarray(heat, np.float32), transform)
        worst = float(spread.max())
        if score >= 1.0 > worst:
            # A part that is refused has a place to look at: the worst one, however wide it is.
            if worst > 0:
                spread *= score / worst
            else:
                spread.flat[int(spread.argmax())] = score
        return score, spread

    def _spread(self, heat: np.ndarray, transform: Transform) -> np.ndarray:
        """The map in pixels of the picture."""
        left, top = (int(v) for v in transform.offset)
        wide = int(round(transform.size[0] * transform.scale[0]))
        high = int(round(transform.size[1] * transform.scale[1]))
        cut = heat[top : top + high, left : left + wide]
        if cut.shape[::-1] == tuple(transform.size):
            return np.ascontiguousarray(cut)
        return self._cv2.resize(cut, transform.size, interpolation=self._cv2.INTER_LINEAR)

    def boxes(
        self, heat: np.ndarray, threshold: float = 1.0, area: int = 4
    ) -> List[Dict[str, Any]]:
        """Defects in a map: `boxes_of`."""
        return boxes_of(heat, threshold, area)

    def close(self) -> None:
        """Let go of the model's memory. Closing twice is harmless."""
        self._backend.close()

    def __enter__(self) -> "Anomaly":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def boxes_of(heat: np.ndarray, threshold: float = 1.0, area: int = 4) -> List[Dict[str, Any]]:
    """Where a map is at or above a threshold, as boxes, the worst first.

    Args:
        heat: `(h, w)` float32.
        threshold: Of the map.
        area: Places of fewer pixels are left out, unless there is nothing else.

    Returns:
        `{"xyxy": [x1, y1, x2, y2], "score": worst value}` each, in pixels of the map.
    """
    cv2 = load_cv2()
    heat = np.asarray(heat, np.float32)
    over = (heat >= threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(over, connectivity=8)
    found = []
    for number in range(1, count):
        x, y, w, h, size = (int(v) for v in stats[number])
        inside = labels[y : y + h, x : x + w] == number
        worst = float(heat[y : y + h, x : x + w][inside].max())
        box = {"xyxy": [float(x), float(y), float(x + w), float(y + h)], "score": worst}
        found.append((size >= area, worst, box))
    large = [f for f in found if f[0]] or found
    return [box for _, _, box in sorted(large, key=lambda f: -f[1])]


def load_anomaly(path: PathLike, threads: Optional[int] = 1) -> Anomaly:
    """Open a model that `edgelane teach` or `export.anomaly.learn` wrote.

    Args:
        path: An ONNX, or an engine built of one.
        threads: Threads that one call may use on the CPU; None lets the backend choose.

    Raises:
        ModelError: The file is missing, damaged, or no anomaly model with a card.
        MissingDependency: The backend's library is not installed.
    """
    where = os.fspath(path)
    backend = open_backend(where, threads=threads)
    try:
        text = backend.metadata.get(METADATA_KEY)
        if not text:
            raise ModelError(
                f"{where} carries no card that says what it is",
                expected="an anomaly model, as `edgelane teach` writes it",
            )
        card = ModelCard.from_json(text)
        if card.task != "anomaly":
            raise ModelError(
                f"{where} is no anomaly model", got=f"a card of task {card.task!r}",
                remedy="teach one from good parts, or wrap a classifier by export.anomaly.wrap",
            )  # fmt: skip
        width, height = card.input.size
        wanted = {"image": (1, height, width, 3), "score": (1,), "map": (1, height, width)}
        specs = {s.name: tuple(s.shape) for s in (*backend.inputs, *backend.outputs)}
        if specs != wanted:
            raise ModelError(
                f"{where} has not the input and outputs of an anomaly model",
                got=", ".join(f"{n} {list(s)}" for n, s in specs.items()),
                expected=", ".join(f"{n} {list(s)}" for n, s in wanted.items()),
            )
        return Anomaly(backend, card, where)
    except BaseException:
        backend.close()
        raise
