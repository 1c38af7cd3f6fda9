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
TRUST = 2.2
"""How far places must speak against a net's word on left and right, in nats: it errs in one look
of ten."""


class SteadySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How points are voted on. Seconds of the frame clock.

    Attributes:
        median_s: Over how long a place is a median.
        vote_s: Over how long it is where nothing was seen in that.
        side_s: Over how long most looks settle which side is left.
        least: Points that score less are missing.
    """

    vote_s: float = 0.5
    median_s: float = 0.27
    side_s: float = 0.6
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

    Left and right are followed: a look whose pair fits the places of before far better exchanged
    is exchanged. What most of the looks say decides which side is which.

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
            # Of each look and pair: 1 as it was given, -1 exchanged, 0 where nothing said so.
            sides=(np.float64, (SLOTS, len(pairs)), 0.0),
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
        places, times, sides = (table[name][rows] for name in ("places", "times", "sides"))
        for column in (places, times, sides):
            column[:, 1:] = column[:, :-1].copy()
        places[:, 0], times[:, 0] = np.nan, now
        before = self._middle(places, now - times)
        places[:, 0], sides[:, 0] = self._ordered(given, before)
        # Followed wrongly, most looks stand exchanged: then it is the places that must change.
        fresh = (now - times < rule.side_s)[..., None]
        turned, kept = (np.count_nonzero((sides == s) & fresh, axis=1) for s in (-1.0, 1.0))
        wrong = (turned >= 3) & (turned > 1.5 * kept)
        if wrong.any():
            self._exchange(places, wrong)
            sides = np.where(wrong[:, None], -sides, sides)
        table["places"][rows], table["times"][rows], table["sides"][rows] = places, times, sides
        return self._middle(places, now - times)

    def drop(self, track_id: int) -> None:
        """Forget a track that has ended."""
        self._table.drop(track_id)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return self._table.state()

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._table.load_state(state)

    def _middle(self, places: np.ndarray, age: np.ndarray) -> np.ndarray:
        """The median over a short time, over a longer one where nothing was seen in that."""
        rule = self.settings
        used = max(int((age < rule.vote_s).sum(axis=1).max()), 1)
        places, age = places[:, :used], age[:, :used, None, None]
        # A hair more than the frames' own rounding.
        short = median(np.where(age < rule.median_s + 1e-6, places, np.nan))
        if not np.isnan(short).any():
            return short
        return np.where(np.isnan(short), median(np.where(age < rule.vote_s, places, np.nan)), short)

    def _ordered(self, given: np.ndarray, before: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """A look with pairs exchanged where places speak for it more strongly than the net's own
        word, and `(n, pairs)` what was done."""
        left, right = self._left, self._right
        if not len(left):
            return given, np.zeros((len(given), 0))
        with np.errstate(invalid="ignore"):
            low, high = np.fmin.reduce(before, axis=1), np.fmax.reduce(before, axis=1)
            # Points tremble, and move from one look to the next, by so much of the person.
            unit = np.maximum(0.05 * (high - low).max(axis=1), 1.0)[:, None]
        one, two = given[:, left], given[:, right]
        first, second = before[:, left], before[:, right]

        def off(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            way = (a - b) / unit[..., None]
            return np.nan_to_num((way * way).sum(axis=-1))

        both = ~(np.isnan(first[..., 0]) | np.isnan(second[..., 0]))
        says = 0.5 * (off(one, first) + off(two, second) - off(one, second) - off(two, first))
        turn = both & (says > TRUST)
        sides = np.where(turn, -1.0, np.where(both & (says < -TRUST), 1.0, 0.0))
        ordered = given.copy()
        ordered[:, left] = np.where(turn[..., None], two, one)
        ordered[:, right] = np.where(turn[..., None], one, two)
        return ordered, sides

    def _exchange(self, places: np.ndarray, wrong: np.ndarray) -> None:
        chosen = wrong[:, None, :, None]
        one, two = places[:, :, self._left], places[:, :, self._right]
        places[:, :, self._left] = np.where(chosen, two, one)
        places[:, :, self._right] = np.where(chosen, one, two)
