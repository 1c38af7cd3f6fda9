"""Trackers over long runs: snapshots, memory, hostile input, and tracks given from outside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.core import DataError, Detections
from edgelane.pipelines.tracking import GivenTracks, Tracker


def crowd(seed, frames, objects=12):
    """Walkers who come and go, some unseen, with clutter."""
    rng = np.random.default_rng(seed)
    at, speed = rng.uniform(0, 800, (objects, 2)), rng.normal(0, 5, (objects, 2))
    h = rng.uniform(50, 120, objects)
    for _ in range(frames):
        at += speed
        gone = (at < -50).any(axis=1) | (at > 850).any(axis=1)
        at[gone] = rng.uniform(0, 800, (int(gone.sum()), 2))
        centre = np.concatenate([at, rng.uniform(0, 800, (3, 2))])
        tall = np.concatenate([h, rng.uniform(10, 200, 3)])
        half = np.column_stack([0.2 * tall, 0.5 * tall])
        seen = rng.random(len(tall)) < 0.85
        yield Detections(
            np.concatenate([centre - half, centre + half], axis=1)[seen],
            rng.uniform(0.2, 0.95, int(seen.sum())),
            rng.integers(0, 2, int(seen.sum())),
        )


def same(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in (
            "track_id",
            "xyxy",
            "measured",
            "score",
            "class_id",
            "observed",
            "confirmed",
            "ended",
        )
    )


def test_a_tracker_goes_on_from_its_state_exactly():
    frames = list(crowd(0, 80))
    whole, first, second = Tracker(), Tracker(), Tracker()
    told = [whole.update(f, i / 7) for i, f in enumerate(frames)]
    for i, f in enumerate(frames[:40]):
        first.update(f, i / 7)
    state = first.state()
    for i, f in enumerate(frames[40:60], 40):  # what goes on does not touch the state given out
        first.update(f, i / 7)
    second.load_state(state)
    for i, f in enumerate(frames[40:], 40):
        assert same(second.update(f, i / 7), told[i])


def test_the_state_is_plain_types_and_arrays():
    tracker = Tracker()
    for i, f in enumerate(crowd(1, 10)):
        tracker.update(f, i / 7)
    for value in tracker.state().values():
        assert value is None or isinstance(value, (int, float, np.ndarray))


@pytest.mark.parametrize("tracker", [Tracker, GivenTracks])
@pytest.mark.parametrize("state", [{}, {"state": 1}, {"ids": [1], "seen": []}])
def test_what_is_no_state_is_refused(tracker, state):
    with pytest.raises(DataError, match="no state"):
        tracker().load_state(state)


def test_memory_is_flat_while_tracks_are_born_and_die():
    tracker, sizes, born = Tracker(), [], 0
    for i, f in enumerate(crowd(2, 3000, objects=8)):
        told = tracker.update(f, i / 7)
        born = max(born, int(told.track_id.max(initial=0)))
        sizes.append(sum(np.asarray(v).nbytes for v in tracker.state().values() if v is not None))
    assert born > 3000
    assert max(sizes[1500:]) < 1.5 * max(sizes[100:1500])


coordinate = st.floats(-1e4, 1e4, width=32)
detection = st.tuples(
    coordinate, coordinate, st.floats(0.5, 5e3, width=32), st.floats(0.5, 5e3, width=32),
    st.floats(-1, 2, width=32), st.integers(0, 2),
)  # fmt: skip
frame = st.tuples(
    st.sampled_from([-100.0, 0.0, 1e-6, 0.04, 0.143, 1.0, 30.0, 1e9]),
    st.lists(detection, max_size=6),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(frame, max_size=25))
def test_whatever_comes_the_promises_hold(frames):
    tracker, at, previous = Tracker(), 0.0, []
    ended, kinds, sure, newest = set(), {}, set(), 0
    for step, rows, again in frames:
        at += step
        rows = previous if again else rows
        previous = rows
        table = np.array(rows, float).reshape(-1, 6)
        found = Detections.cleaned(
            np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1),
            table[:, 4],
            table[:, 5].astype(np.int64),
        )
        told = tracker.update(found, at)
        ids = told.track_id.tolist()
        assert len(set(ids)) == len(ids)
        assert np.isfinite(told.xyxy).all()
        assert (told.xyxy[:, 2:] >= told.xyxy[:, :2]).all()
        assert told.confirmed[~told.observed].all()
        assert np.array_equal(told.measured[~told.observed], told.xyxy[~told.observed])
        known = {tuple(b) for b in found.xyxy.tolist()}
        assert all(tuple(b) in known for b in told.measured[told.observed].tolist())
        gone = told.ended.tolist()
        assert not ended.intersection(gone) and len(set(gone)) == len(gone)
        ended.update(gone)
        assert not ended.intersection(ids)
        for i, kind, confirmed in zip(ids, told.class_id.tolist(), told.confirmed.tolist()):
            assert i <= newest or i not in kinds
            assert kinds.setdefault(i, kind) == kind
            assert confirmed or i not in sure
            if confirmed:
                sure.add(i)
        newest = max([newest, *ids])


def row(ids, x=0.0):
    ids = np.array(ids, np.int64)
    xyxy = np.column_stack([ids * 50 + x, ids * 0, ids * 50 + x + 20, ids * 0 + 60])
    return Detections(xyxy, np.full(len(ids), 0.9), np.zeros(len(ids)), ids)


def test_given_tracks_pass_through_confirmed_and_as_they_are():
    tracks = GivenTracks().update(row([7, 3]), 0.0)
    assert tracks.track_id.tolist() == [7, 3]
    assert tracks.confirmed.all() and tracks.observed.all()
    assert np.array_equal(tracks.xyxy, row([7, 3]).xyxy)
    assert np.array_equal(tracks.measured, tracks.xyxy)


def test_a_given_track_that_stays_away_ends_once():
    tracks = GivenTracks()
    tracks.update(row([1, 2]), 0.0)
    told = [tracks.update(row([2]), 0.5 * i) for i in range(1, 12)]
    assert np.concatenate([t.ended for t in told]).tolist() == [1]
    assert [t.ended.tolist() for t in told].index([1]) == 6  # 3.5 s, the first beyond 3 s


def test_given_tracks_go_on_from_their_state():
    tracks, again = GivenTracks(), GivenTracks()
    tracks.update(row([1, 2]), 10.0)
    again.load_state(tracks.state())
    assert again.update(row([2]), 14.0).ended.tolist() == [1]


def test_given_tracks_refuse_detections_without_ids_and_ids_that_stand_twice():
    plain = Detections(np.array([[0, 0, 1, 1]]), np.ones(1), np.zeros(1))
    with pytest.raises(DataError, match="track_id"):
        GivenTracks().update(plain, 0.0)
    with pytest.raises(DataError, match="twice"):
        GivenTracks().update(row([1, 1]), 0.0)
    assert len(GivenTracks().update(Detections.empty(), 0.0)) == 0
