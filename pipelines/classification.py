"""What a camera shows as a whole: the class of its picture, or of parts of it, in time.

>>> import numpy as np
>>> from edgelane.core import Detections, Observation
>>> from edgelane.pipelines.classification import Classification
>>> from edgelane.runtime.classify import Classified
>>> tray = Classification("tray", Classification.Settings(), (640, 480), ["clean", "dirty"])
>>> events = []
>>> for i in range(40):  # dirty from the second second on, ten pictures a second
...     seen = Classified(np.array([0.1, 0.9]) if i >= 20 else np.array([0.9, 0.1]))
...     found = Detections.empty()
...     events += tray.process(Observation("tray", i / 10, found, (640, 480), findings=seen))
>>> events += tray.finish()
>>> [(e.payload["class"], e.payload["since"]) for e in events if e.kind == "class"]
[('clean', 0.0), ('dirty', 2.2)]
"""

import hashlib
import math
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import msgspec
import numpy as np

from ..core import ConfigError, DataError, Event, Observation, Regions, Tracks
from . import state as states
from .events import EventMaker, class_name, moment_of, seconds
from .leading import Change, Leading, LeadingSettings

VERSION = 1
"""Of the state; one written by another version is refused."""

WHOLE = ""
"""The part that is the whole picture."""


class ClassificationSettings(LeadingSettings, frozen=True, forbid_unknown_fields=True):
    """What a camera tells about classes; see `LeadingSettings`.

    Attributes:
        parts: What is looked at, by name: `[left, top, right, bottom]` in pixels. Unless given
            the whole picture.
        top: How many classes an event names at most.
        shares_s: Seconds between two sums of how long each class was there.
        map: Whether annotated pictures show where the best class was seen; not of parts.
    """

    parts: Dict[str, Tuple[float, float, float, float]] = {}
    top: int = 3
    shares_s: float = 600.0
    map: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, box in self.parts.items():
            if not (box[0] < box[2] and box[1] < box[3] and all(abs(v) < 1e6 for v in box)):
                raise ConfigError(
                    f"parts.{name} has no area",
                    got=list(box),
                    expected="[left, top, right, bottom] in pixels",
                )
            if not name:
                raise ConfigError("parts: a part has no name")
        if self.top < 1:
            raise ConfigError("top is wrong", got=self.top, expected="1 or more")
        if not 1 <= self.shares_s < math.inf:
            raise ConfigError("shares_s is wrong", got=self.shares_s, expected="1 or more")


class Classification:
    """The classification pipeline of one camera; has the shape of `core.Pipeline`.

    Events, with their payloads; `part` is among them where the settings name parts:

    - `class`: class, score, top `[[class, score], …]`, since, before (the class that was
      certain last, or None); told when a class has counted for `after_s`
    - `spell`: class, since, until, duration_s, score (its mean); told when that is over
    - `shares`: start, duration_s, seconds by class, unsure (seconds without a certain class);
      these add up

    Args:
        camera: Name of the camera.
        settings: When a class is certain.
        size: `(width, height)` of the picture.
        classes: Names by class id.
    """

    Settings = ClassificationSettings
    task = "classify"

    def __init__(
        self,
        camera: str,
        settings: ClassificationSettings,
        size: Tuple[int, int],
        classes: Sequence[str],
    ) -> None:
        self.settings = settings
        self._size = (int(size[0]), int(size[1]))
        self._classes = list(classes)
        self._events = EventMaker(camera)
        self._boxes = settings.parts or {WHOLE: (0.0, 0.0, *map(float, self._size))}
        self._leading = {name: Leading(settings) for name in self._boxes}
        self._shares: Dict[str, Dict[str, float]] = {name: {} for name in self._boxes}
        self._start: Optional[float] = None
        self._now = -math.inf
        self.multi = False
        shape = msgspec.json.encode([settings, self._size, VERSION])
        self._fingerprint = hashlib.blake2b(shape, digest_size=16).hexdigest()

    @staticmethod
    def scale(
        settings: ClassificationSettings, factor_x: float, factor_y: float
    ) -> ClassificationSettings:
        """The same settings in a picture of another size: parts are scaled."""
        by = (factor_x, factor_y, factor_x, factor_y)
        parts = {
            name: tuple(v * f for v, f in zip(box, by)) for name, box in settings.parts.items()
        }
        return msgspec.structs.replace(settings, parts=parts)

    def regions(self, observation: Observation) -> Optional[Regions]:
        """The parts that are to be looked at; none where the model saw the whole picture."""
        if observation.findings is not None or not observation.detected:
            return None
        boxes = np.array(list(self._boxes.values()), np.float32).reshape(-1, 4)
        return Regions(boxes)

    def process(self, observation: Observation) -> List[Event]:
        """Classes that are certain now, and those that are over.

        Raises:
            DataError: The time is not finite, or nothing tells the scores.
        """
        now = self._now = max(moment_of(observation), self._now)
        self._events.at(now)
        scores, multi = self._scores(observation)
        if scores is None:
            return []
        if self._start is None:
            self._start = now
        told: List[Event] = []
        for (name, leading), row in zip(self._leading.items(), scores):
            if not np.isfinite(row).all():
                continue
            passed = leading.passed(now)
            held = [class_name(self._classes, k) for k in leading.held()]
            sums = self._shares[name]
            for key in held or [""]:
                sums[key] = sums.get(key, 0.0) + passed
            for change in leading.update(np.asarray(row, np.float64), multi, now):
                told.append(self._change(name, change))
        return told + self._due(now)

    def tick(self, timestamp: float) -> List[Event]:
        """Classes of which nothing was seen for too long are over."""
        if not self._now < timestamp < math.inf:
            return []
        self._events.at(timestamp)
        told = [
            self._change(name, change)
            for name, leading in self._leading.items()
            for change in leading.expire(timestamp)
        ]
        return told + self._due(timestamp)

    def finish(self) -> List[Event]:
        """What was certain until the end, and the last sums."""
        told = [
            self._change(name, change)
            for name, leading in self._leading.items()
            for change in leading.finish()
        ]
        return told + self._sums(self._now)

    def tracks(self) -> Optional[Tracks]:
        """None: nothing is followed."""
        return None

    def seen(self) -> Dict[str, Dict[str, Any]]:
        """For overlays, by part: `box`, `class` and `score` of the best class now, and `certain`,
        whether it is the one that was told."""
        found = {}
        for name, leading in self._leading.items():
            if leading.mean is None:
                continue
            best = int(leading.mean.argmax())
            found[name] = {
                "box": self._boxes[name],
                "class": class_name(self._classes, best),
                "score": float(leading.mean[best]),
                "certain": best in leading.held(),
            }
        return found

    def snapshot(self) -> bytes:
        """The whole state, for `restore` after a restart."""
        return states.encode(
            {
                "pipeline": "classification",
                "fingerprint": self._fingerprint,
                "now": self._now,
                "start": self._start,
                "shares": self._shares,
                "events": self._events.state(),
                "leading": {name: leading.state() for name, leading in self._leading.items()},
            }
        )

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            DataError: The bytes are damaged, or of another configuration or version.
        """
        data = states.decode_own(state, "classification", self._fingerprint)
        self._events.load_state(data["events"])
        for name, leading in self._leading.items():
            leading.load_state(data["leading"][name])
        self._now, self._start, self._shares = data["now"], data["start"], data["shares"]

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """`classes`, by name with `seconds`, `share` of the time watched, and `spells`; `unsure`,
        the share without a certain class; `watched_s`; and `changes`, from one class to another.
        With parts the same by part under `parts`."""
        told: Dict[str, Dict[str, Any]] = {
            name: {"classes": {}, "unsure_s": 0.0, "watched_s": 0.0, "changes": 0}
            for name in self._boxes
        }
        for event in events:
            part = told.get(event.payload.get("part", WHOLE))
            if part is None:
                continue
            if event.kind == "class":
                entry = part["classes"].setdefault(event.payload["class"], [0.0, 0])
                entry[1] += 1
                part["changes"] += event.payload["before"] not in (None, event.payload["class"])
            elif event.kind == "shares":
                for name, value in event.payload["seconds"].items():
                    part["classes"].setdefault(name, [0.0, 0])[0] += value
                part["unsure_s"] += event.payload["unsure"]
                part["watched_s"] += event.payload["watched"]
        parts = {name: _summary(part) for name, part in told.items()}
        return {"parts": parts} if self.settings.parts else parts[WHOLE]

    def _scores(self, observation: Observation) -> Tuple[Any, bool]:
        """A row of scores for each part, or None where nothing was looked at; and whether any
        number of classes may be there at once."""
        seen = observation.findings
        if seen is not None:
            if not hasattr(seen, "score"):
                raise DataError(
                    "a classification needs the scores of classes", got=type(seen).__name__
                )
            if self.settings.parts:
                raise DataError("the parts were not looked at", got="scores of the whole picture")
            return [seen.score], bool(getattr(seen, "multi", False))
        regions = observation.regions
        if not observation.detected or regions is None:
            if not observation.detected:
                return None, False
            raise DataError(
                "a classification needs the scores of classes",
                got="detections alone",
                remedy="give the run a classifier",
            )
        if regions.answer is None:
            return None, False
        answer = np.asarray(regions.answer, np.float64)
        return list(answer), self.multi

    def meet_second(self, model: Any) -> None:
        """Take note of the model that looks at parts: whether classes may be there together."""
        self.multi = bool(getattr(model, "multi", False))

    def _due(self, now: float) -> List[Event]:
        if self._start is None or now - self._start < self.settings.shares_s:
            return []
        return self._sums(now)

    def _sums(self, now: float) -> List[Event]:
        if self._start is None:
            return []
        told = []
        for name, sums in self._shares.items():
            known = {k: round(v, 3) for k, v in sorted(sums.items()) if k}
            watched = self._leading[name].watched()
            payload: Dict[str, Any] = {
                "start": seconds(self._start),
                "duration_s": seconds(now - self._start),
                "seconds": known,
                "unsure": round(sums.get("", 0.0), 3),
                "watched": round(watched, 3),
            }
            told.append(self._events.make("shares", self._named(name, payload)))
            self._shares[name] = {}
        self._start = now
        return told

    def _change(self, part: str, change: Change) -> Event:
        name = class_name(self._classes, change.class_id)
        if not change.over:
            before = None if change.before < 0 else class_name(self._classes, change.before)
            top = [
                [class_name(self._classes, k), round(float(change.scores[k]), 3)]
                for k in np.argsort(-change.scores, kind="stable")[: self.settings.top].tolist()
            ]
            payload = {
                "class": name,
                "score": round(float(change.scores[change.class_id]), 3),
                "top": top,
                "since": seconds(change.since),
                "before": before,
            }
            return self._events.make("class", self._named(part, payload))
        payload = {
            "class": name,
            "since": seconds(change.since),
            "until": seconds(change.until),
            "duration_s": seconds(change.until - change.since),
            "score": round(change.mean, 3),
        }
        return self._events.make("spell", self._named(part, payload))

    @staticmethod
    def _named(part: str, payload: Dict[str, Any]) -> Dict[str, Any]:
        return {"part": part, **payload} if part else payload


def _summary(part: Dict[str, Any]) -> Dict[str, Any]:
    watched = part["watched_s"]

    def share(value: float) -> float:
        return round(value / watched, 4) if watched > 0 else 0.0

    classes = {
        name: {"seconds": round(total, 2), "share": share(total), "spells": spells}
        for name, (total, spells) in sorted(part["classes"].items())
    }
    return {
        "classes": classes,
        "unsure": share(part["unsure_s"]),
        "watched_s": round(watched, 2),
        "changes": part["changes"],
    }
