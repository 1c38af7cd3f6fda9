"""The key `clips` of a config."""

from typing import Any, List, Optional

import msgspec

PIXELATE = ("people", "picture", "off")


class ClipSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events get a short clip, and how large all of them may be together.

    Attributes:
        events: Kinds of events, e.g. `crossing`; `*` for all.
        before_s: Seconds of the clip before the event.
        after_s: Seconds after it.
        budget_mb: Megabytes of all clips; beyond them the oldest are deleted.
        keep_days: Clips are deleted after so many days; None: only when the budget is spent.
        pixelate: `people`: each person that the detector sees is pixelated, also some moments
            before and after; whom it does not see can be recognised. Where the model knows no
            person, all that it detects is pixelated, and where it has no classes, the whole
            picture. `picture`: everything is.
            `off`: nothing is.
        fps: Pictures a second.
        width: Pixels; wider pictures are made smaller.
        format: `mp4` (MPEG-4) or `avi` (motion JPEG).
        memory_mb: Megabytes of memory for the pictures before events, all cameras together.
        keep_free_mb: Megabytes of the disk that clips leave free.
        longest_s: Seconds; where events follow each other a clip goes on up to this.
    """

    events: List[str]
    before_s: float = 5.0
    after_s: float = 5.0
    budget_mb: float = 500.0
    keep_days: Optional[float] = None
    pixelate: str = "people"
    fps: float = 10.0
    width: int = 640
    format: str = "mp4"
    memory_mb: float = 64.0
    keep_free_mb: float = 500.0
    longest_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.events:
            raise ValueError("events must name at least one kind, e.g. [crossing]")
        for name in ("before_s", "after_s"):
            if not 0 <= getattr(self, name) <= 60:
                raise ValueError(f"{name} must be seconds from 0 to 60")
        if self.before_s + self.after_s <= 0:
            raise ValueError("before_s and after_s must not both be 0")
        if self.pixelate not in PIXELATE:
            raise ValueError(
                f"pixelate must be one of {', '.join(PIXELATE)}, got {self.pixelate!r}"
            )
        if self.format not in ("mp4", "avi"):
            raise ValueError(f"format must be mp4 or avi, got {self.format!r}")
        if not 1 <= self.fps <= 30:
            raise ValueError("fps must be from 1 to 30")
        if not 32 <= self.width <= 7680:
            raise ValueError("width must be pixels from 32 to 7680")
        for name in ("budget_mb", "memory_mb"):
            if not 0 < getattr(self, name) < 1e8:
                raise ValueError(f"{name} must be megabytes above 0")
        if self.keep_days is not None and not self.keep_days > 0:
            raise ValueError("keep_days must be days above 0")
        if not 0 <= self.keep_free_mb < 1e8:
            raise ValueError("keep_free_mb must be megabytes from 0")
        if not self.before_s + self.after_s <= self.longest_s <= 600:
            raise ValueError("longest_s must hold before_s and after_s, and be at most 600")


def plain_clips(value: Any) -> Any:
    """`pixelate: true` and `false` as they are written in full."""
    if isinstance(value, dict) and isinstance(value.get("pixelate"), bool):
        return {**value, "pixelate": "people" if value["pixelate"] else "off"}
    return value
