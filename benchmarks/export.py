"""What FP16 and folded preprocessing cost: accuracy before and after, and what stays in float.

    python -m edgelane.benchmarks.export ../shared/data

FP16 is judged twice: as onnxruntime's CPU computes it, which keeps more digits than it should, and
with every half tensor that reaches memory really rounded, as on a GPU. Ranges come from made-up
pictures and from some of those that are judged; pose nets see whole pictures for that, no crops.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from ..calibration.accuracy import agreement, evaluate, frames, load_coco
from ..calibration.accuracy.poses import load_poses
from ..calibration.graph import read_model, write_model
from ..export import export_model
from ..export.job import REAL
from ..export.rounded import rounded
from ..runtime.model import load_model
from ..runtime.sources.base import load_cv2

DETECTORS = {
    "yolox_nano_416": {},
    "picodet_s_320_pedestrian": {"names": ["person"]},
    "nanodet_m_416": {},
    "fastestdet": {},
}
POSES = ("tinypose_256x192", "tinypose_128x96")


def main(arguments: Optional[List[str]] = None) -> None:
    """Print a table of FP16 and one of folding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of weights, pictures and labels")
    parser.add_argument("--video-frames", type=int, default=80, help="frames for the F1")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edgelane-") as folder:
        _half(options.data, Path(folder), options.video_frames)
        _fold(options.data, Path(folder))


def _half(data: Path, folder: Path, count: int) -> None:
    print(f"FP16: AP points on the {_pictures(data)} pictures, ranges from {REAL} of them")
    print(f"{'model':<26}{'FP32':>7}{'FP16':>8}{'rounded':>9}{'F1':>8}{'half':>6}{'float':>7}"
          f"{'MB':>6}{'s':>6}")  # fmt: skip
    for name in (*DETECTORS, *POSES):
        pose = name in POSES
        source = data / "weights" / f"{name}.onnx"
        images = "coco_kp/images" if pose else "coco/train2017"
        paths = {kind: folder / f"{name}.{kind}.onnx" for kind in ("fp32", "fp16", "rounded")}
        fields: Dict[str, Any] = {}
        if pose:
            fields = {"card": _pose_card(source)}
        export_model(source, paths["fp32"], **fields)
        began = time.process_time()
        report = export_model(
            source, paths["fp16"], precision="fp16", images=data / images, **fields
        )
        spent = time.process_time() - began
        write_model(rounded(read_model(paths["fp16"])), paths["rounded"])
        scores = {kind: _score(data, path, name) for kind, path in paths.items()}
        f1 = "-" if pose else f"{_f1(data, paths['fp32'], paths['rounded'], count):.4f}"
        half = report["fp16"]
        print(
            f"{name:<26}{scores['fp32']:>7.2f}{scores['fp16'] - scores['fp32']:>+8.2f}"
            f"{scores['rounded'] - scores['fp32']:>+9.2f}{f1:>8}{half['half']:>6}"
            f"{len(half['kept']):>7}{report['bytes'] / 1e6:>6.1f}{spent:>6.1f}"
        )


def _pose_card(source: Path) -> Dict[str, Any]:
    """The card that the runtime makes for a pose net that has none."""
    from ..runtime.pose.model import load_pose

    with load_pose(source) as model:
        return dataclasses.asdict(model.card)


def _score(data: Path, path: Path, name: str) -> float:
    if name in POSES:
        from ..calibration.accuracy.poses import evaluate_poses

        found = evaluate_poses(
            path, load_poses(data / "coco_kp" / "images", data / "coco_kp" / "labels")
        )
    else:
        notes = next((data / "coco" / "annotations").glob("*.json"))
        found = evaluate(path, load_coco(notes, data / "coco" / "train2017"), **DETECTORS[name])
    return 100 * found.scores["OKS_AP" if name in POSES else "AP"]


def _f1(data: Path, one: Path, two: Path, count: int) -> float:
    video = str(data / "video" / "vtest_480x360.mp4")
    with load_model(one) as first, load_model(two) as second:
        return agreement(first, second, frames(video, every=max(795 // count, 1), most=count)).f1


def _pictures(data: Path) -> int:
    return len(list((data / "coco" / "train2017").glob("*.jpg")))


def _fold(data: Path, folder: Path) -> None:
    print("\nfolded preprocessing: largest difference of a box in pixels, of a score")
    cv2 = load_cv2()
    for name in DETECTORS:
        source, out = data / "weights" / f"{name}.onnx", folder / f"{name}.folded.onnx"
        export_model(source, out, fold=True)
        boxes = scores = 0.0
        seen = other = 0
        with load_model(source, confidence=0.05) as one, load_model(out, confidence=0.05) as two:
            for path in sorted((data / "coco" / "train2017").glob("*.jpg")):
                image = cv2.imread(str(path))
                wanted, got = one(image), two(image)
                seen += len(wanted)
                if wanted.class_id.tolist() != got.class_id.tolist():
                    other += 1  # the order of equal scores, or one at the threshold
                    continue
                boxes = max(boxes, float(np.abs(wanted.xyxy - got.xyxy).max(initial=0)))
                scores = max(scores, float(np.abs(wanted.score - got.score).max(initial=0)))
        print(f"{name:<26}{boxes:>10.1e}{scores:>10.1e}  over {seen} detections; "
              f"{other} pictures with another list")  # fmt: skip


if __name__ == "__main__":
    main()
