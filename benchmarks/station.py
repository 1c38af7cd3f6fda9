"""An inspection station: verdicts beside the truth on rendered belts, and how soon they come.

python -m edgelane.benchmarks.station [--seeds 2,6] [--seconds 60] [--triggers 500]

Recipes are taught and run as a user does it: by the commands, on parts of the first half minute
without defects, and judged on those that come after.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np

from ..core import Observation
from ..pipelines.inspection import Inspection
from ..runtime.digital import Rejecter
from ..runtime.inspect.judging.inspector import Inspector
from ..runtime.inspect.recipe.config import load_recipe
from ..runtime.journal import Journal
from ..runtime.sources.base import load_cv2
from ..runtime.synth import open_scene
from ..runtime.testing import FakeOutput

TAUGHT_S = 30
SIZE = "640x360"


def edgelane(*arguments: str) -> str:
    """One command, as a user types it."""
    done = subprocess.run(
        [sys.executable, "-m", "edgelane", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"edgelane {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def belt(kind: str, seed: int, seconds: float, folder: Path) -> Tuple[Counter, str]:
    """Verdicts by whether the truth knows a defect; and what teaching said."""
    place = f"synth://bench?seed={seed}&part={kind}&size={SIZE}"
    recipe = folder / f"{kind}{seed}.yaml"
    recipe.write_text(
        f"pipeline: inspection\nsource: {place}&seconds={TAUGHT_S + seconds}\n"
        "part: {find: outline}\n"
    )
    told = edgelane("teach", str(recipe), "--good", f"{place}&seconds={TAUGHT_S}&defects=0",
                    "--quiet")  # fmt: skip
    out = folder / f"run-{kind}{seed}"
    edgelane("run", str(folder / f"{kind}{seed}.v1.yaml"), "--out", str(out), "--quiet")
    width, height = (int(v) for v in SIZE.split("x"))
    scene: Any = open_scene(
        "bench", seed=seed, part=kind, size=(width, height), seconds=TAUGHT_S + seconds
    )
    table: Counter = Counter()
    with Journal(out / "events.db", readonly=True) as journal:
        for event in journal.events(kind="verdict"):
            truth = scene.truth(event.payload["frame"])
            names = [r["name"] for r in event.payload["reasons"]]
            if event.payload["seen"] < TAUGHT_S or not len(truth) or names == ["end"]:
                continue
            k = int(np.abs(truth.xyxy - event.payload["box"]).max(axis=1).argmin())
            if truth.visibility[k] == 1:
                table[truth.defect[k] != "none", event.payload["verdict"]] += 1
    kept = next((line.split()[0] for line in told.splitlines() if "kept" in line), "-")
    return table, kept


def latency(check: str, triggers: int, folder: Path) -> List[float]:
    """Seconds from a triggered 256x256 picture in memory to the output's change, one thread."""
    cv2 = load_cv2()
    cv2.setNumThreads(1)
    random = np.random.RandomState(0)

    def part(seed: int) -> np.ndarray:
        image = np.full((256, 256, 3), 130.0)
        cv2.rectangle(image, (30, 30), (226, 226), (170, 165, 160), -1, cv2.LINE_AA)
        for x in (80, 128, 176):
            cv2.circle(image, (x, 128), 16, (60, 60, 60), -1, cv2.LINE_AA)
        grain = np.random.RandomState(seed).normal(0, 3, image.shape)
        return np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + grain, 0, 255).astype(np.uint8)

    good = folder / f"good-{check}"
    good.mkdir()
    for k in range(16):
        cv2.imwrite(str(good / f"{k:02d}.png"), part(k))
    recipe = folder / f"plate-{check}.yaml"
    recipe.write_text(f"pipeline: inspection\nchecks: {{{check}: {{}}}}\n")
    edgelane("teach", str(recipe), "--good", str(good), "--minutes", "1", "--quiet")
    loaded = load_recipe(folder / f"plate-{check}.v1.yaml")
    times = []
    with Inspector(loaded.config) as inspector:
        pipeline = Inspection("camera", loaded.settings, (256, 256))
        rejecter = Rejecter(FakeOutput(), delay=1.0)
        for number in range(triggers + 20):
            image = part(100 + random.randint(50))
            start = time.perf_counter()
            found = inspector.postprocess(inspector.infer(inspector.preprocess(image)[0]), None)
            seen = Observation("camera", float(number), found.detections, (256, 256), image, number,
                               findings=found)  # fmt: skip
            for event in pipeline.process(seen):
                out = event.payload["verdict"] != "pass"
                rejecter.part(event.payload["part"], out, float(number), float(number) + 1e-3)
            if number >= 20:
                times.append(time.perf_counter() - start)
    return times


def main(arguments: Optional[List[str]] = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="2,6", help="of belts; none with an empty text")
    parser.add_argument("--seconds", type=float, default=60.0, help="that are judged")
    parser.add_argument("--triggers", type=int, default=500)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        total: Counter = Counter()
        print("part     seed  surface  good: pass fail unsure   bad: pass fail unsure")
        for kind in ("washer", "bracket", "cap"):
            for seed in (int(s) for s in given.seeds.split(",") if s):
                table, kept = belt(kind, seed, given.seconds, folder)
                total += table
                row = [table[bad, v] for bad in (False, True) for v in ("pass", "fail", "unsure")]
                print(f"{kind:8} {seed:4}  {kept:7}  {row[0]:10} {row[1]:4} {row[2]:6} "
                      f"{row[3]:11} {row[4]:4} {row[5]:6}", flush=True)  # fmt: skip
        good = sum(n for (bad, _), n in total.items() if not bad)
        defects = sum(n for (bad, _), n in total.items() if bad)
        if good + defects:
            print(f"good parts that passed: {total[False, 'pass']} of {good}; "
                  f"defects that passed: {total[True, 'pass']} of {defects}")  # fmt: skip
        for check in ("golden", "anomaly"):
            times = 1e3 * np.array(latency(check, given.triggers, folder))
            middle, late = np.percentile(times, (50, 99))
            print(f"{check}: 256x256, picture to output, one thread: median {middle:.2f} ms, "
                  f"p99 {late:.2f} ms ({late / middle:.2f} x)", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
