"""How right and how fast lines are counted, beside the peers in the same run.

    python -m edgelane.benchmarks.counting --data ../shared/data --peers --lines 20 --seeds 5

The error is |counted - true|, summed over lines and directions, as a share of the true crossings.
Lines are random ones through the busy part of the scene (see `truth.random_lines`), a fresh set for
each seed, and five that a user would draw. All trackers get the same detections at the true frame
rate; the peers' count with supervision's LineZone, at its default anchors and at the foot point.
"""

import argparse
import json
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..core import Detections, EdgelaneError, MissingDependency, Tracks
from ..pipelines.geometry import Line, foot_points
from ..pipelines.lines import Crossing, LineCounter
from ..pipelines.tracking import GivenTracks, Tracker
from .mot import FrameBoxes
from .peers import peer_trackers
from .tracking import DATA, Recording, crowd, recordings
from .truth import Person, TrueCrossing, people, random_lines, true_crossings

WIDTH = 768.0
"""Of the pictures of PETS S2L1, the only sequence here that is long enough to count in."""
CLOSE = 0.1
"""A person who comes no farther than so many heights beyond a line rests within its tolerance:
the counter's band is .04, and its mean must come so far, too, before the person turns back."""
UNSURE = 0.25
"""Where a path begins or ends so near to the line, in heights, there are too few points to be sure
of that side: by default a new track is taken to have .04 of jitter and is trusted from 5 times
that on."""
HAND_MADE = {
    "left path": Line((170, 560), (170, 130)),
    "middle": Line((384, 560), (384, 110)),
    "right path": Line((590, 560), (590, 110)),
    "far lane": Line((130, 200), (700, 200)),
    "near lane": Line((60, 320), (740, 320)),
}

Lines = Mapping[str, Line]
Counts = Dict[Tuple[str, str], int]
Timed = List[Tuple[float, Tracks]]


class Score(NamedTuple):
    """Summed error, true crossings and counted ones."""

    error: int
    true: int
    counted: int

    @property
    def share(self) -> float:
        """The error as a share of the true crossings."""
        return self.error / max(1, self.true)


def score(counted: Counts, true: Counts) -> Score:
    """Compare counts by line and direction."""
    error = sum(abs(counted.get(k, 0) - true.get(k, 0)) for k in {*counted, *true})
    return Score(error, sum(true.values()), sum(counted.values()))


def true_counts(persons: Sequence[Person], lines: Lines) -> Counts:
    """What the annotations say, by line and direction."""
    told = Counter()
    for name, line in lines.items():
        told.update((name, c.direction) for c in true_crossings(persons, line))
    return told


def our_tracks(recording: Recording, step: int = 1) -> Timed:
    """Our tracker over every `step`-th frame of a sequence."""
    tracker, told = Tracker(), []
    for index in range(0, len(recording.detections), step):
        now = index / recording.fps
        told.append((now, tracker.update(recording.detections[index], now)))
    return told


def given_tracks(frames: Sequence[FrameBoxes], fps: float) -> Timed:
    """Ids and boxes by frame as tracks, ended when unseen for long."""
    tracker, told = GivenTracks(), []
    for index, (ids, boxes) in enumerate(frames):
        n = len(ids)
        seen = Detections.cleaned(boxes, np.ones(n), np.zeros(n), np.asarray(ids) + 1)
        told.append((index / fps, tracker.update(seen, index / fps)))
    return told


def crossings(tracks: Timed, lines: Lines) -> List[Crossing]:
    """What our counter tells of tracks."""
    counter, told = LineCounter(lines), []
    for now, seen in tracks:
        told += counter.update(seen, now)
    return told + counter.finish()


def counts(told: Sequence[Crossing]) -> Counts:
    """Crossings by line and direction."""
    return Counter((c.line, c.direction) for c in told)


def _counts_of(tracks: Timed, lines: Lines) -> Counts:
    return counts(crossings(tracks, lines))


def line_zone_counts(frames: Sequence[FrameBoxes], lines: Lines, foot: bool) -> Counts:
    """What supervision's LineZone counts, at its default anchors or at the foot point.

    Raises:
        MissingDependency: supervision is not installed.
    """
    sv = _supervision()
    # LineZone's `in` is the other way round than ours, so it gets each line from end to start.
    anchors = {"triggering_anchors": [sv.Position.BOTTOM_CENTER]} if foot else {}
    zones = {
        name: sv.LineZone(sv.Point(*line.end), sv.Point(*line.start), **anchors)
        for name, line in lines.items()
    }
    for ids, boxes in frames:
        seen = _sv_detections(sv, ids, boxes)
        for zone in zones.values():
            zone.trigger(seen)
    told = Counter()
    for name, zone in zones.items():
        told[name, "in"], told[name, "out"] = zone.in_count, zone.out_count
    return told


def _supervision() -> Any:
    try:
        import supervision
    except ImportError:
        raise MissingDependency(
            "supervision is not installed, and its LineZone is what peers count with",
            remedy="pip install 'edgelane[peers]', best in an environment of its own",
        ) from None
    return supervision


def _sv_detections(sv: Any, ids: np.ndarray, boxes: np.ndarray) -> Any:
    if len(ids) == 0:
        return sv.Detections.empty()
    return sv.Detections(
        xyxy=np.asarray(boxes, np.float32),
        class_id=np.zeros(len(ids), int),
        tracker_id=np.asarray(ids, int),
    )


class Explained(NamedTuple):
    """What our counter makes of the annotated boxes themselves.

    Attributes:
        score: Errors over all lines.
        reasons: How many errors there are for each reason.
        others: All other errors, a sentence each.
    """

    score: Score
    reasons: Dict[str, int]
    others: List[str]


def explain(recording: Recording, lines: Lines) -> Explained:
    """Count on annotated boxes and ids, and say of each error where it comes from."""
    persons = people(recording.truth)
    told = crossings(given_tracks(recording.truth, recording.fps), lines)
    reasons: Dict[str, int] = Counter()
    others = []
    for name, line in lines.items():
        true = true_crossings(persons, line)
        for person in persons:
            for direction in ("in", "out"):
                mine = [c for c in told if c[:3] == (name, direction, person.track_id + 1)]
                theirs = [c for c in true if c[:2] == (direction, person.track_id)]
                surplus = len(mine) - len(theirs)
                wrong = [(_why_counted(line, person, c), c) for c in mine]
                if surplus < 0:
                    # Those that were missed are most likely those that were hardest to see.
                    theirs.sort(key=lambda c: min(c.reach, c.from_tip))
                    wrong = [(_why_missed(c), c) for c in theirs]
                for reason, crossing in wrong[: abs(surplus)]:
                    reasons[reason or "other"] += 1
                    if reason is None:
                        others.append(f"{name}, person {person.track_id}: {crossing}")
    total = score(counts(told), true_counts(persons, lines))
    return Explained(total, dict(reasons), others)


RESTS = f"the foot point rests within {CLOSE} heights of the line"
BORN = f"the path begins or ends within {UNSURE} heights of the line"
TIP = f"the path leads within {CLOSE} heights past an end of the line"


def _why_missed(c: TrueCrossing) -> Optional[str]:
    if c.reach <= CLOSE:
        return RESTS
    if c.at_end and c.reach <= UNSURE:
        return BORN
    return TIP if c.from_tip <= CLOSE else None


def _why_counted(line: Line, person: Person, c: Crossing) -> Optional[str]:
    height = person.xyxy[:, 3] - person.xyxy[:, 1]
    tips = np.array([line.start, line.end]) - c.point
    if np.hypot(tips[:, 0], tips[:, 1]).min() <= CLOSE * height.mean():
        return TIP
    reach = np.abs(line.side(foot_points(person.xyxy))) / height
    return BORN if min(reach[0], reach[-1]) <= UNSURE else None


def measure(
    recording: Recording,
    draws: Sequence[Lines],
    peers: Mapping[str, Callable[[float], Any]],
) -> Dict[str, Score]:
    """Scores by name of the counter, summed over sets of lines."""
    persons = people(recording.truth)
    true = [true_counts(persons, lines) for lines in draws]

    def total(count: Callable[[Lines], Counts]) -> Score:
        scores = [score(count(lines), t) for lines, t in zip(draws, true)]
        return Score(*np.sum(scores, axis=0).tolist())

    ours, half = our_tracks(recording), our_tracks(recording, 2)
    table = {
        "edgelane": total(partial(_counts_of, ours)),
        "edgelane, half the frames": total(partial(_counts_of, half)),
    }
    changes = [score(_counts_of(half, lines), _counts_of(ours, lines)) for lines in draws]
    table["half against all frames"] = Score(*np.sum(changes, axis=0).tolist())
    for name, make in peers.items():
        peer = make(recording.fps)
        frames = [peer.update(d.xyxy, d.score) for d in recording.detections]
        given = given_tracks(frames, recording.fps)
        table[f"{name} + edgelane's lines"] = total(partial(_counts_of, given))
        for anchors, foot in (("default anchors", False), ("foot point", True)):
            table[f"{name} + LineZone, {anchors}"] = total(
                partial(line_zone_counts, frames, foot=foot)
            )
    return table


def speed(objects: Sequence[int] = (10, 50, 200), numbers: Sequence[int] = (1, 20)) -> List[Dict]:
    """Median milliseconds a frame and line, the counter and LineZone taking turns."""
    try:
        sv = _supervision()
    except MissingDependency:
        sv = None
    rows = []
    for n in objects:
        frames = crowd(n, 150)
        side = 96 * np.sqrt(n)
        tracker = Tracker()
        told = [(i / 10, tracker.update(d, i / 10)) for i, d in enumerate(frames)]
        for number in numbers:
            rng = np.random.default_rng(number)
            ends = rng.uniform(0, side, (number, 2, 2))
            lines = {str(i): Line(tuple(a), tuple(b)) for i, (a, b) in enumerate(ends)}
            counter, spent, peer = LineCounter(lines), [], []
            zones = [sv.LineZone(sv.Point(*a), sv.Point(*b)) for a, b in ends] if sv else []
            for now, tracks in told:
                begin = time.perf_counter()
                counter.update(tracks, now)
                spent.append(time.perf_counter() - begin)
                if sv:
                    seen = _sv_detections(sv, tracks.track_id, tracks.xyxy)
                    begin = time.perf_counter()
                    for zone in zones:
                        zone.trigger(seen)
                    peer.append(time.perf_counter() - begin)
            row = {"objects": n, "lines": number, "edgelane": _per_line(spent, number)}
            if sv:
                row["LineZone"] = _per_line(peer, number)
            rows.append(row)
    return rows


def _per_line(seconds: List[float], lines: int) -> float:
    return 1000 * float(np.median(seconds)) / lines


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.counting")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with mot/")
    parser.add_argument("--peers", action="store_true", help="measure the peers as well")
    parser.add_argument("--lines", type=int, default=20, help="random lines in each set")
    parser.add_argument("--seeds", type=int, default=1, help="sets of random lines")
    parser.add_argument("--seed", type=int, default=0, help="the first set's")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    try:
        result = run(options)
    except EdgelaneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        _print(result)
    return 0


def run(options: argparse.Namespace) -> Dict[str, Any]:
    """All figures as one dict."""
    # TUD is too short to count in: 3 px lie within the jitter of its own annotations.
    sequences = [r for r in recordings(options.data) if r.name.startswith("S2L1")]
    persons = people(sequences[0].truth)
    draws = [
        random_lines(persons, WIDTH, options.lines, options.seed + i) for i in range(options.seeds)
    ]
    peers = peer_trackers() if options.peers else {}
    truth = [explain(sequences[0], lines) for lines in draws]
    result: Dict[str, Any] = {
        "lines": options.lines,
        "seeds": options.seeds,
        "truth": {
            **Score(*np.sum([t.score for t in truth], axis=0).tolist())._asdict(),
            "reasons": dict(sum((Counter(t.reasons) for t in truth), Counter())),
            "others": [sentence for t in truth for sentence in t.others],
        },
        "sequences": {},
        "speed_ms_a_line": speed(),
    }
    for recording in sequences:
        made = [{**HAND_MADE, **draws[0]}, *draws[1:]]
        result["sequences"][recording.name] = {
            name: {**s._asdict(), "share": s.share}
            for name, s in measure(recording, made, peers).items()
        }
    return result


def _print(result: Dict[str, Any]) -> None:
    truth = result["truth"]
    print(
        f"Annotated boxes, {result['lines']} random lines × {result['seeds']}: "
        f"{truth['error']} errors in {truth['true']} crossings "
        f"({100 * truth['error'] / max(1, truth['true']):.1f} %)."
    )
    for reason, number in truth["reasons"].items():
        print(f"  {number} × {reason}")
    for sentence in truth["others"]:
        print("  " + sentence)
    for name, table in result["sequences"].items():
        print(f"\n{name}, random and hand-made lines\n{'':44} error  true  counted  share")
        for who, s in table.items():
            figures = f"{s['error']:5d} {s['true']:5d} {s['counted']:8d} {100 * s['share']:5.1f} %"
            print(f"{who:44} {figures}")
        peers = [s["share"] for who, s in table.items() if "LineZone" in who]
        if peers and min(peers) > 0:
            ratio = table["edgelane"]["share"] / min(peers)
            print(f"edgelane's error is {ratio:.2f} of the best peer's")
    print("\nmilliseconds a frame and line")
    for row in result["speed_ms_a_line"]:
        figures = ", ".join(f"{k} {row[k]:.4f}" for k in ("edgelane", "LineZone") if k in row)
        print(f"{row['objects']:4d} objects, {row['lines']:3d} lines: {figures}")


if __name__ == "__main__":
    sys.exit(main())
