"""What stands where in a store: room, furniture, door, windows, lines, zones and places to stop.

Metres; x to the right, y away from the camera; the street is beyond the far wall.
"""

from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

from .camera import Camera
from .draws import Draws
from .navigate import Box, Point

LAYOUT, CAMERA = 1, 2  # streams of chance
Range = Tuple[float, float]


@dataclass(frozen=True)
class Furniture:
    """A thing with a rectangular footprint.

    Attributes:
        kind: `shelf`, `counter`, `stand`, `till` or `crate`.
        box: Footprint: x from, y from, x to, y to.
        bottom: Height of its underside.
        top: Height of its top.
    """

    kind: str
    box: Box
    bottom: float
    top: float


@dataclass(frozen=True)
class Spot:
    """A place to stand, and the way someone there looks (unit vector)."""

    place: Point
    look: Point


@dataclass(frozen=True)
class Plan:
    """A store.

    Attributes:
        width: Of the room, x from 0.
        depth: y of the wall to the street.
        height: Of the room.
        furniture: What stands about.
        door: x from and to of the opening in the far wall.
        door_height: Of the opening.
        windows: x from, x to, sill, top of each window in the far wall.
        lines: Floor lines by name: start and end; `in` is towards the right of start → end.
        zones: Floor rectangles by name.
        spots: Where goods are looked at.
        queue: Where people wait, the first one first.
        served: Where one goes first after paying.
        staff: Who works behind the counter.
        lanes: How far beside the middle of their side of the door people walk in or out.
        apart: How far before the one ahead people begin to slow down, beyond 0.42 m.
    """

    width: float
    depth: float
    height: float
    furniture: List[Furniture]
    door: Tuple[float, float]
    door_height: float
    windows: List[Tuple[float, float, float, float]]
    lines: Dict[str, Tuple[Point, Point]]
    zones: Dict[str, Box]
    spots: List[Spot]
    queue: List[Spot]
    served: Point
    staff: Spot
    lanes: float = 0.0
    apart: float = 0.43

    @property
    def obstacles(self) -> List[Box]:
        """Footprints that people walk around: furniture and walls."""
        wall = 0.25
        left, right = self.door
        blocks = [f.box for f in self.furniture if f.bottom < 0.5]
        return blocks + [
            (-wall, -9.0, 0.0, self.depth + wall),
            (self.width, -9.0, self.width + wall, self.depth + wall),
            (-9.0, self.depth, left, self.depth + wall),
            (right, self.depth, self.width + 9.0, self.depth + wall),
        ]


@dataclass(frozen=True)
class Room:
    """What is typical of a kind of store: metres, from and to.

    Attributes:
        width: Of the room.
        height: Of the room.
        aisle: How wide the main aisle is.
        outer: What is between the wall shelf's zone and the first gondola.
        door: Half the width of the door.
        gondola: How high gondolas are.
        inside: Whether goods are looked at from the main aisle, or beside it.
        camera: How high the camera hangs.
        focal: Its focal length, in widths of the picture.
        zone: From the wall shelf's front to its zone. Below 0 under the shelf: seen from high
            above the middle of the room, who stands beside a wall leans over it.
        lanes, apart: As in `Plan`.
        aside: How far it hangs from the middle of the room, or of the door.
        over_door: Whether it hangs opposite the door, and sees the whole of it.
    """

    width: Range
    height: float
    aisle: Range
    outer: Range
    door: Range
    gondola: Range
    inside: bool
    zone: float
    lanes: float
    apart: float
    camera: Range
    focal: Range
    aside: float
    over_door: bool


ROOMS = {
    "narrow": Room(
        width=(7.8, 8.3), height=3.9, aisle=(1.65, 1.85), outer=(1.05, 1.15), door=(0.85, 1.0),
        gondola=(1.2, 1.55), inside=True, zone=0.02, lanes=0.0, apart=0.43,
        camera=(2.8, 3.5), focal=(0.62, 0.78), aside=0.9, over_door=False,
    ),
    "wide": Room(
        width=(9.3, 9.8), height=5.2, aisle=(2.8, 3.0), outer=(1.1, 1.2), door=(1.45, 1.6),
        gondola=(0.95, 1.2), inside=False, zone=-0.3, lanes=0.35, apart=0.8,
        camera=(4.3, 4.7), focal=(0.5, 0.56), aside=0.3, over_door=True,
    ),
}  # fmt: skip
"""Kinds of stores by name: a small one whose camera hangs low, where shelves and people hide much;
and one with room to pass, whose camera hangs as one would hang it to count people."""


def draw_plan(seed: int, room: str = "narrow") -> Plan:
    """A store by seed.

    Args:
        seed: Of the scene.
        room: One of `ROOMS`.
    """
    usual = ROOMS[room]
    draw = Draws(seed, LAYOUT)
    mirror = draw.chance(0.5)
    width = draw.uniform(*usual.width)
    depth = draw.uniform(7.9, 8.5)

    # The wall shelf, an aisle, a gondola, the main aisle, a gondola, the queue, the counter.
    shelf_to = draw.uniform(0.36, 0.46)
    shelf_y = (draw.uniform(3.3, 3.7), draw.uniform(6.3, 6.7))
    zone_to = shelf_to + draw.uniform(0.85, 0.95)
    a_from = zone_to + draw.uniform(*usual.outer)
    a_to = a_from + draw.uniform(0.55, 0.7)
    b_from = a_to + draw.uniform(*usual.aisle)
    b_to = b_from + draw.uniform(0.5, 0.65)
    counter_from = width - draw.uniform(1.6, 1.7)
    counter_to = counter_from + draw.uniform(0.45, 0.55)
    gondola_y = (draw.uniform(3.7, 3.9), draw.uniform(6.1, 6.4))
    counter_y = (draw.uniform(4.0, 4.2), draw.uniform(5.6, 6.0))
    high = draw.uniform(*usual.gondola)
    tall = draw.uniform(1.8, 2.1)

    things = [
        Furniture("shelf", (0.0, shelf_y[0], shelf_to, shelf_y[1]), 0.0, tall),
        Furniture("shelf", (a_from, gondola_y[0], a_to, gondola_y[1]), 0.0, high),
        Furniture("shelf", (b_from, gondola_y[0], b_to, gondola_y[1] - 0.2), 0.0, high - 0.1),
        Furniture("counter", (counter_from, counter_y[0], counter_to, counter_y[1]), 0.0, 0.95),
    ]
    till_y = counter_y[0] + 0.7
    things.append(
        Furniture(
            "till", (counter_from + 0.12, till_y, counter_from + 0.42, till_y + 0.12), 0.95, 1.3
        )
    )
    spots = []
    for share in (0.0, 0.33, 0.67, 1.0):
        y = shelf_y[0] + 0.65 + share * (shelf_y[1] - shelf_y[0] - 1.15)
        spots.append(Spot((shelf_to + 0.42, y), (-1.0, 0.0)))
    line_y = 0.5 * (gondola_y[0] + gondola_y[1]) + draw.uniform(-0.1, 0.1)
    for y in (gondola_y[0] + 0.3, gondola_y[1] - 0.3):
        if usual.inside:
            spots.append(Spot((a_to + 0.42, y), (-1.0, 0.0)))
            spots.append(Spot((b_from - 0.42, y - 0.1), (1.0, 0.0)))
        else:
            spots.append(Spot((a_from - 0.42, y), (1.0, 0.0)))
    # Small stands in front; which of them are there, and how high, is up to chance.
    for x, y in ((0.55, 1.6), (a_from + 0.35, 2.2), (b_to + 0.4, 2.2), (width - 0.75, 1.9)):
        if not draw.chance(0.6):
            continue
        half, top = draw.uniform(0.22, 0.34), draw.uniform(0.55, 1.15)
        x, y = x + draw.uniform(-0.1, 0.1), y + draw.uniform(-0.25, 0.25)
        kind = "stand" if draw.chance(0.7) else "crate"
        things.append(Furniture(kind, (x - half, y - half, x + half, y + half), 0.0, top))
        spots.append(Spot((x, y + half + 0.4), (0.0, -1.0)))
    if draw.chance(0.7):  # beside a window, away from the door
        x = draw.uniform(0.5, 1.2)
        box = (x - 0.3, depth - 0.7, x + 0.3, depth - 0.15)
        things.append(Furniture("crate", box, 0.0, draw.uniform(0.4, 0.9)))

    middle = 0.5 * (a_to + b_from) + draw.uniform(-0.1, 0.1)
    half = draw.uniform(*usual.door)
    door = (middle - half, middle + half)
    sill = draw.uniform(0.55, 0.95)
    windows = [
        (0.45, door[0] - draw.uniform(0.35, 0.7), sill, 2.35),
        (door[1] + draw.uniform(0.35, 0.7), width - 0.5, sill, 2.35),
    ]
    queue_x = 0.5 * (b_to + counter_from)
    queue_zone = (b_to + 0.04, counter_y[0] + 0.15, counter_from - 0.02, counter_y[0] + 2.9)
    queue = []
    for k in range(3):
        place = (queue_x + draw.uniform(-0.05, 0.05), till_y + 0.1 + 0.72 * k)
        queue.append(Spot(place, (1.0, 0.0) if k == 0 else (0.0, -1.0)))
    plan = Plan(
        width=width,
        depth=depth,
        height=usual.height,
        furniture=things,
        door=door,
        door_height=draw.uniform(2.2, 2.4),
        windows=windows,
        lines={
            "door": ((door[0] - 0.5, depth - 0.55), (door[1] + 0.5, depth - 0.55)),
            "aisle": ((0.5 * (a_from + a_to), line_y), (0.5 * (b_from + b_to), line_y)),
        },
        zones={
            "checkout": queue_zone,
            "shelf": (shelf_to + usual.zone, shelf_y[0] + 0.1, zone_to, shelf_y[1] - 0.1),
        },
        spots=spots,
        queue=queue,
        served=(queue_x - 0.1, counter_y[0] - 0.9),
        staff=Spot((counter_to + 0.42, till_y + 0.1), (-1.0, 0.0)),
        lanes=usual.lanes,
        apart=usual.apart,
    )
    return _mirrored(plan) if mirror else plan


def _mirrored(plan: Plan) -> Plan:
    width = plan.width

    def box(b: Box) -> Box:
        return (width - b[2], b[1], width - b[0], b[3])

    def spot(s: Spot) -> Spot:
        return Spot((width - s.place[0], s.place[1]), (-s.look[0], s.look[1]))

    def point(p: Point) -> Point:
        return (width - p[0], p[1])

    return Plan(
        width=width,
        depth=plan.depth,
        height=plan.height,
        furniture=[Furniture(f.kind, box(f.box), f.bottom, f.top) for f in plan.furniture],
        door=(width - plan.door[1], width - plan.door[0]),
        door_height=plan.door_height,
        windows=[(width - b, width - a, low, high) for a, b, low, high in plan.windows],
        lines={name: (point(b), point(a)) for name, (a, b) in plan.lines.items()},
        zones={name: box(b) for name, b in plan.zones.items()},
        spots=[spot(s) for s in plan.spots],
        queue=[spot(s) for s in plan.queue],
        served=point(plan.served),
        staff=spot(plan.staff),
        lanes=plan.lanes,
        apart=plan.apart,
    )


def corners(box: Box) -> np.ndarray:
    """The four corners of a footprint, clockwise from above. `(4, 2)`."""
    x1, y1, x2, y2 = box
    return np.array([[x1, y2], [x2, y2], [x2, y1], [x1, y1]])


def hang_camera(plan: Plan, seed: int, size: Tuple[int, int], room: str = "narrow") -> Camera:
    """A camera near the wall opposite the door that sees all lines and zones.

    It steps back until they are in the picture with a margin.
    """
    usual = ROOMS[room]
    draw = Draws(seed, CAMERA)
    focal = draw.uniform(*usual.focal) * size[0]
    # A picture that is not 16:9 sees the same in height.
    focal = min(focal, draw.uniform(1.12, 1.3) * size[1])
    height = draw.uniform(*usual.camera)
    across = 0.5 * (plan.door[0] + plan.door[1]) if usual.over_door else plan.width * 0.5
    x = across + draw.uniform(-usual.aside, usual.aside)
    aim = (plan.width * 0.5 + draw.uniform(-0.25, 0.25), plan.depth * 0.58)
    lift = draw.uniform(0.3, 0.7)
    floor = np.concatenate(
        [corners(box) for box in plan.zones.values()] + [np.array(v) for v in plan.lines.values()]
    )
    needed = np.concatenate((floor, np.zeros((len(floor), 1))), axis=1)
    if usual.over_door:  # those who come in are seen from head to foot
        heads = [(x, plan.depth + 0.3, 1.9) for x in plan.door]
        needed = np.concatenate((needed, np.array(heads)))
    back = draw.uniform(-0.4, 0.2) + (1.5 if usual.over_door else 0.0)
    while True:
        dx, dy = aim[0] - x, aim[1] - back
        yaw = float(np.arctan2(dx, dy))
        tilt = float(np.arctan2(height - lift, np.hypot(dx, dy)))
        camera = Camera((x, back, height), yaw, tilt, focal, size)
        pixels = camera.project(needed)[0] / np.array(size)
        if (pixels > 0.02).all() and (pixels < 0.98).all() or back < -6:
            return camera
        back -= 0.1
