"""Repeatable chance: the same numbers on every machine and every Python.

`random.Random` keeps its sequence between versions, and everything drawn here comes out of it by
sums and products alone, so that what is simulated is the same to the last bit everywhere.
"""

import random
from typing import Sequence, Tuple, TypeVar

Item = TypeVar("Item")
Colour = Tuple[float, float, float]


class Draws:
    """A stream of chance of its own for each thing that needs one.

    Args:
        seed: Of the scene.
        path: Numbers that name the stream: one for the floor, one for each person.
    """

    def __init__(self, seed: int, *path: int) -> None:
        number = seed & (2**64 - 1)
        for part in path:
            number = (number * 6364136223846793005 + 2 * part + 1442695040888963407) & (2**64 - 1)
        self._random = random.Random(number)

    def unit(self) -> float:
        """A number from 0 up to 1."""
        return self._random.random()

    def uniform(self, low: float, high: float) -> float:
        """A number between two."""
        return low + (high - low) * self._random.random()

    def bell(self, middle: float, spread: float) -> float:
        """Near to a normal distribution, within three deviations: the sum of twelve draws."""
        total = 0.0
        for _ in range(12):
            total += self._random.random()
        return middle + spread * max(-3.0, min(3.0, total - 6.0))

    def whole(self, count: int) -> int:
        """A whole number from 0 to `count - 1`."""
        return int(self._random.random() * count)

    def chance(self, share: float) -> bool:
        """True in a share of the cases."""
        return self._random.random() < share

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.whole(len(items))]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """A colour between two, BGR."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def shade(colour: Colour, factor: float) -> Colour:
    """A lighter or darker colour, BGR within 0..255."""
    return (
        min(colour[0] * factor, 255.0),
        min(colour[1] * factor, 255.0),
        min(colour[2] * factor, 255.0),
    )


def grey(value: float, warmth: float = 0.0) -> Colour:
    """A grey, BGR; warmth above 0 takes blue and gives red."""
    return (value * (1 - warmth), value, min(value * (1 + warmth), 255.0))
