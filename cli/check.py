"""`edgelane check`: does this model see what it should."""

import json
from typing import Optional

import click


@click.command("check")
@click.argument("model")
@click.option("--images", required=True, metavar="DIR", help="Folder of pictures to look at.")
@click.option("--out", default="check", show_default=True, metavar="DIR", help="For the pictures.")
@click.option("--decoder", metavar="NAME", help="How the model's output is read.")
@click.option("--confidence", type=float, help="Score below which a detection is dropped.")
@click.option("--task", metavar="NAME", help="detect or classify, if the model does not say.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(
    model: str,
    images: str,
    out: str,
    decoder: Optional[str],
    confidence: Optional[float],
    task: Optional[str],
    as_json: bool,
) -> None:
    """Draw what MODEL sees in pictures, and warn when its preprocessing looks wrong."""
    from ..core import UsageError
    from ..runtime.modelcheck import check, task_of
    from ..runtime.progress import Progress
    from ..runtime.registry import resolve_model

    progress = Progress(unit="pictures")

    def tell(done: int, count: int) -> None:
        progress.update(done, done / count)

    path = resolve_model(model)
    options = {"decoder": decoder, "confidence": confidence}
    task = task or task_of(path)
    if task == "classify" and options.pop("confidence") is not None:
        raise UsageError(
            "--confidence means nothing to a classifier", remedy="leave --confidence out"
        )
    report = check(path, images, out=out, task=task, progress=tell, **options)
    progress.close()
    if as_json:
        click.echo(json.dumps(report))
        return
    click.echo(f"model     {report['model']} read as {report['decoder']}")
    if task == "classify":
        shown = ", ".join(f"{n} {name}" for name, n in list(report["classes"].items())[:8])
        click.echo(f"pictures  {report['images']}: {shown}, in {out}")
        maps = "in the pictures" if report["map"] is None else f"none, for {report['map']}"
        click.echo(f"maps      {maps}")
    else:
        count = report["detections"]
        click.echo(f"pictures  {report['images']}, with {count} detections, in {out}")
    for warning in report["warnings"]:
        click.echo(f"warning   {warning}")
