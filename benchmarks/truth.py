"""Ground truth for counting: who crossed a line, by annotated boxes, and lines to ask about.

The rule: the foot point (bottom centre of the box) leaves a band of 3 px around the line on the
other side, and the path between the two points outside the band crosses the segment.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple

import numpy as np

from ..pipelines.geometry import Line, foot_points

BAND_PX = 3.0


class TrueCrossing(NamedTuple):
    """One annotated person's crossing.

    Attributes:
        direction: `in` or `out`.
        track_id: Annotated id.
        frame: Number of the frame in which the band was left.
        margin: How far outside the band the person came before turning round or ending, in
            pixels: the smaller one of the two sides. A small one says that it was a close thing.
        height: Of the box in that frame, in pixels.
    """

    direction: str
    track_id: int
    frame: int
    margin: float
    height: float


@dataclass(frozen=True)
class Path:
    """The boxes of one annotated person: frames `(n,)` int64 rising, boxes `(n, 4)` xyxy."""

    track_id: int
    frame: np.ndarray
    xyxy: np.ndarray


def paths(rows: np.ndarray) -> List[Path]:
    """Annotated people from MOTChallenge rows `(n, ≥ 6)`: frame, id, x, y, w, h, ….

    Rows whose 7th column is 0 are marked in MOTChallenge as not to be evaluated and are left out.
    """
    if rows.shape[1] > 6:
        rows = rows[rows[:, 6] != 0]
    found = []
    for track_id in np.unique(rows[:, 1]).astype(int).tolist():
        own = rows[rows[:, 1] == track_id]
        own = own[np.argsort(own[:, 0], kind="stable")]
        boxes = np.concatenate((own[:, 2:4], own[:, 2:4] + own[:, 4:6]), axis=1)
        found.append(Path(track_id, own[:, 0].astype(np.int64), boxes))
    return found


def true_crossings(people: List[Path], line: Line) -> List[TrueCrossing]:
    """Every crossing of one line by the rule above, in order of people and time."""
    found = []
    for person in people:
        feet = foot_points(person.xyxy)
        side = line.side(feet)
        clear = np.flatnonzero(np.abs(side) > BAND_PX)
        sign = np.sign(side[clear])
        turns = np.flatnonzero(sign[1:] != sign[:-1])
        # Between two turns a person stays on one side; the farthest point there is what tells a
        # real visit to that side from a brush with the band.
        bounds = [0, *(turns + 1).tolist(), len(clear)]
        reach = [
            float(np.abs(side[clear[a:b]]).max()) for a, b in zip(bounds[:-1], bounds[1:]) if b > a
        ]
        for i, turn in enumerate(turns.tolist()):
            first, last = int(clear[turn]), int(clear[turn + 1])
            share = side[first] / (side[first] - side[last])
            along = float(line.along(feet[first] + share * (feet[last] - feet[first]))[0])
            if 0 <= along <= line.length:
                height = float(person.xyxy[last, 3] - person.xyxy[last, 1])
                found.append(
                    TrueCrossing(
                        "in" if side[last] > 0 else "out",
                        person.track_id,
                        int(person.frame[last]),
                        min(reach[i], reach[i + 1]) - BAND_PX,
                        height,
                    )
                )
    return found


def random_lines(people: List[Path], size: float, count: int, seed: int) -> Dict[str, Line]:
    """Lines through the busy part of a scene.

    The middle of each is where somebody's foot point was, drawn evenly from all annotated boxes;
    its direction is even over the circle, its length even between 1/10 and 1/2 of `size`.

    Args:
        people: Annotated people.
        size: Width of the picture in pixels.
        count: How many.
        seed: The same seed gives the same lines.
    """
    rng = np.random.default_rng(seed)
    feet = np.concatenate([foot_points(person.xyxy) for person in people])
    lines = {}
    for i in range(count):
        x, y = feet[rng.integers(len(feet))]
        angle, half = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.25) * size
        dx, dy = half * np.cos(angle), half * np.sin(angle)
        lines[f"random{i + 1}"] = Line((x - dx, y - dy), (x + dx, y + dy))
    return lines
