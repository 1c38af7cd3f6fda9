"""From a picture to a model's input, and from the model's boxes back to the picture.

Coordinates are continuous: the left edge of the first pixel is 0, the right edge of the last is
the width, and resizing scales by the ratio of the sizes as they were really rounded. So boxes go
there and back without the half pixels and rounding that ratios taken from the wish would leave.
"""

import threading
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ..core import DataError, InputSpec, ModelError
from .sources.base import load_cv2

IMAGENET = {
    "colour": "rgb",
    "scale": 1 / 255,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "pad": 0,
}
"""Fields of `core.InputSpec` as nets trained in the tradition of ImageNet are fed."""


def size_of(image: np.ndarray) -> Tuple[int, int]:
    """`(width, height)` of a `(h, w, 3)` uint8 BGR picture.

    Raises:
        DataError: It is no such picture, or an empty one.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(
            "models take BGR pictures of uint8",
            got=f"{image.shape} {image.dtype}",
            expected="(h, w, 3) uint8",
        )
    return image.shape[1], image.shape[0]


@dataclass(frozen=True)
class Transform:
    """How one picture was placed in a model's input: `input = picture * scale + offset`.

    Attributes:
        size: `(width, height)` of the picture in pixels.
        scale: `(x, y)`, input pixels a picture pixel.
        offset: `(x, y)`, where the picture's corner lies in the input, in input pixels.
    """

    size: Tuple[int, int]
    scale: Tuple[float, float]
    offset: Tuple[float, float]
    # The same for boxes, as float64 arrays of four.
    _scale: np.ndarray = field(init=False, repr=False, compare=False)
    _offset: np.ndarray = field(init=False, repr=False, compare=False)
    _edge: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "_scale", np.asarray(self.scale * 2, np.float64))
        put(self, "_offset", np.asarray(self.offset * 2, np.float64))
        put(self, "_edge", np.asarray(self.size * 2, np.float64))

    def to_input(self, xyxy: np.ndarray) -> np.ndarray:
        """`(n, 4)` boxes in picture pixels as float32 boxes in input pixels."""
        boxes = np.asarray(xyxy, np.float64).reshape(-1, 4)
        return (boxes * self._scale + self._offset).astype(np.float32)

    def to_image(self, xyxy: np.ndarray, clip: bool = True) -> np.ndarray:
        """`(n, 4)` boxes in input pixels as float32 boxes in picture pixels.

        Args:
            xyxy: Boxes in input pixels.
            clip: Cut off what lies outside the picture.
        """
        boxes = np.asarray(xyxy).reshape(-1, 4) - self._offset
        boxes /= self._scale
        if clip:
            np.maximum(boxes, 0.0, out=boxes)
            np.minimum(boxes, self._edge, out=boxes)
        return boxes.astype(np.float32)

    def points_to_image(self, points: np.ndarray) -> np.ndarray:
        """`(..., 2)` points in input pixels as float32 points in picture pixels."""
        points = np.asarray(points, np.float64)
        return ((points - self.offset) / self.scale).astype(np.float32)


def place(image_size: Tuple[int, int], spec: InputSpec) -> Tuple[Transform, Tuple[int, int]]:
    """Where a picture of this size goes in the input.

    Args:
        image_size: `(width, height)` of the picture.
        spec: The model's input.

    Returns:
        The transform, and the `(width, height)` in whole pixels that the picture is resized to.
    """
    (width, height), (wide, high) = image_size, spec.size
    if spec.resize == "crop":
        left, top, right, bottom = middle(image_size, spec.size)
        ratios = (wide / (right - left), high / (bottom - top))
        offset = (-left * ratios[0], -top * ratios[1])
        return Transform((width, height), ratios, offset), (wide, high)
    if spec.resize == "stretch":
        resized = (wide, high)
    else:
        ratio = min(wide / width, high / height)
        resized = (
            min(max(round(width * ratio), 1), wide),
            min(max(round(height * ratio), 1), high),
        )
    offset = (0, 0)
    if spec.resize == "centre":
        offset = ((wide - resized[0]) // 2, (high - resized[1]) // 2)
    scale = (resized[0] / width, resized[1] / height)
    return Transform((width, height), scale, (float(offset[0]), float(offset[1]))), resized


def middle(image_size: Tuple[int, int], size: Tuple[int, int]) -> Tuple[int, int, int, int]:
    """The largest part of a picture, in its middle, that has the input's ratio of sides: left,
    top, right, bottom in whole pixels."""
    width, height = image_size
    step = min(width / size[0], height / size[1])
    wide = min(max(round(size[0] * step), 1), width)
    high = min(max(round(size[1] * step), 1), height)
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


class Preprocessor:
    """Turns pictures into input tensors by one `InputSpec`. May be used by several threads.

    Args:
        spec: Size, layout, colours, values and resizing of the input.
        dtype: dtype of the model's input: float32, float16, uint8 or int32. An integer input takes
            the pixels as they are, because scale, mean and std are then inside the graph.

    Raises:
        ModelError: The dtype is none of these.
        MissingDependency: OpenCV is not installed.
    """

    def __init__(self, spec: InputSpec, dtype: Any = np.float32) -> None:
        self.spec = spec
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float16, np.uint8, np.int32):
            raise ModelError(
                "the model's picture input has a type that no picture is turned into",
                got=self.dtype,
                expected="float32, float16, uint8 or int32",
            )
        self._cv2 = load_cv2()
        std = np.asarray(spec.std, np.float64)
        # (pixel * scale - mean) / std as one multiplication and one addition, one value a channel.
        gain = (spec.scale / std).astype(np.float32).reshape(3, 1, 1)
        bias = (-np.asarray(spec.mean, np.float64) / std).astype(np.float32).reshape(3, 1, 1)
        if self.dtype.kind in "ui":
            gain, bias = np.ones_like(gain), np.zeros_like(bias)
        self._gain, self._bias = gain, bias
        self._shifts = bool(bias.any())
        self._plain = not self._shifts and bool((gain == 1).all())
        self._pad = spec.pad * gain + bias
        self._planes = (2, 1, 0) if spec.colour == "rgb" else (0, 1, 2)
        self._local = threading.local()
        self._placed: Dict[Tuple[int, int], Tuple[Transform, Tuple[int, int]]] = {}

    @property
    def shape(self) -> Tuple[int, ...]:
        """Shape of one picture's tensor: `(3, h, w)` or `(h, w, 3)` by the layout."""
        width, height = self.spec.size
        return (3, height, width) if self.spec.layout == "nchw" else (height, width, 3)

    def __call__(
        self, image: np.ndarray, out: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, Transform]:
        """One picture's tensor and how it was placed.

        Args:
            image: `(h, w, 3)` uint8, BGR.
            out: Where to write, of `shape` and `dtype`; a new array otherwise.

        Returns:
            The tensor of `shape` and `dtype`, and the transform that maps boxes back.

        Raises:
            DataError: The picture is of another shape or type.
        """
        size = size_of(image)
        placed = self._placed.get(size)
        if placed is None:
            if len(self._placed) > 64:  # a folder of pictures of all sizes
                self._placed.clear()
            placed = self._placed[size] = place(size, self.spec)
        transform, resized = placed
        tensor = np.empty(self.shape, self.dtype) if out is None else out
        left, top = int(transform.offset[0]), int(transform.offset[1])
        if self.spec.resize == "crop":
            box = middle(size, self.spec.size)
            image, left, top = image[box[1] : box[3], box[0] : box[2]], 0, 0
        right, bottom = left + resized[0], top + resized[1]
        # Seen with the channel first, whatever the layout in memory.
        planes = tensor if self.spec.layout == "nchw" else tensor.transpose(2, 0, 1)
        if resized != self.spec.size:
            planes[:, :top] = self._pad
            planes[:, bottom:] = self._pad
            planes[:, top:bottom, :left] = self._pad
            planes[:, top:bottom, right:] = self._pad
        self._convert(self._channels(image, resized), planes[:, top:bottom, left:right])
        return tensor, transform

    def _channels(self, image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
        """The picture resized, `(3, h, w)` uint8 in the order of the model's colours."""
        cv2 = self._cv2
        # Intermediates belong to the thread: they never leave this object.
        buffers = getattr(self._local, "buffers", None)
        if buffers is None or buffers[0].shape[1::-1] != size:
            shape = (size[1], size[0])
            buffers = (np.empty((*shape, 3), np.uint8), np.empty((3, *shape), np.uint8))
            self._local.buffers = buffers
        picture, channels = buffers
        if (image.shape[1], image.shape[0]) == size:
            picture = image
        else:
            # The plain one rounds otherwise on ARM: every fifth value is one off, and scores are
            # by as much as .02.
            cv2.resize(image, size, dst=picture, interpolation=cv2.INTER_LINEAR_EXACT)
        cv2.split(picture, [channels[plane] for plane in self._planes])
        return channels

    def _convert(self, channels: np.ndarray, planes: np.ndarray) -> None:
        if self._plain:
            planes[...] = channels
        elif self.dtype == np.float32:
            np.multiply(channels, self._gain, out=planes, dtype=np.float32)
            if self._shifts:
                planes += self._bias
        else:
            planes[...] = channels * self._gain + self._bias

    def batch(self, images) -> Tuple[np.ndarray, Tuple[Transform, ...]]:
        """Several pictures as one `(n, …)` tensor, and their transforms."""
        tensor = np.empty((len(images), *self.shape), self.dtype)
        return tensor, tuple(self(image, out=tensor[i])[1] for i, image in enumerate(images))
