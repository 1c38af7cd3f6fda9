"""What is told to the machine: parts put out in their time, and nothing passed in silence."""

import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..stats import StageTimes
from .base import DigitalOutput, Encoder

TICK_S = 0.002


@dataclass
class _Due:
    """A part on its way to where it is put out."""

    part: int
    out: bool
    at: float
    count: Optional[int]


class Rejecter:
    """Turns verdicts into pulses of an output, each when the part has reached the place.

    Time is given with each call, so that a recording drives it as well as a clock does: `part`
    tells of a verdict, `advance` lets time pass. A verdict that comes when its part has passed the
    place already is missed: the output goes to its safe level, and stays there until the next
    verdict comes in time.

    Args:
        output: The line; off means that parts pass.
        delay: Seconds from a part's picture to the place.
        pulse: Seconds that the output stays on.
        safe: Level on a missed deadline and at an end in error: True puts everything out.
        encoder: Counts instead of seconds.
        counts: From a part's picture to the place.
        missed: Called with the part and by how much its verdict came too late: seconds, or counts
            of the encoder.

    Attributes:
        latency: From a part's picture to its verdict, as told to `part`.
        put_out: Parts that were put out.
        late: Verdicts that came too late.
        on: Level of the output.
    """

    def __init__(
        self,
        output: DigitalOutput,
        delay: float = 0.0,
        pulse: float = 0.1,
        safe: bool = True,
        encoder: Optional[Encoder] = None,
        counts: int = 0,
        missed: Optional[Callable[[int, float], None]] = None,
    ) -> None:
        self._output, self._delay, self._pulse, self._safe = output, delay, pulse, safe
        self._encoder, self._counts, self._missed = encoder, counts, missed
        self._waiting: List[_Due] = []
        self._until: Optional[float] = None
        self._failed = False
        self._lock = threading.RLock()
        self.latency = StageTimes()
        self.put_out = self.late = 0
        # Until the first verdict nothing is known of what passes.
        self.on = safe
        output.set(safe)
        self._started = False

    def part(self, number: int, out: bool, seen: float, now: float) -> bool:
        """A verdict.

        Args:
            number: Of the part.
            out: Whether the part is put out.
            seen: Seconds at which its picture was taken.
            now: Seconds now, on the same clock.

        Returns:
            Whether it came in time.
        """
        with self._lock:
            self.latency.add(max(now - seen, 0.0), 0.0)
            due, late = _Due(number, out, seen + self._delay, None), now - seen - self._delay
            if self._encoder is not None:
                self._encoder.update()
                start = self._encoder.at(seen)
                due.count = None if start is None else start + self._counts
                gone = self._encoder.count - (due.count or 0)
                late = float(gone) if start is not None else float("inf")
            if late >= 0:
                self._miss()
                if self._missed is not None:
                    self._missed(number, late)
                return False
            if not self._started or self._failed:
                self._started, self._failed = True, False
                if self._until is None:
                    self._set(False)
            self._waiting.append(due)
            self.advance(now)
            return True

    def advance(self, now: float) -> None:
        """Let time pass: pulses begin and end."""
        with self._lock:
            count = self._encoder.update() if self._encoder is not None else 0
            ready = [d for d in self._waiting if self._reached(d, now, count)]
            if ready:
                self._waiting = [d for d in self._waiting if not self._reached(d, now, count)]
                out = [d for d in ready if d.out]
                self.put_out += len(out)
                if out:
                    self._until = now + self._pulse
                    self._set(True)
            if self._until is not None and now >= self._until:
                self._until = None
                self._set(self._failed and self._safe)

    def _reached(self, due: _Due, now: float, count: int) -> bool:
        return now >= due.at if due.count is None else count >= due.count

    def unseen(self) -> None:
        """A part passed of which no picture came: the output goes to its safe level until the next
        verdict comes in time."""
        with self._lock:
            self._miss()

    def _miss(self) -> None:
        """A part passed unjudged; one that is being put out at this moment still is."""
        self.late += 1
        self._failed = True
        if self._until is None:
            self._set(self._safe)

    def fail(self) -> None:
        """Verdicts cannot come any more: the output goes to its safe level and stays there."""
        with self._lock:
            self._failed = True
            self._waiting = []
            self._until = None
            self._set(self._safe)

    def _set(self, on: bool) -> None:
        if on != self.on:
            self._output.set(on)
            self.on = on

    def facts(self) -> Dict[str, Any]:
        """For the summary."""
        return {
            "put_out": self.put_out,
            "late": self.late,
            "latency_ms": {"median": round(self.latency.median_ms, 2),
                           "p99": round(1e3 * self.latency.quantile(0.99), 2)},
        }  # fmt: skip


class Heartbeat:
    """An output that goes on and off as long as somebody says that all is well.

    Args:
        output: The line.
        period: Seconds of one on and off.
        within: Seconds after the last `beat` from which it stays off.
    """

    def __init__(self, output: DigitalOutput, period: float = 1.0, within: float = 2.0) -> None:
        self._output, self._half, self._within = output, period / 2, within
        self._last: Optional[float] = None
        self._turned = float("-inf")
        self.on = False
        output.set(False)

    def beat(self, now: float) -> None:
        """All is well."""
        self._last = now

    def advance(self, now: float) -> None:
        """Let time pass."""
        well = self._last is not None and now - self._last <= self._within
        if not well:
            if self.on:
                self._turn(False, now)
        elif now - self._turned >= self._half:
            self._turn(not self.on, now)

    def _turn(self, on: bool, now: float) -> None:
        self._output.set(on)
        self.on, self._turned = on, now

    def stop(self) -> None:
        """Off, for good."""
        self._within = float("-inf")
        if self.on:
            self._output.set(False)
            self.on = False


class Driver(threading.Thread):
    """Lets time pass for outputs, by a clock: a context.

    Args:
        clock: Gives seconds.
        parts: Things with `advance(now)`.
        failed: Called once with an error of a line.
    """

    def __init__(
        self, clock: Callable[[], float], parts: Tuple[Any, ...],
        failed: Optional[Callable[[BaseException], None]] = None,
    ) -> None:  # fmt: skip
        super().__init__(name="outputs", daemon=True)
        self._clock, self._parts, self._failed = clock, parts, failed
        self._done = threading.Event()

    def run(self) -> None:
        try:
            while not self._done.wait(TICK_S):
                now = self._clock()
                for part in self._parts:
                    part.advance(now)
        except Exception as error:
            if self._failed is not None:
                self._failed(error)

    def __enter__(self) -> "Driver":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self.join(1.0)
