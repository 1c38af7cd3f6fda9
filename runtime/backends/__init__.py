"""Backends run a model's graph: one seam, `Backend`, and one leaf module per library."""

from .base import Backend, TensorSpec, open_backend

__all__ = ["Backend", "TensorSpec", "open_backend"]
