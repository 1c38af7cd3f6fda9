"""The rendered gym: what people do is what their keypoints show."""

import numpy as np
import pytest

from edgelane.core import UsageError
from edgelane.runtime.sources import open_source
from edgelane.runtime.synth import open_scene, truth_counts
from edgelane.runtime.synth.gym import ACTIONS

pytest.importorskip("cv2")
SIZE = (320, 180)
POINTS = {"nose": 0, "left_wrist": 9, "right_wrist": 10, "left_hip": 11, "right_hip": 12}


def moments(action, seeds=range(1, 7), after=1.2):
    """`(keypoints, whole box, height in pixels when upright)` well inside an action."""
    for seed in seeds:
        scene = open_scene("gym", seed=seed, size=SIZE, seconds=90)
        for athlete in scene.athletes:
            for k, doing in enumerate(athlete.doings):
                until = athlete.doings[k + 1].start if k + 1 < len(athlete.doings) else 0
                time = doing.start + after
                if doing.action != action or doing.start < 0 or not time < until:
                    continue
                index = int(time * scene.fps) + 1
                if index >= scene.frames:
                    continue
                truth = scene.truth(index)
                row = truth.track_id.tolist().index(athlete.id)
                assert truth.action[row] == action
                scale = (
                    scene.camera.focal
                    / scene.camera.project(np.array([*athlete.place, athlete.height / 2]))[1]
                )
                yield truth.keypoints[row], truth.whole[row], athlete.height * scale


def some(action, **options):
    found = list(moments(action, **options))
    assert len(found) >= 3
    return found


def test_every_action_comes_and_is_told():
    told = set()
    for seed in range(1, 5):
        scene = open_scene("gym", seed=seed, size=SIZE, seconds=90)
        assert 1 <= len(scene.athletes) <= 3
        for athlete in scene.athletes:
            told |= {d.action for d in athlete.doings if d.start < scene.duration}
    assert told == set(ACTIONS)


@pytest.mark.parametrize(
    ("action", "left", "right"),
    [("raise_left", True, False), ("raise_right", False, True), ("raise_both", True, True)],
)
def test_raised_hands_are_above_the_head(action, left, right):
    for points, _, _ in some(action):
        assert (points[POINTS["left_wrist"], 1] < points[0, 1]) == left
        assert (points[POINTS["right_wrist"], 1] < points[0, 1]) == right


@pytest.mark.parametrize(("action", "least", "most"), [("squat", 0.2, 0.8), ("kneel", 0.4, 0.9)])
def test_who_goes_down_is_lower(action, least, most):
    for _, box, upright in some(action):
        assert least < (box[3] - box[1]) / upright < most


def test_who_lies_is_near_the_floor():
    for points, _, upright in some("lie"):
        assert (points[:, 2] > 0).mean() > 0.5  # and in the picture
        hips = points[11:13, 1].mean()
        assert abs(points[0, 1] - hips) < 0.62 * upright


def test_who_bends_has_the_head_near_the_hips():
    for points, _, upright in some("bend"):
        assert points[11:13, 1].mean() - points[0, 1] < 0.25 * upright


def test_who_waves_moves_one_hand_to_and_fro():
    scene = open_scene("gym", seed=2, size=SIZE, seconds=90)
    athlete = scene.athletes[0]
    doing = next(d for d in athlete.doings if d.action == "wave")
    wrist = POINTS["right_wrist" if doing.right else "left_wrist"]
    first = int((doing.start + 0.7) * scene.fps)
    ways = []
    for index in range(first, first + 12):
        truth = scene.truth(index)
        points = truth.keypoints[truth.track_id.tolist().index(athlete.id)]
        ways.append(points[[wrist, 19 - wrist], :2])
    spread = np.ptp(np.array(ways), axis=0).max(axis=1)
    assert spread[0] > 5 * max(spread[1], 0.5)


def test_keypoints_lie_in_the_box_and_frames_do_not_depend_on_their_order():
    scene = open_scene("gym", seed=5, people=3, size=SIZE, seconds=10)
    late = scene.render(140)[0].image
    for index in range(0, 150, 10):
        truth = scene.truth(index)
        for row in range(len(truth)):
            points = truth.keypoints[row, :, :2]
            assert (points >= truth.whole[row, :2] - 1).all()
            assert (points <= truth.whole[row, 2:] + 1).all()
    other = open_scene("gym", seed=5, people=3, size=SIZE, seconds=10)
    assert np.array_equal(late, other.render(140)[0].image)


def test_nobody_leaves_the_picture_standing():
    for seed in range(1, 12):
        scene = open_scene("gym", seed=seed, size=(640, 360), seconds=5)
        truth = scene.truth(2)
        assert len(truth) == len(scene.athletes)
        assert np.array_equal(truth.xyxy, truth.whole)


def test_a_gym_has_a_source_and_refuses_what_cannot_be():
    with open_source("synth://gym?people=2&seconds=1&size=320x180") as source:
        assert len(list(source)) == 15
    with pytest.raises(UsageError, match="0 to 3"):
        open_scene("gym", people=4)
    with pytest.raises(UsageError, match="no lines and zones"):
        truth_counts(open_scene("gym"))
