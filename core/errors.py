"""What can go wrong, as one small tree.

    EdgelaneError               exit 1: it failed
    ├── UsageError              exit 2: it was asked the wrong way
    │   └── ConfigError         a field of the config, with its path
    ├── MissingDependency       a library that an extra brings
    ├── SourceError             a camera, video or folder that gives no frames
    ├── ModelError              a model that cannot be loaded, recognised or run
    ├── DataError               detections, boxes or images that make no sense
    ├── StorageError            a folder or database that cannot be written or read
    └── ReleaseError            a bundle that is refused, or a release that cannot be run

Every error says what is wrong, what was got, what was expected and what to do about it.
"""

import difflib
from typing import Iterable, Optional


class EdgelaneError(Exception):
    """Base of every error that edgelane raises on purpose.

    Args:
        what: One sentence about what is wrong, naming the thing.
        got: What was found, if that helps.
        expected: What would have been right.
        remedy: What the reader can do now.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        got: Optional[object] = None,
        expected: Optional[object] = None,
        remedy: Optional[str] = None,
    ) -> None:
        self.what = what
        self.got = got
        self.expected = expected
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        text = self.what
        if self.got is not None:
            text += f": got {self.got}"
        if self.expected is not None:
            text += (", " if self.got is not None else ": ") + f"expected {self.expected}"
        if self.remedy:
            # A command to type stays as it is typed.
            typed = self.remedy.startswith(("pip ", "edgelane "))
            text += f". {self.remedy if typed else self.remedy[0].upper() + self.remedy[1:]}"
        return text if text.endswith((".", "?", "!")) else text + "."

    def __reduce__(self):
        # Exceptions are rebuilt from args when they cross a process; ours take keywords.
        return (
            _rebuild,
            (type(self), self.what, self.got, self.expected, self.remedy),
        )


def _rebuild(kind, what, got, expected, remedy):
    return kind(what, got=got, expected=expected, remedy=remedy)


class UsageError(EdgelaneError):
    """A command or function was called in a way that cannot work."""

    exit_code = 2


class ConfigError(UsageError):
    """A field of the config is wrong; `what` begins with the field's path."""


class MissingDependency(EdgelaneError):
    """A library is missing; the remedy names the extra that brings it."""


class SourceError(EdgelaneError):
    """A source cannot be opened or gives no frames."""


class ModelError(EdgelaneError):
    """A model cannot be loaded, recognised or run."""


class DataError(EdgelaneError, ValueError):
    """Arrays or files of detections, boxes or images that make no sense."""


class StorageError(EdgelaneError):
    """A folder, file or database cannot be written or read."""


class ReleaseError(EdgelaneError):
    """A bundle is refused, or a release cannot be run."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy for an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known are: " + ", ".join(known) if known else "none is known"
