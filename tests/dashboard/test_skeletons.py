"""Skeletons of people in the report, and classes and halts on a line of time."""

import numpy as np
import pytest

from edgelane.core import Event
from edgelane.dashboard.report import read_run, render
from edgelane.dashboard.skeletons import MOST_PEOPLE, SkeletonTrails
from edgelane.pipelines.pose.trails import MOST, Trails
from edgelane.runtime.journal import Journal


def points(x, seen=17):
    rows = np.array([[x + k, 50 + 5 * k, 0.9] for k in range(17)], float)
    rows[seen:] = np.nan
    return rows


def test_a_few_skeletons_of_each_are_kept_evenly_in_time():
    trails = Trails()
    for i in range(600):
        trails.look([1], points(i)[None], i / 10)
    other = Trails()
    other.load_state(trails.state())
    kept = other.of(1)
    times = [time for time, _ in kept]
    assert MOST // 2 <= len(kept) <= MOST and times[0] == 0 and times[-1] > 40
    assert np.ptp(np.diff(times)) < 0.2
    assert other.of(1) is None and kept[0][1][3] == [3, 65]


def test_what_was_not_seen_is_left_out():
    trails = Trails()
    trails.look([1, 2], np.stack([points(0, 5), points(0, 2)]), 0.0)
    assert trails.of(1)[0][1][4:6] == [[4, 70], None]
    assert trails.of(2) is None


def person(track, x, count=4):
    rows = points(x)[:, :2].astype(int).tolist()
    return {
        "track": track, "first": 0.0, "last": 4.0, "looked_at": 9, "points": 0.8,
        "trail": [[float(k), [[a + 9 * k, b] for a, b in rows]] for k in range(count)],
    }  # fmt: skip


def test_some_people_are_drawn_and_the_others_counted():
    trails = SkeletonTrails()
    for k in range(40):
        trails.add(0.0, person(k, 10 * k))
    trails.add(0.0, {"track": 99})
    view = trails.view()
    assert MOST_PEOPLE // 2 <= len(view.people) <= MOST_PEOPLE
    assert view.note.endswith(f"{len(view.people)} of 40 people are drawn.")
    strengths = [s.strength for s in view.people[0].skeletons]
    assert strengths == sorted(strengths) and strengths[-1] == 1.0
    assert view.people[0].skeletons[0].d.count("M") > 10
    with pytest.raises((ValueError, TypeError)):
        SkeletonTrails().add(0.0, {"trail": [[0.0, [["x", 1]]]]})
    assert SkeletonTrails().view() is None


def test_skeletons_of_unknown_points_are_dots():
    trails = SkeletonTrails()
    trails.add(0.0, {"trail": [[0.0, [[1, 2], None, [3, 4], [5, 6]]]]})
    assert trails.view().people[0].skeletons[0].d == "M1 2h0M3 4h0M5 6h0"


def test_the_page_shows_skeletons_classes_and_halts(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        journal.set("clock", "file")
        journal.set("shapes", {"c": {"size": [640, 480]}})
        events = [
            Event("c", 4.0, "person", person(1, 40)),
            Event("c", 4.5, "spell", {"class": "dirty<b>", "since": 1.0, "until": 4.5,
                                      "duration_s": 3.5, "score": 0.9}),
            Event("c", 5.0, "started", {"by": "hall", "event": "go", "track": 1, "stopped_s": 2.0}),
            Event("c", 6.0, "signal", {"name": "call", "on": False, "by": "time", "track": None,
                                       "since": 3.0}),
            Event("c", 7.0, "shares", {"seconds": {}}),
            Event("c", 8.0, "person", {"track": 2, "trail": [[0.0, [["x"]]]]}),
        ]  # fmt: skip
        journal.write("c", 0, 8.0, events, None)
    page = render(read_run(tmp_path))
    assert "How people moved" in page and 'class="bones"' in page
    for text in ("dirty&lt;b&gt;", "stopped", "signal call", "until hall"):
        assert text in page
    assert "dirty<b>" not in page and ">shares<" not in page
