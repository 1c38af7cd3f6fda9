"""Visitors: each person genuinely seen is told once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.core import Tracks
from edgelane.pipelines.state import decode, encode
from edgelane.pipelines.visitors import VisitorCounter

SIZE = (640, 360)
H = 80.0


def make(rows, ended=()):
    """Tracks from (id, x, y, height[, observed[, confirmed]]); x, y are the foot point."""
    rows = [tuple(row) + (True, True)[len(row) - 4 :] for row in rows]
    boxes = [(x - h / 5, y - h, x + h / 5, y) for _, x, y, h, _, _ in rows]
    n = len(rows)
    return Tracks(
        [r[0] for r in rows],
        boxes,
        boxes,
        np.ones(n),
        np.zeros(n),
        [r[4] for r in rows],
        [r[5] for r in rows],
        list(ended),
    )


def run(frames, fps=10.0, **options):
    """Ids told of frames, each a list of rows, or a pair of rows and ended ids."""
    visitors = VisitorCounter(size=SIZE, **options)
    told = []
    for i, frame in enumerate(frames):
        rows, ended = frame if isinstance(frame, tuple) else (frame, ())
        told += [v.track_id for v in visitors.update(make(rows, ended), i / fps)]
    return told, visitors


def walk(track_id, start, n, speed=8.0, y=200.0, height=H):
    """Frames of someone who walks; speed in pixels a frame."""
    return [[(track_id, start + speed * i, y, height)] for i in range(n)]


@pytest.mark.parametrize("fps", [2, 5, 10, 25])
def test_someone_who_walks_through_is_one_visitor(fps):
    assert run(walk(1, 100, 4 * fps, 80 / fps), fps)[0] == [1]


def test_someone_who_stays_is_told_after_a_while():
    assert run([[(1, 300, 200, H)]] * 40)[0] == []
    assert run([[(1, 300, 200, H)]] * 60)[0] == [1]


def test_someone_who_walks_towards_the_camera_is_a_visitor():
    frames = [[(1, 300, 200 + 0.5 * i, 60 * 1.03**i)] for i in range(30)]
    assert run(frames)[0] == [1]


def test_something_static_of_short_life_is_none():
    rng = np.random.default_rng(0)
    frames = [[(1, 300 + dx, 200 + dy, H)] for dx, dy in rng.normal(0, 0.05 * H, (30, 2))]
    assert run([*frames, ([], [1])])[0] == []


def test_something_static_that_flickers_is_none_however_long_it_lives():
    frames = [[(1, 300, 200, H, i % 3 == 0)] for i in range(600)]
    assert run(frames)[0] == []


def test_what_flits_by_in_an_instant_is_none():
    assert run(walk(1, 100, 5, 20))[0] == []


def test_tentative_tracks_are_told_when_they_are_confirmed():
    frames = [[(1, 100 + 8 * i, 200, H, True, i >= 20)] for i in range(30)]
    assert run(frames[:20])[0] == []
    told, visitors = run(frames[:21])
    assert told == [1] and visitors.is_visitor(1)


def test_a_broken_track_that_goes_on_is_one_person():
    frames = walk(1, 100, 25) + [[]] * 10 + walk(2, 100 + 8 * 35, 25)
    told, visitors = run(frames)
    assert told == [1] and visitors.follows(2) == 1


def test_a_broken_track_that_has_ended_meanwhile_is_one_person_too():
    frames = [*walk(1, 100, 25), *[[]] * 9, ([], [1]), *walk(2, 100 + 8 * 35, 25)]
    assert run(frames)[0] == [1]


def test_fragments_too_short_alone_make_one_person_together():
    frames = walk(1, 100, 6) + [[]] * 3 + walk(2, 100 + 8 * 9, 6) + [[]] * 3 + walk(3, 244, 8)
    told, _ = run(frames)
    assert len(told) == 1


def test_another_person_elsewhere_is_another_visitor():
    frames = walk(1, 100, 25) + [[]] * 10 + walk(2, 100, 25)
    assert run(frames)[0] == [1, 2]


def test_another_height_is_another_person():
    frames = walk(1, 100, 25) + [[]] * 10 + walk(2, 100 + 8 * 35, 25, height=0.5 * H)
    assert run(frames)[0] == [1, 2]


def test_someone_later_is_another_person():
    frames = walk(1, 100, 25) + [[]] * 60 + walk(2, 300, 25)
    assert run(frames)[0] == [1, 2]


def test_two_people_at_once_are_never_joined():
    frames = [a + b for a, b in zip(walk(1, 100, 40), walk(2, 120, 40))]
    assert run(frames)[0] == [1, 2]


def test_who_leaves_the_picture_is_not_continued_by_who_comes_in():
    out = [[(1, 560 + 8 * i, 200, H)] for i in range(10)]
    back = [[(2, 636 - 8 * i, 200, H)] for i in range(30)]
    assert run(walk(1, 400, 20) + out + [[]] * 5 + back)[0] == [1, 2]


def test_who_comes_out_of_a_door_where_another_went_in_is_another_person():
    frames = walk(1, 100, 25) + [[]] * 5 + walk(2, 100 + 8 * 25, 30, speed=-8)
    assert run(frames)[0] == [1, 2]


def test_a_link_is_undone_when_the_first_track_comes_back():
    first = walk(1, 100, 60)
    second = walk(2, 100 + 8 * 30, 40)
    frames = first[:25] + [[]] * 5 + second[:10]
    frames += [a + b for a, b in zip(first[40:], second[10:])]
    told, visitors = run(frames)
    assert told == [1, 2] and visitors.follows(2) == 0


def test_one_lost_track_is_continued_by_one_track_only():
    frames = walk(1, 100, 25) + [[]] * 5
    frames += [[*a, *b] for a, b in zip(walk(2, 340, 30, y=195), walk(3, 340, 30, y=205))]
    told, _ = run(frames)
    assert len(told) == 2


def test_given_ids_are_the_truth_and_are_told_once_even_if_they_come_back():
    frames = [*walk(1, 100, 25), ([], [1]), *walk(2, 300, 25), ([], [2]), *walk(1, 100, 25)]
    assert run(frames, stitch=False)[0] == [1, 2]


def test_everything_scales_with_the_picture():
    frames = walk(1, 100, 25) + [[]] * 10 + walk(2, 100 + 8 * 35, 25)
    large = [[(k, 1.6 * x, 1.6 * y, 1.6 * h) for k, x, y, h in frame] for frame in frames]
    visitors = VisitorCounter(size=(1024, 576))
    times = [i / 10 for i, f in enumerate(large) if visitors.update(make(f), i / 10)]
    small = VisitorCounter(size=SIZE)
    assert times == [i / 10 for i, f in enumerate(frames) if small.update(make(f), i / 10)]


def test_memory_is_flat_while_tracks_are_born_and_die():
    visitors = VisitorCounter(size=SIZE)
    sizes = []
    for i in range(6000):
        track_id = i // 12
        rows = [(track_id + 1, 100 + 10 * (i % 12), 200, H)]
        visitors.update(make(rows, [track_id] if i % 12 == 0 else ()), i / 10)
        sizes.append(len(encode(visitors.state())))
    assert max(sizes[3600:]) <= max(sizes[:3600]) + 200


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 119))
def test_a_restart_changes_nothing(seed, cut):
    rng = np.random.default_rng(seed)
    one, other = VisitorCounter(size=SIZE), VisitorCounter(size=SIZE)
    places, ids, born = rng.uniform((100, 100), (500, 300), (8, 2)), list(range(1, 9)), 8
    speed = rng.normal(0, 5, (8, 2))
    told, again = [], []
    for i in range(120):
        places += speed
        ended, rows = [], []
        for k in range(8):
            if rng.random() < 0.03:  # the track breaks and goes on under another id
                ended.append(ids[k])
                born += 1
                ids[k] = born
            if rng.random() < 0.85:
                rows.append((ids[k], *places[k], H + k, rng.random() < 0.9, rng.random() < 0.9))
        tracks = make(rows, ended)
        told += one.update(tracks, i / 10)
        if i == cut:
            fresh = VisitorCounter(size=SIZE)
            fresh.load_state(decode(encode(other.state())))
            other = fresh
        again += other.update(tracks, i / 10)
        assert [one.follows(k) for k in ids] == [other.follows(k) for k in ids]
    assert told == again


def ground_truth(data, rng=None):
    """PETS S2L1 as tracks, frame by frame; with `rng`, tracks break for up to two seconds."""
    rows = np.loadtxt(data / "mot/PETS09-S2L1/gt/gt_f1-400.txt", delimiter=",")
    now, hidden, born = {}, {}, 1000
    for frame in range(1, 401):
        tracks = []
        for row in rows[rows[:, 0] == frame]:
            person, x, y, w, h = int(row[1]), *row[2:6].tolist()
            if hidden.get(person, 0):
                hidden[person] -= 1
                if not hidden[person]:
                    born += 1
                    now[person] = born
                continue
            if rng is not None and rng.random() < 0.01:
                hidden[person] = int(rng.integers(2, 15))
                continue
            tracks.append((now.setdefault(person, person), x + w / 2, y + h, h))
        yield tracks


@pytest.mark.data
@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_people_on_a_campus_are_told_once_each_even_if_their_tracks_break(data, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    visitors = VisitorCounter(size=(768, 576))
    told = 0
    for i, rows in enumerate(ground_truth(data, rng)):
        told += len(visitors.update(make(rows), i / 7))
    people = 10
    assert told == people if seed is None else people <= told <= people + 1


@pytest.mark.data
@pytest.mark.slow
def test_six_people_who_pass_one_after_another_are_six_visitors(data):
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("onnxruntime")
    from edgelane.pipelines.following import Following
    from edgelane.runtime.model import load_model

    model = load_model(str(data / "weights/yolox_nano_416.onnx"), classes=["person"])
    capture = cv2.VideoCapture(str(data / "video/one-by-one-person-detection.mp4"))
    following, visitors, told = Following(), VisitorCounter(size=(768, 432)), 0
    for i in range(1394):
        assert capture.grab()
        if i % 4 == 0:  # two and a half frames a second are enough
            tracks = following.update(model(capture.retrieve()[1]), i / 10)
            told += len(visitors.update(tracks, i / 10))
    capture.release()
    assert told == 6
