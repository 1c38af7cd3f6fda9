"""`edgelane selftest`: a release proves itself where it lies."""

import json
from pathlib import Path

import click


@click.command("selftest")
@click.argument("folder")
@click.option("--wanted", default="{}", metavar="JSON", help="Engines, cameras: see deploy.Wanted.")
def command(folder: str, wanted: str) -> None:
    """Build the engines of the release in FOLDER, replay its golden clip, look at its cameras.

    `edgelane install` calls this, with the edgelane that the release brings. The answer is JSON.
    """
    import msgspec

    from ..core import UsageError
    from ..deploy.proving import Wanted, prove

    try:
        asked = msgspec.json.decode(wanted.encode(), type=Wanted)
    except msgspec.DecodeError as error:
        raise UsageError("--wanted is wrong", got=str(error)) from None
    proof = prove(Path(folder), asked, lambda line: click.echo(line, err=True))
    tested = proof.tested._asdict()
    if not proof.tested.answers:
        del tested["answers"]  # an edgelane that installs counts may be older than these
    click.echo(json.dumps({**proof._asdict(), "tested": tested}))
