"""A model as a profile runs it: from a picture's file to events, one stage after another.

Boxes reach the counting pipeline, as in `edgelane run`; a pose net is given one person a picture
and its way ends at the pose; a classifier's at the best class.
"""

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError, ModelCard, ModelError, Observation
from ...core.card import METADATA_KEY
from ...runtime.backends import Backend
from ...runtime.sources.base import load_cv2
from .data import Data

FPS = 10.0
"""Frames a second that the pipeline is told."""


class Subject(NamedTuple):
    """What is measured.

    Attributes:
        model: `Model`, `PoseModel` or `Classifier`.
        task: `detect`, `pose` or `classify`.
        stages: Names and functions, each of which takes what the one before gave; the first takes
            the number of a frame.
        size: `(width, height)` of the model's input in pixels.
        close: Lets go of it.
    """

    model: Any
    task: str
    stages: Tuple[Tuple[str, Callable[[Any], Any]], ...]
    size: Tuple[int, int]
    close: Callable[[], None]


def open_runner(path: str, backend: str, threads: Optional[int] = None) -> Backend:
    """Exactly the backend that is asked for: one that silently stands in for another would be
    measured in its name.

    Raises:
        ModelError: It cannot run the model.
        MissingDependency: Its library is not installed.
    """
    if backend == "tensorrt":
        from ...runtime.backends.trt import TensorrtBackend
        from ...runtime.engines import read_passport

        try:
            passport = read_passport(path)
        except ModelError:
            return TensorrtBackend(path)
        return TensorrtBackend(path, metadata=passport.metadata, dla_core=passport.dla_core)
    from ...runtime.backends.ort import OnnxruntimeBackend

    return OnnxruntimeBackend(path, threads=threads)


def open_subject(
    path: str,
    backend: str,
    data: Data,
    *,
    size: Optional[Tuple[int, int]] = None,
    task: Optional[str] = None,
    decoder: Optional[str] = None,
    threads: Optional[int] = None,
) -> Subject:
    """Load a model for measuring.

    Args:
        path: ONNX or engine file.
        backend: `onnxruntime` or `tensorrt`.
        data: Pictures.
        size: Of the input, where the graph leaves it open.
        task: What it does; by its card or its outputs unless said.
        decoder: How its outputs are read, where nothing shows it.
        threads: Threads for one run on the CPU.

    Raises:
        ModelError: It cannot be loaded, or is of no kind that can be measured.
        DataError: A pose net without labelled people.
    """
    runner = open_runner(path, backend, threads)
    try:
        text = runner.metadata.get(METADATA_KEY)
        task = task or (ModelCard.from_json(text).task if text else None)
        known: Dict[str, Callable[..., Subject]] = {
            "detect": _detector,
            "pose": _pose,
            "classify": _classifier,
        }
        if task is not None:
            if task not in known:
                raise ModelError(
                    f"{path} cannot be profiled", got=f"task {task!r}", expected=", ".join(known)
                )
            return known[task](runner, path, data, size, decoder)
        try:
            return _detector(runner, path, data, size, decoder)
        except ModelError as error:
            try:
                return _pose(runner, path, data, size, decoder)
            except ModelError:
                raise error from None
    except BaseException:
        runner.close()
        raise


def _override(size: Optional[Tuple[int, int]]) -> Dict[str, Any]:
    return {} if size is None else {"size": tuple(size)}


def _reader(paths: Sequence[Path]) -> Callable[[int], np.ndarray]:
    cv2 = load_cv2()

    def read(index: int) -> np.ndarray:
        path = paths[index % len(paths)]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"{path} cannot be read as an image")
        return image

    return read


def _detector(
    runner: Backend,
    path: str,
    data: Data,
    size: Optional[Tuple[int, int]],
    decoder: Optional[str],
) -> Subject:
    from ...runtime.model import build_model
    from ..throughput import counting

    model = build_model(runner, decoder=decoder, input=_override(size), where=path)
    read = _reader([data.images / name for name in data.timed])
    first = read(0)
    pipeline = counting((first.shape[1], first.shape[0]), model.classes)
    kept: List[Any] = [None]
    frame = [0]

    def decode(index: int) -> Any:
        return read(index)

    def preprocess(image: Any) -> Any:
        kept[0], transform = model.preprocess(image, kept[0])
        return image, kept[0], transform

    def infer(given: Any) -> Any:
        image, tensor, transform = given
        return image, model.infer(tensor), transform

    def postprocess(given: Any) -> Any:
        image, outputs, transform = given
        return image, model.postprocess(outputs, transform)

    def process(given: Any) -> Any:
        image, detections = given
        frame[0] += 1
        shape = (image.shape[1], image.shape[0])
        seen = Observation("camera", frame[0] / FPS, detections, shape, image, frame[0])
        return pipeline.process(seen)

    stages = (
        ("decode", decode),
        ("preprocess", preprocess),
        ("infer", infer),
        ("postprocess", postprocess),
        ("pipeline", process),
    )
    return Subject(model, "detect", stages, model.card.input.size, model.close)


def _pose(
    runner: Backend,
    path: str,
    data: Data,
    size: Optional[Tuple[int, int]],
    decoder: Optional[str],
) -> Subject:
    from ...runtime.pose import build_pose

    model = build_pose(runner, decoder=decoder, input=_override(size), where=path)
    people = _people(data, len(model.skeleton))
    read = _reader([file for file, _ in people])

    def decode(index: int) -> Any:
        return read(index), people[index % len(people)][1]

    def preprocess(given: Any) -> Any:
        return model.preprocess(*given)

    def infer(given: Any) -> Any:
        return model.infer(given[0]), given[1]

    def postprocess(given: Any) -> Any:
        return model.postprocess(*given)

    stages = (
        ("decode", decode),
        ("preprocess", preprocess),
        ("infer", infer),
        ("postprocess", postprocess),
    )
    return Subject(model, "pose", stages, model.card.input.size, model.close)


def _people(data: Data, points: int) -> List[Tuple[Path, np.ndarray]]:
    """A picture and the box of its largest person each, of the pictures that have one.

    Raises:
        DataError: There are none.
    """
    from ...calibration.accuracy.poses import load_poses

    labels = data.labels or data.annotations
    if labels is None:
        raise DataError(
            "a pose net is given people, and nothing says where they are",
            expected="a COCO file of key points, or a folder with images/ and labels/",
        )
    timed, found = set(data.timed), []
    for picture in load_poses(data.images, labels, points):
        if picture.path.name not in timed:
            continue
        _, truth = picture.read()
        sides = truth.xyxy[:, 2:] - truth.xyxy[:, :2]
        area = sides.prod(axis=1) * (sides > 0).all(axis=1)
        if len(area) and area.max() > 0:
            found.append((picture.path, truth.xyxy[[int(area.argmax())]].astype(np.float32)))
    if not found:
        raise DataError("no picture has a labelled person", got=f"{len(timed)} pictures")
    return found


def _classifier(
    runner: Backend,
    path: str,
    data: Data,
    size: Optional[Tuple[int, int]],
    decoder: Optional[str],
) -> Subject:
    from ...runtime.classify import build_classifier

    model = build_classifier(runner, decoder=decoder, input=_override(size), where=path)
    kept: List[Any] = [None]

    def preprocess(image: Any) -> Any:
        kept[0], view = model.preprocess(image, kept[0])
        return kept[0], view

    stages = (
        ("decode", _reader([data.images / name for name in data.timed])),
        ("preprocess", preprocess),
        ("infer", lambda given: (model.infer(given[0]), given[1])),
        ("postprocess", lambda given: int(np.argmax(model.postprocess(*given).score))),
    )
    return Subject(model, "classify", stages, model.card.input.size, model.close)
