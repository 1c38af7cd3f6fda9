"""An inspection station: verdicts beside the truth on rendered belts, and how soon they come.

python -m edgelane.benchmarks.station [--seeds 41,42] [--seconds 60] [--jobs 2] [--triggers 500]

Recipes are taught and run as a user does it: by the commands, on parts of the first half minute
without defects, and judged on those that come after, in light that drifts. A third of the belts
are nearly as light as the parts.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Optional

import numpy as np

from ..core import Observation
from ..pipelines.inspection import Inspection, deciding
from ..pipelines.quality.intervals import clopper_pearson
from ..runtime.digital import Rejecter
from ..runtime.inspect.judging.inspector import Inspector
from ..runtime.inspect.recipe.config import load_recipe
from ..runtime.journal import Journal
from ..runtime.sources.base import load_cv2
from ..runtime.synth import open_scene
from ..runtime.testing import FakeOutput

TAUGHT_S = 30
SIZE = "640x360"
KINDS = ("washer", "bracket", "cap")
VERDICTS = ("pass", "fail", "unsure")
GOOD = "none"
CHECKS = "{outline: {}, colour: {}, golden: {}}"
MIDDLE_MM, EDGE_S = 10.0, 2.0  # of the belt, in which a part must have been seen; of the run


@dataclass
class Belt:
    """What came of one belt.

    Attributes:
        kind: Of its parts.
        seed: Of the scene.
        table: Parts by defect and verdict.
        reasons: Why good ones did not pass.
        unseen: Parts that went by without any verdict.
        kept: How the surface is judged.
        refused: Why it could not be taught; the rest is empty then.
    """

    kind: str
    seed: int
    table: Counter = field(default_factory=Counter)
    reasons: Counter = field(default_factory=Counter)
    unseen: int = 0
    kept: str = "-"
    refused: str = ""

    def count(self, bad: bool, verdict: str) -> int:
        """Parts of that verdict, defective or good ones."""
        return sum(n for (d, v), n in self.table.items() if (d != GOOD) == bad and v == verdict)


class Failed(Exception):
    """A command failed; tells what it said."""


def edgelane(*arguments: str) -> str:
    """One command, as a user types it."""
    done = subprocess.run(
        [sys.executable, "-m", "edgelane", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(" ".join(done.stderr.split()))
    return done.stdout


def belt(kind: str, seed: int, seconds: float, checks: str, folder: Path) -> Belt:
    """Teach and run one belt, and hold its verdicts beside the truth."""
    place = f"synth://bench?seed={seed}&part={kind}&size={SIZE}"
    recipe = folder / f"{kind}{seed}.yaml"
    asked = f"checks: {checks}\n" if checks else ""
    recipe.write_text(
        f"pipeline: inspection\nsource: {place}&seconds={TAUGHT_S + seconds}\n"
        f"part: {{find: outline}}\n{asked}"
    )
    found = Belt(kind, seed)
    try:
        told = edgelane("teach", str(recipe), "--good", f"{place}&seconds={TAUGHT_S}&defects=0",
                        "--quiet")  # fmt: skip
    except Failed as error:
        found.refused = str(error)
        return found
    out = folder / f"run-{kind}{seed}"
    edgelane("run", str(folder / f"{kind}{seed}.v1.yaml"), "--out", str(out), "--quiet")
    ways = [line.split()[0] for line in told.splitlines() if "kept" in line]
    found.kept = ways[0] if ways else "golden" if "golden" in checks else "-"
    width, height = (int(v) for v in SIZE.split("x"))
    scene: Any = open_scene(
        "bench", seed=seed, part=kind, size=(width, height), seconds=TAUGHT_S + seconds
    )
    judged = set()
    with Journal(out / "events.db", readonly=True) as journal:
        for event in journal.events(kind="verdict"):
            truth = scene.truth(event.payload["frame"])
            names = [r["name"] for r in event.payload["reasons"]]
            if event.payload["seen"] < TAUGHT_S or not len(truth) or names == ["end"]:
                continue
            k = int(np.abs(truth.xyxy - event.payload["box"]).max(axis=1).argmin())
            if truth.visibility[k] == 1:
                judged.add(int(truth.track_id[k]))
                found.table[truth.defect[k], event.payload["verdict"]] += 1
                if truth.defect[k] == GOOD:
                    found.reasons.update(deciding(event.payload))
    passed = set()
    first, last = TAUGHT_S + EDGE_S, TAUGHT_S + seconds - EDGE_S
    for index in range(int(first * scene.fps), int(last * scene.fps)):
        truth = scene.truth(index)
        there = (np.abs(truth.place[:, 0]) < MIDDLE_MM) & (truth.visibility == 1)
        passed |= set(truth.track_id[there].tolist())
    found.unseen = len(passed - judged)
    return found


def share(count: int, of: int) -> str:
    """A count, its share and the exact 95 % interval of that."""
    low, high = clopper_pearson(count, of, 0.95)
    return f"{count} of {of}: {count / of:.1%} ({low:.1%} to {high:.1%})"


def summary(belts: List[Belt]) -> List[str]:
    """Lines over all belts: good parts, and defects by their kind."""
    table: Counter = Counter()
    reasons: Counter = Counter()
    for one in belts:
        table += one.table
        reasons += one.reasons
    lines = []
    good = sum(n for (d, _), n in table.items() if d == GOOD)
    if good:
        lines.append("good parts")
        lines += [f"  {verdict:7} {share(table[GOOD, verdict], good)}" for verdict in VERDICTS]
        if reasons:
            lines.append("  because of " + ", ".join(f"{k} {n}" for k, n in reasons.most_common()))
    bad = sum(n for (d, _), n in table.items() if d != GOOD)
    if bad:
        missed = sum(n for (d, v), n in table.items() if d != GOOD and v == "pass")
        lines.append(f"defects that passed  {share(missed, bad)}")
        for defect in sorted({d for d, _ in table} - {GOOD}):
            row = [table[defect, verdict] for verdict in VERDICTS]
            lines.append(f"  {defect:13} pass {row[0]:3}, fail {row[1]:3}, unsure {row[2]:3}")
    unseen = sum(one.unseen for one in belts)
    lines.append(f"parts without a verdict: {unseen}")
    return lines


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
                if event.kind != "verdict":
                    continue
                out = event.payload["verdict"] != "pass"
                rejecter.part(event.payload["part"], out, float(number), float(number) + 1e-3)
            if number >= 20:
                times.append(time.perf_counter() - start)
    return times


def main(arguments: Optional[List[str]] = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="41,42,43,44,45,46", help="of belts; empty for none")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of parts")
    parser.add_argument("--seconds", type=float, default=60.0, help="that are judged")
    parser.add_argument("--checks", default=CHECKS, help="of the recipe; empty tries all ways")
    parser.add_argument("--jobs", type=int, default=2, help="belts at a time")
    parser.add_argument("--triggers", type=int, default=500)
    given = parser.parse_args(arguments)
    seeds = [int(s) for s in given.seeds.split(",") if s]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        wanted = [(kind, seed) for kind in given.kinds.split(",") for seed in seeds]
        belts = []
        if wanted:
            print("part     seed  surface  good: pass fail unsure   bad: pass fail unsure  unseen")
        with ThreadPoolExecutor(given.jobs) as pool:
            runs = [pool.submit(belt, *one, given.seconds, given.checks, folder) for one in wanted]
            for run in runs:
                one = run.result()
                belts.append(one)
                if one.refused:
                    print(f"{one.kind:8} {one.seed:4}  not taught: {one.refused}", flush=True)
                    continue
                row = [one.count(bad, v) for bad in (False, True) for v in VERDICTS]
                print(f"{one.kind:8} {one.seed:4}  {one.kept:7}  {row[0]:10} {row[1]:4} "
                      f"{row[2]:6} {row[3]:11} {row[4]:4} {row[5]:6} {one.unseen:7}",
                      flush=True)  # fmt: skip
        print("\n".join(summary(belts)) if belts else "", flush=True)
        for check in ("golden", "anomaly") if given.triggers else ():
            try:
                times = 1e3 * np.array(latency(check, given.triggers, folder))
            except Failed as error:
                print(f"{check}: not taught: {error}", flush=True)
                continue
            middle, late = np.percentile(times, (50, 99))
            print(f"{check}: 256x256, picture to output, one thread: median {middle:.2f} ms, "
                  f"p99 {late:.2f} ms ({late / middle:.2f} x)", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
