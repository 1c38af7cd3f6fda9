"""How right poses are: average precision by object keypoint similarity (OKS), and PCK.

Sources: COCO's key point evaluation (Lin et al. 2014); Yang and Ramanan, Articulated
Human Detection with Flexible Mixtures of Parts, 2013, for PCK.
"""

from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError
from .evaluation import Evaluation
from .matching import match
from .precision import Matches, mean

MOST = 20
"""Poses of a picture that count, best first."""
SIZES = ("all", "medium", "large")
AREAS = np.array([[0, 1e10], [32**2, 96**2], [96**2, 1e10]], float)
"""Least and greatest area in square pixels of each range of size; small people are not labelled."""
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

    def select(self, rows: np.ndarray) -> "PoseTruth":
        """The poses that a boolean mask or an index array picks."""
        area, crowd = np.asarray(self.area), np.asarray(self.crowd)
        return PoseTruth(self.keypoints[rows], self.xyxy[rows], area[rows], crowd[rows])

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


def score_poses(
    truths: Sequence[PoseTruth],
    found: Sequence[PoseFound],
    sigmas: Sequence[float],
    pictures: Optional[Sequence[str]] = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Judge poses as COCO's evaluation of key points does; the figures are pycocotools'.

    Args:
        truths: The labels, picture by picture.
        found: What was found in the same pictures. The best 20 of a picture count.
        sigmas: One a point, see `runtime.pose.Skeleton`.
        pictures: Names of the pictures; numbers unless given.
        notes: What a reader should know.

    Returns:
        Scores `OKS_AP` (OKS of 0.50 to 0.95), `OKS_AP50`, `OKS_AP75`, `OKS_AR`, and
        `OKS_AP_medium` and `OKS_AP_large` where such poses are labelled. All but the last three
        can be redrawn.

    Raises:
        DataError: Numbers of pictures or points that differ, or poses that are not finite.
    """
    _check_pictures(truths, found)
    matches = Matches(len(truths), 1, SIZES)
    for number, (truth, poses) in enumerate(zip(truths, found)):
        points, score = _best(poses, len(sigmas))
        # COCO takes the box around a found pose for its size.
        extent = np.ptp(points[..., :2], axis=1) if len(points) else np.zeros((0, 2))
        low, high = AREAS[:, :1], AREAS[:, 1:]
        area, own = np.asarray(truth.area), extent.prod(axis=1)
        unjudged = truth.ignored | (area < low) | (area > high)
        outside = (own < low) | (own > high)
        outcome = match(oks(truth, points, sigmas), unjudged, np.asarray(truth.crowd), outside)
        matches.add(number, 0, score, outcome, (~unjudged).sum(axis=1))
    names = tuple(str(n) for n in (range(len(truths)) if pictures is None else pictures))
    return Evaluation("OKS_AP", _scores(matches), names, _Redraw(matches), tuple(notes))


def oks_ap(
    truths: Sequence[PoseTruth], found: Sequence[PoseFound], sigmas: Sequence[float]
) -> Dict[str, float]:
    """The scores of `score_poses` alone, by name."""
    return score_poses(truths, found, sigmas).scores


def _best(found: PoseFound, points: int) -> Tuple[np.ndarray, np.ndarray]:
    """The poses of a picture that count, best first."""
    poses = np.asarray(found.keypoints, np.float64)
    score = np.asarray(found.score, np.float64)
    if poses.size == 0:
        poses = poses.reshape(0, points, 3)
    if poses.ndim != 3 or len(poses) != len(score):
        raise DataError(
            "found poses must be x, y for each point, and a score each",
            got=f"{poses.shape} and {score.shape}",
            expected="(m, k, 3) and (m,)",
        )
    if not np.isfinite(poses[..., :2]).all() or not np.isfinite(score).all():
        raise DataError("found poses must be finite numbers")
    order = np.argsort(-score, kind="stable")[:MOST]
    return poses[order], score[order]


def _scores(matches: Matches) -> Dict[str, float]:
    curve = matches.curve(most=MOST)
    scores = {name: float(v[0]) for name, v in _precisions(matches, curve.precision).items()}
    scores["OKS_AR"] = float(mean(curve.recall)[0])
    for size, name in enumerate(SIZES[1:], 1):
        if matches.truths(size).any():
            value = mean(matches.curve(size=size, most=MOST).precision)
            scores[f"OKS_AP_{name}"] = float(value[0])
    return scores


def _precisions(matches: Matches, precision: np.ndarray) -> Dict[str, np.ndarray]:
    parts = {"OKS_AP": precision}
    for step, least in enumerate(matches.thresholds):
        if round(least, 2) in (0.5, 0.75):
            parts[f"OKS_AP{round(100 * least)}"] = precision[:, step : step + 1]
    return {name: mean(values) for name, values in parts.items()}


class _Redraw:
    def __init__(self, matches: Matches) -> None:
        self._matches = matches

    def __call__(self, weights: np.ndarray) -> Dict[str, np.ndarray]:
        return _precisions(self._matches, self._matches.curve(weights, most=MOST).precision)


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
    _check_pictures(truths, found)
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


def _check_pictures(truths: Sequence[Any], found: Sequence[Any]) -> None:
    if len(truths) != len(found):
        raise DataError(
            "poses must be found in as many pictures as are labelled",
            got=len(found),
            expected=len(truths),
        )


def _check(found: int, labelled: int, sigmas: int) -> None:
    if not found == labelled == sigmas:
        raise DataError(
            "poses have another number of points than the labels or the sigmas",
            got=f"{found} points found, {labelled} labelled, {sigmas} sigmas",
        )
