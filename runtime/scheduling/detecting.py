"""Frames through a model: one by one, several together, or both ways to compare."""

import inspect
import logging
import threading
from typing import Any, List, Optional

import numpy as np

from ...core import Detections
from ..second import Result, observation_of
from ..stats import Stopwatch
from .tasks import Desk, Task, Work

LOG = logging.getLogger("edgelane")


class Detecting:
    """Frames through a model, in two halves: workers take them to its outputs, the main thread
    from there to detections.

    Where the model can write into a tensor of an earlier call, each thread keeps one: fresh
    memory of that size costs the kernel more than the arithmetic.

    Args:
        model: As in `run_loop`.
        desk: Told how long frames take.
    """

    def __init__(self, model: Any, desk: Desk) -> None:
        self._model = model
        self._desk = desk
        self._own = threading.local()
        self._learns = getattr(model, "batch", 1) != 1
        self._by_camera: Any = getattr(model, "of", None)
        try:
            self._reuses = "out" in inspect.signature(model.preprocess).parameters
        except (AttributeError, TypeError, ValueError):
            self._reuses = False

    def infer(self, work: Work) -> None:
        """The frames' outputs, or why there are none."""
        tasks = [task for task in work.tasks if task.detect]
        if not tasks:
            return
        if len(tasks) == 1:
            self._single(tasks[0])
        elif work.reference:
            self._trial(tasks, work.reference)
        else:
            self._together(tasks)

    def decode(self, tasks: List[Task]) -> None:
        """The detections of frames that have been through `infer`, or why there are none."""
        watch = Stopwatch()
        for task in tasks:
            if task.error is not None:
                continue
            try:
                if task.detect:
                    answer = self._of(task).postprocess(task.outputs, task.transform)
                else:
                    answer = Detections.empty()
                task.outputs = None
                observation = observation_of(task.frame, answer, task.detect)
                task.result = Result(
                    observation, task.decode, task.preprocess, task.infer, watch.lap()
                )
                task.result.captured, task.result.skipped = task.captured, task.skipped
            except BaseException as error:
                task.error = error

    def _of(self, task: Task) -> Any:
        """The model: its camera's own, where each has one."""
        return self._model if self._by_camera is None else self._by_camera(task.camera)

    def _single(self, task: Task) -> None:
        try:
            model, image = self._of(task), task.frame.image
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
            self._ran(1, task.preprocess[0] + task.infer[0])
        except BaseException as error:
            task.error = error

    def _together(self, tasks: List[Task]) -> None:
        """Several frames in one run; where that fails, one by one, so that the error is that of
        the frame which brings it."""
        good = self._prepare(tasks)
        if len(good) < 2:
            for task in good:
                self._single(task)
            return
        watch = Stopwatch()
        try:
            parts = self._run(len(good))
        except Exception as error:
            self._apart(good, error)
            return
        wall, cpu = watch.lap()
        for task, outputs in zip(good, parts):
            task.outputs, task.infer = outputs, (wall / len(good), cpu / len(good))
        self._ran(len(good), wall + sum(task.preprocess[0] for task in good))

    def _trial(self, tasks: List[Task], reference: int) -> None:
        """Both ways, on the same thread, one after the other; the first gives the results."""
        good = self._prepare(tasks)
        if len(good) < len(tasks):
            self._desk.untried()
            for task in good:
                self._single(task)
            return
        whole = Stopwatch()
        for start in range(0, len(good), reference):
            part = good[start : start + reference]
            watch = Stopwatch()
            try:
                outputs = self._run(len(part), start)
            except BaseException as error:
                if len(part) > 1:
                    self._apart(good[start:], error)
                    return
                part[0].error = error
                self._desk.untried()
                for task in good[start + 1 :]:
                    self._single(task)
                return
            wall, cpu = watch.lap()
            for task, own in zip(part, outputs):
                task.outputs, task.infer = own, (wall / len(part), cpu / len(part))
            self._ran(len(part), wall + sum(task.preprocess[0] for task in part))
        apart = whole.lap()
        try:
            parts = self._run(len(good))
            together = whole.lap()
            if together[0] > 0.5 * apart[0]:  # the first run of a size is often the slowest
                self._run(len(good))
                again = whole.lap()
                together = (min(together[0], again[0]), min(together[1], again[1]))
        except Exception as error:
            self._failed(error)
            return
        same = [_compare(one, task.outputs) for one, task in zip(parts, good)]
        alike, exact = all(s > 0 for s in same), all(s > 1 for s in same)
        if not alike:
            LOG.warning("the model gives something else for a picture when it is given several")
        # A gain must show in the CPU time too: of a model on the CPU that is what counts, and a
        # busy machine does not change it; on another device launching costs about the same.
        seconds = max(together[0], together[1] / max(apart[1], 1e-9) * apart[0])
        self._desk.tried(len(good), reference, apart[0], seconds, alike, exact)

    def _prepare(self, tasks: List[Task]) -> List[Task]:
        """Fill this thread's batch with the frames' tensors; those whose picture is fit for it."""
        good: List[Task] = []
        model, watch = self._model, Stopwatch()
        for task in tasks:
            try:
                batch: Optional[np.ndarray] = getattr(self._own, "batch", None)
                image, at = task.frame.image, len(good)
                if batch is None or len(batch) < len(tasks) or not self._reuses:
                    tensor, task.transform = model.preprocess(image)
                    tensor = np.asarray(tensor)
                    if batch is None or len(batch) < len(tasks):
                        fresh = np.empty((len(tasks), *tensor.shape), tensor.dtype)
                        if at:
                            assert batch is not None
                            fresh[:at] = batch[:at]
                        batch = self._own.batch = fresh
                    batch[at] = tensor
                else:
                    _, task.transform = model.preprocess(image, out=batch[at])
                good.append(task)
            except BaseException as error:
                task.error = error
            task.preprocess = watch.lap()
        return good

    def _run(self, count: int, start: int = 0) -> List[Any]:
        """Outputs of frames of this thread's batch, each as that of a frame alone."""
        batch = self._own.batch
        if count == 1:
            return [self._model.infer(batch[start])]
        outputs = self._model.infer(batch[start : start + count])
        for name, value in outputs.items():
            if not np.ndim(value) or len(value) != count:
                raise _NoBatch(f"output {name} is {np.shape(value)} for {count} pictures")
        return [{k: v[i : i + 1] for k, v in outputs.items()} for i in range(count)]

    def _apart(self, tasks: List[Task], error: BaseException) -> None:
        """A batch failed: its frames one by one."""
        for task in tasks:
            self._single(task)
        if all(task.error is None for task in tasks):
            self._failed(error)
        else:
            self._desk.untried()

    def _failed(self, error: BaseException) -> None:
        if self._desk.failed():
            LOG.warning("the model cannot take several pictures at once: %s", error)

    def _ran(self, size: int, seconds: float) -> None:
        if self._learns:
            self._desk.ran(size, seconds)


class _NoBatch(Exception):
    """Outputs do not lie along the batch."""


def _compare(one: Any, other: Any) -> int:
    """2 for outputs that are the same to the bit, 1 as far as rounding goes, 0 otherwise."""
    best = 2
    if set(one) != set(other):
        return 0
    for name, value in one.items():
        left, right = np.asarray(value), np.asarray(other[name])
        if left.shape != right.shape or left.dtype != right.dtype:
            return 0
        if left.tobytes() == right.tobytes():
            continue
        best = 1
        left, right = left.astype(np.float64), right.astype(np.float64)
        with np.errstate(all="ignore"):
            limit = 0.01 * max(float(np.nanmax(np.abs(right), initial=0.0)), 1e-6)
            off = ~((np.abs(left - right) <= limit) | (np.isnan(left) & np.isnan(right)))
        if off.mean() > 0.02:
            return 0
    return best
