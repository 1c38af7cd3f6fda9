"""The run folder: begun, gone on with or refused; read and summed up."""

import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple, Union

from ...core import Event, StorageError, UsageError
from ...pipelines.summary import all_gaps, summarise_gaps
from ...runtime.files import write_whole
from ...runtime.journal import Journal
from ...runtime.stats import RunStats

PathLike = Union[str, "os.PathLike[str]"]
Summary = Dict[str, Any]

JOURNAL = "events.db"
# What a run writes, and what `overwrite` removes: names, and beginnings of names.
FILES = (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", "summary.json", "report.html")
FILES += ("status.json", "outbox.db", "outbox.db-wal", "outbox.db-shm")
ROWS = ("tracks", "detections")
CLIPS = ("*.mp4", "*.avi", "clips.db*")


def read_events(
    folder: PathLike, kind: Optional[str] = None, camera: Optional[str] = None
) -> Iterator[Event]:
    """The journalled events of a run folder, in order, also while it is being written.

    Args:
        folder: The run folder.
        kind: Only events of this kind, e.g. `crossing`.
        camera: Only events of this camera.

    Raises:
        StorageError: There is no journal, or it cannot be read.
    """
    with Journal(Path(folder) / JOURNAL, readonly=True) as journal:
        yield from journal.events(camera, kind)


def parse_size(text: str) -> Tuple[int, int]:
    """`768x576` as `(768, 576)`.

    Raises:
        UsageError: The text is no size.
    """
    width, _, height = text.lower().partition("x")
    if width.isdigit() and height.isdigit() and 0 < int(width) < 1e5 and 0 < int(height) < 1e5:
        return int(width), int(height)
    raise UsageError("--size is wrong", got=repr(text), expected="WIDTHxHEIGHT, e.g. 768x576")


def refuse_finished(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds a finished run, before anything heavy is loaded.

    Raises:
        UsageError: It holds one, and `overwrite` is not set.
        StorageError: Its journal cannot be read.
    """
    if overwrite or not (folder / JOURNAL).exists():
        return
    with Journal(folder / JOURNAL, readonly=True) as journal:
        if journal.get("ended") == "end":
            raise UsageError(
                f"{folder} holds a finished run",
                remedy="give --overwrite to start anew, or another --out",
            )


def known_sizes(folder: Path) -> Dict[str, Tuple[int, int]]:
    """`(width, height)` of each camera's frames in the run that a folder holds; empty without."""
    if not (folder / JOURNAL).exists():
        return {}
    with Journal(folder / JOURNAL, readonly=True) as journal:
        shapes = journal.get("shapes") or {}
    return {name: (int(s["size"][0]), int(s["size"][1])) for name, s in shapes.items()}


def open_journal(folder: Path, identity: Mapping[str, Any], overwrite: bool) -> Journal:
    """The journal of a new run, or of one that was cut off and is gone on with.

    Args:
        folder: The run folder; made if it is not there.
        identity: What both runs must have in common.
        overwrite: Remove what an earlier run wrote.

    Raises:
        UsageError: The run that was cut off was another one.
        StorageError: The folder cannot be written, or another run writes to it.
    """
    if overwrite and folder.is_dir():
        Journal(folder / JOURNAL).close()  # raises while another run writes here
        _remove(folder)
    journal = Journal(folder / JOURNAL)
    try:
        known = journal.get("identity")
        # As JSON gives it back: tuples are lists there.
        if known is not None and known != json.loads(json.dumps(identity)):
            raise UsageError(
                f"{folder} holds a run of another config, model or source that was cut off",
                remedy="give --overwrite to start anew, or another --out",
            )
        journal.set("identity", identity)
    except BaseException:
        journal.close()
        raise
    return journal


def _remove(folder: Path) -> None:
    """Remove what a run wrote, and nothing else."""
    rows = [p.name for stem in ROWS for p in folder.glob(f"{stem}*.txt*")]
    rows += [f"rejects/{p.name}" for p in (folder / "rejects").glob("*.jpg")]
    clips = [f"clips/{p.name}" for kind in CLIPS for p in (folder / "clips").glob(kind)]
    for name in (*FILES, *rows, *clips):
        try:
            (folder / name).unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(f"{folder / name} cannot be removed", got=error.strerror) from None


def write_summary(
    folder: Path,
    pipelines: Mapping[str, Any],
    stats: RunStats,
    journal: Journal,
    facts: Mapping[str, Any],
) -> Summary:
    """Sum up the journal and write `summary.json`.

    Args:
        folder: The run folder.
        pipelines: By camera; each sums up its own events.
        stats: How the run went.
        journal: The events.
        facts: What was run: model, source, settings.

    Returns:
        What the file holds. With several cameras each has its part under `cameras`, and the sums
        stand on top.
    """
    parts = {}
    for name, made in pipelines.items():
        parts[name] = made.summarise(journal.events(name))
        gaps = summarise_gaps(journal.events(name, "gap"))
        if gaps["count"]:
            parts[name]["gaps"] = gaps
    summary: Summary = stats.summary()
    if len(parts) == 1:
        summary.update(next(iter(parts.values())))
    else:
        summary.update(totals(list(parts.values())))
        gaps = [part["gaps"] for part in parts.values() if "gaps" in part]
        if gaps:
            summary["gaps"] = all_gaps(gaps)
        summary["cameras"] = {
            name: {**part, **stats.cameras[name].summary()} for name, part in parts.items()
        }
    summary["interrupted"] = stats.ended != "end"
    summary["run"] = dict(facts)
    write_whole(folder / "summary.json", (json.dumps(summary, indent=1) + "\n").encode("utf-8"))
    return summary


def totals(parts: Sequence[Mapping[str, Any]]) -> Dict[str, int]:
    """Sums over cameras: every count they tell, `in` and `out` over their lines, `entries`."""
    sums: Dict[str, int] = {}

    def add(name: str, value: int) -> None:
        sums[name] = sums.get(name, 0) + value

    for part in parts:
        for name, value in part.items():
            if isinstance(value, int) and not isinstance(value, bool):
                add(name, value)
        for count in part.get("lines", {}).values():
            for way in ("in", "out"):
                add(way, count[way])
        for zone in part.get("zones", {}).values():
            add("entries", zone["entries"])
    return sums
