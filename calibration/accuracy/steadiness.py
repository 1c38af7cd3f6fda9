"""How steady poses are in time, and how far two nets' poses are from each other."""

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence

import numpy as np

from ...core import DataError
from ...runtime.pose import PoseModel
from .oks import PoseTruth, oks
from .poses import PosePicture

FRAMES = 20
NOISE = 2.0
BOX_NOISE = 0.01
LEAST = 0.2


def jitter(keypoints: np.ndarray, heights: np.ndarray, least: float = LEAST) -> float:
    """How much the points of still people tremble.

    Args:
        keypoints: `(t, n, k, 3)` of the same n people in t frames.
        heights: `(n,)` heights of the people in pixels.
        least: Points that score less in any frame are left out.

    Returns:
        Root mean square of a point's step from frame to frame, as a share of the person's
        height; NaN where no point is left.
    """
    points = np.asarray(keypoints, np.float64)
    if points.ndim != 4 or len(points) < 2 or points.shape[1] != len(heights):
        raise DataError(
            "jitter is measured on the same people in several frames",
            got=f"{points.shape} and {len(heights)} heights",
            expected="(t, n, k, 3) and (n,), t above 1",
        )
    counted = (points[..., 2] >= least).all(axis=0)
    steps = np.diff(points[..., :2], axis=0) / np.asarray(heights, np.float64)[:, None, None]
    square = (steps**2).sum(axis=3).mean(axis=0)
    return float(np.sqrt(square[counted].mean())) if counted.any() else float("nan")


def still_people(
    model: PoseModel,
    pictures: Iterable[PosePicture],
    smooth: Callable[[int], Callable[..., np.ndarray]],
    frames: int = FRAMES,
    fps: float = 10.0,
    noise: float = NOISE,
    box_noise: float = BOX_NOISE,
    seed: int = 0,
) -> Dict[str, float]:
    """Jitter on people who stand as still as a photograph: each picture is shown again and again
    with the noise of a sensor, and its boxes tremble as a detector's do.

    Args:
        model: The net.
        pictures: Labelled pictures.
        smooth: From the number of points to a filter that is called as
            `pipelines.pose.OneEuro` is.
        frames: How often each picture is shown.
        fps: At which rate, for the filter.
        noise: Standard deviation of each pixel's noise in grey levels.
        box_noise: Standard deviation of the boxes' edges, as a share of the box.
        seed: Of the noise.

    Returns:
        `jitter` and `jitter_smoothed`, as `jitter` gives them, over all people.
    """
    random = np.random.default_rng(seed)
    total = {"jitter": [0.0, 0], "jitter_smoothed": [0.0, 0]}
    for picture in pictures:
        image, truth = picture.read()
        boxes = truth.xyxy[(truth.xyxy[:, 2:] > truth.xyxy[:, :2]).all(axis=1)]
        if not len(boxes):
            continue
        extent = boxes[:, 2:] - boxes[:, :2]
        keep, raw, steady = smooth(len(model.skeleton)), [], []
        for frame in range(frames):
            grey = random.normal(0, noise, image.shape).astype(np.float32)
            shown = np.clip(image + grey, 0, 255).astype(np.uint8)
            shake = random.normal(0, box_noise, boxes.shape) * np.tile(extent, 2)
            poses = model(shown, boxes + shake)
            raw.append(poses)
            steady.append(keep(list(range(1, len(boxes) + 1)), poses, extent[:, 1], frame / fps))
        for name, series in (("jitter", raw), ("jitter_smoothed", steady)):
            value = jitter(np.array(series), extent[:, 1])
            if value == value:
                total[name][0] += len(boxes) * value**2
                total[name][1] += len(boxes)
    return {
        name: float(np.sqrt(square / count)) if count else float("nan")
        for name, (square, count) in total.items()
    }


def drift(
    model: PoseModel, against: PoseModel, pictures: Iterable[PosePicture], least: float = LEAST
) -> Dict[str, Any]:
    """How far a net's poses are from those of the one it was made from: INT8 or FP16 from FP32.

    Args:
        model: The net.
        against: The one that is taken as right, of the same skeleton.
        pictures: Pictures with boxes.
        least: Points that score less with `against` are left out.

    Returns:
        `mean` and `p95`, the distance of the points as a share of the box's longer side;
        `oks`, the mean similarity of the poses; `score`, the mean difference of the points'
        scores; and `points`, how many were compared.

    Raises:
        DataError: The skeletons differ.
    """
    if model.skeleton.names != against.skeleton.names:
        raise DataError(
            "only nets of the same points can be compared",
            got=f"{len(model.skeleton)} points",
            expected=f"the {len(against.skeleton)} points of the other",
        )
    off: List[np.ndarray] = []
    score: List[np.ndarray] = []
    alike: List[float] = []
    for picture in pictures:
        image, truth = picture.read()
        boxes = truth.xyxy[(truth.xyxy[:, 2:] > truth.xyxy[:, :2]).all(axis=1)]
        one, two = model(image, boxes), against(image, boxes)
        counted = two[..., 2] >= least
        side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, None]
        off.append((np.hypot(*np.moveaxis(one - two, -1, 0)[:2]) / side)[counted])
        score.append((one - two)[..., 2][counted])
        if against.skeleton.sigmas and len(boxes):
            seen = two.astype(np.float64)
            seen[..., 2] = counted
            same = oks(PoseTruth(seen, boxes), one, against.skeleton.sigmas)
            alike += np.diag(same)[counted.any(axis=1)].tolist()
    distance = np.concatenate(off or [np.zeros(0)])
    if not distance.size:
        raise DataError("no point was found that two nets could be compared by")
    return {
        "mean": float(distance.mean()),
        "p95": float(np.quantile(distance, 0.95)),
        "oks": float(np.mean(alike)) if alike else float("nan"),
        "score": float(np.concatenate(score).mean()),
        "points": int(distance.size),
    }


class Happening(NamedTuple):
    """Something that happened, for `event_scores`.

    Attributes:
        kind: What.
        start: Seconds.
        end: Seconds; the start for a moment.
        who: Whose it is, or None where that does not count.
    """

    kind: str
    start: float
    end: float
    who: Any = None


def event_scores(
    truth: Sequence[Happening], found: Sequence[Happening], tolerance_s: float = 0.5
) -> Dict[str, Dict[str, float]]:
    """Precision and recall of events, by kind.

    A found event is right if it overlaps a true one of its kind (and of the same `who`), widened
    by the tolerance; each true one counts once, and of several found ones the first takes it.

    Args:
        truth: What happened.
        found: What was told.
        tolerance_s: Seconds that an event may be told early or late.

    Returns:
        For each kind and for `all`: `precision` and `recall` in 0..1, NaN without any event to
        divide by, and the counts `right`, `found` and `truth`.
    """
    kinds = sorted({event.kind for event in [*truth, *found]})
    result: Dict[str, Dict[str, float]] = {}
    for kind in kinds:
        open_ones = sorted((e for e in truth if e.kind == kind), key=lambda e: (e.start, e.end))
        told = sorted((e for e in found if e.kind == kind), key=lambda e: (e.start, e.end))
        wanted, right = len(open_ones), 0
        for event in told:
            for at, true in enumerate(open_ones):
                if (
                    true.who == event.who
                    and event.start <= true.end + tolerance_s
                    and event.end >= true.start - tolerance_s
                ):
                    del open_ones[at]
                    right += 1
                    break
        result[kind] = _shares(right, len(told), wanted)
    parts = list(result.values())
    result["all"] = _shares(
        *(int(sum(part[name] for part in parts)) for name in ("right", "found", "truth"))
    )
    return result


def _shares(right: int, found: int, truth: int) -> Dict[str, float]:
    nan = float("nan")
    return {
        "precision": right / found if found else nan,
        "recall": right / truth if truth else nan,
        "right": right,
        "found": found,
        "truth": truth,
    }
