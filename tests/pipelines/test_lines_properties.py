"""What holds for any walk and any line."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.core import Tracks
from edgelane.pipelines.geometry import Line
from edgelane.pipelines.lines import LineCounter

PEOPLE = 6
FRAMES = 60


def walk(seed):
    """Boxes `(FRAMES, PEOPLE, 4)` of people who wander about, with noise."""
    rng = np.random.default_rng(seed)
    turns = rng.normal(0, 4, (FRAMES, PEOPLE, 2))
    feet = rng.uniform(200, 400, (PEOPLE, 2)) + np.cumsum(np.cumsum(turns, axis=0) * 0.3, axis=0)
    height = rng.uniform(50, 120, (1, PEOPLE, 1))
    feet = feet + rng.normal(0, 0.02, feet.shape) * height
    return np.concatenate(
        (feet - height * [0.2, 1.0], feet + height * [0.2, 0.0]),
        axis=2,
    )


def count(boxes, line, times=None):
    """Crossings as (direction, track, time)."""
    counter, told = LineCounter({"line": line}), []
    ids, yes = np.arange(1, PEOPLE + 1), np.ones(PEOPLE, bool)
    for i, frame in enumerate(boxes):
        now = i / 10 if times is None else times[i]
        told += counter.update(Tracks(ids, frame, frame, yes, yes * 0, yes, yes, []), now)
    return [(c.direction, c.track_id, c.timestamp) for c in told + counter.finish()]


def swapped(told):
    other = {"in": "out", "out": "in"}
    return [(other[direction], *rest) for direction, *rest in told]


walks = st.integers(0, 10_000).map(walk)
# Whole numbers over 7: no foot point lies exactly in line with an end.
numbers = st.integers(700, 3500).map(lambda n: n / 7)
points = st.tuples(numbers, numbers)
lines = st.tuples(points, points).filter(lambda p: np.hypot(*np.subtract(*p)) > 20)
several = settings(max_examples=30, deadline=None)


@several
@given(walks, lines)
def test_a_line_turned_round_swaps_in_and_out(boxes, ends):
    assert count(boxes, Line(ends[1], ends[0])) == swapped(count(boxes, Line(*ends)))


@several
@given(walks, lines)
def test_a_mirrored_world_swaps_in_and_out(boxes, ends):
    def mirrored(x):
        return 600 - np.asarray(x)

    mirror = np.stack(
        (mirrored(boxes[..., 2]), boxes[..., 1], mirrored(boxes[..., 0]), boxes[..., 3]), axis=-1
    )
    (x1, y1), (x2, y2) = ends
    line = Line((float(mirrored(x1)), y1), (float(mirrored(x2)), y2))
    assert count(mirror, line) == swapped(count(boxes, Line(*ends)))


@several
@given(walks, lines, st.sampled_from([0.25, 1.6, 2.5]))
def test_the_size_of_the_picture_changes_nothing(boxes, ends, factor):
    assert count(boxes * factor, Line(*ends).scaled(factor, factor)) == count(boxes, Line(*ends))


@several
@given(walks, st.floats(100, 500), st.floats(100, 500))
def test_nobody_enters_a_second_time_without_leaving(boxes, left, right):
    """A line so long that nobody gets round its ends."""
    told = count(boxes, Line((-1e5, left), (1e5, right)))
    for person in range(1, PEOPLE + 1):
        ways = [direction for direction, track_id, _ in told if track_id == person]
        assert all(a != b for a, b in zip(ways, ways[1:]))


@several
@given(walks, lines, st.floats(-1e6, 1e9))
def test_when_the_clock_began_changes_nothing_but_times(boxes, ends, begin):
    times = begin + np.arange(FRAMES) / 8  # exact in binary, so that differences stay the same
    begin = times[0]
    plain = count(boxes, Line(*ends), np.arange(FRAMES) / 8)
    shifted = count(boxes, Line(*ends), times)
    assert [c[:2] for c in shifted] == [c[:2] for c in plain]
    assert np.allclose([c[2] - begin for c in shifted], [c[2] for c in plain], atol=1e-4)
