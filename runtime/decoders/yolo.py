"""The YOLO line with one table of boxes: v5 and v7, v8 and later, and end to end.

Sources: the layouts that exported models of these families have. Boxes are in pixels of the
input, class scores have passed the sigmoid.
"""

import dataclasses
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
    likely_scores,
    need,
    one_output,
    pick,
    wanted_classes,
)
from .yolox import STRIDES, decode_objectness

_INPUT = {"colour": "rgb", "scale": 1 / 255, "resize": "centre", "pad": 114}


def _bind_v5(signature: Signature) -> Bound:
    # Older exports give their raw maps [N, 3, h, w, 5 + classes] beside the table.
    tables = tuple(o for o in signature.outputs if len(o.shape) != 5)
    output = one_output(dataclasses.replace(signature, outputs=tables), 3)
    _, anchors, columns = output.shape
    need(
        any(3 * signature.cells(s) == anchors for s in STRIDES),
        f"{anchors} anchors are not three for each cell of strides 8, 16, 32",
    )
    need(columns and columns > 5, f"{columns} columns leave none for classes")
    assert columns is not None
    need(
        signature.named in (None, columns - 5),
        f"{columns} columns do not hold {signature.named} named classes",
    )
    name = output.name
    return Bound(
        partial(decode_objectness, name),
        columns - 5,
        lambda outputs: likely_scores(outputs[name][0, :, 4:]),
    )


def _bind_v8(signature: Signature) -> Bound:
    output = one_output(signature, 3)
    _, rows, anchors = output.shape
    need(
        any(signature.cells(s) == anchors for s in STRIDES),
        f"{anchors} anchors are not one for each cell of strides 8, 16, 32",
    )
    need(rows and rows > 4, f"{rows} rows leave none for classes")
    assert rows is not None
    need(
        signature.named in (None, rows - 4),
        f"{rows} rows do not hold {signature.named} named classes",
    )
    name = output.name
    return Bound(
        partial(_decode_v8, name),
        rows - 4,
        lambda outputs: likely_scores(outputs[name][0, 4:]),
    )


def _decode_v8(name: str, outputs: Dict[str, np.ndarray], request: Request) -> Rows:
    table = outputs[name][0]
    anchors, scores, classes = pick(table[4:], request, axis=0)
    few = table[:4, anchors].T
    return Rows(centre_to_corners(few[:, :2], few[:, 2:]), scores, classes)


def _bind_end_to_end(signature: Signature) -> Bound:
    output = one_output(signature, 3)
    _, rows, columns = output.shape
    need(columns == 6, f"{columns} columns are not box, score and class")
    # None of them where the number of rows is that of what is found in a black picture.
    need(rows is not None and rows <= 1000, f"{rows} rows are more than suppression leaves")
    name = output.name
    return Bound(
        partial(_decode_end_to_end, name),
        signature.named,
        lambda outputs: _likely_rows(outputs[name][0]),
    )


def _likely_rows(table: np.ndarray) -> bool:
    if not len(table):
        return True
    classes = table[:, 5]
    return (
        likely_scores(table[:, 4])
        and bool((classes >= 0).all())
        and bool((classes == np.round(classes)).all())
        and bool((table[:, 2:4] >= table[:, :2]).all())
    )


def _decode_end_to_end(name: str, outputs: Dict[str, np.ndarray], request: Request) -> Rows:
    table = outputs[name][0]
    return wanted_rows(table[:, :4], table[:, 4], table[:, 5], request)


def wanted_rows(boxes, scores, classes, request: Request) -> Rows:
    """Rows of corners, scores and classes that a model has suppressed itself."""
    good = ~(scores < request.confidence)
    # NaN has no class; the row is told apart by its score or box later on.
    classes = np.nan_to_num(classes).astype(np.int64)
    if request.keep is not None:
        good &= wanted_classes(classes, request.keep)
    return Rows(boxes[good], scores[good], classes[good])


YOLOV5 = Family(
    name="yolov5",
    layout="one [N, A, 5 + classes] in pixels: centre, size, objectness, class scores; "
    "three anchors for each cell of strides 8, 16, 32",
    bind=_bind_v5,
    input=_INPUT,
    nms_iou=0.45,
)
YOLOV8 = Family(
    name="yolov8",
    layout="one [N, 4 + classes, A] in pixels: centre, size, class scores; "
    "an anchor for each cell of strides 8, 16, 32",
    bind=_bind_v8,
    input=_INPUT,
)
END_TO_END = Family(
    name="end-to-end",
    layout="one [N, K, 6] in pixels: left, top, right, bottom, score, class; K up to 1000",
    bind=_bind_end_to_end,
    input=_INPUT,
    nms_iou=None,
)
