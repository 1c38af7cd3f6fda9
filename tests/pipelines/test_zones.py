"""Zones: one entry and one visit for each time somebody is there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.core import Tracks
from edgelane.pipelines.geometry import Polygon
from edgelane.pipelines.state import decode, encode
from edgelane.pipelines.zones import Entry, Visit, ZoneMonitor

ZONE = Polygon([(200, 100), (400, 100), (400, 300), (200, 300)])
HEIGHT = 80.0


def make(rows, ended=(), height=HEIGHT):
    """Tracks from (id, x, y[, observed[, confirmed]]) of the foot points."""
    rows = [(*row, True, True)[:5] if len(row) < 5 else row for row in rows]
    rows = [(r[0], r[1], r[2], r[3], r[4]) for r in rows]
    n = len(rows)
    x = np.array([r[1] for r in rows], float)
    y = np.array([r[2] for r in rows], float)
    boxes = np.stack((x - height / 5, y - height, x + height / 5, y), axis=1) if n else []
    return Tracks(
        [r[0] for r in rows],
        boxes,
        boxes,
        np.ones(n),
        np.zeros(n),
        [bool(r[3]) for r in rows],
        [bool(r[4]) for r in rows],
        list(ended),
    )


def run(frames, fps=10.0, zone=ZONE, size=None, **options):
    """Changes of a list of frames, each a list of rows or Tracks."""
    monitor = ZoneMonitor({"till": zone}, size=size)
    changes = []
    for i, frame in enumerate(frames):
        tracks = frame if isinstance(frame, Tracks) else make(frame, **options)
        changes += monitor.update(tracks, i / fps)
    return changes, changes + monitor.finish(), monitor


def entries(changes):
    return [c for c in changes if isinstance(c, Entry)]


def visits(changes):
    return [c for c in changes if isinstance(c, Visit)]


@pytest.mark.parametrize("fps", [3, 7, 10, 25])
def test_walking_through_is_one_visit_with_its_true_times(fps):
    path = [[(1, 100 + 100 * i / fps, 200)] for i in range(4 * fps + 1)]  # 100 px a second
    _, changes, _ = run(path, fps)
    (entry,), (visit,) = entries(changes), visits(changes)
    assert entry.zone == visit.zone == "till" and visit.track_id == 1
    assert visit.entered == entry.entered
    assert visit.entered == pytest.approx(1.0, abs=0.15 + 1 / fps)
    # The track ends one second after it left, before that was certain: it left then all the same.
    assert visit.left == pytest.approx(3.0, abs=0.15 + 1 / fps)


@pytest.mark.parametrize("seed", range(50))
def test_standing_on_the_border_with_noise_is_at_most_one_visit(seed):
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.05 * HEIGHT, (200, 2))
    _, changes, _ = run([[(1, 200 + dx, 200 + dy)] for dx, dy in noise])
    assert len(entries(changes)) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_standing_inside_with_noise_is_exactly_one_visit(seed):
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.05 * HEIGHT, (300, 2))
    _, changes, _ = run([[(1, 216 + dx, 200 + dy)] for dx, dy in noise])
    assert len(entries(changes)) == 1
    assert visits(changes)[0].left == pytest.approx(29.9)


def test_touching_the_zone_and_turning_back_is_no_entry():
    depth = [180, 190, 198, 204, 206, 204, 198, 190, 180]
    _, changes, _ = run([[(1, x, 200)] for x in depth])
    assert changes == []


def test_a_box_that_flickers_into_the_zone_is_no_entry():
    frames = [[(1, 150, 200)] for _ in range(60)]
    for i in (10, 20, 21, 40):
        frames[i] = [(1, 300, 200)]
    assert run(frames)[1] == []


def test_a_box_that_flickers_out_of_the_zone_does_not_split_the_visit():
    frames = [[(1, 300, 200)] for _ in range(100)]
    for i in (10, 30, 31, 32, 60, 61):
        frames[i] = [(1, 100, 200)]
    _, changes, _ = run(frames)
    assert len(entries(changes)) == len(visits(changes)) == 1


def test_legs_hidden_for_some_frames_do_not_split_the_visit():
    low = Polygon([(200, 250), (400, 250), (400, 330), (200, 330)])
    frames = [[(1, 300, 300)] for _ in range(80)]
    for i in range(30, 38):
        frames[i] = [(1, 300, 235)]  # the box ends at the waist, outside the zone
    _, changes, _ = run(frames, zone=low)
    assert len(entries(changes)) == len(visits(changes)) == 1
    assert visits(changes)[0].left - visits(changes)[0].entered == pytest.approx(7.9)


def test_a_lost_gap_is_bridged_and_a_long_one_is_not():
    short = [[(1, 300, 200)]] * 30 + [[]] * 20 + [[(1, 310, 200)]] * 30
    assert len(visits(run(short)[1])) == 1
    long = [[(1, 300, 200)]] * 30 + [[]] * 80 + [[(1, 310, 200)]] * 30
    first, second = visits(run(long)[1])
    assert first.left == pytest.approx(2.9) and second.entered == pytest.approx(11.0)


def test_predicted_boxes_are_no_evidence():
    frames = [[(1, 150, 200)]] * 10 + [[(1, 300, 200, False)]] * 10 + [[(1, 150, 200)]] * 10
    assert run(frames)[1] == []


def test_another_track_is_another_visit():
    frames = [[(1, 300, 200)]] * 20 + [make([(2, 300, 200)], ended=[1])] + [[(2, 300, 200)]] * 20
    _, changes, _ = run(frames)
    assert [c.track_id for c in visits(changes)] == [1, 2]
    assert [c.track_id for c in entries(changes)] == [1, 2]


def test_a_tentative_track_is_told_when_it_is_confirmed():
    tentative = [[(1, 300, 200, True, False)]] * 8
    changes, _, _ = run(tentative)
    assert changes == []
    changes, _, _ = run(tentative + [[(1, 300, 200)]])
    assert [c.entered for c in entries(changes)] == [0.0]


def test_a_tentative_track_that_ends_is_forgotten():
    frames = [[(1, 300, 200, True, False)]] * 8 + [make([], ended=[1])]
    _, changes, monitor = run(frames)
    assert changes == []
    state = monitor.state()
    assert state["held"] == [] and len(state["table"]["ids"]) == 0


def test_an_end_while_leaving_ends_the_visit_where_the_leaving_began():
    frames = [[(1, 300, 200)]] * 20 + [[(1, 100, 200)]] * 4 + [make([], ended=[1])]
    (visit,) = visits(run(frames)[1])
    assert visit.left == pytest.approx(2.0)


def test_a_doormat_smaller_than_the_tolerance_can_be_entered():
    mat = Polygon([(300, 200), (312, 200), (312, 206), (300, 206)])
    _, changes, _ = run([[(1, 306, 203)]] * 20, zone=mat)
    assert len(entries(changes)) == 1


def test_feet_cut_off_by_the_border_of_the_picture_are_in_a_zone_that_reaches_it():
    corner = Polygon([(500, 300), (640, 300), (640, 358), (500, 358)])
    frames = [[(1, 600, 360)]] * 20
    assert len(entries(run(frames, zone=corner, size=(640, 360))[1])) == 1
    frames = [[(1, 660, 375)]] * 20
    assert len(entries(run(frames, zone=corner, size=(640, 360))[1])) == 1


def test_a_zone_over_the_whole_picture_holds_everyone():
    whole = Polygon([(0, 0), (640, 0), (640, 360), (0, 360)])
    frames = [[(1, 2, 359), (2, 300, 200), (3, 640, 360)]] * 20
    assert len(entries(run(frames, zone=whole, size=(640, 360))[1])) == 3


def test_presence_counts_confirmed_visits_that_were_seen_lately():
    rows = [(1, 300, 200), (2, 310, 200), (3, 320, 200, True, False), (4, 50, 50)]
    monitor = ZoneMonitor({"till": ZONE, "far": Polygon([(0, 0), (9, 0), (0, 9)])})
    for i in range(10):
        monitor.update(make(rows), i / 10)
    assert monitor.presence(0.9).tolist() == [2, 0]
    assert monitor.presence(1.8).tolist() == [2, 0]
    assert monitor.presence(2.0).tolist() == [0, 0]


def test_everything_scales_with_the_picture():
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.normal(0, 12, (400, 2)), axis=0) + (300, 200)
    small = run([[(1, x, y)] for x, y in walk])[1]
    zone = ZONE.scaled(1.5, 1.5)
    large = run([[(1, 1.5 * x, 1.5 * y)] for x, y in walk], zone=zone, height=1.5 * HEIGHT)[1]
    assert len(visits(small)) > 1 and small == large


def test_half_the_frames_give_the_same_visits():
    rng = np.random.default_rng(6)
    turns = np.sin(np.arange(1200) / 40)[:, None] * (180, 20)  # in and out, five times a minute
    walk = turns + (300, 200) + rng.normal(0, 1.5, turns.shape)
    all_frames = visits(run([[(1, x, y)] for x, y in walk], fps=20)[1])
    half = visits(run([[(1, x, y)] for x, y in walk[::2]], fps=10)[1])
    assert len(all_frames) == len(half) > 1
    for a, b in zip(all_frames, half):
        assert a.entered == pytest.approx(b.entered, abs=0.3)  # noise moves the moment a little


def test_without_zones_there_is_nothing_to_do():
    monitor = ZoneMonitor({})
    assert monitor.update(make([(1, 5, 5)]), 0.0) == [] and monitor.finish() == []
    assert monitor.presence(0.0).shape == (0,)


def test_memory_is_flat_while_tracks_are_born_and_die():
    monitor = ZoneMonitor({"till": ZONE})
    for i in range(2000):
        monitor.update(make([(i + 1, 300, 200), (i + 2, 100, 200)], ended=[i]), i / 10)
    state = monitor.state()
    assert len(state["table"]["ids"]) == 2 and len(encode(state)) < 2000


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 99))
def test_a_restart_changes_nothing(seed, cut):
    rng = np.random.default_rng(seed)
    places = rng.uniform((150, 80), (450, 330), (6, 2))
    zones = {"till": ZONE, "tip": Polygon([(380, 50), (460, 200), (380, 350)])}
    one, other = ZoneMonitor(zones), ZoneMonitor(zones)
    told, again = [], []
    for i in range(100):
        places += rng.normal(0, 10, places.shape)
        here = np.flatnonzero(rng.random(6) < 0.9)
        rows = [(k + 1 + 6 * (i // 40), *places[k], rng.random() < 0.9, i % 40 > 3) for k in here]
        ended = [k + 1 + 6 * (i // 40 - 1) for k in range(6)] if i in (40, 80) else []
        tracks = make(rows, ended)
        told += one.update(tracks, i / 10)
        if i == cut:
            fresh = ZoneMonitor(zones)
            fresh.load_state(decode(encode(other.state())))
            other = fresh
        again += other.update(tracks, i / 10)
        assert one.presence(i / 10).tolist() == other.presence(i / 10).tolist()
    assert told == again and one.finish() == other.finish()


@pytest.mark.data
def test_entries_of_people_on_a_campus_are_those_of_their_true_paths(data):
    """Truth: further in than 3 px, then further out; entries of under half a second may differ."""
    rows = np.loadtxt(data / "mot/PETS09-S2L1/gt/gt_f1-400.txt", delimiter=",")
    rng = np.random.default_rng(1)
    zones = {}
    for k in range(20):
        angles = np.arange(5) * 1.2566 + rng.uniform(-0.4, 0.4, 5)
        ring = rng.uniform(60, 160) * np.stack((np.cos(angles), np.sin(angles)), axis=1)
        zones[f"{k}"] = Polygon([tuple(p) for p in ring + rng.uniform((150, 180), (618, 420))])
    expected, brief = dict.fromkeys(zones, 0), 0
    for person in np.unique(rows[:, 1]):
        path = rows[rows[:, 1] == person]
        feet = np.stack((path[:, 2] + path[:, 4] / 2, path[:, 3] + path[:, 5]), axis=1)
        for name, zone in zones.items():
            ring = np.array(zone.points)
            way = np.roll(ring, -1, axis=0) - ring
            part = ((feet[:, None] - ring) * way).sum(-1) / (way**2).sum(-1)
            nearest = ring + np.clip(part, 0, 1)[..., None] * way
            away = np.hypot(*(feet[:, None] - nearest).transpose(2, 0, 1)).min(axis=1)
            began = None
            for i, (clear, inside) in enumerate(zip(away > 3, zone.contains(feet))):
                if began is None and clear and inside:
                    began = i
                    expected[name] += 1
                elif began is not None and clear and not inside:
                    brief += i - began < 3.5
                    began = None
    monitor, told = ZoneMonitor(zones), []
    for frame in range(1, 401):
        now = rows[rows[:, 0] == frame]
        boxes = np.concatenate((now[:, 2:4], now[:, 2:4] + now[:, 4:6]), axis=1)
        n = np.ones(len(now))
        told += monitor.update(Tracks(now[:, 1], boxes, boxes, n, n, n > 0, n > 0, []), frame / 7)
    told += monitor.finish()
    found = dict.fromkeys(zones, 0)
    for entry in entries(told):
        found[entry.zone] += 1
    total = sum(expected.values())
    wrong = sum(abs(found[name] - expected[name]) for name in zones)
    assert total > 60 and wrong <= brief + 0.02 * total
    assert len(visits(told)) == len(entries(told))
