"""Capture threads and a pool of workers: frames of several cameras through one model, in order."""

import inspect
import queue
import threading
from collections import deque
from functools import partial
from time import monotonic
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    Union,
)

from ..core import Detections, Frame, Observation
from .second import Question, Result, SecondModel, Spent, answered, observation_of
from .stats import Stopwatch

GRACE_S = 1.0
"""How long a camera that hangs in its driver may keep the run from ending."""

BATCH = 8
BATCH_BYTES = 32 << 20
BATCH_S = 0.05
"""Frames of a file are passed on several at a time: decoding the model's outputs and a pipeline are
many small steps, which take twice as long each time a run of the graph has swept the CPU's caches.
So many frames at most, so many bytes of pictures, and so many seconds. Frames of a live camera are
passed on at once."""


class _Task:
    """A frame on its way: put in its camera's line by the capture, taken to the model's outputs by
    a worker and from there to detections by the main thread."""

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
        "transform",
    )

    def __init__(self, camera: str, frame: Frame, decode: Spent, detect: bool = True) -> None:
        self.camera = camera
        self.frame = frame
        moment = getattr(frame, "captured", None)
        self.captured = monotonic() if moment is None else moment
        self.decode = decode
        self.detect = detect
        self.preprocess = self.infer = (0.0, 0.0)
        self.outputs: Any = None
        self.transform: Any = None
        self.result: Optional[Result] = None
        self.error: Optional[BaseException] = None
        self.done = False


class _Tasks:
    """What the workers have to do: questions before frames, for they hold up what is further on."""

    def __init__(self) -> None:
        self._count: Any = queue.SimpleQueue()
        self._questions: Deque[Question] = deque()
        self._frames: Deque[_Task] = deque()

    def put(self, task: Union[_Task, Question]) -> None:
        if isinstance(task, Question):
            self._questions.append(task)
        else:
            self._frames.append(task)
        self._count.put(True)

    def end(self) -> None:
        """Tell one worker that nothing more comes."""
        self._count.put(False)

    def get(self) -> Union[_Task, Question, None]:
        """The next one; None at the end."""
        if not self._count.get():
            return None
        try:
            return self._questions.popleft()
        except IndexError:
            return self._frames.popleft()


class _Detecting:
    """Frames through a model, in two halves.

    Where the model can write into a tensor of an earlier call, each thread keeps one: fresh
    memory of that size costs the kernel more than the arithmetic.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._own = threading.local()
        try:
            self._reuses = "out" in inspect.signature(model.preprocess).parameters
        except (TypeError, ValueError):
            self._reuses = False

    def infer(self, task: _Task) -> None:
        """The frame's outputs, or why there are none."""
        if not task.detect:
            return
        try:
            model, image = self._model, task.frame.image
            watch = Stopwatch()
            tensor = getattr(self._own, "tensor", None)
            if tensor is not None:
                tensor, task.transform = model.preprocess(image, out=tensor)
            else:
                tensor, task.transform = model.preprocess(image)
                if self._reuses:
                    self._own.tensor = tensor
            task.preprocess = watch.lap()
            task.outputs = model.infer(tensor)
            task.infer = watch.lap()
        except BaseException as error:
            task.error = error

    def decode(self, tasks: List[_Task]) -> None:
        """The detections of frames that have been through `infer`, or why there are none."""
        watch = Stopwatch()
        for task in tasks:
            if task.error is not None:
                continue
            try:
                if task.detect:
                    answer = self._model.postprocess(task.outputs, task.transform)
                else:
                    answer = Detections.empty()
                task.outputs = None
                observation = observation_of(task.frame, answer, task.detect)
                task.result = Result(
                    observation, task.decode, task.preprocess, task.infer, watch.lap()
                )
                task.result.captured = task.captured
            except BaseException as error:
                task.error = error


def _batch(size: Tuple[int, int]) -> int:
    """How many frames of a file of this `(width, height)` are passed on together."""
    return min(max(BATCH_BYTES // (3 * size[0] * size[1] or 1), 1), BATCH)


class _Capture(threading.Thread):
    """Decodes one camera and hands its frames to the workers."""

    def __init__(
        self,
        name: str,
        source: Any,
        workers: int,
        tasks: _Tasks,
        ready: Any,
        stop: "_Either",
        every: int = 1,
    ) -> None:
        super().__init__(name=f"capture {name}", daemon=True)
        self.camera = name
        self.source = source
        self.live = bool(getattr(source, "live", False))
        self.tasks = tasks
        self.ready = ready
        self.stop = stop
        self.dropped = 0
        self.line: Deque[_Task] = deque()
        self.asked: Deque[Question] = deque()
        self.every = every
        self.error: Optional[BaseException] = None
        self.failure: Optional[BaseException] = None
        self.done = False
        self.batch = 1 if self.live else _batch(source.size)
        self.passed = monotonic()
        self._head = 0
        # Tokens for frames in flight: a queue of these costs a fraction of a Semaphore.
        self.free: Any = queue.SimpleQueue()
        # Two frames beyond the workers' own keep them fed while the main thread does its part.
        for _ in range(workers + 1 + self.batch):
            self.free.put(None)

    def run(self) -> None:
        try:
            watch = Stopwatch()
            before: Optional[int] = None
            for frame in self.source:
                spent = watch.lap()
                if self.stop.is_set():
                    break
                if self._slot():
                    detect = True
                    if self.every > 1:
                        # The frames of a number that can be divided, also after a restart; where
                        # one was dropped, the next.
                        index = int(getattr(frame, "index", 0))
                        last, before = index - 1 if before is None else before, index
                        detect = index // self.every > last // self.every
                    task = _Task(self.camera, frame, spent, detect)
                    # In line before it can be done: who is told of it looks at the line.
                    self.line.append(task)
                    self.tasks.put(task)
                elif self.live:
                    self.dropped += 1
                watch.lap()
        except BaseException as error:
            self.error = error
        self.done = True
        self.ready.put(self.camera)

    def head(self) -> int:
        """How many frames at the head of the line are done."""
        line, head = self.line, self._head
        while head < len(line) and line[head].done:
            head += 1
        self._head = head
        return head

    def due(self) -> bool:
        """Whether what is done should be passed on now."""
        return self.head() >= self.batch or monotonic() - self.passed >= BATCH_S

    def take(self, most: Optional[int] = None) -> List[_Task]:
        """The frames at the head of the line that are done, at most so many, which leave it."""
        count = self.head() if most is None else min(self.head(), most)
        tasks = [self.line.popleft() for _ in range(count)]
        self._head, self.passed = self._head - count, monotonic()
        return tasks

    def _slot(self) -> bool:
        """Room for one more frame: a file waits for it, a live camera drops the frame."""
        while True:
            try:
                self.free.get(not self.live, 0.2)
                return True
            except queue.Empty:
                if self.live or self.stop.is_set():
                    return False


class Crew:
    """The threads of a run, as a context: leaving it ends them.

    Args:
        sources: Sources of frames by camera.
        model: As in `run_loop`.
        workers: How many frames go through the model at once.
        stop: Set by others to end early: what is in flight is still worked off.
        second: What looks at the regions that pipelines ask for, or None.
        every: By camera, of how many frames the model looks at one; 1 for those not named.
    """

    def __init__(
        self,
        sources: Mapping[str, Any],
        model: Any,
        workers: int,
        stop: threading.Event,
        second: Optional[SecondModel] = None,
        every: Optional[Mapping[str, int]] = None,
    ) -> None:
        self._stop = stop
        self._leave = threading.Event()
        self._ready: Any = queue.SimpleQueue()
        self._tasks = _Tasks()
        self._second = second
        self._detecting = _Detecting(model)
        self._workers = [
            threading.Thread(target=self._serve, name=f"worker {n}", daemon=True)
            for n in range(workers)
        ]
        either = _Either(stop, self._leave)
        self._captures: Dict[str, _Capture] = {
            name: _Capture(
                name,
                source,
                workers,
                self._tasks,
                self._ready,
                either,
                (every or {}).get(name, 1),
            )
            for name, source in sources.items()
        }

    def __enter__(self) -> "Crew":
        for thread in (*self._workers, *self._captures.values()):
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leave.set()
        self._interrupt()
        deadline = monotonic() + GRACE_S
        for capture in self._captures.values():
            capture.join(max(deadline - monotonic(), 0.0))
        for _ in self._workers:
            self._tasks.end()
        for worker in self._workers:
            worker.join()

    def _serve(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            if self._leave.is_set():
                continue
            if isinstance(task, Question):
                self._answer(task)
            else:
                self._detecting.infer(task)
            task.done = True
            self._ready.put(task.camera)

    def _answer(self, question: Question) -> None:
        result, second = question.result, self._second
        assert second is not None
        try:
            watch = Stopwatch()
            result.observation = answered(result.observation, second)
            result.second = watch.lap()
        except BaseException as error:
            question.error = error

    def _interrupt(self) -> None:
        """End sources that wait for a camera."""
        for capture in self._captures.values():
            interrupt = getattr(capture.source, "interrupt", None)
            if interrupt is not None:
                interrupt()

    def dropped(self, name: str) -> int:
        """Frames of a live camera that found no room, here or on their way from the camera."""
        capture = self._captures[name]
        return capture.dropped + int(getattr(capture.source, "dropped", 0))

    def work(
        self,
        take: Callable[[str, Result], None],
        idle: Callable[[], None],
        patience: float,
        ask: Optional[Callable[[str, Observation], Observation]] = None,
        hold: Callable[[str], bool] = lambda name: False,
    ) -> Iterator[str]:
        """Pass results on in the order of each camera's frames; yields cameras that have ended.

        Args:
            take: Called with camera and result.
            idle: Called whenever nothing came for `patience` seconds.
            patience: In seconds.
            ask: With a second model, called in order with camera and observation before `take` is;
                gives the observation with the regions that its pipeline asks for.
            hold: Whether a camera's further frames are to wait until `take` had all that were
                asked about.

        Raises:
            EdgelaneError: Whatever a source, the model or `take` raised; what came before it in
                the camera's order has been passed on.
        """
        running = dict(self._captures)
        deadline: Optional[float] = None
        while running:
            try:
                name = self._ready.get(timeout=patience)
                names, waited = [name], False
            except queue.Empty:
                idle()
                names, waited = list(running), True
            for name in names:
                capture = running.get(name)
                if capture is None:
                    continue
                if self._second is None or ask is None:
                    ended = self._pass_on(capture, partial(take, name), waited)
                else:
                    ended = self._ask_on(capture, partial(take, name), ask, hold, waited)
                if ended:
                    del running[name]
                    yield name
            if not self._stop.is_set():
                continue
            if deadline is None:
                deadline = monotonic() + GRACE_S
                self._interrupt()
            if monotonic() > deadline:
                hanging = (n for n, c in running.items() if not (c.done or c.line or c.asked))
                for name in list(hanging):
                    del running[name]
                    yield name

    def _ask_on(
        self,
        capture: _Capture,
        take: Callable[[Result], None],
        ask: Callable[[str, Observation], Observation],
        hold: Callable[[str], bool],
        waited: bool,
    ) -> bool:
        """As `_pass_on`, with the second model in between.

        A live camera's frames go one by one, so that its state can be kept with every event; of
        a file as many are asked about at once as are passed on together.
        """

        def put(result: Result) -> None:
            result.observation = ask(capture.camera, result.observation)
            question = Question(capture.camera, result)
            regions = result.observation.regions
            capture.asked.append(question)
            if regions is not None and len(regions.boxes):
                self._tasks.put(question)
            else:
                question.done = True

        while True:
            while capture.asked and capture.asked[0].done:
                question = capture.asked.popleft()
                if question.error is not None:
                    raise question.error
                take(question.result)
            if capture.failure is not None:
                if capture.asked:
                    return False
                raise capture.failure
            if len(capture.asked) >= capture.batch or hold(capture.camera):
                return False
            before = len(capture.asked)
            try:
                ended = self._pass_on(capture, put, waited, 1 if capture.live else None)
            except BaseException as error:
                # What came before it is still on its way.
                capture.failure = error
                continue
            if len(capture.asked) == before:
                return ended and not capture.asked

    def _pass_on(
        self,
        capture: _Capture,
        take: Callable[[Result], None],
        waited: bool,
        most: Optional[int] = None,
    ) -> bool:
        """Pass on what is done at the head of the line, if it is due or nothing else came for a
        while; True when nothing more will come."""
        # Asked before the line is looked at: what was put there last is then surely seen.
        done, line = capture.done, capture.line
        if not (done or waited or capture.due()):
            return False
        tasks = capture.take(most)
        self._detecting.decode(tasks)
        for task in tasks:
            if task.error is not None:
                raise task.error
            if task.result is not None:
                take(task.result)
            capture.free.put(None)
        if not done or line:
            return False
        if capture.error is not None:
            raise capture.error
        return True


class _Either:
    """Two events as one, for those who only ask."""

    def __init__(self, first: threading.Event, second: threading.Event) -> None:
        self._events = (first, second)

    def is_set(self) -> bool:
        return self._events[0].is_set() or self._events[1].is_set()
