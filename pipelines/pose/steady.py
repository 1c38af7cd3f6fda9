"""Points steadied by vote: what most of the last looks say, with left and right put in order.

A net loses points, and takes left for right, for single frames. The median over a short time does
not care about either, as long as most of the looks are right.
"""

from typing import Any, Dict, List, Sequence, Tuple

import msgspec
import numpy as np

from ..checks import check_numbers
from ..table import TrackTable

SLOTS = 16
"""Looks that are remembered of each person."""


class SteadySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How points are voted on. Seconds of the frame clock.

    Attributes:
        vote_s: Over how long left and right are settled.
        median_s: Over how long a place is a median.
        least: Points that score less are missing.
    """

    vote_s: float = 0.5
    median_s: float = 0.27
    least: float = 0.2

    def __post_init__(self) -> None:
        check_numbers(self, "steady")


def median(values: np.ndarray) -> np.ndarray:
    """Median over axis 1 of `(n, m, …)`, of what is not NaN; NaN where nothing is."""
    ordered = np.sort(values, axis=1)  # NaN comes last
    count = np.count_nonzero(ordered == ordered, axis=1)
    high = np.minimum(count // 2, values.shape[1] - 1)[:, None]
    low = np.maximum((count - 1) // 2, 0)[:, None]
    middle = np.take_along_axis(ordered, low, 1) + np.take_along_axis(ordered, high, 1)
    return 0.5 * middle[:, 0]


class Steady:
    """Steadies the points of all people at once; remembers them by track.

    Args:
        points: How many points a pose has.
        pairs: Left and right points that may be taken for each other.
        settings: See `SteadySettings`.
    """

    def __init__(
        self, points: int, pairs: Sequence[Tuple[int, int]], settings: SteadySettings
    ) -> None:
        self.settings = settings
        self._left = np.array([a for a, _ in pairs], np.intp)
        self._right = np.array([b for _, b in pairs], np.intp)
        self._table = TrackTable(
            places=(np.float64, (SLOTS, points, 2), np.nan),
            times=(np.float64, (SLOTS,), -np.inf),
        )

    def __call__(self, track_ids: List[int], keypoints: np.ndarray, now: float) -> np.ndarray:
        """The points, steadied.

        Args:
            track_ids: Whose they are.
            keypoints: `(n, k, 3)` x, y in pixels, score; what is not finite is missing.
            now: Seconds.

        Returns:
            `(n, k, 2)` float64 pixels, NaN where nothing was seen for `vote_s`.
        """
        table, rule = self._table, self.settings
        rows = table.rows(track_ids)
        given = keypoints[:, :, :2].astype(np.float64)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(keypoints).all(axis=2) & (keypoints[:, :, 2] >= rule.least)
        given[~good] = np.nan
        places, times = table["places"][rows], table["times"][rows]
        places[:, 1:], times[:, 1:] = places[:, :-1].copy(), times[:, :-1].copy()
        places[:, 0], times[:, 0] = given, now
        table["places"][rows], table["times"][rows] = places, times
        used = max(int((times > now - max(rule.vote_s, rule.median_s)).sum(axis=1).max()), 1)
        recent, age = places[:, :used], now - times[:, :used]
        recent = np.where((age < rule.vote_s)[..., None, None], recent, np.nan)
        vote = median(recent)
        ordered = self._ordered(recent, vote)
        # A hair more than the frames' own rounding.
        young = (age < rule.median_s + 1e-6)[..., None, None]
        result = median(np.where(young, ordered, np.nan))
        return np.where(np.isnan(result), vote, result)

    def drop(self, track_id: int) -> None:
        """Forget a track that has ended."""
        self._table.drop(track_id)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return self._table.state()

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._table.load_state(state)

    def _ordered(self, recent: np.ndarray, vote: np.ndarray) -> np.ndarray:
        """The looks with those pairs exchanged that fit the vote far better so."""
        left, right = self._left, self._right
        if not len(left):
            return recent
        one, two = recent[:, :, left], recent[:, :, right]
        first, second = vote[:, None, left], vote[:, None, right]

        def off(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            way = a - b
            return np.nan_to_num(np.sqrt((way * way).sum(axis=-1)))

        kept = off(one, first) + off(two, second)
        changed = off(one, second) + off(two, first)
        known = ~(np.isnan(first[..., 0]) | np.isnan(second[..., 0]))
        turn = (known & (changed < 0.6 * kept))[..., None]
        ordered = recent.copy()
        ordered[:, :, left] = np.where(turn, two, one)
        ordered[:, :, right] = np.where(turn, one, two)
        return ordered
