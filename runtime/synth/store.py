"""`synth://store`: a shop with people in it, seen by a camera under the ceiling."""

from typing import Any, Dict, List, Tuple

import numpy as np

from ...core import Frame
from ..sources.base import load_cv2
from .backdrop import store_backdrop
from .draws import Draws
from .layout import ROOMS, corners, draw_plan, hang_camera
from .looks import Looks
from .people import FIELDS, STAFF, STEP, Crowd, Person
from .pose import COLUMNS, skeleton, walking
from .scene import COMMON, Layout, Scene, _one_of, _whole
from .sensor import Sensor
from .stage import Seen, Stage, truth_of
from .truth import TrueCrossing, TrueVisit, Truth

SHADOW = 8  # stream of chance


class Store(Scene):
    """A shop.

    Args:
        parameters: `seed`, `fps`, `size`, `seconds`; `people`: about how many there are at a time,
            with those who pass outside; and `room`: `narrow`, a small store whose camera hangs
            low, or `wide`, one with more room, whose camera hangs high.
    """

    name = "store"
    known = {**COMMON, "people": (_whole(0, 60), 12), "room": (_one_of(ROOMS), "narrow")}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        room = self.parameters["room"]
        self.plan = draw_plan(self.seed, room)
        self.camera = hang_camera(self.plan, self.seed, self.size, room)
        self.crowd = Crowd(self.plan, self.seed, self.parameters["people"])
        self._looks: Dict[int, Looks] = {}
        self._stage: Any = None
        self._sensor: Any = None

    @property
    def layout(self) -> Layout:
        """Lines `door` and `aisle`, zones `checkout` and `shelf`, in pixels."""

        def pixels(points: Any) -> List[Tuple[float, float]]:
            found = self.camera.floor_pixels(np.array(points))
            return [(round(float(x), 2), round(float(y), 2)) for x, y in found]

        lines = {name: pixels(ends) for name, ends in self.plan.lines.items()}
        zones = {name: pixels(corners(box)) for name, box in self.plan.zones.items()}
        return Layout(self.size, {k: (v[0], v[1]) for k, v in lines.items()}, zones)

    def render(self, index: int, camera: str = "camera") -> Tuple[Frame, Truth]:
        """One frame and the truth about it."""
        seen, truth = self._look(index, picture=True)
        image = self._sensor.see(seen.image, index, self.time(index))
        return Frame(image, self.time(index), camera, index), truth

    def truth(self, index: int) -> Truth:
        """The truth about one frame, without its picture."""
        return self._look(index, picture=False)[1]

    def labels(self, index: int) -> np.ndarray:
        """Whose each pixel is: `(h, w)` uint8, 1 + the row in the truth of the frame, or 0."""
        seen, truth = self._look(index, picture=False)
        width, height = self.size
        box = seen.shapes.box.reshape(-1, 4)
        there = (box[:, 0] < width) & (box[:, 1] < height) & (box[:, 2] > 0) & (box[:, 3] > 0)
        row_of = np.zeros(256, np.uint8)
        row_of[1 : len(box) + 1][there] = np.arange(1, len(truth) + 1)
        return row_of[seen.ids]

    @property
    def crossings(self) -> List[TrueCrossing]:
        """Every crossing of a line from the first to the last frame, in order of time."""
        found: List[TrueCrossing] = []
        end = self.time(self.frames - 1)
        for person, paths in self._paths():
            for name, (a, b) in self.plan.lines.items():
                found += _crossings(name, a, b, person, paths)
        return sorted((c for c in found if c.time <= end), key=lambda c: (c.time, c.line))

    @property
    def visits(self) -> List[TrueVisit]:
        """Every stay in a zone from the first to the last frame, in order of time."""
        end = self.time(self.frames - 1)
        found: List[TrueVisit] = []
        for person, paths in self._paths():
            for name, box in self.plan.zones.items():
                found += _visits(name, box, person, paths)
        kept = [v._replace(left=min(v.left, end)) for v in found if v.entered < end]
        return sorted(kept, key=lambda v: (v.entered, v.zone, v.track_id))

    def _paths(self) -> List[Tuple[Person, np.ndarray]]:
        self.crowd.advance(int(self.time(self.frames - 1) / STEP) + 2)
        return [(p, np.array(p.track).reshape(-1, FIELDS)) for p in self.crowd.everyone]

    def _open(self) -> None:
        if self._stage is not None:
            return
        cv2 = load_cv2()
        draw = Draws(self.seed, SHADOW)
        self._sensor = Sensor(cv2, self.seed, self.size)
        backdrop = store_backdrop(cv2, self.plan, self.camera, self.seed)
        shadow = (draw.uniform(-0.25, 0.25), draw.uniform(-0.2, 0.2), draw.uniform(0.2, 0.45))
        self._stage = Stage(cv2, self.camera, backdrop, self.seed, shadow, self._sensor.soft)

    def _sample(self, time: float) -> Tuple[List[Person], np.ndarray]:
        """Who is there at a time, and their numbers between the two steps around it."""
        at = time / STEP
        step = int(at + 1e-9)
        share = at - step
        self.crowd.advance(step + 2)
        people, rows = [], []
        for person in self.crowd.everyone:
            k = step - person.born
            if not 0 <= k < person.steps:
                continue
            one = np.array(person.track[k * FIELDS : (k + 1) * FIELDS])
            last = (min(k + 1, person.steps - 1)) * FIELDS
            two = np.array(person.track[last : last + FIELDS])
            if two[4] < one[4] - 0.5:
                two[4] += 1.0
            row = one + share * (two - one)
            size = np.sqrt(row[2] * row[2] + row[3] * row[3])
            row[2:4] /= max(size, 1e-6)
            row[4] -= np.floor(row[4])
            people.append(person)
            rows.append(row)
        return people, np.array(rows).reshape(-1, FIELDS)

    def _look(self, index: int, picture: bool) -> Tuple[Seen, Truth]:
        self._open()
        time = self.time(index)
        people, tracks = self._sample(time)
        looks = [self._look_of(person) for person in people]
        bodies = np.array([look.body for look in looks]).reshape(-1, len(COLUMNS))
        pose = walking(tracks, bodies)
        joints = skeleton(pose, bodies)
        lights = [1.12 if row[1] > self.plan.depth + 0.1 else 1.0 for row in tracks]
        motion = np.zeros((len(people), 2))
        if picture and people:
            shutter = self._sensor.exposure
            before_people, before = self._sample(max(time - shutter, 0.0))
            where = {p.id: before[k, :2] for k, p in enumerate(before_people)}
            past = np.array([where.get(p.id, tracks[k, :2]) for k, p in enumerate(people)])
            middle = 0.5 * bodies[:, :1]
            now = np.concatenate((tracks[:, :2], middle), axis=1)
            was = np.concatenate((past, middle), axis=1)
            motion = self.camera.project(now)[0] - self.camera.project(was)[0]
        seen = self._stage.show(joints, pose.facing, looks, motion, lights, picture=picture)
        actions = [
            "walk" if row[5] > 0.35 else "reach" if row[6] > 0.5 else "stand" for row in tracks
        ]
        ids, roles = [p.id for p in people], [p.role for p in people]
        return seen, truth_of(
            self.camera, index, time, seen, ids, tracks[:, :2], roles=roles, actions=actions
        )

    def _look_of(self, person: Person) -> Looks:
        if person.id not in self._looks:
            self._looks[person.id] = Looks(
                self.seed, person.id, person.height, bags=person.role != STAFF
            )
        return self._looks[person.id]


def _crossings(name: str, a: Any, b: Any, person: Person, path: np.ndarray) -> List[TrueCrossing]:
    """Passings of one line by the foot point; standing still on it is the side before."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    x, y = path[:, 0], path[:, 1]
    side = dx * (y - a[1]) - dy * (x - a[0])  # below 0 to the right: seen from above
    right = side < 0
    found = []
    for k in np.flatnonzero(right[1:] != right[:-1]).tolist():
        share = side[k] / (side[k] - side[k + 1])
        px, py = x[k] + share * (x[k + 1] - x[k]), y[k] + share * (y[k + 1] - y[k])
        along = ((px - a[0]) * dx + (py - a[1]) * dy) / (dx * dx + dy * dy)
        if 0 <= along <= 1:
            found.append(
                TrueCrossing(
                    round(float((person.born + k + share) * STEP), 6),
                    name,
                    "in" if right[k + 1] else "out",
                    person.id,
                    (round(float(px), 6), round(float(py), 6)),
                )
            )
    return found


def _visits(name: str, box: Any, person: Person, path: np.ndarray) -> List[TrueVisit]:
    x, y = path[:, 0], path[:, 1]
    depth = np.minimum(np.minimum(x - box[0], box[2] - x), np.minimum(y - box[1], box[3] - y))
    within = np.concatenate(([False], depth > 0, [False]))
    turns = np.flatnonzero(within[1:] != within[:-1]).tolist()

    def moment(k: int) -> float:
        """When the edge was met on the way to step k."""
        if k == 0 or k == len(depth):
            return (person.born + min(k, len(depth) - 1)) * STEP
        share = depth[k - 1] / (depth[k - 1] - depth[k])
        return (person.born + k - 1 + share) * STEP

    return [
        TrueVisit(name, person.id, round(float(moment(one)), 6), round(float(moment(two)), 6))
        for one, two in zip(turns[::2], turns[1::2])
    ]
