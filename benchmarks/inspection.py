"""Golden samples on boards and their templates: what is found, as they come and disturbed.

python -m edgelane.benchmarks.inspection [FOLDER]

The folder holds `*_test.jpg`, `*_temp.jpg` and `*.txt` with `x1 y1 x2 y2 type` a line (DeepPCB).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..core import DataError
from ..runtime.inspect import Golden, inspect_picture
from ..runtime.inspect.pictures import read_picture
from ..runtime.sources.base import load_cv2


def disturb(
    image: np.ndarray, boxes: np.ndarray, random: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray]:
    """Turn by up to 1.5 degrees, scale by up to 1.5 %, shift by up to 12 px; boxes follow.

    Boxes of which less than half stays in the picture go.
    """
    cv2 = load_cv2()
    height, width = image.shape[:2]
    warp = cv2.getRotationMatrix2D(
        (width / 2, height / 2), random.uniform(-1.5, 1.5), random.uniform(0.985, 1.015)
    )
    warp[:, 2] += random.uniform(-12, 12, 2)
    moved = cv2.warpAffine(image, warp, (width, height), borderMode=cv2.BORDER_REPLICATE)
    x1, y1, x2, y2 = boxes.T
    corners = np.stack((x1, y1, x2, y1, x2, y2, x1, y2), axis=1).reshape(-1, 4, 2)
    corners = corners @ warp[:, :2].T + warp[:, 2]
    whole = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    cut = np.clip(whole, 0, (width, height, width, height))
    area = (whole[:, 2:] - whole[:, :2]).prod(axis=1)
    kept = (cut[:, 2:] - cut[:, :2]).clip(0).prod(axis=1) > 0.5 * area
    return moved, cut[kept]


def matches(found: np.ndarray, truth: np.ndarray, least: float) -> int:
    """How many pairs a one-to-one assignment by falling overlap makes."""
    if not len(found) or not len(truth):
        return 0
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    size = (found[:, 2:] - found[:, :2]).prod(axis=1), (truth[:, 2:] - truth[:, :2]).prod(axis=1)
    overlap = shared / (size[0][:, None] + size[1][None] - shared)
    pairs = 0
    while overlap.max() >= least:
        row, column = np.unravel_index(overlap.argmax(), overlap.shape)
        overlap[row], overlap[:, column] = -1, -1
        pairs += 1
    return pairs


def boards(folder: Path, disturbed: bool = False, seed: int = 0) -> Dict[str, Any]:
    """F at two overlaps, precision, recall and milliseconds of one core over all boards.

    Raises:
        DataError: The folder holds no boards.
    """
    random = np.random.default_rng(seed)
    rows: List[Tuple[int, int, int, int]] = []
    times: List[Tuple[float, float]] = []
    passed = 0
    for path in sorted(folder.glob("*_test.jpg")):
        stem = path.name[: -len("_test.jpg")]
        image, template = read_picture(path), read_picture(folder / f"{stem}_temp.jpg")
        truth = np.loadtxt(folder / f"{stem}.txt", ndmin=2)[:, :4]
        if disturbed:
            image, truth = disturb(image, truth, random)
        start = time.process_time()
        golden = Golden([template])
        middle = time.process_time()
        result = inspect_picture(golden, image)
        times.append((middle - start, time.process_time() - middle))
        passed += bool(len(truth)) and result.verdict.verdict == "pass"
        found = result.xyxy.astype(float)
        hits = matches(found, truth, 0.33), matches(found, truth, 0.5)
        rows.append((*hits, len(found), len(truth)))
    if not rows:
        raise DataError(f"{folder} holds no boards", expected="*_test.jpg, *_temp.jpg and *.txt")
    third, half, found_all, truth_all = np.array(rows).sum(axis=0)
    setup, compare = np.median(times, axis=0) * 1e3
    return {
        "boards": len(rows),
        "disturbed": disturbed,
        "f33": float(2 * third / (found_all + truth_all)),
        "f50": float(2 * half / (found_all + truth_all)),
        "precision": float(third / max(found_all, 1)),
        "recall": float(third / max(truth_all, 1)),
        "defective_passed": passed,
        "golden_ms": float(setup),
        "inspect_ms": float(compare),
    }


def main(arguments: Optional[Sequence[str]] = None) -> List[Dict[str, Any]]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.inspection")
    parser.add_argument("folder", nargs="?", default="../shared/data/qi/deeppcb", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    load_cv2().setNumThreads(1)
    rows = [boards(options.folder, disturbed) for disturbed in (False, True)]
    if options.json:
        print(json.dumps(rows, indent=2))
        return rows
    print("boards           F .33   F .5    P      R      defective passed  ms golden  ms inspect")
    for row in rows:
        name = "turned, scaled" if row["disturbed"] else "as they come"
        print(
            f"{row['boards']:<3} {name:<14} {row['f33']:.3f}  {row['f50']:.3f}  "
            f"{row['precision']:.3f}  {row['recall']:.3f}  {row['defective_passed']:16}"
            f"  {row['golden_ms']:9.1f}  {row['inspect_ms']:10.1f}"
        )
    return rows


if __name__ == "__main__":
    main()
