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
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(
    model: str,
    images: str,
    out: str,
    decoder: Optional[str],
    confidence: Optional[float],
    as_json: bool,
) -> None:
    """Draw what MODEL detects in pictures, and warn when its preprocessing looks wrong."""
    from ..runtime.modelcheck import check
    from ..runtime.progress import Progress
    from ..runtime.registry import resolve_model

    progress = Progress(unit="pictures")

    def tell(done: int, count: int) -> None:
        progress.update(done, done / count)

    report = check(
        resolve_model(model), images, out=out, decoder=decoder, confidence=confidence, progress=tell
    )
    progress.close()
    if as_json:
        click.echo(json.dumps(report))
        return
    click.echo(f"model     {report['model']} read as {report['decoder']}")
    click.echo(f"pictures  {report['images']}, with {report['detections']} detections, in {out}")
    for warning in report["warnings"]:
        click.echo(f"warning   {warning}")
