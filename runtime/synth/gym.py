"""`synth://gym`: one to three people in a plain room, each doing one thing after the other."""

import copy
import math
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from ...core import Frame
from ..sources.base import load_cv2
from .backdrop import room_backdrop
from .camera import Camera
from .draws import Draws
from .looks import PART, Looks
from .pose import COLUMN, LOAD, NO_BAG, Pose, arm, skeleton
from .scene import COMMON, Scene, _whole
from .sensor import Sensor
from .stage import Seen, Stage, truth_of
from .truth import Truth

ACTIONS = (
    "stand", "sit", "kneel", "bend", "squat", "raise_left", "raise_right", "raise_both", "wave",
    "cross_arms", "point", "fall", "lie", "lift",
)  # fmt: skip
"""What people do; the left and right of hands are their own."""

PLACES, DOINGS = 10, 11  # streams of chance
CHANGE_S, FALL_S = 0.6, 0.55
WIDTH, DEPTH = 7.0, 7.5


class Doing(NamedTuple):
    """Something someone does from a time on."""

    start: float
    action: str
    right: bool
    pace: float


class Athlete(NamedTuple):
    """Someone in the room."""

    id: int
    place: Tuple[float, float]
    facing: Tuple[float, float]
    seat: bool
    height: float
    doings: List[Doing]


def _flat(**given: Any) -> np.ndarray:
    """A pose as one row of numbers, for going from one to another; see `Pose`."""
    values: Dict[str, Any] = {
        "pelvis": (0.0, 0.0, 0.527),
        "feet": ((-0.055, 0.0, 0.04), (0.055, 0.0, 0.04)),
        "toes": (0.0, 0.0),
        "upper": arm(0.02, 0.12),
        "fore": arm(0.22, 0.08),
        "pitch": 0.03,
        "twist": 0.0,
        "nod": 0.08,
        "turn": 0.0,
        "tilt": 0.0,
        "knees": ((-0.15, 1.0, 0.0), (0.15, 1.0, 0.0)),
    }
    values.update(given)
    return np.concatenate([np.asarray(v, float).reshape(-1) for v in values.values()])


def _arms(left: Any, right: Any) -> Dict[str, Any]:
    """Upper arms and forearms from `(upper, fore)` of each side."""
    return {"upper": (left[0], right[0]), "fore": (left[1], right[1])}


_DOWN = (arm(0.02, 0.12), arm(0.22, 0.08))
_LEFT_DOWN = (_DOWN[0][0], _DOWN[1][0])
_RIGHT_DOWN = (_DOWN[0][1], _DOWN[1][1])
_UP = {-1: ((-0.2, 0.12, 1.0), (-0.03, 0.08, 1.0)), 1: ((0.2, 0.12, 1.0), (0.03, 0.08, 1.0))}


def _one(right: bool, raised: Any) -> Dict[str, Any]:
    return _arms(_LEFT_DOWN, raised) if right else _arms(raised, _RIGHT_DOWN)


def action_pose(doing: Doing, seconds: float, forward: bool) -> np.ndarray:
    """The pose of an action after some time, as `_flat` gives it.

    Args:
        doing: The action.
        seconds: Since it began.
        forward: Whether falls go forward.
    """
    name, side = doing.action, 1 if doing.right else -1
    if name == "sit":
        return _flat(
            pelvis=(0.0, -0.25, 0.3),
            feet=((-0.075, 0.0, 0.04), (0.075, 0.0, 0.04)),
            pitch=0.06,
            upper=((-0.15, 0.35, -1.0), (0.15, 0.35, -1.0)),
            fore=((0.15, 1.0, -0.35), (-0.15, 1.0, -0.35)),
        )
    if name == "kneel":
        return _flat(
            pelvis=(0.0, 0.0, 0.288),
            feet=((-0.06, -0.235, 0.05), (0.06, -0.235, 0.05)),
            toes=(-1.3, -1.3),
            knees=((-0.05, 1.0, -1.0), (0.05, 1.0, -1.0)),
        )
    if name == "bend":
        down = arm(1.25, 0.08)
        return _flat(pelvis=(0.0, -0.07, 0.52), pitch=1.25, nod=0.5, upper=down, fore=down)
    if name == "squat":
        ahead = arm(1.75, 0.1)
        return _flat(
            pelvis=(0.0, -0.13, 0.23),
            feet=((-0.09, 0.0, 0.04), (0.09, 0.0, 0.04)),
            knees=((-0.5, 1.0, 0.3), (0.5, 1.0, 0.3)),
            pitch=0.5,
            upper=ahead,
            fore=ahead,
        )
    if name == "raise_both":
        return _flat(**_arms(_UP[-1], _UP[1]))
    if name in ("raise_left", "raise_right"):
        right = name == "raise_right"
        return _flat(**_one(right, _UP[1 if right else -1]))
    if name == "wave":
        swing = 0.75 * math.sin(6.283185 * doing.pace * seconds)
        return _flat(
            **_one(doing.right, ((side * 1.0, 0.15, 0.15), (side * 0.15 + swing, 0.1, 1.0)))
        )
    if name == "cross_arms":
        return _flat(
            **_arms(((-0.2, 0.5, -1.0), (1.0, 0.3, 0.12)), ((0.2, 0.5, -1.0), (-1.0, 0.42, 0.2)))
        )
    if name == "point":
        ahead = (side * 0.15, 1.0, 0.0)
        return _flat(**_one(doing.right, (ahead, ahead)))
    if name in ("fall", "lie"):
        sign = -1.0 if forward else 1.0
        spread = (((-0.5, 0.05, -0.8), (-0.3, 0.1, -0.6)), ((0.6, 0.05, 0.5), (0.1, 0.05, 1.0)))
        return _flat(
            tilt=sign * math.pi / 2,
            feet=((-0.08, 0.0, 0.05), (0.07, 0.02, 0.04)),
            toes=(-0.7, -0.7) if forward else (0.2, 0.2),
            nod=-0.1,
            **_arms(*spread),
        )
    if name == "lift":
        share = 0.5 - 0.5 * math.cos(6.283185 * 0.35 * doing.pace * seconds)
        low = _flat(
            pelvis=(0.0, -0.14, 0.27),
            feet=((-0.09, 0.0, 0.04), (0.09, 0.0, 0.04)),
            knees=((-0.4, 1.0, 0.3), (0.4, 1.0, 0.3)),
            pitch=0.85,
            upper=((0.0, 0.75, -0.7), (0.0, 0.75, -0.7)),
            fore=((0.12, 0.75, -0.7), (-0.12, 0.75, -0.7)),
        )
        high = _flat(
            feet=((-0.09, 0.0, 0.04), (0.09, 0.0, 0.04)),
            knees=((-0.4, 1.0, 0.3), (0.4, 1.0, 0.3)),
            **_arms(((-0.1, 0.25, -1.0), (0.2, 1.0, 0.0)), ((0.1, 0.25, -1.0), (-0.2, 1.0, 0.0))),
        )
        return low + share * (high - low)
    return _flat()


def _pose_of(rows: np.ndarray, places: np.ndarray, facing: np.ndarray, height: np.ndarray) -> Pose:
    n = len(rows)
    tilt = rows[:, 27]
    lift = 0.055 * np.sin(np.abs(tilt)) * height  # who lies, lies on the floor, not in it
    return Pose(
        place=np.concatenate((places, lift[:, None]), axis=1),
        facing=facing,
        pelvis=rows[:, 0:3],
        feet=rows[:, 3:9].reshape(n, 2, 3),
        toes=rows[:, 9:11],
        upper=rows[:, 11:17].reshape(n, 2, 3),
        fore=rows[:, 17:23].reshape(n, 2, 3),
        pitch=rows[:, 23],
        twist=rows[:, 24],
        nod=rows[:, 25],
        turn=rows[:, 26],
        tilt=rows[:, 27],
        knees=rows[:, 28:34].reshape(n, 2, 3),
    )


class Gym(Scene):
    """People who do exercises, fall and get up.

    Args:
        parameters: `seed`, `fps`, `size`, `seconds`, and `people`, 1 to 3; 0 leaves it to chance.
    """

    name = "gym"
    known = {**COMMON, "people": (_whole(0, 3), 0)}

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
            height = min(max(draw.bell(1.71, 0.09), 1.5), 1.95)
            seat = draw.chance(0.7)
            # Who falls towards the camera needs room to be seen in.
            place = (x, y + (0.9 if seat and facing[1] < 0 else 0.0))
            doings = self._program(Draws(self.seed, DOINGS, k), seat)
            self.athletes.append(Athlete(k + 1, place, facing, seat, height, doings))
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
        self._looks: List[Tuple[Looks, Looks]] = []
        self._stage: Any = None
        self._sensor: Any = None

    def _program(self, draw: Draws, seat: bool) -> List[Doing]:
        """One thing after the other to the end, each of them as often as the others."""
        doings = [Doing(-10.0, "stand", True, 1.0)]
        time = draw.uniform(0.3, 1.5)
        left: List[str] = []
        while time < self.duration + 1:
            if not left:
                left = [a for a in ACTIONS if a not in ("stand", "lie") and (seat or a != "sit")]
            action = left.pop(draw.whole(len(left)))
            right, pace = draw.chance(0.5), draw.uniform(0.8, 1.5)
            doings.append(Doing(time, action, right, pace))
            if action == "fall":
                time += FALL_S
                doings.append(Doing(time, "lie", right, pace))
            time += draw.uniform(1.8, 4.0)
            if action == "fall" or draw.chance(0.5):
                doings.append(Doing(time, "stand", right, pace))
                time += draw.uniform(1.0, 2.0)
        return doings

    def doing(self, athlete: Athlete, time: float) -> Tuple[Doing, Doing]:
        """What somebody does at a time, and what they did before that."""
        at = 0
        while at + 1 < len(athlete.doings) and athlete.doings[at + 1].start <= time:
            at += 1
        return athlete.doings[at], athlete.doings[max(at - 1, 0)]

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
            plain = Looks(self.seed, 100 + athlete.id, athlete.height, bags=False)
            loaded = copy.copy(plain)
            loaded.body, loaded.radii = plain.body.copy(), plain.radii.copy()
            loaded.body[COLUMN["bag_kind"]] = LOAD
            loaded.radii[PART["bag"]] = (0.07, 0.07)
            plain.body[COLUMN["bag_kind"]] = NO_BAG
            self._looks.append((plain, loaded))
            if athlete.seat:
                x = athlete.place[0] - 0.28 * athlete.height * athlete.facing[0]
                y = athlete.place[1] - 0.28 * athlete.height * athlete.facing[1]
                seats.append((x - 0.2, y - 0.2, x + 0.2, y + 0.2))
        self._sensor = Sensor(cv2, self.seed, self.size)
        backdrop = room_backdrop(cv2, self.camera, WIDTH, DEPTH, seats, self.seed)
        self._stage = Stage(
            cv2, self.camera, backdrop, self.seed, (0.05, 0.0, 0.3), self._sensor.soft
        )

    def _row(self, athlete: Athlete, time: float) -> np.ndarray:
        now, before = self.doing(athlete, time)
        since = time - now.start
        change = FALL_S if now.action in ("fall", "lie") else CHANGE_S
        share = min(max(since / change, 0.0), 1.0)
        share = share * share if now.action == "fall" else share * share * (3 - 2 * share)
        one = action_pose(before, time - before.start, athlete.seat)
        two = action_pose(now, since, athlete.seat)
        return one + share * (two - one)

    def _look(self, index: int, picture: bool) -> Tuple[Seen, Truth]:
        self._open()
        time = self.time(index)
        acts = [self.doing(a, time)[0].action for a in self.athletes]
        looks = [pair[act == "lift"] for pair, act in zip(self._looks, acts)]
        bodies = np.array([look.body for look in looks])
        places = np.array([a.place for a in self.athletes])
        facing = np.array([a.facing for a in self.athletes])
        height = bodies[:, 0]

        def joints(moment: float) -> Tuple[np.ndarray, np.ndarray]:
            rows = np.array([self._row(a, moment) for a in self.athletes])
            return skeleton(_pose_of(rows, places, facing, height), bodies), rows[:, 27]

        now, tilt = joints(time)
        motion = np.zeros((len(looks), 2))
        if picture:
            past, _ = joints(time - self._sensor.exposure)
            one, two = self.camera.project(now)[0], self.camera.project(past)[0]
            motion = (one[:, 5:17] - two[:, 5:17]).mean(axis=1)
        seen = self._stage.show(
            now, facing, looks, motion, [1.0] * len(looks), np.sin(tilt) ** 2, picture
        )
        ids = [a.id for a in self.athletes]
        roles = ["athlete"] * len(ids)
        return seen, truth_of(self.camera, index, time, seen, ids, places, roles, acts)
