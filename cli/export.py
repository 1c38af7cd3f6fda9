"""`edgelane export`: a trained model as one ONNX that says by itself how it wants to be used."""

import json
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import click

LAYERS_SHOWN = 8
"""Layers that are printed, those that differ most; all are in the JSON."""


def _shapes(values: Tuple[str, ...]) -> Dict[str, List[int]]:
    from ..core import UsageError

    found = {}
    for value in values:
        name, _, text = value.rpartition("=")
        try:
            found[name] = [int(n) for n in text.lower().replace(",", "x").split("x")]
            if not name or min(found[name]) < 1:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"--shape {value!r} makes no sense", expected="NAME=1x3x416x416"
            ) from None
    return found


def _numbers(value: Optional[str], name: str) -> Optional[Tuple[float, ...]]:
    from ..core import UsageError

    if value is None:
        return None
    try:
        return tuple(float(v) for v in value.split(","))
    except ValueError:
        raise UsageError(
            f"--{name} makes no sense", got=repr(value), expected="three numbers, e.g. 0.5,0.5,0.5"
        ) from None


def _fraction(value: Optional[str]) -> Optional[float]:
    from ..core import UsageError

    if value is None:
        return None
    try:
        over, _, under = value.partition("/")
        return float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        raise UsageError(
            "--scale makes no sense", got=repr(value), expected="1, or 1/255"
        ) from None


def _names(value: Optional[str]) -> Optional[List[str]]:
    return [v.strip() for v in value.split(",")] if value else None


@click.command("export")
@click.argument("model")
@click.option("--out", required=True, metavar="FILE", help="The ONNX to write.")
@click.option("--checkpoint", metavar="FILE", help="Weights for module:factory.")
@click.option("--factory-args", metavar="JSON", help="What to call the factory with.")
@click.option("--target", metavar="NAME", help="TensorRT, JetPack or device: trt8.2, nano, …")
@click.option("--opset", type=int, help="ONNX operator set [default: what suits the target].")
@click.option("--size", metavar="WxH", help="Size of the input in pixels.")
@click.option("--batch", metavar="N|dynamic", help="Pictures a run [default: 1, or as it is].")
@click.option("--shape", multiple=True, metavar="NAME=…", help="Shape of an input: x=1x3x64x64.")
@click.option("--input", "inputs", metavar="NAMES", help="Names for the inputs, by commas.")
@click.option("--output", "outputs", metavar="NAMES", help="Names for the outputs, by commas.")
@click.option("--simplify/--no-simplify", default=True, help="With onnxslim [default: yes].")
@click.option("--fold", is_flag=True, help="Preprocessing in the graph: uint8 BGR pixels in.")
@click.option("--precision", default="fp32", show_default=True, metavar="fp32|fp16|int8|auto",
              help="auto: the fastest that stays accurate; as int8 it asks for --val.")  # fmt: skip
@click.option("--val", metavar="FILE", help="COCO JSON of labelled pictures to judge by.")
@click.option("--val-images", metavar="DIR", help="Folder of its pictures.")
@click.option("--max-drop", type=float, help="Points of AP that may be lost [default: 1].")
@click.option("--metric", metavar="NAME", help="AP50 or another instead of AP.")
@click.option("--sure", is_flag=True, help="The 95 % interval of the drop has to stay within, too.")
@click.option(
    "--picture", metavar="FILE", help="PNG: how sensitive the layers are, what was tried."
)
@click.option("--keep-float", metavar="NAMES", help="Nodes or operators that fp16 leaves alone.")
@click.option("--io", default="float32", show_default=True, metavar="float32|half",
              help="With fp16: type of inputs and outputs.")  # fmt: skip
@click.option("--images", metavar="DIR", help="Pictures to compare on, and to find ranges with.")
@click.option("--parity", default="outputs", show_default=True, metavar="outputs|layers")
@click.option("--max-difference", type=float, metavar="X",
              help="Of an output, by its range [default: 1e-4; fp16 0.01 as RMS].")  # fmt: skip
@click.option("--card", metavar="FILE", help="JSON with fields of the card.")
@click.option("--task", metavar="NAME", help="detect, pose, classify or anomaly.")
@click.option("--decoder", metavar="NAME", help="How the outputs are read.")
@click.option("--classes", metavar="NAMES|FILE", help="By commas, or a .txt with one a line.")
@click.option("--confidence", type=float, help="Score below which a detection is dropped.")
@click.option("--nms-iou", type=float, help="Overlap above which the weaker box is dropped.")
@click.option("--source", metavar="TEXT", help="What it was trained on, for the card.")
@click.option("--licence", metavar="SPDX", help="For the card.")
@click.option("--colour", metavar="bgr|rgb", help="Order of the colours of the input.")
@click.option("--scale", metavar="X", help="Factor on 0..255 pixels: 1, or 1/255.")
@click.option("--mean", metavar="A,B,C", help="Taken off after the scale.")
@click.option("--std", metavar="A,B,C", help="Divided by after that.")
@click.option("--resize", metavar="NAME", help="letterbox, centre, stretch or crop.")
@click.option("--pad", type=int, help="Grey value of the padding.")
@click.option("--map", "with_map", is_flag=True,
              help="A classifier's class-activation maps as a further output.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    model: str,
    shape: Tuple[str, ...],
    inputs: Optional[str],
    outputs: Optional[str],
    simplify: bool,
    keep_float: Optional[str],
    scale: Optional[str],
    mean: Optional[str],
    std: Optional[str],
    as_json: bool,
    val: Optional[str],
    val_images: Optional[str],
    max_drop: Optional[float],
    metric: Optional[str],
    sure: bool,
    picture: Optional[str],
    with_map: bool,
    **options: Any,
) -> None:
    """Write MODEL as ONNX with its card, once its numbers have proved to be the same.

    MODEL is `module:factory`, a .pt2 program, a TorchScript file, an .onnx to complete, or a name
    of `edgelane models`.
    """
    from ..runtime.registry import resolve_model

    if ":" not in model and not Path(model).suffix:
        model = str(resolve_model(model))
    options.update(
        shapes=_shapes(shape),
        inputs=_names(inputs),
        outputs=_names(outputs),
        simplified=simplify,
        scale=_fraction(scale),
        mean=_numbers(mean, "mean"),
        std=_numbers(std, "std"),
    )
    kept = tuple(_names(keep_float) or ())
    tell = None if as_json else _tell
    limits = {"max_drop": max_drop, "metric": metric, "sure": sure, "picture": picture}
    asked = val or val_images or any(v not in (None, False) for v in limits.values())
    if asked or options["precision"] in ("auto", "int8"):
        report = _within_budget(model, val, val_images, limits, kept, tell, options)
    else:
        from ..export import export_model

        report = export_model(model, keep_float=kept, progress=tell, **options)
    if with_map:
        from ..runtime.classify import add_map

        add_map(report["out"], report["out"])
    _tell("")
    if as_json:
        click.echo(json.dumps(report))
        return
    for line in describe(report):
        click.echo(line)


def _within_budget(
    model: str,
    val: Optional[str],
    val_images: Optional[str],
    limits: Dict[str, Any],
    keep_float: Tuple[str, ...],
    tell: Optional[Callable[[str], None]],
    options: Dict[str, Any],
) -> Dict[str, Any]:
    """Export by accuracy: what the precision asks for, or the fastest that keeps the budget."""
    from ..core import UsageError, did_you_mean
    from ..export.budget import LADDER, BudgetSettings, export_within_budget
    from ..export.fp16 import HalfSettings

    precision = options.pop("precision")
    if not val or not val_images:
        raise UsageError(
            f"--precision {precision} within a budget is judged on labelled pictures",
            expected="--val COCO.json and --val-images DIR",
            remedy="for INT8 without a judge use `edgelane calibrate`",
        )
    ladder = LADDER if precision == "auto" else (precision,)
    if precision not in (*LADDER, "auto"):
        raise UsageError(
            f"unknown precision {precision!r}",
            remedy=did_you_mean(precision, ("fp32", "fp16", "int8", "auto")),
        )
    picture, most = limits.pop("picture"), limits.pop("max_drop")
    settings = BudgetSettings(
        ladder=ladder,
        half=HalfSettings(keep_float=keep_float, io=options.pop("io")),
        **limits,
        **({} if most is None else {"max_drop": most}),
    )

    def progress(what: str, done: int, of: Optional[int]) -> None:
        if tell is not None:
            tell(f"{what} {done}" + (f" of {of}" if of else ""))

    def told(attempt: Any) -> None:
        if tell is not None and not sys.stderr.isatty():
            click.echo(str(attempt), err=True)

    return export_within_budget(
        model,
        val=val,
        val_images=val_images,
        settings=settings,
        picture=picture,
        progress=progress,
        told=told,
        step=tell,
        **options,
    )


def _tell(step: str) -> None:
    """The step at work, on a terminal only."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{step}", nl=False, err=True)


def describe(report: Dict[str, Any]) -> List[str]:
    """A report as lines of text."""
    card, parity, half = report["card"], report["parity"], report["fp16"]
    what = f"{card['task']}, {card['decoder']}, {len(card['classes'])} classes" if card else "none"
    lines = [
        f"model    {report['out']}, {report['bytes'] / 1e6:.1f} MB, opset {report['opset']}, "
        f"{report['nodes']} nodes, {report['precision']}",
        "input    " + "; ".join(_tensor(i) for i in report["inputs"]),
        "output   " + "; ".join(_tensor(o) for o in report["outputs"]),
        f"card     {what}",
    ]
    for name, rows in (("torch", parity["torch"]), ("export", parity["outputs"])):
        if rows:
            worst = max(rows, key=lambda r: r["relative"])
            judged = f"{worst['relative']:.2g} of its range"
            if half:
                judged += f", {worst['typical']:.2g} as a root mean square"
            lines.append(
                f"parity   {name}: largest difference {worst['difference']:.3g} in "
                f"{worst['name']!r}, {judged} (limit {parity['limit']:g}), "
                f"{parity['pictures']} inputs"
            )
    if "layers" in parity:
        rows = sorted(parity["layers"], key=lambda r: -(r["relative"] or 0))
        first = parity["first"]
        where = f"the first above the limit is {first!r}" if first else "all within the limit"
        lines.append(f"layers   {len(rows)} compared; {where}")
        lines += [f"         {r['relative']:.2g}  {r['name']}" for r in rows[:LAYERS_SHOWN]]
    if half:
        reasons: Dict[str, int] = {}
        for reason in half["kept"].values():
            key = reason if "'" not in reason else "its values do not fit half precision"
            reasons[key] = reasons.get(key, 0) + 1
        kept = "; ".join(
            f"{n} {reason}" for reason, n in sorted(reasons.items(), key=lambda i: -i[1])
        )
        lines.append(
            f"fp16     {half['half']} nodes in half, {len(half['kept'])} in float32: {kept}"
        )
        zeroed = sum(u["zeroed"] for u in half["underflow"])
        if zeroed:
            lines.append(f"         {zeroed} weights are too small for half precision and became 0")
    if "budget" in report:
        lines += _budget(report["budget"])
    return lines + [f"note     {note}" for note in report["notes"]]


def _budget(found: Dict[str, Any]) -> List[str]:
    """What was tried, and what it cost."""
    metric = found["metric"]
    lines = [
        f"judged   on {found['judged_on']}: float model {metric} "
        f"{100 * found['reference'][metric]:.2f}; calibrated on {found['calibrated_on']}"
    ]
    for attempt in found["attempts"]:
        name = attempt["precision"]
        if attempt["floats"]:
            name += f", {len(attempt['floats'])} layers float"
        if attempt["failed"]:
            lines.append(f"tried    {name}: {attempt['failed']}")
            continue
        line = f"tried    {name}: {metric} {100 * attempt['scores'][metric]:.2f}, "
        line += f"{attempt['drop']:+.2f} points lost ({attempt['low']:+.2f} to "
        line += f"{attempt['high']:+.2f})"
        if attempt["agreement"] is not None:
            line += f", F1 with the float model {attempt['agreement']:.3f}"
        lines.append(line + ("" if attempt["within"] else ", too many"))
    return lines + [f"warning  {warning}" for warning in found["warnings"]]


def _tensor(spec: Dict[str, Any]) -> str:
    axes = ", ".join("?" if n is None else str(n) for n in spec["shape"])
    return f"{spec['name']} [{axes}] {spec['dtype']}"
