"""What the commands that make a run folder share: the option, the closing lines."""

import json
from pathlib import Path
from typing import Any, Dict

import click

out_option = click.option(
    "--out", metavar="DIR", help="Folder of the run [default: runs/<name of the config>]."
)


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
        for kind, count in part.get("objects", {}).items():
            yield f"{indent}object  {kind}: {count}"
    for warning in summary.get("warnings", []):
        yield f"warning {warning}"
