"""Skeletons in their own measure: points in heights of the person, and how each part stands.

Lengths are compared with what the same person's parts measured upright, so neither the camera's
distance nor, for the most part, its tilt matters. Shares of the height: Drillis and Contini, "Body
segment parameters", 1966.
"""

import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ...core import DataError
from ...runtime.pose.skeleton import COCO_17, SKELETONS, Skeleton
from ..table import TrackTable
from .angles import Point, middle
from .steady import Steady, SteadySettings

NAMES = COCO_17.names
AT = {name: k for k, name in enumerate(NAMES)}
SHARES = np.array([0.285, 0.245, 0.243])
"""Torso, thigh and shin in heights of the person."""
SHOULDERS = 0.22
FOREARM = 0.2
"""Heights that a wrist is from its elbow at most."""

TRAIL, TRAIL_STEP_S = 32, 0.045


class Body:
    """One person at one moment, as rules see it.

    `body["left_wrist"]` is a point `(x, y)` in heights of the person, y up, from an origin that
    is the picture's; NaN where it is not known. Names are those of COCO's 17 points, and the
    middles `shoulders`, `hips`, `knees`, `ankles` and `face`.

    Attributes:
        track: Whose it is.
        time: Seconds of the frame clock.
        size: Height of the person when upright, in pixels; NaN where it is not known.
        torso, thigh, shin: How upright each is: 1 as when standing, 0 level, below 0 head down.
        lean: Degrees of the torso from upright, also towards the camera or away from it.
    """

    __slots__ = ("_points", "_trail", "lean", "shin", "size", "thigh", "time", "torso", "track")

    def __init__(
        self,
        track: int,
        time: float,
        size: float,
        points: Dict[str, Point],
        parts: Sequence[float] = (1.0, 1.0, 1.0),
        lean: float = 0.0,
        trail: Sequence[Sequence[float]] = (),
    ) -> None:
        self.track, self.time, self.size = track, time, size
        self._points = points
        self.torso, self.thigh, self.shin = parts
        self.lean = lean
        self._trail = trail

    def __getitem__(self, name: str) -> Point:
        """A point by name; see above."""
        return self._points[name]

    @property
    def turned(self) -> float:
        """Degrees that the shoulders are turned out of the picture's plane, by how wide they are
        seen: 0 from the front and from behind, 90 from the side; NaN where they are not known."""
        (x, y), (u, v) = self._points["left_shoulder"], self._points["right_shoulder"]
        share = math.sqrt((x - u) ** 2 + (y - v) ** 2) / SHOULDERS
        return math.degrees(math.acos(min(share, 1.0))) if share == share else share

    def pixels(self, name: str) -> Point:
        """A point in pixels of the picture."""
        x, y = self._points[name]
        return x * self.size, -y * self.size

    def above(self, one: str, other: str) -> float:
        """How far a point is above another, in heights of the person."""
        return self._points[one][1] - self._points[other][1]

    def apart(self, one: str, other: str) -> float:
        """How far two points are from each other, in heights of the person."""
        a, b = self._points[one], self._points[other]
        return math.hypot(a[0] - b[0], a[1] - b[1])

    def swings(self, side: str, seconds: float) -> List[float]:
        """How far the wrist was to the right of its elbow lately, oldest first; heights."""
        column = 1 if side == "left" else 2
        return [row[column] for row in self._trail if row[0] > self.time - seconds]


class Bodies:
    """Makes bodies of the points of all people at once; remembers their measures by track.

    Args:
        skeleton: What the points are.
        settings: How they are steadied.
    """

    def __init__(self, skeleton: Skeleton, settings: SteadySettings) -> None:
        names = list(skeleton.names)
        self._take = np.array([names.index(n) if n in names else -1 for n in NAMES], np.intp)
        if (self._take[[AT["left_shoulder"], AT["right_shoulder"]]] < 0).all():
            raise DataError(
                "the skeleton has no shoulders, and rules need them",
                got=", ".join(names[:6]),
                expected="names as those of coco-17",
            )
        pairs = [(names.index(names[a]), names.index(names[b])) for a, b in skeleton.flip_pairs]
        self.points = len(names)
        self._steady = Steady(len(names), pairs, settings)
        self._table = TrackTable(
            parts=(np.float64, (3,), np.nan),  # pixels of torso, thigh and shin when upright
            wide=(np.float64, (), np.nan),
            last=(np.float64, (), -np.inf),
            trail=(np.float64, (TRAIL, 3), np.nan),
        )

    def __call__(self, track_ids: List[int], keypoints: np.ndarray, now: float) -> List[Body]:
        """The bodies of one moment, in the order of the tracks.

        Args:
            track_ids: Whose points they are.
            keypoints: `(n, k, 3)` x, y in pixels, score; not smoothed.
            now: Seconds.
        """
        if not track_ids:
            return []
        steady = self._steady(track_ids, keypoints, now)
        points = np.where(self._take[:, None] >= 0, steady[:, self._take], np.nan)
        rows = self._table.rows(track_ids)
        centres = [_both(points, name) for name in ("shoulder", "hip", "knee", "ankle")]
        ways = np.stack([centres[i + 1] - centres[i] for i in range(3)], axis=1)  # (n, 3, 2)
        upright, length = ways[:, :, 1], np.sqrt((ways * ways).sum(axis=2))
        parts, size = self._measure(rows, points, upright, length, now)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = upright / parts
            # A torso that is shorter than upright leans to the camera or away from it.
            turned = np.degrees(np.arccos(np.clip(share[:, 0], -1, 1)))
            lean = np.maximum(turned, np.degrees(np.arctan2(np.abs(ways[:, 0, 0]), upright[:, 0])))
            scaled = points * np.array([1.0, -1.0]) / size[:, None, None]
        trail = self._trailed(rows, scaled, now)
        bodies = []
        whole, parts_list, leans = scaled.tolist(), share.tolist(), lean.tolist()
        for i, track in enumerate(track_ids):
            named = {name: (p[0], p[1]) for name, p in zip(NAMES, whole[i])}
            for name in ("shoulder", "hip", "knee", "ankle"):
                named[name + "s"] = middle((named["left_" + name], named["right_" + name]))
            named["face"] = _face([named[name] for name in NAMES[:5]])
            rows_of = [row for row in trail[i] if row[0] == row[0]]
            bodies.append(
                Body(track, now, float(size[i]), named, parts_list[i], leans[i], rows_of[::-1])
            )
        return bodies

    def drop(self, track_id: int) -> None:
        """Forget a track that has ended."""
        self._steady.drop(track_id)
        self._table.drop(track_id)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {"steady": self._steady.state(), "table": self._table.state()}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._steady.load_state(state["steady"])
        self._table.load_state(state["table"])

    def _measure(
        self,
        rows: np.ndarray,
        points: np.ndarray,
        upright: np.ndarray,
        length: np.ndarray,
        now: float,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """What torso, thigh and shin measure upright, `(n, 3)`, and the height `(n,)`; pixels.

        Parts are learnt quickly when they are longer than thought, in seconds when somewhat
        shorter, and hardly while they are no longer upright.
        """
        table = self._table
        parts, wide = table["parts"][rows], table["wide"][rows]
        step = np.clip(now - table["last"][rows], 0.0, 0.5)[:, None]
        with np.errstate(invalid="ignore"):
            guess = np.fmax.reduce(length / SHARES, axis=1)[:, None] * SHARES
            fresh = np.isnan(parts)
            pace = np.where(upright > parts, 0.5, np.where(upright > 0.85 * parts, 2.0, 60.0))
            better = parts + (1.0 - np.exp(-step / pace)) * (upright - parts)
            parts = np.where(fresh, guess, np.where(np.isnan(upright), parts, better))
            parts = np.maximum(parts, 2.0)  # NaN stays NaN
            span = points[:, AT["left_shoulder"]] - points[:, AT["right_shoulder"]]
            span = np.sqrt((span * span).sum(axis=1))
            wide = np.where(np.isnan(span), wide, np.fmax(span, wide))
            size = parts.sum(axis=1) / SHARES.sum()
            size = np.where(np.isnan(size), np.maximum(wide, 2.0) / SHOULDERS, size)
        table["parts"][rows], table["wide"][rows], table["last"][rows] = parts, wide, now
        return parts, size

    def _trailed(self, rows: np.ndarray, scaled: np.ndarray, now: float) -> List[Any]:
        trail = self._table["trail"][rows]
        due = ~(now - trail[:, 0, 0] < TRAIL_STEP_S)
        row = np.stack(
            [
                np.full(len(rows), now),
                scaled[:, AT["left_wrist"], 0] - scaled[:, AT["left_elbow"], 0],
                scaled[:, AT["right_wrist"], 0] - scaled[:, AT["right_elbow"], 0],
            ],
            axis=1,
        )
        with np.errstate(invalid="ignore"):
            row[:, 1:][np.abs(row[:, 1:]) > FOREARM] = np.nan  # of another arm
        trail[due, 1:] = trail[due, :-1].copy()
        trail[due, 0] = row[due]
        self._table["trail"][rows] = trail
        return trail.tolist()


def _both(points: np.ndarray, name: str) -> np.ndarray:
    """The middle of left and right `(n, 2)`; the one that is known where the other is not."""
    left, right = points[:, AT["left_" + name]], points[:, AT["right_" + name]]
    left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    return 0.5 * (left + right)


def _face(points: Sequence[Point]) -> Point:
    there = sorted(p[1] for p in points if p[1] == p[1])
    x, _ = middle(points)
    return x, there[len(there) // 2] if there else float("nan")


def knows(points: int) -> bool:
    """Whether the number of points tells what they are."""
    return any(len(skeleton) == points for skeleton in SKELETONS.values())


def skeleton_for(points: int) -> Skeleton:
    """The skeleton that a net with so many points is taken to give.

    Raises:
        DataError: None is known.
    """
    for skeleton in SKELETONS.values():
        if len(skeleton) == points:
            return skeleton
    known = ", ".join(f"{len(s)} ({name})" for name, s in SKELETONS.items())
    raise DataError(
        "rules do not know what the points of this net are",
        got=f"{points} points",
        expected=known,
        remedy="say what they are in the config: `skeleton: {names: […], flip_pairs: […]}`",
    )
