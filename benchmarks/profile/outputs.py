"""What a profile leaves behind: report.html, rows.csv, rows.json, front.png."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from ...core import MissingDependency
from ...runtime.files import write_whole
from .rows import STAGES

COLUMNS = (
    "kind", "model", "size", "precision", "backend", "device", "mode", "ms", "low_ms", "high_ms",
    "infer_ms", "fps", "metric", "accuracy", "agreement", "drop", "peak_mb", "file_mb", "watts",
    "energy_mj", "temperature_c", "load_ms", "rounds", "frames", "front", "energy_front",
)  # fmt: skip


def write_outputs(
    folder: Path,
    rows: List[Dict[str, Any]],
    answers: List[Dict[str, Any]],
    notes: Sequence[str],
    about: Dict[str, Any],
) -> Dict[str, Any]:
    """Write all files; each is whole or as it was.

    Returns:
        What `profile` returns.

    Raises:
        StorageError: One cannot be written. What was measured is in the journal.
    """
    from .page import render

    notes = list(notes)
    data = {"rows": rows, "answers": answers, "notes": notes, "about": about}
    write_whole(folder / "rows.json", (json.dumps(data, indent=1) + "\n").encode())
    write_whole(folder / "rows.csv", _csv(rows).encode())
    picture: Optional[bytes] = None
    try:
        from .picture import draw

        picture = draw(rows)
    except MissingDependency as error:
        notes.append(f"there is no picture: {error}")
    png = folder / "front.png"
    if picture is not None:
        write_whole(png, picture)
    report = folder / "report.html"
    write_whole(report, render(rows, answers, notes, about, picture).encode())
    return {
        **data,
        "report": str(report),
        "csv": str(folder / "rows.csv"),
        "json": str(folder / "rows.json"),
        "png": None if picture is None else str(png),
    }


def _csv(rows: Sequence[Dict[str, Any]]) -> str:
    """The rows as a table; stages as columns, one a percentile."""
    parts = ("p50", "p95", "p99", "of_median")
    columns = [*COLUMNS, *(f"{s}_{p}_ms" for s in STAGES for p in parts), "error", "notes"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = dict(row)
        flat["size"] = "x".join(map(str, row["size"])) if row.get("size") else ""
        flat["drop"] = (row.get("drop") or {}).get("value")
        flat["notes"] = "; ".join(row.get("notes") or [])
        for stage, values in (row.get("stages") or {}).items():
            flat.update({f"{stage}_{p}_ms": values.get(p) for p in parts})
        writer.writerow(flat)
    return text.getvalue()
