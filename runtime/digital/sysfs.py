"""Lines through /sys/class/gpio, for kernels without the character device."""

import os
import select
import time
from pathlib import Path
from typing import List

from ...core import SourceError
from .base import DigitalInput, DigitalOutput

ROOT = Path("/sys/class/gpio")
WAIT_S = 1.0


def root_of(chip: str) -> Path:
    """Where the lines lie: `sysfs`, or `sysfs:FOLDER` for another place than the kernel's."""
    _, _, place = chip.partition(":")
    return Path(place) if place else ROOT


def _folder(line: int, root: Path) -> Path:
    """The folder of a line, which is asked for where nobody did yet."""
    folder = root / f"gpio{line}"
    try:
        if not folder.is_dir():
            (root / "export").write_text(str(line))
        until = time.monotonic() + WAIT_S
        while not (folder / "value").exists():  # udev gives it to the group a moment later
            if time.monotonic() > until:
                raise SourceError(
                    f"line {line} of {root} does not come", remedy="see which lines there are"
                )
            time.sleep(0.01)
    except OSError as error:
        raise SourceError(
            f"line {line} of {root} cannot be had",
            got=error.strerror or str(error),
            remedy="name a line that the machine has, and let the user into the group gpio",
        ) from None
    return folder


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise SourceError(f"{path} cannot be set", got=error.strerror or str(error)) from None


class SysfsOutput(DigitalOutput):
    """A line as an output; see `open_output`."""

    def __init__(
        self, line: int, on: bool = False, active_low: bool = False, root: Path = ROOT
    ) -> None:
        folder = _folder(line, root)
        _write(folder / "active_low", str(int(active_low)))
        # `high` and `low` set direction and level at once, so that the line does not twitch.
        _write(folder / "direction", "high" if on != active_low else "low")
        self._value = folder / "value"
        self._closed = False
        self.set(on)

    def set(self, on: bool) -> None:
        if self._closed:
            raise SourceError(f"{self._value} cannot be set", got="a closed line")
        _write(self._value, str(int(on)))

    def close(self) -> None:
        self._closed = True


class SysfsInput(DigitalInput):
    """A line as an input; see `open_input`. Edges that come faster than they are asked for are
    one."""

    def __init__(self, line: int, edge: str = "rising", root: Path = ROOT) -> None:
        folder = _folder(line, root)
        _write(folder / "direction", "in")
        _write(folder / "edge", edge)
        self._wanted = b"1" if edge == "rising" else b"0"
        try:
            self._file = os.open(folder / "value", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{folder} cannot be read", got=error.strerror) from None
        self._last = self._read()
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLPRI | select.POLLERR)

    def _read(self) -> bytes:
        try:
            os.lseek(self._file, 0, os.SEEK_SET)
            return os.read(self._file, 1)
        except OSError as error:
            raise SourceError("a digital line cannot be read", got=error.strerror) from None

    def edges(self, timeout: float = 0.0) -> List[float]:
        try:
            self._poll.poll(1000 * timeout)
        except PermissionError:  # a plain file, as in tests, tells no interrupts
            time.sleep(timeout)
        now, level = time.monotonic(), self._read()
        found = [now] if level != self._last and level == self._wanted else []
        self._last = level
        return found

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
