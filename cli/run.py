"""`edgelane run`: a pipeline on cameras or files."""

from typing import Optional

import click

from .output import finish, out_option


@click.command("run")
@click.argument("config")
@click.option("--source", metavar="URI", help="Instead of the config's source (one camera).")
@click.option("--model", metavar="PATH", help="Instead of the config's model.")
@click.option("--decoder", metavar="NAME", help="How the model's output is read.")
@out_option
@click.option("--video", metavar="FILE", help="Write the annotated video, e.g. out.mp4.")
@click.option("--show", is_flag=True, help="Open a window with the annotated video.")
@click.option("--tracks", is_flag=True, help="Write tracks.txt (MOTChallenge rows).")
@click.option("--detections", is_flag=True, help="Record detections.txt, for edgelane replay.")
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds a run.")
@click.option(
    "--health",
    metavar="ADDRESS",
    is_flag=False,
    flag_value="127.0.0.1:9100",
    help="Serve /health and /metrics, at 127.0.0.1:9100 unless given; port 0: a free one.",
)
@click.option("--log", metavar="FORMAT", help="Log as text or json (one object a line).")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    config: str,
    source: Optional[str],
    model: Optional[str],
    decoder: Optional[str],
    out: Optional[str],
    video: Optional[str],
    show: bool,
    tracks: bool,
    detections: bool,
    overwrite: bool,
    health: Optional[str],
    log: Optional[str],
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the pipeline of CONFIG and write summary.json, events.db and report.html.

    A run that was cut off goes on where it was when the same command is given again.
    """
    from .jobs import run

    summary, folder = run(
        config,
        source=source,
        model=model,
        decoder=decoder,
        out=out,
        video=video,
        show=show,
        tracks=tracks,
        detections=detections,
        overwrite=overwrite,
        progress=not quiet,
        health=health,
        log=log,
    )
    finish(summary, folder, as_json)
