"""How right a detector is: COCO average precision, and recall and precision on a video.

python -m edgelane.benchmarks.detector --model M --annotations J --images DIR [--json]
python -m edgelane.benchmarks.detector --model M --video V --truth GT --truth-width 768
"""

import argparse
import contextlib
import io
import json
import os
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..core import DataError, Detections, MissingDependency, UsageError
from ..runtime.model import Model, load_model
from ..runtime.sources.base import load_cv2


def average_precision(
    model: Model, annotations: str, images: str, names: Optional[Sequence[str]] = None
) -> Dict[str, Any]:
    """COCO box average precision over the classes that the model knows.

    Args:
        model: The detector, with a low confidence (0.01) and NMS at 0.65 for published figures.
        annotations: COCO instances JSON. A category is a class of the same name.
        images: Folder of its images.
        names: Names of the model's classes, where it does not say them itself.

    Returns:
        `ap` (IoU 0.50 to 0.95), `ap50`, `ap75`, `ap_small`, `ap_medium`, `ap_large`, `images`,
        and `classes` with the AP of each.

    Raises:
        DataError: An image cannot be read, or no category is among the classes.
        MissingDependency: No evaluator is installed.
    """
    coco_class, evaluator_class = _evaluator()
    cv2 = load_cv2()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_class(annotations)
    classes = list(names or model.classes)
    by_name = {category["name"]: category["id"] for category in coco.loadCats(coco.getCatIds())}
    category_of = {i: by_name[name] for i, name in enumerate(classes) if name in by_name}
    if not category_of:
        raise DataError(
            "none of the model's classes is a category of the annotations",
            got=", ".join(classes[:5]) or "no names",
            expected=", ".join(sorted(by_name)[:5]) + ", …",
            remedy="name the model's classes with --names",
        )
    rows: List[Dict[str, Any]] = []
    ids = coco.getImgIds()
    for info in coco.loadImgs(ids):
        path = os.path.join(images, info["file_name"])
        image = cv2.imread(path)
        if image is None:
            raise DataError(f"{path} cannot be read as an image")
        found = model(image)
        order = np.argsort(-found.score, kind="stable")[:100]
        for row in order:
            category = category_of.get(int(found.class_id[row]))
            if category is not None:
                left, top, right, bottom = (float(v) for v in found.xyxy[row])
                rows.append(
                    {
                        "image_id": info["id"],
                        "category_id": category,
                        "bbox": [left, top, right - left, bottom - top],
                        "score": float(found.score[row]),
                    }
                )
    if not rows:
        return {"ap": 0.0, "ap50": 0.0, "images": len(ids), "classes": {}}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = evaluator_class(coco, coco.loadRes(rows), "bbox")
        evaluator.params.imgIds = ids
        evaluator.params.catIds = sorted(set(category_of.values()))
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    keys = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    result: Dict[str, Any] = {k: float(v) for k, v in zip(keys, evaluator.stats)}
    result["images"] = len(ids)
    # precision is (IoU thresholds, recalls, classes, areas, most detections)
    precision = evaluator.eval["precision"][:, :, :, 0, -1]
    result["classes"] = {}
    of_category = {c: classes[i] for i, c in category_of.items()}
    for k, category in enumerate(evaluator.params.catIds):
        values = precision[:, :, k]
        values = values[values > -1]
        if values.size:
            result["classes"][of_category[category]] = float(values.mean())
    return result


def _evaluator() -> Tuple[Any, Any]:
    try:
        from faster_coco_eval import COCO, COCOeval_faster

        return COCO, COCOeval_faster
    except ImportError:
        pass
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingDependency(
            "no COCO evaluator is installed", remedy="run: pip install faster-coco-eval"
        ) from None
    return COCO, COCOeval


def recall_precision(
    model: Model,
    video: str,
    truth: str,
    truth_width: Optional[float] = None,
    confidence: float = 0.3,
    iou: float = 0.5,
) -> Dict[str, float]:
    """Share of true boxes that are found, and of found boxes that are true, over a video.

    In each frame detections take, best score first, the true box that they overlap most, if that
    is at least `iou` and still free.

    Args:
        model: The detector; its classes should be those of the truth.
        video: Video file, whose first frame is number 1 of the truth.
        truth: MOTChallenge rows `frame,id,left,top,width,height,…`; frames after its last are
            left out.
        truth_width: Width in pixels of the pictures that the truth was drawn in, where it is not
            that of the video.
        confidence: Score from which detections count.
        iou: Overlap from which a detection is right.

    Returns:
        `recall`, `precision`, `frames`, `truth` and `found` (numbers of boxes).
    """
    table = np.loadtxt(truth, delimiter=",", ndmin=2)
    by_frame: Dict[int, List[np.ndarray]] = defaultdict(list)
    for row in table:
        left, top, width, height = row[2:6]
        by_frame[int(row[0])].append(np.array([left, top, left + width, top + height]))
    cv2 = load_cv2()
    capture = cv2.VideoCapture(video)
    right = found = wanted = frames = 0
    for number in range(1, int(table[:, 0].max()) + 1):
        good, image = capture.read()
        if not good:
            break
        frames += 1
        scale = image.shape[1] / truth_width if truth_width else 1.0
        boxes = np.asarray(by_frame.get(number, []), float).reshape(-1, 4) * scale
        detections: Detections = model(image)
        detections = detections.select(detections.score >= confidence)
        wanted += len(boxes)
        found += len(detections)
        right += _matches(detections, boxes, iou)
    capture.release()
    if not frames:
        raise DataError(f"{video} gives no frames")
    return {
        "recall": right / max(wanted, 1),
        "precision": right / max(found, 1),
        "frames": frames,
        "truth": wanted,
        "found": found,
    }


def _matches(detections: Detections, boxes: np.ndarray, iou: float) -> int:
    if not len(boxes):
        return 0
    free = np.ones(len(boxes), bool)
    right = 0
    for row in np.argsort(-detections.score, kind="stable"):
        box = detections.xyxy[row]
        low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
        overlap = np.where(free, shared / union, 0)
        best = int(overlap.argmax())
        if overlap[best] >= iou:
            free[best] = False
            right += 1
    return right


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m edgelane.benchmarks.detector", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--decoder")
    parser.add_argument("--annotations", help="COCO instances JSON")
    parser.add_argument("--images", help="folder of its images")
    parser.add_argument("--names", help="the model's classes, separated by commas")
    parser.add_argument("--video")
    parser.add_argument("--truth", help="MOTChallenge rows of the video")
    parser.add_argument("--truth-width", type=float)
    parser.add_argument("--classes", default="person", help="classes of the truth of the video")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.video and options.truth:
        names = options.classes.split(",") if options.classes else None
        model = load_model(options.model, decoder=options.decoder, classes=names)
        result: Dict[str, Any] = recall_precision(
            model, options.video, options.truth, options.truth_width
        )
    elif options.annotations and options.images:
        model = load_model(options.model, decoder=options.decoder, confidence=0.01)
        if model.card.nms_iou is not None:
            model = model.variant(nms_iou=0.65)
        names = options.names.split(",") if options.names else None
        result = average_precision(model, options.annotations, options.images, names)
    else:
        raise UsageError(
            "nothing to measure on",
            expected="--annotations and --images, or --video and --truth",
        )
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for key, value in result.items():
            if not isinstance(value, dict):
                print(
                    f"{key:<12} {value:.3f}" if isinstance(value, float) else f"{key:<12} {value}"
                )
    return result


if __name__ == "__main__":
    main()
