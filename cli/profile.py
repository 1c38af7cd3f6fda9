"""`edgelane profile`: latency against accuracy, measured here and estimated for every Jetson."""

import json
import shlex
from typing import Any, Dict, List, Optional, Tuple

import click

from ..core import UsageError


def _listed(text: Optional[str]) -> List[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


@click.command("profile")
@click.argument("models", nargs=-1, metavar="MODELS...")
@click.option("--data", metavar="COCO.json|DIR", help="Pictures to measure on, best with labels.")
@click.option("--out", metavar="DIR", help="Folder of the report [default: runs/profile].")
@click.option("--sizes", metavar="320,640x384", help="Sizes of the input; else what files have.")
@click.option("--precisions", metavar="fp32,fp16,int8", help="Made where files are FP32.")
@click.option("--devices", metavar="nano,orin-nano", help="Jetsons to estimate for.")
@click.option("--backends", metavar="NAMES", help="onnxruntime, tensorrt; else the faster one.")
@click.option("--images", metavar="DIR", help="Images of the COCO file, if not beside it.")
@click.option("--calibration", metavar="DIR", help="Pictures to calibrate INT8 with.")
@click.option("--repeats", type=int, default=5, show_default=True, help="Rounds of each row.")
@click.option(
    "--seconds", type=float, default=1.0, show_default=True, help="That a round measures at least."
)
@click.option("--threads", type=int, metavar="N", help="Threads for one run on the CPU.")
@click.option("--task", metavar="NAME", help="detect, pose or classify, if a model does not say.")
@click.option("--decoder", metavar="NAME", help="How the models' output is read.")
@click.option("--no-accuracy", is_flag=True, help="Times alone.")
@click.option("--budget-fps", type=float, metavar="N", help="Frames a second that must be reached.")
@click.option("--budget-ms", type=float, metavar="N", help="Milliseconds that a frame may take.")
@click.option("--budget-watts", type=float, metavar="N", help="Power that may be drawn.")
@click.option("--max-drop", type=float, metavar="POINTS", help="Points below the best, at most.")
@click.option("--on", metavar="USER@HOST", help="Measure on that machine, over ssh.")
@click.option("--ssh", default="ssh", show_default=True, help="The command that reaches it.")
@click.option(
    "--remote-python", default="python3", show_default=True, help="Python there, with edgelane."
)
@click.option("--estimate", "only", is_flag=True, help="Estimate for --devices; measure nothing.")
@click.option("--batch", type=int, default=1, show_default=True, help="With --estimate.")
@click.option("--mode", metavar="7W,15W", help="Power modes of --devices [default: the fastest].")
@click.option("--dla", is_flag=True, help="On a deep-learning accelerator, with --estimate.")
@click.option(
    "--compare", nargs=2, metavar="A.json B.json", help="Compare two profiles; exit 1 if slower."
)
@click.option(
    "--max-slower", type=float, default=5.0, show_default=True, help="Per cent, with --compare."
)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def command(
    models: Tuple[str, ...],
    data: Optional[str],
    out: Optional[str],
    sizes: Optional[str],
    precisions: Optional[str],
    devices: Optional[str],
    backends: Optional[str],
    images: Optional[str],
    calibration: Optional[str],
    repeats: int,
    seconds: float,
    threads: Optional[int],
    task: Optional[str],
    decoder: Optional[str],
    no_accuracy: bool,
    budget_fps: Optional[float],
    budget_ms: Optional[float],
    budget_watts: Optional[float],
    max_drop: Optional[float],
    on: Optional[str],
    ssh: str,
    remote_python: str,
    only: bool,
    batch: int,
    mode: Optional[str],
    dla: bool,
    compare: Optional[Tuple[str, str]],
    max_slower: float,
    as_json: bool,
) -> int:
    """How fast and how right MODELS are: every size and precision, on this machine or another.

    Each stage from the picture's file to the event is measured, in rounds that meet all rows
    alike. A sweep that was cut off goes on when the same command is given again.
    """
    if compare:
        if models:
            raise UsageError("--compare takes two profiles and no models", got=", ".join(models))
        return _compared(compare, max_slower, as_json)
    if not models:
        raise UsageError("there is no model to profile", remedy="edgelane profile m.onnx --data …")
    if only:
        return _estimated(models, _listed(devices), _listed(precisions), _listed(sizes), batch,
                          _listed(mode), dla, as_json)  # fmt: skip
    for option, given in (("--batch", batch != 1), ("--dla", dla)):
        if given:
            raise UsageError(f"{option} goes with --estimate", remedy=f"leave {option} out")
    from ..runtime.registry import resolve_model

    paths = [resolve_model(model) for model in models]
    if data is None:
        raise UsageError(
            "--data is missing", expected="a COCO file or a folder of pictures",
            remedy="or --estimate, which measures nothing",
        )  # fmt: skip
    from ..benchmarks.profile import profile
    from ..benchmarks.profile.front import Budget

    shown = _Shown()
    try:
        result = profile(
            paths,
            data,
            out=out or "runs/profile",
            sizes=_listed(sizes),
            precisions=_listed(precisions),
            devices=_listed(devices),
            modes=_listed(mode),
            backends=_listed(backends),
            images=images,
            calibration=calibration,
            repeats=repeats,
            seconds=seconds,
            threads=threads,
            task=task,
            decoder=decoder,
            accuracy=not no_accuracy,
            budget=Budget(budget_fps, budget_ms, budget_watts, max_drop),
            on=on,
            ssh=shlex.split(ssh),
            remote_python=remote_python,
            progress=shown,
        )
    finally:
        shown.close()
    failed = not any(row.get("ms") for row in result["rows"])
    if result["problem"]:
        failed = True
        click.echo(f"Error: {result['problem']}", err=True)
    if as_json:
        click.echo(json.dumps(result))
        return 1 if failed else 0
    for line in _table(result["rows"]):
        click.echo(line)
    for note in result["notes"]:
        click.echo(f"note    {note}")
    for answer in result["answers"]:
        click.echo(answer["text"])
    if result["report"]:
        click.echo(f"report  {result['report']}")
    return 1 if failed else 0


class _Shown:
    """Progress with a line of its own for each thing that is done."""

    def __init__(self) -> None:
        self._what: Optional[str] = None
        self._line: Any = None

    def __call__(self, what: str, done: float, of: Optional[float]) -> None:
        if of is None:
            self.close()
            click.echo(what, err=True)
            return
        if what != self._what:
            from ..runtime.progress import Progress

            self.close()
            self._what, self._line = what, Progress(what, unit="rounds")
        self._line.update(done, done / of if of else None)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
        self._what = self._line = None


def _table(rows: List[Dict[str, Any]]):
    """The rows as lines of text; `*` marks those that nothing beats in both."""
    from ..benchmarks.profile.rows import place_of, title

    width = max((len(title(row)) for row in rows), default=0)
    place = max((len(place_of(row)) for row in rows), default=0)
    for row in rows:
        head = f"{'*' if row.get('front') else ' '} {title(row):{width}}  {place_of(row):{place}}"
        if row.get("error"):
            yield f"{head}  failed: {row['error']}"
            continue
        if not row.get("ms"):
            yield f"{head}  not measured"
            continue
        if row["kind"] == "estimate":
            parts = [f"~{row['ms']:.1f} ms ({row['low_ms']:.1f} to {row['high_ms']:.1f})"]
            parts.append("estimated, inference alone")
        else:
            high = row["high_ms"]
            share = 50 * (high - row["low_ms"]) / row["ms"] if high else None
            reach = (
                "" if share is None else f" ±{share:.0f} %" if share < 100 else " ±100 % or more"
            )
            parts = [f"{row['ms']:.2f} ms{reach}", f"{row['fps']:.0f} fps"]
        if row.get("watts"):
            parts += [f"{row['watts']:.1f} W", f"{row['energy_mj']:.0f} mJ"]
        if row.get("peak_mb"):
            parts.append(f"{row['peak_mb']:.0f} MB")
        if row.get("accuracy") is not None:
            parts.append(f"{row['metric']} {row['accuracy']:.3f}")
        if row.get("agreement") is not None:
            parts.append(f"F1 with FP32 {row['agreement']:.3f}")
        yield f"{head}  {', '.join(parts)}"
    told: Dict[str, List[str]] = {}
    for row in rows:
        for note in row.get("notes") or []:
            told.setdefault(note, []).append(title(row))
    for note, names in told.items():
        yield f"note    {note}: {', '.join(dict.fromkeys(names))}"


def _compared(files: Tuple[str, str], max_slower: float, as_json: bool) -> int:
    from ..benchmarks.profile import compare_profiles

    found = compare_profiles(*files, max_slower=max_slower)
    if as_json:
        click.echo(json.dumps(found))
        return 1 if found["regressions"] else 0
    width = max(len(pair["row"]) for pair in found["pairs"])
    for pair in found["pairs"]:
        line = f"{pair['row']:{width}}  {pair['verdict']}"
        if pair["ratio"] is not None:
            line += f": {pair['one_ms']:.2f} → {pair['two_ms']:.2f} ms"
            line += f" ({100 * (pair['ratio'] - 1):+.1f} %)"
        if pair["regression"]:
            line += "  REGRESSION"
        click.echo(line)
        if pair.get("reason"):
            click.echo(f"    {pair['reason']}")
    if found["regressions"]:
        click.echo(f"{found['regressions']} beyond the limit of {max_slower:g} %", err=True)
        return 1
    return 0


def _estimated(
    models: Tuple[str, ...],
    devices: List[str],
    precisions: List[str],
    sizes: List[str],
    batch: int,
    modes: List[str],
    dla: bool,
    as_json: bool,
) -> int:
    """Estimates for every model, size, device and precision."""
    from ..benchmarks.estimator import STATED, estimate
    from ..benchmarks.networks import NETWORKS
    from ..benchmarks.profile.rows import place_of
    from ..benchmarks.profile.variants import parse_sizes
    from ..runtime.registry import resolve_model

    if not devices:
        raise UsageError("--estimate needs --devices", expected="e.g. --devices nano,orin-nano")
    rows = estimate(
        [name if name in NETWORKS else resolve_model(name) for name in models],
        devices,
        precisions or ["fp16"],
        batch=batch,
        sizes=parse_sizes(sizes) or [None],
        mode=modes,
        dla=dla,
    )
    if as_json:
        click.echo(json.dumps(rows))
        return 0
    told: Dict[str, List[str]] = {}
    for row in rows:
        size = " {}x{}".format(*row["size"]) if row["size"] else ""
        where = f"{row['model']}{size}  {place_of(row)}  {row['precision']}"
        click.echo(
            f"{where}  ~{row['ms']:.4g} ms ({row['low_ms']:.4g} to {row['high_ms']:.4g} in "
            f"{row['confidence']:.0%} of cases)"
        )
        for note in row["notes"] + row["advice"]:
            told.setdefault(note, []).append(f"{place_of(row)} {row['precision']}")
    for note, names in told.items():
        click.echo(f"note    {note}: {', '.join(dict.fromkeys(names))}")
    click.echo(STATED)
    return 0
