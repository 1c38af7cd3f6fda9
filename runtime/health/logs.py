"""Log lines for people or programs: no secrets in them, and no flood of one kind.

What is logged below the name `edgelane` goes through a `Log` while a run goes on.
"""

import contextlib
import json
import logging
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, TextIO, Tuple

from ..secrets import hide
from .settings import LogSettings

LOGGER = logging.getLogger("edgelane")
MOST_KINDS = 1000
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

Kind = Tuple[str, int, str, str]


class _Flow:
    """How much of one kind of message was logged since when."""

    __slots__ = ("began", "count", "held", "last")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.held = 0
        self.last: Optional[logging.LogRecord] = None


class Log(logging.Handler):
    """Writes log records as lines.

    Of each kind of message (same text before its values are put in, same camera) so many are
    written at once; more are counted, and after a while one line tells how many they were.

    Attributes:
        suppressed: How many messages were counted and not written.

    Args:
        settings: Format, level and limits.
        stream: Where to write; stderr unless given.
        clock: Seconds that never go backwards, for tests.
    """

    def __init__(
        self,
        settings: Optional[LogSettings] = None,
        stream: Optional[TextIO] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = settings or LogSettings()
        super().__init__(getattr(logging, settings.level.upper()))
        self.suppressed = 0
        self._settings = settings
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._flows: Dict[Kind, _Flow] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it where there were many of its kind."""
        try:
            now = self._clock()
            flow = self._flow(_kind(record), now)
            if now - flow.began >= self._settings.every_s:
                self._tell_held(flow)
                flow.began, flow.count = now, 0
            flow.count += 1
            if flow.count > self._settings.burst:
                flow.held += 1
                flow.last = record
                self.suppressed += 1
                return
            self._write(record, record.getMessage())
        except Exception:  # noqa: BLE001 - a log must never end what it tells of
            self.suppressed += 1

    def sweep(self) -> None:
        """Tell what was held back where its time is over; to be called now and then."""
        with self.lock or threading.RLock():
            now = self._clock()
            for kind, flow in list(self._flows.items()):
                if now - flow.began >= self._settings.every_s:
                    self._tell_held(flow)
                    del self._flows[kind]

    def close(self) -> None:
        """Tell what was held back."""
        with self.lock or threading.RLock():
            for flow in self._flows.values():
                self._tell_held(flow)
            self._flows.clear()
        super().close()

    def _flow(self, kind: Kind, now: float) -> _Flow:
        flow = self._flows.get(kind)
        if flow is None:
            if len(self._flows) >= MOST_KINDS:
                for old in list(self._flows)[: MOST_KINDS // 2]:
                    self._tell_held(self._flows.pop(old))
            flow = self._flows[kind] = _Flow(now)
        return flow

    def _tell_held(self, flow: _Flow) -> None:
        if flow.held and flow.last is not None:
            more = f"{flow.last.getMessage()} ({flow.held} more suppressed)"
            self._write(flow.last, more, suppressed=flow.held)
        flow.held, flow.last = 0, None

    def _write(self, record: logging.LogRecord, message: str, **more: Any) -> None:
        make = json_line if self._settings.format == "json" else text_line
        line = make(record, message, more)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more; the work goes on


def json_line(record: logging.LogRecord, message: str, more: Dict[str, Any]) -> str:
    """A record as a JSON object: `time` (UTC), `level`, `logger`, `message` and what was given
    as `extra`."""
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    told: Dict[str, Any] = {
        "time": f"{seconds}.{int(record.created % 1 * 1000):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": hide(message),
    }
    for key, value in vars(record).items():
        if key not in _STANDARD and not key.startswith("_"):
            told[key] = _clean(value)
    told.update(more)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        told["error"] = hide(f"{type(error).__name__}: {error}")
    return json.dumps(told, ensure_ascii=False, default=lambda v: hide(str(v)))


def text_line(record: logging.LogRecord, message: str, more: Dict[str, Any]) -> str:
    """A record as a line that begins with the local time."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
    error = record.exc_info[1] if record.exc_info else None
    tail = "" if error is None else f": {type(error).__name__}: {error}"
    line = f"{when} {record.levelname.lower()}: {hide(message + tail)}"
    return line.replace("\r", " ").replace("\n", " ")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {str(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner) for inner in value]
    if isinstance(value, float) and value - value != 0.0:
        return str(value)  # JSON knows no infinity
    return value


def _kind(record: logging.LogRecord) -> Kind:
    camera = getattr(record, "camera", None)
    arguments = record.args if isinstance(record.args, tuple) else ()
    if camera is None and arguments and isinstance(arguments[0], str):
        camera = arguments[0]
    return record.name, record.levelno, str(record.msg), str(camera or "")


@contextlib.contextmanager
def logging_to(
    settings: Optional[LogSettings], stream: Optional[TextIO] = None
) -> Iterator[Optional[Log]]:
    """Write the log of a run as lines while it goes on.

    Without settings it is written for people, and only where the program that runs edgelane has
    set up no logging of its own.

    Args:
        settings: Format, level and limits; None for the usual ones.
        stream: As in `Log`.
    """
    handlers: List[Any] = [*LOGGER.handlers, *logging.getLogger().handlers]
    if settings is None and handlers:
        yield None
        return
    log = Log(settings, stream)
    before = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(log)
    LOGGER.setLevel(log.level)
    LOGGER.propagate = False
    try:
        yield log
    finally:
        LOGGER.removeHandler(log)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]
        log.close()
