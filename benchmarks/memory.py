"""Does memory stay flat over a very long run, with tracks born and dying all the time?

    python -m edgelane.benchmarks.memory

Replays made-up people who walk through the picture, each for a few seconds, through the whole of
the counting pipeline, journal and scene of events included, and reads the process's resident
memory (`/proc/self/statm`) as it goes. Growth is the last reading less the one after the first
tenth, when all buffers have found their size.
"""

import argparse
import contextlib
import gc
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np

from ..core import Detections, Observation
from ..runtime.journal import Journal
from ..runtime.loop import Step, Stream, run_loop
from .throughput import counting

LIMIT_MB = 5.0


class Crowd:
    """A source of detections: people who cross the picture and are replaced by new ones.

    Args:
        frames: How many frames.
        people: How many at a time.
        seed: Of where they walk.
        fps: Frames a second.
    """

    live = False

    def __init__(self, frames: int, people: int = 12, seed: int = 1, fps: float = 10.0) -> None:
        self.frames, self.people, self.fps, self.seed = frames, people, fps, seed
        self.size = (640, 480)
        self.duration = frames / fps
        self.warnings: List[str] = []
        self.born = 0

    def __iter__(self) -> Iterator[Observation]:
        rng = np.random.default_rng(self.seed)
        width, height = self.size
        n = self.people
        place = rng.uniform((0, 100), (width, height), (n, 2))
        speed = rng.uniform(-60, 60, (n, 2))
        self.born = n
        for index in range(self.frames):
            place += speed / self.fps
            gone = (
                (place[:, 0] < -20)
                | (place[:, 0] > width + 20)
                | (place[:, 1] < 60)
                | (place[:, 1] > height + 60)
                | (rng.random(n) < 0.01)
            )
            count = int(gone.sum())
            if count:
                self.born += count
                place[gone] = rng.uniform((0, 100), (width, height), (count, 2))
                speed[gone] = rng.uniform(-60, 60, (count, 2))
            seen = rng.random(n) < 0.95
            foot = place[seen] + rng.normal(0, 1, (int(seen.sum()), 2))
            tall = 60 + 40 * foot[:, 1:] / height
            boxes = np.concatenate(
                [foot[:, :1] - tall / 5, foot[:, 1:] - tall, foot[:, :1] + tall / 5, foot[:, 1:]], 1
            )
            found = Detections.cleaned(boxes, rng.uniform(0.4, 0.95, len(boxes)))
            yield Observation("camera", round(index / self.fps, 6), found, self.size, None, index)


def resident_mb() -> float:
    """Resident memory of this process in MB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(frames: int = 100_000, people: int = 12) -> Dict[str, Any]:
    """Memory over a replay.

    Returns:
        `growth_mb`, `readings_mb` (twenty over the run), `tracks` that were born, `events`, and
        `ms` a frame.
    """
    every = max(frames // 20, 1)
    readings: List[float] = []

    def read(step: Step) -> None:
        if step.observation is not None and (step.observation.index + 1) % every == 0:
            gc.collect()
            readings.append(round(resident_mb(), 2))

    crowd = Crowd(frames, people)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        journal = stack.enter_context(Journal(Path(folder) / "events.db"))
        stream = Stream(crowd, lambda size: counting(size, ["person"]))
        stats = run_loop({"camera": stream}, None, journal, sinks=[read])
        events = journal.count()
    return {
        "frames": frames,
        "tracks": crowd.born,
        "events": events,
        "ms": round(1e3 * stats.wall_s / frames, 4),
        "readings_mb": readings,
        "growth_mb": round(readings[-1] - readings[min(1, len(readings) - 1)], 2),
    }


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; exits 1 where memory grows and `--check` asks for it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 where memory grows")
    options = parser.parse_args(arguments)
    result = measure(options.frames, options.people)
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['frames']:,} frames, {result['tracks']:,} people, "
            f"{result['events']:,} events, {result['ms']:.3f} ms a frame\n"
            f"resident MB over the run: {' '.join(f'{mb:.0f}' for mb in result['readings_mb'])}\n"
            f"growth after the first tenth: {result['growth_mb']:.2f} MB (limit {LIMIT_MB:g})"
        )
    return 1 if options.check and result["growth_mb"] > LIMIT_MB else 0


if __name__ == "__main__":
    sys.exit(main())
