"""Which class is certain: scores smoothed over time, with persistence and hysteresis."""

import math
from typing import Any, Dict, List, NamedTuple, Optional

import msgspec
import numpy as np

from ..core import ConfigError


class LeadingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a class is certain.

    Attributes:
        least: Score from which on a class counts.
        keep: Score below which a class that is certain does not count any more.
        after_s: Seconds that a class must count until it is certain.
        release_s: Seconds that it must not count until it is over, where no other takes its place.
        smoothing_s: Time over which scores are averaged, as the time constant of a low-pass.
        gap_s: Seconds without a look after which nothing is known any more.

    Raises:
        ConfigError: A setting makes no sense.
    """

    least: float = 0.6
    keep: float = 0.4
    after_s: float = 0.5
    release_s: float = 1.0
    smoothing_s: float = 0.3
    gap_s: float = 5.0

    def __post_init__(self) -> None:
        for name in ("least", "keep"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is wrong", got=value, expected="0 to 1")
        if self.keep > self.least:
            raise ConfigError(
                "keep is above least", got=self.keep, expected=f"{self.least} or less"
            )
        for name in ("after_s", "release_s", "smoothing_s"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} is wrong", got=value, expected="seconds, 0 or more")
        if not 0 < self.gap_s < math.inf:
            raise ConfigError("gap_s is wrong", got=self.gap_s, expected="seconds above 0")


class Change(NamedTuple):
    """A class that is certain now, or is over.

    Attributes:
        class_id: Which.
        over: Whether this is its end.
        since: Seconds of the frame clock at which it began to count.
        until: When it stopped; the present while it goes on.
        scores: `(classes,)` as smoothed.
        mean: Of its score from then till then.
        before: The class that was certain last, or -1; of classes that exclude one another.
    """

    class_id: int
    over: bool
    since: float
    until: float
    scores: np.ndarray
    mean: float = 0.0
    before: int = -1


class Leading:
    """Follows the scores of one picture or part.

    Of classes that exclude one another only the best counts, and only one is certain at a time:
    it stays so until another is, or until it has not counted for `release_s`. Of classes that may
    be there together each is followed on its own.

    Args:
        settings: See there.
    """

    def __init__(self, settings: LeadingSettings) -> None:
        self.settings = settings
        self.mean: Optional[np.ndarray] = None
        self._last = -math.inf
        self._watched = 0.0
        self._before = -1
        self._fresh()

    def _fresh(self, count: int = 0) -> None:
        self._charge = np.full(count, -1.0)  # seconds that it has counted; -1: it does not
        self._since = np.zeros(count)
        self._on = np.zeros(count, bool)
        self._gone = np.full(count, -1.0)
        self._until = np.zeros(count)
        self._sum = np.zeros(count)
        self._looks = np.zeros(count)

    def held(self) -> List[int]:
        """The classes that are certain."""
        return np.flatnonzero(self._on).tolist()

    def passed(self, now: float) -> float:
        """Seconds since the last look; 0 after a gap."""
        step = now - self._last
        return step if step <= self.settings.gap_s else 0.0

    def watched(self) -> float:
        """Seconds that were watched since this was last asked."""
        value, self._watched = self._watched, 0.0
        return value

    def update(self, scores: np.ndarray, multi: bool, now: float) -> List[Change]:
        """Take in the scores of one look, `(classes,)`; what is no number is no look."""
        if not np.isfinite(scores).all():
            return []
        changes = self.expire(now)
        step = self.passed(now)
        if self.mean is None or len(self.mean) != len(scores):
            self.mean = np.array(scores)
            self._fresh(len(scores))
        else:
            tau = self.settings.smoothing_s
            share = 1.0 if tau == 0 else 1.0 - math.exp(-step / tau)
            self.mean = self.mean + share * (scores - self.mean)
        self._last = now
        self._watched += step
        return changes + self._judge(scores, multi, step, now)

    def _judge(self, scores: np.ndarray, multi: bool, step: float, now: float) -> List[Change]:
        mean = self.mean
        assert mean is not None
        limits = np.where(self._on, self.settings.keep, self.settings.least)
        counts = mean >= limits
        if not multi:
            best = int(mean.argmax())
            alone = np.zeros(len(mean), bool)
            alone[best] = True
            # The one that is certain counts on until another does.
            counts &= alone | (self._on & (mean[best] < self.settings.least))
        begins = counts & ~self._on & (self._charge < 0)
        self._since[begins], self._sum[begins], self._looks[begins] = now, 0.0, 0.0
        self._charge = np.where(
            self._on | ~counts, -1.0, np.where(begins, 0.0, self._charge + step)
        )
        self._sum[counts] += scores[counts]
        self._looks[counts] += 1
        stops = self._on & ~counts & (self._gone < 0)
        self._until[stops] = now
        self._gone = np.where(counts | ~self._on, -1.0, np.where(stops, 0.0, self._gone + step))
        changes: List[Change] = []
        ready = np.flatnonzero((self._charge >= self.settings.after_s - 1e-9) & ~self._on)
        for k in ready.tolist():
            if not multi:
                for old in self.held():
                    changes.append(self._end(old, min(float(self._since[k]), now)))
            before, self._before = self._before, -1 if multi else k
            self._on[k], self._charge[k], self._gone[k] = True, -1.0, -1.0
            since = float(self._since[k])
            changes.append(Change(k, False, since, now, mean, before=before))
        over = self._on & (self._gone >= self.settings.release_s - 1e-9) & (self._gone >= 0)
        changes += [self._end(k, float(self._until[k])) for k in np.flatnonzero(over).tolist()]
        return changes

    def _end(self, k: int, until: float) -> Change:
        assert self.mean is not None
        self._on[k], self._gone[k], self._charge[k] = False, -1.0, -1.0
        mean = float(self._sum[k] / max(self._looks[k], 1.0))
        since = float(self._since[k])
        return Change(k, True, since, max(until, since), self.mean, mean)

    def expire(self, now: float) -> List[Change]:
        """What is over because nothing was seen for too long: since the last look."""
        if now - self._last <= self.settings.gap_s:
            return []
        return self._stop()

    def finish(self) -> List[Change]:
        """The end of everything."""
        return self._stop()

    def _stop(self) -> List[Change]:
        changes = [self._end(k, self._last) for k in self.held()]
        self.mean = None
        self._fresh()
        return changes

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {
            "mean": self.mean, "last": self._last, "watched": self._watched,
            "charge": self._charge, "since": self._since, "on": self._on, "gone": self._gone,
            "until": self._until, "sum": self._sum, "looks": self._looks, "before": self._before,
        }  # fmt: skip

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self.mean, self._last, self._watched = state["mean"], state["last"], state["watched"]
        self._charge, self._since, self._on = state["charge"], state["since"], state["on"]
        self._gone, self._until = state["gone"], state["until"]
        self._before = state["before"]
        self._sum, self._looks = state["sum"], state["looks"]
