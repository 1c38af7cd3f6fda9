"""Public fakes of what is hardware or a heavy library: for tests of your own pipelines."""

import json
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..core import Detections, Event, Frame, Observation, SourceError
from .backends import TensorSpec
from .cuda.fake import FakeDevice
from .cuda.simulated import SimulatedCuda
from .digital.base import DigitalInput, DigitalOutput
from .loop import Clock
from .sources import Source

__all__ = [
    "FakeBackend",
    "FakeClock",
    "FakeDevice",
    "FakeInput",
    "FakeModel",
    "FakeOutput",
    "FakePipeline",
    "FakeSource",
    "SimulatedCuda",
]

Arrays = Dict[str, np.ndarray]


class FakeBackend:
    """A backend without a graph: answers with a script or a function.

    Args:
        answer: A function from feeds to outputs; or arrays by name, given at every call; or a
            list of such, given in turn and then again from the start.
        inputs: What it claims to take; one picture of 416x416 by default.
        outputs: What it claims to give; read from the first scripted answer by default, and
            unknown to it where a function answers.
        metadata: What the model file would say about itself.

    Attributes:
        feeds: Shapes that `infer` was called with, in order.
        closed: Whether `close` was called.
    """

    def __init__(
        self,
        answer: Union[Arrays, Sequence[Arrays], Callable[[Arrays], Arrays]],
        inputs: Optional[Iterable[TensorSpec]] = None,
        outputs: Optional[Iterable[TensorSpec]] = None,
        metadata: Optional[Dict[str, str]] = None,
    ) -> None:
        picture = TensorSpec("images", (1, 3, 416, 416), np.dtype(np.float32))
        self.inputs: Tuple[TensorSpec, ...] = (picture,) if inputs is None else tuple(inputs)
        self._function = answer if callable(answer) else None
        script: Sequence[Arrays] = ()
        if not callable(answer):
            script = [answer] if isinstance(answer, dict) else list(answer)
        self._script = script
        if outputs is None:
            first = script[0] if script else {}
            outputs = [TensorSpec(k, tuple(v.shape), v.dtype) for k, v in first.items()]
        self.outputs: Tuple[TensorSpec, ...] = tuple(outputs)
        self.metadata = dict(metadata or {})
        self.dynamic_batch = all(i.shape and i.shape[0] is None for i in self.inputs)
        self.feeds: List[Dict[str, Tuple[int, ...]]] = []
        self.closed = False

    def infer(self, feeds: Arrays) -> Arrays:
        """The next scripted outputs, or what the function makes of the feeds."""
        self.feeds.append({name: np.shape(value) for name, value in feeds.items()})
        if self._function is not None:
            return self._function(feeds)
        return dict(self._script[(len(self.feeds) - 1) % len(self._script)])

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


class FakeSource(Source):
    """A source of given pictures and moments.

    Args:
        timestamps: Seconds of each frame.
        image: A `(h, w, 3)` uint8 BGR picture for all frames, or a function from the frame's
            number to one; grey 64x48 by default.
        camera: Name that the frames carry.
        live: Whether it says that it is live.
        error: Raised when the frames are at an end.
        wait: Seconds to sleep before each frame.

    Attributes:
        closed: Whether `close` was called.
    """

    def __init__(
        self,
        timestamps: Sequence[float],
        image: Union[np.ndarray, Callable[[int], np.ndarray], None] = None,
        camera: str = "camera",
        live: bool = False,
        error: Optional[BaseException] = None,
        wait: float = 0.0,
    ) -> None:
        self.timestamps = list(timestamps)
        if callable(image):
            self._image = image
        else:
            grey = np.full((48, 64, 3), 128, np.uint8) if image is None else image
            self._image = lambda _: grey
        first = self._image(0)
        self.size = (first.shape[1], first.shape[0])
        self.uri, self.camera, self.live = "fake://", camera, live
        self.frames = None if live else len(self.timestamps)
        self.warnings = []
        self.closed = False
        self._error, self._wait, self._start = error, wait, 0

    def seek(self, index: int) -> None:
        self._start = index

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._start, len(self.timestamps)):
            if self._wait:
                time.sleep(self._wait)
            yield Frame(self._image(index), self.timestamps[index], self.camera, index)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed = True


class FakeModel:
    """A model that sees the same in every picture, without a graph.

    Args:
        detections: What it sees; nothing by default.
        seconds: How long it sleeps over each run.
        classes: Names by class id.
    """

    def __init__(
        self,
        detections: Optional[Detections] = None,
        seconds: float = 0.0,
        classes: Sequence[str] = (),
    ) -> None:
        self.classes = tuple(classes)
        self._detections = Detections.empty() if detections is None else detections
        self._seconds = seconds

    def preprocess(self, image: np.ndarray) -> Tuple[np.ndarray, None]:
        """The picture itself, and no transform."""
        return image, None

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """What it was given."""
        if self._seconds:
            time.sleep(self._seconds)
        return tensor

    def postprocess(self, outputs: np.ndarray, transform: None) -> Detections:
        """What it always sees."""
        return self._detections


class FakePipeline:
    """A pipeline that tells nothing: a test overrides what it is about, mostly `process`.

    Attributes:
        state: What a snapshot keeps; anything that JSON holds.
    """

    state: Any = None

    def process(self, observation: Observation) -> List[Event]:
        """No events."""
        return []

    def tick(self, timestamp: float) -> List[Event]:
        """No events."""
        return []

    def finish(self) -> List[Event]:
        """No events."""
        return []

    def tracks(self) -> None:
        """No tracks."""

    def snapshot(self) -> bytes:
        """`state` as JSON."""
        return json.dumps(self.state).encode()

    def restore(self, state: bytes) -> None:
        """Take `state` from a snapshot."""
        self.state = json.loads(state)

    def summarise(self, events: Iterable[Event]) -> Dict[str, Any]:
        """How many events there were, as `events`."""
        return {"events": sum(1 for _ in events)}


class FakeClock(Clock):
    """Clocks that stand still until they are told.

    Args:
        start: Unix time in seconds at the beginning.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start, self._passed = start, 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds

    def monotonic(self) -> float:
        return self._passed

    def time(self) -> float:
        return self._start + self._passed


class FakeOutput(DigitalOutput):
    """A digital output that notes what it is told.

    Args:
        clock: Gives the seconds that are noted.

    Attributes:
        error: Raised by `set` once a test put one here.
        on: Its state.
        changes: `(seconds, on)` of every call.
        closed: Whether `close` was called.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.on = False
        self.changes: List[Tuple[float, bool]] = []
        self.error: Optional[BaseException] = None
        self.closed = False

    def set(self, on: bool) -> None:
        if self.error is not None:
            raise self.error
        if self.closed:
            raise SourceError("a fake line cannot be set", got="a closed line")
        self.on = bool(on)
        self.changes.append((self._clock(), self.on))

    def close(self) -> None:
        self.closed = True


class FakeInput(DigitalInput):
    """A digital input whose edges a test makes.

    Args:
        clock: Gives their seconds.

    Attributes:
        closed: Whether `close` was called.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._edges: List[float] = []
        self.closed = False

    def edge(self, moment: Optional[float] = None) -> None:
        """An edge, now or at a moment."""
        self._edges.append(self._clock() if moment is None else moment)

    def edges(self, timeout: float = 0.0) -> List[float]:
        if self.closed:
            raise SourceError("a fake line cannot be read", got="a closed line")
        found, self._edges = self._edges, []
        return found

    def close(self) -> None:
        self.closed = True
