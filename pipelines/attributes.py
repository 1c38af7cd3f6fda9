"""What a second model says of each track, voted over the track's life."""

import math
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence

import msgspec
import numpy as np

from ..core import ConfigError, Event, Observation, Regions, Tracks
from .events import class_name
from .following import Following


class AttributeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How tracks are looked at by a second model.

    Attributes:
        every_s: Seconds between two looks at one track.
        most: Tracks that are looked at in a frame at most; those looked at longest ago first.
        size: Pixels that the shorter side of a box has at least.
        least: Mean score from which on a class is told; below nothing is certain.
        top: How many classes are told with it.
    """

    every_s: float = 0.3
    most: int = 8
    size: float = 12.0
    least: float = 0.5
    top: int = 3

    def __post_init__(self) -> None:
        for name in ("every_s", "size", "least"):
            if not 0 <= getattr(self, name) < math.inf:
                got = getattr(self, name)
                raise ConfigError(f"attributes.{name} is wrong", got=got, expected="0 or more")
        for name in ("most", "top"):
            if getattr(self, name) < 1:
                got = getattr(self, name)
                raise ConfigError(f"attributes.{name} is wrong", got=got, expected="1 or more")


class Asked(NamedTuple):
    """What was known of a frame when its regions were asked for.

    Attributes:
        tracks: The tracks of that moment.
        track_ids: Whose boxes the regions are.
    """

    tracks: Tracks
    track_ids: List[int]


class Attributes:
    """Asks a second model about tracks, and counts its answers.

    The mean of the scores of all looks decides, so that one look from behind or half hidden does
    not. For a pipeline: `regions` and `take` are its two halves.

    Args:
        settings: See there.
        following: What gives the tracks.
    """

    def __init__(self, settings: AttributeSettings, following: Following) -> None:
        self.settings = settings
        self._following = following
        self._names: Sequence[str] = ()
        self._multi = False
        self._asked: Dict[int, float] = {}
        self._votes: Dict[int, np.ndarray] = {}
        self._looks: Dict[int, int] = {}

    def meet(self, model: Any) -> None:
        """Take note of the model that is asked: its classes, and whether they exclude one
        another."""
        self._names = list(getattr(model, "classes", ()))
        self._multi = bool(getattr(model, "multi", False))

    def regions(self, observation: Observation, now: float) -> Regions:
        """The boxes of the tracks that are due; `note` is an `Asked`."""
        tracks = self._follow(observation, now)
        boxes = tracks.measured
        sides = boxes[:, 2:] - boxes[:, :2]
        seen = tracks.confirmed & tracks.observed & (sides.min(axis=1, initial=math.inf) > 0)
        seen &= (sides >= self.settings.size).all(axis=1)
        due = []
        for row in np.flatnonzero(seen).tolist():
            last = self._asked.get(int(tracks.track_id[row]), -math.inf)
            if now - last >= self.settings.every_s - 1e-9:
                due.append((last, -float(sides[row].prod()), row))
        rows = [row for _, _, row in sorted(due)[: self.settings.most]]
        ids = tracks.track_id[rows].tolist()
        for track in ids:
            self._asked[track] = now
        for track in tracks.ended.tolist():
            self._asked.pop(track, None)
        return Regions(boxes[rows], note=Asked(tracks, ids))

    def take(self, observation: Observation, now: float) -> Tracks:
        """The tracks of the observation; what was answered about them is counted."""
        regions = observation.regions
        if regions is None:
            return self._follow(observation, now)
        asked: Asked = regions.note
        if regions.answer is not None:
            for track, row in zip(asked.track_ids, np.asarray(regions.answer, np.float64)):
                if not np.isfinite(row).all():
                    continue
                known = self._votes.get(track)
                self._votes[track] = row if known is None else known + row
                self._looks[track] = self._looks.get(track, 0) + 1
        return asked.tracks

    def of(self, track: int) -> Optional[Dict[str, Any]]:
        """What is known of a track: `class`, or with classes that may be there together
        `classes`, `score`, `top` and `looks`; None where nobody looked. Where nothing is certain
        `class` is None."""
        votes = self._votes.get(track)
        if votes is None:
            return None
        mean, least = votes / self._looks[track], self.settings.least
        order = np.argsort(-mean, kind="stable")
        told: Dict[str, Any] = {}
        best = int(order[0])
        if self._multi:
            told["classes"] = [self._name(k) for k in np.flatnonzero(mean >= least).tolist()]
        else:
            told["class"] = self._name(best) if mean[best] >= least else None
        told["score"] = round(float(mean[best]), 3)
        told["top"] = [
            [self._name(k), round(float(mean[k]), 3)] for k in order[: self.settings.top].tolist()
        ]
        told["looks"] = self._looks[track]
        return told

    def words(self, tracks: Optional[Tracks]) -> Dict[int, List[str]]:
        """The names of what is certain of each track, by its id; of none without tracks."""
        ids = [] if tracks is None else tracks.track_id.tolist()
        return {track: words(self.of(track)) for track in ids}

    def drop(self, track: int) -> None:
        """Forget a track that has been told."""
        self._votes.pop(track, None)
        self._looks.pop(track, None)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {
            "asked": self._asked,
            "votes": self._votes,
            "looks": self._looks,
            "names": list(self._names),
            "multi": self._multi,
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._asked, self._votes = state["asked"], state["votes"]
        self._looks = state["looks"]
        self._names, self._multi = self._names or state["names"], state["multi"]

    def _follow(self, observation: Observation, now: float) -> Tracks:
        if observation.detected:
            return self._following.update(observation.detections, now)
        return self._following.predict(now)

    def _name(self, class_id: int) -> str:
        return class_name(self._names, class_id)


def words(told: Optional[Dict[str, Any]]) -> List[str]:
    """The names of what is certain, of an event's `attribute`."""
    if not told:
        return []
    if "classes" in told:
        return list(told["classes"])
    return [] if told["class"] is None else [told["class"]]


UNSURE = "unsure"


def tally(attributes: Iterable[Optional[Dict[str, Any]]]) -> Dict[str, int]:
    """How many tracks have each attribute; `unsure` those that were looked at in vain."""
    counts: Dict[str, int] = {}
    for told in attributes:
        if told is None:
            continue
        for name in words(told) or [UNSURE]:
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def tally_crossings(events: Iterable[Event]) -> Dict[str, Any]:
    """Visitors and crossings by attribute, from the events of a counting: what a track turned out
    to be in the end holds for all that it did."""
    known: Dict[int, Dict[str, Any]] = {}
    visitors, crossings = [], []
    for event in events:
        payload = event.payload
        if event.kind == "track" and "attribute" in payload:
            known[payload["track"]] = payload["attribute"]
            if payload["visitor"]:
                visitors.append(payload["attribute"])
        elif event.kind == "crossing":
            crossings.append((payload["line"], payload["direction"], payload["track"]))
    if not known:
        return {}
    lines: Dict[str, Dict[str, Dict[str, int]]] = {}
    for line, direction, track in crossings:
        for name in words(known.get(track)) or [UNSURE]:
            entry = lines.setdefault(line, {}).setdefault(name, {"in": 0, "out": 0})
            entry[direction] += 1
    return {"attributes": {"visitors": tally(visitors), "lines": lines}}
