"""`edgelane build`: an engine for the machine that will run it."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Tuple

import click

from ..core import UsageError

if TYPE_CHECKING:
    from ..runtime.engines import BuildPlan, Built


@click.command("build")
@click.argument("model")
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    help="auto, fp32, fp16 or int8; auto takes what the model was made for.",
)
@click.option("--dla", type=int, metavar="CORE", help="Run on this DLA core, the rest on the GPU.")
@click.option("--device", metavar="NAME", help="What the machine is, where it is another one.")
@click.option("--tensorrt", metavar="RELEASE", help="Plan for this release, with --dry-run.")
@click.option("--cache", metavar="FILE", help="Calibration cache: INT8 of a model without Q/DQ.")
@click.option("--batch", metavar="N", help="Pictures a run, or smallest:usual:largest, 1:4:8.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1x3xHxW",
    help="Shape of an input that the model leaves open.",
)
@click.option("--workspace", type=int, metavar="MB", help="Memory that layers may use.")
@click.option("--level", type=int, metavar="0-5", help="How hard the builder tries.")
@click.option("--out", metavar="FILE", help="The engine [default: the model's name, .engine].")
@click.option("--force", is_flag=True, help="Build even if it was built before.")
@click.option("--dry-run", is_flag=True, help="Show the plan, for any device on any machine.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    model: str,
    precision: str,
    dla: Optional[int],
    device: Optional[str],
    tensorrt: Optional[str],
    cache: Optional[str],
    batch: Optional[str],
    shapes: Tuple[str, ...],
    workspace: Optional[int],
    level: Optional[int],
    out: Optional[str],
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build a TensorRT engine of MODEL, an ONNX, on the machine that will run it.

    What was built before comes from a cache. With --dry-run --device NAME the plan of any device
    is shown, and nothing is built.
    """
    from ..runtime.engines import build_engine, make_plan, parse_batch, parse_shape
    from ..runtime.registry import resolve_model

    if tensorrt is not None and not dry_run:
        raise UsageError(
            "an engine is built with the TensorRT that is installed",
            got=f"--tensorrt {tensorrt}",
            remedy="leave it out, or add --dry-run",
        )
    path = resolve_model(model)
    options: Dict[str, Any] = {
        "precision": precision,
        "dla_core": dla,
        "calibration": cache,
        "batch": None if batch is None else parse_batch(batch),
        "shapes": dict(parse_shape(text) for text in shapes) or None,
        "workspace_mb": workspace,
        "level": level,
    }
    if dry_run:
        target, release = _target(device, tensorrt)
        plan = make_plan(path, target, release, **options)
        if as_json:
            click.echo(json.dumps({"plan": plan.as_dict()}))
        else:
            click.echo("\n".join(lines(plan)))
        return
    # Beside a file of the user's; of a model that ships or was downloaded, in this folder.
    place = Path(path) if Path(model).is_file() else Path(Path(path).name)
    engine = Path(out) if out else place.with_suffix(".engine")
    progress = None if as_json else _progress()
    try:
        built = build_engine(
            path, engine, device=device, force=force, report=progress and progress.tell, **options
        )
    except KeyboardInterrupt:
        _leave()
        raise
    finally:
        if progress is not None:
            progress.close()
    _show(built, as_json)


def _target(device: Optional[str], tensorrt: Optional[str]) -> Tuple[Any, Optional[str]]:
    """What to plan for: the device that was named, or this one with what is installed on it."""
    from ..runtime.engines import installed_tensorrt, this_device

    if device is not None:
        return device, tensorrt
    found = this_device()
    if found is None:
        raise UsageError(
            "this machine has no device that runs engines",
            remedy="say for which one the plan shall be: --device NAME",
        )
    return found, tensorrt or installed_tensorrt()


def lines(plan: "BuildPlan") -> Iterator[str]:
    """A plan as lines of text."""
    yield f"device     {plan.device}, TensorRT {plan.tensorrt}"
    how = "as the graph says" if plan.typed else "flags " + (", ".join(plan.flags) or "none")
    yield f"precision  {plan.precision} ({how})"
    if plan.calibration is not None:
        yield f"ranges     {plan.calibration.path}, {len(plan.calibration.scales)} tensors"
    if plan.keep_float:
        yield f"in FP32    {len(plan.keep_float)} tensors, as the graph says"
    if plan.dla_core is not None:
        yield f"DLA        core {plan.dla_core}; what it lacks runs on the GPU"
    yield f"workspace  {plan.workspace_mb} MB ({plan.workspace_by})"
    for name, shapes in plan.profile.items():
        texts = ["x".join(str(n) for n in shape) for shape in shapes]
        yield f"input      {name} " + (texts[0] if len(set(texts)) == 1 else " ".join(texts))
    if plan.network_flags:
        yield f"network    {', '.join(plan.network_flags)}"
    if plan.optimization_level is not None:
        yield f"level      {plan.optimization_level}"
    for note in plan.notes:
        yield f"note       {note}"


def _show(built: "Built", as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        report = {
            "engine": str(built.path),
            "fresh": built.fresh,
            "seconds": built.seconds,
            "plan": built.plan.as_dict(),
            "passport": asdict(built.passport),
        }
        click.echo(json.dumps(report))
        return
    click.echo("\n".join(lines(built.plan)))
    size = built.passport.engine_size / 2**20
    how = f"built in {built.seconds:.0f} s" if built.fresh else "it was built before"
    click.echo(f"engine     {built.path}, {size:.1f} MB, {how}")


def _progress() -> Any:
    from ..runtime.progress import Progress

    class Building(Progress):
        """Time taken, and where TensorRT tells it how much is done."""

        def __init__(self) -> None:
            super().__init__("building")
            self._step: Any = None

        def tell(self, step: Any) -> None:
            self._step = step
            self.update(step.seconds, step.fraction)

        def text(self, now: float, final: bool = False) -> str:
            if self._step is None:
                return self.label
            seconds, fraction, phase = self._step
            parts = [f"{self.label}  {_clock(seconds)} taken"]
            if fraction and not final:
                left = seconds * (1 - fraction) / fraction
                parts = [f"{self.label} {100 * fraction:3.0f} %  {_clock(left)} left", phase]
            return "  ".join(part for part in parts if part)

    return Building()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(round(seconds)), 60)
    return f"{minutes}:{rest:02}"


def _leave() -> None:
    """End the process at once where TensorRT cannot be stopped: it would hold up the exit."""
    from ..runtime.engines.builder import still_building

    if still_building():
        click.echo("Stopped.", err=True)
        os._exit(130)
