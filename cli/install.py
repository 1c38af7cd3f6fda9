"""`edgelane install`: a bundle becomes the release that runs, or nothing changes."""

import json
from pathlib import Path
from typing import Optional

import click


@click.command("install")
@click.argument("bundle")
@click.option("--root", default="/", show_default=True, metavar="DIR", help="The device's root.")
@click.option("--signature", metavar="FILE", help="Its .minisig file [default: beside it].")
@click.option("--downgrade", is_flag=True, help="Take an older version than the one that runs.")
@click.option("--ignore-expiry", is_flag=True, help="Take it whatever the clock says.")
@click.option("--device", metavar="NAME", help="What the machine is, where it cannot tell.")
@click.option(
    "--probation",
    metavar="TIME",
    help="Watch it for so long, e.g. 10m, and go back if it does worse; 0 for not at all "
    "[default: 10m where systemd runs it].",
)
@click.option("--no-engine", is_flag=True, help="Build no engine; the CPU serves.")
@click.option("--no-cameras", is_flag=True, help="Do not look at the cameras before the switch.")
@click.option("--keep", default=3, show_default=True, help="How many releases to keep.")
@click.option("--json", "as_json", is_flag=True, help="Print what runs now as JSON.")
def command(
    bundle: str,
    root: str,
    signature: Optional[str],
    downgrade: bool,
    ignore_expiry: bool,
    device: Optional[str],
    probation: Optional[str],
    no_engine: bool,
    no_cameras: bool,
    keep: int,
    as_json: bool,
) -> None:
    """Verify BUNDLE, put it beside what runs, let it prove itself, and switch to it.

    Its engines are built, its golden clip is replayed, its cameras are looked at. With a folder as
    --root, which has no cameras, the last is left out.

    A bundle that is not signed by a trusted key, that is older, expired or meant for another
    device is refused before anything is touched.
    """
    from ..deploy import CAMERAS_S, install, this_service
    from .output import parse_duration

    seconds: Optional[float] = None
    if probation is not None:
        seconds = None if probation.strip() == "0" else parse_duration(probation)
    elif this_service(Path(root)).there:
        seconds = 600.0
    done = install(
        bundle,
        root,
        signature=signature,
        downgrade=downgrade,
        ignore_expiry=ignore_expiry,
        device=device,
        engines=not no_engine,
        cameras_s=0.0 if no_cameras or root != "/" else CAMERAS_S,
        probation_s=seconds,
        keep=keep,
        say=lambda line: click.echo(line, err=True),
    )
    if as_json:
        tested = done.tested._asdict() if done.tested else None
        click.echo(json.dumps({**done._asdict(), "tested": tested}))
        return
    if done.unchanged:
        click.echo(f"release  {done.release} runs already")
        return
    if done.repaired:
        click.echo(f"release  {done.release} runs already; put back {', '.join(done.repaired)}")
        return
    assert done.tested is not None
    told = f"{done.tested.events} events as they must be"
    if done.tested.answers:
        told = f"{done.tested.answers} verdicts as they must be, {done.tested.latency_ms:.1f} ms"
    elif done.tested.latency_ms is not None:
        told += f", {done.tested.detections} detections within tolerance"
        told += f", {done.tested.latency_ms:.1f} ms a frame"
    for engine in done.engines:
        how = f"built in {engine['seconds']:.0f} s" if engine["fresh"] else "built before"
        click.echo(f"engine   {engine['model']} as {engine['precision']}, {how}")
    click.echo(f"golden   {told}")
    for name, fps in done.cameras.items():
        click.echo(f"camera   {name}: {fps:.1f} frames a second")
    click.echo(f"release  {done.release} runs now")
    if done.before:
        click.echo(f"before   {done.before}; edgelane rollback brings it back")
    if done.probation_s is not None:
        click.echo(f"watched  for {done.probation_s:.0f} s; it goes back if it does worse")
    for warning in done.warnings:
        click.echo(f"warning  {warning}")
    for name in done.pruned:
        click.echo(f"removed  {name}")
