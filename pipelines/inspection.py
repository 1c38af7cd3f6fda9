"""Parts judged once each: looks in, verdicts out."""

import hashlib
import math
from statistics import median
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import msgspec
import numpy as np

from ..core import DataError, Detections, Event, Observation, Tracks
from ..core.verdict import PASS, UNSURE, Reason, Verdict
from ..runtime.inspect.recipe.config import Recipe
from . import state as states
from .events import EventMaker
from .events import seconds as rounded

VERSION = 2
"""Of the state; one written by another version is refused."""

STILL = 0.02  # of its size: how far a part that lies still may seem to move between two looks
GONE_S = 0.4  # a part that was not seen for so long is gone
BACK = 0.03  # of its size: how far a part must have gone on from its best place
DRIFTED = 5  # pictures in another light than when taught, or in that one again, before it is told
KEPT = 5  # looks at a part of which the verdict is made: those nearest to the place


class Inspection:
    """The inspection of one camera; has the shape of `core.Pipeline`.

    Its observations carry the findings of `runtime.inspect.inspector`. Each part brings one event
    `verdict`: `{"part", "serial", "verdict", "score", "reasons", "defects", "box", "looks",
    "recipe", "version", "recipe_hash", "models"}`; a reason is `{"name", "outcome", "value",
    "limits", "margin", "uncertainty", "unit", "text"}`, those that passed as well, boxes are
    `[left, top, right, bottom]` in pixels.

    Light that drifts beyond what good parts were taught in brings an event `condition`: `{"name",
    "state", "value", "limits", "text"}`, `state` being `drifted` or `as taught`. Parts are judged
    all the same, until the light is too far off to judge.

    By arrival a part is judged when it lies still or is past the place where it is seen best, from
    its nearest looks, each value being their median. What was never whole in view is unsure, and
    so is a part on which nothing could be measured.

    Args:
        camera: Name of the camera.
        settings: The recipe.
        size: `(width, height)` of the picture.
        classes: Not used.
    """

    task = "inspect"
    Settings = Recipe

    def __init__(
        self, camera: str, settings: Recipe, size: Tuple[int, int], classes: Sequence[str] = ()
    ) -> None:
        self.settings = settings
        self._size = (int(size[0]), int(size[1]))
        self._place = np.array(settings.trigger.place) * size
        self._events = EventMaker(camera)
        self._following: List[Dict[str, Any]] = []
        self._told = 0
        self._ids = 0
        self._due: Optional[float] = None
        self._now = -math.inf
        self._identity: Dict[str, Any] = {}
        self._seen: Optional[Tracks] = None
        self._drift: Dict[str, Any] = {"told": False, "pictures": 0}
        shape = msgspec.json.encode([settings, list(self._size), VERSION])
        self._fingerprint = hashlib.blake2b(shape, digest_size=16).hexdigest()

    def process(self, observation: Observation) -> List[Event]:
        """The verdicts that this picture brings.

        Raises:
            DataError: The observation has no findings, or its time is not finite.
        """
        if not math.isfinite(observation.timestamp):
            raise DataError("an observation has no time", got=observation.timestamp)
        findings = observation.findings
        if findings is None:
            raise DataError(
                "an inspection needs the findings of an inspector",
                got="boxes alone",
                remedy="run the recipe on pictures: detections cannot be replayed",
            )
        now = self._now = max(float(observation.timestamp), self._now)
        self._events.at(now)
        self._identity = dict(findings.identity)
        told = self._condition(getattr(findings, "light", None))
        by = self.settings.by
        if by == "arrival":
            return told + self._arrivals(findings, now, observation.index)
        self._show(findings.detections, np.arange(len(findings.parts)) + 1)
        if by == "timer":
            if self._due is not None and now < self._due:
                return told
            every = self.settings.trigger.every
            # Kept to the beat, also where a picture came late.
            late = 0.0 if self._due is None else (now - self._due) % every
            self._due = now + every - late
        return [*told, self._picture(findings, now, observation.index)]

    def tick(self, timestamp: float) -> List[Event]:
        """The verdicts on parts that are gone, where no picture comes."""
        now = self._now = max(float(timestamp), self._now)
        self._events.at(now)
        return self._lost(now)

    def finish(self) -> List[Event]:
        """The end leaves parts in view that had not reached their place: they are unsure."""
        told = []
        for part in self._following:
            if not part["told"] and (part["looks"] or part.get("away", 0.0) > 0):
                text = "the pictures ended before the part had reached its place"
                reason = Reason("end", None, condition=True, text=text)
                box, index = part["last"]
                told.append(self._tell(Verdict.of([reason]), box, [], part["at"], index, 0))
        self._following = []
        return told

    def tracks(self) -> Optional[Tracks]:
        """The parts in the last picture."""
        return self._seen

    def snapshot(self) -> bytes:
        """The whole state, for `restore` after a restart."""
        return states.encode(
            {
                "pipeline": "inspection", "fingerprint": self._fingerprint, "now": self._now,
                "events": self._events.state(), "following": self._following, "told": self._told,
                "ids": self._ids, "due": self._due, "identity": self._identity,
                "drift": self._drift,
            }
        )  # fmt: skip

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            DataError: The bytes are damaged, or of another recipe or version.
        """
        data = states.decode_own(state, "inspection", self._fingerprint)
        self._events.load_state(data["events"])
        self._following, self._told, self._ids = data["following"], data["told"], data["ids"]
        self._due, self._now, self._identity = data["due"], data["now"], data["identity"]
        self._drift = data["drift"]

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """`inspected`, `passed`, `failed`, `unsure`, `yield` (passed of all, None of none) and
        `reasons`: how often each decided against a part."""
        counts = {"pass": 0, "fail": 0, "unsure": 0}
        reasons: Dict[str, int] = {}
        challenges = {"passed": 0, "failed": 0}
        for event in events:
            if event.kind == "verdict":
                counts[event.payload["verdict"]] += 1
                for name in deciding(event.payload):
                    reasons[name] = reasons.get(name, 0) + 1
            elif event.kind == "challenge":
                challenges["passed" if event.payload["passed"] else "failed"] += 1
        total = sum(counts.values())
        told: Dict[str, Any] = {
            "inspected": total, "passed": counts["pass"], "failed": counts["fail"],
            "unsure": counts["unsure"],
            "yield": round(counts["pass"] / total, 4) if total else None,
            "reasons": dict(sorted(reasons.items(), key=lambda r: (-r[1], r[0]))),
        }  # fmt: skip
        if any(challenges.values()):
            told["challenges"] = challenges
        return told

    def _condition(self, light: Optional[Tuple[float, float, float]]) -> List[Event]:
        """Tell when light leaves what was taught, and when it is back."""
        if light is None:
            return []
        value, low, high = light
        drift = self._drift
        outside = not low <= value <= high
        drift["pictures"] = drift["pictures"] + 1 if outside != drift["told"] else 0
        if drift["pictures"] < DRIFTED:
            return []
        drift.update(told=outside, pictures=0)
        text = "The light is again as it was when good parts were taught."
        if outside:
            away = value / max(high if value > high else low, 1.0) - 1
            text = (
                f"The light is {abs(away):.0%} {'above' if away > 0 else 'below'} what good parts "
                "were taught in. Parts are judged as in the taught light; mend it, or teach again."
            )
        payload = {
            "name": "light", "state": "drifted" if outside else "as taught",
            "value": round(value, 2), "limits": [round(low, 2), round(high, 2)], "text": text,
        }  # fmt: skip
        return [self._events.make("condition", payload)]

    def _picture(self, findings: Any, now: float, index: int) -> Event:
        """The verdict on a triggered picture."""
        from ..runtime.inspect.judging.judge import combine

        shape = (self._size[1], self._size[0])
        judged = combine(findings.parts, findings.problems, self.settings.part.count, shape)
        return self._tell(judged.verdict, _box(judged.xyxy), _defects(judged), now, index, 1)

    def _arrivals(self, findings: Any, now: float, index: int) -> List[Event]:
        told = self._lost(now)
        parts = findings.parts
        owners = self._match(parts, now)
        for judged, part in zip(parts, owners):
            self._look(part, judged, now, index)
        told += [self._verdict(p) for p in owners if not p["told"] and self._ready(p, now)]
        self._show(findings.detections, np.array([p["id"] for p in owners], np.int64))
        return told

    def _show(self, found: Detections, ids: np.ndarray) -> None:
        yes = np.ones(len(ids), bool)
        self._seen = Tracks(
            track_id=ids, xyxy=found.xyxy, measured=found.xyxy, score=found.score,
            class_id=found.class_id, observed=yes, confirmed=yes, ended=np.zeros(0, np.int64),
        )  # fmt: skip

    def _match(self, parts: Sequence[Any], now: float) -> List[Dict[str, Any]]:
        """Whose look each is: the nearest part that may have come there since its last look."""
        pairs = []
        for k, judged in enumerate(parts):
            for p in self._following:
                ago = max(now - p["at"], 1e-6)
                ahead = np.array(p["middle"]) + np.array(p["speed"]) * ago
                away = float(np.hypot(*(np.asarray(judged.middle) - ahead)))
                reach = 0.7 * max(judged.size, p["size"])
                if away < reach:
                    pairs.append((away / reach, k, p["id"]))
        known = {p["id"]: p for p in self._following}
        owners: Dict[int, Dict[str, Any]] = {}
        taken = set()
        for _, k, owner in sorted(pairs):
            if k not in owners and owner not in taken:
                owners[k] = known[owner]
                taken.add(owner)
        for k, judged in enumerate(parts):
            if k not in owners:
                self._ids += 1
                owners[k] = {
                    "id": self._ids, "at": now, "middle": [float(v) for v in judged.middle],
                    "speed": [0.0, 0.0], "size": float(judged.size), "still": now, "told": False,
                    "best": None, "looks": [], "first": now, "seen": 0, "from": None,
                }  # fmt: skip
                self._following.append(owners[k])
        return [owners[k] for k in range(len(parts))]

    def _look(self, part: Dict[str, Any], judged: Any, now: float, index: int) -> None:
        middle = [float(v) for v in judged.middle]
        ago = now - part["at"]
        moved = math.dist(middle, part["middle"]) if part["seen"] else 0.0
        if ago > 0 and not judged.cut:
            # What the border cuts shows its middle elsewhere: it tells no speed.
            part["speed"] = [(a - b) / ago for a, b in zip(middle, part["middle"])]
        if moved > STILL * judged.size:
            part["still"] = now
        part.update(at=now, middle=middle, size=float(judged.size))
        part["seen"] += 1
        box = _box(judged.xyxy)
        part["last"] = [box, index]
        if judged.cut or judged.far or part["told"]:
            part["away"] = math.dist(middle, self._place.tolist()) if not judged.cut else 0.0
            return
        away = math.dist(middle, self._place.tolist())
        look = {
            "away": away, "time": now, "index": index, "box": box, "defects": _defects(judged),
            "score": judged.verdict.score, "reasons": [_plain(r) for r in judged.verdict.reasons],
        }  # fmt: skip
        if not part["looks"]:
            part["from"] = now
        part["looks"] = sorted([*part["looks"], look], key=lambda one: one["away"])[:KEPT]
        part["best"] = part["looks"][0]["away"]
        part["away"] = away

    def _ready(self, part: Dict[str, Any], now: float) -> bool:
        """Whether a part lies still, or is past the place where it is seen best."""
        if not part["looks"] or "away" not in part:
            return False
        if part["away"] > part["best"] + BACK * part["size"]:
            return True
        start = max(part["still"], part["from"])
        return now - start >= self.settings.trigger.still and part["seen"] > 2

    def _lost(self, now: float) -> List[Event]:
        """Verdicts on parts that are not seen any more."""
        gone = [p for p in self._following if now - p["at"] > GONE_S]
        self._following = [p for p in self._following if now - p["at"] <= GONE_S]
        # What was seen once for a moment at the border was no part.
        return [self._verdict(p) for p in gone if not p["told"] and (p["looks"] or p["seen"] > 1)]

    def _verdict(self, part: Dict[str, Any]) -> Event:
        part["told"] = True
        if not part["looks"]:
            # Whole, but never so near to its place that it was judged, or never whole.
            whole = part.get("away", 0.0) > 0
            text = "the part was never near the place where it is judged" if whole else (
                "the part was never whole in view")  # fmt: skip
            reason = Reason("place" if whole else "cut", None, condition=True, text=text)
            box, index = part["last"]
            part["looks"] = []
            return self._tell(Verdict.of([reason]), box, [], part["at"], index, 0)
        looks, part["looks"] = part["looks"], []
        best = looks[0]
        verdict = fuse(looks)
        defects = best["defects"]
        if verdict.verdict == "fail" and not defects:
            defects = next((one["defects"] for one in looks if one["defects"]), [])
        if verdict.verdict == PASS:
            defects = []
        return self._tell(verdict, best["box"], defects, best["time"], best["index"], len(looks))

    def _tell(
        self, verdict: Verdict, box: List[float], defects: List[Dict[str, Any]], when: float,
        index: int, looks: int,
    ) -> Event:  # fmt: skip
        self._told += 1
        score = verdict.score
        return self._events.make(
            "verdict",
            {
                "part": self._told,
                "serial": f"{self.settings.serial}{self._told:06d}",
                "verdict": verdict.verdict,
                "score": None if score is None else round(score, 4),
                "reasons": [reason.as_dict() for reason in verdict.reasons],
                "defects": defects if verdict.verdict != PASS else [],
                "box": box,
                "seen": rounded(when),
                "frame": int(index),
                "looks": looks,
                **self._identity,
            },
        )


def fuse(looks: Sequence[Mapping[str, Any]]) -> Verdict:
    """One verdict from several looks at a part, by the median of each value.

    A condition that is broken in the best look is broken; a reason that half of the looks or more
    could not give a value has none.
    """
    names = dict.fromkeys(r["name"] for look in looks for r in look["reasons"])
    reasons = []
    for name in names:
        own = [r for look in looks for r in look["reasons"] if r["name"] == name]
        first = own[0]
        values = [r["value"] for r in own if r["value"] is not None]
        if len(own) * 2 < len(looks):
            continue  # what only few looks tell, e.g. of one that was spared the finer checks
        value = median(values) if 2 * len(values) > len(own) else None
        if value is not None:
            # How sure it is may depend on the value: as of the look that says what is told.
            said = [r for r in own if r["value"] is not None]
            first = min(said, key=lambda r: abs(r["value"] - value))
        reasons.append(Reason(**{**first, "value": value}))
    scores = [look["score"] for look in looks if look["score"] is not None]
    verdict = Verdict.of(reasons, median(scores) if scores else None)
    if not reasons:
        text = "looks at the part tell different things"
        return Verdict.of([Reason("looks", None, condition=True, text=text)])
    return verdict


def deciding(payload: Mapping[str, Any]) -> List[str]:
    """Names of the reasons that decided against a part; none of one that passed."""
    if payload["verdict"] == PASS:
        return []
    wanted = payload["verdict"]
    told = [r for r in payload["reasons"] if r["outcome"] != PASS]
    first = [r["name"] for r in told if r["outcome"] == wanted]
    return list(dict.fromkeys(first or [r["name"] for r in told] or [UNSURE]))


def _box(xyxy: Any) -> List[float]:
    return [round(float(v), 1) for v in xyxy]


def _defects(judged: Any) -> List[Dict[str, Any]]:
    return [
        {"xyxy": _box(box), "score": round(float(score), 4)}
        for box, score in zip(judged.defects, judged.scores)
    ]


def _plain(reason: Reason) -> Dict[str, Any]:
    value = None if reason.value is None or reason.value != reason.value else float(reason.value)
    return {
        "name": reason.name, "value": value, "low": reason.low, "high": reason.high,
        "uncertainty": float(reason.uncertainty), "unit": reason.unit,
        "condition": reason.condition, "text": reason.text,
    }  # fmt: skip
