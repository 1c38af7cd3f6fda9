"""What people in a gym do, and how they hold themselves while they do it."""

import math
from typing import Any, Dict, NamedTuple

import numpy as np

from .pose import Pose, arm

ACTIONS = (
    "stand", "sit", "kneel", "bend", "squat", "raise_left", "raise_right", "raise_both", "wave",
    "cross_arms", "point", "reach", "fall", "lie", "lift", "lift_well",
)  # fmt: skip
"""What people do; the left and right of hands are their own."""

SIGNS = ("wave", "cross_arms", "point", "reach", "lift", "lift_well")
"""What people do facing the camera, as it could not be told from the side or from behind."""


class Doing(NamedTuple):
    """Something someone does from a time on; `right`: with the right hand."""

    start: float
    action: str
    right: bool
    pace: float


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
            **_arms(((0.3, 0.55, -0.9), (1.0, 0.3, 0.3)), ((-0.3, 0.55, -0.9), (-1.0, 0.42, 0.38)))
        )
    if name == "point":
        aside = (side * 1.0, 0.15, 0.0)
        return _flat(**_one(doing.right, (aside, aside)))
    if name == "reach":
        low = (side * 0.8, 0.2, -0.75)
        return _flat(**_one(doing.right, (low, low)))
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
    if name in ("lift", "lift_well"):
        # From the floor up and down again, over and over; well is with an upright back.
        share = 0.5 - 0.5 * math.cos(6.283185 * 0.35 * doing.pace * max(seconds - 0.8, 0.0))
        low = _flat(
            pelvis=(0.0, -0.14, 0.27),
            feet=((-0.09, 0.0, 0.04), (0.09, 0.0, 0.04)),
            knees=((-0.4, 1.0, 0.3), (0.4, 1.0, 0.3)),
            pitch=0.85,
            upper=((0.0, 0.75, -0.7), (0.0, 0.75, -0.7)),
            fore=((0.12, 0.75, -0.7), (-0.12, 0.75, -0.7)),
        )
        if name == "lift_well":
            low = _flat(
                pelvis=(0.0, -0.1, 0.19),
                feet=((-0.09, 0.0, 0.04), (0.09, 0.0, 0.04)),
                knees=((-0.5, 1.0, 0.3), (0.5, 1.0, 0.3)),
                pitch=0.2,
                upper=((0.0, 0.4, -0.9), (0.0, 0.4, -0.9)),
                fore=((0.12, 0.4, -0.9), (-0.12, 0.4, -0.9)),
            )
        high = _flat(
            feet=((-0.09, 0.0, 0.04), (0.09, 0.0, 0.04)),
            knees=((-0.4, 1.0, 0.3), (0.4, 1.0, 0.3)),
            **_arms(((-0.1, 0.25, -1.0), (0.2, 1.0, 0.0)), ((0.1, 0.25, -1.0), (-0.2, 1.0, 0.0))),
        )
        return low + share * (high - low)
    return _flat()


def pose_of(rows: np.ndarray, places: np.ndarray, facing: np.ndarray, height: np.ndarray) -> Pose:
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
