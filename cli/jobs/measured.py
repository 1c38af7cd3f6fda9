"""A gauge study from runs: the same parts, in the same order, measured again in each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from ...core import DataError, UsageError, did_you_mean
from ...pipelines.quality import Study
from ...pipelines.quality.tables import measurements
from .folder import read_events
from .studies import in_turn, split_source

Rows = List[Tuple[str, str, str, str]]
"""Part, operator, trial and value."""


@dataclass(frozen=True)
class Measured:
    """What runs have measured.

    Attributes:
        study: The values.
        gauge: What was measured.
        unit: Of the values.
        tolerance: Upper minus lower limit of the recipe, or None where it has not both.
        handled: Whether operators were named; without, each run is a trial of the gauge alone.
    """

    study: Study
    gauge: str
    unit: str
    tolerance: Optional[float]
    handled: bool


def measured_runs(sources: Sequence[str], gauge: Optional[str] = None) -> Measured:
    """The values of one gauge over runs of a recipe, each of which is a trial.

    Args:
        sources: Run folders, each `RUN` or `OPERATOR=RUN`. In every one the same parts must come
            in the same order.
        gauge: What was measured; may be left out where a recipe measures one thing.

    Raises:
        UsageError: A path is no folder, some name an operator and others do not, or the gauge is
            none.
        DataError: A part has no value, or a run has other parts.
    """
    named = [split_source(source) for source in sources]
    handled = [operator is not None for operator, _ in named]
    if any(handled) and not all(handled):
        raise UsageError("some runs name an operator and others do not",
                         expected="OPERATOR=RUN for each, or for none")  # fmt: skip
    rows: Rows = []
    units: Dict[str, str] = {}
    spans: Dict[str, Optional[float]] = {}
    for number, (operator, folder) in enumerate(named, 1):
        if not folder.is_dir():
            raise UsageError(f"{folder} is no run folder", expected="a table, or runs of a recipe")
        values = _values(folder, units, spans)
        gauge = gauge or _only(units, spans)
        if gauge not in units:
            raise UsageError(f"no run measures {gauge!r}", remedy=did_you_mean(gauge, units))
        for part, found in values.items():
            if gauge not in found:
                raise DataError(
                    f"part {part} of {folder} has no value of {gauge}",
                    remedy="see with edgelane report why it was not measured",
                )
            rows.append((part, operator or "camera", str(number), repr(found[gauge])))
    assert gauge is not None
    study = measurements(in_turn(rows))
    return Measured(study, gauge, units[gauge], spans[gauge], all(handled))


def _values(
    folder: Path, units: Dict[str, str], spans: Dict[str, Optional[float]]
) -> Dict[str, Dict[str, float]]:
    """Values by part and gauge; `units` and `spans` of the tolerance get those of each gauge."""
    values: Dict[str, Dict[str, float]] = {}
    for event in read_events(folder, "verdict"):
        found = values.setdefault(str(event.payload["part"]), {})
        for reason in event.payload["reasons"]:
            if reason["value"] is None or reason.get("condition"):
                continue
            name, (low, high) = str(reason["name"]), reason["limits"]
            found[name] = float(reason["value"])
            units[name] = str(reason.get("unit", ""))
            spans[name] = None if low is None or high is None else high - low
    if not values:
        raise DataError(f"the run {folder} has no verdicts", expected="the run of a recipe")
    return values


def _only(units: Dict[str, str], spans: Dict[str, Optional[float]]) -> str:
    """The one thing that is measured; one with a tolerance before others."""
    whole = [name for name, span in spans.items() if span] or list(units)
    if len(whole) != 1:
        raise UsageError("say which gauge is studied: --gauge NAME", expected=", ".join(units))
    return whole[0]
