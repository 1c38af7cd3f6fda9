"""Average precision against its reference: the same figures, and how long they take.

python -m edgelane.benchmarks.metrics [--pictures 5000]

Judges made detections of 80 classes by this evaluator, faster-coco-eval and pycocotools, and
draws a paired bootstrap interval of two models.
"""

import argparse
import contextlib
import io
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..calibration.accuracy import Dataset, Picture, paired_interval
from ..calibration.accuracy.boxes import score_boxes
from ..core import Detections

CLASSES = 80
KEYS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")


def make(pictures: int, seed: int = 0) -> Tuple[Dataset, List[Detections]]:
    """Labelled pictures as COCO has them, seven things in each, and what a fair detector finds."""
    rng = np.random.default_rng(seed)
    shown, found, number = [], [], 0
    often = 1 / np.arange(1, CLASSES + 1)
    often /= often.sum()
    for index in range(pictures):
        count = rng.poisson(7.3)
        corner = rng.uniform(0, 500, (count, 2))
        size = np.exp(rng.normal(4, 1, (count, 2)))
        kinds = rng.choice(CLASSES, count, p=often)
        truths = []
        for row in range(count):
            number += 1
            box = [float(np.float32(v)) for v in (*corner[row], *size[row])]
            truths.append(
                {
                    "id": number,
                    "image_id": index,
                    "category_id": int(kinds[row]) + 1,
                    "bbox": box,
                    "area": 0.6 * box[2] * box[3],
                    "iscrowd": int(rng.random() < 0.01),
                }
            )
        shown.append(Picture(index, None, None, tuple(truths)))  # type: ignore[arg-type]
        hit = rng.random(count) < 0.8
        moved = np.hstack([corner, corner + size])[hit]
        moved = moved + rng.normal(0, 0.08, moved.shape) * np.tile(size[hit], 2)
        noise = 60
        start = rng.uniform(0, 500, (noise, 2))
        other = np.hstack([start, start + np.exp(rng.normal(4, 1, (noise, 2)))])
        found.append(
            Detections.cleaned(
                np.vstack([moved, other]),
                np.concatenate([rng.beta(4, 2, len(moved)), rng.beta(1, 6, noise)]),
                np.concatenate([kinds[hit], rng.choice(CLASSES, noise, p=often)]),
            )
        )
    names = {f"class {i}": i for i in range(1, CLASSES + 1)}
    return Dataset("made", names, tuple(shown)), found


def rows_of(found: Sequence[Detections]) -> List[Dict[str, Any]]:
    """Detections as the reference reads them."""
    rows = []
    for index, detections in enumerate(found):
        boxes = detections.xyxy.astype(float)
        boxes[:, 2:] -= boxes[:, :2]
        for box, score, kind in zip(boxes, detections.score, detections.class_id):
            rows.append(
                {
                    "image_id": index,
                    "category_id": int(kind) + 1,
                    "bbox": box.tolist(),
                    "score": float(score),
                }
            )
    return rows


def reference(library: str, dataset: Dataset, rows: List[Dict[str, Any]]) -> Dict[str, float]:
    """The same figures by another library."""
    with contextlib.redirect_stdout(io.StringIO()):
        if library == "pycocotools":
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval as Evaluator
        else:
            from faster_coco_eval import COCO
            from faster_coco_eval import COCOeval_faster as Evaluator
        coco = COCO()
        coco.dataset = {
            "images": [{"id": p.id} for p in dataset.pictures],
            "annotations": [dict(a) for p in dataset.pictures for a in p.annotations],
            "categories": [{"id": i, "name": n} for n, i in dataset.categories.items()],
        }
        coco.createIndex()
        evaluator = Evaluator(coco, coco.loadRes(rows), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(KEYS, (float(v) for v in evaluator.stats)))


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m edgelane.benchmarks.metrics", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("--pictures", type=int, default=5000)
    options = parser.parse_args(arguments)
    dataset, found = make(options.pictures)
    kinds = {i: i + 1 for i in range(CLASSES)}
    began = time.process_time()
    ours = score_boxes(found, dataset, kinds)
    spent = time.process_time() - began
    count = sum(len(d) for d in found)
    print(f"{options.pictures} pictures, {count} detections, {CLASSES} classes; seconds of CPU")
    print(f"{'edgelane':<18}{spent:8.2f} s  AP {ours.score:.5f}")
    for library in ("faster_coco_eval", "pycocotools"):
        try:
            rows = rows_of(found)
            began = time.process_time()
            theirs = reference(library, dataset, rows)
            spent = time.process_time() - began
        except ImportError:
            print(f"{library:<18} is not installed")
            continue
        apart = max(abs(theirs[k] - ours.scores[k]) for k in KEYS)
        print(f"{library:<18}{spent:8.2f} s  AP {theirs['AP']:.5f}, apart at most {apart:.1e}")
    rng = np.random.default_rng(1)
    worse = [
        Detections.cleaned(d.xyxy + rng.normal(0, 1, d.xyxy.shape), d.score, d.class_id)
        for d in found
    ]
    other = score_boxes(worse, dataset, kinds)
    began = time.process_time()
    interval = paired_interval(ours, other)
    spent = time.process_time() - began
    print(
        f"{'paired interval':<18}{spent:8.2f} s  1000 draws: {100 * interval.difference:.3f} "
        f"points, {100 * interval.low:.3f} to {100 * interval.high:.3f}"
    )


if __name__ == "__main__":
    main()
