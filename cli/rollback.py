"""`edgelane rollback`: the last good release runs again."""

import json
from pathlib import Path
from typing import Optional

import click


@click.command("rollback")
@click.option("--root", default="/", show_default=True, metavar="DIR", help="The device's root.")
@click.option("--to", metavar="RELEASE", help="A version or id [default: the last good one].")
@click.option("--list", "listed", is_flag=True, help="List the releases, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what runs now as JSON.")
def command(root: str, to: Optional[str], listed: bool, as_json: bool) -> None:
    """Let the last good release run again; the journal and the secrets stay as they are."""
    from ..deploy import Layout, rollback, this_service

    if listed:
        releases = Layout(root).describe()
        if as_json:
            click.echo(json.dumps(releases))
            return
        for release in releases:
            mark = "runs" if release["running"] else "good" if release["good"] else ""
            click.echo(f"{mark:<6}{release['id']}")
        return
    done = rollback(root, to)
    this_service(Path(root)).restart()
    if as_json:
        click.echo(json.dumps(done._asdict()))
        return
    click.echo(f"release  {done.release} runs now")
    click.echo(f"before   {done.before}")
