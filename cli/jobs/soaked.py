"""A run that tells how it goes, and whose clock can be set: what `edgelane soak` runs.

    python -m edgelane.cli.jobs.soaked

The first line on stdin is JSON: `config` (a path), `sources` (URIs by camera, instead of the
config's), `twins` (a camera and what it is a second one of), `model`, `decoder`, `out` and `step`,
the seconds by which the clock is off. Each further line is such a number. Out go lines of JSON, see
`Probe`; a line with `summary` is the last of a run that ended well.
"""

import dataclasses
import json
import os
import sys
import threading
import time
from typing import Any, Dict, List, Mapping

from ...core import EdgelaneError
from ...runtime.config import Config, load_config
from ...runtime.loop import Clock, Step, run_loop
from ...runtime.service import Service
from ...runtime.sources.timeline import SHARED
from ...runtime.stats import RunStats
from .composition import run

TELL_S = 0.25
ACTS = ("outputs",)
"""Keys of a camera by which a run moves things: a soak moves nothing."""


class SteppedClock(Clock):
    """The clocks of the machine, of which that of the wall is off by `step` seconds."""

    def __init__(self, step: float = 0.0) -> None:
        self.step = step

    def time(self) -> float:
        return time.time() + self.step


class Probe:
    """Tells what a run does: a line of JSON every quarter of a second.

    `t` is a moment of the monotonic clock, which all processes share. By camera `steps` has a row
    for each frame since the last line: when it was processed, its timestamp, its number, and the
    seconds since it was captured; `events` has the ids that were told with them. `connected`,
    `reconnects`, `restarts` and `dropped` are as the camera stands.

    Args:
        sources: By camera.
        out: Where lines go.
    """

    def __init__(self, sources: Mapping[str, Any], out: Any) -> None:
        self._sources, self._out = sources, out
        self._lock = threading.Lock()
        self._steps: Dict[str, List[Any]] = {name: [] for name in sources}
        self._events: Dict[str, List[str]] = {name: [] for name in sources}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="probe", daemon=True)

    def see(self, step: Step) -> None:
        """As a sink."""
        now = time.monotonic()
        with self._lock:
            self._events[step.camera] += [event.id for event in step.events]
            given = step.observation
            if given is not None:
                late = SHARED.unix(now) - given.timestamp
                row = [round(now, 4), given.timestamp, given.index, round(late, 4)]
                self._steps[step.camera].append(row)

    def _tell(self) -> None:
        connected: Dict[str, bool] = {}
        due = time.monotonic()
        while not self._ended.wait(0.05):
            now = time.monotonic()
            states = {name: source.health() for name, source in self._sources.items()}
            changed = {name: bool(state["connected"]) for name, state in states.items()}
            # That a camera is lost is told at once: how soon it was noticed is measured.
            if now < due and changed == connected:
                continue
            connected, due = changed, now + TELL_S
            self.flush(states)

    def flush(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Tell now."""
        with self._lock:
            steps, self._steps = self._steps, {name: [] for name in self._sources}
            events, self._events = self._events, {name: [] for name in self._sources}
        cameras = {}
        for name, state in states.items():
            cameras[name] = {
                "steps": steps[name],
                "events": events[name],
                "connected": bool(state["connected"]),
                "reason": state.get("reason", ""),
                "reconnects": state["reconnects"],
                "restarts": state["restarts"],
                "dropped": int(getattr(self._sources[name], "dropped", 0)),
            }
        _put(self._out, {"t": round(time.monotonic(), 4), "cameras": cameras})

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self.flush({name: source.health() for name, source in self._sources.items()})


def _put(out: Any, told: Mapping[str, Any]) -> None:
    try:
        out.write(json.dumps(told) + "\n")
        out.flush()
    except (BrokenPipeError, ValueError):
        os._exit(0)  # whoever watches is gone


def soaked_config(spec: Mapping[str, Any]) -> Config:
    """The config of a soak: other sources, nobody outside is told, and nothing is moved."""
    config = load_config(spec["config"])
    cameras = {
        name: dataclasses.replace(
            camera, settings={k: v for k, v in camera.settings.items() if k not in ACTS}
        )
        for name, camera in config.cameras.items()
    }
    for twin, name in spec.get("twins", {}).items():
        cameras[twin] = dataclasses.replace(cameras[name], name=twin)
    for name, uri in spec["sources"].items():
        cameras[name] = dataclasses.replace(cameras[name], source=uri)
    quiet = Service(timezone=config.service.timezone)
    return dataclasses.replace(config, cameras=cameras, subscribe={}, service=quiet)


def main() -> int:
    """Entry of the process."""
    spec = json.loads(sys.stdin.readline())
    clock = SteppedClock(float(spec.get("step", 0.0)))
    SHARED.use(clock)
    out = sys.stdout

    def listen() -> None:
        for line in sys.stdin:
            clock.step = float(line)
        os._exit(0)  # whoever started it is gone

    threading.Thread(target=listen, name="steps", daemon=True).start()

    def loop(streams: Any, *given: Any, sinks: Any = (), **more: Any) -> RunStats:
        with Probe({name: stream.source for name, stream in streams.items()}, out) as probe:
            return run_loop(streams, *given, sinks=[*sinks, probe.see], clock=clock, **more)

    try:
        summary, _ = run(
            soaked_config(spec),
            model=spec.get("model"),
            decoder=spec.get("decoder"),
            out=spec["out"],
            loop=loop,
        )
    except EdgelaneError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    _put(out, {"summary": summary})
    return 0


if __name__ == "__main__":
    sys.exit(main())
