"""Our INT8 against onnxruntime's: accuracy, time and memory, in one run.

    python -m edgelane.benchmarks.calibration
    python -m edgelane.benchmarks.calibration --quick --models yolox_nano_416

Accuracy: each model is calibrated on every other picture and judged on the rest, and the other way
round; the detections of both halves together are scored against the labels, so no picture is
judged by a model that it calibrated. F1 is the agreement of detections with the float model's on a
video, mean of both. Under `lint` stands how many faults `edgelane lint` finds. Time and peak
memory: all pictures, a process of its own for each.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..calibration.accuracy import Evaluation, agreement, frames, load_coco, paired_interval
from ..calibration.accuracy.boxes import score_boxes, shared_classes, top
from ..calibration.accuracy.oks import PoseFound, score_poses
from ..calibration.accuracy.poses import load_poses
from ..calibration.graph import read_model
from ..calibration.lint import lint
from ..calibration.quantise import int8_share
from ..core import EdgelaneError
from ..runtime.model import load_model
from ..runtime.pose import load_pose, pose_score
from .quantisers import RIVALS, measure

DATA = Path("../shared/data")
OURS = "edgelane"
PLAIN = "edgelane/percentile"
"""Ours as far as onnxruntime goes: ranges from histograms, without a search by outputs."""
CONFIDENCE, NMS_IOU = 0.01, 0.65

Found = List[Any]


@dataclasses.dataclass
class Task:
    """Pictures and labels that models of one task are calibrated and judged on.

    Attributes:
        images: Pictures, sorted.
        labels: Folder of labels that crops are cut by; None for whole pictures.
        find: From a model file and indices of pictures to what it finds in them.
        score: From what was found in all pictures, and a model, to an evaluation.
    """

    images: List[Path]
    labels: Optional[Path]
    find: Callable[[Path, Sequence[int]], Found]
    score: Callable[[Found, Path], Evaluation]


def boxes_task(images: Path, annotations: Path, most: Optional[int]) -> Task:
    """Detectors on labelled pictures."""
    dataset = load_coco(annotations, images)
    dataset = dataset.select(range(min(len(dataset), most or len(dataset))))

    def find(path: Path, rows: Sequence[int]) -> Found:
        with load_model(path) as model:
            low = model.variant(
                confidence=CONFIDENCE, nms_iou=None if model.card.nms_iou is None else NMS_IOU
            )
            return [top(low(dataset.pictures[row].read())) for row in rows]

    def score(found: Found, path: Path) -> Evaluation:
        with load_model(path) as model:
            names = list(model.classes) or ["person"]
        if len(names) == 1 and names[0].lower() not in dataset.categories:
            names = ["person"]  # a net of one class that calls it by another word
        return score_boxes(found, dataset, shared_classes(names, dataset))

    return Task([Path(p.path) for p in dataset.pictures], None, find, score)


def poses_task(images: Path, labels: Path, most: Optional[int]) -> Task:
    """Pose nets on labelled boxes."""
    pictures = load_poses(images, labels)[:most]
    read = [picture.read() for picture in pictures]
    truths = []
    for _, truth in read:
        solid = np.all(truth.xyxy[:, 2:] > truth.xyxy[:, :2], axis=1)
        truths.append(truth.select(solid))

    def find(path: Path, rows: Sequence[int]) -> Found:

        with load_pose(path) as model:
            poses = [model(read[row][0], truths[row].xyxy) for row in rows]
        return [PoseFound(p, pose_score(p)) for p in poses]

    def score(found: Found, path: Path) -> Evaluation:
        with load_pose(path) as model:
            sigmas = model.skeleton.sigmas or ()
        return score_poses(truths, found, sigmas, [p.name for p in pictures])

    return Task([Path(p.path) for p in pictures], labels, find, score)


def judge(
    model: Path,
    task: Task,
    quantisers: Sequence[str],
    video: Optional[Path],
    folder: Path,
    tell: Callable[[str], None],
) -> List[Dict[str, Any]]:
    """A row for the float model and one for each quantiser."""
    everything = range(len(task.images))
    halves = [list(everything[0::2]), list(everything[1::2])]
    exact = task.score(task.find(model, everything), model)
    rows: List[Dict[str, Any]] = [{"model": model.stem, "how": "float", **_scores(exact)}]
    places = [_linked(task, half, folder / str(i)) for i, half in enumerate(halves)]
    whole = _linked(task, list(everything), folder / "all")
    labels = None if task.labels is None else str(task.labels)
    for how in quantisers:
        tell(f"{model.stem} {how}")
        row: Dict[str, Any] = {"model": model.stem, "how": how}
        rows.append(row)
        job = {"model": str(model), "labels": labels, "count": 10_000 if labels else 1000}
        cost = measure(how, images=str(whole), out=str(folder / "whole.onnx"), **job)
        row.update(cost)
        if "error" in cost:
            continue
        found: List[Any] = [None] * len(task.images)
        f1 = []
        for other, place in zip(halves[::-1], places):
            out = folder / f"{how.replace('/', '_')}_{place.name}.onnx"
            told = measure(how, images=str(place), out=str(out), **job)
            if "error" in told:
                row.update(told)
                break
            for index, what in zip(other, task.find(out, other)):
                found[index] = what
            if video is not None and task.labels is None:
                with load_model(model) as one, load_model(out) as two:
                    f1.append(agreement(one, two, frames(str(video), every=8)).f1)
            made = read_model(out)
            row["int8_share"], row["findings"] = int8_share(made), len(lint(made))
        if "error" in row:
            continue
        rounded = task.score(found, model)
        row.update(_scores(rounded))
        between = paired_interval(exact, rounded)
        row["drop"] = -100 * between.difference
        row["drop_low"], row["drop_high"] = -100 * between.high, -100 * between.low
        row["f1"] = float(np.mean(f1)) if f1 else None
    return rows


def _scores(evaluation: Evaluation) -> Dict[str, float]:
    second = "OKS_AP50" if evaluation.metric == "OKS_AP" else "AP50"
    return {
        "ap": 100 * evaluation.score,
        "ap50": 100 * evaluation.scores.get(second, float("nan")),
    }


def _linked(task: Task, rows: Sequence[int], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for row in rows:
        path = task.images[row].resolve()
        os.symlink(path, folder / path.name)
    return folder


def table(rows: Sequence[Dict[str, Any]]) -> str:
    """The rows as text; time and memory as multiples of ours."""
    lines = [
        f"{'model':26}{'quantiser':21}{'AP':>7}{'AP50':>7}{'drop':>7}{'(95 %)':>15}{'F1':>7}"
        f"{'INT8 %':>8}{'lint':>6}{'s':>8}{'cpu s':>8}{'MB':>8}{'x time':>8}{'x MB':>7}"
    ]
    ours = {r["model"]: r for r in rows if r["how"] == OURS}
    for row in rows:
        text = f"{row['model']:26}{row['how']:21}"
        if "error" in row:
            lines.append(text + "  " + row["error"])
            continue
        text += f"{row['ap']:7.2f}{row['ap50']:7.2f}"
        if "drop" in row:
            between = f"{row['drop_low']:.2f}..{row['drop_high']:.2f}"
            f1 = "" if row["f1"] is None else f"{row['f1']:.3f}"
            mine = ours.get(row["model"], {})
            text += f"{row['drop']:7.2f}{between:>15}{f1:>7}{100 * row['int8_share']:8.1f}"
            text += f"{row['findings']:6}"
            text += f"{row['seconds']:8.1f}{row['processor_seconds']:8.1f}{row['peak_mb']:8.0f}"
            if "seconds" in mine:
                text += f"{row['seconds'] / mine['seconds']:8.1f}"
                text += f"{row['peak_mb'] / mine['peak_mb']:7.1f}"
        lines.append(text)
    return "\n".join(lines)


def growth(model: Path, task: Task, folder: Path) -> Tuple[float, float]:
    """Our peak memory in MB with an eighth of the pictures, and with all."""
    few = _linked(task, range(0, len(task.images), 8), folder / "few")
    peaks = []
    for place in (few, folder / "all"):
        labels = None if task.labels is None else str(task.labels)
        out = str(folder / "growth.onnx")
        cost = measure(PLAIN, model=str(model), images=str(place), out=out, labels=labels)
        peaks.append(float(cost.get("peak_mb", float("nan"))))
    return peaks[0], peaks[1]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.calibration")
    parser.add_argument("--data", type=Path, default=DATA, help="weights, coco, coco_kp, video")
    parser.add_argument("--models", nargs="+", help="names of weights, or paths; all by default")
    parser.add_argument("--rivals", nargs="*", default=list(RIVALS), choices=RIVALS)
    parser.add_argument("--quick", action="store_true", help="16 pictures, minmax and entropy")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    weights = options.data / "weights"
    models = [
        Path(name) if Path(name).is_file() else weights / f"{name}.onnx"
        for name in options.models or sorted(p.stem for p in weights.glob("*.onnx"))
    ]
    missing = [str(m) for m in models if not m.is_file()]
    if missing or not models:
        parser.error(f"no such model: {', '.join(missing) or weights}")
    most = 16 if options.quick else None
    rivals = [r for r in options.rivals if not options.quick or r != "percentile"]
    video = None if options.quick else options.data / "video" / "vtest_480x360.mp4"
    rows: List[Dict[str, Any]] = []
    notes: List[str] = []
    for model in models:
        task = _task(model, options.data, most)
        with tempfile.TemporaryDirectory() as folder:
            rows += judge(model, task, [OURS, PLAIN, *rivals], video, Path(folder), _tell)
            few, all_of = growth(model, task, Path(folder))
            notes.append(
                f"{model.stem}: {few:.0f} MB with an eighth of the pictures, {all_of:.0f} with all"
            )
    if options.json:
        print(json.dumps({"rows": rows, "notes": notes}, indent=2))
        return 0
    print(table(rows))
    print("\npeak memory of edgelane/percentile\n" + "\n".join(notes))
    return 0


def _task(model: Path, data: Path, most: Optional[int]) -> Task:
    try:
        load_model(model).close()
    except EdgelaneError:
        load_pose(model).close()
        return poses_task(data / "coco_kp" / "images", data / "coco_kp" / "labels", most)
    coco = data / "coco"
    return boxes_task(coco / "train2017", coco / "annotations" / "instances_train2017.json", most)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
