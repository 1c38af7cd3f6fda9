"""Everything the template shows, worked out: the template itself only lays it out."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .charts import (
    Bar,
    TimeChart,
    bars,
    count_chart,
    dwell_bars,
    occupancy_charts,
)
from .collect import CameraEvents
from .figures import Figures, camera_figures, camera_summary, total_figures
from .png import data_uri
from .quality import Section
from .running import RunView, run_facts, run_view
from .scene import Heat, Overlay, heat, overlay, path_data, path_end
from .skeletons import TrailsView
from .spells import SpellView
from .table import TimeTable, time_table
from .words import Clock, duration, is_number, number, plural

MOST_PATHS = 600
"""Trajectories drawn on a page, over all cameras."""


@dataclass(frozen=True)
class Card:
    """A headline figure."""

    label: str
    value: str
    hint: str = ""
    kind: str = ""


@dataclass(frozen=True)
class LineView:
    """A line's totals and its two bars in percent of the longest bar of the camera."""

    name: str
    entered: str
    left: str
    in_share: float
    out_share: float


@dataclass(frozen=True)
class ZoneView:
    """A zone's totals and how long visits lasted."""

    name: str
    entries: str
    mean: str
    median: str
    longest: str
    most: str
    bars: Tuple[Bar, ...]


@dataclass(frozen=True)
class PathView:
    """One trajectory as SVG."""

    d: str
    x: int
    y: int
    kind: str


@dataclass(frozen=True)
class KindView:
    """A kind of event that counting does not know."""

    name: str
    count: str
    first: str
    last: str
    classes: Tuple[Bar, ...]
    chart: Optional[TimeChart]


@dataclass
class CameraView:
    """One camera's section."""

    name: str
    anchor: str
    cards: List[Card]
    counting: bool
    empty: str = ""
    figures: Figures = field(default_factory=Figures)
    lines: List[LineView] = field(default_factory=list)
    zones: List[ZoneView] = field(default_factory=list)
    occupancy: List[TimeChart] = field(default_factory=list)
    gaps: bool = False
    picture: Optional[str] = None
    overlay: Optional[Overlay] = None
    heat: Optional[Heat] = None
    paths: List[PathView] = field(default_factory=list)
    paths_note: str = ""
    table: Optional[TimeTable] = None
    objects: List[Bar] = field(default_factory=list)
    spells: Optional[SpellView] = None
    trails: Optional[TrailsView] = None
    shares: List[Bar] = field(default_factory=list)
    kinds: List[KindView] = field(default_factory=list)
    facts: List[Tuple[str, str]] = field(default_factory=list)


@dataclass
class ReportView:
    """The whole page."""

    title: str
    subtitle: str
    notices: List[Tuple[str, str]]
    cards: List[Card]
    cameras: List[CameraView]
    counting: bool
    run: RunView
    figures: Dict[str, Any]
    sections: List[Section] = field(default_factory=list)


def report_view(
    cameras: Dict[str, CameraEvents],
    summary: Dict[str, Any],
    shapes: Dict[str, Any],
    pictures: Dict[str, bytes],
    clock: Clock,
    notices: Sequence[Tuple[str, str]] = (),
) -> ReportView:
    """Work out the page.

    Args:
        cameras: What the events of each camera come to, in the order of the page.
        summary: `summary.json`, or empty.
        shapes: By camera: `size`, `lines`, `zones` in pixels of the stream.
        pictures: By camera: JPEG or PNG of the scene.
        clock: The clock of the timestamps.
        notices: `(kind, sentence)` that stand on top; kind is `bad` or `note`.
    """
    views, all_notices = [], list(notices)
    share = max(40, MOST_PATHS // max(1, len(cameras)))
    for place, (name, events) in enumerate(cameras.items()):
        part = camera_summary(summary, name)
        if summary.get("frames") == 0:
            part = {"frames": 0, **part}
        view = _camera(f"camera-{place + 1}", name, events, part, shapes, pictures, share)
        prefix = f"{name}: " if len(cameras) > 1 else ""
        for sentence in view.figures.differences:
            all_notices.append(("bad", prefix + sentence))
        views.append(view)
    run = run_view(cameras, summary)
    if run.gaps_note:
        all_notices.insert(0, ("bad", run.gaps_note))
    for sentence in summary.get("warnings") or ():
        all_notices.append(("note", str(sentence)))
    plain = {view.name: view.figures.plain() for view in views}
    several = len(views) > 1
    total = total_figures([view.figures for view in views], summary)
    cards = _cards(total, None, views) if several else []
    figures: Dict[str, Any] = plain[views[0].name] if not several else {"cameras": plain}
    if several:
        figures = {**figures, "visitors": total.visitors, "passers_by": total.passers_by}
    counting = any(view.counting for view in views)
    return ReportView(
        title="Visitor report" if counting else "Camera report",
        subtitle=_subtitle(cameras, summary, clock),
        notices=list(dict.fromkeys(all_notices)),
        cards=cards,
        cameras=views,
        counting=counting,
        run=run,
        figures=figures,
    )


def _subtitle(cameras: Dict[str, CameraEvents], summary: Dict[str, Any], clock: Clock) -> str:
    names = list(cameras)
    parts = [", ".join(names) if len(names) <= 4 else plural(len(names), "camera")]
    known = [events for events in cameras.values() if events.count]
    if clock.live and known:
        first, last = min(e.first for e in known), max(e.last for e in known)
        same_day = first // 86400 == last // 86400
        end = clock.short(last, 60.0) if same_day else clock.text(last, 60.0)
        parts.append(f"{clock.text(first, 60.0)} – {end}")
    seconds = summary.get("duration_s")
    if isinstance(seconds, (int, float)) and seconds > 0:
        parts.append(duration(seconds) + (" watched" if clock.live else " of video"))
    return " · ".join(part for part in parts if part)


def _camera(
    anchor: str,
    name: str,
    events: CameraEvents,
    part: Dict[str, Any],
    all_shapes: Dict[str, Any],
    pictures: Dict[str, bytes],
    most_paths: int,
) -> CameraView:
    shapes = all_shapes.get(name)
    shapes = shapes if isinstance(shapes, dict) else {}
    figures = camera_figures(part, events, shapes)
    counting = events.counting or any(key in part for key in ("lines", "zones", "visitors"))
    if not part and not events.kinds:  # a run that has only begun: its shapes tell
        counting = counting or any(shapes.get(key) for key in ("lines", "zones"))
    view = CameraView(name, anchor, [], counting, figures=figures)
    view.facts = run_facts(part)
    if part.get("frames") == 0:
        view.empty = "No frame was seen: the source gave no pictures, so there is nothing to tell."
    elif not events.count:
        view.empty = (
            "Nothing was journalled for this camera: nobody was seen, or the run ended early."
        )
    if counting:
        view.cards = _cards(figures, events, ())
        _counting(view, events, shapes, pictures.get(name), most_paths)
    view.objects = _objects(part)
    view.shares = _shares(part)
    view.spells = events.spells.view()
    view.trails = events.skeletons.view()
    if view.trails is not None and view.overlay is None:
        view.picture = _picture(pictures.get(name))
        size = _size(shapes, events)
        view.overlay = None if size is None else overlay(shapes, size)
    for kind, facts in sorted(events.kinds.items()):
        classes = tuple(bars(sorted(facts.classes.items(), key=lambda c: (-c[1], c[0]))))
        view.kinds.append(
            KindView(
                name=kind,
                count=number(facts.count),
                first=events.clock.text(facts.first),
                last=events.clock.text(facts.last),
                classes=classes if list(classes) != view.objects else (),
                chart=count_chart(kind, facts.bins, events.clock),
            )
        )
    if not counting:
        view.cards = [Card(bar.text, number(bar.value), "objects") for bar in view.objects[:6]]
        view.cards = view.cards or [Card(k.name, k.count, "events") for k in view.kinds[:6]]
    return view


def _counting(
    view: CameraView,
    events: CameraEvents,
    shapes: Dict[str, Any],
    picture: Optional[bytes],
    most_paths: int,
) -> None:
    longest = max((max(x.entered, x.left) for x in view.figures.lines), default=0) or 1
    for line in view.figures.lines:
        view.lines.append(
            LineView(
                line.name,
                number(line.entered),
                number(line.left),
                round(100 * line.entered / longest, 2),
                round(100 * line.left / longest, 2),
            )
        )
    for zone in view.figures.zones:
        spread = events.dwell.get(zone.name)
        view.zones.append(
            ZoneView(
                name=zone.name,
                entries=number(zone.entries),
                mean=duration(zone.dwell_mean_s),
                median=duration(spread.median) if spread else "–",
                longest=duration(spread.longest) if spread else "–",
                most=number(zone.occupancy_max),
                bars=tuple(dwell_bars(spread)) if spread else (),
            )
        )
    series = [("Whole picture", events.scene)]
    series += [(z.name, events.zones[z.name]) for z in view.figures.zones if z.name in events.zones]
    view.occupancy = occupancy_charts(series, events.clock, events.gaps)
    view.gaps = any(chart.gaps for chart in view.occupancy)
    size = _size(shapes, events)
    view.picture = _picture(picture)
    if size is not None:
        view.overlay = overlay(shapes, size)
        view.heat = heat(events)
        kept = events.paths.items
        every = -(-len(kept) // most_paths) if kept else 1
        split = bool(view.figures.lines or view.figures.zones)
        for path in kept[::every]:
            x, y = path_end(path)
            kind = "passed" if split and not path.entered else "entered"
            view.paths.append(PathView(path_data(path), x, y, kind))
        if view.paths:
            view.paths_note = (
                f"{number(len(view.paths))} of {number(events.paths.seen)} paths are drawn, "
                "evenly sampled over the run."
                if len(view.paths) < events.paths.seen
                else f"All {number(len(view.paths))} paths are drawn."
                if len(view.paths) > 1
                else "The only path is drawn."
            )
    if len(events.table):
        view.table = time_table(events, view.figures)


def _size(shapes: Dict[str, Any], events: CameraEvents) -> Optional[Tuple[float, float]]:
    size = shapes.get("size")
    if isinstance(size, (list, tuple)) and len(size) == 2 and all(map(is_number, size)):
        return (float(size[0]), float(size[1])) if min(size) > 0 else None
    for key in events.heat:
        return float(key[0]), float(key[1])
    points = [p for path in events.paths.items for p in path.points]
    if points:
        return max(1.0, max(p[1] for p in points)), max(1.0, max(p[2] for p in points))
    return None


def _picture(content: Optional[bytes]) -> Optional[str]:
    for magic, kind in ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n", "image/png")):
        if content and content.startswith(magic):
            return data_uri(kind, content)
    return None


def _cards(
    figures: Figures, events: Optional[CameraEvents], views: Sequence[CameraView]
) -> List[Card]:
    cards = []
    if figures.visitors is not None:
        hint = f"on {len(views)} cameras together" if views else "different people seen"
        cards.append(Card("Visitors", number(figures.visitors), hint, "main"))
    if figures.lines:
        count = len(figures.lines)
        hint = f"over line “{figures.lines[0].name}”" if count == 1 else f"over {count} lines"
        cards.append(Card("In", number(figures.entered), hint, "in"))
        cards.append(Card("Out", number(figures.left), hint, "out"))
    if figures.passers_by is not None:
        cards.append(Card("Passers-by", number(figures.passers_by), "seen, but did not come in"))
    if figures.occupancy_max is not None:
        cards.append(Card("Most at once", number(figures.occupancy_max), "people in the picture"))
    if figures.dwell_mean_s is not None:
        hint = "over " + plural(figures.visits, "visit") + " to zones"
        cards.append(Card("Mean stay", duration(figures.dwell_mean_s), hint))
    return cards


def _shares(part: Dict[str, Any]) -> List[Bar]:
    """How much of the time each class was there, in percent, by part where there are parts."""
    parts = part.get("parts")
    found = parts if isinstance(parts, dict) else {"": part}
    shares = []
    for name, told in found.items():
        classes = told.get("classes") if isinstance(told, dict) else None
        for kind, facts in (classes if isinstance(classes, dict) else {}).items():
            if isinstance(facts, dict) and is_number(facts.get("share")):
                text = f"{name}: {kind}" if name else str(kind)
                shares.append((text, round(100 * facts["share"], 1)))
    return bars(shares)


def _objects(part: Dict[str, Any]) -> List[Bar]:
    objects = part.get("objects")
    if not isinstance(objects, dict):
        return []
    known = [(str(k), float(v)) for k, v in objects.items() if is_number(v)]
    return bars(sorted(known, key=lambda item: (-item[1], item[0])))
