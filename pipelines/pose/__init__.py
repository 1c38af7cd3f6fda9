"""Skeletons in time: whose they are, smoothed.

smoothing   the One-Euro filter, for all points of all people at once
people      tracks, the regions to look at, and poses with the tracks' ids
pipeline    the pose pipeline: who was seen, and when there were too many
"""

from .people import PeopleSettings, PosedPeople
from .pipeline import Pose, PoseSettings
from .smoothing import OneEuro, OneEuroSettings

__all__ = [
    "OneEuro",
    "OneEuroSettings",
    "PeopleSettings",
    "Pose",
    "PoseSettings",
    "PosedPeople",
]
