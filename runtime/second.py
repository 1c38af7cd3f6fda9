"""A frame on its way: its observation, and what a second model makes of its regions."""

from dataclasses import dataclass, replace
from typing import Any, Callable, Optional, Tuple

import numpy as np

from ..core import DataError, Detections, Frame, Observation

Spent = Tuple[float, float]
"""Wall and CPU seconds."""


@dataclass
class Result:
    """A frame with its detections, and `(wall, CPU)` seconds of each stage.

    `captured` is the moment of the monotonic clock from which its latency is measured, `skipped`
    how many frames of its camera were not wanted until then.
    """

    observation: Observation
    decode: Spent
    preprocess: Spent
    infer: Spent
    postprocess: Spent
    second: Optional[Spent] = None
    captured: Optional[float] = None
    skipped: int = 0


def observation_of(item: Any, answer: Any, detected: bool = True) -> Observation:
    """What a source yielded, as an observation.

    Args:
        item: A frame, or an observation, which stays as it is.
        answer: The model's: `Detections`, or findings, whose attribute `detections` holds them.
        detected: Whether the model looked at it.
    """
    if isinstance(item, Observation):
        return item
    if not isinstance(item, Frame):
        raise DataError(
            "a source must yield frames", got=type(item).__name__, expected="core.Frame"
        )
    findings = None if isinstance(answer, Detections) else answer
    return Observation(
        item.camera,
        item.timestamp,
        answer if findings is None else findings.detections,
        item.size,
        item.image,
        item.index,
        detected,
        findings=findings,
    )


class Question:
    """A frame whose pipeline has asked for regions: on its way through the second model."""

    __slots__ = ("camera", "done", "error", "result")

    def __init__(self, camera: str, result: Result) -> None:
        self.camera = camera
        self.result = result
        self.error: Optional[BaseException] = None
        self.done = False


SecondModel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""What looks at regions: from a `(h, w, 3)` uint8 BGR picture and `(n, 4)` boxes in its pixels to
`(n, …)`, a row a box. Where cameras have models of their own, `of(camera)` gives each, or None."""


def answered(observation: Observation, second: SecondModel) -> Observation:
    """The observation with the second model's answer, where something was asked.

    Raises:
        DataError: The answer does not have a row for each box, or there is no picture.
        EdgelaneError: Whatever the model raises.
    """
    asked = observation.regions
    if asked is None or not len(asked.boxes):
        return observation
    if observation.image is None:
        raise DataError(
            "a second model looks at pictures, and there is none",
            got="recorded detections",
            remedy="run the pipeline on the video",
        )
    of: Any = getattr(second, "of", None)
    if of is not None:
        second = of(observation.camera)
        if second is None:
            return observation
    answer = second(observation.image, asked.boxes)
    if len(answer) != len(asked.boxes):
        raise DataError(
            "a second model must give a row for each region",
            got=len(answer),
            expected=len(asked.boxes),
        )
    return replace(observation, regions=replace(asked, answer=answer))
