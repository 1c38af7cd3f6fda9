"""Skeletons in time: steadied, whose they are, and never more than can be looked at."""

from dataclasses import replace

import numpy as np
import pytest

from edgelane.core import ConfigError, DataError, Detections, Observation
from edgelane.pipelines.following import Following
from edgelane.pipelines.pose import OneEuro, OneEuroSettings, Pose, PoseSettings
from edgelane.pipelines.pose.rules import DEFAULT_RULES
from edgelane.pipelines.tracking import Tracker


def smoothed(places, times, heights=100.0, settings=None):
    """One point through the filter: `(t, 2)` of its places."""
    euro = OneEuro(1, settings or OneEuroSettings())
    result = []
    for place, time in zip(places, times):
        points = np.array([[[*place, 0.9]]])
        result.append(euro([7], points, np.array([heights]), time)[0, 0, :2])
    return np.array(result)


def test_a_still_point_is_steadied():
    """Its trembling is less than half of what it was."""
    random = np.random.default_rng(0)
    places = 50 + random.normal(0, 2, (300, 2))
    result = smoothed(places, np.arange(300) / 10)
    steps = np.abs(np.diff(places[50:], axis=0)).mean()
    assert np.abs(np.diff(result[50:], axis=0)).mean() < 0.5 * steps
    assert np.abs(result[50:].mean(axis=0) - 50).max() < 0.3


def test_a_quick_point_is_followed():
    """At two heights a second it is less than a twentieth of a height behind."""
    times = np.arange(60) / 25
    places = np.stack((200 * times, 0 * times), axis=1)
    result = smoothed(places, times)
    assert np.abs(result[20:, 0] - places[20:, 0]).max() < 5


def test_the_filter_knows_time_and_size():
    """The same movement at another rate, with frames missing, or twice as large, is smoothed
    alike: what counts is seconds and heights."""
    times = np.arange(0, 6, 1 / 30)

    def course(t):
        return np.stack((40 * np.sin(2 * t), 20 * np.cos(t)), axis=1)

    whole = smoothed(course(times), times)
    kept = np.random.default_rng(1).random(len(times)) < 0.6
    part = smoothed(course(times[kept]), times[kept])
    assert np.abs(part[10:] - whole[kept][10:]).max() < 2.0
    twice = smoothed(2 * course(times), times, 200.0)
    np.testing.assert_allclose(twice, 2 * whole, rtol=1e-4, atol=1e-3)


def test_points_that_are_not_seen_teach_nothing():
    """A point with a low score passes as it is; after a gap it begins anew where it is."""
    euro = OneEuro(1, OneEuroSettings())
    height = np.array([100.0])

    def at(x, score, time):
        return float(euro([1], np.array([[[x, 0, score]]]), height, time)[0, 0, 0])

    assert at(10, 0.9, 0.0) == 10
    assert at(90, 0.05, 0.1) == 90
    assert at(10, 0.9, 0.2) == pytest.approx(10)
    assert at(60, 0.9, 5.0) == 60
    assert at(70, 0.9, 5.0) == 60  # time stands still: nothing is learnt
    assert smoothed([[1, 2], [5, 9]], [0, 1], settings=OneEuroSettings(cutoff=0))[1, 0] == 5
    with pytest.raises(ConfigError, match="smoothing.cutoff is wrong"):
        OneEuroSettings(cutoff=-1)


def test_the_filter_forgets_and_remembers():
    """A track that ended is forgotten; the state brings everything back."""
    euro, again = OneEuro(2, OneEuroSettings()), OneEuro(2, OneEuroSettings())
    random = np.random.default_rng(0)
    for frame in range(5):
        euro([1, 2], random.random((2, 2, 3)) * 50, np.ones(2), frame / 10)
    again.load_state(euro.state())
    points = random.random((2, 2, 3)) * 50
    np.testing.assert_array_equal(
        euro([2, 1], points, np.ones(2), 0.5), again([2, 1], points, np.ones(2), 0.5)
    )
    euro.drop(1)
    assert float(euro([1], points[:1] + 9, np.ones(1), 0.6)[0, 0, 0]) == pytest.approx(
        points[0, 0, 0] + 9
    )


def walking(n, frame, fps=10.0):
    """Boxes of people who walk side by side, each a little taller than the one before."""
    x = 60.0 * np.arange(n) + 40 * frame / fps
    height = 80.0 + 2 * np.arange(n)
    return np.stack((x, 200 - height, x + 30, 200 + 0 * x), axis=1)


def observation(n, frame, detected=True, keypoints=None, size=(2000, 300)):
    found = Detections.empty()
    if detected:
        found = Detections(walking(n, frame), np.full(n, 0.9), np.zeros(n), keypoints=keypoints)
    return Observation("c", frame / 10, found, size, None, frame, detected)


def answer(given, k=17):
    """A pose in each region: points down the middle of the box."""
    boxes = given.regions.boxes
    if not len(boxes):
        return given
    share = np.linspace(0, 1, k)
    points = np.empty((len(boxes), k, 3), np.float32)
    points[:, :, 0] = (boxes[:, :1] + boxes[:, 2:3]) / 2
    points[:, :, 1] = boxes[:, 1:2] + share * (boxes[:, 3:] - boxes[:, 1:2])
    points[:, :, 2] = 0.8
    return replace(given, regions=replace(given.regions, answer=points))


def play(pipeline, frames, n, every=1, ahead=1):
    """Frames through both halves of the pipeline, the first so many frames ahead."""
    waiting, events, seen = [], [], []
    for frame in frames:
        given = observation(n, frame, frame % every == 0)
        waiting.append(answer(replace(given, regions=pipeline.regions(given))))
        if len(waiting) >= ahead:
            events += pipeline.process(waiting.pop(0))
            seen.append(pipeline.poses())
    for given in waiting:
        events += pipeline.process(given)
        seen.append(pipeline.poses())
    return events, seen


def test_poses_belong_to_tracks():
    """Each keeps its id, and the points lie where the person is."""
    pipeline = Pose("c", PoseSettings(), (2000, 300))
    _, seen = play(pipeline, range(30), 4)
    last = seen[-1]
    assert sorted(last.track_id) == [1, 2, 3, 4] and last.keypoints.shape == (4, 17, 3)
    heights = last.xyxy[:, 3] - last.xyxy[:, 1]
    assert (np.diff(heights) < 0).all()  # nearest first
    boxes = walking(4, 29)[last.track_id - 1]
    assert np.abs(last.keypoints[:, 8, 0] - (boxes[:, 0] + boxes[:, 2]) / 2).max() < 6
    people = pipeline.finish()
    assert [e.payload["track"] for e in people] == [1, 2, 3, 4]
    assert people[0].payload["points"] == 0.8 and people[0].payload["looked_at"] >= 25
    summary = pipeline.summarise(people)
    assert summary["people"] == 4 and summary["left_out_max"] == 0
    assert set(summary["rules"]) == set(DEFAULT_RULES) and not any(summary["rules"].values())


def test_asking_ahead_changes_nothing():
    """The same poses and events, however far ahead the regions were asked for."""
    one = play(Pose("c", PoseSettings(), (2000, 300)), range(40), 3)
    far = play(Pose("c", PoseSettings(), (2000, 300)), range(40), 3, ahead=9)
    assert one[0] == far[0]
    for a, b in zip(one[1], far[1]):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.track_id, b.track_id)


@pytest.mark.parametrize("every", [2, 3, 5])
def test_crops_follow_tracks_between_detections(every):
    """People who walk are looked at where they are in every frame, under one id each."""
    pipeline = Pose("c", PoseSettings(), (2000, 300))
    _, seen = play(pipeline, range(60), 4, every)
    for frame in range(30, 60):
        poses = seen[frame]
        assert sorted(poses.track_id) == [1, 2, 3, 4]
        boxes = walking(4, frame)[poses.track_id - 1]
        assert np.abs(poses.xyxy - boxes).max() < 4  # pixels; a step is 4 a frame
    assert {i for poses in seen for i in poses.track_id} == {1, 2, 3, 4}


def test_too_many_people_are_bounded_and_told():
    """The nearest are looked at; the summary says how many were not."""
    pipeline = Pose("c", PoseSettings(most=20), (4000, 300))
    events, seen = play(pipeline, range(20), 40)
    assert max(len(poses) for poses in seen) == 20
    heights = seen[-1].xyxy[:, 3] - seen[-1].xyxy[:, 1]
    assert heights.min() > 80 + 2 * 18
    events += play(pipeline, range(20, 60), 5)[0] + pipeline.finish()
    crowded = [e for e in events if e.kind == "crowded"]
    assert [e.payload["left_out"] for e in crowded] == [20]
    assert pipeline.summarise(events)["left_out_max"] == 20
    with pytest.raises(ConfigError, match="most is wrong"):
        PoseSettings(most=0)


def test_a_restart_goes_on_as_if_nothing_had_been():
    """The state holds both halves."""
    whole = Pose("c", PoseSettings(), (2000, 300))
    expected = play(whole, range(50), 3)[1][25:]
    first = Pose("c", PoseSettings(), (2000, 300))
    play(first, range(25), 3)
    second = Pose("c", PoseSettings(), (2000, 300))
    second.restore(first.snapshot())
    for a, b in zip(expected, play(second, range(25, 50), 3)[1]):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
    assert second.snapshot() == whole.snapshot()
    with pytest.raises(DataError, match="does not fit"):
        Pose("c", PoseSettings(most=3), (2000, 300)).restore(first.snapshot())


def test_points_that_come_with_the_detections_need_no_second_model():
    """And without either it is told."""
    pipeline = Pose("c", PoseSettings(), (2000, 300))
    for frame in range(10):
        points = np.zeros((3, 5, 3), np.float32)
        points[:, :, 0] = walking(3, frame)[:, :1]
        points[:, :, 2] = [[0.3], [0.6], [0.9]]
        given = observation(3, frame, keypoints=points)
        if frame % 2:
            given = replace(given, regions=pipeline.regions(given))
            assert not len(given.regions.boxes)
        pipeline.process(given)
    poses = pipeline.poses()
    np.testing.assert_allclose(poses.keypoints[:, 0, 2], [0.9, 0.6, 0.3], atol=1e-6)
    with pytest.raises(DataError, match="nothing that tells their poses"):
        for frame in range(10):
            Pose.process(pipeline, observation(3, 10 + frame))


def test_nobody_is_no_special_case():
    """No people, no questions, no events."""
    pipeline = Pose("c", PoseSettings(), (640, 480))
    assert pipeline.poses() is None and pipeline.tracks() is None
    events, seen = play(pipeline, range(5), 0)
    assert events == [] and all(len(p) == 0 for p in seen)
    assert pipeline.finish() == []
    with pytest.raises(DataError, match="no time"):
        pipeline.process(replace(observation(0, 1), timestamp=float("nan")))


def test_a_prediction_is_not_remembered():
    """A tracker that was asked where its tracks are is as it was."""
    tracker, plain = Tracker(), Tracker()
    for frame in range(10):
        found = Detections(walking(3, frame), np.full(3, 0.9), np.zeros(3))
        for one in (tracker, plain):
            one.update(found, frame / 10)
        moved = tracker.predict(frame / 10 + 0.05)
    assert np.abs(moved.xyxy - walking(3, 9.5)).max() < 2 and not moved.observed.any()
    a, b = tracker.state(), plain.state()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    with pytest.raises(DataError, match="finite"):
        tracker.predict(float("inf"))


def test_given_tracks_stay_where_they_were_between_detections():
    """Somebody else follows them; nothing is known of their speed."""
    following = Following()
    assert len(following.predict(0.0)) == 0
    ids = np.array([5, 9])
    following.update(Detections(walking(2, 0), [0.9, 0.9], [0, 0], ids), 1.0)
    tracks = following.predict(1.1)
    np.testing.assert_array_equal(tracks.track_id, ids)
    np.testing.assert_allclose(tracks.xyxy, walking(2, 0))
    assert not tracks.observed.any()
