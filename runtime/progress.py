"""How far long work is: rate and time left, on stderr."""

import shutil
import sys
import time
from typing import Callable, Optional, TextIO, Tuple


class Progress:
    """One line that is rewritten on a terminal; plain lines every few seconds elsewhere.

    Args:
        label: What is being done, at the front of the line.
        unit: What is counted.
        stream: Where to write; stderr unless given.
        clock: Seconds that never go backwards, for tests.
    """

    def __init__(
        self,
        label: str = "",
        unit: str = "frames",
        stream: Optional[TextIO] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self.unit = unit
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._terminal = bool(getattr(self._stream, "isatty", lambda: False)())
        self._every = 0.2 if self._terminal else 5.0
        self._began = clock()
        self._next = self._began + self._every
        self._from: Optional[float] = None
        self._state: Tuple[float, Optional[float]] = (0, None)
        self._shown = False

    def update(self, count: float, fraction: Optional[float] = None) -> None:
        """Tell how far it is; cheap enough for every frame.

        Args:
            count: How many units are done since the start.
            fraction: How much of the whole is done, 0..1, or None where there is no end.
        """
        if self._from is None and fraction is not None:
            # A run that goes on after a restart begins in the middle.
            self._from = fraction if count > 1 or fraction > 0.05 else 0.0
        self._state = (count, fraction)
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._every
        self._show(now)

    def close(self) -> None:
        """Show the end and leave the line."""
        if self._stream is None:
            return
        if self._state[0] and (self._shown or not self._terminal):
            self._show(self._clock(), final=True)
        if self._terminal and self._shown:
            self._write("\n")
        self._state: Tuple[float, Optional[float]] = (0, None)
        self._shown = False

    def text(self, now: float, final: bool = False) -> str:
        """The line for a moment of the clock; the final one tells the time taken."""
        count, fraction = self._state
        spent = max(now - self._began, 1e-9)
        parts = [f"{count:,} {self.unit}", f"{count / spent:.1f}/s"]
        if fraction is not None:
            parts.insert(0, f"{100 * fraction:3.0f} %")
            done = fraction - (self._from or 0.0)
            if final or fraction >= 1:
                parts.append(f"{_clock_text(spent)} taken")
            elif done > 0:
                parts.append(f"{_clock_text(spent * (1 - fraction) / done)} left")
        else:
            parts.append(_clock_text(spent))
        return (self.label + " " if self.label else "") + "  ".join(parts)

    def _show(self, now: float, final: bool = False) -> None:
        line = self.text(now, final)
        if self._terminal:
            width = max(shutil.get_terminal_size().columns - 1, 20)
            self._write("\r" + line[:width] + "\x1b[K")
        else:
            self._write(line + "\n")
        self._shown = True

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any more; the work goes on.
            self._every = float("inf")
            self._next = float("inf")


def _clock_text(seconds: float) -> str:
    seconds = int(round(seconds))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
