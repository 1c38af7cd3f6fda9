"""`edgelane calibrate`: a float model to INT8, as Q/DQ ONNX and as calibration cache."""

import json
from typing import List, Optional, Tuple

import click


@click.command("calibrate")
@click.argument("model")
@click.option(
    "--images", required=True, metavar="DIR|VIDEO", help="What the model will see; any source."
)
@click.option("--out", required=True, metavar="FILE", help="The Q/DQ ONNX to write.")
@click.option("--cache", metavar="FILE", help="TensorRT's calibration cache to write as well.")
@click.option(
    "--float-model",
    metavar="FILE",
    help="The float ONNX that the cache is for [default: NAME.float.onnx beside --out, with "
    "--cache and where the graph was rewritten].",
)
@click.option(
    "--method",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, minmax, percentile[:99.99], entropy or mse.",
)
@click.option("--count", type=int, metavar="N", help="Pictures at most [default: 128].")
@click.option("--labels", metavar="DIR", help="Where people stand, for a net that poses crops.")
@click.option(
    "--for", "target", default="trt", show_default=True, metavar="trt|cpu", help="What runs it."
)
@click.option(
    "--float", "floats", multiple=True, metavar="NODES", help="Nodes to keep in float, by commas."
)
@click.option(
    "--tensorrt",
    default="8.5.1",
    show_default=True,
    metavar="VERSION",
    help="Version in the cache's first line.",
)
@click.option("--decoder", metavar="NAME", help="How the model's output is read.")
@click.option("--statistics", metavar="DIR", help="Where to keep what was seen, for a next run.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(
    model: str,
    images: str,
    out: str,
    cache: Optional[str],
    float_model: Optional[str],
    method: str,
    count: Optional[int],
    labels: Optional[str],
    target: str,
    floats: tuple,
    tensorrt: str,
    decoder: Optional[str],
    statistics: Optional[str],
    as_json: bool,
) -> None:
    """Quantise MODEL to INT8 with pictures of what it will see.

    One calibration writes the Q/DQ ONNX, which says itself what is INT8, and, with --cache, the
    calibration cache for implicit INT8 (TensorRT up to 10, and DLAs).
    """
    from ..calibration.calibrate import calibrate
    from ..calibration.frames import COUNT
    from ..runtime.progress import Progress
    from ..runtime.registry import resolve_model

    shown: List[Tuple[str, int, Progress]] = []

    def tell(what: str, done: int, of: Optional[int]) -> None:
        # Each way through the pictures has a line of its own.
        if not shown or shown[-1][0] != what or done < shown[-1][1]:
            close()
            shown.append((what, done, Progress(what, unit="pictures")))
        line = shown[-1][2]
        shown[-1] = (what, done, line)
        line.update(done, done / of if of else None)

    def close() -> None:
        if shown:
            shown.pop()[2].close()

    try:
        report = calibrate(
            resolve_model(model),
            images,
            out,
            cache,
            float_model=float_model,
            method=method,
            count=COUNT if count is None else count,
            labels=labels,
            target=target,
            float_nodes=[n.strip() for text in floats for n in text.split(",") if n.strip()],
            tensorrt=tensorrt,
            decoder=decoder,
            statistics=statistics,
            progress=tell,
        )
    finally:
        close()
    if as_json:
        click.echo(json.dumps(report))
        return
    share = report["notes"].get("int8_share")
    inside = "" if share is None else f", {100 * share:.1f} % of the multiply-adds in INT8"
    click.echo(f"model     {report['out']}{inside}")
    if report["cache"]:
        click.echo(f"cache     {report['cache']}, {report['activations']} tensors")
    if report["float_model"]:
        click.echo(f"float     {report['float_model']}, the graph that the cache is for")
    kept = ", statistics of an earlier run" if report["reused"] else ""
    click.echo(f"pictures  {report['images']}{kept}")
    for warning in report["warnings"]:
        click.echo(f"warning   {warning}")
