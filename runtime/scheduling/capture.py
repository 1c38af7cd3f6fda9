"""The thread that decodes one camera and hands its frames in."""

import threading
from collections import deque
from time import monotonic
from typing import Any, Callable, Deque, List, Optional, Tuple

from ..second import Question
from ..stats import Stopwatch
from .pace import Pace
from .tasks import Desk, Task

BATCH = 8
BATCH_BYTES = 32 << 20
BATCH_S = 0.05
"""Frames of a file are passed on several at a time: decoding the model's outputs and a pipeline are
many small steps, which take twice as long each time a run of the graph has swept the CPU's caches.
So many frames at most, so many bytes of pictures, and so many seconds. Frames of a live camera are
passed on at once."""


def passed_together(size: Tuple[int, int]) -> int:
    """How many frames of a file of this `(width, height)` are passed on together."""
    return min(max(BATCH_BYTES // (3 * size[0] * size[1] or 1), 1), BATCH)


class Capture(threading.Thread):
    """Decodes one camera; keeps what is under way of it.

    Args:
        name: The camera.
        source: Its source.
        desk: Where frames are handed in.
        ready: A queue that is told the camera's name at the end.
        stopped: Whether to end.
        pace: Which frames are wanted; None for all.
    """

    def __init__(
        self,
        name: str,
        source: Any,
        desk: Desk,
        ready: Any,
        stopped: Callable[[], bool],
        pace: Optional[Pace] = None,
    ) -> None:
        super().__init__(name=f"capture {name}", daemon=True)
        self.camera = name
        self.source = source
        self.live = bool(getattr(source, "live", False))
        self.line = desk.lines[name]
        self.asked: Deque[Question] = deque()
        self.error: Optional[BaseException] = None
        self.failure: Optional[BaseException] = None
        self.done = False
        self.batch = 1 if self.live else passed_together(source.size)
        self._desk, self._ready, self._stopped, self._pace = desk, ready, stopped, pace
        self._passed = monotonic()
        self._head = 0

    def run(self) -> None:
        try:
            self._decode()
        except BaseException as error:
            self.error = error
        self.done = True
        self._ready.put(self.camera)

    def _decode(self) -> None:
        pace, chosen = self._pace, False
        if pace is not None and hasattr(self.source, "choose"):
            self.source.choose(pace.take)  # which saves copying what is not wanted
            chosen = True
        watch = Stopwatch()
        for frame in self.source:
            spent = watch.lap()
            if self._stopped():
                return
            if pace is None or chosen or pace.take(frame.timestamp):
                number = int(getattr(frame, "index", 0)) if pace is None else pace.number
                task = Task(self.camera, frame, spent, self.skipped)
                if not self._desk.put(task, number, self._stopped):
                    return
            watch.lap()

    @property
    def skipped(self) -> int:
        """Frames between those of the rate that was asked for."""
        return self._pace.skipped if self._pace is not None else 0

    def head(self) -> int:
        """How many frames at the head of the line are done."""
        line, head = self.line, self._head
        while head < len(line) and line[head].done:
            head += 1
        self._head = head
        return head

    def due(self) -> bool:
        """Whether what is done should be passed on now."""
        return self.head() >= self.batch or monotonic() - self._passed >= BATCH_S

    def take(self, most: Optional[int] = None) -> List[Task]:
        """The frames at the head of the line that are done, at most so many, which leave it."""
        count = self.head() if most is None else min(self.head(), most)
        tasks = [self.line.popleft() for _ in range(count)]
        self._head, self._passed = self._head - count, monotonic()
        return tasks

    def nothing_left(self) -> bool:
        """Whether nothing more will come, and nothing is under way."""
        # In this order: frames go from those that wait into the line.
        return self.done and not self._desk.waiting(self.camera) and not self.line
