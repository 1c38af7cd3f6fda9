"""How right poses are: average precision by object keypoint similarity (OKS), and PCK.

Sources: COCO's key point evaluation, whose figures `oks_ap` gives; Yang and Ramanan, Articulated
Human Detection with Flexible Mixtures of Parts, 2013, for PCK.
"""

from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 20
"""Poses of a picture that count, best first."""
AREAS: Dict[str, Tuple[float, float]] = {
    "ap": (0.0, 1e10),
    "ap_medium": (32.0**2, 96.0**2),
    "ap_large": (96.0**2, 1e10),
}
AREA_OF_BOX = 0.53
"""A person's area as a share of its box, where labels have no masks."""


@dataclass(frozen=True)
class PoseTruth:
    """The labelled poses of one picture, as columns.

    Attributes:
        keypoints: `(n, k, 3)` float64 x, y in pixels and 0 for a point without label, 1 for a
            hidden one, 2 for one that is seen.
        xyxy: `(n, 4)` float64 boxes in pixels.
        area: `(n,)` float64 square pixels; 0.53 of the box unless given.
        crowd: `(n,)` bool, a group labelled as one, which any number of found poses may match.
    """

    keypoints: np.ndarray
    xyxy: np.ndarray
    area: Optional[np.ndarray] = None
    crowd: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        points = np.asarray(self.keypoints, np.float64)
        boxes = np.asarray(self.xyxy, np.float64).reshape(-1, 4)
        n = len(boxes)
        if points.ndim != 3 or points.shape[0] != n or points.shape[2] != 3:
            raise DataError(
                "PoseTruth.keypoints must be x, y, visibility for each point of each box",
                got=points.shape,
                expected=f"({n}, k, 3)",
            )
        area = AREA_OF_BOX * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        if self.area is not None:
            area = np.asarray(self.area, np.float64)
        crowd = np.zeros(n, bool) if self.crowd is None else np.asarray(self.crowd, bool)
        for name, value in (("area", area), ("crowd", crowd)):
            if value.shape != (n,):
                raise DataError(
                    f"PoseTruth.{name} must have one value a pose", got=value.shape, expected=(n,)
                )
            put(self, name, value)
        put(self, "keypoints", points)
        put(self, "xyxy", boxes)

    def __len__(self) -> int:
        return len(self.xyxy)

    @property
    def ignored(self) -> np.ndarray:
        """`(n,)` bool: no mistake to find or to miss, as a crowd or without a labelled point."""
        return np.asarray(self.crowd) | ~(self.keypoints[:, :, 2] > 0).any(axis=1)


class PoseFound(NamedTuple):
    """The poses found in one picture: `(m, k, 3)` in pixels and `(m,)` scores."""

    keypoints: np.ndarray
    score: np.ndarray


def oks(truth: PoseTruth, keypoints: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """How alike found and labelled poses are.

    The mean over the labelled points of `exp(-d² / (2 area (2 sigma)²))`, where `d` is how far
    the found point is off. For a pose without labelled points `d` is how far outside of twice its
    box each point lies, as in COCO's evaluation.

    Args:
        truth: The labelled poses of a picture.
        keypoints: `(m, k, 2 or 3)` in pixels.
        sigmas: One a point.

    Returns:
        `(m, n)` float64 in 0..1.
    """
    sigma = np.asarray(sigmas, np.float64)
    found = np.asarray(keypoints, np.float64)[..., :2]
    _check(found.shape[1], truth.keypoints.shape[1], len(sigma))
    offset = found[:, None] - truth.keypoints[None, :, :, :2]
    seen = truth.keypoints[:, :, 2] > 0
    bare = np.logical_not(seen.any(axis=1))
    if bare.any():
        extent = truth.xyxy[bare, 2:] - truth.xyxy[bare, :2]
        low = (truth.xyxy[bare, :2] - extent)[None, :, None]
        high = (truth.xyxy[bare, 2:] + extent)[None, :, None]
        place = found[:, None]
        offset[:, bare] = np.maximum(0, low - place) + np.maximum(0, place - high)
    area = np.asarray(truth.area) + np.spacing(1)
    distance = (offset**2).sum(axis=3) / (2 * sigma) ** 2 / area[:, None] / 2
    counted = np.where(bare[:, None], True, seen)
    return (np.exp(-distance) * counted).sum(axis=2) / counted.sum(axis=1)


def oks_ap(
    truths: Sequence[PoseTruth], found: Sequence[PoseFound], sigmas: Sequence[float]
) -> Dict[str, float]:
    """COCO's average precision of poses over pictures; the same as pycocotools'.

    Args:
        truths: The labels, picture by picture.
        found: What was found in the same pictures. The best 20 of a picture count.
        sigmas: One a point, see `runtime.pose.Skeleton`.

    Returns:
        `ap` (OKS of 0.50 to 0.95), `ap50`, `ap75`, `ap_medium`, `ap_large`, and `ar`, the
        recall; -1 where there is nothing to find. `poses` and `pictures` are counts.

    Raises:
        DataError: Numbers of pictures or points that differ.
    """
    if len(truths) != len(found):
        raise DataError(
            "poses must be found in as many pictures as are labelled",
            got=len(found),
            expected=len(truths),
        )
    pictures = [_Picture(t, f, sigmas) for t, f in zip(truths, found)]
    result: Dict[str, float] = {}
    for name, limits in AREAS.items():
        precision, recall = _accumulate([p.match(limits) for p in pictures])
        result[name] = _mean(precision)
        if name == "ap":
            result["ap50"], result["ap75"] = _mean(precision[0]), _mean(precision[5])
            result["ar"] = _mean(recall)
    result["poses"] = int(sum((~t.ignored).sum() for t in truths))
    result["pictures"] = len(truths)
    return result


class _Match(NamedTuple):
    """One picture: `(d,)` scores, `(10, d)` whether each found pose is right and whether it is
    not to be counted, and how many poses there are to find."""

    score: np.ndarray
    right: np.ndarray
    uncounted: np.ndarray
    wanted: int


class _Picture:
    """A picture's poses, best first, with their similarities."""

    def __init__(self, truth: PoseTruth, found: PoseFound, sigmas: Sequence[float]) -> None:
        points = np.asarray(found.keypoints, np.float64)
        score = np.asarray(found.score, np.float64)
        if points.size == 0:
            points = points.reshape(0, len(sigmas), 3)
        if points.ndim != 3 or len(points) != len(score):
            raise DataError(
                "found poses must be x, y for each point, and a score each",
                got=f"{points.shape} and {score.shape}",
                expected="(m, k, 3) and (m,)",
            )
        if not np.isfinite(points[..., :2]).all() or not np.isfinite(score).all():
            raise DataError("found poses must be finite numbers")
        order = np.argsort(-score, kind="stable")[:MOST]
        self.truth = truth
        self.score, points = score[order], points[order]
        # COCO takes the box around a found pose for its size.
        extent = np.ptp(points[..., :2], axis=1) if len(points) else np.zeros((0, 2))
        self.area = extent.prod(axis=1)
        self.alike = oks(truth, points, sigmas)

    def match(self, limits: Tuple[float, float]) -> _Match:
        """Found poses take, best first, the free labelled pose that is most alike. One that is
        to be ignored is taken only where no other fits."""
        low, high = limits
        truth, count = self.truth, len(self.score)
        area, crowd = np.asarray(truth.area), np.asarray(truth.crowd)
        ignored = truth.ignored | (area < low) | (area > high)
        right = np.zeros((len(THRESHOLDS), count), bool)
        uncounted = np.zeros((len(THRESHOLDS), count), bool)
        outside = (self.area < low) | (self.area > high)
        for t, threshold in enumerate(THRESHOLDS):
            least = min(threshold, 1 - 1e-10)
            free = np.ones(len(truth), bool)
            for row in range(count):
                fits = free & (self.alike[row] >= least)
                among = fits & ~ignored
                chosen = _last_best(self.alike[row], among if among.any() else fits)
                if chosen is None:
                    uncounted[t, row] = outside[row]
                    continue
                free[chosen] = crowd[chosen]
                uncounted[t, row] = ignored[chosen]
                right[t, row] = not ignored[chosen]
        return _Match(self.score, right, uncounted, int((~ignored).sum()))


def _last_best(values: np.ndarray, among: np.ndarray) -> Optional[int]:
    """The index of the largest value; of equal ones the last, as COCO's evaluation takes it."""
    places = np.flatnonzero(among)
    if not len(places):
        return None
    few = values[places][::-1]
    return int(places[::-1][few.argmax()])


def _accumulate(matches: List[_Match]) -> Tuple[np.ndarray, np.ndarray]:
    """`(10, 101)` precision at each recall and `(10,)` recall, -1 without anything to find."""
    precision = np.full((len(THRESHOLDS), len(RECALLS)), -1.0)
    recall = np.full(len(THRESHOLDS), -1.0)
    wanted = sum(m.wanted for m in matches)
    if not wanted:
        return precision, recall
    order = np.argsort(-np.concatenate([m.score for m in matches]), kind="stable")
    right = np.concatenate([m.right for m in matches], axis=1)[:, order]
    uncounted = np.concatenate([m.uncounted for m in matches], axis=1)[:, order]
    for t in range(len(THRESHOLDS)):
        hits = np.cumsum(right[t]).astype(np.float64)
        misses = np.cumsum(~right[t] & ~uncounted[t]).astype(np.float64)
        reached = hits / wanted
        exact = hits / (hits + misses + np.spacing(1))
        recall[t] = reached[-1] if len(reached) else 0
        # Precision never rises with recall.
        exact = np.maximum.accumulate(exact[::-1])[::-1]
        place = np.searchsorted(reached, RECALLS, side="left")
        there = place < len(exact)
        precision[t] = 0
        precision[t, there] = exact[place[there]]
    return precision, recall


def _mean(values: np.ndarray) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0


def pck(
    truths: Sequence[PoseTruth], found: Sequence[PoseFound], share: float = 0.2
) -> Dict[str, Any]:
    """Share of labelled points that are found near enough (percentage of correct keypoints).

    Args:
        truths: The labels, picture by picture.
        found: A pose for each labelled one, in the same order: for poses looked for in the
            labelled boxes.
        share: How far off a point may be, as a share of the longer side of the pose's box.

    Returns:
        `pck` in 0..1 (NaN without any labelled point), `points`, how many there are, and
        `by_point`, a list of the shares of each point (NaN for points never labelled).

    Raises:
        DataError: Numbers of pictures or poses that differ.
    """
    right: Any = 0
    total: Any = 0
    if len(truths) != len(found):
        raise DataError(
            "poses must be found in as many pictures as are labelled",
            got=len(found),
            expected=len(truths),
        )
    for truth, pose in zip(truths, found):
        points = np.asarray(pose.keypoints, np.float64)
        if len(points) != len(truth):
            raise DataError(
                "PCK wants one found pose for each labelled one",
                got=len(points),
                expected=len(truth),
            )
        if not len(truth):
            continue
        side = (truth.xyxy[:, 2:] - truth.xyxy[:, :2]).max(axis=1)
        off = np.linalg.norm(points[..., :2] - truth.keypoints[..., :2], axis=2)
        seen = truth.keypoints[..., 2] > 0
        right = right + (seen & (off <= share * side[:, None])).sum(axis=0)
        total = total + seen.sum(axis=0)
    count = int(np.sum(total))
    with np.errstate(invalid="ignore"):
        each = np.asarray(right, np.float64) / np.asarray(total, np.float64)
    return {
        "pck": float(np.sum(right) / count) if count else float("nan"),
        "points": count,
        "by_point": np.atleast_1d(each).tolist() if count else [],
    }


def _check(found: int, labelled: int, sigmas: int) -> None:
    if not found == labelled == sigmas:
        raise DataError(
            "poses have another number of points than the labels or the sigmas",
            got=f"{found} points found, {labelled} labelled, {sigmas} sigmas",
        )
