"""`edgelane start`: the release that runs on this device, as its service starts it."""

import os
import time

import click


@click.command("start")
@click.option("--root", default="/", show_default=True, metavar="DIR", help="The device's root.")
def command(root: str) -> None:
    """Run the release that is installed on this device.

    Its journal lies outside of it, in var/lib/edgelane/runs, and is gone on with after every start.
    """
    from ..deploy import prepare_start
    from .jobs import run
    from .output import finish

    begun = prepare_start(root)
    for name, place in begun.places.items():
        os.environ.setdefault(name, place)
    if begun.wait_s:
        click.echo(f"it has ended several times of late: waiting {begun.wait_s:.0f} s", err=True)
        time.sleep(begun.wait_s)
    summary, folder = run(begun.config, out=begun.out)
    finish(summary, folder, False)
