"""Skeletons in time: whose they are, smoothed, and what they do.

smoothing   the One-Euro filter, for all points of all people at once
people      tracks, the regions to look at, and poses with the tracks' ids
steady      points by vote over a short time, left and right in order
bodies      skeletons in heights of the person
angles      angles, distances, turning points
rules       what bodies do: signs, falls, lifts, repetitions
trails      a few skeletons of each person, for reports
signals     what events switch on and off
watching    rules applied to everybody, told as events
pipeline    the pose pipeline
"""

from .bodies import Body
from .people import PeopleSettings, PosedPeople
from .pipeline import Pose, PoseSettings
from .rules import DEFAULT_RULES, RULES, HeldRule, Reading, Repetitions, rule
from .smoothing import OneEuro, OneEuroSettings

__all__ = [
    "DEFAULT_RULES",
    "RULES",
    "Body",
    "HeldRule",
    "OneEuro",
    "OneEuroSettings",
    "PeopleSettings",
    "Pose",
    "PoseSettings",
    "PosedPeople",
    "Reading",
    "Repetitions",
    "rule",
]
