"""Latency of a network on a Jetson that is not on the desk, from its graph."""

from .estimate import STATED, estimate

__all__ = ["STATED", "estimate"]
