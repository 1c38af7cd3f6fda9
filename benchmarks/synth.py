"""How fast scenes are rendered on one core, frames with their truth, noise and compression.

python -m edgelane.benchmarks.synth
"""

import argparse
import json
import time
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ..runtime.sources.base import load_cv2
from ..runtime.synth import open_scene

CASES = (
    ("store", (640, 360), {"people": 12}),
    ("store", (320, 180), {"people": 12}),
    ("store", (1280, 720), {"people": 12}),
    ("store", (640, 360), {"people": 30}),
    ("gym", (640, 360), {"people": 3}),
    ("bench", (640, 360), {}),
)


def measure(frames: int = 150, seeds: Sequence[int] = (1, 2, 3)) -> List[Dict[str, Any]]:
    """Frames a second of processor time and of wall time, the median over seeds."""
    load_cv2().setNumThreads(1)
    rows = []
    for name, size, options in CASES:
        cpu, wall, opening, truths = [], [], [], []
        for seed in seeds:
            scene = open_scene(name, seed=seed, size=size, seconds=60, **options)
            start = time.process_time()
            scene.render(0)
            opening.append(time.process_time() - start)
            step = max(scene.frames // frames, 1)
            begin, start = time.perf_counter(), time.process_time()
            for index in range(frames):
                scene.render(index * step % scene.frames)
            cpu.append(frames / (time.process_time() - start))
            wall.append(frames / (time.perf_counter() - begin))
            start = time.process_time()
            for index in range(frames):
                scene.truth(index * step % scene.frames)
            truths.append(frames / (time.process_time() - start))
        rows.append(
            {
                "scene": name,
                "size": f"{size[0]}x{size[1]}",
                "people": options.get("people"),
                "fps_cpu": float(np.median(cpu)),
                "fps_wall": float(np.median(wall)),
                "fps_truth": float(np.median(truths)),
                "open_s": float(np.median(opening)),
            }
        )
    return rows


def main(arguments: Optional[Sequence[str]] = None) -> List[Dict[str, Any]]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.synth")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = measure(options.frames)
    if options.json:
        print(json.dumps(rows, indent=2))
        return rows
    print("One thread; frames a second of processor time, of wall time, and of truth alone.")
    print("scene       size  people     cpu    wall   truth   opening")
    for row in rows:
        people = "" if row["people"] is None else row["people"]
        print(
            f"{row['scene']:6} {row['size']:>9} {people:>7} {row['fps_cpu']:7.0f} "
            f"{row['fps_wall']:7.0f} {row['fps_truth']:7.0f} {row['open_s']:7.2f} s"
        )
    return rows


if __name__ == "__main__":
    main()
