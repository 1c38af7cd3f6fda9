"""`edgelane soak`: how a run takes faults."""

import json
from typing import Optional

import click


@click.command("soak")
@click.argument("config", required=False)
@click.option("--hours", type=float, help="How long [default: 1].")
@click.option("--minutes", type=float, help="The same in minutes.")
@click.option("--faults", default="all", show_default=True, help="Names with commas between.")
@click.option("--seed", default=0, show_default=True, help="Of order, lengths and places.")
@click.option("--clip", metavar="PATH", help="What the cameras show [default: a rendered store].")
@click.option("--model", metavar="PATH", help="Instead of the config's model.")
@click.option("--decoder", metavar="NAME", help="How the model's output is read.")
@click.option("--out", metavar="DIR", help="Folder of the run [default: runs/soak-<date>].")
@click.option("--list", "listed", is_flag=True, help="Name the faults, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="End with a line of JSON.")
def command(
    config: Optional[str],
    hours: Optional[float],
    minutes: Optional[float],
    faults: str,
    seed: int,
    clip: Optional[str],
    model: Optional[str],
    decoder: Optional[str],
    out: Optional[str],
    listed: bool,
    as_json: bool,
) -> int:
    """Run CONFIG against cameras that are killed, stopped, cut and changed, and judge it.

    Its own cameras are not touched: servers on this machine stand in for them. Its model, pipeline
    and shapes are run as `edgelane run` runs them. Exits 1 where a limit is passed.
    """
    from ..benchmarks.soak.faults import FAULTS
    from ..benchmarks.soak.run import soak
    from ..benchmarks.soak.verdict import describe

    if listed:
        for fault in FAULTS.values():
            click.echo(f"{fault.name:<16}{fault.does}")
        return 0
    if config is None:
        raise click.UsageError("which config? e.g. edgelane soak store.yaml")
    if hours is not None and minutes is not None:
        raise click.UsageError("give --hours or --minutes, not both")
    length = minutes / 60 if minutes is not None else 1.0 if hours is None else hours
    result = soak(
        config,
        hours=length,
        faults=faults,
        seed=seed,
        clip=clip,
        model=model,
        decoder=decoder,
        out=out,
        progress=True,
    )
    for line in describe(result):
        click.echo(line)
    if as_json:
        click.echo(json.dumps(result))
    return 0 if result["verdict"] == "pass" else 1
