"""Trajectories: few points, near the true path, memory that does not grow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.core import Tracks
from edgelane.pipelines.state import decode, encode
from edgelane.pipelines.trajectories import Trajectories, simplify

H = 80.0


def make(rows, ended=(), confirmed=True):
    """Tracks from (id, x, y) of the foot points, or (id, x, y, observed)."""
    boxes = [(r[1] - 15, r[2] - H, r[1] + 15, r[2]) for r in rows]
    n = len(rows)
    return Tracks(
        [r[0] for r in rows],
        boxes,
        boxes,
        np.ones(n),
        np.zeros(n),
        [len(r) < 4 or r[3] for r in rows],
        [confirmed] * n,
        list(ended),
    )


def follow(points, fps=10.0, **options):
    """The trajectory of one track through these points."""
    trajectories = Trajectories(**options)
    for i, (x, y) in enumerate(points):
        assert trajectories.update(make([(1, x, y)]), i / fps) == []
    (told,) = trajectories.update(make([], ended=[1]), len(points) / fps)
    assert trajectories.state()["paths"] == []
    return told


def off(path, points, fps=10.0):
    """Largest distance between points and the path at the same times."""
    times = np.arange(len(points)) / fps
    x = np.interp(times, path[:, 0], path[:, 1])
    y = np.interp(times, path[:, 0], path[:, 2])
    return np.hypot(x - points[:, 0], y - points[:, 1]).max()


def test_a_straight_walk_is_two_points():
    told = follow([(100 + 5 * i, 200 + 2 * i) for i in range(100)])
    assert told.path.tolist() == [[0.0, 100.0, 200.0], [9.9, 595.0, 398.0]]
    assert (told.track_id, told.class_id, told.first, told.last) == (1, 0, 0.0, 9.9)


def test_a_corner_and_a_stop_are_kept():
    points = [(100 + 8 * i, 200) for i in range(30)] + [(332, 200)] * 50
    points += [(332, 200 + 8 * i) for i in range(30)]
    told = follow(points)
    assert off(told.path, np.array(points, float)) <= 0.25 * H
    stopped = [t for t, x, y in told.path if abs(x - 332) < 20 and abs(y - 200) < 20]
    assert max(stopped) - min(stopped) > 4.0
    assert len(told.path) <= 8


def test_noise_within_the_tolerance_is_dropped():
    rng = np.random.default_rng(0)
    points = np.stack((100 + 5.0 * np.arange(100), np.full(100, 200.0)), 1)
    told = follow(points + rng.uniform(-0.04 * H, 0.04 * H, points.shape))
    assert len(told.path) <= 6


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_point_is_near_the_path(seed):
    rng = np.random.default_rng(seed)
    points = np.cumsum(np.cumsum(rng.normal(0, 1, (150, 2)), axis=0) * 0.3, axis=0) + 300
    told = follow(points, limit=1000)
    # Half of it by the door, whose corners are true points, the rest by the final thinning.
    assert off(told.path, points) <= 3 * 0.1 * H * np.sqrt(2)
    assert (np.diff(told.path[:, 0]) > 0).all()


def test_a_long_wander_stays_within_the_limit():
    rng = np.random.default_rng(1)
    trajectories = Trajectories(limit=64)
    place, most = np.array([300.0, 200.0]), 0
    for i in range(5000):
        place = np.clip(place + rng.normal(0, 10, 2), 0, 600)
        trajectories.update(make([(1, *place)]), i / 10)
        most = max(most, len(trajectories.state()["paths"][0][1]))
    (told,) = trajectories.finish()
    assert most <= 128 and len(told.path) == 64
    assert told.path[0, 0] == 0.0 and told.path[-1, 0] == 499.9


def test_predicted_places_and_frames_at_one_moment_are_left_out():
    trajectories = Trajectories()
    for t, row in ((0.0, (1, 10, 100)), (0.0, (1, 90, 100)), (1.0, (1, 400, 9, False))):
        trajectories.update(make([row]), t)
    trajectories.update(make([(1, 20, 100)]), 2.0)
    (told,) = trajectories.finish()
    assert told.path.tolist() == [[0.0, 10.0, 100.0], [2.0, 20.0, 100.0]]


def test_one_sighting_is_one_point():
    assert follow([(50, 60)]).path.tolist() == [[0.0, 50.0, 60.0]]


def test_tentative_tracks_are_forgotten():
    trajectories = Trajectories()
    trajectories.update(make([(1, 10, 100)], confirmed=False), 0.0)
    assert trajectories.update(make([], ended=[1]), 1.0) == []
    assert trajectories.update(make([], ended=[1, 77]), 2.0) == []
    assert trajectories.finish() == []


def test_simplify_keeps_the_points_that_matter_most():
    path = np.array([[0, 0, 0], [1, 0, 9], [2, 0, 0], [3, 0, 1], [4, 0, 0]], float)
    assert simplify(path, 0.0, 3)[:, 0].tolist() == [0, 1, 4]
    assert simplify(path, 20.0, 5)[:, 0].tolist() == [0, 4]
    assert simplify(path, 0.0, 9).tolist() == path.tolist()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_simplify_leaves_short_paths_alone(n):
    path = np.arange(3.0 * n).reshape(n, 3)
    assert simplify(path, 1.0, 64).tolist() == path.tolist()


def test_memory_is_flat_while_tracks_are_born_and_die():
    trajectories = Trajectories()
    for i in range(3000):
        rows = [(i + 1, 5 * (i % 100), 200), (i + 2, 300, 200)]
        trajectories.update(make(rows, ended=[i]), i / 10)
    assert len(encode(trajectories.state())) < 2000


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 149))
def test_a_restart_changes_nothing(seed, cut):
    rng = np.random.default_rng(seed)
    one, other = Trajectories(limit=8), Trajectories(limit=8)
    places = rng.uniform(100, 500, (5, 2))

    def plain(trajectories):
        return [(t.track_id, t.first, t.last, t.path.tolist()) for t in trajectories]

    told, again = [], []
    for i in range(150):
        places += rng.normal(0, 8, places.shape)
        rows = [(k + 1 + 5 * (i // 50), *places[k]) for k in range(5) if rng.random() < 0.9]
        ended = [k + 1 + 5 * (i // 50 - 1) for k in range(5)] if i in (50, 100) else []
        tracks = make(rows, ended)
        told += plain(one.update(tracks, i / 10))
        if i == cut:
            fresh = Trajectories(limit=8)
            fresh.load_state(decode(encode(other.state())))
            other = fresh
        again += plain(other.update(tracks, i / 10))
    assert told == again and len(told) == 10
    assert plain(one.finish()) == plain(other.finish())
