"""Watches a run from a thread of its own: systemd, health endpoint, heat, alerts, status file.

It reads counters that the loop fills and never makes it wait.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from ...core import Event
from ..stats import CameraStats, RunStats, Times
from .logs import Log
from .machine import Heat, Vitals, look
from .metrics import metrics_text
from .notify import Notifier
from .server import HealthServer
from .settings import HealthSettings
from .state import Pace, Tally, camera_told, judge, turn_age

LOG = logging.getLogger("edgelane.health")

STATUS_FILE = "status.json"
TURN_S = 0.5
VITALS_S = 5.0
STATUS_S = 5.0
CACHE_S = 0.25
BACK_LOOKS = 3
"""A camera that was away is back when it is there so many times, each `STATUS_S` seconds."""
CLOCK_STEP_S = 2.0

Part = Callable[[], Tuple[Dict[str, Any], List[str]]]


class Monitor:
    """Watches a run, as a context around the run loop.

    Attributes:
        tally: A sink for the run loop; counts events.
        address: Where the health endpoint listens, or None without one.

    Args:
        stats: What the loop fills.
        sources: By camera; `health()` of a source tells of its connection.
        folder: The run folder, where `status.json` is written every few seconds; None: nowhere.
        settings: When what is told.
        listen: Address of the health endpoint, or None for none.
        about: Facts: `version`, `pipeline`, `model`.
        stop: Set when the run was asked to stop.
        log: Told to tell what it has held back.
        notifier: Tells systemd.
        alert: Called with an event of the kind `alert` when something begins or is over.
        parts: More parts of the report by name, e.g. `webhooks`, each with sentences that are
            reasons for `degraded`.
        root: Where `/proc` and `/sys` lie; another folder in tests.
        clock: What has `monotonic()` and `time()`, for tests.
    """

    def __init__(
        self,
        stats: RunStats,
        sources: Mapping[str, Any],
        folder: Optional[Path] = None,
        *,
        settings: Optional[HealthSettings] = None,
        listen: Optional[str] = None,
        about: Optional[Mapping[str, str]] = None,
        stop: Optional[threading.Event] = None,
        log: Optional[Log] = None,
        notifier: Optional[Notifier] = None,
        alert: Optional[Callable[[Event], None]] = None,
        parts: Optional[Mapping[str, Part]] = None,
        root: Union[str, Path] = "/",
        clock: Any = time,
    ) -> None:
        self.tally = Tally()
        self._stats, self._sources = stats, dict(sources)
        self._folder, self._settings = folder, settings or HealthSettings()
        self._about = {"version": "", "pipeline": "", "model": "", **(about or {})}
        self._stop, self._log = stop, log
        self._notifier = notifier or Notifier({})
        self._alert, self._parts = alert, dict(parts or {})
        self._root, self._clock = root, clock
        self._began, self._unix = clock.monotonic(), clock.time()
        self._offset = self._unix - self._began
        self._paces: Dict[str, Pace] = {name: Pace() for name in sources}
        self._heat = Heat(self._settings.hot_c)
        self._vitals = Vitals()
        self._turn: Optional[Tuple[int, float]] = None
        self._fed = -1
        self._ready = self._stopping = False
        self._away: Dict[str, int] = {}
        self._alerts = 0
        self._due: Dict[str, float] = {}
        self._lock = threading.Lock()
        self._cached: Tuple[float, Dict[str, Any]] = (-1e9, {})
        self._done = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._server: Optional[HealthServer] = None
        if listen is not None:
            self._server = HealthServer(listen, self.report, self.metrics)
        self.address = None if self._server is None else self._server.address

    def __enter__(self) -> "Monitor":
        if self.address is not None:
            LOG.info("health: %s/health and %s/metrics", self.address.url, self.address.url)
        with contextlib.suppress(Exception):  # it will be tried again
            self.turn()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(2.0)
        if not self._stopping:
            self._notifier.tell("STOPPING=1")
        if self._server is not None:
            self._server.close()
        self.address = None
        with contextlib.suppress(Exception):
            self._write_status()
        if self._log is not None:
            self._log.sweep()

    def _watch(self) -> None:
        while not self._done.wait(TURN_S):
            try:
                self.turn()
            except Exception:  # who watches must not fall with what is watched
                LOG.error("watching the run failed", exc_info=True)

    def turn(self) -> None:
        """Look once; called every half second."""
        now = self._clock.monotonic()
        self._turn = turn_age(self._stats.turns, self._turn, now)
        self._systemd()
        if self._is_due("pace", now, 1.0):
            for name, stats in dict(self._stats.cameras).items():
                self._paces.setdefault(name, Pace()).sample(stats, now)
            self._watch_clock(now)
        if self._is_due("vitals", now, VITALS_S):
            self._look()
        if self._log is not None:
            self._log.sweep()
        if self._is_due("status", now, STATUS_S):
            report = self.report()
            self._watch_cameras(report)
            self._write_status(report)
            self._notifier.status(headline(report))

    def report(self) -> Dict[str, Any]:
        """How the run is now, as `/health` tells it; made at most a few times a second."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._cached[0] < CACHE_S:
                return self._cached[1]
            report = self._report(now)
            self._cached = (now, report)
            return report

    def metrics(self) -> str:
        """The same as Prometheus' text."""
        latencies: Dict[str, Times] = {
            name: stats.latency for name, stats in dict(self._stats.cameras).items()
        }
        return metrics_text(self.report(), self.tally, latencies)

    # What is told

    def _report(self, now: float) -> Dict[str, Any]:
        stats = self._stats
        running_s = now - self._began
        cameras = {}
        for name in self._sources:
            camera = stats.cameras.get(name) or CameraStats(
                live=bool(getattr(self._sources[name], "live", False))
            )
            pace = self._paces.setdefault(name, Pace())
            cameras[name] = camera_told(camera, pace, self._connection(name), now, running_s)
        more: Dict[str, Any] = {}
        notes: List[str] = []
        for name, part in self._parts.items():
            more[name], said = part()
            notes += said
        age = now - self._turn[1] if self._turn is not None else 0.0
        if stats.turns == 0:
            age = 0.0  # it waits for the cameras, which has its own limits
        state, reasons = judge(stats, cameras, self._vitals, self._heat, self._settings, age, notes)
        machine = self._vitals.told()
        machine["hot"] = bool(self._heat.hot)
        machine["throttled"] = bool(self._heat.throttled)
        return {
            "state": state,
            "reasons": reasons,
            "time": _iso(self._clock.time()),
            "run": {
                "state": stats.ended,
                **self._about,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "folder": None if self._folder is None else str(self._folder.resolve()),
                "url": None if self.address is None else self.address.url,
                "started": _iso(self._unix),
                "started_unix": round(self._unix, 3),
                "uptime_s": round(running_s, 1),
                "fps": round(sum(c["fps"] for c in cameras.values()), 2),
                "frames": sum(c["frames"] for c in cameras.values()),
                "turns": stats.turns,
                "last_turn_age_s": round(age, 2),
            },
            "cameras": cameras,
            "machine": machine,
            "log": {"suppressed": 0 if self._log is None else self._log.suppressed},
            **more,
        }

    def _connection(self, name: str) -> Dict[str, Any]:
        health = getattr(self._sources[name], "health", None)
        if health is None:
            return {}
        try:
            return dict(health())
        except Exception:  # noqa: BLE001 - a user's own source, in another thread
            return {}

    def _write_status(self, report: Optional[Dict[str, Any]] = None) -> None:
        """Without the flush to disk of `write_whole`: the next one comes in seconds."""
        if self._folder is None:
            return
        path = self._folder / STATUS_FILE
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            text = json.dumps(report or self._report(self._clock.monotonic()), indent=1) + "\n"
            temporary.write_text(text, encoding="utf-8")
            os.replace(str(temporary), str(path))
        except OSError as error:
            LOG.warning("status: %s cannot be written: %s", path, error.strerror)
            with contextlib.suppress(OSError):
                os.unlink(str(temporary))

    # What is watched

    def _systemd(self) -> None:
        """Feed the watchdog while the loop goes round, and only then."""
        turns = self._stats.turns
        if not self._ready and turns > 0:
            self._ready = True
            self._notifier.tell("READY=1")
        asked = self._stop is not None and self._stop.is_set()
        if asked and not self._stopping:
            self._stopping = True
            self._notifier.tell("STOPPING=1")
        ending = self._stats.ended != "running"  # the last clips are written, which takes a while
        if self._notifier.watchdog_s and (turns != self._fed or ending):
            self._fed = turns
            self._notifier.tell("WATCHDOG=1")

    def _look(self) -> None:
        self._vitals = look(self._folder, self._root)
        self._cached = (-1e9, {})
        for change in self._heat.update(self._vitals):
            told = {
                "hot": f"the machine is hot: {self._heat.hot}",
                "cool": "the machine is cool again",
                "throttled": f"the machine is {self._heat.throttled}",
                "full speed": "the machine is at full speed again",
            }[change]
            begins = change in ("hot", "throttled")
            (LOG.warning if begins else LOG.info)("%s", told)
            what = "hot" if change in ("hot", "cool") else "throttled"
            self._tell(what, begins, told, "")

    def _watch_cameras(self, report: Mapping[str, Any]) -> None:
        """The source logs that a camera is away; here it becomes an alert."""
        for name, told in report["cameras"].items():
            if told["state"] == "away":
                if not self._away.get(name):
                    text = f"camera {name} gives no pictures: {told['reason']}"
                    self._tell("away", True, text, name)
                self._away[name] = BACK_LOOKS
            elif self._away.get(name):
                # One that comes and goes is not told of each time.
                self._away[name] -= 1
                if not self._away[name]:
                    self._tell("away", False, f"camera {name} gives pictures again", name)

    def _watch_clock(self, now: float) -> None:
        offset = self._clock.time() - now
        step, self._offset = offset - self._offset, offset
        if abs(step) >= CLOCK_STEP_S:
            way = "forward" if step > 0 else "back"
            told = f"the clock of the machine was set {way} by {abs(step):.0f} s"
            LOG.warning("%s", told)
            self._tell("clock", True, told, "")

    def _tell(self, what: str, begins: bool, text: str, camera: str) -> None:
        if self._alert is None:
            return
        payload = {"what": what, "begins": begins, "text": text}
        moment = round(self._clock.time(), 3)
        # Numbered, so that two of one moment are two.
        self._alerts += 1
        self._alert(Event(camera or socket.gethostname(), moment, "alert", payload, self._alerts))

    def _is_due(self, what: str, now: float, every: float) -> bool:
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True


def headline(report: Mapping[str, Any]) -> str:
    """A report in one line."""
    cameras = report["cameras"]
    count = f"{len(cameras)} camera" + ("" if len(cameras) == 1 else "s")
    text = f"{report['state']}: {count}, {report['run']['fps']:.1f} frames/s"
    return text + (f"; {report['reasons'][0]}" if report["reasons"] else "")


def _iso(unix: float) -> str:
    try:
        moment = datetime.fromtimestamp(unix, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return ""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
