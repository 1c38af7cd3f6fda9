"""The report of a run: one HTML file that opens offline and asks nothing of any network."""

import json
import os
import pkgutil
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Tuple, Union

from ..core import Event, StorageError
from ..runtime.files import write_whole
from .collect import CameraEvents, collect
from .inspection import InspectionEvents, inspection_sections, subgroup_of
from .scene import legend_gradient
from .view import ReportView, report_view
from .words import FILTERS, Clock


def write_report(folder: Union[str, "os.PathLike[str]"]) -> Path:
    """Write `report.html` into a run folder, also while the run goes on.

    The events are read once, as a stream: memory does not grow with the length of the run. The
    old report stays until the new one is whole.

    Args:
        folder: Run folder with `events.db`, and `summary.json` once the run has ended.

    Returns:
        Path of the report.

    Raises:
        StorageError: The folder holds no journal, the journal is damaged, or the folder cannot
            be written.
    """
    folder = Path(folder)
    path = folder / "report.html"
    write_whole(path, render(read_run(folder)).encode("utf-8"))
    return path


def read_run(folder: Path) -> ReportView:
    """Read a run folder into what the page shows. Raises as `write_report`."""
    from ..runtime.journal import Journal

    summary, notices = _read_summary(folder / "summary.json")
    with Journal(folder / "events.db", readonly=True) as journal:
        clock = Clock(journal.get("clock") or "file", journal.get("timezone"))
        shapes = journal.get("shapes") or {}
        inspected = InspectionEvents(subgroup_of(journal))
        found = collect(_also(journal.events(), inspected), clock)
        names = list(dict.fromkeys([*_cameras(summary), *shapes, *journal.cameras()]))
        cameras = {name: found.get(name) or CameraEvents(clock) for name in names or ["camera"]}
        blobs = {name: journal.blob(name, "scene") for name in cameras}
    pictures = {name: blob for name, blob in blobs.items() if blob}
    view = report_view(cameras, summary, shapes, pictures, clock, notices)

    def when(stamp: float) -> str:
        return clock.text(clock.local(stamp))

    view.sections = inspection_sections(inspected, when, folder)
    if view.sections:
        view.title = "Inspection report"
    return view


def _also(events: Iterable[Event], inspected: InspectionEvents) -> Iterator[Event]:
    """The events, each told to the inspection's part of the report on its way."""
    for event in events:
        inspected.add(event)
        yield event


def render(view: ReportView) -> str:
    """The page as HTML. The same view gives the same text."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_packaged),
        autoescape=True,  # names of cameras, lines and zones are whatever a user typed
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    template = environment.get_template("report.html")
    css = _packaged("report.css") + (_packaged("quality.css") if view.sections else "")
    return template.render(view=view, css=css, gradient=legend_gradient())


def _packaged(name: str) -> str:
    content = pkgutil.get_data(__package__ or __name__, name)
    if content is None:
        raise StorageError(f"{name} is missing from the package", remedy="install edgelane anew")
    return content.decode("utf-8")


def _read_summary(path: Path) -> Tuple[Dict[str, Any], List[Tuple[str, str]]]:
    """`summary.json` and what a reader must know about it."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, [
            (
                "bad",
                "There is no summary of this run yet: it is still going on, or was cut off. "
                "The figures are those of its journal so far.",
            )
        ]
    except (OSError, ValueError) as error:
        summary = error
    if not isinstance(summary, dict):
        reason = f" ({summary})" if isinstance(summary, Exception) else ""
        return {}, [
            ("bad", f"summary.json cannot be read{reason}: the figures are those of the journal.")
        ]
    notices = []
    why = summary.get("interrupted") or summary.get("ended") in ("stopped", "error")
    if why:
        notices.append(
            (
                "bad",
                "The run was interrupted before its end"
                + (f" ({why})" if isinstance(why, str) else "")
                + ": the figures cover what was seen until then.",
            )
        )
    return summary, notices


def _cameras(summary: Dict[str, Any]) -> List[str]:
    cameras = summary.get("cameras")
    return list(cameras) if isinstance(cameras, dict) else []
