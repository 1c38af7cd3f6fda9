"""What the points of a pose are: names, edges, mirror pairs and how exactly each can be placed."""

from dataclasses import dataclass, fields
from typing import Any, Optional, Sequence, Tuple

import numpy as np

from ...core import ModelError, did_you_mean

Pair = Tuple[int, int]


@dataclass(frozen=True)
class Skeleton:
    """The points of a pose.

    Attributes:
        names: One a point, all different.
        edges: Pairs of points that are joined, by index.
        flip_pairs: Pairs of points that change places in a mirror. A point in none of them stays
            itself.
        sigmas: One a point: the standard deviation of a label, as a share of the square root of
            the object's area. Empty where nobody measured it, which rules out OKS.

    Raises:
        ModelError: Counts that differ, an index beyond the points, a point in two pairs.
    """

    names: Tuple[str, ...]
    edges: Tuple[Pair, ...] = ()
    flip_pairs: Tuple[Pair, ...] = ()
    sigmas: Tuple[float, ...] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        names = self.names
        if isinstance(names, str) or not all(isinstance(n, str) and n for n in _listed(names)):
            raise ModelError("skeleton.names must be a list of names", got=repr(names))
        names = tuple(names)
        if not names:
            raise ModelError("skeleton.names is empty", expected="a name for each point")
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ModelError("skeleton.names has a name twice", got=", ".join(twice))
        put(self, "names", names)
        for field in ("edges", "flip_pairs"):
            put(self, field, _pairs(field, getattr(self, field), names))
        paired = [point for pair in self.flip_pairs for point in pair]
        twice = sorted({names[p] for p in paired if paired.count(p) > 1})
        if twice:
            raise ModelError(
                "skeleton.flip_pairs do not match: a point is in more than one pair",
                got=", ".join(twice),
                expected="each point in one pair at most",
            )
        put(self, "sigmas", _sigmas(self.sigmas, len(names)))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The index of the point of this name.

        Raises:
            ModelError: There is none.
        """
        if name not in self.names:
            raise ModelError(
                f"the skeleton has no point {name!r}", remedy=did_you_mean(name, self.names)
            )
        return self.names.index(name)

    @property
    def mirror(self) -> np.ndarray:
        """`(k,)` int64: the index that each point has in a mirrored picture."""
        order = np.arange(len(self.names))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return order


def _listed(value: Any) -> Sequence[Any]:
    try:
        return list(value)
    except TypeError:
        return [None]


def _pairs(field: str, value: Any, names: Sequence[str]) -> Tuple[Pair, ...]:
    """Pairs of indices, from indices or names."""
    pairs = []
    for pair in _listed(value):
        try:
            ends = [names.index(end) if isinstance(end, str) else end for end in pair]
            good = len(ends) == 2 and all(_whole(end) for end in ends)
        except (TypeError, ValueError):
            good, ends = False, []
        if not good:
            raise ModelError(
                f"skeleton.{field} must hold pairs of points",
                got=repr(pair),
                expected=f"two names, or two indices of 0 to {len(names) - 1}",
            )
        first, second = int(ends[0]), int(ends[1])
        if not (0 <= first < len(names) and 0 <= second < len(names)):
            raise ModelError(
                f"skeleton.{field} names a point that is not there",
                got=f"{[first, second]} of {len(names)} points",
                expected=f"indices of 0 to {len(names) - 1}",
            )
        if first == second:
            raise ModelError(f"skeleton.{field} pairs a point with itself", got=repr(names[first]))
        pairs.append((first, second))
    return tuple(pairs)


def _whole(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, np.integer))


def _sigmas(value: Any, count: int) -> Tuple[float, ...]:
    try:
        sigmas = tuple(float(v) for v in value)
        good = all(0 < s < 10 for s in sigmas)  # NaN compares as False
    except (TypeError, ValueError):
        good, sigmas = False, ()
    if not good:
        raise ModelError("skeleton.sigmas must be numbers above 0", got=repr(value))
    if sigmas and len(sigmas) != count:
        raise ModelError(
            "skeleton.sigmas must be one a point", got=len(sigmas), expected=f"{count} or none"
        )
    return sigmas


def read_skeleton(data: Any, count: Optional[int] = None) -> Skeleton:
    """A skeleton from a card's `extra.skeleton`.

    Args:
        data: An object with `names` and, if wanted, `edges`, `flip_pairs` and `sigmas`, points
            given by index or by name; or the name `coco-17`.
        count: How many points the net's outputs hold, if that is known.

    Raises:
        ModelError: It makes no sense, or has another number of points.
    """
    if isinstance(data, Skeleton):
        skeleton = data
    elif isinstance(data, str):
        if data not in SKELETONS:
            raise ModelError(f"there is no skeleton {data!r}", remedy=did_you_mean(data, SKELETONS))
        skeleton = SKELETONS[data]
    elif isinstance(data, dict):
        known = [field.name for field in fields(Skeleton)]
        for name in data:
            if name not in known:
                raise ModelError(
                    f"skeleton: unknown field {name!r}", remedy=did_you_mean(str(name), known)
                )
        if "names" not in data:
            raise ModelError("skeleton lacks names", expected="a name for each point")
        skeleton = Skeleton(**data)
    else:
        raise ModelError(
            "a skeleton is an object with names",
            got=type(data).__name__,
            expected="{names, edges, flip_pairs, sigmas}",
        )
    if count is not None and len(skeleton) != count:
        raise ModelError(
            "the skeleton has another number of points than the net gives",
            got=f"{len(skeleton)} in the skeleton",
            expected=f"{count} as in the outputs",
        )
    return skeleton


def pose_score(keypoints: np.ndarray, box_score: Any = 1.0, least: float = 0.2) -> np.ndarray:
    """One score a pose: the mean over the points that are there, times that of the box.

    Source: Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, 2018.

    Args:
        keypoints: `(n, k, 3)`.
        box_score: `(n,)` or one number, 0..1.
        least: Points that score no more than this are left out.

    Returns:
        `(n,)` float32 in 0..1.
    """
    scores = np.asarray(keypoints)[..., 2]
    counted = scores > least
    total = np.where(counted, scores, 0).sum(axis=-1)
    mean = total / np.maximum(counted.sum(axis=-1), 1)
    return (mean * np.asarray(box_score)).astype(np.float32)


COCO_17 = Skeleton(
    names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder",
        "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
        "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7),
        (6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107,
        0.107, 0.087, 0.087, 0.089, 0.089,
    ),
)  # fmt: skip
"""The 17 points of COCO's people; sigmas as its evaluation of key points uses them."""

OPENPOSE_18 = Skeleton(
    names=(
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
        "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip",
        "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
    ),
    edges=(
        (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (2, 16),
        (1, 5), (5, 6), (6, 7), (5, 17), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17),
    ),
    flip_pairs=((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17)),
    sigmas=(
        0.026, 0.079, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.107,
        0.087, 0.089, 0.025, 0.025, 0.035, 0.035,
    ),
)  # fmt: skip
"""OpenPose's 18 points of COCO's people, with a neck; edges in the order of its fields. The neck
is the middle of the shoulders and has their sigma."""

SKELETONS = {"coco-17": COCO_17, "openpose-18": OPENPOSE_18}
