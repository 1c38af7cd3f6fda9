"""How right a detector of people is, on stores that no training saw and on real video.

python -m edgelane.export.zoo.evaluate --model M [--seeds 1:21] [--frames 20] [--room wide]
python -m edgelane.export.zoo.evaluate --model M --video V --truth gt.txt --truth-width 768
python -m edgelane.export.zoo.evaluate --model M --annotations J --images DIR

With --stamp NAME the figures are also noted in the model's card.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from ...core import DataError, ModelCard, UsageError
from ...core.card import METADATA_KEY
from ...runtime.model import load_model
from ...runtime.onnx_metadata import read_metadata, write_metadata
from ...runtime.sources.base import load_cv2
from ...runtime.synth import open_scene
from .pictures import unseen

VISIBLE = 0.25
"""Whoever is visible to a smaller share is neither to be found nor wrong."""

_LOWEST = 0.01
_IOUS = np.arange(0.5, 0.96, 0.05)


class Scored(NamedTuple):
    """One frame: its true boxes, those that are ignored, and what was found.

    Attributes:
        truth: `(n, 4)`.
        ignored: `(k, 4)`.
        boxes: `(m, 4)`, best score first.
        score: `(m,)`.
    """

    truth: np.ndarray
    ignored: np.ndarray
    boxes: np.ndarray
    score: np.ndarray


def overlaps(a: np.ndarray, b: np.ndarray, of_first: bool = False) -> np.ndarray:
    """`(n, m)` intersections over unions of corner boxes, or over the areas of the first."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = (a[:, 2:] - a[:, :2]).prod(axis=1)[:, None]
    if of_first:
        return shared / np.maximum(area, 1e-9)
    other = (b[:, 2:] - b[:, :2]).prod(axis=1)[None]
    return shared / np.maximum(area + other - shared, 1e-9)


def matches(frame: Scored, iou: float) -> np.ndarray:
    """`(m,)`: 1 right, 0 wrong, -1 neither: mostly on somebody who is ignored.

    Each found box takes, best score first, the free true box that it overlaps most; COCO's rule.
    """
    result = np.zeros(len(frame.boxes), np.int64)
    free = np.ones(len(frame.truth), bool)
    table = overlaps(frame.boxes, frame.truth)
    beside = overlaps(frame.boxes, frame.ignored, of_first=True)
    for k in range(len(frame.boxes)):
        row = np.where(free, table[k], 0.0)
        if row.size and row.max() >= iou:
            free[row.argmax()] = False
            result[k] = 1
        elif beside.shape[1] and beside[k].max() >= iou:
            result[k] = -1
    return result


def average_precision(frames: Sequence[Scored], iou: float) -> float:
    """Precision averaged over 101 recalls, as COCO does. 0 where nobody is to be found."""
    total = sum(len(frame.truth) for frame in frames)
    if not total or not frames:
        return 0.0
    right = np.concatenate([matches(frame, iou) for frame in frames])
    score = np.concatenate([frame.score for frame in frames])
    score, right = score[right >= 0], right[right >= 0]
    right = right[np.argsort(-score, kind="stable")]
    hits = np.cumsum(right)
    recall = hits / total
    precision = hits / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101))
    return float(
        np.where(at < len(right), np.append(precision, 0)[np.minimum(at, len(right))], 0).mean()
    )


def figures(frames: Sequence[Scored], confidence: float) -> Dict[str, float]:
    """AP50, AP over IoU 0.50 to 0.95, and recall and precision from a score on."""
    found = truth = right = 0
    for frame in frames:
        sure = frame.score >= confidence
        own = matches(frame._replace(boxes=frame.boxes[sure], score=frame.score[sure]), 0.5)
        right += int((own == 1).sum())
        found += int((own >= 0).sum())
        truth += len(frame.truth)
    return {
        "ap50": round(average_precision(frames, 0.5), 4),
        "ap": round(float(np.mean([average_precision(frames, iou) for iou in _IOUS])), 4),
        "confidence": confidence,
        "recall": round(right / max(truth, 1), 4),
        "precision": round(right / max(found, 1), 4),
        "frames": len(frames),
        "people": truth,
    }


def on_stores(
    model: Any,
    seeds: Sequence[int],
    frames: int,
    visible: float = VISIBLE,
    people: int = 12,
    room: str = "narrow",
) -> Iterator[Scored]:
    """Frames of rendered stores of a kind of room, evenly over their minute.

    Raises:
        UsageError: A seed is one of the training's.
    """
    for seed in unseen(seeds):
        scene = open_scene("store", seed=seed, people=people, room=room)
        for index in np.linspace(0, scene.frames - 1, frames).astype(int).tolist():
            frame, truth = scene.render(index)
            found = model(frame.image)
            seen = truth.visibility >= visible
            yield Scored(truth.xyxy[seen], truth.xyxy[~seen], found.xyxy, found.score)


def on_video(
    model: Any, video: Path, truth: Path, truth_width: Optional[float] = None
) -> Iterator[Scored]:
    """Frames of a video with MOTChallenge ground truth, up to its last frame.

    Args:
        model: The detector.
        video: The file; its first frame is number 1 of the truth.
        truth: Rows `frame,id,left,top,width,height,…`.
        truth_width: Width of the pictures that the truth was drawn in, where it is not the video's.
    """
    table = np.loadtxt(truth, delimiter=",", ndmin=2)
    boxes = np.concatenate((table[:, 2:4], table[:, 2:4] + table[:, 4:6]), axis=1)
    capture = load_cv2().VideoCapture(str(video))
    try:
        for number in range(1, int(table[:, 0].max()) + 1):
            good, image = capture.read()
            if not good:
                if number == 1:
                    raise DataError(f"{video} gives no frames")
                return
            scale = image.shape[1] / truth_width if truth_width else 1.0
            found = model(image)
            own = boxes[table[:, 0] == number] * scale
            yield Scored(own, np.zeros((0, 4)), found.xyxy, found.score)
    finally:
        capture.release()


def on_images(model: Any, annotations: Path, images: Path) -> Iterator[Scored]:
    """The images of a COCO annotation file; its crowds of people are ignored.

    Args:
        model: The detector.
        annotations: Instances JSON with a category `person`.
        images: Folder of the images.
    """
    data = json.loads(annotations.read_text(encoding="utf-8"))
    person = [c["id"] for c in data["categories"] if c["name"] == "person"]
    rows: Dict[int, List[Any]] = {info["id"]: [] for info in data["images"]}
    for note in data["annotations"]:
        if note["category_id"] in person:
            x, y, width, height = note["bbox"]
            rows[note["image_id"]].append((bool(note["iscrowd"]), [x, y, x + width, y + height]))
    for info in data["images"]:
        image = load_cv2().imread(str(images / info["file_name"]))
        if image is None:
            raise DataError(f"{images / info['file_name']} cannot be read as an image")
        found = model(image)
        sets = [
            np.array([box for crowd, box in rows[info["id"]] if crowd == wanted]).reshape(-1, 4)
            for wanted in (False, True)
        ]
        yield Scored(sets[0], sets[1], found.xyxy, found.score)


def milliseconds(model: Any, runs: int = 50) -> float:
    """Median wall time of one run of the graph."""
    width, height = model.card.input.size
    tensor, _ = model.preprocess(np.full((height, width, 3), 114, np.uint8))
    times: List[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        model.infer(tensor)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def evaluate(
    path: Path,
    *,
    seeds: Sequence[int] = tuple(range(1, 21)),
    frames: int = 20,
    visible: float = VISIBLE,
    people: int = 12,
    room: str = "narrow",
    video: Optional[Path] = None,
    truth: Optional[Path] = None,
    truth_width: Optional[float] = None,
    annotations: Optional[Path] = None,
    images: Optional[Path] = None,
    confidence: float = 0.3,
    stamp: Optional[str] = None,
) -> Dict[str, Any]:
    """Measure an ONNX as the runtime uses it.

    Args:
        path: The model.
        seeds: Of stores, none of the training's; of no use with a video.
        frames: Of each store.
        visible: Least visible share for having to be found.
        people, room: As the scene `store` has them.
        video, truth, truth_width: As in `on_video`, to measure on a video instead.
        annotations, images: As in `on_images`, to measure on images instead.
        confidence: Score from which recall and precision count.
        stamp: Note the figures in the model's card under this name.

    Returns:
        `ap50`, `ap`, `recall`, `precision`, `confidence`, `frames`, `people`, and `infer_ms` on
        one core.
    """
    model = load_model(path, classes=["person"], confidence=_LOWEST, threads=1)
    if video is not None:
        if truth is None:
            raise UsageError("a video needs its ground truth", remedy="add --truth gt.txt")
        scored = list(on_video(model, video, truth, truth_width))
        where: Dict[str, Any] = {"video": video.name}
    elif annotations is not None:
        if images is None:
            raise UsageError("annotations need their images", remedy="add --images DIR")
        scored = list(on_images(model, annotations, images))
        where = {"images": annotations.name}
    else:
        scored = list(on_stores(model, seeds, frames, visible, people, room))
        where = {"seeds": f"{min(seeds)} to {max(seeds)}", "visible": visible}
    result = {**where, **figures(scored, confidence)}
    if stamp is not None:
        card = ModelCard.from_json(read_metadata(path)[METADATA_KEY])
        card = dataclasses.replace(card, extra={**card.extra, stamp: result})
        write_metadata(path, {METADATA_KEY: card.to_json()})
    return {**result, "infer_ms": round(milliseconds(model), 2)}


def _range(text: str) -> Sequence[int]:
    first, _, last = text.partition(":")
    return range(int(first), int(last or int(first) + 1))


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure what the command line asks for and print it as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m edgelane.export.zoo.evaluate", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seeds", type=_range, default=range(1, 21), help="FIRST:END")
    parser.add_argument("--frames", type=int, default=20, help="of each store")
    parser.add_argument("--visible", type=float, default=VISIBLE)
    parser.add_argument("--people", type=int, default=12, help="in each store")
    parser.add_argument("--room", default="narrow", help="narrow or wide")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--truth", type=Path, help="MOTChallenge rows of the video")
    parser.add_argument("--truth-width", type=float)
    parser.add_argument("--annotations", type=Path, help="COCO instances JSON")
    parser.add_argument("--images", type=Path, help="folder of its images")
    parser.add_argument("--confidence", type=float, default=0.3)
    parser.add_argument("--stamp", help="note the figures in the card under this name")
    options = vars(parser.parse_args(arguments))
    result = evaluate(options.pop("model"), **options)
    print(json.dumps(result, indent=2))
    return result


if __name__ == "__main__":
    main()
