"""What the commands that make a run folder share: the option, the closing lines."""

import json
from pathlib import Path
from typing import Any, Dict

import click

from ..core import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

out_option = click.option(
    "--out", metavar="DIR", help="Folder of the run [default: runs/<name of the config>]."
)


def parse_duration(text: str) -> float:
    """`90`, `90s`, `10m`, `1.5h` or `2d` as seconds.

    Raises:
        UsageError: The text is no time above 0.
    """
    number, unit = text.strip(), 1.0
    if number[-1:] in _UNITS:
        number, unit = number[:-1], _UNITS[number[-1:]]
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise UsageError("a time is wrong", got=repr(text), expected="e.g. 90s, 10m, 2h or 1d")
    return seconds


def finish(summary: Dict[str, Any], folder: Path, as_json: bool) -> None:
    """Write the report and print how the run ended."""
    from ..dashboard import write_report

    report = write_report(folder)
    if as_json:
        click.echo(json.dumps({**summary, "report": str(report)}))
        return
    for line in describe(summary):
        click.echo(line)
    click.echo(f"report  {report}")


def describe(summary: Dict[str, Any]):
    """The counts of a summary as lines of text."""
    yield f"frames  {summary['frames']} in {summary['duration_s']:.1f} s of video"
    cameras = summary.get("cameras")
    for name, part in cameras.items() if cameras else [("", summary)]:
        indent = ""
        if name:
            yield name
            indent = "  "
        for line, count in part.get("lines", {}).items():
            yield f"{indent}line    {line}: {count['in']} in, {count['out']} out"
        for zone, facts in part.get("zones", {}).items():
            dwell = facts.get("dwell_mean_s")
            stay = f", {dwell:.1f} s on average" if dwell else ""
            entries, most = facts["entries"], facts.get("occupancy_max", 0)
            yield f"{indent}zone    {zone}: {entries} entries{stay}, at most {most} at once"
        if "visitors" in part:
            yield f"{indent}people  {part['visitors']}"
        if "inspected" in part:
            share = "" if part["yield"] is None else f", yield {part['yield']:.1%}"
            yield (
                f"{indent}parts   {part['inspected']}: {part['passed']} pass, {part['failed']} "
                f"fail, {part['unsure']} unsure{share}"
            )
            for reason, count in list(part["reasons"].items())[:8]:
                yield f"{indent}reason  {reason}: {count}"
        for kind, count in part.get("objects", {}).items():
            yield f"{indent}object  {kind}: {count}"
    for warning in summary.get("warnings", []):
        yield f"warning {warning}"
