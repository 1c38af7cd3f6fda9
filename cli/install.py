"""`edgelane install`: a bundle becomes the release that runs, or nothing changes."""

import json
from typing import Optional

import click


@click.command("install")
@click.argument("bundle")
@click.option("--root", default="/", show_default=True, metavar="DIR", help="The device's root.")
@click.option("--signature", metavar="FILE", help="Its .minisig file [default: beside it].")
@click.option("--downgrade", is_flag=True, help="Take an older version than the one that runs.")
@click.option("--ignore-expiry", is_flag=True, help="Take it whatever the clock says.")
@click.option("--device", metavar="NAME", help="What the machine is, where it cannot tell.")
@click.option("--keep", default=3, show_default=True, help="How many releases to keep.")
@click.option("--json", "as_json", is_flag=True, help="Print what runs now as JSON.")
def command(
    bundle: str,
    root: str,
    signature: Optional[str],
    downgrade: bool,
    ignore_expiry: bool,
    device: Optional[str],
    keep: int,
    as_json: bool,
) -> None:
    """Verify BUNDLE, put it beside what runs, replay its golden clip, and switch to it.

    A bundle that is not signed by a trusted key, that is older, expired or meant for another
    device is refused before anything is touched.
    """
    from ..deploy import install

    done = install(
        bundle,
        root,
        signature=signature,
        downgrade=downgrade,
        ignore_expiry=ignore_expiry,
        device=device,
        keep=keep,
    )
    if as_json:
        tested = done.tested._asdict() if done.tested else None
        click.echo(json.dumps({**done._asdict(), "tested": tested}))
        return
    if done.unchanged:
        click.echo(f"release  {done.release} runs already")
        return
    assert done.tested is not None
    told = f"{done.tested.events} events as they must be"
    if done.tested.latency_ms is not None:
        told += f", {done.tested.detections} detections within tolerance"
        told += f", {done.tested.latency_ms:.1f} ms a frame"
    click.echo(f"golden   {told}")
    click.echo(f"release  {done.release} runs now")
    if done.before:
        click.echo(f"before   {done.before}; edgelane rollback brings it back")
    for name in done.pruned:
        click.echo(f"removed  {name}")
