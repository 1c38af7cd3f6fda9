"""Lines of a GPIO chip through Linux's character device, as libgpiod uses it.

The first version of its interface (linux/gpio.h, since Linux 4.8), which JetPack's kernels from
4.9 on have as well as newer ones.
"""

import fcntl
import os
import select
import struct
from typing import List

from ...core import SourceError
from .base import DigitalInput, DigitalOutput

_HANDLE = struct.Struct("=64II64B32sIi")  # offsets, flags, values, consumer, lines, file
_VALUES = struct.Struct("=64B")
_EVENT = struct.Struct("=III32si")  # offset, handle flags, event flags, consumer, file
_TOLD = struct.Struct("=QI4x")  # nanoseconds, kind
_OUTPUT, _INPUT, _LOW = 2, 1, 4
_RISING, _FALLING = 1, 2
_CONSUMER = b"edgelane"


def _code(number: int, size: int) -> int:
    """An ioctl that reads and writes, of the letter that GPIO has."""
    return (3 << 30) | (size << 16) | (0xB4 << 8) | number


GET_HANDLE = _code(0x03, _HANDLE.size)
GET_EVENT = _code(0x04, _EVENT.size)
SET_VALUES = _code(0x09, _VALUES.size)


def _ask(chip: str, line: int, code: int, request: bytes) -> bytearray:
    """Ask a chip for a line; gives the request as the kernel filled it in."""
    answer = bytearray(request)
    try:
        device = os.open(chip, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, code, answer, True)
        finally:
            os.close(device)
    except OSError as error:
        why = error.strerror or str(error)
        remedy = "see which lines there are: gpioinfo"
        if isinstance(error, FileNotFoundError):
            remedy = "this machine has no such chip: see /dev/gpiochip*"
        elif isinstance(error, PermissionError):
            remedy = "let the user into the group gpio"
        raise SourceError(f"line {line} of {chip} cannot be had", got=why, remedy=remedy) from None
    return answer


class ChipOutput(DigitalOutput):
    """A line as an output; see `open_output`."""

    def __init__(self, chip: str, line: int, on: bool = False, active_low: bool = False) -> None:
        self._name = f"line {line} of {chip}"
        flags = _OUTPUT | (_LOW if active_low else 0)
        offsets, values = [line] + [0] * 63, [int(on)] + [0] * 63
        request = _HANDLE.pack(*offsets, flags, *values, _CONSUMER, 1, 0)
        self._file = _HANDLE.unpack(_ask(chip, line, GET_HANDLE, request))[-1]

    def set(self, on: bool) -> None:
        try:
            fcntl.ioctl(self._file, SET_VALUES, _VALUES.pack(int(on), *[0] * 63))
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._name} cannot be set", got=str(error)) from None

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class ChipInput(DigitalInput):
    """A line as an input; see `open_input`. The kernel notes the time of each edge."""

    def __init__(self, chip: str, line: int, edge: str = "rising") -> None:
        self._name = f"line {line} of {chip}"
        wanted = _RISING if edge == "rising" else _FALLING
        request = _EVENT.pack(line, _INPUT, wanted, _CONSUMER, 0)
        self._file = _EVENT.unpack(_ask(chip, line, GET_EVENT, request))[-1]
        os.set_blocking(self._file, False)

    def edges(self, timeout: float = 0.0) -> List[float]:
        found: List[float] = []
        try:
            if timeout > 0:
                select.select([self._file], [], [], timeout)
            while True:
                told = os.read(self._file, 16 * _TOLD.size)
                for at in range(0, len(told) - _TOLD.size + 1, _TOLD.size):
                    found.append(_monotonic(_TOLD.unpack_from(told, at)[0] * 1e-9))
                if len(told) < 16 * _TOLD.size:
                    return found
        except BlockingIOError:
            return found
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._name} cannot be read", got=str(error)) from None

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _monotonic(stamp: float) -> float:
    """A kernel's stamp on the monotonic clock: kernels before 5.7 give the time of day."""
    import time

    return stamp - time.time() + time.monotonic() if stamp > 1e9 else stamp
