"""Pictures taken when a digital input says so."""

import time
from typing import Any, Callable, Iterator, List, Optional

from ...core import Frame
from .base import DigitalInput


class Triggered:
    """A live source of which one frame passes for each edge of an input.

    Args:
        source: Gives frames with Unix times; everything else is asked of it.
        line: The input.
        delay: Seconds from an edge to the frame that shows the part.
        within: Seconds after that by which the frame must have come.
        missed: Called for each edge of which no frame came in time.
        clocks: Unix and monotonic seconds, for tests.

    Attributes:
        triggers: Edges so far.
        unseen: Those of which no frame came in time.
    """

    def __init__(
        self, source: Any, line: DigitalInput, delay: float = 0.0, within: float = 0.5,
        missed: Optional[Callable[[], None]] = None,
        clocks: Callable[[], Any] = lambda: (time.time(), time.monotonic()),
    ) -> None:  # fmt: skip
        self._source, self._line = source, line
        self._delay, self._within = delay, within
        self.missed, self._clocks = missed, clocks
        self._due: List[float] = []
        self.triggers = self.unseen = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            unix, monotonic = self._clocks()
            for edge in self._line.edges():
                self.triggers += 1
                self._due.append(edge - monotonic + unix + self._delay)
                self._due.sort()
            while self._due and frame.timestamp > self._due[0] + self._within:
                del self._due[0]
                self._miss()
            if self._due and frame.timestamp >= self._due[0]:
                del self._due[0]
                yield frame
        while self._due:
            del self._due[0]
            self._miss()

    def _miss(self) -> None:
        self.unseen += 1
        if self.missed is not None:
            self.missed()

    def close(self) -> None:
        """Close the source and the input."""
        self._line.close()
        self._source.close()

    def __enter__(self) -> "Triggered":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
