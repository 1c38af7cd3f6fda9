"""A million frames in minutes: do memory, file descriptors and threads stay as they are?

    python -m edgelane.benchmarks.endurance --frames 1000000

Small pictures go through the whole of a run: capture, a real model's preprocessing, decoding and
suppression around a graph that is made up, tracking, counting, the journal and its snapshots. The
pictures carry their number, and the graph answers with the people who walk there at that moment,
who are born and gone all the time. Growth is what the process's resident memory
(`/proc/self/statm`) has at the end beyond what it had after the first twentieth, when all buffers
have found their size.
"""

import argparse
import contextlib
import gc
import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np

from ..core import EdgelaneError, Frame, InputSpec, ModelCard
from ..core.card import METADATA_KEY
from ..runtime.backends import TensorSpec
from ..runtime.journal import Journal
from ..runtime.loop import Step, Stream, run_loop
from ..runtime.model import Model, build_model
from ..runtime.progress import Progress
from ..runtime.testing import FakeBackend
from .memory import Crowd, resident_mb
from .throughput import counting

SIZE = 64
FPS = 10.0
ROUND = 20_000
"""Frames after which the people walk as they did before."""

GROWTH_MB = 3.0
MINUTES = 20.0
SETTLED = 0.05


class Numbered:
    """Pictures that carry their number in their first pixel.

    Args:
        frames: How many.
    """

    live = False

    def __init__(self, frames: int) -> None:
        self.frames, self.fps, self.size = frames, FPS, (SIZE, SIZE)
        self.duration = frames / FPS
        self.warnings: List[str] = []

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            image = np.zeros((SIZE, SIZE, 3), np.uint8)
            image[0, 0] = index & 255, index >> 8 & 255, index >> 16 & 255
            yield Frame(image, round(index / FPS, 6), "camera", index)


class Graph(FakeBackend):
    """Answers a numbered picture with the boxes of its moment, as DAMO-YOLO lays them out.

    Args:
        people: How many at a time.
    """

    def __init__(self, people: int) -> None:
        card = ModelCard(
            task="detect",
            decoder="damo-yolo",
            input=InputSpec(size=(SIZE, SIZE), colour="bgr", scale=1.0, pad=0),
            classes=("person",),
            confidence=0.3,
            nms_iou=0.7,
        )
        cells = sum((SIZE // stride) ** 2 for stride in (8, 16, 32))
        super().__init__(
            lambda feeds: {},
            [TensorSpec("images", (1, 3, SIZE, SIZE), np.dtype(np.float32))],
            [
                TensorSpec("scores", (1, cells, 1), np.dtype(np.float32)),
                TensorSpec("boxes", (1, cells, 4), np.dtype(np.float32)),
            ],
            {METADATA_KEY: card.to_json()},
        )
        self._boxes = np.zeros((ROUND, people, 4), np.float32)
        self._scores = np.zeros((ROUND, people), np.float32)
        self._cells = cells
        crowd = Crowd(ROUND, people, fps=FPS)
        scale = np.array([SIZE / crowd.size[0], SIZE / crowd.size[1]] * 2, np.float32)
        for index, observation in enumerate(crowd):
            found = observation.detections
            self._boxes[index, : len(found)] = found.xyxy * scale
            self._scores[index, : len(found)] = found.score

    def infer(self, feeds: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Scores `(1, cells, 1)` and boxes `(1, cells, 4)` of the picture's moment."""
        low, middle, high = (int(v) for v in feeds["images"][0, :, 0, 0])
        moment = (low + (middle << 8) + (high << 16)) % ROUND
        scores = np.zeros((1, self._cells, 1), np.float32)
        boxes = np.zeros((1, self._cells, 4), np.float32)
        count = self._boxes.shape[1]
        scores[0, :count, 0], boxes[0, :count] = self._scores[moment], self._boxes[moment]
        return {"scores": scores, "boxes": boxes}


def made_up_model(people: int = 4) -> Model:
    """A real model around a graph that knows who walks where."""
    return build_model(Graph(people), classes=["person"])


def measure(frames: int = 1_000_000, people: int = 4, progress: bool = False) -> Dict[str, Any]:
    """One long run.

    Returns:
        `growth_mb`; `readings` by share of the run, each `mb`, `descriptors` and `threads`;
        `steady`, whether descriptors and threads are the same from the first twentieth on;
        `minutes` and `cpu_minutes`; `events`, and `processed` frames.

    Raises:
        EdgelaneError: The run failed.
    """
    every = max(frames // 20, 1)
    readings: List[Dict[str, Any]] = []

    def read(step: Step) -> None:
        if step.observation is not None and (step.observation.index + 1) % every == 0:
            gc.collect()
            readings.append(
                {
                    "frames": step.observation.index + 1,
                    "mb": round(resident_mb(), 2),
                    "descriptors": len(os.listdir("/proc/self/fd")),
                    "threads": threading.active_count(),
                }
            )

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        model = stack.enter_context(made_up_model(people))
        journal = stack.enter_context(Journal(Path(folder) / "events.db"))
        stream = Stream(Numbered(frames), lambda size: counting(size, ["person"]))
        stats = run_loop(
            {"camera": stream},
            model,
            journal,
            sinks=[read],
            workers=1,
            progress=Progress() if progress else None,
        )
        events = journal.count()
    settled = [r for r in readings if r["frames"] >= SETTLED * frames]
    # At the last frame the capture's thread may have ended.
    counts = {(r["descriptors"], r["threads"]) for r in settled[:-1]}
    return {
        "frames": frames,
        "processed": stats.processed,
        "events": events,
        "minutes": round(stats.wall_s / 60, 2),
        "cpu_minutes": round(stats.cpu_s / 60, 2),
        "growth_mb": round(settled[-1]["mb"] - settled[0]["mb"], 2),
        "steady": len(counts) == 1,
        "readings": readings,
    }


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; exits 1 where something grows and `--check` asks for it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 where a limit is passed")
    options = parser.parse_args(arguments)
    try:
        result = measure(options.frames, options.people, progress=not options.json)
    except EdgelaneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(result))
    else:
        last = result["readings"][-2]
        readings = " ".join(f"{reading['mb']:.1f}" for reading in result["readings"])
        print(
            f"{result['processed']:,} frames, {result['events']:,} events in "
            f"{result['minutes']:.1f} minutes (limit {MINUTES:g} for a million); "
            f"{result['cpu_minutes']:.1f} minutes of CPU\n"
            f"resident MB over the run: {readings}\n"
            f"growth after the first twentieth: {result['growth_mb']:.2f} MB "
            f"(limit {GROWTH_MB:g})\n"
            f"file descriptors {last['descriptors']}, threads {last['threads']}: "
            f"{'constant' if result['steady'] else 'NOT constant'}"
        )
    good = (
        result["growth_mb"] < GROWTH_MB
        and result["steady"]
        and result["processed"] == result["frames"]
        and result["minutes"] <= MINUTES * max(result["frames"] / 1e6, 0.05)
    )
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
