"""Ground truth for counting: who crossed a line, by annotated boxes, and lines to ask about.

The rule: the foot point (bottom centre of the box) leaves a band of 3 px around the line on the
other side, and the path between the two points outside the band crosses the segment.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Sequence

import numpy as np

from ..pipelines.geometry import Line, foot_points
from .mot import FrameBoxes

BAND_PX = 3.0


class TrueCrossing(NamedTuple):
    """One annotated person's crossing.

    Attributes:
        direction: `in` or `out`.
        track_id: Annotated id.
        frame: Index of the frame in which the band was left on the other side.
        reach: How far from the line the person came on either side, the lesser of the two, in
            heights: between the crossing and the one before or after, or the end of the path.
            A small one says that it was a close thing.
        at_end: Whether the path begins or ends on that lesser side.
        from_tip: How far from the nearer end of the line it was crossed, in heights.
    """

    direction: str
    track_id: int
    frame: int
    reach: float
    at_end: bool
    from_tip: float


@dataclass(frozen=True)
class Person:
    """The boxes of one annotated person: frame indices `(n,)` rising, boxes `(n, 4)` xyxy."""

    track_id: int
    frame: np.ndarray
    xyxy: np.ndarray


def people(truth: Sequence[FrameBoxes]) -> List[Person]:
    """The annotated people of a sequence of ids and boxes by frame, by id."""
    frames: Dict[int, List[int]] = {}
    boxes: Dict[int, List[np.ndarray]] = {}
    for index, (ids, xyxy) in enumerate(truth):
        for track_id, box in zip(np.asarray(ids).tolist(), xyxy):
            frames.setdefault(track_id, []).append(index)
            boxes.setdefault(track_id, []).append(np.asarray(box, float))
    return [Person(i, np.array(frames[i]), np.array(boxes[i])) for i in sorted(frames)]


def true_crossings(persons: Sequence[Person], line: Line) -> List[TrueCrossing]:
    """Every crossing of one line by the rule above, in order of people and time."""
    found = []
    for person in persons:
        feet = foot_points(person.xyxy)
        side = line.side(feet)
        clear = np.flatnonzero(np.abs(side) > BAND_PX)
        sign = np.sign(side[clear])
        turns = np.flatnonzero(sign[1:] != sign[:-1])
        # Between two turns a person stays on one side; the farthest point there is what tells a
        # real visit to that side from a brush with the band.
        heights = person.xyxy[clear, 3] - person.xyxy[clear, 1]
        visits = [
            float(visit.max(initial=0))
            for visit in np.split(np.abs(side[clear]) / heights, turns + 1)
        ]
        for i, turn in enumerate(turns.tolist()):
            first, last = int(clear[turn]), int(clear[turn + 1])
            share = side[first] / (side[first] - side[last])
            along = float(line.along(feet[first] + share * (feet[last] - feet[first]))[0])
            if 0 <= along <= line.length:
                lesser = i if visits[i] < visits[i + 1] else i + 1
                found.append(
                    TrueCrossing(
                        "in" if side[last] > 0 else "out",
                        person.track_id,
                        int(person.frame[last]),
                        visits[lesser],
                        lesser in (0, len(visits) - 1),
                        min(along, line.length - along) / heights[turn + 1],
                    )
                )
    return found


def random_lines(persons: Sequence[Person], width: float, count: int, seed: int) -> Dict[str, Line]:
    """Lines through the busy part of a scene.

    The middle of each is where somebody's foot point was, drawn evenly from all annotated boxes;
    its direction is even over the circle, its length even between 1/10 and 1/2 of the picture's
    width.

    Args:
        persons: Annotated people.
        width: Of the picture in pixels.
        count: How many.
        seed: The same seed gives the same lines.
    """
    rng = np.random.default_rng(seed)
    feet = np.concatenate([foot_points(person.xyxy) for person in persons])
    lines = {}
    for i in range(count):
        x, y = feet[rng.integers(len(feet))]
        angle, half = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.25) * width
        dx, dy = half * np.cos(angle), half * np.sin(angle)
        lines[f"random {i + 1}"] = Line((x - dx, y - dy), (x + dx, y + dy))
    return lines
