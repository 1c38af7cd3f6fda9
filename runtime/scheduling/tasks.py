"""Frames on their way, and the desk where workers get what to do next."""

import threading
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional, Union

from ...core import Frame
from ..second import Question, Result, Spent
from .batching import Batching
from .policy import Scheduler


class Task:
    """A frame on its way: offered by its capture, taken to the model's outputs by a worker and
    from there to detections by the main thread."""

    __slots__ = (
        "camera",
        "captured",
        "decode",
        "detect",
        "done",
        "error",
        "frame",
        "infer",
        "outputs",
        "preprocess",
        "result",
        "skipped",
        "transform",
    )

    def __init__(self, camera: str, frame: Frame, decode: Spent, skipped: int = 0) -> None:
        self.camera = camera
        self.frame = frame
        moment = getattr(frame, "captured", None)
        self.captured: float = monotonic() if moment is None else moment
        self.decode = decode
        self.skipped = skipped
        self.detect = True
        self.preprocess = self.infer = (0.0, 0.0)
        self.outputs: Any = None
        self.transform: Any = None
        self.result: Optional[Result] = None
        self.error: Optional[BaseException] = None
        self.done = False


@dataclass(frozen=True)
class Work:
    """Frames that one worker takes through the model; see `Turn.reference`."""

    tasks: List[Task]
    reference: int = 0


class Desk:
    """Where frames are handed in and workers get what to do: a scheduler with a lock around it.

    Args:
        scheduler: Decides.
        batching: Learns how long frames take together.
        cameras: Who will hand in.

    Attributes:
        lines: By camera the frames that are taken, in order, until they are passed on.
        batches: How often so many frames went through the model together.
    """

    def __init__(self, scheduler: Scheduler, batching: Batching, cameras: Iterable[str]) -> None:
        self._scheduler = scheduler
        self._batching = batching
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = {name: threading.Condition(self._lock) for name in cameras}
        self._questions: Deque[Question] = deque()
        self._idle = 0
        self.batches: Dict[int, int] = {}
        self._stopping = self._ended = False
        self.lines: Dict[str, Deque[Task]] = {name: deque() for name in self._room}

    def put(self, task: Task, number: int, stopped: Callable[[], bool]) -> bool:
        """Hand in a frame; of a file, when there is room for it.

        Args:
            task: The frame.
            number: Its number among those of its camera.
            stopped: Asked now and then whether to give up waiting.

        Returns:
            False where the run ends.
        """
        scheduler, name = self._scheduler, task.camera
        with self._lock:
            while not (self._stopping or scheduler.room(name)):
                self._room[name].wait(0.2)
                if stopped():
                    return False
            if self._stopping:
                return False
            scheduler.offer(name, task, number, task.captured, monotonic())
            self._work.notify()
            return True

    def ask(self, question: Question) -> None:
        """Hand in a question, which goes before all frames: it holds up what is further on."""
        with self._lock:
            self._questions.append(question)
            self._work.notify()

    def get(self) -> Union[Work, Question, None]:
        """What to do next; waits for it. None at the end."""
        with self._lock:
            while True:
                if self._ended:
                    return None
                if self._questions:
                    return self._questions.popleft()
                turn = self._scheduler.take(monotonic(), self._idle + 1)
                if turn is not None:
                    break
                self._idle += 1
                self._work.wait()
                self._idle -= 1
            tasks = []
            for pick in turn.picks:
                task: Task = pick.item
                task.detect = pick.detect
                # In line before it can be done: who is told of it looks at the line.
                self.lines[pick.camera].append(task)
                tasks.append(task)
            return Work(tasks, turn.reference)

    def release(self, name: str) -> None:
        """A frame has been passed on."""
        with self._lock:
            self._scheduler.release(name)
            self._room[name].notify()
            if self._scheduler.pending:
                self._work.notify()

    def waiting(self, name: str) -> int:
        """How many frames of a camera wait."""
        with self._lock:
            return self._scheduler.waiting(name)

    def dropped(self, name: str) -> int:
        """How many frames of a camera had to make way for newer ones."""
        return self._scheduler.dropped(name)

    def stop(self) -> None:
        """Take nothing more in, and let go of what waits; what is under way goes on."""
        with self._lock:
            if not self._stopping:
                self._stopping = True
                self._scheduler.clear()
                for room in self._room.values():
                    room.notify_all()

    def end(self) -> None:
        """Tell all workers that nothing more comes."""
        self.stop()
        with self._lock:
            self._ended = True
            self._work.notify_all()

    # What workers measure

    def ran(self, size: int, seconds: float) -> None:
        """So many frames went through the model together in so many seconds."""
        with self._lock:
            self._batching.ran(size, seconds)
            self.batches[size] = self.batches.get(size, 0) + 1

    def tried(
        self, size: int, reference: int, apart: float, together: float, alike: bool, exact: bool
    ) -> None:
        """A trial is done; see `Batching.tried`."""
        with self._lock:
            self._batching.tried(size, reference, apart, together, alike, exact, monotonic())

    def untried(self) -> None:
        """A trial came to nothing."""
        with self._lock:
            self._batching.untried()

    def failed(self) -> bool:
        """A batch failed; see `Batching.failed`."""
        with self._lock:
            return self._batching.failed(monotonic())
