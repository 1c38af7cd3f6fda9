"""Transformers with a set of queries, which need no suppression: RT-DETR, D-FINE, RF-DETR."""

import dataclasses
from functools import partial
from typing import Dict, Tuple

import numpy as np

from .base import (
    Bound,
    Family,
    Request,
    Rows,
    Signature,
    centre_to_corners,
    logit,
    need,
    pick,
    sigmoid,
)
from .yolo import wanted_rows


def _bind_rtdetr(signature: Signature) -> Bound:
    found = signature.by_name("labels", "boxes", "scores")
    need(found, "the outputs are not called labels, boxes and scores")
    assert found is not None
    labels, boxes, scores = found
    queries = boxes.shape[1] if len(boxes.shape) == 3 else None
    need(queries and boxes.shape[2] == 4, "boxes is not [N, queries, 4]")
    need(
        labels.shape[1:] == (queries,) and scores.shape[1:] == (queries,),
        "labels and scores are not [N, queries]",
    )

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        return wanted_rows(outputs["boxes"][0], outputs["scores"][0], outputs["labels"][0], request)

    return Bound(decode, signature.named)


def _bind_logits(signature: Signature, names: Tuple[Tuple[str, str], ...]) -> Bound:
    found = [pair for pair in (signature.by_name(*n) for n in names) if pair]
    need(found, "the outputs are not called " + " or ".join(f"{b} and {s}" for b, s in names))
    boxes, logits = found[0]
    queries = boxes.shape[1] if len(boxes.shape) == 3 else None
    need(queries and boxes.shape[2] == 4, f"{boxes.name} is not [N, queries, 4]")
    need(
        len(logits.shape) == 3 and logits.shape[1] == queries,
        f"{logits.name} is not [N, queries, classes]",
    )
    boxes_name, logits_name = boxes.name, logits.name

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        # The threshold goes to the logits, so that the sigmoid is taken of a few rows only.
        raw = dataclasses.replace(request, confidence=logit(request.confidence))
        rows, scores, classes = pick(outputs[logits_name][0], raw)
        corners = outputs[boxes_name][0, rows] * np.asarray(request.size * 2, np.float32)
        return Rows(centre_to_corners(corners[:, :2], corners[:, 2:]), sigmoid(scores), classes)

    return Bound(decode, logits.shape[2])


_OWN = ("dets", "labels")  # as RF-DETR's own export calls them
_HUB = ("pred_boxes", "logits")  # as conversions of the models on Hugging Face call them

RTDETR = Family(
    name="rt-detr",
    layout="labels [N, Q], boxes [N, Q, 4] as corners in the pixels of orig_target_sizes, "
    "scores [N, Q]; also D-FINE and DEIM",
    bind=_bind_rtdetr,
    input={"colour": "rgb", "scale": 1 / 255, "resize": "stretch"},
    nms_iou=None,
)
RFDETR = Family(
    name="rf-detr",
    layout="dets [N, Q, 4] as centre and size in 0..1, labels [N, Q, classes] as logits; or called "
    "pred_boxes and logits",
    bind=partial(_bind_logits, names=(_OWN, _HUB)),
    input={
        "colour": "rgb",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "resize": "stretch",
    },
    nms_iou=None,
)
DFINE = Family(
    name="d-fine",
    layout="pred_boxes [N, Q, 4] as centre and size in 0..1, logits [N, Q, classes]; of the models "
    "on Hugging Face, the authors' own export is rt-detr's",
    bind=partial(_bind_logits, names=(_HUB,)),
    input={"colour": "rgb", "scale": 1 / 255, "resize": "stretch"},
    nms_iou=None,
)
