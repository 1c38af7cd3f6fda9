"""What people do, from their skeletons: signs, falls, lifts, and what must not be told."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from edgelane.benchmarks.pose_rules import calm, judge, measure, settings_of, spoil, watched
from edgelane.core import ConfigError, DataError, Detections, EdgelaneError, Observation
from edgelane.pipelines.geometry import Polygon
from edgelane.pipelines.pose import DEFAULT_RULES, Body, Pose, PoseSettings, rule
from edgelane.pipelines.pose.angles import angle, from_down, middle, turns
from edgelane.pipelines.pose.areas import Areas
from edgelane.pipelines.pose.bodies import Bodies
from edgelane.pipelines.pose.rules import Fall, Squat, make_rules
from edgelane.pipelines.pose.steady import Steady, SteadySettings
from edgelane.pipelines.registry import camera_settings
from edgelane.runtime.config import load_config
from edgelane.runtime.pose.skeleton import COCO_17
from edgelane.runtime.synth import open_scene

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIZE = (640, 360)
STANDING = {
    "nose": (0, 0.92), "eye": (0.02, 0.935), "ear": (0.045, 0.93), "shoulder": (0.115, 0.82),
    "elbow": (0.13, 0.65), "wrist": (0.14, 0.5), "hip": (0.06, 0.53), "knee": (0.065, 0.285),
    "ankle": (0.07, 0.04),
}  # fmt: skip
"""The left side in heights, from the middle of the feet; y up."""


def person(height=200.0, at=(300.0, 320.0), **moved):
    """`(17, 3)` of somebody who stands facing the camera, with points moved: their left is right
    in the picture. `left_wrist=(x, y)` in heights."""
    points = np.zeros((17, 3), np.float32)
    for k, name in enumerate(COCO_17.names):
        side, _, part = name.rpartition("_")
        x, y = STANDING[part]
        x, y = moved.get(name, (x if side == "left" else -x, y))
        points[k] = (at[0] + x * height, at[1] - y * height, 0.9)
    return points


UP = {"left_elbow": (0.14, 0.98), "left_wrist": (0.14, 1.12)}
BOTH = {**UP, "right_elbow": (-0.14, 0.98), "right_wrist": (-0.14, 1.12)}
LYING = {
    name: (0.9 - 0.9 * p[1], 0.05 + (0.04 if name.startswith("left") else 0.0))
    for name in COCO_17.names
    for p in [STANDING[name.rpartition("_")[2]]]
}


def pose(size=SIZE, classes=("person",), **settings):
    config = load_config({"pipeline": "pose", **settings})
    return Pose("c", camera_settings(Pose, config.cameras["camera"]), size, classes)


def play(pipeline, course, fps=15.0, start=0.0, end=True):
    """Events of people whose points `course(time)` gives, `(n, k, 3)`; the last time is None."""
    events, index = [], int(round(start * fps))
    while True:
        points = course(index / fps)
        if points is None:
            break
        points = np.asarray(points, np.float32)
        n = len(points)
        boxes = np.tile(np.array([[200, 80, 400, 330]], float), (n, 1)) + 3 * np.arange(n)[:, None]
        found = Detections(boxes, np.full(n, 0.9), np.zeros(n), np.arange(n) + 1, points)
        events += pipeline.process(Observation("c", index / fps, found, SIZE, None, index))
        index += 1
    return events + (pipeline.finish() if end else [])


def then(*parts):
    """One pose after another: `(seconds, points)`."""

    def course(time):
        for seconds, points in parts:
            if time < seconds:
                return None if points is None else points[None]
            time -= seconds
        return None

    return course


def kinds(events):
    return [e.kind for e in events if e.kind not in ("person", "released")]


def test_angles():
    """Known ones, and NaN where a point is missing."""
    assert angle((0, 1), (0, 0), (1, 0)) == pytest.approx(90)
    assert angle((0, 1), (0, 0), (0, -2)) == pytest.approx(180)
    assert from_down((0, 0), (0, -1)) == 0 and from_down((0, 0), (-1, 0)) == pytest.approx(90)
    nan = float("nan")
    assert math.isnan(angle((nan, 1), (0, 0), (1, 0))) and math.isnan(from_down((0, nan), (1, 1)))
    assert middle([(0, 0), (nan, 5), (2, 4)]) == (1, 2)
    assert turns([0, 1, 2, 1, nan, 0, 1, 2], 1.5) == [2, 5]
    assert turns([0, 0.1, 0, 0.1, 0], 0.5) == []


def test_points_are_steadied_through_gaps_swaps_and_noise():
    """What is given back is nearer to the truth than the looks are, and sides hold."""
    random, truth = np.random.default_rng(0), person()
    steady = Steady(17, COCO_17.flip_pairs, SteadySettings())
    off = []
    for i in range(400):
        look = spoil(truth[None].astype(float), random, 0.25, 0.1, 2.0)
        result = steady([1], look, i / 15)
        if i > 10:
            off.append(np.abs(result[0] - truth[:, :2]))
    assert np.percentile(off, 99) < 4.5  # a look's own is 5.2, and wrists are 56 pixels apart
    assert np.max(off) < 20


def test_sides_that_were_followed_wrongly_are_put_right():
    """Begun with left and right exchanged, most of the looks are believed after a second."""
    truth = person()
    exchanged = truth[COCO_17.mirror]
    steady = Steady(17, COCO_17.flip_pairs, SteadySettings())
    for i in range(60):
        result = steady([1], (exchanged if i < 2 else truth)[None], i / 15)
    np.testing.assert_allclose(result[0], truth[:, :2], atol=1e-3)


def test_bodies_have_their_own_measure():
    """Near or far, the same body; half a person is one, too, with the rest unknown."""
    for height in (60.0, 200.0, 300.0):
        bodies = Bodies(COCO_17, SteadySettings())
        (body,) = bodies([1], person(height)[None], 0.0)
        assert body.size == pytest.approx(height, rel=0.05)
        assert body.above("left_wrist", "left_hip") == pytest.approx(-0.03, abs=0.01)
        assert body.torso == pytest.approx(1, abs=0.05) and body.lean < 5
    half = person()
    half[11:, 2] = 0
    (body,) = Bodies(COCO_17, SteadySettings())([1], half[None], 0.0)
    assert math.isnan(body.torso) and body.above("left_shoulder", "left_wrist") > 0.1


def test_a_raised_hand_holds_and_is_told_once():
    """Not before its time; once, with evidence; over when the hand is down; not again at once."""
    events = play(pose(), then((1.0, person()), (2.0, person(**UP)), (1.0, person())))
    assert kinds(events) == ["hand_raised"]
    told = next(e for e in events if e.kind == "hand_raised")
    payload = told.payload
    assert payload["side"] == "left" and payload["track"] == 1
    assert payload["duration_s"] == pytest.approx(0.3, abs=0.08)
    assert payload["values"]["above"] > payload["limits"]["above"]
    assert "left_wrist" in payload["keypoints"]
    over = next(e for e in events if e.kind == "released")
    assert over.payload["rule"] == "hand_raised" and over.payload["side"] == "left"
    assert over.payload["duration_s"] == pytest.approx(2.0, abs=0.4)
    assert kinds(play(pose(), then((1.0, person()), (0.2, person(**UP)), (1.0, person())))) == []


def test_two_hands_are_not_one_and_half_a_person_can_ask_for_help():
    assert kinds(play(pose(), then((1, person()), (1.5, person(**BOTH)), (1, person())))) == [
        "hands_up"
    ]
    low, high = person(), person(**UP)
    for points in (low, high):
        points[11:] = np.nan  # behind a desk
    assert kinds(play(pose(), then((1, low), (1.5, high), (1, low)))) == ["hand_raised"]


def test_pointing_says_where_to_and_a_hand_in_a_forbidden_zone_is_told():
    zones = {
        "shelf": {"polygon": [[560, 60], [640, 60], [640, 300], [560, 300]]},
        "press": {"polygon": [[350, 250], [400, 250], [400, 290], [350, 290]], "forbidden": True},
    }
    out = person(left_elbow=(0.29, 0.82), left_wrist=(0.44, 0.82))
    into = person(left_elbow=(0.25, 0.6), left_wrist=(0.38, 0.27))
    events = play(pose(zones=zones), then((1, person()), (1, out), (1, person()), (1, into)))
    assert kinds(events) == ["pointing", "reach"]
    zone = [e.payload["zone"] for e in events if e.kind in ("pointing", "reach")]
    assert zone == ["shelf", "press"]
    # Still there at the end: it ends with the person.
    assert [e.payload["rule"] for e in events if e.kind == "released"] == ["pointing", "reach"]


def test_areas_along_a_ray():
    areas = Areas({"a": Polygon([(10, -1), (12, -1), (12, 1), (10, 1)])})
    assert areas.along((0, 0), (1, 0)) == "a" and areas.along((0, 0), (-1, 0)) is None
    assert areas.along((0, 0), (11, 0)) == "a" and areas.along((0, 0), (13, 0)) is None
    assert not areas.holds("a", (float("nan"), 0))


def test_a_fall_is_quick_and_stays_down():
    """Down at once and staying is a fall; by way of kneeling, or up again at once, it is none."""
    down = person(**LYING)
    assert kinds(play(pose(), then((2, person()), (2.5, down), (1, person())))) == ["fall"]
    assert kinds(play(pose(), then((2, person()), (0.7, down), (2, person())))) == []
    slowly = pose()
    events = play(
        slowly, lambda t: None if t > 9 else (_between(person(), down, (t - 1) / 6))[None]
    )
    assert kinds(events) == []
    long = play(pose(), then((2, person()), (12, down)))
    assert kinds(long) == ["fall", "long_lie"]
    fall = next(e for e in long if e.kind == "fall").payload
    assert fall["values"]["drop_s"] <= fall["limits"]["drop_s"] and fall["values"]["torso"] < 0.3


def _between(one, two, share):
    return one + min(max(share, 0.0), 1.0) * (two - one)


def _lowered(by):
    """All but the legs below the knee, so much lower."""
    legs = ("knee", "ankle")
    return {n: (x, y - by) for n, (x, y) in _whole().items() if not n.endswith(legs)}


def _whole():
    found = {}
    for name in COCO_17.names:
        side, _, part = name.rpartition("_")
        x, y = STANDING[part]
        found[name] = (x if side == "left" else -x, y)
    return found


def test_repetitions_are_counted():
    """Three squats; half a one is none."""
    down = person(**_lowered(0.22), left_knee=(0.15, 0.285), right_knee=(-0.15, 0.285))
    course = then(*[(1, person()), (1, down)] * 3, (1, person()))
    events = play(pose(rules=["squat"]), course)
    assert [e.payload["count"] for e in events if e.kind == "squat"] == [1, 2, 3]
    assert Squat().step({}, Body(1, 0.0, 100.0, {}, (1, float("nan"), 1))) == []


@pytest.mark.slow
def test_every_rule_in_the_gym():
    """A few scenes with a quarter of the points missing and a tenth swapped; see the benchmark."""
    for name, row in measure(range(3, 6)).items():
        assert row["precision"] >= 0.85 and row["recall"] >= 0.85, name
    assert {k: v for k, v in calm(0.1, seed=5).items() if v} == {}


def test_the_same_points_give_the_same_events_over_a_restart():
    """Byte for byte, wherever the state was saved."""
    scene = open_scene("gym", seed=11, seconds=30)

    def told(cut):
        pipeline, frames = watched(scene, np.random.default_rng(3), settings_of(scene))
        events = []
        for index, some in enumerate(frames):
            events += some
            if index == cut:
                other = Pose("gym", settings_of(scene), scene.size)
                other.restore(pipeline.snapshot())
                assert other.snapshot() == pipeline.snapshot()
                vars(pipeline).update(vars(other))
        return json.dumps([[e.id, e.kind, e.payload] for e in events], allow_nan=False)

    whole = told(-1)
    assert whole == told(-1) == told(200) == told(333)
    assert json.loads(whole)


def test_signals_go_on_and_off():
    stop = {"on": ["hands_up"], "off": ["hand_raised"]}
    staff = {"on": ["hand_raised"], "for_s": 1.0}
    held = {"on": ["hands_up"], "held": True}
    both, one = person(**BOTH), person(**UP)
    course = then((1, person()), (1, both), (1, person()), (1, one), (2, person()))
    pipeline = pose(signals={"stop": stop, "staff": staff, "held": held})
    events = play(pipeline, course)
    changes = [(e.payload["name"], e.payload["on"], e.payload["by"]) for e in events
               if e.kind == "signal"]  # fmt: skip
    assert changes == [
        ("stop", True, "hands_up"),
        ("held", True, "hands_up"),
        ("held", False, "hands_up"),
        ("stop", False, "hand_raised"),
        ("staff", True, "hand_raised"),
        ("staff", False, "time"),
    ]
    assert pipeline.summarise(events)["signals"] == {"stop": 1, "staff": 1, "held": 1}
    assert pipeline.summarise(events)["rules"]["hands_up"] == 1


def test_a_signal_ends_while_no_frame_comes():
    pipeline = pose(signals={"staff": {"on": ["hands_up"], "for_s": 2.0}})
    play(pipeline, then((1, person()), (1, person(**BOTH))), end=False)
    assert pipeline.tick(2.5) == []
    assert [e.payload["on"] for e in pipeline.tick(5.0)] == [False]


def test_a_rule_of_ones_own_runs_by_name(monkeypatch, capsys):
    """As the example says, with its config, and its function is told of the signal."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import own_rule

    text = (EXAMPLES / "own_rule.py").read_text(encoding="utf-8").split('"""')[1]
    lines = text.strip().split("\n\n")[1]
    from ruamel.yaml import YAML

    data = YAML(typ="safe", pure=True).load(lines)
    assert data["subscribe"] == {"signal": "own_rule:line"}
    config = load_config(data)
    pipeline = Pose("c", camera_settings(Pose, config.cameras["camera"]), SIZE)
    head = {"left_elbow": (0.25, 0.9), "left_wrist": (0.04, 0.94)}
    head.update({"right_elbow": (-0.25, 0.9), "right_wrist": (-0.04, 0.94)})
    events = play(pipeline, then((1, person()), (1.5, person(**head)), (1, person())))
    assert kinds(events)[:2] == ["hands_on_head", "signal"]
    own_rule.line(next(e for e in events if e.kind == "signal"))
    assert capsys.readouterr().out == "stop on hands_on_head\n"


def test_a_plain_function_is_a_rule():
    made = make_rules([{"m:quick": {"after_s": 0}}], Areas(), Areas(), lambda _: lambda body: True)
    body = Body(1, 0.0, 100.0, {})
    assert [f.over for f in made["quick"].step({}, body)] == [False]
    with pytest.raises(ConfigError, match="after_s is wrong"):
        rule(after_s=-1)(lambda body: True)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rules": ["fal"]}, "Did you mean 'fall'"),
        ({"rules": ["fall", {"fall": {}}]}, "'fall' is there twice"),
        ({"rules": [{"fall": {"drob": 1}}]}, r"rules\[0\].fall.drob is unknown"),
        ({"rules": [{"fall": {"drop": -1}}]}, "drop is wrong"),
        ({"rules": [{"reach": {"zones": 1}}]}, "set by the camera's zones"),
        ({"rules": ["no_such_module:rule"]}, "no module 'no_such_module'"),
        ({"signals": {"a": {"on": ["fal"]}}}, "Did you mean 'fall'"),
        ({"signals": {"a": {"on": []}}}, "signal.on is empty"),
        ({"zones": {"a": {"polygon": [[0, 0], [1, 1]]}}}, "zones.a.*too few points"),
        ({"skeleton": "coco-71"}, "Did you mean 'coco-17'"),
        (
            {"skeleton": {"names": ["a", "b", "c"], "flip_pairs": [[0, 1], [1, 2]]}},
            "flip_pairs do not match",
        ),
    ],
)
def test_what_makes_no_sense_is_told(settings, message):
    with pytest.raises(EdgelaneError, match=message):
        pose(**settings)


def test_points_of_another_number():
    """Asked for rules it is an error; else nothing is looked for."""
    points = np.ones((21, 3), np.float32)
    with pytest.raises(DataError, match="got 21 points, expected 17"):
        play(pose(rules=["fall"]), then((1, points)))
    with pytest.raises(DataError, match="another number of points"):
        play(pose(skeleton="coco-17"), then((1, points)))
    assert kinds(play(pose(), then((1, points)))) == []
    with pytest.raises(DataError, match="has no shoulders"):
        play(pose(skeleton={"names": ["tip", "tail"]}), then((1, points[:2])))


def test_nobody_nan_and_forty_at_once():
    """Nothing is told that was not seen, and nothing breaks."""
    nothing = np.full((17, 3), np.nan, np.float32)
    assert kinds(play(pose(), then((2, nothing)))) == []
    many = np.stack([person(at=(100 + 10 * k, 320)) for k in range(40)])
    raised = np.stack([person(at=(100 + 10 * k, 320), **UP) for k in range(40)])
    pipeline = pose()
    events = play(pipeline, lambda t: many if t < 1 else raised if t < 2.5 else None)
    assert sum(kind == "hand_raised" for kind in kinds(events)) == pipeline.settings.most == 20
    assert pipeline.summarise(events)["left_out_max"] == 20
    assert Fall().step({}, Body(1, 0.0, float("nan"), {}, (float("nan"),) * 3)) == []
    assert set(DEFAULT_RULES) <= set(pipeline.rules)


def test_zones_are_scaled_with_the_picture():
    settings = pose(zones={"a": {"polygon": [[0, 0], [10, 0], [0, 10]]}}).settings
    assert Pose.scale(settings, 2, 3).zones["a"].polygon == [(0, 0), (20, 0), (0, 30)]
    assert PoseSettings().rules is None


def test_the_judge_wants_each_doing_once():
    """Told twice is wrong once, told for nothing is wrong, and what was not told is missed."""
    scene = open_scene("gym", seed=3, seconds=30)
    pipeline, frames = watched(scene, np.random.default_rng(1), settings_of(scene))
    events = [e for some in frames for e in some]
    first = judge(scene, events, 10.0)
    twice = judge(scene, [*events, *events], 10.0)
    for name, row in first.items():
        if name != "bent_lift":
            assert twice[name]["right"] == row["right"]
            assert twice[name]["told"] == 2 * row["told"]
        assert judge(scene, [], 10.0)[name]["missed"] == row["due"]
