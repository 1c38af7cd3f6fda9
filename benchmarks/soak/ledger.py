"""Whether what the run journalled stays journalled, comes once, and never counts backwards."""

import contextlib
import json
import math
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Set, Tuple

from ...core import Event, StorageError
from ...runtime.journal import Journal

ONCE = ("visitor",)
"""Kinds of which a track has one."""

TIMED = ("track", "visit", "crossing", "occupancy", "heatmap", "gap")
"""Kinds whose payload is never the same twice, or a crossing's not within `NEAR_S`: somebody may
come the same way again."""

NEAR_S = 10.0


class Audit(NamedTuple):
    """What came of a journal.

    Attributes:
        events: How many there are.
        lost: That were seen in the journal once and are not there any more, or were changed.
        twice: That say the same as an earlier one.
        backwards: That are earlier than the one before of their camera.
        gaps: By camera, in order.
        counts: Events by kind.
    """

    events: int
    lost: int
    twice: int
    backwards: int
    gaps: Dict[str, List[Event]]
    counts: Dict[str, int]


class Ledger:
    """Reads a journal again and again while it is written.

    Args:
        path: The journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: Dict[str, str] = {}

    def read(self) -> int:
        """Take down what is in the journal now; how many events are new."""
        before = len(self.known)
        with contextlib.suppress(StorageError):  # not there yet, or the disk is full just now
            for event in self._all():
                self.known.setdefault(event.id, _content(event))
        return len(self.known) - before

    def missing(self, told: Set[str]) -> Set[str]:
        """Of ids that were told, those that are not journalled."""
        self.read()
        return told - set(self.known)

    def audit(self) -> Audit:
        """Hold the journal against all that was ever read from it.

        Raises:
            StorageError: It cannot be read.
        """
        there: Dict[str, str] = {}
        said: Dict[Tuple[str, str, str], float] = {}
        latest: Dict[str, float] = {}
        gaps: Dict[str, List[Event]] = {}
        counts: Dict[str, int] = {}
        twice = backwards = 0
        for event in self._all():
            content = _content(event)
            there[event.id] = content
            says = _says(event, content)
            if says is not None:
                passed = event.timestamp - said.get(says, -math.inf)
                twice += passed < (NEAR_S if event.kind == "crossing" else math.inf)
                said[says] = event.timestamp
            backwards += event.timestamp < latest.get(event.camera, event.timestamp)
            latest[event.camera] = max(latest.get(event.camera, 0.0), event.timestamp)
            counts[event.kind] = counts.get(event.kind, 0) + 1
            if event.kind == "gap":
                gaps.setdefault(event.camera, []).append(event)
        lost = sum(there.get(name) != content for name, content in self.known.items())
        return Audit(len(there), lost, twice, backwards, gaps, counts)

    def _all(self) -> List[Event]:
        with Journal(self.path, readonly=True) as journal:
            return list(journal.events())


def _content(event: Event) -> str:
    return json.dumps([event.camera, event.timestamp, event.kind, event.payload], sort_keys=True)


def _says(event: Event, content: str) -> Any:
    """What no other event may say, or None."""
    if event.kind in ONCE and "track" in event.payload:
        return event.camera, event.kind, str(event.payload["track"])
    if event.kind in TIMED:
        payload = json.dumps(event.payload, sort_keys=True)
        return event.camera, event.kind, payload
    return None
