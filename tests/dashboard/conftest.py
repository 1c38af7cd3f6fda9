"""Run folders to report on: one counted by the real pipeline, others made of plain events."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgelane.core import Detections, Event, Observation
from edgelane.pipelines.counting import Counting, LineShape, ZoneShape
from edgelane.runtime.journal import Journal

SIZE = (640, 360)
LINES = {"door": ((320, 340), (320, 40)), "back": ((600, 350), (600, 20))}
ZONES = {
    "checkout": [(40, 120), (280, 120), (280, 330), (40, 330)],
    "empty": [(1, 1), (9, 1), (5, 9)],
}


def shapes(lines=LINES, zones=ZONES, size=SIZE):
    return {
        "size": list(size),
        "lines": {k: {"from": list(a), "to": list(b)} for k, (a, b) in lines.items()},
        "zones": {k: {"polygon": [list(p) for p in v]} for k, v in zones.items()},
    }


def walk(camera="camera", seconds=60.0, fps=5.0, start=0.0, lines=LINES, zones=ZONES):
    """Events and summary of people who walk to and fro, counted by the real pipeline."""
    settings = Counting.Settings(
        lines={k: LineShape(*v) for k, v in lines.items()},
        zones={k: ZoneShape(v) for k, v in zones.items()},
    )
    counting = Counting(camera, settings, SIZE, ["person"])
    events = []
    for i in range(int(seconds * fps)):
        t = i / fps
        feet = [
            (40 + (t * 35 + 150 * k) % 560, 200 + 40 * k, 1 + k + 3 * int((t * 35 + 150 * k) / 560))
            for k in range(3)
        ]
        boxes = np.array([[x - 20, y - 100, x + 20, y] for x, y, _ in feet])
        ids = np.array([k for _, _, k in feet])
        found = Detections(boxes, np.full(3, 0.9), np.zeros(3), ids)
        events += counting.process(Observation(camera, start + t, found, SIZE, None, i))
    events += counting.finish()
    part = counting.summarise(events)
    return events, {**part, "frames": int(seconds * fps), "duration_s": seconds, "dropped": 0}


def put(folder: Path, events, summary=None, drawn=None, clock="file", pictures=()):
    """Write a run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with Journal(folder / "events.db") as journal:
        for camera in dict.fromkeys(e.camera for e in events):
            own = [e for e in events if e.camera == camera]
            journal.write(camera, len(own), own[-1].timestamp, own)
        journal.set("clock", clock)
        journal.set("shapes", drawn or {})
        for camera, content in dict(pictures).items():
            journal.set_blob(camera, "scene", content)
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


RUN = {
    "fps": 88.25,
    "timing_ms": {"decode": 0.6, "infer": 14.0, "pipeline": 0.5},
    "cpu_ms": {"decode": 0.7, "infer": 13.0, "pipeline": 0.5},
    "ended": "end",
    "interrupted": False,
    "run": {"pipeline": "counting", "model": "nano.onnx", "precision": "fp32"},
}


@pytest.fixture(scope="session")
def walked():
    """Events and summary of one minute; not to be changed."""
    return walk()


@pytest.fixture
def run_folder(tmp_path, walked):
    """A whole run of one camera."""
    events, part = walked
    return put(tmp_path / "run", events, {**part, **RUN}, {"camera": shapes()})


@pytest.fixture
def make_run():
    """`put`, `walk`, `shapes`, `Event` and `RUN` for tests that need another run."""

    class Make:
        pass

    Make.put, Make.walk, Make.shapes = staticmethod(put), staticmethod(walk), staticmethod(shapes)
    Make.Event, Make.RUN = Event, RUN
    return Make
