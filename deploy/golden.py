"""The golden clip: what a release must count and see, before it may run.

On recorded detections the pipeline must give the same summary to the last digit. Through the
model, the sure detections of the recording must be found again within what the precision allows,
and nothing sure must be found that was not there.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import msgspec
import numpy as np

from ..core import Detections, Event, ReleaseError, SourceError
from ..pipelines.registry import camera_settings, pipeline_class
from ..runtime.config import CameraConfig, Config, load_config
from ..runtime.loop import Step, Stream, run_loop
from ..runtime.mot import mot_row, read_mot
from ..runtime.opening import open_first
from ..runtime.replay import Replay
from .manifest import CONFIG, Counted, Manifest, Seen, Tolerance
from .pictured import check, first_model

TOLERANCE: Dict[str, Tolerance] = {
    "fp32": Tolerance(overlap=0.95, score=0.02, share=1.0),
    "fp16": Tolerance(overlap=0.9, score=0.05, share=1.0),
    "int8": Tolerance(overlap=0.75, score=0.2, share=0.9),
}
"""What a precision may change in a sure detection: backends sum in another order, FP16 keeps three
digits, and the scales of INT8 are rounded by each TensorRT in its own way."""


class Tested(NamedTuple):
    """How a release answered.

    Attributes:
        cameras: Cameras whose counts were compared.
        events: Events that were compared.
        detections: Sure detections that were compared.
        latency_ms: Median time of a frame, or None without frames.
        answers: Verdicts or classes that were compared, of golden pictures.
    """

    cameras: int
    events: int
    detections: int
    latency_ms: Optional[float]
    answers: int = 0


def count_clip(
    config: Config, camera: CameraConfig, rows: Path, fps: float, size: Tuple[int, int]
) -> Tuple[int, Dict[str, Any]]:
    """Run a camera's pipeline on recorded detections.

    Args:
        config: The config.
        camera: The camera of it.
        rows: MOTChallenge rows.
        fps: Frames a second of the recording.
        size: `(width, height)` of its pictures.

    Returns:
        How many events there were, and the camera's part of `summary.json` as JSON keeps it.
    """
    kind = pipeline_class(config.pipeline, config.folder)
    settings = camera_settings(kind, camera)
    reference = camera.reference_size
    if reference is not None and hasattr(kind, "scale"):
        settings = kind.scale(settings, size[0] / reference[0], size[1] / reference[1])
    pipeline = kind(camera.name, settings, size, config.classes or ())
    source = Replay(read_mot(rows), fps, size, camera.name, confidence=config.confidence or 0.0)
    events: List[Event] = []

    def keep(step: Step) -> None:
        events.extend(step.events)

    run_loop({camera.name: Stream(source, lambda _: pipeline)}, None, None, sinks=[keep])
    answers = msgspec.json.decode(msgspec.json.encode(pipeline.summarise(events)))
    return len(events), answers


def see_frames(
    config: Config, model: Path, frames: Sequence[Path]
) -> Tuple[List[Detections], float, float, str]:
    """Run a model on pictures, down to half its confidence.

    Returns:
        Detections of each, the confidence it is used with, the median time of a frame in
        milliseconds and the precision that its card tells.
    """
    kind = pipeline_class(config.pipeline, config.folder)
    with open_first(config, kind, str(model)) as detector:
        confidence, precision = detector.card.confidence, detector.card.precision
    found, times = [], []
    with open_first(config, kind, str(model), confidence=confidence / 2) as detector:
        for number, path in enumerate(frames):
            image = _picture(path)
            if number == 0:
                detector(image)  # memory is taken and kernels are chosen in the first run
            begun = time.perf_counter()
            found.append(detector(image))
            times.append(1000 * (time.perf_counter() - begun))
    return found, confidence, median(times) if times else 0.0, precision


def _picture(path: Path) -> np.ndarray:
    from ..runtime.sources.base import load_cv2

    cv2 = load_cv2()
    image = None
    try:
        data = np.fromfile(str(path), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except OSError:
        pass
    if image is None:
        raise SourceError(f"the picture {path} cannot be read")
    return image


def rows_of(found: Sequence[Detections]) -> str:
    """Detections of frames as MOTChallenge rows; each float comes back as it was."""
    rows = [
        mot_row(number, -1, d.xyxy[i], float(d.score[i]), int(d.class_id[i]))
        for number, d in enumerate(found, 1)
        for i in range(len(d))
    ]
    return "".join(row + "\n" for row in rows)


def agreement(
    recorded: Detections, found: Detections, confidence: float, tolerance: Tolerance
) -> Tuple[int, int]:
    """How many sure detections of one frame are found again, of how many, on both sides.

    Sure are those above the confidence by more than what a score may differ. Pairs are of one
    class, taken best overlap first.
    """
    low = np.maximum(recorded.xyxy[:, None, :2], found.xyxy[None, :, :2])
    high = np.minimum(recorded.xyxy[:, None, 2:], found.xyxy[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(d.xyxy[:, 2:] - d.xyxy[:, :2]).prod(axis=1) for d in (recorded, found)]
    overlap = shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)
    near = np.abs(recorded.score[:, None] - found.score[None]) <= tolerance.score
    same = recorded.class_id[:, None] == found.class_id[None]
    overlap = np.where(near & same, overlap, 0.0)
    again = [np.zeros(len(recorded), bool), np.zeros(len(found), bool)]
    while overlap.size and overlap.max() >= tolerance.overlap:
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        again[0][row] = again[1][column] = True
        overlap[row] = 0
        overlap[:, column] = 0
    sure = [d.score >= confidence + tolerance.score for d in (recorded, found)]
    matched = sum(int((a & s).sum()) for a, s in zip(again, sure))
    return matched, sum(int(s.sum()) for s in sure)


def check_release(folder: Path, manifest: Manifest, *, model: bool = True) -> Tested:
    """Make a release show that it answers as it did where it was made.

    Args:
        folder: Of the release.
        manifest: What it must answer.
        model: Whether the frames go through the model, too.

    Raises:
        ReleaseError: It counts or sees something else, or is too slow.
        EdgelaneError: It cannot be run at all.
    """
    config = load_config(folder / CONFIG)
    pictured = manifest.golden.pictured
    if pictured is not None:
        model_path = first_model(manifest.models, folder)
        answers, spent = check(config, folder, model_path, pictured)
        return Tested(0, 0, 0, spent, answers)
    events = 0
    for part in manifest.golden.counts:
        camera = config.cameras.get(part.camera)
        if camera is None:
            raise ReleaseError(f"the golden clip is of camera {part.camera!r}, which is not there")
        count, answers = count_clip(config, camera, folder / part.detections, part.fps, part.size)
        if count != part.events or answers != part.answers:
            raise ReleaseError(
                f"the release does not count what it must on the golden clip of {part.camera}",
                **_first_difference(part, count, answers),
            )
        events += count
    seen = manifest.golden.model
    if seen is None or not model:
        return Tested(len(manifest.golden.counts), events, 0, None)
    compared, latency = _check_model(folder, manifest, config, seen)
    return Tested(len(manifest.golden.counts), events, compared, latency)


def _check_model(folder: Path, manifest: Manifest, config: Config, seen: Seen) -> Tuple[int, float]:
    path = next(m.path for m in manifest.models if m.role == "detector")
    frames = [folder / name for name in seen.frames]
    found, _, latency, precision = see_frames(config, folder / path, frames)
    tolerance = seen.tolerance.get(precision) or TOLERANCE.get(precision, TOLERANCE["fp32"])
    rows = folder / seen.detections
    recorded = list(read_mot(rows)) if rows.stat().st_size else []
    recorded += [Detections.empty()] * (len(found) - len(recorded))
    matched = total = 0
    for one, other in zip(recorded, found):
        part = agreement(one, other, seen.confidence, tolerance)
        matched, total = matched + part[0], total + part[1]
    if matched < tolerance.share * total:
        raise ReleaseError(
            f"the model does not see in the golden frames what it must as {precision}",
            got=f"{matched} of {total} detections within {tolerance.score} of their score and "
            f"an overlap of {tolerance.overlap}",
            expected=f"{100 * tolerance.share:.0f} %",
        )
    if seen.latency_ms is not None and latency > seen.latency_ms:
        raise ReleaseError(
            "the model is too slow on this machine",
            got=f"{latency:.1f} ms a frame",
            expected=f"{seen.latency_ms:.1f} ms or less",
        )
    return total, latency


def _first_difference(part: Counted, count: int, answers: Dict[str, Any]) -> Dict[str, Any]:
    for name, wanted in part.answers.items():
        if answers.get(name) != wanted:
            return {"got": f"{name} {answers.get(name)}", "expected": wanted}
    return {"got": f"{count} events", "expected": part.events}
