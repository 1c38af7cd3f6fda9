"""How right the pose rules are: events of `synth://gym` with missing, swapped and noisy points.

python -m edgelane.benchmarks.pose_rules [--seeds 1001-1200] [--hours 10]
    [--views 0,45,90,135,180] [--json]

Each scene's own key points are spoilt (25 % missing, 10 % of the left and right pairs swapped, 2 px
of noise), given to the pose pipeline as detections with track ids, and what it tells is compared
with what people did. A rule is right when it tells each doing once; an event that belongs to no
doing of its kind is wrong, whatever else was done. With `--hours` people also stand, sit, bend and
kneel for so many person-hours, in which no fall and no long lie may be told.
"""

import argparse
import json
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..core import Detections, EdgelaneError, Event, Observation
from ..pipelines.pose import Pose, PoseSettings
from ..pipelines.registry import camera_settings
from ..runtime.config import load_config
from ..runtime.pose.skeleton import COCO_17
from ..runtime.synth import open_scene
from ..runtime.synth.gym import Gym

MISSING, SWAPPED, NOISE = 0.25, 0.1, 2.0
SHOWS: Dict[str, Tuple[str, ...]] = {
    "hand_raised": ("raise_left", "raise_right"),
    "hands_up": ("raise_both",),
    "wave": ("wave",),
    "crossed_arms": ("cross_arms",),
    "pointing": ("point",),
    "fall": ("fall",),
    "long_lie": ("lie",),
    "bent_lift": ("lift",),
    "reach": ("reach",),
}
"""By rule, what people do when it should tell."""

SEEN_S = 1.7
"""Doings that the end of the scene cuts shorter than this need not be told."""
LATE_S = 1.0
"""An event may come so much later than its doing ended."""
CALM = ("sit", "bend", "kneel")


class Doings(NamedTuple):
    """When somebody did something of a kind."""

    track: int
    begin: float
    end: float
    key: Optional[str]
    needed: bool


def spoil(
    keypoints: np.ndarray, random: np.random.Generator, missing: float, swapped: float, noise: float
) -> np.ndarray:
    """Points as a poor net gives them: `(…, 17, 3)` of pixels and scores.

    Each point is missing (NaN, score 0) and each left and right pair swapped on its own.
    """
    points = keypoints.copy()
    points[..., :2] += random.normal(0, noise, points[..., :2].shape)
    for left, right in COCO_17.flip_pairs:
        swap = (random.random(points.shape[:-2]) < swapped)[..., None]
        one, two = points[..., left, :].copy(), points[..., right, :].copy()
        points[..., left, :] = np.where(swap, two, one)
        points[..., right, :] = np.where(swap, one, two)
    gone = (random.random(points.shape[:-1]) < missing) | (points[..., 2] <= 0)
    points[..., 2] = np.where(gone, 0.0, 0.8)
    points[..., :2][gone] = np.nan
    return points


def watched(
    scene: Gym, random: np.random.Generator, settings: PoseSettings, chunk: int = 300
) -> Tuple[Pose, Iterator[List[Event]]]:
    """A pipeline, and its events frame by frame, the end's at last."""
    pipeline = Pose("gym", settings, scene.size)
    ids = np.array([athlete.id for athlete in scene.athletes])
    edge = np.array([*scene.size, *scene.size], float)

    def play() -> Iterator[List[Event]]:
        for start in range(0, scene.frames, chunk):
            indices = range(start, min(start + chunk, scene.frames))
            whole = scene.keypoints([scene.time(i) for i in indices])
            spoilt = spoil(whole, random, MISSING, SWAPPED, NOISE)
            low, high = whole[..., :2].min(axis=2) - 4, whole[..., :2].max(axis=2) + 4
            boxes = np.clip(np.concatenate((low, high), axis=2), 0, edge)
            for k, index in enumerate(indices):
                there = (boxes[k, :, 2] > boxes[k, :, 0]) & (boxes[k, :, 3] > boxes[k, :, 1])
                found = Detections(
                    boxes[k][there],
                    np.full(there.sum(), 0.9),
                    np.zeros(there.sum(), np.int64),
                    ids[there],
                    spoilt[k][there],
                )
                seen = Observation("gym", scene.time(index), found, scene.size, None, index)
                yield pipeline.process(seen)
        yield pipeline.finish()

    return pipeline, play()


def settings_of(scene: Gym) -> PoseSettings:
    """The defaults, with the scene's zones; those that are reached into are forbidden."""
    zones = {
        name: {"polygon": [list(p) for p in points], "forbidden": name.startswith("guard")}
        for name, points in scene.layout.zones.items()
    }
    config = load_config({"pipeline": "pose", "zones": zones})
    return camera_settings(Pose, config.cameras["camera"])


def done(scene: Gym, rule: str, long_s: float) -> List[Doings]:
    """What the rule should tell: one doing after the other of the same kind is one."""
    found: List[Doings] = []
    turned = scene.parameters["turned"]
    # A hand that waves looks as one that is held, from the side.
    also = ("wave",) if rule == "hand_raised" and turned >= 45 else ()
    for athlete in scene.athletes:
        doings = [d for d in athlete.doings if d.start < scene.duration]
        for k, doing in enumerate(doings):
            if doing.action not in SHOWS[rule] + also:
                continue
            end = doings[k + 1].start if k + 1 < len(doings) else scene.duration
            if doing.action == "fall" and k + 2 <= len(doings):
                # A fall is told when the person stays down.
                end = doings[k + 2].start if k + 2 < len(doings) else scene.duration
            least = long_s + 1.0 if rule == "long_lie" else SEEN_S
            key = doing.action
            if rule == "pointing":
                key = "left" if doing.right != (turned > 90) else "right"
            elif rule in ("wave", "reach") or doing.action == "wave":
                key = "right" if doing.right else "left"
            last = found[-1] if found else None
            if last and last.track == athlete.id and last.end == doing.start and last.key == key:
                found[-1] = last._replace(end=end, needed=last.needed or not also)
                continue
            cut = end >= scene.duration and end - doing.start < least + 1.5
            needed = not cut and end - doing.start >= least and doing.action not in also
            found.append(Doings(athlete.id, doing.start, end, key, needed))
    return found


ACROSS = ("pointing", "crossed_arms", "wave")
"""What goes across the body is not due from whom is seen from the side."""
UNSEEN = {"reach": 1, "bent_lift": 91}
"""Degrees turned away from which on nothing is asked of a rule: hands do not come to the zones,
which stand beside people who face the camera; and what is held before the body is behind it."""


def asked(rule: str, turned: int) -> bool:
    """Whether a rule is judged on people who are turned away by so many degrees."""
    return turned < UNSEEN.get(rule, 181) and not (rule in ACROSS and 62 < turned < 118)


def judge(scene: Gym, events: Sequence[Event], long_s: float) -> Dict[str, Dict[str, int]]:
    """For each rule `told`, `right`, `due` and `missed`."""
    result = {}
    for rule in SHOWS:
        expected = done(scene, rule, long_s)
        heard = [0] * len(expected)
        told = right = 0
        for event in events:
            if event.kind != rule:
                continue
            told += 1
            for k, doing in enumerate(expected):
                fits = doing.track == event.payload["track"]
                fits = fits and doing.begin <= event.timestamp <= doing.end + LATE_S
                if rule == "pointing":
                    fits = fits and event.payload["zone"] == doing.key
                elif rule in ("wave", "hand_raised"):
                    side = str(doing.key).rpartition("_")[2]
                    fits = fits and event.payload["side"] == side
                # Somebody lifts over and over; everything else is to be told once.
                if fits and (not heard[k] or rule == "bent_lift"):
                    heard[k] += 1
                    right += 1
                    break
        due = [k for k, doing in enumerate(expected) if doing.needed]
        missed = sum(not heard[k] for k in due)
        result[rule] = {"told": told, "right": right, "due": len(due), "missed": missed}
    return result


def measure(
    seeds: Sequence[int], seconds: float = 60.0, turned: int = -1
) -> Dict[str, Dict[str, Any]]:
    """Precision and recall of every rule over scenes; see `Gym` for `turned`."""
    sums: Dict[str, Dict[str, Any]] = {
        rule: {"told": 0, "right": 0, "due": 0, "missed": 0} for rule in SHOWS
    }
    for seed in seeds:
        scene = open_scene("gym", seed=seed, seconds=seconds, turned=turned)
        assert isinstance(scene, Gym)
        pipeline, play = watched(scene, np.random.default_rng([7, seed]), settings_of(scene))
        events = [event for frame in play for event in frame]
        long_s = pipeline.rules["long_lie"].after_s
        for rule, counts in judge(scene, events, long_s).items():
            for key, value in counts.items():
                sums[rule][key] += value
    for counts in sums.values():
        counts["precision"] = counts["right"] / max(counts["told"], 1)
        counts["recall"] = (counts["due"] - counts["missed"]) / max(counts["due"], 1)
    return sums


def calm(hours: float, seed: int = 1001, fps: float = 10.0) -> Dict[str, int]:
    """Events by kind in so many person-hours of standing, sitting, bending and kneeling."""
    counts: Dict[str, int] = {"fall": 0, "long_lie": 0}
    left = hours * 3600.0
    while left > 1e-6:
        seconds = min(left / 3, 1200.0)
        scene = open_scene(
            "gym", seed=seed, fps=fps, seconds=seconds, people=3, actions=",".join(CALM)
        )
        assert isinstance(scene, Gym)
        random = np.random.default_rng([8, seed])
        for events in watched(scene, random, settings_of(scene))[1]:
            for event in events:
                if event.kind not in ("person", "released"):
                    counts[event.kind] = counts.get(event.kind, 0) + 1
        left -= 3 * seconds
        seed += 1
    return counts


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m edgelane.benchmarks.pose_rules", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("--seeds", default="1001-1200", help="first and last, e.g. 1-100")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each scene")
    parser.add_argument("--hours", type=float, default=0.0, help="person-hours without a fall")
    parser.add_argument(
        "--views", default="", help="degrees that people are turned away by, e.g. 0,45,90,135,180"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        parser.error("--seeds: expected two numbers, e.g. 1-100")
    seeds = range(int(first), int(last or first) + 1)
    result: Dict[str, Any] = {"scenes": len(seeds), "rules": measure(seeds, options.seconds)}
    views = [part for part in options.views.split(",") if part]
    if not all(part.isdigit() and int(part) <= 180 for part in views):
        parser.error("--views: expected degrees from 0 to 180 with commas")
    few = seeds[: max(len(seeds) // 5, 1)]
    if views:
        result["view_scenes"] = len(few)
        result["views"] = {part: measure(few, options.seconds, int(part)) for part in views}
    if options.hours:
        result["calm_hours"], result["calm"] = options.hours, calm(options.hours)
    if options.json:
        print(json.dumps(result, indent=2))
        return result
    print(f"{len(seeds)} scenes of {options.seconds:g} s, seeds {options.seeds}; points:", end=" ")
    print(f"{MISSING:.0%} missing, {SWAPPED:.0%} of pairs swapped, {NOISE:g} px of noise")
    print(
        f"{'rule':<14}{'due':>6}{'missed':>8}{'told':>6}{'wrong':>7}{'precision':>11}{'recall':>8}"
    )
    for rule, row in result["rules"].items():
        wrong = row["told"] - row["right"]
        print(
            f"{rule:<14}{row['due']:>6}{row['missed']:>8}{row['told']:>6}{wrong:>7}"
            f"{row['precision']:>11.3f}{row['recall']:>8.3f}"
        )
    if views:
        print(
            f"precision / recall by degrees turned away from the camera, {len(few)} scenes each; "
            "-: cannot be seen from there"
        )
        print(f"{'rule':<14}" + "".join(f"{part:>14}" for part in views))
        for rule in SHOWS:
            rows = [result["views"][part][rule] for part in views]
            cells = [
                f"{row['precision']:.3f} /{row['recall']:6.3f}" if asked(rule, int(part)) else "-"
                for part, row in zip(views, rows)
            ]
            print(f"{rule:<14}" + "".join(f"{cell:>14}" for cell in cells))
    if options.hours:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(result["calm"].items()))
        print(f"{options.hours:g} person-hours of standing, sitting, bending, kneeling: {told}")
    return result


if __name__ == "__main__":
    try:
        main()
    except EdgelaneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
