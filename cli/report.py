"""`edgelane report`: the report of a run, written anew."""

from pathlib import Path
from typing import Optional

import click


@click.command("report")
@click.argument("folder")
@click.option(
    "--tables", metavar="DIR", help="Also write an inspection's tables as CSV: parts, charts."
)
def command(folder: str, tables: Optional[str]) -> None:
    """Write report.html in the run folder FOLDER, also while the run goes on."""
    from ..dashboard import write_report

    click.echo(f"report  {write_report(folder)}")
    if tables is not None:
        from ..dashboard.inspection import write_tables

        for path in write_tables(Path(folder), Path(tables)):
            click.echo(f"table   {path}")
