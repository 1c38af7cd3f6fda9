"""What a model is tried on: pictures, real or made up, and the tensors they become."""

import dataclasses
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..core import DataError, InputSpec, ModelError
from ..runtime.backends import Backend, TensorSpec
from ..runtime.graph import layout_of, picture_input, side_input
from ..runtime.preprocess import Preprocessor
from ..runtime.sources.base import load_cv2
from ..runtime.sources.file import IMAGES, natural
from .runner import Tensors

PIXELS = {"layout": "nhwc", "colour": "bgr", "scale": 1.0,
          "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # fmt: skip
"""Fields of the input of a graph that takes a camera's pixels as they are."""


def made_up(size: Tuple[int, int], count: int, seed: int = 0) -> List[np.ndarray]:
    """Pictures with the values that pictures have: patches of colour with noise.

    Returns:
        `(h, w, 3)` uint8 BGR each.
    """
    rng = np.random.RandomState(seed)
    width, height = size
    pictures = []
    for _ in range(count):
        patches = rng.uniform(0, 255, (height // 16 + 1, width // 16 + 1, 3))
        pixels = np.kron(patches, np.ones((16, 16, 1)))[:height, :width]
        pixels += rng.normal(0, 10, pixels.shape)
        pictures.append(np.clip(pixels, 0, 255).astype(np.uint8))
    return pictures


def read_pictures(
    folder: Union[str, Path], spec: InputSpec, most: int
) -> Tuple[List[np.ndarray], List[str]]:
    """Pictures of a folder, placed in the model's input as the runtime places them.

    Args:
        folder: Where they are.
        spec: The model's input.
        most: How many are read at most; spread over the folder.

    Returns:
        `(h, w, 3)` uint8 BGR each, of the input's size; names of those that cannot be read.

    Raises:
        DataError: There is no such folder, no picture in it, or none that can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}",
            got="a file" if folder.exists() else None,
            expected="a folder of pictures",
        )
    paths = sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file()),
        key=lambda p: natural(p.name),
    )
    if not paths:
        raise DataError(
            f"there are no pictures in {folder}", expected="files that end in " + ", ".join(IMAGES)
        )
    if len(paths) > most:
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, most).round().astype(int)]
    cv2 = load_cv2()
    place = Preprocessor(pixel_input(spec), np.uint8)
    pictures, unreadable = [], []
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            unreadable.append(path.name)
        else:
            pictures.append(place(image)[0])
    if not pictures:
        raise DataError(
            f"no picture in {folder} can be read",
            got=", ".join(unreadable[:3]),
            remedy="check that the files are whole",
        )
    return pictures, unreadable


def pixel_input(spec: InputSpec) -> InputSpec:
    """The input that a graph has once its preprocessing is inside."""
    return dataclasses.replace(spec, **PIXELS)


def feeds_of(
    backend: Backend, pictures: Sequence[np.ndarray], spec: Optional[InputSpec]
) -> Iterator[Tensors]:
    """What to feed a graph for these pictures, one batch of them at a time.

    Args:
        backend: The graph.
        pictures: `(h, w, 3)` uint8 BGR of the input's size; as many as make whole batches are
            used, at least one batch, for which the first are repeated.
        spec: How a picture becomes the input; None for a graph that takes none, which gets
            numbers with a fixed seed for each picture.

    Raises:
        ModelError: An input is open and nothing says how large it is.
    """
    batch = backend.inputs[0].shape[0] if backend.inputs and backend.inputs[0].shape else 1
    batch = batch or 2  # an open batch is tried with more than one
    count = max(len(pictures) // batch, 1)
    for index in range(count):
        chosen = [pictures[(index * batch + i) % len(pictures)] for i in range(batch)]
        yield _feed(backend, chosen, spec, index * batch)


def _feed(
    backend: Backend, pictures: Sequence[np.ndarray], spec: Optional[InputSpec], seed: int
) -> Tensors:
    if spec is None:
        numbers = [_numbers(backend.inputs, seed + i) for i in range(len(pictures))]
        return {
            name: np.concatenate([n[name] for n in numbers]) if value.ndim else value
            for name, value in numbers[0].items()
        }
    picture = picture_input(backend)
    spec = dataclasses.replace(spec, layout=layout_of(picture))
    tensor = Preprocessor(spec, picture.dtype).batch(pictures)[0]
    feeds = {picture.name: tensor}
    for other in backend.inputs:
        if other.name != picture.name:
            feeds[other.name] = side_input(other, spec.size, len(pictures))
    return feeds


def _numbers(specs: Sequence[TensorSpec], seed: int) -> Tensors:
    rng = np.random.RandomState(seed)
    feeds = {}
    for spec in specs:
        shape = [1, *spec.shape[1:]] if spec.shape else []
        if any(n is None for n in shape):
            raise ModelError(
                f"the input {spec.name!r} leaves its shape open",
                got=str(spec),
                remedy=f"fix it with --shape {spec.name}=1x3x416x416, with the model's numbers",
            )
        if spec.dtype.kind == "f":
            feeds[spec.name] = rng.normal(0, 1, shape).astype(spec.dtype)
        elif spec.dtype == np.bool_:
            feeds[spec.name] = rng.uniform(0, 1, shape) > 0.5
        else:
            feeds[spec.name] = rng.randint(0, 2, shape).astype(spec.dtype)
    return feeds
