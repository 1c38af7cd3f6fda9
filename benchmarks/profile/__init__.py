"""Latency against accuracy: models measured here or on a Jetson, estimated for the others."""

from .compare import compare_profiles
from .sweep import profile

__all__ = ["compare_profiles", "profile"]
