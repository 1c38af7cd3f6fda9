"""The run under test as it is seen from outside: what it tells, and what the kernel tells of it."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Mapping, NamedTuple, Optional

from ...core import EdgelaneError

MODULE = "edgelane.cli.jobs.soaked"
_PAGE = os.sysconf("SC_PAGE_SIZE") / 1e6


class Seen(NamedTuple):
    """A frame that the run processed.

    Attributes:
        moment: By the monotonic clock.
        timestamp: Its time in Unix seconds, as the run tells it.
        index: Its number.
        late: Seconds from capture to its end.
    """

    moment: float
    timestamp: float
    index: int
    late: float


class Reading(NamedTuple):
    """What the kernel tells of the run's processes.

    Attributes:
        moment: By the monotonic clock.
        own_mb: Memory of the run's own process that it shares with nobody, in MB.
        children_mb: That of its capture processes.
        descriptors: Open files of the run's own process.
        threads: Its threads.
        children: Its processes.
    """

    moment: float
    own_mb: float
    children_mb: float
    descriptors: int
    threads: int
    children: int


@dataclass
class Life:
    """One process of the run, from its start to its end.

    Attributes:
        began: By the monotonic clock.
        ended: Likewise, or None while it lives.
        steps: Frames by camera.
        connected: By camera the moments at which it was lost or back.
        told: Ids of the events that sinks were told, with the moment at which we heard of them.
        dropped: Frames dropped by camera.
        readings: What the kernel told, each second.
        code: How it ended; -9 when killed.
        summary: What a run that was stopped gives.
        errors: Its last lines on stderr.
        killed: Whether it was killed on purpose.
    """

    began: float
    ended: Optional[float] = None
    steps: Dict[str, List[Seen]] = field(default_factory=dict)
    connected: Dict[str, List[Any]] = field(default_factory=dict)
    told: Dict[str, float] = field(default_factory=dict)
    dropped: Dict[str, int] = field(default_factory=dict)
    readings: List[Reading] = field(default_factory=list)
    code: Optional[int] = None
    summary: Optional[Dict[str, Any]] = None
    errors: Deque[str] = field(default_factory=lambda: deque(maxlen=50))
    killed: bool = False


class Subject:
    """Starts the run, listens to it, and starts it again after a kill.

    Args:
        spec: For `edgelane.cli.jobs.soaked`.
        cameras: Names of all cameras.
    """

    def __init__(self, spec: Mapping[str, Any], cameras: List[str]) -> None:
        self._spec = dict(spec)
        self.cameras = cameras
        self.lives: List[Life] = []
        self._process: Optional[subprocess.Popen] = None
        self._threads: List[threading.Thread] = []
        self.step = 0.0
        self._ended = threading.Event()

    @property
    def life(self) -> Life:
        """The present process, or the last."""
        return self.lives[-1]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the run, anew or where it was."""
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        life = Life(time.monotonic(), steps={n: [] for n in self.cameras})
        life.connected = {name: [] for name in self.cameras}
        self.lives.append(life)
        assert process.stdin is not None
        process.stdin.write(json.dumps({**self._spec, "step": self.step}) + "\n")
        process.stdin.flush()
        self._threads = [
            threading.Thread(target=target, args=(process, life), daemon=True)
            for target in (self._listen, self._hear_errors, self._measure)
        ]
        for thread in self._threads:
            thread.start()

    def set_clock(self, step: float) -> None:
        """Set the run's clock so many seconds off the machine's."""
        assert self._process is not None and self._process.stdin is not None
        self.step = step
        self._process.stdin.write(f"{step}\n")
        self._process.stdin.flush()

    def limit_files(self, size: Optional[int]) -> None:
        """Let the run write no file beyond so many bytes, as on a full disk; None lifts it."""
        hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def kill(self) -> None:
        """As power loss does, but for what the kernel still writes."""
        assert self._process is not None
        self.life.killed = True
        self._process.kill()
        self.wait(10.0)

    def stop(self, limit: float = 20.0) -> float:
        """SIGTERM; the seconds that it takes to end."""
        assert self._process is not None
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        if not self.wait(limit):
            self.kill()
        return (self.life.ended or time.monotonic()) - began

    def wait(self, limit: float) -> bool:
        """Whether the run ended by itself within so many seconds."""
        process = self._process
        assert process is not None
        try:
            self.life.code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return False
        self.life.ended = time.monotonic()
        for thread in self._threads:
            thread.join(5.0)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return True

    def until(self, good: Callable[[], bool], limit: float) -> bool:
        """Wait until something holds; False where it does not within so many seconds."""
        end = time.monotonic() + limit
        while not good():
            if time.monotonic() > end or not self.alive:
                return good()
            time.sleep(0.02)
        return True

    def seen_after(self, camera: str, moment: float) -> Optional[float]:
        """When the first frame that was captured after a moment was processed, or None.

        What was on its way when a connection broke is not the camera that is back.
        """
        for life in reversed(self.lives):
            if life.ended is not None and life.ended < moment:
                break
            recent = life.steps[camera][-3000:]
            found = next((s.moment for s in recent if s.moment - s.late > moment), None)
            if found is not None:
                return found
        return None

    def lost_after(self, camera: str, moment: float) -> Optional[float]:
        """When the camera was noticed to be away after a moment, which is that moment where it
        was away already; None where it was not noticed."""
        before = True
        for at, connected in list(self.life.connected[camera]):
            if at > moment:
                if not before:
                    return moment
                if not connected:
                    return at
            before = connected
        return None if before else moment

    def failure(self) -> EdgelaneError:
        """What to raise where the run does not do what it should."""
        said = "; ".join(list(self.life.errors)[-3:]) or "nothing"
        return EdgelaneError("the run ended by itself", got=said, remedy="try it with edgelane run")

    def close(self) -> None:
        """End it."""
        if self.alive:
            self.kill()

    # What it tells

    def _listen(self, process: subprocess.Popen, life: Life) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in process.stdout:
                told = json.loads(line)
                if "summary" in told:
                    life.summary = told["summary"]
                    continue
                for name, state in told["cameras"].items():
                    self._take(life, name, state, told["t"])

    def _take(self, life: Life, name: str, state: Mapping[str, Any], moment: float) -> None:
        life.steps[name] += [Seen(*row) for row in state["steps"]]
        life.dropped[name] = state["dropped"]
        changes = life.connected[name]
        if not changes or changes[-1][1] != state["connected"]:
            changes.append((moment, state["connected"]))
        for event in state["events"]:
            life.told[event] = moment

    def _hear_errors(self, process: subprocess.Popen, life: Life) -> None:
        assert process.stderr is not None
        with contextlib.suppress(ValueError, OSError):
            for line in process.stderr:
                life.errors.append(line.rstrip())

    def _measure(self, process: subprocess.Popen, life: Life) -> None:
        while process.poll() is None and not self._ended.wait(1.0):
            reading = read_processes(process.pid)
            if reading is not None:
                life.readings.append(reading)


def read_processes(pid: int) -> Optional[Reading]:
    """Memory, open files, threads and children of a process; None where it is gone."""
    try:
        own = _private_mb(pid)
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return None
    children: List[int] = []
    for thread in threads:
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii")
            children += [int(child) for child in told.split()]
    memory = 0.0
    for child in children:
        with contextlib.suppress(OSError):
            memory += _private_mb(child)
    return Reading(time.monotonic(), own, memory, descriptors, len(threads), len(children))


def _private_mb(pid: int) -> float:
    """Resident memory without what is shared: files, and pictures on their way."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        _, resident, shared = file.read().split()[:3]
    return (int(resident) - int(shared)) * _PAGE
