"""How far a profile can be trusted: its sums, its accuracy, its repeatability, its own cost.

    python -m edgelane.benchmarks.profiling yolox_nano_416.onnx --data ../shared/data/coco

Profiles a model twice, each time from nothing, and sets the two against each other; holds AP
against pycocotools on the same detections; sums up the stages; and counts what looking at the
clock costs. Repeatability is that of the machine: run it on one that does nothing else.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..core import EdgelaneError
from .profile import compare_profiles, profile
from .profile.data import find_data
from .profile.worker import read_found, timed

ALIKE, ADDS_UP, AP_OFF, OVERHEAD = 0.03, 0.05, 1e-4, 0.01
INFERENCE_MS = 5.0


def overhead_ms(frames: int = 200_000) -> float:
    """What the profiler adds to a frame of five stages, in milliseconds."""
    stages: List[Any] = [lambda value: value] * 5

    def bare() -> None:
        for index in range(frames):
            value: Any = index
            for stage in stages:
                value = stage(value)

    costs = []
    for _ in range(5):
        began = time.process_time()
        bare()
        between = time.process_time()
        timed(stages, frames)
        costs.append((time.process_time() - between) - (between - began))
    return 1e3 * min(costs) / frames


def pycocotools_ap(model: str, data: str, found: Path) -> float:
    """AP of kept detections by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from ..calibration.accuracy import load_coco
    from ..calibration.accuracy.boxes import shared_classes, top
    from ..runtime.model import load_model

    place = find_data(data)
    assert place.annotations is not None
    dataset = load_coco(place.annotations, place.images)
    with load_model(model) as loaded:
        kinds = shared_classes(list(loaded.classes), dataset)
    results: List[Dict[str, Any]] = []
    for picture, detections in zip(dataset.pictures, read_found(str(found))):
        best = top(detections)
        for box, score, kind in zip(best.xyxy, best.score, best.class_id):
            if int(kind) in kinds:
                x, y, right, bottom = (float(v) for v in box)
                results.append(
                    {"image_id": picture.id, "category_id": kinds[int(kind)],
                     "bbox": [x, y, right - x, bottom - y], "score": float(score)}
                )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO(str(place.annotations))
        judge = COCOeval(truth, truth.loadRes(results), "bbox")
        judge.params.imgIds = [p.id for p in dataset.pictures]
        judge.params.catIds = sorted(set(kinds.values()))
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0])


def main(arguments: Optional[List[str]] = None) -> int:
    """Measure and print; exit 1 where a figure is not what is promised."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True, help="COCO file, or a folder with one")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--noisy", action="store_true", help="repeatability does not count")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        result = _measure(options)
    except EdgelaneError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    good = {
        "sum": abs(result["sum_ratio"] - 1) <= ADDS_UP,
        "ap": result["ap_off"] <= AP_OFF,
        "repeat": result["verdict"] == "too close to tell" and abs(result["ratio"] - 1) <= ALIKE,
        "overhead": result["overhead_ms"] <= OVERHEAD * INFERENCE_MS,
    }
    if options.json:
        print(json.dumps({**result, "good": good}))
    else:
        for line in _lines(result, good):
            print(line)
    counted = [v for k, v in good.items() if not (options.noisy and k == "repeat")]
    return 0 if all(counted) else 1


def _measure(options: argparse.Namespace) -> Dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        one, two = (Path(folder) / name for name in "ab")
        rows = [
            profile(
                [options.model], options.data, out=out, repeats=options.repeats,
                seconds=options.seconds, threads=options.threads, accuracy=out == one,
            )["rows"][0]
            for out in (one, two)
        ]  # fmt: skip
        for row in rows:
            if row["error"]:
                raise EdgelaneError(f"{options.model} could not be profiled", got=row["error"])
        pair = compare_profiles(one, two)["pairs"][0]
        (kept,) = (one / "found").iterdir()
        theirs = pycocotools_ap(options.model, options.data, kept)
    first = rows[0]
    return {
        "ms": [row["ms"] for row in rows],
        "half_interval": [(row["high_ms"] - row["low_ms"]) / 2 / row["ms"] for row in rows],
        "rounds": [row["rounds"] for row in rows],
        "ratio": pair["ratio"],
        "verdict": pair["verdict"],
        "sum_ratio": sum(s.get("of_median", 0.0) for s in first["stages"].values()) / first["ms"],
        "medians_ratio": first["sum_ratio"],
        "ap": first["accuracy"],
        "ap_pycocotools": theirs,
        "ap_off": abs(first["accuracy"] - theirs),
        "overhead_ms": overhead_ms(),
    }


def _lines(result: Dict[str, Any], good: Dict[str, bool]) -> List[str]:
    def verdict(name: str) -> str:
        return "as promised" if good[name] else "NOT as promised"

    one, two = result["ms"]
    reach = " and ".join(f"±{100 * h:.1f} %" for h in result["half_interval"])
    rounds = " and ".join(map(str, result["rounds"]))
    share = 100 * result["overhead_ms"] / INFERENCE_MS
    return [
        f"stages sum up to {100 * result['sum_ratio']:.2f} % of the whole (promised: 95 to 105; "
        f"their own medians {100 * result['medians_ratio']:.1f} %): {verdict('sum')}",
        f"AP {result['ap']:.6f}, pycocotools {result['ap_pycocotools']:.6f}, "
        f"off by {result['ap_off']:.1e} (promised: 1e-4): {verdict('ap')}",
        f"the profiler adds {1e3 * result['overhead_ms']:.2f} µs a frame, {share:.3f} % of 5 ms "
        f"(promised: 1): {verdict('overhead')}",
        f"two profiles: {one:.2f} and {two:.2f} ms, {100 * (result['ratio'] - 1):+.1f} % "
        f"(promised on a quiet machine: 3), {result['verdict']}; {reach} from {rounds} rounds: "
        f"{verdict('repeat')}",
    ]


if __name__ == "__main__":
    sys.exit(main())
