"""Signs that people give with their arms."""

from typing import Dict, List, Optional, Sequence

from ..angles import angle, distance, from_down, known, turns
from ..areas import Areas
from ..bodies import SHOULDERS, Body
from .base import HeldRule, Memory, Reading

SIDES = ("left", "right")
LEAP = 0.12
"""Heights that a wrist cannot move from its elbow in one step of a trail."""
EDGEWAYS = 62.0
"""Degrees from which on a person is seen too much from the side for what goes across the body."""
OTHER = {"left": "right", "right": "left"}


def _limit(found: bool, begin: float, end: float) -> float:
    """Hysteresis: the limit to be found, and the one to stay so."""
    return end if found else begin


def _standing(body: Body) -> bool:
    """Whether the torso is upright; yes where it is not seen."""
    return not body.torso < 0.6


def _raised(body: Body, side: str) -> float:
    """How far the wrist is above the face; a fallback to the shoulders where that is hidden."""
    wrist = f"{side}_wrist"
    over = body.above(wrist, "face")
    return over if known(over) else body.above(wrist, "shoulders") - 0.1


def _swing(body: Body, side: str, seconds: float) -> float:
    there = [v for v in body.swings(side, seconds) if v == v]
    return max(there) - min(there) if there else 0.0


def _unbroken(course: Sequence[float]) -> List[List[float]]:
    """The parts of a course between leaps that no arm makes: where one was taken for the other."""
    parts: List[List[float]] = [[]]
    for value in course:
        if value == value:
            if parts[-1] and abs(value - parts[-1][-1]) > LEAP:
                parts.append([])
            parts[-1].append(value)
    return parts


class HandRaised(HeldRule, frozen=True, forbid_unknown_fields=True):
    """One hand is held above the face, and does not wave.

    From the side a hand that waves looks as one that is held: `turned`, among the values, says how
    much the person is turned.

    Attributes:
        above: Heights that the wrist must be above the face.
        still: Heights that the wrist may swing, from elbow to elbow.
        still_s: Over how long that is looked at.
    """

    above: float = 0.03
    still: float = 0.065
    still_s: float = 0.7

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """By side."""
        readings = {}
        for side in SIDES:
            limit = _limit(found.get(side, False), self.above, self.above - 0.04)
            own, other = _raised(body, side), _raised(body, OTHER[side])
            swing = _swing(body, side, self.still_s)
            holds = None
            if own < limit or not _standing(body):
                holds = False
            elif known(own, other):
                holds = other < 0.0 and swing < self.still
            readings[side] = Reading(
                holds,
                {"above": own, "other": other, "swing": swing, "turned": body.turned},
                {"above": limit, "other": 0.0, "swing": self.still, "turned": EDGEWAYS},
                (f"{side}_wrist", f"{OTHER[side]}_wrist", "face"),
                {"side": side},
            )
        return readings


class HandsUp(HeldRule, frozen=True, forbid_unknown_fields=True):
    """Both hands are above the face.

    Attributes:
        above: Heights that both wrists must be above the face.
    """

    above: float = 0.03

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """One key."""
        limit = _limit(found.get("", False), self.above, self.above - 0.04)
        both = [_raised(body, side) for side in SIDES]
        holds = None
        if min(both) < limit or max(both) < limit or not _standing(body):
            holds = False
        elif known(*both):
            holds = True
        values = {"left": both[0], "right": both[1]}
        limits = {"left": limit, "right": limit}
        return {"": Reading(holds, values, limits, ("left_wrist", "right_wrist", "face"))}


class Wave(HeldRule, frozen=True, forbid_unknown_fields=True):
    """A raised forearm goes to and fro. Not to be seen from the side.

    Attributes:
        swing: Heights that each stroke of the wrist must have, seen from the elbow.
        turns: How often it must have turned back.
        within_s: In how many seconds.
    """

    after_s: float = 0.1
    release_s: float = 1.0
    swing: float = 0.06
    turns: int = 2
    within_s: float = 1.4

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """By side."""
        readings = {}
        for side in SIDES:
            wrist, elbow = f"{side}_wrist", f"{side}_elbow"
            lifted = min(body.above(wrist, elbow), body.above(wrist, "shoulders"))
            since = f"up_{side}"
            holds, count = None, 0
            if lifted < 0.04 or not _standing(body):
                holds = False
                memory.pop(since, None)
            elif known(lifted):
                # What the wrist did on its way up is no stroke.
                began = memory.setdefault(since, body.time)
                course = body.swings(side, min(self.within_s, body.time - began + 1e-6))
                count = sum(len(turns(part, self.swing)) for part in _unbroken(course))
                holds = count >= _limit(found.get(side, False), self.turns, 1)
                if holds and body.turned > EDGEWAYS:
                    holds = None  # what swings there is noise
            readings[side] = Reading(
                holds,
                {"turns": float(count), "swing": _swing(body, side, self.within_s)},
                {"turns": float(self.turns), "swing": self.swing},
                (wrist, elbow, "shoulders"),
                {"side": side},
            )
        return readings


class CrossedArms(HeldRule, frozen=True, forbid_unknown_fields=True):
    """Both wrists are before the chest, past each other. Not to be seen from the side.

    Elbows of crossed arms stay on their own sides, and wrists above them. Where the elbows are
    past each other too, it is the shoulders that were taken for one another, which tells nothing.

    Attributes:
        past: Heights that the wrists must be past each other.
    """

    after_s: float = 0.35
    release_s: float = 0.6
    past: float = 0.05

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """One key."""
        limit = _limit(found.get("", False), self.past, self.past - 0.04)
        left, right = body["left_shoulder"], body["right_shoulder"]
        wide = distance(left, right)
        names = ("left_wrist", "right_wrist", "left_shoulder", "right_shoulder")
        if not known(wide):
            return {"": Reading(None, keypoints=names)}
        past, drop, elbows = [], [], []
        across = (left[0] - right[0]) / max(wide, 1e-6), (left[1] - right[1]) / max(wide, 1e-6)
        middle = 0.5 * (left[0] + right[0]), 0.5 * (left[1] + right[1])
        for side, sign in (("left", -1.0), ("right", 1.0)):
            for name, found_past in (("wrist", past), ("elbow", elbows)):
                point = body[f"{side}_{name}"]
                x, y = point[0] - middle[0], point[1] - middle[1]
                found_past.append(sign * (x * across[0] + y * across[1]))
            drop.append(middle[1] - body[f"{side}_wrist"][1])
        values = {"past": past[0] + past[1], "wide": wide}
        limits = {"past": limit, "wide": 0.4 * SHOULDERS}
        holds = None
        if wide < limits["wide"] or not _standing(body):
            holds = False
        elif known(*elbows) and sum(elbows) > 0.04:
            holds = None
        elif known(*past, *drop):
            chest = all(-0.03 < d < 0.2 for d in drop)
            # Who is turned has both hands on one side of the shoulders, as they are before them.
            holds = chest and sum(past) > limit and min(past) > -0.1
        elif past[0] < -0.14 or past[1] < -0.14:
            holds = False
        return {"": Reading(holds, values, limits, names)}


class Pointing(HeldRule, frozen=True, forbid_unknown_fields=True):
    """One arm is stretched out across the picture, the other is not. An arm that points to the
    camera or away from it looks short, and is not told.

    Attributes:
        least: Degrees from hanging down from which on an arm is out.
        most: Degrees up to which it is.
        straight: Degrees at the elbow from which on it is straight.
        zones: Set from the config: what may be pointed at.
    """

    after_s: float = 0.4
    least: float = 64.0
    most: float = 120.0
    straight: float = 148.0
    zones: Areas = Areas()

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """By side; the zone is the one that the arm was towards most of the time."""
        readings = {}
        for side in SIDES:
            held = found.get(side, False)
            out, length, elbow = _arm(body, side)
            other, other_length, _ = _arm(body, OTHER[side])
            low = _limit(held, self.least, self.least - 8)
            high = _limit(held, self.most, self.most + 8)
            straight = _limit(held, self.straight, self.straight - 12)
            # From the side an arm that is held out sideways is short, one held out forward is not.
            least = 0.26 if body.turned > EDGEWAYS else 0.2
            holds = None
            idle = other < 45 or other_length < 0.17 or other > 135
            if not _standing(body):
                holds = False
            elif known(out, elbow, other):
                holds = low < out < high and elbow > straight and length > least and idle
            elif out < low or out > high or length < least:
                holds = False
            if holds:
                start = body.pixels(f"{side}_shoulder")
                zone = self.zones.along(start, body.pixels(f"{side}_wrist"))
                votes = memory.setdefault(side, {})
                votes[zone or ""] = votes.get(zone or "", 0) + 1
            elif holds is False and not held:
                memory.pop(side, None)
            readings[side] = Reading(
                holds,
                {"degrees": out, "elbow": elbow, "length": length},
                {"degrees": low, "elbow": straight, "length": least},
                (f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"),
                {"side": side, "zone": _most(memory.get(side, {}))},
            )
        return readings


def _most(votes: Dict[str, int]) -> Optional[str]:
    """The zone with most votes; None where most looks met none."""
    name = max(sorted(votes), key=lambda k: votes[k], default="")
    zones = [k for k in votes if k]
    if not name and zones:
        best = max(sorted(zones), key=lambda k: votes[k])
        name = best if votes[best] > 0.3 * sum(votes.values()) else ""
    return name or None


def _arm(body: Body, side: str) -> Sequence[float]:
    """Degrees from hanging down, heights from shoulder to wrist, degrees at the elbow."""
    shoulder, wrist = body[f"{side}_shoulder"], body[f"{side}_wrist"]
    elbow = angle(shoulder, body[f"{side}_elbow"], wrist)
    return from_down(shoulder, wrist), distance(shoulder, wrist), elbow
