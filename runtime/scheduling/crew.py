"""The threads of a run: captures, workers, and the one that passes results on in order."""

import queue
import threading
from functools import partial
from time import monotonic
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

from ...core import Observation
from ..second import Question, Result, SecondModel, answered
from ..stats import Stopwatch
from .batching import Batching
from .capture import Capture
from .detecting import Detecting
from .pace import Pace
from .policy import Scheduler
from .tasks import Desk

GRACE_S = 1.0
"""How long a camera that hangs in its driver may keep the run from ending."""


class Crew:
    """The threads of a run, as a context: leaving it ends them.

    Args:
        sources: Sources of frames by camera.
        model: As in `run_loop`.
        workers: How many threads run the model.
        stop: Set by others to end early: what is under way is still worked off.
        second: What looks at the regions that pipelines ask for, or None.
        every: By camera, of how many frames the model looks at one; 1 for those not named.
        priority: By camera, its weight where not all frames can be looked at; 1.0 for others.
        paces: By camera, which frames are wanted; all for those not named.
        budget_s: Seconds that a live frame may wait before a newer one takes its place.
    """

    def __init__(
        self,
        sources: Mapping[str, Any],
        model: Any,
        workers: int,
        stop: threading.Event,
        second: Optional[SecondModel] = None,
        every: Optional[Mapping[str, int]] = None,
        priority: Optional[Mapping[str, float]] = None,
        paces: Optional[Mapping[str, Pace]] = None,
        budget_s: float = 0.1,
    ) -> None:
        self._stop = stop
        self._leave = threading.Event()
        self._ready: Any = queue.SimpleQueue()
        batching = Batching(getattr(model, "batch", 1))
        scheduler = Scheduler(workers, budget_s, batching)
        self._desk = Desk(scheduler, batching, sources)
        self._second = second
        self._detecting = Detecting(model, self._desk)
        self._workers = [
            threading.Thread(target=self._serve, name=f"worker {n}", daemon=True)
            for n in range(workers)
        ]
        self._captures: Dict[str, Capture] = {}
        for name, source in sources.items():
            pace = (paces or {}).get(name)
            capture = Capture(name, source, self._desk, self._ready, self._stopped, pace)
            self._captures[name] = capture
            scheduler.add(
                name,
                capture.live,
                (priority or {}).get(name, 1.0),
                (every or {}).get(name, 1),
                capture.batch,
            )

    def __enter__(self) -> "Crew":
        for thread in (*self._workers, *self._captures.values()):
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leave.set()
        self._interrupt()
        self._desk.end()
        deadline = monotonic() + GRACE_S
        for capture in self._captures.values():
            capture.join(max(deadline - monotonic(), 0.0))
        for worker in self._workers:
            worker.join()

    @property
    def batches(self) -> Dict[int, int]:
        """How often the model was run on so many frames at once."""
        return dict(self._desk.batches)

    def dropped(self, name: str) -> int:
        """Frames of a live camera that made way for newer ones, here or on their way from it."""
        return self._desk.dropped(name) + int(getattr(self._captures[name].source, "dropped", 0))

    def skipped(self, name: str) -> int:
        """Frames between those of the rate that was asked for."""
        return self._captures[name].skipped

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
            idle: Called every `patience` seconds.
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
        idle_at = monotonic() + patience
        while running:
            try:
                name = self._ready.get(timeout=patience)
                names, waited = [name], False
            except queue.Empty:
                names, waited = list(running), True
            now = monotonic()
            if waited or now >= idle_at:
                # Also while other cameras are busy: one that is away must not be forgotten.
                idle_at = now + patience
                idle()
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
                self._desk.stop()
                self._interrupt()
            if monotonic() > deadline:
                hanging = (n for n, c in running.items() if not (c.done or c.line or c.asked))
                for name in list(hanging):
                    del running[name]
                    yield name

    def _stopped(self) -> bool:
        return self._stop.is_set() or self._leave.is_set()

    def _serve(self) -> None:
        while True:
            work = self._desk.get()
            if work is None:
                return
            if self._leave.is_set():
                continue
            if isinstance(work, Question):
                self._answer(work)
                work.done = True
                self._ready.put(work.camera)
                continue
            self._detecting.infer(work)
            for task in work.tasks:
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

    def _ask_on(
        self,
        capture: Capture,
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
                self._desk.ask(question)
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
        capture: Capture,
        take: Callable[[Result], None],
        waited: bool,
        most: Optional[int] = None,
    ) -> bool:
        """Pass on what is done at the head of the line, if it is due or nothing else came for a
        while; True when nothing more will come."""
        # Asked before the line is looked at: what was put there last is then surely seen.
        done = capture.done
        if not (done or waited or capture.due()):
            return False
        tasks = capture.take(most)
        self._detecting.decode(tasks)
        for task in tasks:
            if task.error is not None:
                raise task.error
            if task.result is not None:
                take(task.result)
            self._desk.release(capture.camera)
        if not done or not capture.nothing_left():
            return False
        if capture.error is not None:
            raise capture.error
        return True
