"""Backends run a model's graph: one seam, `Backend`, and one leaf module per library."""

from .base import Backend, TensorSpec, open_backend
from .swap import Swappable, SwappableBackend

__all__ = ["Backend", "Swappable", "SwappableBackend", "TensorSpec", "open_backend"]
