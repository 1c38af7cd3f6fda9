"""`edgelane calibrate-camera`: pixels to millimetres, from pictures of a printed board."""

import json
from typing import Optional

import click


@click.command("calibrate-camera")
@click.argument("images")
@click.option("--board", "kind", default="chessboard", show_default=True, metavar="KIND",
              help="chessboard or charuco.")  # fmt: skip
@click.option("--squares", required=True, metavar="CxR", help="Squares across and down, as 10x7.")
@click.option("--square", required=True, type=float, metavar="MM", help="Side of a square.")
@click.option("--marker", type=float, metavar="MM", help="Side of a marker [default: 0.75 square].")
@click.option("--dictionary", default="4X4_50", show_default=True, help="Markers of a ChArUco.")
@click.option("--plane", metavar="IMAGE", help="The board where parts will lie [default: last].")
@click.option("--out", default="camera.json", show_default=True, metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    images: str,
    kind: str,
    squares: str,
    square: float,
    marker: Optional[float],
    dictionary: str,
    plane: Optional[str],
    out: str,
    as_json: bool,
) -> None:
    """Calibrate a camera from IMAGES, a folder of pictures of a printed board."""
    from ..core import UsageError
    from ..runtime.inspect.gauges.camera import Board, calibrate_camera

    columns, _, rows = squares.lower().partition("x")
    if not (columns.isdigit() and rows.isdigit()):
        raise UsageError("--squares is columns x rows", got=squares, expected="such as 10x7")
    board = Board(kind, int(columns), int(rows), square, marker, dictionary)
    camera = calibrate_camera(images, board, plane)
    camera.save(out)
    middle = (camera.size[0] / 2, camera.size[1] / 2)
    facts = {
        "camera": out,
        "views": camera.views,
        "rms_px": round(camera.rms, 4),
        "mm_per_pixel": round(camera.mm_per_pixel(middle), 6),
        "scale_uncertainty": round(camera.scale_uncertainty, 7),
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"views   {camera.views} with the board, corners miss by {camera.rms:.3f} px")
    click.echo(
        f"plane   {facts['mm_per_pixel']:.4f} mm a pixel in the middle, lengths within "
        f"{100 * camera.scale_uncertainty:.3f} %"
    )
    click.echo(f"camera  {out}")
