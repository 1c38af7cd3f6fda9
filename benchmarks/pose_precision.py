"""How far FP16 and INT8 move the poses of a net, and what that costs.

python -m edgelane.benchmarks.pose_precision --model M --images DIR --labels DIR [--json]

The net is converted to FP16 and calibrated to INT8 for TensorRT on every other label; both are
then held against FP32 on all of them: how far a point moves (in shares of the person's size), the
OKS between the poses, and the change of the average precision with its 95 % interval.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from ..calibration.accuracy.evaluation import paired_interval
from ..calibration.accuracy.poses import evaluate_poses, load_poses
from ..calibration.accuracy.steadiness import drift
from ..calibration.calibrate import calibrate
from ..core import EdgelaneError
from ..export import export_model
from ..runtime.pose import load_pose


def halves(labels: Path, folder: Path) -> Path:
    """A folder with the labels of every other picture, to calibrate on."""
    folder.mkdir()
    for path in sorted(labels.glob("*.txt"))[::2]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def measure(model: str, images: str, labels: str, folder: Path) -> Dict[str, Dict[str, float]]:
    """Drift and change of both precisions, by name."""
    made = {"fp16": folder / "fp16.onnx", "int8": folder / "int8.onnx"}
    export_model(model, made["fp16"], task="pose", precision="fp16")
    some = halves(Path(labels), folder / "labels")
    calibrate(model, images, made["int8"], labels=some, threads=1)
    found: Dict[str, Dict[str, float]] = {}
    with load_pose(model, threads=1) as floating:
        pictures = load_poses(images, labels, len(floating.skeleton))
        truth = evaluate_poses(floating, pictures)
        found["fp32"] = {"OKS_AP": truth.score}
        for name, path in made.items():
            with load_pose(path, threads=1) as net:
                moved = drift(net, floating, pictures)
                judged = evaluate_poses(net, pictures)
            change = paired_interval(truth, judged)
            found[name] = {
                "OKS_AP": judged.score,
                **{key: float(moved[key]) for key in ("mean", "p95", "oks")},
                "change": change.difference,
                "low": change.low,
                "high": change.high,
            }
    return found


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m edgelane.benchmarks.pose_precision",
        description=str(__doc__).split("\n")[0],
    )
    parser.add_argument("--model", required=True, nargs="+", help="ONNX of nets for one person")
    parser.add_argument("--images", required=True, help="folder of pictures")
    parser.add_argument("--labels", required=True, help="folder of text files of YOLO pose")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    result: Dict[str, Any] = {}
    for model in options.model:
        with tempfile.TemporaryDirectory() as folder:
            result[Path(model).stem] = measure(model, options.images, options.labels, Path(folder))
    if options.json:
        print(json.dumps(result, indent=2))
        return result
    for model, rows in result.items():
        print(f"{model}: OKS AP {rows['fp32']['OKS_AP']:.3f} in FP32")
        for name in ("fp16", "int8"):
            row = rows[name]
            print(
                f"  {name}  OKS AP {row['change']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f}), "
                f"points move {row['mean']:.4f} (p95 {row['p95']:.4f}), OKS {row['oks']:.4f}"
            )
    return result


if __name__ == "__main__":
    try:
        main()
    except EdgelaneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
