"""`edgelane report`: the report of a run, written anew."""

import click


@click.command("report")
@click.argument("folder")
def command(folder: str) -> None:
    """Write report.html in the run folder FOLDER, also while the run goes on."""
    from ..dashboard import write_report

    click.echo(f"report  {write_report(folder)}")
