"""How fast people are found and their poses looked for in a video, against the CPU's limit.

    python -m edgelane.benchmarks.pose_video --model yolox_nano_416.onnx \\
        --pose tinypose_128x96.onnx --video vtest_480x360.mp4 [--every 3]

The limit is the CPU time of the two nets alone, divided by the cores: a run that reaches it would
decode, crop, track and write for nothing. `busy` is the CPU time of everything against the cores.
Where other programs run on the machine, `others` says how many cores they took, and the ratios
`of what was left` are against the cores without them.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from ..core import EdgelaneError
from ..pipelines.pose import Pose, PoseSettings
from ..runtime.journal import Journal
from ..runtime.loop import Step, Stream, cores, run_loop
from ..runtime.model import Model, load_model
from ..runtime.pose import PoseModel, load_pose
from ..runtime.sources import open_source
from ..runtime.stats import STAGES
from .throughput import cores_used


class _Timed:
    """A pose net whose runs of the graph are timed apart from cutting and decoding."""

    def __init__(self, model: PoseModel) -> None:
        self._model = model
        self.spent: List[float] = []

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        tensor, crops = self._model.preprocess(image, boxes)
        began = time.thread_time()
        outputs = self._model.infer(tensor)
        self.spent.append(time.thread_time() - began)  # appending is safe between threads
        return self._model.postprocess(outputs, crops)


def measure(
    model: Model, pose: PoseModel, video: str, every: int = 1, workers: Optional[int] = None
) -> Dict[str, Any]:
    """One run over the video; both models loaded with one thread a call.

    Returns:
        `fps`, `people` a frame that were looked at, CPU milliseconds a frame by stage, `nets_ms`
        of the two graphs alone, `ratio` of the speed to their limit, `busy`, `others` and the
        two `left_…` ratios.
    """
    available = cores()
    timed = _Timed(pose)
    looked: List[int] = []

    def sink(step: Step) -> None:
        if step.observation is not None and isinstance(step.pipeline, Pose):
            poses = step.pipeline.poses()
            looked.append(0 if poses is None else len(poses))

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        source = stack.enter_context(open_source(video))
        journal = stack.enter_context(Journal(Path(folder) / "events.db"))
        stream = Stream(source, lambda size: Pose("camera", PoseSettings(), size), every)
        used, began = cores_used(), time.perf_counter()
        stats = run_loop(
            {"camera": stream}, model, journal, second=timed, workers=workers, sinks=[sink]
        )
        wall, used = time.perf_counter() - began, cores_used() - used
    camera = stats.cameras["camera"]
    frames = max(stats.processed, 1)
    stages = {k: camera.stages[k] for k in STAGES if k in camera.stages}
    nets = (stages["infer"].cpu if "infer" in stages else 0.0) + sum(timed.spent)
    others = max(used - stats.cpu_s, 0.0) / wall
    left = max(available - others, 0.1)
    return {
        "frames": stats.processed,
        "fps": round(stats.fps, 2),
        "every": every,
        "people": round(float(np.mean(looked)), 2) if looked else 0.0,
        "workers": stats.workers,
        "cores": available,
        "cpu_ms": {name: round(1e3 * times.cpu / frames, 3) for name, times in stages.items()},
        "nets_ms": round(1e3 * nets / frames, 3),
        "ratio": round(nets / available / stats.wall_s, 3),
        "busy": round(stats.cpu_s / available / stats.wall_s, 3),
        "others": round(others, 2),
        "left_ratio": round(nets / left / stats.wall_s, 3),
        "left_busy": round(stats.cpu_s / left / stats.wall_s, 3),
    }


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; prints every run, and the best last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="an ONNX detector")
    parser.add_argument("--pose", required=True, help="an ONNX pose net that takes one person")
    parser.add_argument("--video", required=True, help="a video file")
    parser.add_argument("--every", type=int, default=1, help="the detector looks at every n-th")
    parser.add_argument("--workers", type=int, help="threads for the models (cores + 1)")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the best ratio counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        with load_model(options.model, classes=["person"], threads=1) as model, load_pose(
            options.pose, threads=1
        ) as pose:
            runs = [
                measure(model, pose, options.video, options.every, options.workers)
                for _ in range(max(options.repeat, 1))
            ]
    except EdgelaneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    best = max(runs, key=lambda run: run["left_ratio"])
    if options.json:
        print(json.dumps({"best": best, "runs": runs}))
        return 0
    for run in [*runs, best]:
        stages = "  ".join(f"{name} {value:.2f}" for name, value in run["cpu_ms"].items())
        print(
            f"{run['frames']} frames, {run['people']:.1f} people a frame, {run['workers']} workers "
            f"on {run['cores']} cores: {run['fps']:.1f} fps\n"
            f"  CPU ms a frame: {stages}; the two nets alone {run['nets_ms']:.2f}\n"
            f"  speed against the nets' limit: {run['ratio']:.3f}, busy {run['busy']:.3f}; others "
            f"used {run['others']:.2f} cores; of what was left: {run['left_ratio']:.3f}, "
            f"busy {run['left_busy']:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
