"""`edgelane probation`: a new release is watched, and taken back if it does worse."""

from typing import Optional

import click


@click.command("probation")
@click.option("--root", default="/", show_default=True, metavar="DIR", help="The device's root.")
@click.option(
    "--for", "duration", metavar="TIME", help="How long, e.g. 10m [default: as installed]."
)
def command(root: str, duration: Optional[str]) -> None:
    """Watch the release that was installed last, and go back if it crashes, stalls or slows down.

    Where none is watched, this ends at once.
    """
    from ..deploy import watch_release
    from .output import parse_duration

    seconds = None if duration is None else parse_duration(duration)
    verdict = watch_release(root, seconds)
    if verdict.action == "back":
        click.echo(f"taken back: {verdict.reason}; the release before runs again")
    else:
        click.echo("the release that runs counts as good")
