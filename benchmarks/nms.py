"""Our suppression against OpenCV's and a loop over numpy rows: same boxes kept, how fast.

python -m edgelane.benchmarks.nms
"""

import argparse
import json
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..runtime.nms import nms
from ..runtime.sources.base import load_cv2
from .timing import median_ms


def crowd(count: int, objects: int, classes: int, seed: int = 0) -> Tuple[np.ndarray, ...]:
    """Boxes as a detector gives them: several jittered ones around each object.

    Returns:
        `(count, 4)` float32 boxes, `(count,)` float32 scores, `(count,)` int64 classes.
    """
    random = np.random.default_rng(seed)
    centre = random.uniform(20, 620, (objects, 2))
    size = np.stack((random.uniform(15, 60, objects), random.uniform(40, 150, objects)), 1)
    kind = random.integers(0, classes, objects)
    of = random.integers(0, objects, count)
    middle = centre[of] + random.normal(0, 0.12, (count, 2)) * size[of]
    extent = size[of] * random.lognormal(0, 0.1, (count, 2))
    boxes = np.concatenate((middle - extent / 2, middle + extent / 2), 1).astype(np.float32)
    return boxes, random.uniform(0.05, 0.95, count).astype(np.float32), kind[of]


def greedy(boxes, scores, class_id, iou: float) -> np.ndarray:
    """The plain definition, a row at a time."""
    order = np.argsort(-scores, kind="stable")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: List[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        overlap = shared / (area[best] + area[rest] - shared)
        order = rest[~((overlap > iou) & (class_id[rest] == class_id[best]))]
    return np.asarray(kept, np.int64)


def _opencv(boxes, scores, class_id, iou: float) -> np.ndarray:
    dnn = load_cv2().dnn
    wide = boxes.copy()
    wide[:, 2:] -= wide[:, :2]
    return np.asarray(dnn.NMSBoxesBatched(wide, scores, class_id, 0.0, iou)).reshape(-1)


def measure(
    counts: Sequence[int] = (50, 300, 1000), iou: float = 0.6, seconds: float = 0.5
) -> List[Dict[str, Any]]:
    """Median milliseconds of each implementation on one and on ten classes.

    Args:
        counts: Numbers of boxes.
        iou: Overlap above which a box goes.
        seconds: How long each is repeated.
    """
    rivals = {"edgelane": nms, "opencv": _opencv, "greedy": greedy}
    rows = []
    for classes in (1, 10):
        for count in counts:
            boxes, scores, kinds = crowd(count, max(count // 5, 1), classes)
            row: Dict[str, Any] = {"boxes": count, "classes": classes}
            for name, rival in rivals.items():
                row[name] = median_ms(partial(rival, boxes, scores, kinds, iou), seconds)
            row["kept"] = len(nms(boxes, scores, kinds, iou))
            row["same"] = bool(
                np.array_equal(nms(boxes, scores, kinds, iou), greedy(boxes, scores, kinds, iou))
            )
            rows.append(row)
    return rows


def main(arguments: Optional[Sequence[str]] = None) -> List[Dict[str, Any]]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.nms")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = measure()
    if options.json:
        print(json.dumps(rows, indent=2))
        return rows
    print("boxes classes  kept  edgelane    opencv    greedy   ms (median)")
    for row in rows:
        print(
            f"{row['boxes']:5} {row['classes']:7} {row['kept']:5}  {row['edgelane']:8.3f}"
            f"  {row['opencv']:8.3f}  {row['greedy']:8.3f}"
            + ("" if row["same"] else "  results differ")
        )
    return rows


if __name__ == "__main__":
    main()
