"""Teaching: a recipe and pictures of good parts in, the next version of the recipe out."""

from .lesson import Lesson, teach

__all__ = ["Lesson", "teach"]
