"""Where frames come from: a URI in, `Frame`s with true timestamps out."""

from .base import Source, open_source, register

__all__ = ["Source", "open_source", "register"]
