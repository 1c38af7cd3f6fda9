"""Something that happened, as it is journalled and told."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Dict


@dataclass(frozen=True)
class Event:
    """Something that happened in front of one camera.

    Attributes:
        camera: Name of the camera.
        timestamp: Seconds, on the clock of the camera's frames.
        kind: What happened, e.g. `crossing`; pipelines document their kinds.
        payload: JSON-serialisable facts.
        ordinal: Tells apart events of one kind at one timestamp; from 0 in the order they arose.
    """

    camera: str
    timestamp: float
    kind: str
    payload: Dict[str, Any] = field(default_factory=dict)
    ordinal: int = 0

    @property
    def id(self) -> str:
        """32 hexadecimal digits, fixed by what the event is.

        The same input gives the same ids, so an event that is made twice (a restart that plays
        the last second again, a resend) is stored once.
        """
        text = f"{self.camera}\n{self.timestamp!r}\n{self.kind}\n{self.ordinal}"
        return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()
