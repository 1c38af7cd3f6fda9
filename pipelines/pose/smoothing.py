"""The One-Euro filter: still points are steadied, quick ones follow at once.

Source: Casiez, Roussel and Vogel, 1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input
in Interactive Systems, 2012. Speeds are in heights of the person a second, so that the settings
hold at every size, and time is that of the frames, so that they hold at every rate.
"""

from typing import Any, Dict, List

import msgspec
import numpy as np

from ...core import ConfigError
from ..table import TrackTable


class OneEuroSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How points are smoothed.

    Attributes:
        cutoff: Hertz above which a still point's trembling is taken away; 0 smooths nothing.
        speed: Hertz that are added for each height a second of a point's speed.
        speed_cutoff: Hertz above which the speed's own trembling is taken away.
        gap_s: A point unseen for longer begins anew.
        least: Points that score less are passed on as they are, and not learnt from.

    Raises:
        ConfigError: A setting is negative or not finite.
    """

    cutoff: float = 1.5
    speed: float = 5.0
    speed_cutoff: float = 1.0
    gap_s: float = 0.7
    least: float = 0.2

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(
                    f"smoothing.{name} is wrong", got=value, expected="a number from 0 up"
                )


def _share(dt: np.ndarray, cutoff: Any) -> np.ndarray:
    """How much of a new value a low-pass of this cutoff takes after `dt` seconds."""
    return 1.0 - 1.0 / (1.0 + 2.0 * np.pi * cutoff * dt)


class OneEuro:
    """Smooths the points of all people at once; remembers them by track.

    Args:
        points: How many points a pose has.
        settings: See `OneEuroSettings`.
    """

    def __init__(self, points: int, settings: OneEuroSettings) -> None:
        self.settings = settings
        self._table = TrackTable(
            place=(np.float64, (points, 2), 0.0),
            speed=(np.float64, (points, 2), 0.0),
            seen=(np.float64, (points,), -np.inf),
        )

    def __call__(
        self, track_ids: List[int], keypoints: np.ndarray, heights: np.ndarray, timestamp: float
    ) -> np.ndarray:
        """The points, smoothed.

        Args:
            track_ids: Whose they are.
            keypoints: `(n, k, 3)` x, y in pixels, score.
            heights: `(n,)` heights of the people in pixels.
            timestamp: Seconds. Of a moment that is not later than the last one nothing is learnt.

        Returns:
            `(n, k, 3)` float32; scores as they were.
        """
        s = self.settings
        if not len(track_ids) or s.cutoff == 0:
            return np.asarray(keypoints, np.float32)
        table = self._table
        rows = table.rows(track_ids)
        place, speed = table["place"][rows], table["speed"][rows]
        given = keypoints[:, :, :2].astype(np.float64)
        dt = timestamp - table["seen"][rows]
        good = keypoints[:, :, 2] >= s.least
        fresh = good & (dt > s.gap_s)
        going = (good & (dt > 0) & ~fresh)[..., None]
        step = np.where(going, dt[..., None], 1.0)
        height = np.maximum(heights, 1.0)[:, None, None]
        quick = speed + _share(step, s.speed_cutoff) * ((given - place) / step - speed)
        pace = np.sqrt((quick**2).sum(axis=2, keepdims=True)) / height
        smooth = place + _share(step, s.cutoff + s.speed * pace) * (given - place)
        again = fresh[..., None]
        table["place"][rows] = np.where(again, given, np.where(going, smooth, place))
        table["speed"][rows] = np.where(again, 0.0, np.where(going, quick, speed))
        table["seen"][rows] = np.where(fresh | going[..., 0], timestamp, table["seen"][rows])
        result = keypoints.astype(np.float32)
        result[:, :, :2] = np.where(good[..., None], table["place"][rows], given)
        return result

    def drop(self, track_id: int) -> None:
        """Forget a track that has ended."""
        self._table.drop(track_id)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return self._table.state()

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._table.load_state(state)
