"""Rules applied to everybody, and what they find told as events."""

import math
from typing import Any, Dict, List, Mapping, Optional

from ...core import DataError, Detections, Event
from ...runtime.pose.skeleton import Skeleton
from ..events import EventMaker, seconds
from .bodies import Bodies, knows, skeleton_for
from .rules.base import Finding, Memory
from .steady import SteadySettings


class Watch:
    """Looks at the bodies of all people with all rules.

    A rule's name is the kind of its events: `{"track", "since", "duration_s", "values", "limits",
    "keypoints"}` and what the rule adds, e.g. `side` or `zone`; `duration_s` is how long it had
    held when it was certain. What is over is told as `released`: `{"rule", "track", "since",
    "until", "duration_s"}` with the same additions.

    Args:
        rules: By name; each has `step(memory, body) -> findings`.
        skeleton: What the points are; None to tell by their number.
        settings: How points are steadied.
        events: Numbers the events.
        asked: Whether points that no rule can be used on are an error; else nothing is looked for.
    """

    def __init__(
        self,
        rules: Mapping[str, Any],
        skeleton: Optional[Skeleton],
        settings: SteadySettings,
        events: EventMaker,
        asked: bool = True,
    ) -> None:
        self.rules = dict(rules)
        self._skeleton, self._settings, self._events = skeleton, settings, events
        self._asked = asked
        self._bodies: Optional[Bodies] = None
        self._points = 0
        self._memory: Dict[int, Dict[str, Memory]] = {}
        self._open: Dict[int, Dict[str, List[Any]]] = {}  # by track, rule and addition

    def look(self, people: Detections, keypoints: Any, now: float) -> List[Event]:
        """Take in the people of one moment.

        Args:
            people: With track ids.
            keypoints: `(n, k, 3)` their points, not smoothed.
            now: Seconds.

        Raises:
            DataError: The points are not those of the skeleton.
        """
        if not self.rules or not len(people) or people.track_id is None:
            return []
        if not self._asked and self._skeleton is None and not knows(keypoints.shape[1]):
            return []
        bodies = self._made(keypoints.shape[1])(people.track_id.tolist(), keypoints, now)
        told = []
        for body in bodies:
            memory = self._memory.setdefault(body.track, {})
            for name, rule in self.rules.items():
                for finding in rule.step(memory.setdefault(name, {}), body):
                    told.append(self._tell(name, body.track, finding))
        return told

    def gone(self, track_id: int, now: float) -> List[Event]:
        """Forget a track; what was not over yet is now."""
        told = []
        for name, spells in self._open.pop(track_id, {}).items():
            for since, facts in spells:
                told.append(self._released(name, track_id, since, now, facts))
        self._memory.pop(track_id, None)
        if self._bodies is not None:
            self._bodies.drop(track_id)
        return told

    def known(self) -> List[int]:
        """The tracks that are remembered."""
        return sorted(self._memory)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {
            "points": self._points,
            "bodies": None if self._bodies is None else self._bodies.state(),
            "memory": self._memory,
            "open": self._open,
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._bodies = None
        if state["bodies"] is not None:
            self._made(int(state["points"])).load_state(state["bodies"])
        self._memory, self._open = state["memory"], state["open"]

    def _made(self, points: int) -> Bodies:
        if self._bodies is None:
            skeleton = self._skeleton or skeleton_for(points)
            if len(skeleton) != points:
                raise DataError(
                    "the skeleton of the config has another number of points than the net gives",
                    got=f"{len(skeleton)} in the config",
                    expected=f"{points} as the net gives",
                )
            self._bodies, self._points = Bodies(skeleton, self._settings), points
        if points != self._points:
            raise DataError(
                "poses with different numbers of points are mixed",
                got=f"{points} points",
                expected=f"{self._points} as before",
            )
        return self._bodies

    def _tell(self, name: str, track: int, finding: Finding) -> Event:
        reading = finding.reading
        facts = dict(reading.facts)
        spells = self._open.setdefault(track, {}).setdefault(name, [])
        if finding.over:
            began = next((s for s in spells if s[0] == finding.since), [finding.since, facts])
            if began in spells:
                spells.remove(began)
            return self._released(name, track, finding.since, finding.until, began[1])
        if reading.holds and "count" not in facts:
            spells.append([finding.since, facts])
        payload = {
            "track": track,
            "since": seconds(finding.since),
            "duration_s": seconds(max(finding.until - finding.since, 0.0)),
            **facts,
            "values": _rounded(reading.values),
            "limits": _rounded(reading.limits),
            "keypoints": list(reading.keypoints),
        }
        return self._events.make(name, payload)

    def _released(
        self, name: str, track: int, since: float, until: float, facts: Mapping[str, Any]
    ) -> Event:
        payload = {
            "rule": name,
            "track": track,
            "since": seconds(since),
            "until": seconds(until),
            "duration_s": seconds(max(until - since, 0.0)),
            **facts,
        }
        return self._events.make("released", payload)


def _rounded(values: Mapping[str, float]) -> Dict[str, float]:
    """What is known of them, to thousandths."""
    return {name: round(float(v), 3) for name, v in values.items() if math.isfinite(v)}
