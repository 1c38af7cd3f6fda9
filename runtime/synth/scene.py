"""What all scenes share: parameters, frames by number, and how a name finds its scene."""

import importlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

from ...core import Frame, UsageError, did_you_mean
from .truth import Truth

Point = Tuple[float, float]

_SCENES = {"bench": "bench:Bench", "gym": "gym:Gym", "store": "store:Store"}


@dataclass(frozen=True)
class Layout:
    """Lines and zones of a scene in pixels, ready for a config.

    Attributes:
        size: `(width, height)` of the picture.
        lines: Start and end by name; `in` is to the right of start → end.
        zones: Corners by name.
    """

    size: Tuple[int, int]
    lines: Dict[str, Tuple[Point, Point]] = field(default_factory=dict)
    zones: Dict[str, List[Point]] = field(default_factory=dict)

    def config(self) -> Dict[str, Any]:
        """The keys `reference_size`, `lines` and `zones` of a camera in a config."""
        return {
            "reference_size": list(self.size),
            "lines": {k: {"from": list(a), "to": list(b)} for k, (a, b) in self.lines.items()},
            "zones": {k: {"polygon": [list(p) for p in v]} for k, v in self.zones.items()},
        }


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number = float(value)
        if number != math.floor(number) or not least <= number <= most:
            raise ValueError
        return int(number)

    convert.expected = f"a whole number from {least} to {most}"  # type: ignore[attr-defined]
    return convert


def _number(least: float, most: float) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        number = float(value)
        if not least <= number <= most:
            raise ValueError
        return number

    convert.expected = f"a number from {least:g} to {most:g}"  # type: ignore[attr-defined]
    return convert


def _one_of(names: Iterable[str]) -> Callable[[Any], str]:
    known = sorted(names)

    def convert(value: Any) -> str:
        if value not in known:
            raise ValueError
        return str(value)

    convert.expected = " or ".join(known)  # type: ignore[attr-defined]
    return convert


def _size(value: Any) -> Tuple[int, int]:
    parts = value.lower().split("x") if isinstance(value, str) else list(value)
    width, height = (float(p) for p in parts)
    if width != int(width) or height != int(height):
        raise ValueError
    if not (64 <= width <= 4096 and 48 <= height <= 4096 and 0.4 <= width / height <= 4):
        raise ValueError
    return int(width), int(height)


_size.expected = (  # type: ignore[attr-defined]
    "WIDTHxHEIGHT in pixels from 64x48 to 4096x4096, at most four times as wide as high, as 640x360"
)

COMMON: Dict[str, Tuple[Callable[[Any], Any], Any]] = {
    "seed": (_whole(0, 2**53), 1),
    "fps": (_number(0.1, 240), 15.0),
    "size": (_size, (640, 360)),
    "seconds": (_number(0.1, 86400), 60.0),
}
"""Parameters of every scene: converter and default."""


class Scene(ABC):
    """A rendered scene: frames by number, each with its truth.

    The same parameters give the same truth everywhere and the same pixels on the same machine.
    Frames can be had in any order, and do not depend on which were had before.

    Attributes:
        name: Of the scene.
        categories: Names of what is in it, by class id.
        parameters: What it was opened with, defaults filled in.
        size: `(width, height)` in pixels.
        fps: Frames a second.
        frames: How many there are.
        duration: In seconds.
    """

    name = ""
    known: Dict[str, Tuple[Callable[[Any], Any], Any]] = COMMON
    categories: Sequence[str] = ("person",)

    def __init__(self, **parameters: Any) -> None:
        self.parameters = _checked(self.name, self.known, parameters)
        self.seed: int = self.parameters["seed"]
        self.size: Tuple[int, int] = self.parameters["size"]
        self.fps: float = self.parameters["fps"]
        self.frames = max(int(round(self.parameters["seconds"] * self.fps)), 1)
        self.duration = self.frames / self.fps

    @property
    def layout(self) -> Layout:
        """Lines and zones in pixels; empty where there are none."""
        return Layout(self.size)

    def time(self, index: int) -> float:
        """Seconds of a frame, as files have them: index / fps to a microsecond."""
        return round(index / self.fps, 6)

    @abstractmethod
    def render(self, index: int, camera: str = "camera") -> Tuple[Frame, Truth]:
        """One frame and the truth about it."""

    @abstractmethod
    def truth(self, index: int) -> Truth:
        """The truth about one frame, without its picture."""

    def truths(self, step: int = 1) -> Iterator[Truth]:
        """The truth about every `step`-th frame, faster than rendering."""
        for index in range(0, self.frames, step):
            yield self.truth(index)

    def __iter__(self) -> Iterator[Tuple[Frame, Truth]]:
        for index in range(self.frames):
            yield self.render(index)

    def __len__(self) -> int:
        return self.frames


def _checked(
    name: str, known: Dict[str, Tuple[Callable[[Any], Any], Any]], given: Dict[str, Any]
) -> Dict[str, Any]:
    values = {key: default for key, (_, default) in known.items()}
    for key, value in given.items():
        if key not in known:
            raise UsageError(
                f"scene {name!r}: unknown parameter {key!r}", remedy=did_you_mean(key, known)
            )
        convert = known[key][0]
        try:
            values[key] = convert(value)
        except (TypeError, ValueError, OverflowError):
            raise UsageError(
                f"scene {name!r}: {key} is wrong",
                got=repr(value),
                expected=getattr(convert, "expected", None),
            ) from None
    return values


def scenes() -> List[str]:
    """Names of all scenes."""
    return sorted(_SCENES)


def open_scene(name: str, **parameters: Any) -> Scene:
    """A scene by name.

    Args:
        name: `store` and others, see `scenes`.
        parameters: `seed`, `fps`, `size`, `seconds` and those of the scene; as values, or as the
            text that a URI has.

    Raises:
        UsageError: The scene or a parameter is unknown, or a value is impossible.
        MissingDependency: OpenCV is not installed.
    """
    if name not in _SCENES:
        raise UsageError(f"unknown scene {name!r}", remedy=did_you_mean(name, _SCENES))
    module, kind = _SCENES[name].split(":")
    return getattr(importlib.import_module(f".{module}", __package__), kind)(**parameters)
