"""Totals of a run by the hour or day, as a store manager asks for them."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ...core import Event, UsageError, did_you_mean
from ...pipelines.totals import PASSED_OVER, Totals, all_totals
from ...runtime.health.monitor import STATUS_FILE
from ...runtime.journal import Journal
from ...runtime.timezones import Zone
from .folder import JOURNAL, PathLike

STALE_S = 20.0


def totals(
    folder: PathLike,
    by: str = "hour",
    *,
    timezone: Optional[str] = None,
    camera: Optional[str] = None,
) -> Dict[str, Any]:
    """Totals of a run folder by the hour or day, also while it is being written.

    Args:
        folder: The run folder.
        by: `hour` or `day`, of the local clock.
        timezone: Name of the time zone, e.g. `Europe/Berlin`; the run's own unless given.
        camera: Only this camera.

    Returns:
        `by`, `timezone` (None where times count from the start of a recording) and `cameras`: by
        name the `rows` and the `total`, see `pipelines.totals.Totals.rows`; with several cameras
        also `all`, their sum. A row or total with `lower_bound` lacks `missing_s` seconds of
        pictures, which its `note` tells in words.

    Raises:
        StorageError: There is no journal, or it cannot be read.
        UsageError: There is no such camera, or no such `by`.
        ConfigError: There is no such time zone.
    """
    with Journal(Path(folder) / JOURNAL, readonly=True) as journal:
        offset, zone = None, None
        if journal.get("clock") == "unix":
            known = Zone(timezone or journal.get("timezone"))
            offset, zone = known.offset, known.name
        shapes = journal.get("shapes") or {}
        names = list(dict.fromkeys([*shapes, *journal.cameras()]))
        if camera is not None and camera not in names:
            raise UsageError(
                f"camera {camera!r} is not in this run", remedy=did_you_mean(camera, names)
            )
        parts = {name: Totals(by, offset) for name in names if camera in (None, name)}
        kinds = sorted({kind for _, kind, _ in journal.kinds()} - set(PASSED_OVER))
        for event in journal.events(camera, kinds):
            if event.camera not in parts:  # a machine's, not a camera's
                continue
            parts[event.camera].add(event)
        for name, event in absences(Path(folder)):
            if name in parts:
                parts[name].add(event)
        told: Dict[str, Any] = {"by": by, "timezone": zone, "cameras": {}}
        for name, part in parts.items():
            drawn = shapes.get(name) or {}
            more = covered(journal, name), drawn.get("lines", ()), drawn.get("zones", ())
            told["cameras"][name] = {"rows": part.rows(*more), "total": part.total(*more)}
        if len(parts) > 1:
            whole = all_totals(parts.values(), by, offset)
            told["all"] = {"rows": whole.rows(), "total": whole.total()}
            _add_watched(told)
    return told


def _add_watched(told: Dict[str, Any]) -> None:
    """What all cameras watched is the sum of what each did."""
    whole = told["all"]
    for row in (*whole["rows"], whole["total"]):
        row["watched_s"] = 0.0
    by_start = {row["start"]: row for row in whole["rows"]}
    for part in told["cameras"].values():
        whole["total"]["watched_s"] += part["total"]["watched_s"]
        for row in part["rows"]:
            if row["start"] in by_start:
                by_start[row["start"]]["watched_s"] += row["watched_s"]


def absences(folder: Path) -> Iterator[Tuple[str, Event]]:
    """The gaps of a run that goes on which have not come to their end: the journal holds them
    when they have."""
    path = folder / STATUS_FILE
    try:
        now = path.stat().st_mtime
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["run"]["state"] != "running" or time.time() - now > STALE_S:
            return
        for name, camera in told["cameras"].items():
            if camera["state"] == "away" and camera["last_frame_age_s"] is not None:
                payload = {"from": now - camera["away_s"], "to": now, "reason": camera["reason"]}
                yield name, Event(name, now, "gap", payload)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return


def covered(journal: Journal, camera: str) -> Optional[Tuple[float, float]]:
    """Times of a camera's first and last frame, as far as the journal tells."""
    snapshot, position = journal.snapshot(camera), journal.position(camera)
    if snapshot is None or position is None or snapshot.stats.get("first") is None:
        return None
    return float(snapshot.stats["first"]), float(position[1])


def columns(rows: List[Dict[str, Any]]) -> List[Tuple[str, List[Any]]]:
    """The counts of rows as columns: a name and a value a row."""
    lines = list(dict.fromkeys(n for row in rows for n in row["lines"]))
    zones = list(dict.fromkeys(n for row in rows for n in row["zones"]))
    kinds = list(dict.fromkeys(n for row in rows for n in row.get("events", {})))
    found: List[Tuple[str, List[Any]]] = []
    if lines or zones or any(row["visitors"] for row in rows) or not kinds:
        found.append(("visitors", [row["visitors"] for row in rows]))
    none = {"in": 0, "out": 0}
    for name in lines:
        for way in ("in", "out"):
            found.append((f"{name} {way}", [row["lines"].get(name, none)[way] for row in rows]))
    for name in zones:
        entries = [row["zones"].get(name, {"entries": 0})["entries"] for row in rows]
        found.append((f"{name} entries", entries))
    for name in kinds:
        found.append((name, [row.get("events", {}).get(name, 0) for row in rows]))
    return found


def totals_csv(told: Dict[str, Any]) -> str:
    """Totals as CSV: one row an hour or day and camera, for a spreadsheet."""
    names = list(told["cameras"])
    rows = [row for name in names for row in told["cameras"][name]["rows"]]
    cameras = [name for name in names for _ in told["cameras"][name]["rows"]]
    counted = columns(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["camera", "start", "end", *(name for name, _ in counted)]
    writer.writerow([*head, "watched_s", "missing_s", "lower_bound", "note"])
    for at, (camera, row) in enumerate(zip(cameras, rows)):
        cells = [_safe(camera), row["start"], row["end"], *(values[at] for _, values in counted)]
        cells += [row["watched_s"], row["missing_s"], int(row["lower_bound"]), row["note"]]
        writer.writerow(cells)
    return text.getvalue()


def _safe(text: str) -> str:
    """A name as a spreadsheet takes it for text and not for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text
