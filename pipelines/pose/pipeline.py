"""The pose pipeline: who was seen with a skeleton, and when there were too many to look at."""

import hashlib
import math
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import msgspec
import numpy as np

from ...core import ConfigError, Detections, Event, Observation, Regions, Tracks
from ...runtime.named import load_object
from ...runtime.pose.skeleton import read_skeleton
from .. import state as states
from ..events import EventMaker, moment_of, seconds
from ..geometry import Polygon
from ..table import TrackTable
from .areas import Areas
from .people import PeopleSettings, PosedPeople
from .rules import DEFAULT_RULES, make_rules
from .signals import Signals, SignalSettings
from .steady import SteadySettings
from .trails import Trails
from .watching import Watch

VERSION = 3
"""Of the state; one written by another version is refused."""


class PoseZone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A zone as a config draws it: `{polygon: [[x, y], …], forbidden: true}`.

    Attributes:
        polygon: Corners in pixels.
        forbidden: Whether hands may not reach into it.
    """

    polygon: List[Tuple[float, float]]
    forbidden: bool = False


class PoseSettings(PeopleSettings, frozen=True, forbid_unknown_fields=True):
    """What a camera tells about people and their poses; see `PeopleSettings`.

    Attributes:
        rules: What is looked for: names of `pipelines.pose.rules.RULES`, `module:rule` of one's
            own, or `{name: settings}`. Unless given `DEFAULT_RULES`, where the points are people's.
        zones: What may be pointed at, and where no hand may be, by name.
        signals: What events switch on and off, by name.
        skeleton: What the points are, where their number does not tell: a name or `{names,
            edges, flip_pairs}`.
        steady: How points are steadied for the rules.
    """

    rules: Optional[List[Union[str, Dict[str, Dict[str, Any]]]]] = None
    zones: Dict[str, PoseZone] = {}
    signals: Dict[str, SignalSettings] = {}
    skeleton: Union[str, Dict[str, Any], None] = None
    steady: SteadySettings = msgspec.field(default_factory=SteadySettings)


class Pose:
    """The pose pipeline of one camera; has the shape of `core.Pipeline`.

    It asks for the boxes of people to be run through a pose net, and gives their skeletons, see
    `poses`. Each person brings one event `person` when gone: `{"track", "first", "last",
    "looked_at", "points"}` with the times of the first and last look in seconds of the frame
    clock, how many looks there were, the mean score of the points, and a few skeletons on the way,
    `trail`, see `Trails.of`. A frame with more people
    than `most` begins a spell that is told at its end as `crowded`: `{"since", "until",
    "left_out"}`, the last being how many people were not looked at in its fullest frame.

    What the rules find are events of the rules' names, see `Watch`; the signals that these switch
    are told as `signal`, see `Signals`.

    Args:
        camera: Name of the camera.
        settings: How people are followed and looked at.
        size: `(width, height)` of the picture.
        classes: Names by class id.
    """

    Settings = PoseSettings
    task = "pose"
    """Without a second model the detector must give key points."""
    second_task = "pose"

    def __init__(
        self,
        camera: str,
        settings: PoseSettings,
        size: Tuple[int, int],
        classes: Sequence[str] = (),
    ) -> None:
        self.settings = settings
        self._events = EventMaker(camera)
        self._people = PosedPeople(settings)
        zones = {name: _polygon(name, zone) for name, zone in settings.zones.items()}
        forbidden = {name: zones[name] for name in zones if settings.zones[name].forbidden}
        others = {name: zones[name] for name in zones if name not in forbidden}
        asked = settings.rules is not None
        names = settings.rules if settings.rules is not None else DEFAULT_RULES
        self.rules = make_rules(names, Areas(others), Areas(forbidden), _load)
        skeleton = None if settings.skeleton is None else read_skeleton(settings.skeleton)
        self._watch = Watch(self.rules, skeleton, settings.steady, self._events, asked)
        self._signals = Signals(settings.signals, list(self.rules), self._events)
        self._table = TrackTable(
            first=(np.float64, (), 0.0),
            last=(np.float64, (), 0.0),
            looks=(np.int64, (), 0),
            score=(np.float64, (), 0.0),
        )
        self._trails = Trails()
        self._now = -math.inf
        self._crowd: Optional[List[float]] = None  # since, until, left out
        self._poses: Optional[Detections] = None
        shape = msgspec.json.encode([settings, [int(v) for v in size], VERSION])
        self._fingerprint = hashlib.blake2b(shape, digest_size=16).hexdigest()

    @staticmethod
    def scale(settings: PoseSettings, factor_x: float, factor_y: float) -> PoseSettings:
        """The same settings in a picture of another size: zones are scaled."""
        zones = {
            name: msgspec.structs.replace(
                zone, polygon=[(x * factor_x, y * factor_y) for x, y in zone.polygon]
            )
            for name, zone in settings.zones.items()
        }
        return msgspec.structs.replace(settings, zones=zones)

    def regions(self, observation: Observation) -> Regions:
        """The boxes of the people to be looked at, nearest first."""
        return self._people.regions(observation)

    def process(self, observation: Observation) -> List[Event]:
        """What the rules find, and events of people who have gone and of crowds that are over.

        Raises:
            DataError: The time is not finite, or there are people and nothing tells their poses.
        """
        now = self._now = max(moment_of(observation), self._now)
        self._events.at(now)
        poses = self._poses = self._people.poses(observation)
        if len(poses) and poses.track_id is not None and poses.keypoints is not None:
            table = self._table
            rows = table.rows(poses.track_id.tolist())
            looks = table["looks"][rows]
            table["first"][rows] = np.where(looks > 0, table["first"][rows], now)
            table["last"][rows] = now
            table["looks"][rows] = looks + 1
            mean = poses.keypoints[:, :, 2].mean(axis=1)
            table["score"][rows] += (mean - table["score"][rows]) / (looks + 1)
            self._trails.look(poses.track_id.tolist(), poses.keypoints, now)
        tracks = self._people.tracks
        events = self._watch.look(poses, self._people.given, now)
        events += self._gone(tracks.ended.tolist()) if tracks is not None else []
        events += self._signals.hear(events, now)
        return events + self._crowded(self._people.left_out, now)

    def tick(self, timestamp: float) -> List[Event]:
        """Signals whose time is over; people go by what frames show."""
        if not timestamp > self._now:
            return []
        self._now = float(timestamp)
        self._events.at(self._now)
        return self._signals.hear([], self._now)

    def finish(self) -> List[Event]:
        """Events of all people who are still there, and of a crowd."""
        told = self._gone(sorted({*self._table.ids(), *self._watch.known()}))
        return told + self._signals.finish() + self._crowded(0, self._now)

    def tracks(self) -> Optional[Tracks]:
        """The tracks of the last observation; None before the first."""
        return self._people.tracks

    def poses(self) -> Optional[Detections]:
        """The people of the last observation with `track_id` and smoothed `keypoints`, nearest
        first; None before the first."""
        return self._poses

    def snapshot(self) -> bytes:
        """The whole state, for `restore` after a restart."""
        return states.encode(
            {
                "pipeline": "pose",
                "fingerprint": self._fingerprint,
                "now": self._now,
                "crowd": self._crowd,
                "events": self._events.state(),
                "people": self._people.state(),
                "table": self._table.state(),
                "watch": self._watch.state(),
                "signals": self._signals.state(),
                "trails": self._trails.state(),
            }
        )

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            DataError: The bytes are damaged, or of another configuration or version.
        """
        data = states.decode_own(state, "pose", self._fingerprint)
        self._events.load_state(data["events"])
        self._people.load_state(data["people"])
        self._table.load_state(data["table"])
        self._watch.load_state(data["watch"])
        self._signals.load_state(data["signals"])
        self._trails.load_state(data["trails"])
        self._now, self._crowd = data["now"], data["crowd"]

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """`people`, how many had a skeleton; `left_out_max`, how many people were not looked at in
        the fullest frame; `rules`, how often each found something; and `signals`, how often each
        was switched on."""
        people = left_out = 0
        rules = dict.fromkeys(self.rules, 0)
        signals = dict.fromkeys(self.settings.signals, 0)
        for event in events:
            people += event.kind == "person"
            if event.kind in rules:
                rules[event.kind] += 1
            if event.kind == "signal" and event.payload["on"]:
                name = event.payload["name"]
                signals[name] = signals.get(name, 0) + 1
            if event.kind == "crowded":
                left_out = max(left_out, int(event.payload["left_out"]))
        summary = {"people": people, "left_out_max": left_out, "rules": rules}
        return {**summary, "signals": signals} if signals else summary

    def _crowded(self, left_out: int, now: float) -> List[Event]:
        if left_out:
            since, most = (self._crowd[0], self._crowd[2]) if self._crowd else (now, 0)
            self._crowd = [since, now, max(most, left_out)]
            return []
        if self._crowd is None:
            return []
        since, until, most = self._crowd
        self._crowd = None
        payload = {"since": seconds(since), "until": seconds(until), "left_out": int(most)}
        return [self._events.make("crowded", payload)]

    def _gone(self, ended: List[int]) -> List[Event]:
        told: List[Event] = []
        table = self._table
        for track_id in ended:
            told += self._watch.gone(track_id, self._now)
            if track_id not in table:
                continue
            row = table.row(track_id)
            payload = {
                "track": track_id,
                "first": seconds(float(table["first"][row])),
                "last": seconds(float(table["last"][row])),
                "looked_at": int(table["looks"][row]),
                "points": round(float(table["score"][row]), 3),
            }
            trail = self._trails.of(track_id)
            if trail is not None:
                payload["trail"] = trail
            told.append(self._events.make("person", payload))
            table.drop(track_id)
        return told


def _polygon(name: str, zone: PoseZone) -> Polygon:
    try:
        return Polygon(zone.polygon)
    except ConfigError as error:
        raise ConfigError(f"zones.{name}: {error}") from None


def _load(name: str) -> Any:
    return load_object(name, "rule")
