"""The process that a run is in: its cores, and what a run changes and puts back, signals and
OpenCV's threads."""

import contextlib
import os
import signal
import sys
import threading
from typing import Any, Dict, Iterator


def cores() -> int:
    """How many cores this process may use; at least one."""
    try:
        return max(len(os.sched_getaffinity(0)), 1)
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@contextlib.contextmanager
def asked_to_stop(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM ask the loop to stop; a second one does what it did before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Dict[int, Any] = {}

    def ask(number: int, _: Any) -> None:
        stop.set()
        signal.signal(number, before[number] or signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """OpenCV's own threads would fight with the workers over small pictures."""
    cv2 = sys.modules.get("cv2")
    if cv2 is None:
        yield
        return
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
