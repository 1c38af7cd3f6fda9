"""Parts found on rendered belts against their exact truth: dark belts and light ones.

python -m edgelane.benchmarks.finding [--seeds 401-440] [--pictures N]

A part counts as found where one found thing covers it (IoU of the boxes from .7); what covers no
part, whole or cut, is false. Nothing was developed on the seeds 401 to 440. Light belts are as
light as the parts on them, which but for their rims and shadows may have the belt's own colour.
"""

import argparse
import math
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ..runtime.inspect.gauges.align import lie
from ..runtime.inspect.gauges.features import polygon_middle
from ..runtime.inspect.gauges.gauging import grey_of
from ..runtime.inspect.gauges.ground import coarseness
from ..runtime.inspect.gauges.plane import Plane
from ..runtime.inspect.gauges.segment import find_blobs
from ..runtime.inspect.judging.finding import find_parts
from ..runtime.sources.base import load_cv2
from ..runtime.synth.bench import Bench, PartsTruth

FOUND = 0.7  # IoU of boxes
NEAR = 0.3  # IoU from which a found thing has to do with a part
ROOM = 8  # pixels of the shadow and of the ground that a whole part has around it
HOLES = {"washer": 1, "bracket": 2, "cap": 0}


class Found(NamedTuple):
    """One found thing: box, middle, radians, number of holes (-1: not told)."""

    xyxy: np.ndarray
    middle: np.ndarray
    angle: float
    holes: int


def gauged(image: np.ndarray) -> List[Found]:
    """As gauges find parts."""
    grey, plane = grey_of(image), Plane(None)
    found = []
    for blob in find_blobs(image):
        lying = lie(grey, plane, blob, None, coarseness(image))
        angle = lying.pose.angle if lying.shape == "rectangle" else math.nan
        found.append(Found(blob.xyxy, lying.pose.middle, angle, len(blob.holes)))
    return found


def judged(image: np.ndarray) -> List[Found]:
    """As the judge of a recipe finds them."""
    return [
        Found(look.xyxy, look.middle, math.radians(look.angle), -1) for look in find_parts(image)
    ]


WAYS = {"gauges": gauged, "judge": judged}


class Tally:
    """What was found of how many, and how far off."""

    def __init__(self) -> None:
        self.parts = self.found = self.false = 0
        self.pictures = self.counted = self.holes = 0
        self.lost: List[str] = []
        self.place: List[float] = []
        self.angle: List[float] = []
        self.seconds: List[float] = []

    def add(self, name: str, bench: Bench, truth: PartsTruth, found: List[Found]) -> None:
        """One picture."""
        self.pictures += 1
        boxes = np.array([f.xyxy for f in found]).reshape(-1, 4)
        seen = truth.visibility > 0
        over = iou(truth.xyxy, boxes)
        # A thing at the border may be what is left of a part in the picture.
        rim = np.array([touches(b, bench.size) for b in boxes], bool)
        best = over[seen].max(axis=0) if seen.any() and len(boxes) else np.zeros(len(boxes))
        self.false += int(((best < NEAR) & ~rim).sum())
        for k in range(len(truth)):
            if not whole(truth, k, bench.size):
                continue
            self.parts += 1
            j = int(over[k].argmax()) if len(boxes) else -1
            if j < 0 or over[k, j] < FOUND:
                self.lost.append(f"{name} {truth.kind[k]}")
                continue
            self.found += 1
            middle = polygon_middle(truth.outline[k])
            self.place.append(float(np.hypot(*(found[j].middle - middle))))
            if truth.kind[k] == "bracket":
                miss = math.remainder(found[j].angle - seen_angle(bench, truth, k), math.pi)
                self.angle.append(abs(math.degrees(miss)))
            if found[j].holes >= 0:
                self.counted += 1
                wanted = HOLES[truth.kind[k]] - (truth.defect[k] == "missing_hole")
                # A dent may be as dark as a hole: on a cap nobody can tell.
                self.holes += found[j].holes != wanted and truth.defect[k] != "dent"

    def line(self, name: str) -> str:
        """A row of the table."""
        place, angle = (self.of(values) for values in (self.place, self.angle))
        holes = f"{self.holes / self.counted:7.1%}" if self.counted else "      -"
        share = self.found / max(self.parts, 1)
        cost = 1e3 * float(np.median(self.seconds))
        return (f"  {name:24}{self.pictures:6}{self.parts:7}{share:9.2%}{self.false:7}"
                f"{place}{angle}{holes}{cost:8.1f}")  # fmt: skip

    @staticmethod
    def of(values: List[float]) -> str:
        """Median, 95 % and the largest."""
        known = np.array([v for v in values if math.isfinite(v)])
        if not len(known):
            return "       -      -      -"
        lost = len(values) - len(known)
        most = "  lost" if lost else f"{known.max():7.2f}"
        return f"{np.median(known):8.2f}{np.percentile(known, 95):7.2f}{most}"


def touches(box: np.ndarray, size: Tuple[int, int]) -> bool:
    """Whether a box reaches the border."""
    return bool((box[:2] <= 2).any() or (box[2:] >= np.array(size) - 2).any())


def whole(truth: PartsTruth, k: int, size: Tuple[int, int]) -> bool:
    """Whether a part lies wholly in the picture, with its shadow."""
    box = truth.whole[k]
    room = ROOM * max(size) / 640
    return bool((box[:2] >= room).all() and (box[2:] <= np.array(size) - room).all())


def seen_angle(bench: Bench, truth: PartsTruth, k: int) -> float:
    """Radians of a part's longer side in the picture."""
    c, s = math.cos(truth.angle[k]), math.sin(truth.angle[k])
    half = 0.5 * truth.size[k, 0] * np.array([[-c, -s], [c, s]])
    a, b = bench.to_pixels(truth.place[k] + half)
    return math.atan2(b[1] - a[1], b[0] - a[0])


def iou(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """`(n, m)` overlap of boxes."""
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum(one[:, None, 2:], two[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (one, two)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)


def run(seeds: List[int], pictures: int, size: Tuple[int, int], note: bool) -> None:
    """Print the table of one size of picture."""
    tallies: Dict[Tuple[str, str], Tally] = {}
    belts = {"dark belt": 0, "light belt": 0}
    for seed in seeds:
        bench = Bench(seed=seed, seconds=60, size=size)
        step = max(bench.frames // pictures, 1)
        belt = ""
        for index in range(step // 2, bench.frames, step):
            image, truth = bench.render(index)[0].image, bench.truth(index)
            if not belt:
                belt = "light belt" if belt_tone(bench) > 110 else "dark belt"
                belts[belt] += 1
            for way, find in WAYS.items():
                start = time.process_time()
                found = find(image)
                tally = tallies.setdefault((belt, way), Tally())
                tally.seconds.append(time.process_time() - start)
                tally.add(f"seed {seed} frame {index}", bench, truth, found)
    print(f"synth://bench {size[0]} x {size[1]}, "
          + ", ".join(f"{n} {name}s" for name, n in belts.items()))  # fmt: skip
    print(f"{'':26}{'n':>6}{'parts':>7}{'found':>9}{'false':>7}{'place px':>8}{'95 %':>7}"
          f"{'most':>7}{'angle':>8}{'95 %':>7}{'most':>7}{'holes':>7}{'ms':>8}")  # fmt: skip
    for (belt, way), tally in sorted(tallies.items()):
        print(tally.line(f"{belt}, {way}"))
        if note:
            for lost in tally.lost:
                print(f"      lost: {lost}")


def belt_tone(bench: Bench) -> float:
    """Grey level of the painted belt, before the camera."""
    state: Any = bench
    return float(np.median(state._belt))


def main(arguments: Optional[List[str]] = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="401-440", help="first-last")
    parser.add_argument("--pictures", type=int, default=12, help="of each belt")
    parser.add_argument("--lost", action="store_true", help="name the parts that were not found")
    parser.add_argument("--small", action="store_true", help="the smaller pictures alone")
    given = parser.parse_args(arguments)
    first, _, last = given.seeds.partition("-")
    seeds = list(range(int(first), int(last or first) + 1))
    load_cv2().setNumThreads(1)
    run(seeds, given.pictures, (640, 360), given.lost)
    if not given.small:
        run(seeds[::4], given.pictures, (1280, 720), given.lost)
    return 0


if __name__ == "__main__":
    sys.exit(main())
