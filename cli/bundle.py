"""`edgelane bundle`: a config with everything it needs, in one signed file."""

import json
from collections import Counter
from typing import Dict, Optional, Tuple

import click


@click.command("bundle")
@click.argument("config")
@click.option("--out", required=True, metavar="FILE", help="NAME-VERSION.edgelane to write.")
@click.option(
    "--key",
    required=True,
    metavar="FILE",
    envvar="EDGELANE_KEY",
    help="The secret key that signs [or EDGELANE_KEY].",
)
@click.option("--name", help="Of the application [default: from --out].")
@click.option("--version", type=int, help="Goes up with every bundle [default: from --out].")
@click.option("--model", metavar="PATH", help="Instead of the config's model.")
@click.option("--variant", multiple=True, metavar="ONNX", help="A further model to carry.")
@click.option("--calibration", metavar="FILE", help="TensorRT calibration cache of the model.")
@click.option("--device", multiple=True, metavar="NAME", help="Whom it is for [default: any].")
@click.option("--expires", metavar="DAY", help="Last day to install it, YYYY-MM-DD in UTC.")
@click.option(
    "--golden",
    multiple=True,
    metavar="[CAMERA=]FILE",
    help="Recorded detections [default: people are made up].",
)
@click.option("--fps", type=float, help="Frames a second of the recorded detections.")
@click.option("--size", metavar="WxH", help="Size of their pictures.")
@click.option(
    "--frames",
    metavar="DIR",
    help="Pictures for the model; of a recipe in folders pass and fail [default: see the README].",
)
@click.option("--no-frames", is_flag=True, help="Prove the counts alone, not the model.")
@click.option("--latency", type=float, metavar="MS", help="Median time of a frame at most.")
@click.option("--wheel", multiple=True, metavar="WHL|DIR", help="Wheels to carry.")
@click.option("--python", metavar="DIR", help="Python 3.8 to carry, as .deb files, for JetPack 4.")
@click.option("--trust", multiple=True, metavar="PUB", help="A key to trust from then on.")
@click.option("--revoke", multiple=True, metavar="ID", help="A key never to be trusted again.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def command(
    config: str,
    out: str,
    key: str,
    name: Optional[str],
    version: Optional[int],
    model: Optional[str],
    variant: Tuple[str, ...],
    calibration: Optional[str],
    device: Tuple[str, ...],
    expires: Optional[str],
    golden: Tuple[str, ...],
    fps: Optional[float],
    size: Optional[str],
    frames: Optional[str],
    no_frames: bool,
    latency: Optional[float],
    wheel: Tuple[str, ...],
    python: Optional[str],
    trust: Tuple[str, ...],
    revoke: Tuple[str, ...],
    as_json: bool,
) -> None:
    """Pack CONFIG with its models, make it prove itself, and sign it.

    The same input gives the same bytes. Beside it stands a signature that `minisign -V` takes.
    """
    from ..deploy import make_bundle, pictures, read_public

    made = make_bundle(
        config,
        out,
        key=key,
        name=name,
        version=version,
        model=model,
        variants=variant,
        calibration=calibration,
        devices=device,
        expires=expires,
        golden=_recordings(config, golden, fps, size),
        frames=[] if no_frames else None if frames is None else pictures(frames),
        latency_ms=latency,
        wheels=wheel,
        python=python,
        trust=[read_public(path) for path in trust],
        revoke=revoke,
    )
    facts = {
        "bundle": str(made.path),
        "signature": str(made.signature),
        "name": made.manifest.name,
        "version": made.manifest.version,
        "size": made.size,
        "files": len(made.manifest.files),
        "devices": made.manifest.devices,
        "expires": made.manifest.expires,
        "warnings": made.warnings,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    megabytes = made.size / 1e6
    click.echo(f"bundle     {made.path}, {megabytes:.1f} MB in {len(made.manifest.files)} files")
    click.echo(f"signature  {made.signature}")
    click.echo(f"for        {', '.join(made.manifest.devices) or 'any device'}")
    for part in made.manifest.golden.counts:
        click.echo(f"golden     {part.camera}: {part.events} events")
    if made.manifest.golden.pictured is not None:
        shown = made.manifest.golden.pictured.shown
        told = Counter(text for one in shown for text in one.says)
        listed = ", ".join(f"{count} {text}" for text, count in sorted(told.items()))
        click.echo(f"golden     {len(shown)} pictures: {listed}")
    for warning in made.warnings:
        click.echo(f"warning    {warning}")


def _recordings(config: str, golden: Tuple[str, ...], fps: Optional[float], size: Optional[str]):
    from ..core import UsageError
    from ..deploy import Recording
    from ..runtime.config import load_config
    from .jobs import parse_size

    if not golden:
        if fps is not None or size is not None:
            raise UsageError("--fps and --size are of a recording", remedy="give --golden, too")
        return {}
    if fps is None:
        raise UsageError("--golden needs --fps", expected="frames a second of the recording")
    recordings: Dict[str, Recording] = {}
    for text in golden:
        camera, mark, path = text.rpartition("=")
        if not mark:
            cameras = list(load_config(config).cameras)
            if len(cameras) != 1:
                raise UsageError(
                    "--golden must say whose it is",
                    got=text,
                    expected=f"CAMERA=FILE with one of {', '.join(cameras)}",
                )
            camera = cameras[0]
        recordings[camera] = Recording(path, fps, parse_size(size) if size else None)
    return recordings
