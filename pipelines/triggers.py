"""What one camera's events do to another's pipeline: crossed arms stop the line.

A config says `triggers: {crossed_arms: {stop: line}, hands_up: {start: line}}`. The pipelines stay
as they are; each is wrapped in a `Triggered`, and a `Switchboard` brings what happened at one
camera to the others. It has no clock: what was told at a moment is heeded from the next frame on.
"""

from dataclasses import replace
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..core import ConfigError, Detections, Event, Observation, Regions, did_you_mean
from . import state as states
from .events import EventMaker, seconds

ACTIONS = ("stop", "start", "mark", "tell")
VERSION = 1

Key = Tuple[float, int]
"""When something happened, and the place of its camera in the config: an order of all events."""


class Link(NamedTuple):
    """One trigger.

    Attributes:
        source: The camera whose events are looked at.
        kind: Kind of event, or name of a signal.
        action: One of `ACTIONS`.
        target: The camera that heeds it.
    """

    source: str
    kind: str
    action: str
    target: str


class Told(NamedTuple):
    """An event on its way to a camera that heeds it."""

    key: Key
    action: str
    event: Event


def read_links(triggers: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> List[Link]:
    """The links of a config.

    Args:
        triggers: By camera and kind of event: `{action: camera}` or `{action: [camera, …]}`.

    Raises:
        ConfigError: An action or camera is unknown.
    """
    links = []
    for source, kinds in triggers.items():
        for kind, actions in kinds.items():
            for action, targets in actions.items():
                path = f"triggers.{kind}.{action}"
                if action not in ACTIONS:
                    raise ConfigError(
                        f"triggers.{kind}: there is no action {action!r}",
                        remedy=did_you_mean(action, ACTIONS),
                    )
                for target in [targets] if isinstance(targets, str) else targets:
                    if target not in triggers:
                        raise ConfigError(
                            f"{path}: there is no camera {target!r}",
                            remedy=did_you_mean(target, triggers),
                        )
                    links.append(Link(source, kind, action, target))
    return list(dict.fromkeys(links))


class Switchboard:
    """Brings events of cameras to those that heed them.

    Args:
        links: What is brought where.
        cameras: Names in the config's order, which decides between events of one moment.
        in_turn: Whether cameras are looked at in turn by the time of their frames. What is heeded
            then depends on times alone, also after a restart; else on what comes first.
    """

    def __init__(self, links: Sequence[Link], cameras: Sequence[str], in_turn: bool) -> None:
        self.links = list(links)
        self.in_turn = in_turn
        self._order = {name: k for k, name in enumerate(cameras)}
        self._waiting: Dict[str, List[Told]] = {name: [] for name in cameras}
        self._recalled: Dict[str, None] = {}

    def publish(self, camera: str, events: Iterable[Event]) -> None:
        """Take note of what happened at a camera."""
        for event in events:
            if self._recalled and event.id in self._recalled:
                del self._recalled[event.id]
                continue
            self._send(camera, event)

    def recall(self, camera: str, events: Iterable[Event]) -> None:
        """After a restart: what a camera told before it. Told again, it counts once; what the
        end of the run brought about is not taken for true."""
        for event in events:
            if event.payload.get("by") != "end" and self._send(camera, event):
                self._recalled[event.id] = None

    def take(self, camera: str, moment: float, since: float) -> List[Told]:
        """What a camera is to heed at a moment: what happened before it.

        Args:
            camera: Which.
            moment: Seconds; its frame's.
            since: Seconds of its last frame: what happened before that was heeded then.
        """
        waiting = self._waiting[camera]
        if not waiting:
            return []
        if not self.in_turn:
            self._waiting[camera] = []
            return waiting
        own = self._order[camera]
        waiting = [told for told in waiting if told.key >= (since, own)]
        waiting.sort(key=lambda told: told.key)
        due = [told for told in waiting if told.key < (moment, own)]
        self._waiting[camera] = waiting[len(due) :]
        return due

    def _send(self, camera: str, event: Event) -> bool:
        sent = False
        names = {event.kind}
        if event.kind == "signal":
            names.add(str(event.payload.get("name")))
        for link in self.links:
            if link.source == camera and link.kind in names:
                key = (float(event.timestamp), self._order[camera])
                action = link.action
                if event.kind == "signal" and not event.payload.get("on"):
                    # What a signal stopped goes on when it is off.
                    if action not in ("stop", "tell"):
                        continue
                    action = "start" if action == "stop" else action
                self._waiting[link.target].append(Told(key, action, event))
                sent = True
        return sent


class _Noted(NamedTuple):
    """What was decided about a frame when its regions were asked for."""

    told: List[Event]
    stopped: bool
    asked: Optional[Regions]


class Triggered:
    """A camera's pipeline that heeds what happens at other cameras; has the shape of
    `core.Pipeline`, and tells all else that the pipeline tells.

    While it is stopped, its pipeline sees nothing: who is there has gone. Further events:

    - `stopped`: by (the camera), event (its kind, or the signal's name), track
    - `started`: likewise, and stopped_s
    - `marked`: likewise, and at, the time of what it was marked for

    `tell` calls the pipeline's own `heed(camera, event) -> events`.

    Args:
        pipeline: What is wrapped.
        camera: Its name.
        board: Where events come from and go to.
    """

    def __init__(self, pipeline: Any, camera: str, board: Switchboard) -> None:
        self.inner = pipeline
        self._camera = camera
        self._board = board
        self._events = EventMaker(camera)
        self._last = float("-inf")
        self._stopped: Optional[float] = None
        self._blind = getattr(pipeline, "task", "detect") in ("detect", "pose")
        tells = any(link.target == camera and link.action == "tell" for link in board.links)
        if tells and not callable(getattr(pipeline, "heed", None)):
            raise ConfigError(
                f"triggers: the pipeline of {camera} cannot be told anything",
                expected="a pipeline with a method heed(camera, event)",
                remedy="use stop, start or mark",
            )

    def __getattr__(self, name: str) -> Any:
        if name in ("inner", "regions"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def regions(self) -> Any:
        """As the pipeline's own, where it has one."""
        ask = getattr(self.inner, "regions", None)
        if ask is None:
            raise AttributeError("regions")

        def regions(observation: Observation) -> Regions:
            told = self._heed(observation.timestamp)
            stopped = self._stopped is not None
            asked = None
            if not stopped or self._blind:
                asked = ask(_nothing(observation) if stopped else observation)
            boxes = np.zeros((0, 4), np.float32) if asked is None else asked.boxes
            return Regions(boxes, note=_Noted(told, stopped, asked))

        return regions

    def process(self, observation: Observation) -> List[Event]:
        """What it heeds, and what the pipeline makes of the observation."""
        moment = float(observation.timestamp)
        note = None if observation.regions is None else observation.regions.note
        if isinstance(note, _Noted):
            told, stopped = list(note.told), note.stopped
            asked = note.asked
            if asked is not None and observation.regions is not None:
                asked = Regions(asked.boxes, asked.note, observation.regions.answer)
            observation = replace(observation, regions=asked)
        else:
            told = self._heed(moment)
            stopped = self._stopped is not None
        if not stopped:
            told += self.inner.process(observation)
        elif self._blind:
            told += self.inner.process(_nothing(observation))
        else:
            told += self.inner.tick(moment)
        return self._publish(told)

    def tick(self, timestamp: float) -> List[Event]:
        """Likewise, when no frame comes."""
        told = [] if self._board.in_turn else self._heed(timestamp)
        return self._publish(told + self.inner.tick(timestamp))

    def finish(self) -> List[Event]:
        """What the end of the source brings."""
        told = self.inner.finish()
        if self._stopped is not None:
            told.append(self._start("end", {}))
        return self._publish(told)

    def tracks(self) -> Any:
        """The pipeline's own."""
        return self.inner.tracks()

    def snapshot(self) -> bytes:
        """The whole state, for `restore` after a restart."""
        return states.encode(
            {
                "pipeline": "triggered",
                "fingerprint": str(VERSION),
                "last": self._last,
                "stopped": self._stopped,
                "events": self._events.state(),
                "inner": self.inner.snapshot(),
            }
        )

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            DataError: The bytes are damaged, or of another configuration or version.
        """
        data = states.decode_own(state, "triggered", str(VERSION))
        self.inner.restore(data["inner"])
        self._events.load_state(data["events"])
        self._last, self._stopped = data["last"], data["stopped"]

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """The pipeline's own, and `triggered`: how often and how many seconds it was stopped, and
        how often it was marked, by what."""
        kept = list(events)
        told: Dict[str, Any] = {"stopped": 0, "stopped_s": 0.0, "marked": {}}
        for event in kept:
            if event.kind == "stopped":
                told["stopped"] += 1
            elif event.kind == "started":
                told["stopped_s"] = round(told["stopped_s"] + event.payload["stopped_s"], 3)
            elif event.kind == "marked":
                name = f"{event.payload['by']}: {event.payload['event']}"
                told["marked"][name] = told["marked"].get(name, 0) + 1
        summary = dict(self.inner.summarise(kept))
        if any(link.target == self._camera for link in self._board.links):
            summary["triggered"] = told
        return summary

    def _publish(self, told: List[Event]) -> List[Event]:
        self._board.publish(self._camera, told)
        return told

    def _heed(self, moment: float) -> List[Event]:
        """What is to be heeded at a moment, done."""
        due = self._board.take(self._camera, moment, self._last)
        self._last = max(self._last, moment)
        self._events.at(self._last)
        told: List[Event] = []
        for (at, _), action, event in due:
            name = event.payload.get("name") if event.kind == "signal" else None
            facts = {
                "by": event.camera,
                "event": name or event.kind,
                "track": event.payload.get("track"),
            }
            if action == "stop" and self._stopped is None:
                self._stopped = self._last
                told.append(self._events.make("stopped", facts))
            elif action == "start" and self._stopped is not None:
                told.append(self._start("", facts))
            elif action == "mark":
                told.append(self._events.make("marked", {**facts, "at": seconds(at)}))
            elif action == "tell":
                told += self.inner.heed(event.camera, event)
        return told

    def _start(self, why: str, facts: Dict[str, Any]) -> Event:
        since, self._stopped = self._stopped, None
        passed = self._last - (self._last if since is None else since)
        facts = facts or {"by": None, "event": why, "track": None}
        return self._events.make("started", {**facts, "stopped_s": seconds(passed)})


def _nothing(observation: Observation) -> Observation:
    """The same moment with nothing in the picture."""
    return replace(observation, detections=Detections.empty(), detected=True, findings=None)
