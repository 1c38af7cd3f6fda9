"""Measures one model in a process of its own, so that its memory is its own.

Reads a task as JSON from stdin and writes the answer as one line of JSON to stdout.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from ...core import Detections, EdgelaneError, Frame, StorageError
from .data import Data
from .stats import summary
from .subjects import Subject, open_subject

WARM_S = 0.4
WARM_FRAMES = 5


def main() -> int:
    """Do what stdin asks for."""
    task = json.loads(sys.stdin.read())
    # Libraries write to stdout as they like; the answer has it to itself.
    answer_to = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = {"time": measure, "accuracy": judge}[task["what"]](task)
    except EdgelaneError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "the memory of this machine is not enough."}
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        out.write(json.dumps(answer) + "\n")
    return 0


def _open(task: Dict[str, Any], data: Data) -> Subject:
    size = task.get("size")
    return open_subject(
        task["path"],
        task["backend"],
        data,
        size=None if size is None else (int(size[0]), int(size[1])),
        task=task.get("task"),
        decoder=task.get("decoder"),
        threads=task.get("threads"),
    )


def measure(task: Dict[str, Any]) -> Dict[str, Any]:
    """Times of one round.

    Whole passes over the same pictures are measured, so that rounds can be compared.

    Args:
        task: `path`, `backend`, `data`, `seconds` to measure at least, and what else
            `open_subject` takes.

    Returns:
        `stages` with `p50`, `p95`, `p99` and `mean` in milliseconds by name, `end_to_end` among
        them, the others also with `of_median`, see there; `frames`; `sum_ratio`, the sum of the
        stages' medians over the median end to end; `fps` of the whole run loop, where boxes are
        counted; `load_ms`; `peak_mb`; `begin` and `end` on the monotonic clock; `task`; `size`.
    """
    data = Data.from_dict(task["data"])
    began = time.perf_counter()
    subject = _open(task, data)
    load_ms = 1e3 * (time.perf_counter() - began)
    try:
        stages = [function for _, function in subject.stages]
        a_pass = len(data.timed)
        spent, count = 0.0, 0
        while spent < WARM_S or count < WARM_FRAMES:
            began = time.perf_counter()
            _frame(stages, count)
            spent, count = spent + time.perf_counter() - began, count + 1
        passes = max(int(np.ceil(float(task["seconds"]) / max(a_pass * spent / count, 1e-6))), 1)
        begin = time.monotonic()
        laps, whole = timed(stages, passes * a_pass)
        end = time.monotonic()
        peak = peak_mb()
        names = [name for name, _ in subject.stages]
        found = {name: summary(laps[:, i]) for i, name in enumerate(names)}
        found["end_to_end"] = summary(whole)
        for name, part in zip(names, of_median(laps, whole)):
            found[name]["of_median"] = float(part)
        total = sum(found[name]["p50"] for name in names)
        return {
            "stages": {n: {k: round(v, 5) for k, v in s.items()} for n, s in found.items()},
            "frames": len(whole),
            "sum_ratio": round(total / max(found["end_to_end"]["p50"], 1e-9), 4),
            "fps": _throughput(subject, data, len(whole), float(np.mean(whole))),
            "load_ms": round(load_ms, 1),
            "peak_mb": peak,
            "begin": begin,
            "end": end,
            "task": subject.task,
            "size": list(subject.size),
        }
    finally:
        subject.close()


def timed(stages: List[Any], count: int) -> Tuple[np.ndarray, np.ndarray]:
    """Run frames through stages and look at the clock in between.

    The clock is read once between two stages, so nothing is lost from the sum but the storing of
    its readings.

    Returns:
        `(count, stages)` seconds of the stages and `(count,)` of the whole.
    """
    clock = time.perf_counter_ns
    laps = np.empty((count, len(stages) + 1), np.int64)
    times = [0] * (len(stages) + 1)
    for index in range(count):
        value: Any = index
        times[0] = clock()
        for number, stage in enumerate(stages, 1):
            value = stage(value)
            times[number] = clock()
        laps[index] = times
    return np.diff(laps, axis=1) * 1e-9, (laps[:, -1] - laps[:, 0]) * 1e-9


def of_median(laps: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """What each stage takes of the median, in milliseconds; they add up to it.

    Medians of stages need not: on a busy machine each frame is held up in another stage, so all of
    their medians are low and that of the whole is not. This is the mean over the fifth of the
    frames whose whole is nearest to the median.

    Args:
        laps: `(n, stages)` seconds.
        whole: `(n,)` seconds.

    Returns:
        `(stages,)` milliseconds.
    """
    median = float(np.median(whole))
    near = np.argsort(np.abs(whole - median), kind="stable")[: max(len(whole) // 5, 1)]
    parts = laps[near].mean(axis=0)
    return 1e3 * parts * median / max(float(parts.sum()), 1e-12)


def _frame(stages: List[Any], index: int) -> None:
    value: Any = index
    for stage in stages:
        value = stage(value)


class _Stills:
    """The pictures as a source for the run loop."""

    live = False

    def __init__(self, read: Any, count: int) -> None:
        self._read = read
        self.frames = count
        self.fps = 10.0
        self.duration = count / self.fps
        first = read(0)
        self.size = (first.shape[1], first.shape[0])
        self.warnings: List[str] = []

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            yield Frame(self._read(index), index / self.fps, "camera", index)


def _throughput(subject: Subject, data: Data, count: int, seconds: float) -> float:
    """Frames a second: of the run loop, whose stages overlap, where it can run the model; of one
    frame after another elsewhere."""
    if subject.task != "detect":
        return round(1 / seconds, 3)
    from ...runtime.loop import Stream, run_loop
    from ..throughput import counting

    source = _Stills(subject.stages[0][1], count)
    classes = subject.model.classes
    stream = Stream(source, lambda size: counting(size, classes))
    return round(run_loop({"camera": stream}, subject.model, None).fps, 3)


def peak_mb() -> Optional[float]:
    """The most memory that this process has held, in MB; None where the kernel does not tell."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    except (OSError, ValueError):
        pass
    return None


def judge(task: Dict[str, Any]) -> Dict[str, Any]:
    """How right the model is, and how far it agrees with the float one.

    Args:
        task: As in `measure`, with `keep`, where to write what was found, and `reference`, what
            the float model has found; each may be None.

    Returns:
        `metric`, `scores` and `notes`, where there are labels; with a reference also `agreement`
        (F1) and `drop` (points lost: `value`, `low`, `high`).
    """
    data = Data.from_dict(task["data"])
    subject = _open(task, data)
    try:
        if subject.task == "pose":
            return _judge_pose(subject, data)
        if subject.task == "classify":
            return _judge_classes(subject, data)
        return _judge_boxes(subject, data, task.get("keep"), task.get("reference"))
    finally:
        subject.close()


def _answer(evaluation: Any) -> Dict[str, Any]:
    return {
        "metric": evaluation.metric,
        "scores": {k: round(float(v), 6) for k, v in evaluation.scores.items()},
        "notes": list(evaluation.notes),
    }


def _judge_pose(subject: Subject, data: Data) -> Dict[str, Any]:
    from ...calibration.accuracy.poses import evaluate_poses, load_poses

    labels = data.labels or data.annotations
    assert labels is not None  # it has been opened with them
    pictures = load_poses(data.images, labels, len(subject.model.skeleton))
    return _answer(evaluate_poses(subject.model, pictures))


def _judge_classes(subject: Subject, data: Data) -> Dict[str, Any]:
    from ...calibration.accuracy import load_coco
    from ...calibration.accuracy.labels import confusion_dict, evaluate_labels, load_class_folders

    if data.kinds:
        dataset = load_class_folders(data.images)
    elif data.annotations is not None:
        dataset = load_coco(data.annotations, data.images)
    else:
        return {"notes": ["there are no labels"]}
    evaluation = evaluate_labels(subject.model, dataset)
    return {**_answer(evaluation), "confusion": confusion_dict(evaluation)}


def _judge_boxes(
    subject: Subject, data: Data, keep: Optional[str], reference: Optional[str]
) -> Dict[str, Any]:
    from ...calibration.accuracy import compare, evaluate, load_coco, paired_interval
    from ...calibration.accuracy.boxes import score_boxes, shared_classes

    model = subject.model
    answer: Dict[str, Any] = {}
    if data.annotations is not None:
        dataset = load_coco(data.annotations, data.images)
        evaluation = evaluate(model, dataset)
        answer = _answer(evaluation)
        found = list(evaluation.found or ())
        if reference is not None:
            theirs = read_found(reference)
            floating = score_boxes(theirs, dataset, shared_classes(list(model.classes), dataset))
            lost = paired_interval(evaluation, floating)
            values = zip(("value", "low", "high"), lost)
            answer["drop"] = {name: round(100 * value, 3) for name, value in values}
    else:
        low = model.variant(confidence=0.01)
        read = subject.stages[0][1]
        found = [low(read(index)) for index in range(len(data.timed))]
        answer = {"notes": ["there are no labels, so no accuracy"]}
    if reference is not None:
        answer["agreement"] = round(compare(zip(read_found(reference), found)).f1, 5)
    if keep is not None:
        try:
            write_found(keep, found)
        except StorageError as error:
            answer.setdefault("notes", []).append(f"its detections were not kept: {error}")
    return answer


def write_found(path: str, found: List[Detections]) -> None:
    """Keep detections of several pictures in one file."""
    import io

    from ...runtime.files import write_whole

    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        count=np.array([len(d) for d in found], np.int64),
        xyxy=np.concatenate([d.xyxy for d in found] or [np.zeros((0, 4), np.float32)]),
        score=np.concatenate([d.score for d in found] or [np.zeros(0, np.float32)]),
        class_id=np.concatenate([d.class_id for d in found] or [np.zeros(0, np.int64)]),
    )
    write_whole(Path(path), buffer.getvalue())


def read_found(path: str) -> List[Detections]:
    """What `write_found` has kept."""
    with np.load(path) as kept:
        ends = np.cumsum(kept["count"])
        xyxy, score, class_id = kept["xyxy"], kept["score"], kept["class_id"]
    starts = np.concatenate(([0], ends[:-1])).astype(int)
    return [Detections(xyxy[a:b], score[a:b], class_id[a:b]) for a, b in zip(starts, ends)]


if __name__ == "__main__":
    sys.exit(main())
