"""`edgelane teach`: the next version of a recipe, from pictures of good parts."""

import json
from typing import Optional

import click


@click.command("teach")
@click.argument("recipe")
@click.option(
    "--good", required=True, metavar="DIR|SOURCE", help="Pictures of good parts, or a video."
)
@click.option("--bad", metavar="DIR|SOURCE", help="Bad parts; their masks in DIR/masks, if any.")
@click.option(
    "--masters", metavar="CSV", help="Parts of known size: image, gauge, value; pictures beside it."
)
@click.option(
    "--false-rejects",
    type=float,
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="Share of good parts that may be rejected.",
)
@click.option("--minutes", type=click.FloatRange(0.1, 120), help="Most for the learnt model.")
@click.option("--seed", type=int, default=0, help="Of what is drawn by chance.")
@click.option("--json", "as_json", is_flag=True, help="Print what was taught as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    recipe: str,
    good: str,
    bad: Optional[str],
    masters: Optional[str],
    false_rejects: float,
    minutes: Optional[float],
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Teach RECIPE by good parts; the next version is written beside it, with a page about it.

    Good parts must not differ more than good parts do: each picture of another one, in the light
    and with the camera that will inspect.
    """
    from ..runtime.progress import Progress
    from .teaching import teach

    progress = Progress(unit="steps")

    def tell(done: float, text: str) -> None:
        if not quiet:
            progress.update(int(1000 * done), done)

    try:
        lesson = teach(
            recipe, good, bad, false_rejects=false_rejects, minutes=minutes, seed=seed,
            masters=masters, progress=tell,
        )  # fmt: skip
    finally:
        progress.close()
    if as_json:
        click.echo(json.dumps(lesson.as_dict()))
        return
    click.echo(f"good     {lesson.good} parts")
    against = "bad parts" if lesson.bad else "drawn flaws"
    for k, one in enumerate(lesson.surface):
        if one.skipped:
            click.echo(f"{one.name:8} left out: {one.skipped}")
            continue
        kept = ", kept" if k == 0 and len(lesson.surface) > 1 else ""
        click.echo(
            f"{one.name:8} stops {one.caught:.0%} of {len(one.bad)} {against}, "
            f"AUROC {one.auroc:.3f}{kept}"
        )
    for name, threshold in lesson.thresholds.items():
        click.echo(
            f"limit    {name}: {threshold.value:.4g}, {threshold.above} of {threshold.parts} "
            f"good parts above it"
        )
    for name, told in lesson.masters.items():
        click.echo(f"master   {name}: {told['offset']:+.4g}, known to {told['doubt']:.3g} (95 %)")
    for text in lesson.warnings:
        click.echo(f"warning  {text}")
    click.echo(f"recipe   {lesson.recipe}")
    click.echo(f"report   {lesson.report}")
