"""How people moved: a few skeletons of each over the picture, the later the stronger."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ..runtime.pose.skeleton import SKELETONS
from .series import EvenSample
from .words import is_number, number, plural

MOST_PEOPLE = 8
"""People who are drawn; more would hide one another."""
COLOURS = ("#f4a742", "#4fb7f5", "#7ddc6b", "#f58ac6", "#e8e15a", "#b79bff", "#5fe0cf", "#ff7f6b")


@dataclass(frozen=True)
class SkeletonView:
    """One skeleton: the SVG path of its bones, and how strong it is drawn, 0..1."""

    d: str
    strength: float


@dataclass(frozen=True)
class TrailView:
    """One person: the path of the middle of the body, and skeletons along it."""

    colour: str
    path: str
    skeletons: Tuple[SkeletonView, ...]


@dataclass(frozen=True)
class TrailsView:
    """What is drawn of a camera's people, and one sentence on how many that is."""

    people: Tuple[TrailView, ...]
    note: str


class SkeletonTrails:
    """Takes in `person` events of the pose pipeline, in bounded memory."""

    def __init__(self) -> None:
        self._people: EvenSample[List[Any]] = EvenSample(MOST_PEOPLE)

    def add(self, time: float, payload: Dict[str, Any]) -> None:
        """One person who has gone.

        Raises:
            KeyError, TypeError, ValueError: It is no such event.
        """
        trail = payload.get("trail")
        if not trail:
            return
        if self._people.wants():
            poses = [points for _, points in trail]
            for points in poses:
                for point in points:
                    if point is not None and not (len(point) == 2 and all(map(is_number, point))):
                        raise ValueError("a point without a place")
            self._people.add(poses)
        else:
            self._people.seen += 1

    def view(self) -> Optional[TrailsView]:
        """What is drawn; None where nobody was."""
        people = [
            _trail(poses, COLOURS[k % len(COLOURS)]) for k, poses in enumerate(self._people.items)
        ]
        if not people:
            return None
        note = "The stronger a skeleton, the later it was. "
        if self._people.seen > len(people):
            note += f"{number(len(people))} of {number(self._people.seen)} people are drawn."
        else:
            note += f"{plural(len(people), 'person', 'people')} in all."
        return TrailsView(tuple(people), note)


def _trail(poses: List[List[Any]], colour: str) -> TrailView:
    middles = [_middle(points) for points in poses]
    path = "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in middles)
    last = max(len(poses) - 1, 1)
    skeletons = tuple(
        SkeletonView(_bones(points), round(0.3 + 0.7 * k / last if len(poses) > 1 else 1.0, 2))
        for k, points in enumerate(poses)
    )
    return TrailView(colour, path, skeletons)


def _middle(points: List[Any]) -> Tuple[float, float]:
    there = [p for p in points if p is not None]
    xs, ys = sorted(p[0] for p in there), sorted(p[1] for p in there)
    return xs[len(xs) // 2], ys[len(ys) // 2]


def _bones(points: List[Any]) -> str:
    """Lines between points that are joined; dots where nothing tells which are."""
    skeleton = next((s for s in SKELETONS.values() if len(s) == len(points)), None)
    if skeleton is None:
        return "".join(f"M{p[0]} {p[1]}h0" for p in points if p is not None)
    bones = []
    for a, b in skeleton.edges:
        one, two = points[a], points[b]
        if one is not None and two is not None:
            bones.append(f"M{one[0]} {one[1]}L{two[0]} {two[1]}")
    return "".join(bones)
