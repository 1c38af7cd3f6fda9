"""The seam to digital lines."""

import abc
from typing import List, Optional, Tuple

from ...core import UsageError, did_you_mean


class DigitalOutput(abc.ABC):
    """A line that can be on or off. It is a context: leaving it closes the line."""

    @abc.abstractmethod
    def set(self, on: bool) -> None:
        """Turn it on or off; returns when the line has changed.

        Raises:
            SourceError: The line is gone.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the line; its level stays as it is."""

    def __enter__(self) -> "DigitalOutput":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class DigitalInput(abc.ABC):
    """A line whose edges are told. It is a context: leaving it closes the line."""

    @abc.abstractmethod
    def edges(self, timeout: float = 0.0) -> List[float]:
        """Times of the edges since the last call, in seconds of the machine's monotonic clock.

        Args:
            timeout: Seconds to wait for one where there is none.

        Raises:
            SourceError: The line is gone.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the line."""

    def __enter__(self) -> "DigitalInput":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


KINDS = ("/dev/gpiochip0", "sysfs")


def _kind(chip: str) -> str:
    if chip == "sysfs" or chip.startswith("sysfs:"):
        return "sysfs"
    if chip.startswith("/dev/"):
        return "chip"
    raise UsageError(f"there is no digital line at {chip!r}", remedy=did_you_mean(chip, KINDS))


def open_output(chip: str, line: int, on: bool = False, active_low: bool = False) -> DigitalOutput:
    """A line as an output.

    Args:
        chip: A character device such as `/dev/gpiochip0`, or `sysfs` for the old interface, whose
            numbers count over all chips.
        line: Number of the line.
        on: What it is at first, from the moment it becomes an output.
        active_low: Whether it is on at low level.

    Raises:
        UsageError: The chip's name is none.
        SourceError: There is no such line, or another program has it.
    """
    if _kind(chip) == "sysfs":
        from .sysfs import SysfsOutput, root_of

        return SysfsOutput(line, on, active_low, root_of(chip))
    from .chardev import ChipOutput

    return ChipOutput(chip, line, on, active_low)


def open_input(chip: str, line: int, edge: str = "rising") -> DigitalInput:
    """A line as an input.

    Args:
        chip: As in `open_output`.
        line: Number of the line.
        edge: `rising` or `falling`.

    Raises:
        UsageError: The chip's name or the edge is none.
        SourceError: There is no such line, or another program has it.
    """
    if edge not in ("rising", "falling"):
        raise UsageError(f"unknown edge {edge!r}", remedy=did_you_mean(edge, ("rising", "falling")))
    if _kind(chip) == "sysfs":
        from .sysfs import SysfsInput, root_of

        return SysfsInput(line, edge, root_of(chip))
    from .chardev import ChipInput

    return ChipInput(chip, line, edge)


class Encoder:
    """Counts the edges of an input, and remembers when they came.

    Args:
        line: The input.

    Attributes:
        count: Edges so far.
    """

    KEPT = 4096

    def __init__(self, line: DigitalInput) -> None:
        self._line = line
        self.count = 0
        self._times: List[Tuple[float, int]] = []

    def update(self) -> int:
        """Take in the edges that came; gives their count."""
        for moment in self._line.edges():
            self.count += 1
            self._times.append((moment, self.count))
        if len(self._times) > 2 * self.KEPT:
            del self._times[: -self.KEPT]
        return self.count

    def at(self, moment: float) -> Optional[int]:
        """The count at a moment; None where that is longer ago than is remembered."""
        if not self._times:
            return 0
        if moment < self._times[0][0]:
            first = self._times[0][1]
            return first - 1 if first == 1 else None
        found = 0
        low, high = 0, len(self._times)
        while low < high:
            middle = (low + high) // 2
            if self._times[middle][0] <= moment:
                found, low = self._times[middle][1], middle + 1
            else:
                high = middle
        return found

    def close(self) -> None:
        """Let go of the input."""
        self._line.close()
