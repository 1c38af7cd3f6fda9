"""`edgelane totals`: counts by the hour or day, marked where they are a lower bound."""

import json
from datetime import datetime
from typing import Any, Dict, List, Optional

import click


@click.command("totals")
@click.argument("folder")
@click.option("--by", metavar="hour|day", default="hour", show_default=True, help="Row length.")
@click.option("--camera", metavar="NAME", help="Only this camera.")
@click.option("--timezone", metavar="NAME", help="E.g. Europe/Berlin, instead of the run's own.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, for a spreadsheet.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(
    folder: str,
    by: str,
    camera: Optional[str],
    timezone: Optional[str],
    as_csv: bool,
    as_json: bool,
) -> None:
    """Counts of the run in FOLDER by the hour or day, also while it goes on.

    Where pictures are missing, counts are a lower bound: marked with ≥, and how much is missing.
    """
    from .jobs.totals import totals, totals_csv

    told = totals(folder, by, timezone=timezone, camera=camera)
    if as_json:
        click.echo(json.dumps(told))
    elif as_csv:
        click.echo(totals_csv(told), nl=False)
    else:
        for line in describe(told):
            click.echo(line)


def describe(told: Dict[str, Any]):
    """Totals as lines of text: a table for each camera."""
    zone = told["timezone"] or "from the start of the recording"
    parts = [*told["cameras"].items()]
    if "all" in told:
        parts.append(("all cameras", told["all"]))
    for place, (name, part) in enumerate(parts):
        if place:
            yield ""
        yield f"{name} ({zone})"
        if not part["rows"]:
            yield "  nothing was seen"
            continue
        yield from table(told["by"], part["rows"], part["total"])


def table(by: str, rows: List[Dict[str, Any]], total: Dict[str, Any]):
    """Rows and their sum as aligned lines."""
    from .jobs.totals import columns

    both = [*rows, total]
    counted = columns(both)
    zones = {str(row["start"])[-6:] for row in rows}
    cells = [[by, *(name for name, _ in counted), ""]]
    for at, row in enumerate(both):
        least = "≥ " if row["lower_bound"] else ""
        blind = row["lower_bound"] and at < len(rows) and row["watched_s"] < 1.0
        when = "total" if at == len(rows) else _when(row["start"], by, len(zones) > 1)
        values = [_count(values[at], least, blind) for _, values in counted]
        cells.append([when, *values, _note(row, blind)])
    wide = [max(len(row[at]) for row in cells) for at in range(len(cells[0]) - 1)]
    for row in cells:
        first = row[0].ljust(wide[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:-1], wide[1:])]
        yield "  ".join(["", first, *rest, row[-1]]).rstrip()


def _count(value: int, least: str, blind: bool) -> str:
    return "–" if blind and not value else f"{least}{value}"


def _note(row: Dict[str, Any], blind: bool) -> str:
    if blind:
        return "no pictures"
    notes = [row["note"]] if row["note"] else []
    if row.get("partial") and isinstance(row["start"], str):
        notes.append(f"seen {row['seen_from'][11:16]}–{row['seen_until'][11:16]}")
    return "; ".join(notes)


def _when(start: Any, by: str, twice: bool) -> str:
    if not isinstance(start, str):
        hours, rest = divmod(int(start), 3600)
        return f"{hours}:{rest // 60:02d}"
    moment = datetime.fromisoformat(start)
    if by == "day":
        return moment.strftime("%a %d %b %Y")
    # Where clocks were set, an hour may come twice.
    return moment.strftime("%a %d %b %H:%M") + (f" {start[-6:]}" if twice else "")
