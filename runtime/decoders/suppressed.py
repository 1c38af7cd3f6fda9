"""Graphs that end in their own suppression: a count, boxes, scores and classes."""

from typing import Dict

import numpy as np

from .base import Bound, Family, Request, Rows, Signature, need
from .yolo import wanted_rows

_NAMES = (
    ("num_dets", "det_boxes", "det_scores", "det_classes"),
    ("num_dets", "bboxes", "scores", "labels"),
)


def _bind(signature: Signature) -> Bound:
    found = next((f for f in (signature.by_name(*n) for n in _NAMES) if f), None)
    need(found, "the outputs are not called num_dets, det_boxes, det_scores and det_classes")
    assert found is not None
    count_name, boxes_name, scores_name, classes_name = (o.name for o in found)
    need(len(found[1].shape) == 3 and found[1].shape[2] == 4, f"{boxes_name} is not [N, K, 4]")
    need(
        found[2].shape[1:2] == found[1].shape[1:2] == found[3].shape[1:2],
        "boxes, scores and classes are not of one length",
    )

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        boxes = outputs[boxes_name][0]
        count = min(max(int(outputs[count_name].reshape(-1)[0]), 0), len(boxes))
        return wanted_rows(
            boxes[:count],
            outputs[scores_name][0].reshape(-1)[:count],
            outputs[classes_name][0].reshape(-1)[:count],
            request,
        )

    return Bound(decode, signature.named)


SUPPRESSED = Family(
    name="num-dets",
    layout="num_dets [N, 1], det_boxes [N, K, 4] as corners in pixels, det_scores [N, K], "
    "det_classes [N, K]",
    bind=_bind,
    input={"colour": "rgb", "scale": 1 / 255, "resize": "centre", "pad": 114},
    nms_iou=None,
)
