"""The counts that a report tells: those of `summary.json`, checked against the journal's."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .collect import CameraEvents
from .words import is_number, number


@dataclass
class LineFigures:
    """Crossings of one line."""

    name: str
    entered: int
    left: int


@dataclass
class ZoneFigures:
    """Visits of one zone; `dwell_mean_s` is None where no visit has ended."""

    name: str
    entries: int
    dwell_mean_s: Optional[float]
    occupancy_max: float


@dataclass
class Figures:
    """What is counted for one camera, or in all.

    Attributes:
        lines: Crossings by line.
        zones: Visits by zone.
        visitors: People seen, each once; None where the pipeline does not count them.
        passers_by: Visitors who neither crossed a line inwards nor entered a zone.
        occupancy_max: Most people at once.
        dwell_mean_s: Mean of all visits to zones, None without any.
        visits: Visits that have ended.
        differences: Sentences on where summary and journal disagree.
    """

    lines: List[LineFigures] = field(default_factory=list)
    zones: List[ZoneFigures] = field(default_factory=list)
    visitors: Optional[int] = None
    passers_by: Optional[int] = None
    occupancy_max: Optional[float] = None
    dwell_mean_s: Optional[float] = None
    visits: int = 0
    differences: List[str] = field(default_factory=list)

    @property
    def entered(self) -> int:
        """Crossings inwards over all lines."""
        return sum(line.entered for line in self.lines)

    @property
    def left(self) -> int:
        """Crossings outwards over all lines."""
        return sum(line.left for line in self.lines)

    def plain(self) -> Dict[str, Any]:
        """The figures as JSON, in the shape of `summary.json`."""
        return {
            "lines": {x.name: {"in": x.entered, "out": x.left} for x in self.lines},
            "zones": {
                x.name: {
                    "entries": x.entries,
                    "dwell_mean_s": x.dwell_mean_s or 0.0,
                    "occupancy_max": x.occupancy_max,
                }
                for x in self.zones
            },
            "visitors": self.visitors,
            "passers_by": self.passers_by,
        }


def camera_summary(summary: Dict[str, Any], name: str) -> Dict[str, Any]:
    """A camera's part of `summary.json`: under `cameras`, or the top level where there is one."""
    cameras = summary.get("cameras")
    if isinstance(cameras, dict):
        part = cameras.get(name)
        return part if isinstance(part, dict) else {}
    return summary


def camera_figures(part: Dict[str, Any], events: CameraEvents, shapes: Dict[str, Any]) -> Figures:
    """Bring together a camera's summary and journal.

    Args:
        part: The camera's part of `summary.json`; empty for a run that was cut off.
        events: What its events come to.
        shapes: Its `lines` and `zones` as drawn, so that one that nobody crossed is told as 0.
    """
    figures = Figures()
    told = _dict(part.get("lines"))
    for name in _names(shapes.get("lines"), told, events.lines):
        seen = events.lines.get(name, {"in": 0, "out": 0})
        line = _dict(told.get(name))
        figures.lines.append(
            LineFigures(
                name,
                _agree(figures, line.get("in"), seen["in"], f"line “{name}”, in"),
                _agree(figures, line.get("out"), seen["out"], f"line “{name}”, out"),
            )
        )
    told = _dict(part.get("zones"))
    for name in _names(shapes.get("zones"), told, events.entries, events.dwell, events.zones):
        zone, spread = _dict(told.get(name)), events.dwell.get(name)
        dwell, peak = zone.get("dwell_mean_s"), zone.get("occupancy_max")
        figures.zones.append(
            ZoneFigures(
                name,
                _agree(
                    figures,
                    zone.get("entries"),
                    events.entries.get(name, 0),
                    f"zone “{name}”, entries",
                ),
                _known(dwell, spread.mean) if spread else None,
                _known(peak, events.peaks.get(name, 0)),
            )
        )
    if events.counting or "visitors" in part:
        figures.visitors = _agree(figures, part.get("visitors"), events.visitors, "visitors")
    if figures.visitors is not None and (figures.lines or figures.zones):
        passers = part.get("passers_by")
        figures.passers_by = passers if is_number(passers) else events.people.passers_by
    peak = _dict(part.get("occupancy")).get("max")
    if is_number(peak):
        figures.occupancy_max = peak
    elif len(events.scene):
        figures.occupancy_max = events.peak
    if events.dwell_all.count:
        figures.dwell_mean_s = events.dwell_all.mean
        figures.visits = events.dwell_all.count
    return figures


def total_figures(cameras: List[Figures], summary: Dict[str, Any]) -> Figures:
    """Sums over cameras; visitors and passers-by as the summary's top level tells them."""
    total = Figures()
    for one in cameras:
        total.lines.extend(one.lines)
        total.zones.extend(one.zones)
        total.visits += one.visits
    for name in ("visitors", "passers_by"):
        values = [getattr(c, name) for c in cameras if getattr(c, name) is not None]
        told = summary.get(name)
        setattr(total, name, told if is_number(told) else sum(values) if values else None)
    if total.visits:
        seconds = sum((c.dwell_mean_s or 0.0) * c.visits for c in cameras)
        total.dwell_mean_s = seconds / total.visits
    return total


def _agree(figures: Figures, told: Any, seen: int, what: str) -> int:
    if not is_number(told):
        return seen
    if told != seen:
        figures.differences.append(
            f"The summary says {number(told)} for {what}, the journal holds {number(seen)}: "
            "the run has gone on since the summary was written, or one of the files was changed."
        )
    return told


def _known(told: Any, seen: float) -> float:
    return told if is_number(told) else seen


def _dict(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(*sources: Any) -> List[str]:
    """Names from several dicts, each once, in the order in which they are found."""
    found: Dict[str, None] = {}
    for source in sources:
        for name in sorted(_dict(source)) if source is not sources[0] else _dict(source):
            found.setdefault(str(name))
    return list(found)
