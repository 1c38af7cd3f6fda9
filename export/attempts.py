"""What an accuracy budget is, what was tried to keep it, and what is shipped."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple, Union

from ..calibration.graph import write_model
from ..calibration.sensitivity import Sensitivity
from ..core import ModelCard, UsageError, did_you_mean
from ..core.card import METADATA_KEY
from .fp16 import HalfSettings

LADDER = ("int8", "mixed", "fp16", "fp32")
"""What is tried, fastest first; `mixed` is INT8 with the most sensitive layers in float."""

Progress = Optional[Callable[[str, int, Optional[int]], None]]
PathLike = Union[str, Path]


@dataclass(frozen=True)
class BudgetSettings:
    """What may be lost, and how that is found out.

    Attributes:
        max_drop: Points, hundredths of the metric, that may be lost against the float model.
        metric: Name of the score; None for the one that counts for the task: AP, OKS_AP, top1.
        ladder: What is tried, of `LADDER`, in that order.
        sure: The upper end of the 95 % interval has to stay within the budget, not only what was
            measured.
        least_int8: Share of the multiply-adds below which INT8 with float layers is not tried.
        pictures: Pictures to calibrate with at most.
        half: How FP16 is made.
        rank: Measure the layers even where INT8 is enough as it is.
    """

    max_drop: float = 1.0
    metric: Optional[str] = None
    ladder: Tuple[str, ...] = LADDER
    sure: bool = False
    least_int8: float = 0.8
    pictures: int = 128
    half: HalfSettings = HalfSettings()
    rank: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 100:
            raise UsageError("max_drop is out of range", got=self.max_drop, expected="0 to 100")
        for name in self.ladder:
            if name not in LADDER:
                raise UsageError(f"unknown precision {name!r}", remedy=did_you_mean(name, LADDER))
        if not self.ladder:
            raise UsageError("there is no precision to try", expected="of " + ", ".join(LADDER))


@dataclass(frozen=True)
class Attempt:
    """One precision, and what it cost.

    Attributes:
        precision: Of `LADDER`.
        floats: First outputs of the layers kept float beside those that always are.
        scores: 0..1 by name; empty where the model could not be made.
        drop: Points lost against the float model.
        low: Lower end of the 95 % interval of the drop.
        high: Its upper end.
        within: Whether it stays within the budget.
        agreement: F1 between its detections and the float model's; None for other tasks.
        int8_share: Share of the multiply-adds in INT8.
        failed: Why it could not be made, or None.
    """

    precision: str
    floats: Tuple[str, ...] = ()
    scores: Dict[str, float] = field(default_factory=dict)
    drop: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    within: bool = False
    agreement: Optional[float] = None
    int8_share: float = 0.0
    failed: Optional[str] = None

    def __str__(self) -> str:
        name = self.precision + (f", {len(self.floats)} layers float" if self.floats else "")
        if self.failed:
            return f"{name}: {self.failed}"
        return f"{name}: {self.drop:+.2f} points lost ({self.low:+.2f} to {self.high:+.2f}), " + (
            "within the budget" if self.within else "too many"
        )


@dataclass(frozen=True)
class Choice:
    """What is shipped, and how it was chosen.

    Attributes:
        model: The `ModelProto`, without its card.
        card: Its card, with the attempts under `extra["budget"]`.
        attempts: In the order in which they were made.
        sensitivity: Of the layers, the most useful to spare first; empty where not measured.
        warnings: Sentences that a user should see.
    """

    model: Any
    card: ModelCard
    attempts: Tuple[Attempt, ...]
    sensitivity: Tuple[Sensitivity, ...]
    warnings: Tuple[str, ...]

    @property
    def shipped(self) -> Attempt:
        """The attempt that is shipped."""
        return next(a for a in reversed(self.attempts) if a.within)

    def write(self, out: PathLike) -> None:
        """Write the model with its card in one step.

        Raises:
            StorageError: It cannot be written; what was there stays.
        """
        write_model(stamped(self.model, self.card), out)


def stamped(model: Any, card: ModelCard) -> Any:
    """A copy of a `ModelProto` with this card in its metadata."""
    copy = type(model)()
    copy.CopyFrom(model)
    kept = [(e.key, e.value) for e in copy.metadata_props if e.key != METADATA_KEY]
    del copy.metadata_props[:]
    for key, value in (*kept, (METADATA_KEY, card.to_json())):
        copy.metadata_props.add(key=key, value=value)
    return copy
