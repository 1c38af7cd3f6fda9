"""`edgelane replay`: the same pipeline on recorded detections."""

from typing import Optional

import click

from .output import finish, out_option


@click.command("replay")
@click.argument("config")
@click.option(
    "--detections", required=True, metavar="FILE", help="MOTChallenge rows: frame,id,x,y,w,h,score."
)
@click.option("--fps", required=True, type=float, help="Frames a second of the recording.")
@click.option("--size", metavar="WxH", help="Size of the pictures, e.g. 768x576.")
@out_option
@click.option("--tracks", is_flag=True, help="Write tracks.txt (MOTChallenge rows).")
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds a run.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    config: str,
    detections: str,
    fps: float,
    size: Optional[str],
    out: Optional[str],
    tracks: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """What a count would have been with another line: CONFIG on recorded detections.

    Needs neither camera nor model. Rows with an id above 0 are tracks already.
    """
    from .jobs import parse_size, replay

    summary, folder = replay(
        config,
        detections,
        fps=fps,
        size=None if size is None else parse_size(size),
        out=out,
        tracks=tracks,
        overwrite=overwrite,
        progress=not quiet,
    )
    finish(summary, folder, as_json)
