"""Heatmap: seconds of presence, by foot point."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.pipelines.heatmap import Heatmap
from edgelane.pipelines.state import decode, encode


def feet(*points):
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def test_presence_is_in_seconds_where_the_foot_stands():
    heatmap = Heatmap((640, 360))
    assert heatmap.grid == (64, 36)
    for i in range(51):
        heatmap.update(feet((105, 205)), i / 10)
    assert heatmap.seconds[20, 10] == pytest.approx(5.0)
    assert heatmap.seconds.sum() == pytest.approx(5.0)


def test_two_people_in_one_cell_add_up():
    heatmap = Heatmap((640, 360))
    for i in range(11):
        heatmap.update(feet((101, 201), (109, 209)), i / 10)
    assert heatmap.seconds[20, 10] == pytest.approx(2.0)


def test_feet_outside_the_picture_count_at_its_border():
    heatmap = Heatmap((640, 360))
    heatmap.update(feet((-500, 100), (900, 1e6), (640, 360)), 0.0)
    heatmap.update(feet(), 1.0)
    assert heatmap.seconds[10, 0] == 1.0
    assert heatmap.seconds[35, 63] == 2.0


def test_a_stall_does_not_pour_minutes_into_a_cell():
    heatmap = Heatmap((640, 360), gap_s=2.0)
    heatmap.update(feet((100, 100)), 0.0)
    heatmap.update(feet((100, 100)), 500.0)
    assert heatmap.seconds.sum() == pytest.approx(2.0)


def test_frames_at_one_moment_and_empty_frames_add_nothing():
    heatmap = Heatmap((640, 360))
    heatmap.update(feet((100, 100)), 1.0)
    heatmap.update(feet((100, 100)), 1.0)
    heatmap.update(feet(), 1.0)
    heatmap.update(feet(), 9.0)
    assert heatmap.seconds.sum() == 0.0
    assert heatmap.finish() is None


def test_a_part_is_told_when_its_time_is_over_and_parts_add_up():
    heatmap = Heatmap((640, 360), period_s=60.0)
    parts = []
    for i in range(1500):
        part = heatmap.update(feet((100 + i % 7 * 10, 100)), i * 0.1)
        parts += [part] if part else []
    parts.append(heatmap.finish())
    assert [round(p.start) for p in parts] == [0, 60, 120]
    assert sum(sum(p.seconds) for p in parts) == pytest.approx(149.9, abs=0.05)
    assert sum(p.duration_s for p in parts) == pytest.approx(149.9)
    assert heatmap.finish() is None


def test_a_tall_picture_has_at_least_one_row_and_column():
    assert Heatmap((1000, 3), columns=8).grid == (8, 1)
    assert Heatmap((3, 1000), columns=1).grid == (1, 333)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 39))
def test_a_restart_changes_nothing(seed, cut):
    rng = np.random.default_rng(seed)
    one, other = (Heatmap((320, 240), period_s=10.0) for _ in range(2))
    now, told, again = 0.0, [], []
    for i in range(40):
        now += float(rng.exponential(0.7))
        points = rng.uniform(-50, 400, (rng.integers(0, 5), 2))
        told.append(one.update(points, now))
        if i == cut:
            fresh = Heatmap((320, 240), period_s=10.0)
            fresh.load_state(decode(encode(other.state())))
            other = fresh
        again.append(other.update(points, now))
    assert told == again and one.finish() == other.finish()
