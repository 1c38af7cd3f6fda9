"""How a rule decides: readings of a body in, held over time, findings with their evidence out."""

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import msgspec

from ....core import ConfigError
from ..bodies import Body

Memory = Dict[str, Any]
"""What a rule remembers of one person: plain types, as snapshots take it along."""

STEP_S, LOST_S = 0.5, 1.0


class Reading(NamedTuple):
    """What a rule sees in one body.

    Attributes:
        holds: Whether it is so; None where that cannot be told.
        values: What was measured, by name.
        limits: What it was measured against, by the same names.
        keypoints: The points that were looked at.
        facts: What else the event should say, e.g. the side.
    """

    holds: Optional[bool]
    values: Dict[str, float] = {}
    limits: Dict[str, float] = {}
    keypoints: tuple = ()
    facts: Dict[str, Any] = {}


class Finding(NamedTuple):
    """What a rule found: something began (`over` False), or it is over.

    Attributes:
        since: Seconds of the frame clock at which it began.
        reading: What it was found by.
        over: Whether this is the end of it.
        until: When it ended; the time of the finding while it goes on.
    """

    since: float
    reading: Reading
    over: bool = False
    until: float = 0.0


class HeldRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule that looks at single bodies: what it sees must hold for a while.

    Time that speaks for it adds up, time that speaks against takes it down twice as fast; what
    cannot be told changes nothing, for a second. When found it stays found until as much speaks
    against it, and is then not found again for a while. Subclasses write `read`.

    Attributes:
        after_s: Seconds that it must hold.
        release_s: Seconds that it must be gone.
        cool_down_s: Seconds after that, in which it is not found again.

    Raises:
        ConfigError: A setting is negative or not finite.
    """

    after_s: float = 0.3
    release_s: float = 0.35
    cool_down_s: float = 0.4

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not 0 <= value < math.inf:
                raise ConfigError(f"{name} is wrong", got=value, expected="0 or more")

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """What is seen in a body, by key: each side, or each zone, is held on its own.

        Args:
            body: The person.
            found: Which keys are found at present, for limits with hysteresis.
            memory: What the rule itself wants to remember, plain types.
        """
        raise NotImplementedError

    def step(self, memory: Memory, body: Body) -> List[Finding]:
        """Take in one body; `memory` is changed, and nothing else."""
        holds = memory.setdefault("holds", {})
        found = {key: bool(hold["found"]) for key, hold in holds.items()}
        readings = self.read(body, found, memory)
        findings: List[Finding] = []
        for key in sorted({*readings, *holds}):
            reading = readings.get(key, Reading(False))
            hold = holds.get(key)
            if hold is None:
                if not reading.holds:
                    continue
                hold = holds[key] = _new_hold(body.time)
            self._hold(hold, reading, body.time, findings)
            if not hold["found"] and not hold["charge"] and body.time >= hold["cool"]:
                del holds[key]
        return findings

    def _hold(
        self, hold: Dict[str, Any], reading: Reading, now: float, findings: List[Finding]
    ) -> None:
        step = min(now - hold["last"], STEP_S)
        hold["last"] = now
        if reading.holds is not None:
            hold["known"] = now
        holds = reading.holds
        if holds is None and now - hold["known"] > LOST_S:
            holds = False
        if hold["found"]:
            if holds:
                hold["gone"] = max(hold["gone"] - 2 * step, 0.0)
            elif holds is not None:
                if hold["gone"] == 0.0:
                    hold["until"] = now
                hold["gone"] += step
                if hold["gone"] >= self.release_s - 1e-9:
                    findings.append(Finding(hold["since"], reading, True, hold["until"]))
                    hold.update(found=False, charge=0.0, gone=0.0, cool=now + self.cool_down_s)
            return
        if holds:
            if hold["charge"] == 0.0:
                hold["since"] = now
                step = 0.0
            hold["charge"] += step or 1e-12  # the first look stands for no time
            if hold["charge"] >= self.after_s - 1e-9 and now >= hold["cool"]:
                hold.update(found=True, gone=0.0)
                findings.append(Finding(hold["since"], reading, False, now))
        elif holds is not None:
            hold["charge"] = max(hold["charge"] - 2 * step, 0.0)


def _new_hold(now: float) -> Dict[str, Any]:
    return {
        "charge": 0.0, "since": now, "last": now, "known": now,
        "found": False, "gone": 0.0, "until": now, "cool": now,
    }  # fmt: skip


class FunctionRule(HeldRule, frozen=True, forbid_unknown_fields=True):
    """A user's function of a body, held over time; see `rule`."""

    function: Optional[Callable[[Body], Any]] = None

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """What the function gives: a `Reading`, or whether it holds, None being not known."""
        assert self.function is not None
        seen = self.function(body)
        return {"": seen if isinstance(seen, Reading) else Reading(seen and bool(seen))}


def rule(after_s: float = 0.3, release_s: float = 0.35, cool_down_s: float = 0.4):
    """Turn a function of a `Body` into a rule, for `rules: [my_module:name]` in a config.

    Args:
        after_s: See `HeldRule`, as the others.
        release_s: Seconds that it must be gone.
        cool_down_s: Seconds in which it is then not found again.
    """

    def decorate(function: Callable[[Body], Any]) -> FunctionRule:
        return FunctionRule(after_s, release_s, cool_down_s, function)

    return decorate
