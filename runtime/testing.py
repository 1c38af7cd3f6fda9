"""Public fakes of what is hardware or a heavy library: for tests of your own pipelines."""

from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from .backends import TensorSpec

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
