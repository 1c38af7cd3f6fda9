"""People who walk through one another's boxes keep their ids and are all counted."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from edgelane.core import Detections
from edgelane.pipelines.geometry import Line
from edgelane.pipelines.lines import LineCounter
from edgelane.pipelines.tracking import Tracker, TrackerSettings, motion

WALKERS = Path(__file__).resolve().parents[2] / "examples" / "walkers.py"


def counted(frames, fps, line):
    tracker, counter, told = Tracker(), LineCounter({"door": line}), []
    for i, seen in enumerate(frames):
        told += counter.update(tracker.update(seen, i / fps), i / fps)
    return [c.direction for c in told + counter.finish()]


def meeting(seed, fps, noise):
    """Two people pass on the line at y = 250 and turn away there: their speeds are new."""
    rng = np.random.default_rng(seed)
    tall = np.array([100.0, 110.0])
    half = 0.18 * tall
    for i in range(8 * fps):
        t = i / fps - 4
        late = max(0.0, t)
        way = 45 * (min(t, 0.5) + 0.3 * late)
        x = np.array([400 + 45 * late, 435 - 45 * late])
        y = np.array([250 + way, 250 - way])
        boxes = np.column_stack([x - half, y - tall, x + half, y])
        boxes += rng.normal(0, noise, (2, 4)) * tall[:, None]
        seen = rng.random(2) >= 0.05
        yield Detections.cleaned(boxes[seen], rng.uniform(0.6, 0.9, 2)[seen])


@pytest.mark.parametrize("fps", [5, 10, 15, 30])
@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
def test_two_people_who_pass_and_turn_on_the_line_are_both_counted(fps, noise):
    for seed in range(4):
        told = counted(meeting(seed, fps, noise), fps, Line((200, 250), (600, 250)))
        assert sorted(told) == ["in", "out"], seed


def test_of_those_who_meet_in_a_door_more_than_nine_in_ten_are_counted_over_many_seeds():
    spec = importlib.util.spec_from_file_location("walkers", WALKERS)
    assert spec is not None and spec.loader is not None
    walkers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(walkers)
    error = true = 0
    for seed in range(1, 9):
        rows, truth = walkers.simulate(seed)
        frames = []
        for number in range(1, int(rows[:, 0].max()) + 1):
            part = rows[rows[:, 0] == number]
            boxes = np.column_stack([part[:, 1:3], part[:, 1:3] + part[:, 3:5]])
            frames.append(Detections.cleaned(boxes, part[:, 5]))
        told = counted(frames, walkers.FPS, Line((240, 182), (400, 182)))
        for direction, number in truth["door"].items():
            error += abs(told.count(direction) - number)
            true += number
    assert error <= 0.08 * true, error


def test_speed_and_place_of_a_surprising_newcomer_stay_a_covariance():
    settings = TrackerSettings()
    rng = np.random.default_rng(0)
    state = motion.born(np.tile([[100.0], [100.0], [40.0], [100.0]], 200), settings)
    every, new = np.arange(200), np.zeros(200, bool)
    for _ in range(6):
        motion.predict(state, rng.choice([0.03, 0.2, 1.0]), settings)
        boxes = state[:4] + rng.normal(0, 60, (4, 200)) * np.array([[1], [1], [0], [0]])
        motion.correct(state, every, boxes, np.ones(200), new, settings)
        assert (state[motion.PP] > 0).all()
        assert (state[motion.VV] > 0).all()
        assert (state[motion.PV] ** 2 <= state[motion.PP] * state[motion.VV] * (1 + 1e-9)).all()
