"""`edgelane inspect`: pictures of parts by a recipe, or against golden ones."""

import json
from typing import Optional

import click


@click.command("inspect")
@click.argument("images")
@click.option("--recipe", metavar="RECIPE", help="A taught recipe, from edgelane teach.")
@click.option("--golden", metavar="IMAGE|DIR", help="Good parts, paired by name.")
@click.option("--one-kind", is_flag=True, help="All golden pictures show good parts of one kind.")
@click.option("--out", metavar="DIR", help="For pictures with the defects drawn in.")
@click.option(
    "--area", type=click.FloatRange(min=0, min_open=True), metavar="PX", help="Smallest defect."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Difference that is allowed, as a share of the contrast.",
)
@click.option(
    "--slack", type=click.FloatRange(0, 20), metavar="PX", help="How far an edge may lie."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each part.")
def command(
    images: str,
    recipe: Optional[str],
    golden: Optional[str],
    one_kind: bool,
    out: Optional[str],
    area: Optional[float],
    tolerance: Optional[float],
    slack: Optional[float],
    as_json: bool,
) -> None:
    """Say pass, fail or unsure about each picture in IMAGES (a picture or a folder), and why.

    By a taught --recipe, or against --golden pictures.
    """
    from ..core import UsageError
    from ..runtime.inspect import GoldenSettings, inspect
    from ..runtime.progress import Progress

    if (recipe is None) == (golden is None):
        raise UsageError("inspect judges by a recipe or by golden pictures",
                         expected="either --recipe or --golden")  # fmt: skip
    given = {"area": area, "tolerance": tolerance, "slack": slack}
    own = {k: v for k, v in given.items() if v is not None}
    if recipe is not None and (own or one_kind):
        named = ", ".join("--" + k for k in own) or "--one-kind"
        raise UsageError(f"{named} is for golden pictures", remedy="a recipe tells it itself")
    settings = GoldenSettings(**own)  # type: ignore[arg-type]
    progress = Progress(unit="parts")

    def tell(done: int, count: int) -> None:
        if count > 1:
            progress.update(done, done / count)

    counts = {"pass": 0, "fail": 0, "unsure": 0}
    if recipe is not None:
        from ..runtime.inspect.judging.pictured import inspect_by_recipe

        parts = inspect_by_recipe(images, recipe, out, tell)
    else:
        parts = inspect(images, golden or "", one_kind, settings, out, tell)
    for part in parts:
        counts[part.verdict.verdict] += 1
        if as_json:
            click.echo(json.dumps(part.as_dict()))
            continue
        words = [f"{part.verdict.verdict:6}  {part.image}"]
        if len(part.xyxy) and not any(r.condition for r in part.verdict.told):
            words.append(f"{len(part.xyxy)} defect{'s' * (len(part.xyxy) > 1)}")
        words += part.verdict.why
        click.echo("  ".join(words))
    progress.close()
    if not as_json and sum(counts.values()) > 1:
        click.echo(", ".join(f"{count} {name}" for name, count in counts.items()))
