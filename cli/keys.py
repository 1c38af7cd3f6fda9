"""`edgelane keys`: who signs bundles, and whose bundles a device takes."""

import json
from typing import Tuple

import click

root_option = click.option(
    "--root", default="/", show_default=True, metavar="DIR", help="The device's root."
)


@click.group("keys")
def command() -> None:
    """Keys: make one, trust or revoke it on a device, list what is trusted.

    To rotate keys, sign a bundle with the old key and `edgelane bundle … --trust new.pub`; later
    sign with the new one and `--revoke` the old.
    """


@command.command("new")
@click.argument("file", metavar="NAME.key")
def new(file: str) -> None:
    """Make a key: NAME.key to sign with, to be kept secret, and NAME.pub for devices."""
    from ..deploy import new_key, write_key

    key = new_key()
    secret, public = write_key(file, key)
    click.echo(f"secret  {secret}: keep it away from devices and repositories")
    click.echo(f"public  {public}")
    click.echo(f"id      {key.public.id}")


@command.command("trust")
@click.argument("files", metavar="NAME.pub…", nargs=-1, required=True)
@root_option
def trust(files: Tuple[str, ...], root: str) -> None:
    """Take bundles that are signed by these keys."""
    from ..deploy import change_trust, read_public

    change_trust(root, trust=[read_public(file) for file in files])


@command.command("revoke")
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@root_option
def revoke(ids: Tuple[str, ...], root: str) -> None:
    """Never again take bundles that are signed by these keys."""
    from ..deploy import change_trust

    change_trust(root, revoke=ids)


@command.command("list")
@root_option
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def listed(root: str, as_json: bool) -> None:
    """List the keys that are trusted, and those that were revoked."""
    from ..deploy import read_trust

    found = read_trust(root)
    if as_json:
        click.echo(json.dumps({"keys": found.keys, "revoked": found.revoked}))
        return
    for key, text in found.keys.items():
        click.echo(f"trusted  {key}  {text}")
    for key in found.revoked:
        click.echo(f"revoked  {key}")
