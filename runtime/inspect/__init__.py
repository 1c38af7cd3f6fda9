"""Inspection of parts: compared with golden samples, measured by gauges.

Pictures in, verdicts with reasons out. OpenCV is loaded when the first picture is looked at.
"""

from .golden.sample import Difference, Golden, GoldenSettings
from .golden.verdicts import Inspected, inspect, inspect_picture, overlay

__all__ = [
    "Difference",
    "Golden",
    "GoldenSettings",
    "Inspected",
    "inspect",
    "inspect_picture",
    "overlay",
]
