"""`edgelane challenge`: known parts judged by a recipe, and whether they come out as known."""

import json
from typing import Optional

import click


@click.command("challenge")
@click.argument("recipe")
@click.option(
    "--set", "place", metavar="DIR", help="Folders pass and fail of pictures [default: recipe's]."
)
@click.option("--csv", "table", metavar="FILE", help="Verdicts as a table for edgelane agreement.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(recipe: str, place: Optional[str], table: Optional[str], as_json: bool) -> None:
    """Judge the known parts of a challenge set by RECIPE; exit 1 if one comes out wrong.

    A recipe that names its set (`challenge: {set: DIR, shifts: ["06:00", "14:00"]}`) is challenged
    at the beginning of each run and shift as well, and the run's journal keeps it.
    """
    from .jobs.challenge import run_challenge, write_verdicts

    result = run_challenge(recipe, place)
    if table is not None:
        write_verdicts(recipe, result, table)
    if as_json:
        click.echo(json.dumps(result.as_dict()))
    else:
        for wrong in result.wrong:
            click.echo(f"wrong    {wrong.text} ({wrong.kind})")
        for name, rate in (("misses", result.miss), ("false alarms", result.false_alarm)):
            low, high = rate.exact or (0.0, 1.0)
            span = f"95 %: {low:.0%} to {high:.0%}"
            click.echo(f"{name:<14}{rate.count} of {rate.total} ({span})")
        right = result.parts - len(result.wrong)
        state = "passed" if result.passed else "failed"
        click.echo(f"{state}   {right} of {result.parts} parts came out as known")
    if not result.passed:
        click.get_current_context().exit(1)
