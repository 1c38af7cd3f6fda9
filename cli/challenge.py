"""`edgelane challenge`: known parts judged by a recipe, and whether they come out as known."""

import json
from pathlib import Path
from typing import Optional

import click


@click.command("challenge")
@click.argument("recipe")
@click.option(
    "--set", "place", metavar="DIR", help="Folders pass and fail of pictures [default: recipe's]."
)
@click.option("--out", metavar="DIR", help="Folder for a page, and a table as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(recipe: str, place: Optional[str], out: Optional[str], as_json: bool) -> None:
    """Judge the known parts of a challenge set by RECIPE; exit 1 if one comes out wrong.

    A recipe that names its set (`challenge: {set: DIR, shifts: ["06:00", "14:00"]}`) is challenged
    at the beginning of each run and shift as well, and the run's journal keeps it. The table of
    --out is one that `edgelane agreement` reads.
    """
    from ..runtime.inspect.recipe.config import load_recipe
    from .jobs.challenge import run_challenge
    from .jobs.studies import write_study

    result = run_challenge(recipe, place)
    told = result.as_dict()
    if out is not None:
        from ..dashboard.quality import challenge_section

        loaded = load_recipe(recipe)
        who = f"{loaded.name} v{loaded.settings.version}"
        section = challenge_section(result, who)
        told["report"] = str(write_study(Path(out), "challenge", f"{who}, challenged", told,
                                         [section]))  # fmt: skip
    if as_json:
        click.echo(json.dumps(told))
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
        if out is not None:
            click.echo(f"report   {told['report']}")
    if not result.passed:
        click.get_current_context().exit(1)
