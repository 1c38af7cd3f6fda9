"""`edgelane demo`: the main job on what ships in the package."""

import json
from typing import Optional

import click


@click.command("demo")
@click.option("--seed", default=1, show_default=True, help="Another store, with other people.")
@click.option("--seconds", default=60.0, show_default=True, help="The store's time to count.")
@click.option("--people", default=8, show_default=True, help="About how many at a time.")
@click.option("--room", default="wide", show_default=True, help="Or narrow: much is hidden there.")
@click.option("--out", default="runs/demo", show_default=True, metavar="DIR", help="The folder.")
@click.option("--video", metavar="FILE", help="Write the annotated video, e.g. demo.mp4.")
@click.option("--open", "show", is_flag=True, help="Open the report in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print counts and truth as JSON.")
def command(
    seed: int,
    seconds: float,
    people: int,
    room: str,
    out: str,
    video: Optional[str],
    show: bool,
    as_json: bool,
) -> None:
    """Count the people of a rendered store, whose truth is known, and write the report.

    Needs no camera, model or network: the store is drawn as fast as it is counted, and the
    detector ships in the package.
    """
    from ..dashboard import write_report
    from .jobs import demo

    result, folder = demo(
        seed=seed, seconds=seconds, people=people, room=room, out=out, video=video, progress=True
    )
    report = write_report(folder)
    if as_json:
        click.echo(json.dumps({**result, "report": str(report)}))
    else:
        rows = [
            (f"{line}, {way}", result["counted"][line][way], count)
            for line, ways in result["truth"].items()
            for way, count in ways.items()
        ]
        rows += [
            (f"{zone}, visits", z["counted"], z["truth"]) for zone, z in result["zones"].items()
        ]
        rows.append(("people", result["visitors"]["counted"], result["visitors"]["truth"]))
        width = max(len(name) for name, _, _ in rows)
        click.echo(f"{'':<{width}}  counted  truth")
        for name, counted, truth in rows:
            click.echo(f"{name:<{width}}  {counted:>7}  {truth:>5}")
        click.echo(f"\n{result['errors']} of {result['crossings']} crossings wrong")
        click.echo(f"report  {report}")
        click.echo("next    edgelane demo --seed 2 --video demo.mp4")
        click.echo("        edgelane run store.yaml, with your own video: see the README")
    if show:
        click.launch(str(report.resolve()))
