"""`edgelane wheels`: all wheels that a device needs, fetched at a desk."""

import json
from typing import Optional

import click


@click.command("wheels")
@click.argument("target")
@click.option("--out", required=True, metavar="DIR", help="The folder for them.")
@click.option(
    "--edgelane", metavar="WHL", help="edgelane itself [default: made from the checkout]."
)
@click.option("--json", "as_json", is_flag=True, help="Print their names and sizes as JSON.")
def command(target: str, out: str, edgelane: Optional[str], as_json: bool) -> None:
    """Fetch what TARGET needs to run edgelane without a network.

    TARGET is jetpack4, jetpack5, jetpack6, jetpack7, or a Python and machine like cp311-aarch64.
    """
    from ..deploy.wheels import fetch_wheels

    wheels = fetch_wheels(target, out, edgelane=edgelane)
    if as_json:
        sizes = {path.name: path.stat().st_size for path in wheels}
        click.echo(json.dumps({"target": target, "wheels": sizes}))
        return
    for path in wheels:
        click.echo(f"{path.stat().st_size / 1e6:7.1f} MB  {path.name}")
    total = sum(path.stat().st_size for path in wheels) / 1e6
    click.echo(f"{total:7.1f} MB in {len(wheels)} wheels for {target} in {out}")
