"""How fast the whole of `edgelane run` is, against the limit that its own CPU work sets.

    python -m edgelane.benchmarks.throughput --model yolox_nano_416.onnx --video vtest_480x360.mp4

The limit is the CPU time of all threads divided by the cores: a run that reaches it keeps every
core busy to the end. Where other programs run on the machine, their share of its cores is taken
from `/proc/stat` and shown; `of what was left` is the ratio against the cores without them.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from ..core import EdgelaneError
from ..pipelines.counting import Counting, CountingSettings, LineShape, ZoneShape
from ..runtime.journal import Journal
from ..runtime.loop import Stream, cores, run_loop
from ..runtime.model import Model, load_model
from ..runtime.sources import open_source
from ..runtime.stats import STAGES

BEYOND_MS = 1.5
RATIO = 0.9


def counting(size: Tuple[int, int], classes: Any) -> Counting:
    """The usual work: two lines and two zones over the picture."""
    w, h = size
    settings = CountingSettings(
        lines={
            "upright": LineShape((0.5 * w, 0.9 * h), (0.5 * w, 0.2 * h)),
            "across": LineShape((0.1 * w, 0.6 * h), (0.9 * w, 0.6 * h)),
        },
        zones={
            "left": ZoneShape([(0, 0), (0.4 * w, 0), (0.4 * w, h), (0, h)]),
            "right": ZoneShape([(0.6 * w, 0), (w, 0), (w, h), (0.6 * w, h)]),
        },
    )
    return Counting("camera", settings, size, classes)


def cores_used() -> float:
    """CPU seconds that all programs of the machine have used since it started, or 0."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(n) for n in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0.0
    user, nice, system, _, _, irq, soft, steal = fields
    return (user + nice + system + irq + soft + steal) / 100.0


def measure(model: Model, video: str, workers: Optional[int] = None) -> Dict[str, Any]:
    """One run of the whole job.

    Returns:
        `fps`; `cpu_ms` a frame by stage and in `total`; `beyond_ms`, all CPU of the process a
        frame beyond decode and infer; `ratio`, the speed against the limit; `others`, how many
        cores other programs took; `ratio_left`, the speed against the limit on what was left.
    """
    available = cores()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        source = stack.enter_context(open_source(video))
        journal = stack.enter_context(Journal(Path(folder) / "events.db"))
        stream = Stream(source, lambda size: counting(size, model.classes))
        used, began = cores_used(), time.perf_counter()
        stats = run_loop({"camera": stream}, model, journal, workers=workers)
        wall, used = time.perf_counter() - began, cores_used() - used
    camera = stats.cameras["camera"]
    frames = max(stats.processed, 1)
    cpu = {name: camera.stages[name].cpu_ms for name in STAGES if name in camera.stages}
    total = 1e3 * stats.cpu_s / frames
    others = max(used - stats.cpu_s, 0.0) / wall
    return {
        "frames": stats.processed,
        "fps": round(stats.fps, 2),
        "workers": stats.workers,
        "cores": available,
        "cpu_ms": {**{k: round(v, 3) for k, v in cpu.items()}, "total": round(total, 3)},
        "beyond_ms": round(total - cpu.get("decode", 0.0) - cpu.get("infer", 0.0), 3),
        "ratio": round(stats.cpu_s / available / stats.wall_s, 3),
        "others": round(others, 2),
        "ratio_left": round(stats.cpu_s / max(available - others, 0.1) / stats.wall_s, 3),
    }


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; exits 1 where a target is missed and `--check` asks for it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="an ONNX detector")
    parser.add_argument("--video", required=True, help="a video file")
    parser.add_argument("--workers", type=int, help="threads for the model (cores + 1)")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the best ratio counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    options = parser.parse_args(arguments)
    try:
        with load_model(options.model, classes=["person"], threads=1) as model:
            runs = [
                measure(model, options.video, options.workers)
                for _ in range(max(options.repeat, 1))
            ]
    except EdgelaneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    best = max(runs, key=lambda run: run["ratio"])
    good = best["ratio"] >= RATIO and best["beyond_ms"] <= BEYOND_MS
    if options.json:
        print(json.dumps({"best": best, "runs": runs, "good": good}))
    else:
        for run in runs:
            stages = "  ".join(f"{name} {value:.2f}" for name, value in run["cpu_ms"].items())
            print(
                f"{run['frames']} frames, {run['workers']} workers on {run['cores']} cores: "
                f"{run['fps']:.1f} fps\n"
                f"  CPU ms a frame: {stages}\n"
                f"  beyond decode and infer: {run['beyond_ms']:.2f} ms "
                f"(target {BEYOND_MS})\n"
                f"  speed against the limit: {run['ratio']:.3f} (target {RATIO}); "
                f"others used {run['others']:.2f} cores; "
                f"of what was left: {run['ratio_left']:.3f}"
            )
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
