"""`edgelane doctor`: what this machine is."""

import json

import click


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """What this machine is, what it lacks, what to do about it.

    Exits 1 when `edgelane run` cannot work here.
    """
    from ..runtime.doctor import examine

    report = examine()
    if as_json:
        click.echo(json.dumps(report, indent=1))
    else:
        for name, value in report["machine"].items():
            click.echo(f"{name:<12} {value}")
        click.echo()
        for name, value in report["libraries"].items():
            click.echo(f"{name:<12} {value or 'missing'}")
        click.echo()
        for finding in report["findings"]:
            click.echo(f"{finding['level']}: {finding['what']}")
            click.echo(f"  → {finding['remedy']}")
        click.echo("ready to run" if report["ready"] else "not ready to run")
    if not report["ready"]:
        ctx.exit(1)
