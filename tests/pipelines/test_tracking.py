"""The tracker: who keeps an id, what is bridged, and what never happens."""

import numpy as np
import pytest

from edgelane.core import ConfigError, DataError, Detections
from edgelane.pipelines.tracking import Tracker, TrackerSettings


def boxes(*rows):
    """Detections from rows of centre x, foot y, height, score and class."""
    rows = [tuple(r) + (0.8, 0)[len(r) - 3 :] for r in rows]
    x, foot, h, score, kind = np.array(rows, float).reshape(-1, 5).T
    xyxy = np.column_stack([x - 0.2 * h, foot - h, x + 0.2 * h, foot])
    return Detections(xyxy, score, kind.astype(np.int64))


def run(frames, fps=10.0, settings=None, start=0.0):
    tracker = Tracker(settings)
    return [tracker.update(f, start + i / fps) for i, f in enumerate(frames)]


def confirmed_ids(told):
    return {int(i) for t in told for i in t.track_id[t.confirmed]}


def walker(frames, x=100.0, foot=300.0, h=100.0, speed=8.0, score=0.8, seed=0, noise=0.02):
    """One person who walks to the right, `speed` pixels a frame, with noise in the boxes."""
    rng = np.random.default_rng(seed)
    for i in range(frames):
        dx, dy, dh = rng.normal(0, noise * h, 3)
        yield (x + speed * i + dx, foot + dy, h + dh, score)


@pytest.mark.parametrize("score", [0.35, 0.5, 0.9])
def test_a_steady_object_gets_one_id_at_any_score(score):
    told = run([boxes(r) for r in walker(40, speed=0, score=score)])
    assert len(confirmed_ids(told)) == 1
    assert all(t.confirmed.all() for t in told[3:])


def test_a_weak_object_gets_an_id_after_a_strong_one_has_left():
    frames = [boxes((100, 300, 100, 0.95)) for _ in range(30)]
    frames += [boxes((400, 300, 100, 0.35)) for _ in range(250)]
    told = run(frames)
    assert len(confirmed_ids(told)) == 2
    assert told[-1].confirmed.tolist() == [True]


def test_one_bright_false_box_in_the_first_frame_blinds_nobody():
    frames = [boxes(r) for r in walker(30, score=0.5)]
    frames[0] = boxes((100, 300, 100, 0.5), (700, 300, 100, 0.99))
    told = run(frames)
    assert told[20].confirmed.tolist() == [True]


def test_a_weak_thing_beside_strong_ones_must_walk_to_be_believed():
    rng = np.random.default_rng(1)

    def scene(step):
        return [
            boxes(
                (100 + 6 * i, 200, 100, 0.9),
                (900, 200, 60, 0.4 + rng.normal(0, 0.02)),
                (100 + step * i, 700, 100, 0.4 + rng.normal(0, 0.02)),
            )
            for i in range(80)
        ]

    assert len(confirmed_ids(run(scene(0.0)))) == 1
    assert len(confirmed_ids(run(scene(8.0)))) == 2


def test_a_new_track_is_told_from_its_first_frame_under_the_id_that_it_keeps():
    told = run([boxes(r) for r in walker(6)])
    assert [t.track_id.tolist() for t in told] == [[1]] * 6
    assert not told[0].confirmed[0]
    assert told[0].observed[0]
    assert told[-1].confirmed[0]


def test_a_fast_runner_keeps_one_id():
    told = run([boxes(r) for r in walker(12, speed=45.0, noise=0.01)])
    assert {int(i) for t in told for i in t.track_id} == {1}


def test_a_gap_is_bridged_by_predicted_rows_and_the_id_goes_on():
    rows = list(walker(40))
    empty = Detections.empty()
    told = run([empty if 20 <= i < 24 else boxes(r) for i, r in enumerate(rows)])
    assert confirmed_ids(told) == {1}
    for i in range(20, 24):
        assert told[i].observed.tolist() == [False]
        assert np.array_equal(told[i].measured, told[i].xyxy)
        assert abs(told[i].xyxy[0, [0, 2]].mean() - rows[i][0]) < 15


def test_an_id_comes_back_after_two_seconds_behind_a_pillar():
    told = run([Detections.empty() if 20 <= i < 40 else boxes(r) for i, r in enumerate(walker(60))])
    assert confirmed_ids(told) == {1}
    assert len(told[35]) == 0


def test_a_track_that_stays_away_ends_once_and_its_id_is_never_used_again():
    frames = [boxes((100, 300, 100)) for _ in range(10)]
    frames += [Detections.empty()] * 50
    frames += [boxes((100, 300, 100)) for _ in range(10)]
    told = run(frames)
    assert np.concatenate([t.ended for t in told]).tolist() == [1]
    assert told[-1].track_id.tolist() == [2]


def test_a_track_that_ends_tentative_is_told_as_ended_and_its_id_is_never_used_again():
    told = run([boxes((100, 300, 100)), *[Detections.empty()] * 10, boxes((100, 300, 100))])
    assert np.concatenate([t.ended for t in told]).tolist() == [1]
    assert told[-1].track_id.tolist() == [2]


@pytest.mark.parametrize("seed", range(5))
def test_people_who_cross_keep_their_ids(seed):
    right = walker(60, x=100, foot=300, h=100, speed=8, seed=seed)
    left = walker(60, x=580, foot=312, h=106, speed=-8, seed=seed + 100)
    told = run([boxes(a, b) for a, b in zip(right, left)])
    first, last = told[5], told[-1]
    order = np.argsort(first.xyxy[:, 0])
    after = np.argsort(last.xyxy[:, 0])
    assert first.track_id[order].tolist() == last.track_id[after][::-1].tolist()
    assert len(confirmed_ids(told)) == 2


@pytest.mark.parametrize("seed", range(5))
def test_people_who_melt_into_one_box_while_they_cross_keep_their_ids(seed):
    frames = []
    right = walker(60, x=100, foot=300, h=100, speed=8, seed=seed)
    left = walker(60, x=580, foot=306, h=104, speed=-8, seed=seed + 100)
    for a, b in zip(right, left):
        if abs(a[0] - b[0]) > 25:
            frames.append(boxes(a, b))
        else:  # one box around both
            frames.append(boxes(((a[0] + b[0]) / 2, max(a[1], b[1]), 106)))
    told = run(frames)
    first, last = told[5], told[-1]
    assert len(last) == 2
    first_left = first.track_id[np.argmin(first.xyxy[:, 0])]
    assert last.track_id[np.argmax(last.xyxy[:, 0])] == first_left


@pytest.mark.parametrize("fps", [2.5, 5.0, 10.0, 30.0, 60.0])
def test_the_same_walk_keeps_one_id_at_every_frame_rate(fps):
    rng = np.random.default_rng(3)
    frames = [
        boxes((100 + 80 * i / fps + rng.normal(0, 2), 300, 100), (900 - 90 * i / fps, 500, 120))
        for i in range(int(6 * fps))
    ]
    told = run(frames, fps)
    assert len(confirmed_ids(told)) == 2
    assert told[-1].observed.all()


def test_frames_that_come_at_odd_times_keep_the_id():
    rng = np.random.default_rng(4)
    tracker, at, ids = Tracker(), 0.0, set()
    for _ in range(80):
        at += float(rng.choice([0.0, 0.02, 0.1, 0.3]))
        told = tracker.update(boxes((100 + 60 * at, 300, 100)), at)
        ids.update(told.track_id.tolist())
    assert ids == {1}


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_does_no_lasting_harm(jump):
    rows = list(walker(60, speed=3))
    tracker = Tracker()
    for i, row in enumerate(rows):
        told = tracker.update(boxes(row), i / 10 + (jump if i >= 30 else 0))
        assert np.isfinite(told.xyxy).all()
    assert told.confirmed.tolist() == [True]
    assert told.track_id[0] <= 2


@pytest.mark.parametrize("factor", [0.1, 1.6, 10.0])
def test_everything_larger_gives_the_same_ids(factor):
    rng = np.random.default_rng(5)
    frames = []
    for i in range(60):
        rows = [(150 * k + 6 * i * (-1) ** k, 300 + 3 * k, 90 + 5 * k, 0.7) for k in range(6)]
        frames.append(boxes(*[r for r in rows if rng.random() < 0.85]))
    larger = [Detections(f.xyxy * np.float32(factor), f.score, f.class_id) for f in frames]
    for a, b in zip(run(frames), run(larger)):
        assert a.track_id.tolist() == b.track_id.tolist()
        assert np.allclose(a.xyxy * factor, b.xyxy, rtol=1e-3, atol=1e-2 * factor)


def test_a_track_never_changes_its_class():
    frames = [
        boxes((100 + 4 * i, 300, 100, 0.8, 0), (104 + 4 * i, 303, 98, 0.8, 2)) for i in range(20)
    ]
    told = run(frames)
    kinds = {}
    for t in told:
        for i, kind in zip(t.track_id.tolist(), t.class_id.tolist()):
            assert kinds.setdefault(i, kind) == kind
    assert sorted(kinds.values()) == [0, 2]


def test_the_box_told_is_steadier_than_the_detections():
    told = run([boxes(r) for r in walker(100, speed=0, noise=0.04)])[20:]
    smooth = np.array([t.xyxy[0] for t in told])
    raw = np.array([t.measured[0] for t in told])
    assert (smooth.std(axis=0) < 0.8 * raw.std(axis=0)).all()


def test_a_second_box_on_the_same_person_makes_no_second_track():
    told = run([boxes(r, (r[0] + 4, r[1] + 3, r[2] * 1.05, 0.6)) for r in walker(30)])
    assert len(confirmed_ids(told)) == 1


def test_a_box_that_has_left_the_picture_is_not_predicted_on():
    stays = boxes((20, 580, 100)).xyxy
    frames = []
    for i in range(21):
        leaves = boxes((480 + 8 * i, 300, 100)).xyxy
        leaves[:, 2] = np.minimum(leaves[:, 2], 640)  # detectors stop at the edge
        frames.append(Detections(np.concatenate([stays, leaves]), [0.8, 0.8], [0, 0]))
    told = run(frames + [boxes((20, 580, 100))] * 6)
    assert len(told[20]) == 2
    assert [len(t) for t in told[21:]] == [1] * 6


def test_empty_frames_before_between_and_after_are_no_trouble():
    told = run([Detections.empty()] * 3)
    assert [len(t) for t in told] == [0, 0, 0]
    assert told[0].xyxy.shape == (0, 4)


@pytest.mark.parametrize("when", [float("nan"), float("inf")])
def test_a_timestamp_that_is_not_finite_is_refused(when):
    with pytest.raises(DataError, match="finite"):
        Tracker().update(Detections.empty(), when)


def test_a_setting_that_is_negative_or_not_finite_is_refused_by_name():
    with pytest.raises(ConfigError, match="tracker.lost_s"):
        TrackerSettings(lost_s=-1.0)
    with pytest.raises(ConfigError, match="tracker.gate"):
        TrackerSettings(gate=float("nan"))
