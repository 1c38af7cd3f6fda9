"""`synth://gym`: one to three people in a plain room, each doing one thing after the other."""

import bisect
import copy
import math
from typing import Any, List, NamedTuple, Sequence, Tuple

import numpy as np

from ...core import Frame
from ..sources.base import load_cv2
from .actions import ACTIONS, SIGNS, Doing, action_pose, pose_of
from .backdrop import room_backdrop
from .camera import Camera
from .draws import Draws
from .looks import PART, Looks
from .pose import COLUMN, LOAD, NO_BAG, skeleton
from .scene import COMMON, Layout, Scene, _whole
from .sensor import Sensor
from .stage import Seen, Stage, truth_of
from .truth import Truth

PLACES, DOINGS = 10, 11  # streams of chance
CHANGE_S, FALL_S = 0.6, 0.55
CAMERA = (0.0, -1.0)  # the way to it
LONGER_S = {"wave": 0.6, "lift": 1.4, "lift_well": 1.4}
"""What takes so long that others are done before it can be told."""
LONG_LIE = 0.3
"""How many of those who fall stay down for long."""
WIDTH, DEPTH = 7.0, 7.5


class Athlete(NamedTuple):
    """Someone in the room."""

    id: int
    place: Tuple[float, float]
    facing: Tuple[float, float]
    seat: bool
    height: float
    guard_right: bool
    doings: List[Doing]


def _some_actions(value: Any) -> Tuple[str, ...]:
    names = tuple(value.split(",")) if isinstance(value, str) else tuple(value)
    if not set(names) <= set(ACTIONS):
        raise ValueError
    return tuple(name for name in names if name)


_some_actions.expected = "names of actions with commas, of " + ", ".join(  # type: ignore[attr-defined]
    ACTIONS
)


class Gym(Scene):
    """People who do exercises, give signs, fall and get up.

    The zones `left` and `right` are the walls that they point at; `guard_1` and so on are what the
    person of that number reaches into.

    Args:
        parameters: `seed`, `fps`, `size`, `seconds`; `people`, 1 to 3, 0 leaves it to chance;
            `turned`, degrees that everybody is turned away from the camera, to the one side or the
            other, whatever they do, -1 leaves it to chance and has signs given to the camera; and
            `actions`, what is done besides standing, all unless given.
    """

    name = "gym"
    known = {
        **COMMON,
        "people": (_whole(0, 3), 0),
        "turned": (_whole(-1, 180), -1),
        "actions": (_some_actions, ()),
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        draw = Draws(self.seed, PLACES)
        count = self.parameters["people"] or 1 + draw.whole(3)
        middle = WIDTH / 2
        self.athletes = []
        for k in range(count):
            gap = 1.9
            x = middle + gap * (k - (count - 1) / 2) + draw.uniform(-0.2, 0.2)
            y = draw.uniform(4.2, 5.1)
            # Mostly towards the camera; along the axes, as seats stand.
            facing = draw.pick([(0.0, -1.0)] * 3 + [(0.6, -0.8), (-0.6, -0.8), (0.0, 1.0)])
            if count == 1:
                facing = draw.pick([facing, (1.0, 0.0), (-1.0, 0.0)])
            if self.parameters["turned"] >= 0:
                angle = math.radians(self.parameters["turned"]) * (1 if draw.chance(0.5) else -1)
                facing = (round(math.sin(angle), 6), round(-math.cos(angle), 6))
            height = min(max(draw.bell(1.71, 0.09), 1.5), 1.95)
            seat = draw.chance(0.7)
            # Who falls towards the camera needs room to be seen in.
            place = (x, y + (0.9 if seat and facing[1] < 0 else 0.0))
            guard = facing[0] < 0 if facing[0] else draw.chance(0.5)
            doings = self._program(Draws(self.seed, DOINGS, k), seat, not guard)
            self.athletes.append(Athlete(k + 1, place, facing, seat, height, guard, doings))
        high = draw.uniform(1.3, 2.7)
        eye = (
            middle + draw.uniform(-0.8, 0.8),
            4.2 - draw.uniform(3.5, 4.1) - 0.6 * (count - 1),
            high,
        )
        aim = (middle, 4.6, draw.uniform(0.6, 0.8))
        dx, dy = aim[0] - eye[0], aim[1] - eye[1]
        focal = min(draw.uniform(0.78, 0.9) * self.size[0], 1.5 * self.size[1])
        yaw, tilt = math.atan2(dx, dy), math.atan2(high - aim[2], math.sqrt(dx * dx + dy * dy))
        self.camera = Camera(eye, yaw, tilt, focal, self.size)
        self._looks = [self._dressed(athlete) for athlete in self.athletes]
        self._starts = [[d.start for d in athlete.doings] for athlete in self.athletes]
        self._stage: Any = None
        self._sensor: Any = None

    def _program(self, draw: Draws, seat: bool, reach_right: bool) -> List[Doing]:
        """One thing after the other to the end, each of them as often as the others."""
        known = [a for a in self.parameters["actions"] or ACTIONS if a not in ("stand", "lie")]
        known = [a for a in known if seat or a != "sit"] or ["stand"]
        doings = [Doing(-10.0, "stand", True, 1.0)]
        time = draw.uniform(0.3, 1.5)
        left: List[str] = []
        while time < self.duration + 1:
            if not left:
                left = list(known)
            action = left.pop(draw.whole(len(left)))
            right, pace = draw.chance(0.5), draw.uniform(0.8, 1.5)
            if action == "reach":
                right = reach_right
            doings.append(Doing(time, action, right, pace))
            if action == "fall":
                time += FALL_S
                doings.append(Doing(time, "lie", right, pace))
                if draw.chance(LONG_LIE):
                    time += draw.uniform(10.0, 12.0)
            time += draw.uniform(1.8, 4.0) + LONGER_S.get(action, 0.0)
            if action == "fall" or draw.chance(0.5):
                doings.append(Doing(time, "stand", right, pace))
                time += draw.uniform(1.0, 2.0)
        return doings

    @property
    def layout(self) -> Layout:
        """The walls that people point at, and what they reach into."""
        width, height = (float(v) for v in self.size)
        top, bottom, inner = 0.1 * height, 0.8 * height, 0.09 * width
        zones = {
            "left": [(0.0, top), (inner, top), (inner, bottom), (0.0, bottom)],
            "right": [
                (width - inner, top), (width, top), (width, bottom), (width - inner, bottom),
            ],
        }  # fmt: skip
        for athlete in self.athletes:
            side = 1.0 if athlete.guard_right else -1.0
            corners = [(0.27, 0.7), (0.45, 0.7), (0.45, 0.5), (0.27, 0.5)]
            x, y = athlete.place
            tall = athlete.height
            world = [(x + side * a * tall, y - 0.06 * tall, z * tall) for a, z in corners]
            pixels = np.round(self.camera.project(np.array(world))[0], 1)
            zones[f"guard_{athlete.id}"] = [(float(a), float(b)) for a, b in pixels]
        return Layout(self.size, zones=zones)

    def doing(self, athlete: Athlete, time: float) -> Tuple[Doing, Doing]:
        """What somebody does at a time, and what they did before that."""
        at = max(bisect.bisect_right(self._starts[athlete.id - 1], time) - 1, 0)
        return athlete.doings[at], athlete.doings[max(at - 1, 0)]

    def keypoints(self, times: Sequence[float]) -> np.ndarray:
        """COCO's points of everybody at some times, far faster than `truth`.

        Returns:
            `(times, people, 17, 3)` float64: x, y in pixels and 1, or 0 beside the picture. What
            hides a point is not told.
        """
        joints = self._joints([(a, t) for t in times for a in self.athletes])[0]
        pixels = self.camera.project(joints[:, :17])[0]
        within = ((pixels >= 0) & (pixels < self.size)).all(axis=2, keepdims=True)
        points = np.concatenate((np.round(pixels, 3), within), axis=2)
        return points.reshape(len(times), len(self.athletes), 17, 3)

    def render(self, index: int, camera: str = "camera") -> Tuple[Frame, Truth]:
        """One frame and the truth about it."""
        seen, truth = self._look(index, picture=True)
        image = self._sensor.see(seen.image, index, self.time(index))
        return Frame(image, self.time(index), camera, index), truth

    def truth(self, index: int) -> Truth:
        """The truth about one frame, without its picture."""
        return self._look(index, picture=False)[1]

    def _open(self) -> None:
        if self._stage is not None:
            return
        cv2 = load_cv2()
        seats = []
        for athlete in self.athletes:
            if athlete.seat:
                x = athlete.place[0] - 0.28 * athlete.height * athlete.facing[0]
                y = athlete.place[1] - 0.28 * athlete.height * athlete.facing[1]
                seats.append((x - 0.2, y - 0.2, x + 0.2, y + 0.2))
        self._sensor = Sensor(cv2, self.seed, self.size)
        backdrop = room_backdrop(cv2, self.camera, WIDTH, DEPTH, seats, self.seed)
        self._stage = Stage(
            cv2, self.camera, backdrop, self.seed, (0.05, 0.0, 0.3), self._sensor.soft
        )

    def _dressed(self, athlete: Athlete) -> Tuple[Looks, Looks]:
        """How somebody looks with empty hands, and with a load in them."""
        plain = Looks(self.seed, 100 + athlete.id, athlete.height, bags=False)
        loaded = copy.copy(plain)
        loaded.body, loaded.radii = plain.body.copy(), plain.radii.copy()
        loaded.body[COLUMN["bag_kind"]] = LOAD
        loaded.radii[PART["bag"]] = (0.07, 0.07)
        plain.body[COLUMN["bag_kind"]] = NO_BAG
        return plain, loaded

    def _look_of(self, athlete: Athlete, time: float) -> Looks:
        loaded = self.doing(athlete, time)[0].action.startswith("lift")
        return self._looks[athlete.id - 1][loaded]

    def _row(self, athlete: Athlete, time: float) -> Tuple[np.ndarray, Tuple[float, float]]:
        """A pose as one row of numbers, and which way it faces."""
        now, before = self.doing(athlete, time)
        since = time - now.start
        change = FALL_S if now.action in ("fall", "lie") else CHANGE_S
        share = min(max(since / change, 0.0), 1.0)
        share = share * share if now.action == "fall" else share * share * (3 - 2 * share)
        one = action_pose(before, time - before.start, athlete.seat)
        two = action_pose(now, since, athlete.seat)
        to_camera = () if self.parameters["turned"] >= 0 else SIGNS
        ways = [CAMERA if d.action in to_camera else athlete.facing for d in (before, now)]
        facing = ways[1]
        if ways[0] != ways[1] and share < 1:
            # Signs are given to the camera: one turns to it, the shorter way round.
            first, last = (math.atan2(way[0], -way[1]) for way in ways)
            turn = (last - first + math.pi) % (2 * math.pi) - math.pi
            angle = first + share * turn
            facing = (math.sin(angle), -math.cos(angle))
        return one + share * (two - one), facing

    def _joints(self, moments: Sequence[Tuple[Athlete, float]]) -> Tuple[np.ndarray, ...]:
        """Joints in metres, directions faced, and how far each body has fallen."""
        rows, facing = zip(*(self._row(athlete, time) for athlete, time in moments))
        table, ways = np.array(rows), np.array(facing)
        bodies = np.array([self._look_of(athlete, time).body for athlete, time in moments])
        places = np.array([athlete.place for athlete, _ in moments])
        pose = pose_of(table, places, ways, bodies[:, 0])
        return skeleton(pose, bodies), ways, table[:, 27]

    def _look(self, index: int, picture: bool) -> Tuple[Seen, Truth]:
        self._open()
        time = self.time(index)
        acts = [self.doing(a, time)[0].action for a in self.athletes]
        looks = [self._look_of(athlete, time) for athlete in self.athletes]
        places = np.array([a.place for a in self.athletes])
        now, facing, tilt = self._joints([(a, time) for a in self.athletes])
        motion = np.zeros((len(looks), 2))
        if picture:
            moment = time - self._sensor.exposure
            past = self._joints([(a, moment) for a in self.athletes])[0]
            one, two = self.camera.project(now)[0], self.camera.project(past)[0]
            motion = (one[:, 5:17] - two[:, 5:17]).mean(axis=1)
        seen = self._stage.show(
            now, facing, looks, motion, [1.0] * len(looks), np.sin(tilt) ** 2, picture
        )
        ids = [a.id for a in self.athletes]
        roles = ["athlete"] * len(ids)
        return seen, truth_of(self.camera, index, time, seen, ids, places, roles, acts)
