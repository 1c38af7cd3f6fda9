"""YOLOX, and others that share its `[N, A, 5 + classes]` with one anchor a cell.

Source: Ge et al., YOLOX, 2021, and its exported models: centre = (xy + cell) * stride,
size = exp(wh) * stride; objectness and classes have passed the sigmoid.
"""

from functools import partial
from typing import Dict

import numpy as np

from .base import (
    Bound,
    Family,
    Request,
    Rows,
    Signature,
    centre_to_corners,
    grid,
    likely_scores,
    need,
    one_output,
    wanted_classes,
)

STRIDES = ((8, 16, 32), (8, 16, 32, 64))


def _bind(signature: Signature, kind: str) -> Bound:
    output = one_output(signature, 3)
    _, anchors, columns = output.shape
    strides = next((s for s in STRIDES if signature.cells(s) == anchors), None)
    need(strides, f"{anchors} anchors are not one for each cell of strides 8, 16, 32")
    need(columns and columns > 5, f"{columns} columns leave none for classes")
    assert strides is not None and columns is not None
    decode = partial(_decode_raw, output.name, strides)
    if kind != "yolox":
        decode = partial(decode_objectness, output.name)
    plausible = partial(_plausible, output.name, strides, signature.size, kind)
    return Bound(decode, columns - 5, plausible)


def _candidates(table: np.ndarray, request: Request):
    """Of the rows that count their indices, `(k, 5 + classes)` values, scores and classes.

    It takes few steps rather than little arithmetic: right after a run of the graph nothing is in
    the CPU's cache, and each step costs more than what it works on.
    """
    rows = (~(table[:, 4] < request.confidence)).nonzero()[0]  # a class score is at most 1
    few = table[rows]
    if not rows.size:
        return rows, few, np.zeros(0, np.float32), rows
    classes = few[:, 5:].argmax(axis=1)
    scores = few[:, 5:].max(axis=1) * few[:, 4]
    good = ~(scores < request.confidence)
    if request.keep is not None:
        good &= wanted_classes(classes, request.keep)
    if good.all():
        return rows, few, scores, classes
    return rows[good], few[good], scores[good], classes[good]


def _decode_raw(name: str, strides, outputs: Dict[str, np.ndarray], request: Request) -> Rows:
    rows, few, scores, classes = _candidates(outputs[name][0], request)
    points, steps = grid(request.size, strides)
    step = steps[rows]
    extent = np.exp(few[:, 2:4]) * step
    return Rows(centre_to_corners(few[:, :2] * step + points[rows], extent), scores, classes)


def decode_objectness(name: str, outputs: Dict[str, np.ndarray], request: Request) -> Rows:
    """`[1, A, 5 + classes]` of centres and sizes in pixels, objectness and class scores."""
    _, few, scores, classes = _candidates(outputs[name][0], request)
    return Rows(centre_to_corners(few[:, :2], few[:, 2:4]), scores, classes)


def _plausible(name: str, strides, size, kind: str, outputs: Dict[str, np.ndarray]) -> bool:
    """Do the values look like scores, and do the centres lie in cells or in pixels?"""
    table = outputs[name][0]
    if not likely_scores(table[:, 4:]):
        return False
    points, steps = grid(size, strides, 0.5)
    # Cells along the left and top edge are near 0 either way and tell nothing.
    inner = (points > 4 * steps).all(axis=1)
    if not inner.any():
        return True
    centre, points, steps = table[inner, :2], points[inner], steps[inner]
    in_pixels = np.nanmedian(np.abs(centre - points) / steps) < 2
    in_cells = np.nanmedian(np.abs(centre - 0.5)) < 2
    if kind == "yolox":
        return bool(in_cells and not in_pixels)
    # YOLOv6 has no objectness: its exports write 1 there.
    constant = bool((np.abs(table[:, 4] - 1) < 1e-6).all())
    return bool(in_pixels and not in_cells and constant == (kind == "yolov6"))


YOLOX = Family(
    name="yolox",
    layout="one [N, A, 5 + classes], raw: cell offsets, log sizes, objectness, class scores; "
    "an anchor for each cell of strides 8, 16, 32",
    bind=partial(_bind, kind="yolox"),
    input={"colour": "bgr", "scale": 1.0, "resize": "letterbox", "pad": 114},
    nms_iou=0.45,
)
YOLOX_DECODED = Family(
    name="yolox-decoded",
    layout="one [N, A, 5 + classes] in pixels: centre, size, objectness, class scores; "
    "an anchor for each cell of strides 8, 16, 32",
    bind=partial(_bind, kind="yolox-decoded"),
    input=YOLOX.input,
    nms_iou=0.45,
)
YOLOV6 = Family(
    name="yolov6",
    layout="as yolox-decoded, with an objectness of 1 everywhere",
    bind=partial(_bind, kind="yolov6"),
    input={"colour": "rgb", "scale": 1 / 255, "resize": "centre", "pad": 114},
    nms_iou=0.45,
)
