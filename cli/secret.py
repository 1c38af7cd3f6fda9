"""`edgelane secret`: passwords of cameras, kept on the device and nowhere else."""

import sys
from pathlib import Path

import click


@click.group("secret")
def command() -> None:
    """Passwords that configs refer to by name, e.g. rtsp://viewer:secret:door@10.0.0.5/stream."""


@command.command("set")
@click.argument("name")
@click.option("--root", default="/", show_default=True, metavar="DIR", help="The device's root.")
def set_secret(name: str, root: str) -> None:
    """Set the secret NAME; it is asked for, or read from the standard input."""
    from ..runtime.secrets import FOLDER, check_secret_name, write_secret

    check_secret_name(name)
    if sys.stdin.isatty():
        value = click.prompt(name, hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.readline().rstrip("\r\n")
    path = write_secret(name, value, None if root == "/" else Path(root) / FOLDER.lstrip("/"))
    click.echo(f"secret  {path}")
