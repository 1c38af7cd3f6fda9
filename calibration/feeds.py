"""From chosen pictures to what a model is fed with, just as it is fed when it is used."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..core import (
    ConfigError,
    DataError,
    EdgelaneError,
    InputSpec,
    ModelCard,
    ModelError,
    did_you_mean,
)
from ..core.card import METADATA_KEY
from ..runtime.backends import open_backend
from ..runtime.classify import build_classifier
from ..runtime.graph import picture_input, side_input, signature_of
from ..runtime.model import build_model
from ..runtime.pose import PoseModel, build_pose
from ..runtime.preprocess import Preprocessor
from .accuracy.poses import PosePicture, load_poses
from .frames import COUNT, Progress, choose_frames, file_identity, pick, spread, thumbnail

Feed = Dict[str, np.ndarray]


class Feeds:
    """Inputs to calibrate a model with, to be gone through as often as wanted.

    Attributes:
        card: What the model is, as it is used.
        names: What each picture is called, in order.
        identity: Hash of pictures and preprocessing.
        warnings: Sentences that a user should see.
    """

    def __init__(
        self,
        card: ModelCard,
        names: Sequence[str],
        tensors: Callable[[Sequence[int]], Iterator[np.ndarray]],
        batches: Callable[[Iterator[np.ndarray]], Iterator[Feed]],
        identity: str,
        warnings: Sequence[str] = (),
    ) -> None:
        self.card = card
        self.names = list(names)
        self.warnings = list(warnings)
        self._tensors, self._batches = tensors, batches
        spec = card.to_json()
        self.identity = hashlib.sha256(f"{identity}\0{spec}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Feed]:
        """Arrays by input name, one picture at a time, or as many as the graph's fixed batch."""
        return self._batches(self._tensors(range(len(self))))

    def order(self) -> List[int]:
        """All rows, so that the first few, however many, are spread evenly over them: rows whose
        numbers have their bits reversed (van der Corput, 1935)."""
        bits = max(len(self) - 1, 1).bit_length()
        turned = (int(format(i, f"0{bits}b")[::-1], 2) for i in range(1 << bits))
        return [row for row in turned if row < len(self)]

    def spread(self, most: Optional[int] = None) -> Iterator[Feed]:
        """The same in that order, and no more pictures than asked for."""
        return self._batches(self._tensors(self.order()[:most]))


def open_feeds(
    model: Union[str, Path],
    images: Union[str, Path],
    *,
    count: int = COUNT,
    labels: Union[None, str, Path] = None,
    decoder: Optional[str] = None,
    input: Optional[Mapping[str, Any]] = None,
    progress: Optional[Progress] = None,
) -> Feeds:
    """What a model is fed with from pictures.

    Args:
        model: An ONNX file. It says by its card, or by the family that its outputs show, how it
            wants to be fed.
        images: Folder of pictures, video or camera, see `choose_frames`.
        count: How many pictures at most, or crops where there are labels.
        labels: Where people stand, for a net that is given one at a time: a folder of YOLO pose
            labels or a COCO file; see `accuracy.poses.load_poses`.
        decoder: Name of the decoder, where nothing shows it.
        input: Fields of `core.InputSpec` that replace the card's.
        progress: Called with the number of pictures looked at, and of all where that is known.

    Raises:
        DataError: No pictures, or a pose net without labels.
        ModelError: The model cannot be loaded or is of no known kind.
        SourceError, StorageError, UsageError, MissingDependency: As `choose_frames`.
    """
    where = str(model)
    backend = open_backend(where, 1)
    try:
        picture = picture_input(backend, where)
        changes = dict(input or {})
        if labels is not None:
            pose = build_pose(backend, decoder=decoder, input=changes, where=where)
            people = _People(pose, images, labels, count, progress)
            card = pose.card
            names, tensors, identity = people.names, people.tensors, people.identity
            warnings: List[str] = []
        else:
            card, convert = _whole(backend, decoder, changes, where)
            frames = choose_frames(images, count, progress=progress)

            def tensors(rows: Sequence[int]) -> Iterator[np.ndarray]:
                return (convert(frames[row])[0] for row in rows)

            names, identity, warnings = frames.names, frames.identity, frames.warnings
        sides = [spec for spec in backend.inputs if spec.name != picture.name]
        size = card.input.size
        for spec in sides:
            side_input(spec, size, 1)  # fails here, before the pictures are read
        step = picture.shape[0] or 1
    finally:
        backend.close()

    def batches(arrays: Iterator[np.ndarray]) -> Iterator[Feed]:
        for group in _grouped(arrays, step, lambda: tensors(range(len(names)))):
            feed = {picture.name: group}
            for spec in sides:
                feed[spec.name] = side_input(spec, size, len(group))
            yield feed

    return Feeds(card, names, tensors, batches, f"{identity}\0{step}\0{picture.dtype}", warnings)


def _grouped(
    arrays: Iterator[np.ndarray], step: int, again: Callable[[], Iterator[np.ndarray]]
) -> Iterator[np.ndarray]:
    """Batches of `step`; the last is filled up with the first pictures once more."""
    group: List[np.ndarray] = []
    for array in arrays:
        group.append(array)
        if len(group) == step:
            yield np.stack(group)
            group = []
    while group:
        for array in again():
            group.append(array)
            if len(group) == step:
                yield np.stack(group)
                return


Convert = Callable[[np.ndarray], Tuple[np.ndarray, Any]]


def _whole(
    backend: Any, decoder: Optional[str], changes: Dict[str, Any], where: str
) -> Tuple[ModelCard, Convert]:
    """How a model that sees whole pictures is fed: its card, and what makes its tensors."""
    text = backend.metadata.get(METADATA_KEY)
    if text and ModelCard.from_json(text).task == "classify":
        classifier = build_classifier(backend, decoder=decoder, input=changes, where=where)
        return classifier.card, classifier.preprocess
    card = _card(backend, decoder, changes, where)
    return card, Preprocessor(card.input, picture_input(backend, where).dtype)


def _card(backend: Any, decoder: Optional[str], changes: Dict[str, Any], where: str) -> ModelCard:
    """How a model that sees whole pictures is fed."""
    text = backend.metadata.get(METADATA_KEY)
    card = ModelCard.from_json(text) if text else None
    if card is not None and card.task == "anomaly":
        known = [field.name for field in dataclasses.fields(InputSpec)]
        for name in changes:
            if name not in known:
                raise ConfigError(f"input.{name} is unknown", remedy=did_you_mean(name, known))
        size = signature_of(backend, card, changes, where).size
        spec = dataclasses.replace(card.input, **{**changes, "size": size})
        return dataclasses.replace(card, input=spec)
    try:
        return build_model(backend, decoder=decoder, input=changes, where=where).card
    except EdgelaneError as error:
        if not isinstance(error, ModelError):
            raise
        try:
            build_pose(backend, decoder=decoder, input=changes, where=where)
        except EdgelaneError:
            raise error from None
        raise DataError(
            f"{where} looks at one person at a time, and nothing says where they stand",
            remedy="name the labels of the pictures with --labels DIR",
        ) from None


class _People:
    """Crops around labelled people, those that differ most from one another."""

    def __init__(
        self,
        model: PoseModel,
        images: Union[str, Path],
        labels: Union[str, Path],
        count: int,
        progress: Optional[Progress],
    ) -> None:
        self._model = model
        self._pictures: Tuple[PosePicture, ...] = load_poses(images, labels, len(model.skeleton))
        rows = spread(len(self._pictures), max(512, count))
        places: List[Tuple[int, int]] = []
        features: List[np.ndarray] = []
        for number, index in enumerate(rows, 1):
            image, boxes = self._read(int(index))
            for row, box in enumerate(boxes):
                places.append((int(index), row))
                features.append(_seen(image, box))
            if progress is not None:
                progress(number, len(rows))
        if not places:
            raise DataError(f"the labels in {labels} show nobody")
        chosen = pick(np.stack(features), count)
        self._chosen = [places[i] for i in chosen]
        self.names = [f"{self._pictures[i].path.name} person {row}" for i, row in self._chosen]
        used = sorted({i for i, _ in self._chosen})
        files = file_identity([Path(self._pictures[i].path) for i in used])
        self.identity = f"{files}{self._chosen}{_content(Path(labels))}"

    def _read(self, index: int) -> Tuple[np.ndarray, np.ndarray]:
        image, truth = self._pictures[index].read()
        solid = np.all(truth.xyxy[:, 2:] > truth.xyxy[:, :2], axis=1)
        return image, truth.xyxy[solid & ~np.asarray(truth.crowd, bool)]

    def tensors(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        """What the net is given of these people."""
        index, image, boxes = -1, np.zeros((0, 0, 3), np.uint8), np.zeros((0, 4))
        for wanted, row in (self._chosen[i] for i in rows):
            if wanted != index:
                index = wanted
                image, boxes = self._read(index)
            tensor, _ = self._model.preprocess(image, boxes[row : row + 1])
            yield tensor[0]


def _seen(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    left, top = (int(max(v, 0)) for v in box[:2])
    right, bottom = int(min(box[2] + 1, width)), int(min(box[3] + 1, height))
    part = image[top:bottom, left:right]
    return thumbnail(np.ascontiguousarray(part if part.size else image))


def _content(labels: Path) -> str:
    paths = sorted(labels.glob("*.txt")) if labels.is_dir() else [labels]
    return file_identity(paths)
