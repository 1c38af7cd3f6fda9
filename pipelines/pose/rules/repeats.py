"""Repetitions: something goes down and comes up again, and is counted."""

from typing import List

import msgspec

from ...checks import check_numbers
from ..bodies import Body
from .base import Finding, Memory, Reading


class Repetitions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts how often a quantity goes below one limit and above another again.

    Subclasses write `quantity`. Each repetition is a finding that is over at once.

    Attributes:
        low: Below it the way down is done.
        high: Above it the way up is done.
        hold_s: Seconds that each end must be seen.
    """

    low: float = 0.5
    high: float = 0.85
    hold_s: float = 0.15

    def __post_init__(self) -> None:
        check_numbers(self, type(self).__name__)

    def quantity(self, body: Body) -> float:
        """What goes up and down; NaN where it is not known."""
        raise NotImplementedError

    def step(self, memory: Memory, body: Body) -> List[Finding]:
        """Take in one body; `memory` is changed, and nothing else."""
        value = self.quantity(body)
        down = memory.setdefault("down", False)
        if value != value:
            return []
        beyond = value > self.high if down else value < self.low
        if not beyond:
            memory.pop("at", None)
            if down:
                memory["least"] = min(memory.get("least", value), value)
            return []
        at = memory.setdefault("at", body.time)
        if body.time - at < self.hold_s - 1e-9:
            return []
        del memory["at"]
        memory["down"] = not down
        if not down:
            memory.update(since=at, least=value)
            return []
        memory["count"] = memory.get("count", 0) + 1
        values = {"lowest": memory["least"], "highest": value}
        limits = {"lowest": self.low, "highest": self.high}
        facts = {"count": memory["count"]}
        return [Finding(memory["since"], Reading(True, values, limits, (), facts), False, at)]


class Squat(Repetitions, frozen=True, forbid_unknown_fields=True):
    """Squats: the thighs go level, with the feet on the floor, and upright again. Sitting down and
    getting up counts as one; kneeling does not."""

    def quantity(self, body: Body) -> float:
        """How upright the thighs are; 1 where the shins say that somebody kneels or lies."""
        return body.thigh if not body.shin < 0.5 else 1.0
