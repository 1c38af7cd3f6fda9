"""A live camera whose capture is a process of its own: it can hang, and is then replaced."""

import contextlib
import json
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ... import core
from ...core import EdgelaneError, Frame, SourceError
from .address import mask
from .backoff import Backoff
from .base import Query, Source, positive, take
from .child import FRAME
from .ring import Ring, make_memory
from .timeline import SHARED, Timeline

LOG = logging.getLogger("edgelane.camera")
LOG_EVERY_S = 60.0
"""A camera that stays away is logged this often."""

KEYFRAME_S = 6.0
"""What connecting may take longer where keyframes are rare; see `readers.KEYFRAME_S`."""

STALE_S = 2.0
"""A picture that waited longer is not given: the world has gone on."""

LATE_S = 0.25
"""Nor is one that waited this long when a newer one is there."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what.

    Attributes:
        timeout: Seconds without a picture after which a camera counts as lost, and a capture that
            says nothing as hung. A hang is noticed within this.
        open_s: Seconds that a first picture may take when the source is opened.
        start_s: Seconds that a capture process may take to start.
        retry_s: The first pause before another try.
        retry_most_s: The longest; together with the time to connect a camera that is back should
            be seen within five seconds.
        patient_s: The pause after a wrong password: cameras lock out who tries too often.
        stable_s: Seconds of pictures after which pauses are short again.
    """

    timeout: float = 4.0
    open_s: float = 10.0
    start_s: float = 30.0
    retry_s: float = 0.25
    retry_most_s: float = 2.0
    patient_s: float = 30.0
    stable_s: float = 5.0


class Absence(NamedTuple):
    """A time without pictures, in Unix seconds, and why."""

    start: float
    end: float
    reason: str


def patience(query: Query, uri: str) -> Patience:
    """Take the keys `timeout` and `open` out of a query."""
    own = {key: query.pop(key) for key in ("timeout", "open") if key in query}
    values = take(own, uri, timeout=positive, open=positive)
    if "open" in values:
        values["open_s"] = values.pop("open")
    return Patience(**values)


class LiveSource(Source):
    """Frames of a camera from a capture process, which connects again by itself.

    The process is started at once, so several cameras connect at the same time; whoever asks for
    `size` waits for the first picture. Frames have one size for ever: where the camera changes
    it, pictures are scaled, so shapes stay where they were drawn.

    Attributes:
        dropped: Pictures that came faster than they were taken.
        early: Those of them that came before the first was taken.
        reconnects: How often pictures came back after they had stopped.
        restarts: How often the capture process had to be replaced.
        tries: Tries to connect that failed, in all.
        absences: The last times without pictures.

    Args:
        uri: Where the camera is; shown with its secrets starred out.
        camera: Name that the frames carry.
        spec: What the capture process is to do, see `readers.connect`.
        patience: How long to wait for what.
        timeline: Tells the Unix time of frames.
    """

    live = True

    def __init__(
        self,
        uri: str,
        camera: str,
        spec: Dict[str, Any],
        patience: Patience = Patience(),  # noqa: B008 - frozen
        timeline: Timeline = SHARED,
    ) -> None:
        self.uri, self.camera, self.warnings = mask(uri), camera, []
        self.fps = None
        self.dropped = self.reconnects = self.restarts = self.tries = 0
        self.early = 0
        self._chosen: Optional[Callable[[float], bool]] = None
        self.absences: Deque[Absence] = deque(maxlen=50)
        # The capture gives up by itself, which tells why, before it is taken to hang.
        self._spec = {"timeout": 0.75 * patience.timeout, **spec}
        for key in ("retry_s", "retry_most_s", "patient_s", "stable_s"):
            self._spec[key] = getattr(patience, key)
        self._patience, self._timeline = patience, timeline
        self._backoff = Backoff(patience.retry_s, patience.retry_most_s, patience.stable_s)
        self._size: Optional[Tuple[int, int]] = None
        self._failure: Optional[EdgelaneError] = None
        self._ended = self._stopped = False
        self._why, self._refused = "", False
        self._state = "starting"
        self._seen: Optional[float] = None  # the last picture, by the monotonic clock
        self._lost: Optional[float] = None
        self._logged = -LOG_EVERY_S
        self._told_lost = False
        self._index = self._base = 0
        self._latest = -1
        self._told: Deque[Tuple[int, float]] = deque()
        self._process: Optional[subprocess.Popen] = None
        self._link: Optional[socket.socket] = None
        self._ring: Optional[Ring] = None
        self._buried: List[subprocess.Popen] = []
        self._deadline = self._respawn = 0.0
        self._interval = 0.0
        self._spawn()

    # What a source is

    @property
    def refused(self) -> bool:
        """Whether the camera does not want us, e.g. because the password is wrong."""
        return self._refused or self._failure is not None

    @property
    def size(self) -> Tuple[int, int]:  # type: ignore[override]
        """`(width, height)` of every frame; waits for the first picture.

        Raises:
            SourceError: None came in time. The camera is still waited for: with `expect` frames
                can be read when it comes.
        """
        if self._size is None:
            self._settle()
        assert self._size is not None
        return self._size

    def expect(self, size: Tuple[int, int]) -> None:
        """Frames shall have this size, and the camera need not be there yet."""
        self._size = (int(size[0]), int(size[1]))
        self._spec["size"] = self._size
        self._told.clear()
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.sendall(json.dumps({"size": self._size}).encode())

    def choose(self, wanted: Callable[[float], bool]) -> None:
        """Give only the frames whose timestamps are wanted; the others are not copied."""
        self._chosen = wanted

    def not_before(self, timestamp: float, lead: float = 0.0) -> None:
        """Frames are later than this moment, which an earlier run has reached, and which was that
        much ahead of the clock."""
        self._timeline.not_before(timestamp, lead)

    def lead(self) -> float:
        """Seconds by which the time of frames is ahead of the clock, which had been set back."""
        return self._timeline.lead()

    def __iter__(self) -> Iterator[Frame]:
        if self._size is None:
            self._settle()
        self._pump(0.0)
        if self._told:
            # What came before anybody asked: the newest of it is what there is to see.
            newest = self._told.pop()
            self._told.clear()
            self._told.append(newest)
            self.early = self._base + newest[0] - self._index
            self.dropped += self.early
            self._index += self.early
        while True:
            self._pump(0.2)
            while self._told:
                frame = self._take()
                if frame is not None:
                    yield frame
                if self._stopped:
                    return
            if self._stopped or self._ended:
                return
            if self._failure is not None:
                raise self._failure

    def interrupt(self) -> None:
        """End the iteration soon, from any thread."""
        self._stopped = True

    def reason(self, start: float, end: float) -> str:
        """Why pictures were missing between two Unix times, as far as it is known."""
        known = [a for a in list(self.absences) if a.start < end and a.end > start]
        if known:
            return max(known, key=lambda a: min(a.end, end) - max(a.start, start)).reason
        return self._why if self._lost is not None else ""

    def health(self) -> Dict[str, Any]:
        """How the camera is: `connected`, `reconnects`, `restarts`, `tries`, and `reason` where
        it is away."""
        told: Dict[str, Any] = {
            "connected": self._seen is not None and self._lost is None,
            "reconnects": self.reconnects,
            "restarts": self.restarts,
            "tries": self.tries,
        }
        if not told["connected"] and self._why:
            told["reason"] = self._why
        return told

    def close(self) -> None:
        self._stopped = True
        self._kill()
        for process in self._buried:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        self._buried = []

    # The capture process

    def _spawn(self) -> None:
        """Start the capture process.

        Raises:
            SourceError: The machine has no room for one.
        """
        self._base, self._latest = self._index, -1
        self._told.clear()
        try:
            with contextlib.ExitStack() as unless:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                unless.callback(ours.close)
                with theirs:
                    memory = make_memory()
                    unless.callback(os.close, memory)
                    self._process = self._start(theirs.fileno(), memory)
                unless.pop_all()
        except OSError as error:
            raise SourceError(
                f"no capture process can be started for {self.camera}",
                got=error.strerror or error,
                remedy="let fewer programs run, or raise their limits: ulimit -n, ulimit -u",
            ) from None
        self._link, self._ring = ours, Ring(memory)
        self._asked = select.poll()  # which, other than select, knows descriptors above 1023
        self._asked.register(ours, select.POLLIN)
        with contextlib.suppress(OSError):  # it is gone already, which is seen when it is heard
            ours.sendall(json.dumps(self._spec).encode())
        self._state = "starting"
        self._deadline = time.monotonic() + self._patience.start_s

    @staticmethod
    def _start(link: int, memory: int) -> "subprocess.Popen[bytes]":
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        # One thread a camera: a pool of them in each process would be memory for nothing.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = "1"
        module = __name__.rpartition(".")[0] + ".child"
        return subprocess.Popen(
            [sys.executable, "-m", module, str(link), str(memory)],
            pass_fds=(link, memory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                self._buried.append(process)  # stuck in a driver; it goes when that lets it
        link, self._link = self._link, None
        if link is not None:
            link.close()
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()
        self._buried = [p for p in self._buried if p.poll() is None]

    def _replace(self, why: str) -> None:
        """Kill the capture process; another is started after a pause."""
        self._kill()
        self.restarts += 1
        self._respawn = time.monotonic() + self._backoff.pause()
        self._away(why)

    def _pump(self, wait: float) -> None:
        """Take in what the capture process tells; replace it where it is silent or dead."""
        now = time.monotonic()
        if self._link is None:
            if self._stopped or self._ended or self._failure is not None:
                return
            if now < self._respawn:
                time.sleep(min(wait, self._respawn - now))
                return
            try:
                self._spawn()
            except SourceError as error:
                # A machine that is full for a moment must not end a run of months.
                self._respawn = now + self._backoff.pause()
                self._away(f"no capture process can be started: {error.got}")
                return
        while self._link is not None:
            if not self._asked.poll(1000 * max(wait, 0.0)):
                break
            wait = 0.0
            try:
                data = self._link.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                if not (self._ended or self._failure is not None):
                    self._replace("the capture process died")
                return
            if data[:1] == b"F":
                self._picture(data)
            else:
                self._news(json.loads(data[1:]))
        now = time.monotonic()
        if self._link is not None and now > self._deadline:
            silent = "the capture hung" if self._state == "playing" else "connecting took too long"
            if self._state == "starting":
                silent = "the capture process did not start"
            self._replace(silent)

    def _picture(self, data: bytes) -> None:
        _, number, moment = FRAME.unpack(data)
        now = time.monotonic()
        if self._seen is not None and self._lost is None:
            interval = min(now - self._seen, 60.0)
            self._interval = 0.9 * self._interval + 0.1 * interval
        self._latest = number
        self._told.append((number, moment))
        # A camera of one picture in five seconds does not hang in between.
        self._deadline = now + max(self._patience.timeout, 3 * self._interval)
        self._backoff.good(now)
        if self._lost is not None:
            self._back(now)
        self._seen = now

    def _news(self, news: Dict[str, Any]) -> None:
        state, now = news["state"], time.monotonic()
        timeout = self._patience.timeout
        if state == "size":
            assert self._ring is not None
            size = (int(news["size"][0]), int(news["size"][1]))
            self._told.clear()
            self._ring.shape(size)
            if self._size is None:
                self._size = self._spec["size"] = size
            return
        if state == "camera":
            given = "{}x{}".format(*news["size"])
            if self._size is not None and tuple(news["size"]) != self._size:
                self._warn(
                    f"{self.camera}: the camera sends {given}; its pictures are scaled to "
                    "{}x{}, so shapes stay where they were drawn.".format(*self._size)
                )
            return
        self._state = state
        if state == "connecting":
            self._deadline = now + 2 * timeout + KEYFRAME_S
        elif state == "playing":
            self.fps = news.get("fps") or self.fps
            self._deadline = now + timeout
        elif state == "away":
            self.tries += 1
            self._refused = bool(news.get("patient"))
            self._deadline = now + news["pause"] + timeout
            self._away(news["why"])
        elif state == "ended":
            self._ended = True
        elif state == "failed":
            kind = getattr(core, news["kind"], SourceError)
            what, got, expected, remedy = news["parts"]
            self._failure = kind(what, got=got, expected=expected, remedy=remedy)

    def _away(self, why: str) -> None:
        now = time.monotonic()
        if self._lost is None:
            self._lost = now if self._seen is None else self._seen
            self._told_lost = False
        self._why = why
        # One line a minute, also where a camera comes and goes all the time.
        if now - self._logged >= LOG_EVERY_S:
            self._logged, self._told_lost = now, True
            missing = now - self._lost
            LOG.warning(
                "%s: no pictures for %.0f s (%s); failed tries: %d, times away: %d",
                *(self.camera, missing, why, self.tries, self.reconnects + 1),
            )

    def _back(self, now: float) -> None:
        assert self._lost is not None
        start, end = self._timeline.unix(self._lost), self._timeline.unix(now)
        self.absences.append(Absence(start, end, self._why))
        if self._seen is not None:
            self.reconnects += 1
            if self._told_lost:
                LOG.warning("%s: pictures again after %.0f s", self.camera, now - self._lost)
        self._lost = None

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings[20:] = []
            self.warnings.append(sentence)
            LOG.warning("%s", sentence)

    # Pictures

    def _take(self) -> Optional[Frame]:
        number, moment = self._told.popleft()
        skipped = self._base + number - self._index
        self.dropped += max(skipped, 0)
        self._index = self._base + number + 1
        ring = self._ring
        timestamp = round(self._timeline.unix(moment), 6)
        if self._chosen is not None and not self._chosen(timestamp):
            return None
        if ring is None or time.monotonic() - moment > (LATE_S if self._told else STALE_S):
            self.dropped += 1
            return None
        if not ring.intact(number, self._latest) or ring.size != self._size:
            self.dropped += 1
            return None
        image, size = ring.read(number), ring.size
        self._pump(0.0)
        if self._ring is not ring or ring.size != size or not ring.intact(number, self._latest):
            self.dropped += 1
            return None
        return Frame(image, timestamp, self.camera, self._base + number, moment)

    def _settle(self) -> None:
        """Wait for the first picture."""
        began = time.monotonic()
        limit = began + self._patience.open_s
        while self._size is None:
            self._pump(0.05)
            if self._state == "starting" and time.monotonic() - began < self._patience.start_s:
                limit = time.monotonic() + self._patience.open_s  # no time of the camera's
            if self._size is not None:
                return
            if self._failure is not None:
                raise self._failure
            late = time.monotonic() > limit
            if late or self._refused or self._ended or self._stopped:
                why = self._why or "it sends nothing"
                remedy = "check the address, and that the camera is on"
                if "certificate" in why:
                    remedy = (
                        "add ?ca=FILE with the certificate of the camera itself, which `openssl "
                        "s_client -connect HOST:PORT` shows, or of who signed it; ?verify=no "
                        "trusts whoever answers"
                    )
                elif self._refused:
                    remedy = "check user and password in the address"
                raise SourceError(f"camera {self.uri} gives no pictures: {why}", remedy=remedy)
