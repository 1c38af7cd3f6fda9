"""Occupancy: time-weighted, in buckets of the frame clock."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.pipelines.occupancy import Occupancy
from edgelane.pipelines.state import decode, encode


def run(counts, fps=10.0, start=0.0, **options):
    occupancy = Occupancy(**options)
    buckets = []
    for i, count in enumerate(counts):
        buckets += occupancy.update(start + i / fps, count)
    return buckets + occupancy.finish()


def test_mean_is_weighted_by_time_not_by_frames():
    occupancy = Occupancy()
    buckets = occupancy.update(0.0, 4)  # holds one second
    for i in range(90):
        buckets += occupancy.update(1.0 + i * 0.1, 1)
    buckets += occupancy.update(10.0, 0)
    assert len(buckets) == 1
    assert buckets[0].scene.mean == pytest.approx((4 * 1 + 1 * 9) / 10)
    assert buckets[0].scene.max == 4
    assert buckets[0].duration_s == pytest.approx(10.0)


def test_buckets_are_aligned_to_the_clock_and_the_last_is_shorter():
    buckets = run([1] * 151, start=1732000003.0)
    assert [b.start for b in buckets] == [1732000000.0, 1732000010.0]
    assert [round(b.duration_s, 6) for b in buckets] == [7.0, 8.0]


def test_a_count_that_flickers_does_not_raise_the_maximum():
    counts = [2] * 100
    counts[30] = counts[60] = 3  # a box that appears for one frame, twice
    assert run(counts)[0].scene.max == 2


def test_a_count_that_holds_for_half_a_second_is_the_maximum():
    counts = [2] * 100
    counts[30:35] = [5] * 5
    assert run(counts)[0].scene.max == 5


def test_two_counts_that_together_hold_long_enough_reach_the_lower_one():
    counts = [1] * 100
    counts[30:33], counts[33:36] = [4] * 3, [3] * 3
    assert run(counts)[0].scene.max == 3


def test_a_stall_is_not_watched():
    occupancy = Occupancy(gap_s=2.0)
    occupancy.update(0.0, 3)
    buckets = occupancy.update(3600.0, 3) + occupancy.update(3605.0, 0) + occupancy.finish()
    assert [(b.start, b.duration_s) for b in buckets] == [(0.0, 2.0), (3600.0, 2.0)]
    assert all(b.scene == (3.0, 3) for b in buckets)


def test_time_that_passes_without_frames_closes_a_bucket():
    occupancy = Occupancy()
    occupancy.update(1.0, 2)
    assert occupancy.advance(5.0) == []
    (bucket,) = occupancy.advance(12.0)
    assert bucket.duration_s == pytest.approx(2.0)
    assert occupancy.advance(11.0) == [] and occupancy.finish() == []


def test_zones_are_counted_beside_the_scene():
    occupancy = Occupancy(["till", "door"])
    for i in range(101):
        occupancy.update(i / 10, 5, [3, 0])
    occupancy = Occupancy(["till", "door"])
    buckets = []
    for i in range(101):
        buckets += occupancy.update(i / 10, 5, [3, 0])
    assert buckets[0].zones == {"till": (3.0, 3), "door": (0.0, 0)}


def test_crowds_of_any_size_are_counted():
    buckets = run([4000] * 20)
    assert buckets[0].scene == (4000.0, 4000)


def test_no_time_gives_no_bucket():
    occupancy = Occupancy()
    assert occupancy.finish() == []
    occupancy.update(5.0, 3)
    occupancy.update(5.0, 4)
    assert occupancy.finish() == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 40)), min_size=1, max_size=60),
    st.integers(0, 59),
)
def test_person_seconds_are_kept_and_a_restart_changes_nothing(steps, cut):
    occupancy, other = Occupancy(), Occupancy()
    now, held, expected = 0.0, 0, 0.0
    told, again = [], []
    for i, (step, count) in enumerate(steps):
        expected += held * min(step, 2.0)
        now, held = now + step, count
        told += occupancy.update(now, count)
        if i == cut:
            fresh = Occupancy()
            fresh.load_state(decode(encode(other.state())))
            other = fresh
        again += other.update(now, count)
    told += occupancy.finish()
    again += other.finish()
    assert told == again
    total = sum(b.scene.mean * b.duration_s for b in told)
    assert math.isclose(total, expected, rel_tol=1e-9, abs_tol=1e-6)
    assert all(b.start <= later.start - 10 for b, later in zip(told, told[1:]))
    assert all(b.duration_s <= 10 + 1e-9 for b in told)
