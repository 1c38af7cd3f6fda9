"""How right and how fast the tracker is, beside its peers in the same run.

    python -m edgelane.benchmarks.tracking --data ../shared/data --peers

Accuracy is MOTA and IDF1 at IoU 0.5, online: a frame counts with what was told when it came. A
setting that is lucky counts for nothing, so every parameter of the settings is also moved at
random by up to 7 %, and the median of the runs stands beside the defaults.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import msgspec
import numpy as np

from ..core import DataError, Detections, EdgelaneError
from ..pipelines.tracking import Tracker, TrackerSettings
from ..runtime.mot import read_mot
from .mot import Accuracy, FrameBoxes, evaluate
from .peers import peer_trackers

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
PETS, TUD = "mot/PETS09-S2L1/", "mot/TUD-Campus/"
PICO = "det/det_picodet_s_320_pedestrian.txt"
SEQUENCES = (
    ("S2L1 + YOLOX-nano", 7.0, PETS + "gt/gt_f1-400.txt", PETS + "det/det_yolox_nano_416.txt"),
    ("S2L1 + FRCNN", 7.0, PETS + "gt/gt_f1-400.txt", PETS + "det/det_frcnn_sort.txt"),
    ("S2L1 + PicoDet", 7.0, PETS + "gt/gt_f1-400.txt", PETS + PICO),
    ("TUD-Campus", 25.0, TUD + "gt/gt.txt", TUD + "det/det_frcnn_sort.txt"),
)
"""Name, frames a second, truth, detections."""
SCORE = 0.3
"""Detections below are not given to any tracker."""


class Recording(NamedTuple):
    """A sequence with its truth: `truth` and `detections` have one entry a frame."""

    name: str
    fps: float
    truth: List[FrameBoxes]
    detections: List[Detections]


def recordings(data: Path) -> List[Recording]:
    """The sequences in the folder `data`, over the frames that have a truth, all its rows.

    Raises:
        DataError: A file is missing or is not MOTChallenge rows.
    """
    found = []
    for name, fps, truth, detections in SEQUENCES:
        known, seen = read_mot(data / truth), read_mot(data / detections)
        if not known.tracked:
            raise DataError(f"{data / truth} carries no ids, so it is no truth")
        frames: List[Detections] = list(seen)[: len(known)]
        frames += [Detections.empty()] * (len(known) - len(frames))
        found.append(
            Recording(
                name,
                fps,
                [(np.asarray(f.track_id), f.xyxy) for f in known],
                [f.select(f.score >= SCORE) for f in frames],
            )
        )
    return found


def track(recording: Recording, settings: Optional[TrackerSettings] = None) -> List[FrameBoxes]:
    """What our tracker tells of each frame: confirmed tracks, those in a short gap included."""
    tracker = Tracker(settings)
    told = []
    for index, detections in enumerate(recording.detections):
        tracks = tracker.update(detections, index / recording.fps)
        told.append((tracks.track_id[tracks.confirmed], tracks.xyxy[tracks.confirmed]))
    return told


def perturbed(rng: np.random.Generator, amount: float = 0.07) -> TrackerSettings:
    """The defaults with every parameter moved by up to `amount` of itself, evenly."""
    defaults = TrackerSettings()
    names = defaults.__struct_fields__
    return msgspec.structs.replace(
        defaults, **{n: getattr(defaults, n) * (1 + rng.uniform(-amount, amount)) for n in names}
    )


def accuracy(sequences: Sequence[Recording], runs: int = 16) -> Dict[str, Dict[str, Any]]:
    """Ours on each sequence: defaults, and median and tenth percentile of perturbed runs."""
    table: Dict[str, Dict[str, Any]] = {}
    for recording in sequences:
        row = table[recording.name] = {
            "defaults": evaluate(recording.truth, track(recording))._asdict()
        }
        rng = np.random.default_rng(0)
        results = [evaluate(recording.truth, track(recording, perturbed(rng))) for _ in range(runs)]
        if results:
            figures = np.array([(r.mota, r.idf1) for r in results])
            row["median"] = dict(zip(("mota", "idf1"), np.median(figures, axis=0).tolist()))
            row["p10"] = dict(zip(("mota", "idf1"), np.percentile(figures, 10, axis=0).tolist()))
    return table


def peer_accuracy(
    sequences: Sequence[Recording], peers: Dict[str, Callable[[float], Any]]
) -> Dict[str, Dict[str, Accuracy]]:
    """The peers on each sequence, at its true frame rate."""
    table: Dict[str, Dict[str, Accuracy]] = {}
    for recording in sequences:
        table[recording.name] = {}
        for name, make in peers.items():
            peer = make(recording.fps)
            told = [peer.update(d.xyxy, d.score) for d in recording.detections]
            table[recording.name][name] = evaluate(recording.truth, told)
    return table


def crowd(objects: int, frames: int, fps: float = 10.0, seed: int = 0) -> List[Detections]:
    """A made scene of walkers: 5 % of them missed in each frame, boxes with 3 % of noise."""
    rng = np.random.default_rng(seed)
    side = 96 * np.sqrt(objects)
    at, speed = rng.uniform(0, side, (objects, 2)), rng.normal(0, 25, (objects, 2))
    height = rng.uniform(60, 110, objects)
    told = []
    for _ in range(frames):
        at += speed / fps
        speed[(at < 0) | (at > side)] *= -1
        h = height * (1 + rng.normal(0, 0.03, objects))
        half = np.column_stack([0.4 * h, h]) / 2
        centre = at + rng.normal(0, 0.03, (objects, 2)) * height[:, None]
        seen = rng.random(objects) < 0.95
        boxes = np.concatenate([centre - half, centre + half], axis=1)[seen]
        told.append(Detections.cleaned(boxes, rng.uniform(0.5, 0.95, len(boxes))))
    return told


def speed(
    peers: Dict[str, Callable[[float], Any]], objects: Sequence[int] = (10, 50, 200)
) -> Dict[int, Dict[str, float]]:
    """Median milliseconds a frame, all trackers taking turns on the same frames."""
    table: Dict[int, Dict[str, float]] = {}
    for count in objects:
        frames = crowd(count, 50 if count > 100 else 120)
        ours = Tracker()
        others = {name: make(10.0) for name, make in peers.items()}
        names = ["edgelane", *others]
        spent: Dict[str, List[float]] = {name: [] for name in names}
        for index, detections in enumerate(frames):
            # Turns begin with another one each time: who follows a slow one finds cold caches.
            turn = index % len(names)
            for name in names[turn:] + names[:turn]:
                start = time.perf_counter()
                if name == "edgelane":
                    ours.update(detections, index / 10.0)
                else:
                    others[name].update(detections.xyxy, detections.score)
                spent[name].append(time.perf_counter() - start)
        table[count] = {name: 1e3 * float(np.median(t[20:])) for name, t in spent.items()}
    return table


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m edgelane.benchmarks.tracking", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds mot/")
    parser.add_argument("--peers", action="store_true", help="measure the peers as well")
    parser.add_argument("--runs", type=int, default=16, help="runs with moved parameters")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    try:
        peers = peer_trackers() if options.peers else {}
        sequences = recordings(options.data)
        result = {
            "accuracy": accuracy(sequences, options.runs),
            "peers": {
                name: {peer: a._asdict() for peer, a in row.items()}
                for name, row in peer_accuracy(sequences, peers).items()
            },
            "milliseconds": speed(peers),
        }
    except EdgelaneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(result, indent=1) if options.json else "\n".join(_report(result)))
    return 0


def _report(result: Dict[str, Any]) -> List[str]:
    lines = ["MOTA / IDF1 / switches at IoU 0.5"]
    for name, row in result["accuracy"].items():
        lines.append(name)
        lines.append(
            "  {:<22}{mota:.3f} / {idf1:.3f} / {switches}".format("edgelane", **row["defaults"])
        )
        for label, key in (("  median, moved 7 %", "median"), ("  tenth percentile", "p10")):
            if key in row:
                lines.append("  {:<22}{mota:.3f} / {idf1:.3f}".format(label, **row[key]))
        for peer, a in result["peers"].get(name, {}).items():
            lines.append("  {:<22}{mota:.3f} / {idf1:.3f} / {switches}".format(peer, **a))
    lines.append("milliseconds a frame (times as long as edgelane)")
    for count, row in result["milliseconds"].items():
        lines.append(f"{count} objects")
        lines += [f"  {name:<22}{ms:.3f} ({ms / row['edgelane']:.1f})" for name, ms in row.items()]
    return lines


if __name__ == "__main__":
    sys.exit(main())
