"""The whole way from rendered pictures to counts, visits, heat and paths, beside the exact truth.

Once with perfect detections, whose tracks are known or found by the tracker, and once with what the
shipped detector makes of the pictures.
"""

from typing import Any, Dict, List, NamedTuple

import numpy as np
import pytest

from edgelane.cli.jobs import demo
from edgelane.cli.jobs.demo import CONFIDENCE, TRACKER
from edgelane.core import Detections, Observation
from edgelane.pipelines.counting import Counting, LineShape, ZoneShape
from edgelane.runtime.model import load_model
from edgelane.runtime.models import STORE_PERSON
from edgelane.runtime.synth import merged, open_scene, truth_counts

cv2 = pytest.importorskip("cv2")
VISIBLE = 0.25
# As `edgelane demo` has them.
DEMO: Dict[str, Any] = {"people": 8, "room": "wide", "fps": 15}
SEED, SECONDS = 5, 18


class Run(NamedTuple):
    """A scene, what is true in each of its frames, and what was made of it.

    Where boxes come from the detector, `loose` is 2: they reach beyond feet and behind shelves.
    """

    loose: int
    scene: Any
    truths: List[Any]
    summary: Dict[str, Any]
    events: List[Any]

    def of(self, kind: str) -> List[Dict[str, Any]]:
        return [event.payload for event in self.events if event.kind == kind]


def counted(scene: Any, truths: List[Any], detections: List[Detections], loose: int) -> Run:
    layout = scene.layout
    settings = Counting.Settings(
        lines={name: LineShape(*ends) for name, ends in layout.lines.items()},
        zones={name: ZoneShape(points) for name, points in layout.zones.items()},
        tracker=type(Counting.Settings().tracker)(**TRACKER),
    )
    counting = Counting("store", settings, scene.size, ["person"])
    events = []
    for truth, found in zip(truths, detections):
        events += counting.process(Observation("store", truth.timestamp, found, scene.size))
    events += counting.finish()
    return Run(loose, scene, truths, counting.summarise(events), events)


def perfect(seed: int, seconds: float, ids: bool) -> Run:
    scene = open_scene("store", seed=seed, seconds=seconds, **DEMO)
    truths = list(scene.truths())
    detections = []
    for truth in truths:
        found = truth.detections(VISIBLE)
        if not ids:
            # A detector is as sure of half a person that it sees well as of a whole one.
            found = Detections(found.xyxy, np.full(len(found), 0.8), found.class_id)
        detections.append(found)
    return counted(scene, truths, detections, 1)


def detected(seed: int, seconds: float) -> Run:
    scene = open_scene("store", seed=seed, seconds=seconds, **DEMO)
    truths, detections = [], []
    with load_model(STORE_PERSON, confidence=CONFIDENCE, threads=1) as model:
        for frame, truth in scene:
            truths.append(truth)
            detections.append(model(frame.image))
    return counted(scene, truths, detections, 2)


@pytest.fixture(scope="module", params=["ids", "tracker", "detector"])
def run(request) -> Run:
    """Some seconds of a store, in three ways."""
    if request.param == "detector":
        return detected(SEED, SECONDS)
    return perfect(SEED, SECONDS, ids=request.param == "ids")


def wrong(run: Run) -> int:
    """Crossings too many or too few, by line and direction."""
    told, true = run.summary["lines"], truth_counts(run.scene).lines
    return sum(abs(told[name][way] - true[name][way]) for name in true for way in true[name])


def test_crossings_are_those_of_the_truth(run):
    assert truth_counts(run.scene).crossings >= 4
    assert wrong(run) == 0


def test_people_and_visits_are_those_of_the_truth(run):
    truth = truth_counts(run.scene)
    assert abs(run.summary["visitors"] - truth.visitors) <= 2
    told = [(v["zone"], v["entered"], v["left"]) for v in run.of("visit")]
    long = [v for v in merged(run.scene.visits) if v.left - v.entered > 4]
    assert long
    for visit in long:
        shared = max(
            min(left, visit.left) - max(entered, visit.entered)
            for zone, entered, left in told
            if zone == visit.zone
        )
        assert shared > 0.6 * (visit.left - visit.entered), visit


def test_dwell_sums_to_what_people_spent_in_the_zones(run):
    for name in run.scene.layout.zones:
        told = sum(v["dwell_s"] for v in run.of("visit") if v["zone"] == name)
        true = sum(v.left - v.entered for v in merged(run.scene.visits) if v.zone == name)
        assert told == pytest.approx(true, rel=0.25 * run.loose, abs=2.0), name


def test_heat_lies_where_people_stood(run):
    (part,) = run.of("heatmap")
    columns, rows = part["grid"]
    told = np.zeros(columns * rows)
    told[part["cells"]] = part["seconds"]
    true = np.zeros((rows, columns))
    for truth in run.truths:
        for x1, _, x2, y2 in truth.xyxy[truth.visibility >= VISIBLE]:
            x, y = 0.5 * (x1 + x2) * columns / run.scene.size[0], y2 * rows / run.scene.size[1]
            true[min(int(y), rows - 1), min(int(x), columns - 1)] += 1 / run.scene.fps
    # Blurred by three cells, about half the breadth of a person: feet are not told to the pixel.
    one, two = (cv2.GaussianBlur(h.reshape(rows, columns), (0, 0), 3.0) for h in (told, true))
    assert np.minimum(one, two).sum() / true.sum() > 0.85
    assert told.sum() == pytest.approx(true.sum(), rel=0.1)


def test_paths_follow_feet(run):
    """At each moment a path is where somebody's box stands."""
    off, length = [], 0.0
    for track in run.of("track"):
        length += track["last"] - track["first"]
        path = np.array(track["path"])
        for moment in np.arange(track["first"], track["last"], 0.2):
            truth = run.truths[min(round(moment * run.scene.fps), len(run.truths) - 1)]
            x, y = (np.interp(moment, path[:, 0], path[:, k]) for k in (1, 2))
            boxes = truth.xyxy
            feet = np.column_stack([0.5 * (boxes[:, 0] + boxes[:, 2]), boxes[:, 3]])
            tall = boxes[:, 3] - boxes[:, 1]
            off.append(float((np.hypot(feet[:, 0] - x, feet[:, 1] - y) / tall).min()))
    assert len(off) > 200
    assert np.median(off) < 0.1 * run.loose and np.percentile(off, 90) < 0.17 * run.loose
    seen = sum((truth.visibility >= VISIBLE).sum() for truth in run.truths) / run.scene.fps
    assert length == pytest.approx(seen, rel=0.15)


@pytest.mark.slow
def test_of_many_stores_perfect_boxes_lose_hardly_a_crossing():
    runs = [perfect(seed, 40, ids=False) for seed in range(201, 209)]
    assert sum(wrong(run) for run in runs) <= 0.03 * sum(
        truth_counts(run.scene).crossings for run in runs
    )


@pytest.mark.slow
def test_the_demo_is_right_in_stores_that_nobody_looked_at(tmp_path):
    results = [demo(seed=seed, out=tmp_path / "run")[0] for seed in (1, 211, 212, 213)]
    assert results[0]["errors"] <= 1
    assert sum(r["errors"] for r in results) <= 0.06 * sum(r["crossings"] for r in results)
