"""The part of a picture that a classifier is shown."""

from typing import NamedTuple, Tuple

import numpy as np

from ...core import DataError, InputSpec
from ..sources.base import resized


class View(NamedTuple):
    """A part of a picture.

    Attributes:
        box: Left, top, right, bottom in whole pixels; may reach beyond the picture.
        size: `(width, height)` of the picture.
    """

    box: Tuple[int, int, int, int]
    size: Tuple[int, int]


def whole_view(size: Tuple[int, int], spec: InputSpec, crop: float) -> View:
    """What of a whole picture the net is shown.

    Args:
        size: `(width, height)` of the picture.
        spec: The net's input. With `crop` the largest part of its ratio of sides in the middle;
            with `letterbox` and `centre` more than the picture, so that the ratio is kept; with
            `stretch` the picture.
        crop: Share of the sides of that part that is taken, from its middle.
    """
    width, height = size
    box = (0.0, 0.0, float(width), float(height))
    if spec.resize != "stretch":
        wide, high = spec.size
        ratios = (width / wide, height / high)
        step = min(ratios) if spec.resize == "crop" else max(ratios)
        left = 0.0 if spec.resize == "letterbox" else (width - wide * step) / 2
        top = 0.0 if spec.resize == "letterbox" else (height - high * step) / 2
        box = (left, top, left + wide * step, top + high * step)
    if crop != 1:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        wide, high = (box[2] - box[0]) * crop / 2, (box[3] - box[1]) * crop / 2
        box = (x - wide, y - high, x + wide, y + high)
    return _rounded(box, size)


def box_view(box: np.ndarray, size: Tuple[int, int], spec: InputSpec, padding: float) -> View:
    """What the net is shown of a box: the box, or more of it so that the ratio of sides is kept.

    Args:
        box: Left, top, right, bottom in pixels.
        size: `(width, height)` of the picture.
        spec: The net's input; only `stretch` does not keep the ratio.
        padding: Factor on both sides.

    Raises:
        DataError: The box is not finite or has no area.
    """
    values = [float(v) for v in box]
    wide, high = values[2] - values[0], values[3] - values[1]
    if not (wide > 0 and high > 0 and max(abs(v) for v in values) < 1e7):
        raise DataError(
            "a box is not finite or has no area",
            got=values,
            expected="left < right and top < bottom, in pixels",
        )
    x, y = (values[0] + values[2]) / 2, (values[1] + values[3]) / 2
    if spec.resize != "stretch":
        step = max(wide / spec.size[0], high / spec.size[1])
        wide, high = spec.size[0] * step, spec.size[1] * step
    wide, high = wide * padding / 2, high * padding / 2
    return _rounded((x - wide, y - high, x + wide, y + high), size)


def _rounded(box: Tuple[float, float, float, float], size: Tuple[int, int]) -> View:
    left, top = round(box[0]), round(box[1])
    right, bottom = max(round(box[2]), left + 1), max(round(box[3]), top + 1)
    return View((left, top, right, bottom), size)


def cut(image: np.ndarray, view: View, spec: InputSpec) -> np.ndarray:
    """A view of a picture, resized to the input.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        view: Of that picture.
        spec: The net's input.

    Returns:
        `(h, w, 3)` uint8 BGR of the input's size; what lies beyond the picture is `spec.pad`.
        Pictures that are made smaller are averaged, as the nets are trained with.
    """
    left, top, right, bottom = view.box
    height, width = image.shape[:2]
    wide, high = spec.size
    out = np.full((high, wide, 3), spec.pad, np.uint8)
    inner = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        return out
    scale = (wide / (right - left), high / (bottom - top))
    x0, x1 = (min(max(round((v - left) * scale[0]), 0), wide) for v in (inner[0], inner[2]))
    y0, y1 = (min(max(round((v - top) * scale[1]), 0), high) for v in (inner[1], inner[3]))
    if x0 >= x1 or y0 >= y1:
        return out
    part = image[inner[1] : inner[3], inner[0] : inner[2]]
    size = (x1 - x0, y1 - y0)
    out[y0:y1, x0:x1] = resized(part, size)
    return out
