"""Signals: switched on and off by what rules find, for whoever listens to a camera's events.

A raised hand calls staff; crossed arms stop the line until both hands go up.
"""

from typing import Any, Dict, List, Mapping, Optional, Sequence

import msgspec

from ...core import ConfigError, Event, did_you_mean
from ..events import EventMaker, seconds


class SignalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a signal is on.

    Attributes:
        on: Rules that switch it on.
        off: Rules that switch it off.
        zone: Only what they find in this zone counts; None for anything.
        for_s: Seconds after which it goes off by itself; None for never.
        held: Whether it goes off when what switched it on is over.
    """

    on: List[str]
    off: List[str] = []
    zone: Optional[str] = None
    for_s: Optional[float] = None
    held: bool = False

    def __post_init__(self) -> None:
        if not self.on:
            raise ConfigError("signal.on is empty", expected="names of rules")
        if self.for_s is not None and not 0 < self.for_s < float("inf"):
            raise ConfigError("signal.for_s is wrong", got=self.for_s, expected="seconds above 0")


class Signals:
    """Switches signals; each change is an event `signal`: `{"name", "on", "by", "track",
    "since"}`, the last being when the signal went on.

    Args:
        settings: By name.
        rules: Names of the rules there are.
        events: Numbers the events.

    Raises:
        ConfigError: A signal listens to a rule that there is not.
    """

    def __init__(
        self, settings: Mapping[str, SignalSettings], rules: Sequence[str], events: EventMaker
    ) -> None:
        for name, signal in settings.items():
            for rule in (*signal.on, *signal.off):
                if rule not in rules:
                    raise ConfigError(
                        f"signals.{name}: the rule {rule!r} is not among the camera's rules",
                        remedy=did_you_mean(rule, rules),
                    )
        self._settings = dict(settings)
        self._events = events
        self._on: Dict[str, List[Any]] = {}  # since, last switched, holders [[track, rule], …]

    def hear(self, events: Sequence[Event], now: float) -> List[Event]:
        """Take in the events of one moment; the changes that they and the time bring."""
        told: List[Event] = []
        for name, signal in self._settings.items():
            state = self._on.get(name)
            if state and signal.for_s is not None and now - state[1] >= signal.for_s:
                told.append(self._switch(name, False, "time", None, now))
            for event in events:
                self._one(name, signal, event, now, told)
        return told

    def finish(self) -> List[Event]:
        """Nothing stays on when the camera has ended."""
        return [self._switch(name, False, "end", None, 0.0) for name in sorted(self._on)]

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types."""
        return {"on": self._on}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._on = state["on"]

    def _one(
        self, name: str, signal: SignalSettings, event: Event, now: float, told: List[Event]
    ) -> None:
        payload, state = event.payload, self._on.get(name)
        track = payload.get("track")
        if event.kind == "released":
            if state and signal.held and [track, payload["rule"]] in state[2]:
                state[2].remove([track, payload["rule"]])
                if not state[2]:
                    told.append(self._switch(name, False, payload["rule"], track, now))
            return
        if signal.zone is not None and payload.get("zone") != signal.zone:
            return
        if state and event.kind in signal.off:
            told.append(self._switch(name, False, event.kind, track, now))
        elif event.kind in signal.on:
            if not state:
                told.append(self._switch(name, True, event.kind, track, now))
            self._on[name][1] = now
            self._on[name][2].append([track, event.kind])

    def _switch(self, name: str, on: bool, by: str, track: Optional[int], now: float) -> Event:
        if on:
            self._on[name] = [now, now, []]
            since = now
        else:
            since = self._on.pop(name)[0]
        payload = {"name": name, "on": on, "by": by, "track": track, "since": seconds(since)}
        return self._events.make("signal", payload)
