"""What must not happen: falls, people who do not get up, bad lifts, hands where none may be."""

from typing import Dict, List, Optional, Tuple

from ..angles import known
from ..areas import Areas
from ..bodies import Body
from .base import Finding, HeldRule, Memory, Reading


def lying(body: Body, found: bool) -> Optional[bool]:
    """Whether somebody lies: neither torso nor thighs nor shins are upright.

    Args:
        body: The person.
        found: Whether they were lying until now.
    """
    torso, legs, both = (0.7, 0.75, 1.12) if found else (UPRIGHT["torso"], 0.65, UPRIGHT["sum"])
    leg = max((v for v in (body.thigh, body.shin) if v == v), default=float("nan"))
    if body.torso > torso or leg > legs or body.torso + leg > both:
        return False
    return True if known(body.torso, leg) else None


UPRIGHT = {"torso": 0.6, "thigh": 0.65, "shin": 0.65, "sum": 1.0}
"""Who lies is below all of them: how upright each part is, and the torso with the longer leg part.
Who lifts with knees and back bent towards the camera reaches 1.1, who lies away from it 0.9."""


def _upright(body: Body) -> Tuple[Dict[str, float], Dict[str, float]]:
    leg = max((v for v in (body.thigh, body.shin) if v == v), default=float("nan"))
    values = {"torso": body.torso, "thigh": body.thigh, "shin": body.shin}
    return {**values, "sum": body.torso + leg}, dict(UPRIGHT)


LYING = ("shoulders", "hips", "knees", "ankles")


class LongLie(HeldRule, frozen=True, forbid_unknown_fields=True):
    """Somebody lies for long, however they came to."""

    after_s: float = 10.0
    release_s: float = 1.0
    cool_down_s: float = 2.0

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """One key."""
        down = memory["down"] = lying(body, memory.get("down") or found.get("", False))
        return {"": Reading(down, *_upright(body), LYING)}


class Fall(HeldRule, frozen=True, forbid_unknown_fields=True):
    """Upright, a fast drop, down, and staying down.

    Lying down with care, by way of kneeling or sitting, takes longer than a fall.

    Attributes:
        after_s: Seconds of staying down.
        drop_s: Seconds that the way down may take at most.
        drop: Heights that the shoulders must have come down meanwhile.
    """

    after_s: float = 1.0
    release_s: float = 0.6
    cool_down_s: float = 1.0
    drop_s: float = 1.2
    drop: float = 0.12

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """One key."""
        now = body.time
        down = lying(body, memory.get("down", False))
        if down is None:
            return {"": Reading(None, *_upright(body), LYING)}
        height = body["shoulders"][1]
        if not down:
            highest: List[List[float]] = memory.setdefault("heights", [])
            highest.append([now, height])
            while highest and highest[0][0] < now - self.drop_s - 0.5:
                highest.pop(0)
            if body.torso > 0.7 or body.thigh > 0.85 or body.shin > 0.85:
                memory["upright"] = now
        elif not memory.get("down"):
            recent = [h for t, h in memory.get("heights", []) if t > now - self.drop_s and h == h]
            since = now - memory.get("upright", float("-inf"))
            dropped = max(recent, default=float("nan")) - height
            memory["fell"] = [since, dropped]
        memory["down"] = down
        since, dropped = memory.get("fell", [float("inf"), 0.0])
        values, limits = _upright(body)
        values.update(drop_s=since, drop=dropped, speed=dropped / max(since, 1e-3))
        limits.update(drop_s=self.drop_s, drop=self.drop)
        fell = since <= self.drop_s and (dropped > self.drop or not known(dropped))
        return {"": Reading(down and fell, values, limits, LYING)}


class BentLift(HeldRule, frozen=True, forbid_unknown_fields=True):
    """Something was lifted from the floor with a bent back.

    Both hands were low while the back was bent, and soon after the person stands and holds both
    hands before the body. Who only bends down, or picks up nothing, comes up with hanging arms.

    Attributes:
        after_s: Seconds that it must be held.
        lean: Degrees from which on a back is bent.
        rise_s: Seconds between the floor and holding it at most.
    """

    after_s: float = 0.15
    release_s: float = 0.3
    lean: float = 42.0
    rise_s: float = 1.3

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """One key."""
        now = body.time
        low = _low(body) and not lying(body, False)
        if low and known(body.lean):
            leans: List[List[float]] = memory.setdefault("leans", [])
            leans.append([now, body.lean])
            while leans[0][0] < now - 0.45:
                leans.pop(0)
        leans = memory.get("leans", [])
        if leans and now - leans[-1][0] > self.rise_s + 2.0:
            leans = memory["leans"] = []
        ordered = sorted(lean for _, lean in leans)
        lean = ordered[len(ordered) // 2] if ordered else 0.0
        rise = now - leans[-1][0] if leans else float("inf")
        carries = _carries(body)
        limit = self.rise_s + (2.0 if found.get("") else 0.0)
        holds = carries if carries is None else bool(carries and lean > self.lean and rise < limit)
        return {
            "": Reading(
                holds,
                {"lean": lean, "rise_s": rise if leans else 0.0},
                {"lean": self.lean, "rise_s": self.rise_s},
                ("shoulders", "hips", "knees", "ankles", "left_wrist", "right_wrist"),
            )
        }

    def step(self, memory: Memory, body: Body) -> List[Finding]:
        """As every held rule; a new lift begins with the hands down again."""
        findings = super().step(memory, body)
        if any(finding.over for finding in findings):
            memory["leans"] = []
        return findings


def _low(body: Body) -> bool:
    """Whether the hands are at the height of the knees or below; False where not known."""
    wrists = [body.above(f"{side}_wrist", "knees") for side in ("left", "right")]
    there = [w for w in wrists if w == w]
    return bool(there) and max(there) < 0.07


def _carries(body: Body) -> Optional[bool]:
    """Whether somebody stands with both hands held before the body, not hanging."""
    if body.torso < 0.8 or body.thigh < 0.75:
        return False
    drops = [-body.above(f"{side}_wrist", "shoulders") / 0.285 for side in ("left", "right")]
    near = body.apart("left_wrist", "right_wrist")
    across = body["left_shoulder"][0] - body["right_shoulder"][0]
    hands = body["left_wrist"][0] - body["right_wrist"][0]
    if abs(across) > 0.1 and hands * across < 0.002:  # crossed, which none who carries has
        return False
    if not known(*drops, near, body.torso):
        return None
    return all(0.42 < drop < 1.0 for drop in drops) and near < 0.3


class Reach(HeldRule, frozen=True, forbid_unknown_fields=True):
    """A hand is in a forbidden zone.

    Attributes:
        zones: Set from the config: those that are forbidden.
    """

    after_s: float = 0.4
    zones: Areas = Areas()

    def read(self, body: Body, found: Dict[str, bool], memory: Memory) -> Dict[str, Reading]:
        """By zone; of both hands, the one that is in it."""
        readings = {}
        names = ("left_wrist", "right_wrist")
        places = [body.pixels(name) for name in names]
        for zone in self.zones.names:
            inside = [self.zones.holds(zone, place) for place in places]
            holds: Optional[bool] = any(inside)
            if not holds and not all(known(*place) for place in places):
                holds = None
            side = None if not any(inside) else ("left", "right")[inside.index(True)]
            x, y = places[1] if side == "right" else places[0]
            point = {"x": x, "y": y} if holds else {}
            readings[zone] = Reading(holds, point, {}, names, {"zone": zone, "side": side})
        return readings
