"""How far detections may be from the recorded ones."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgelane.core import Detections
from edgelane.deploy.clips import picture_size, walkers
from edgelane.deploy.golden import TOLERANCE, agreement, rows_of
from edgelane.deploy.manifest import Tolerance
from edgelane.runtime.mot import read_mot

LOOSE = Tolerance(overlap=0.7, score=0.1, share=0.9)


def seen(*rows):
    """Detections from left, top, score and class; all of them 40 by 100 pixels."""
    boxes = np.array([[x, y, x + 40, y + 100] for x, y, _, _ in rows], float).reshape(-1, 4)
    return Detections(boxes, [r[2] for r in rows], [r[3] for r in rows])


@pytest.mark.parametrize(
    ("recorded", "found", "expected"),
    [
        ([(10, 10, 0.9, 0)], [(12, 11, 0.85, 0)], (2, 2)),
        ([(10, 10, 0.9, 0)], [(40, 10, 0.9, 0)], (0, 2)),
        ([(10, 10, 0.9, 0)], [(10, 10, 0.7, 0)], (0, 2)),
        ([(10, 10, 0.9, 0)], [(10, 10, 0.9, 1)], (0, 2)),
        ([(10, 10, 0.9, 0)], [], (0, 1)),
        ([], [(10, 10, 0.9, 0)], (0, 1)),
        # One that is found twice is found again once.
        ([(10, 10, 0.9, 0)], [(10, 10, 0.9, 0), (11, 10, 0.9, 0)], (2, 3)),
        # The unsure may come and go, and may be what a sure one is paired with.
        ([(10, 10, 0.55, 0)], [], (0, 0)),
        ([(10, 10, 0.61, 0)], [(10, 10, 0.55, 0)], (1, 1)),
        ([], [], (0, 0)),
    ],
)
def test_sure_detections_must_be_found_again_on_both_sides(recorded, found, expected):
    assert agreement(seen(*recorded), seen(*found), 0.5, LOOSE) == expected


def test_lower_precisions_may_be_further_off():
    one, two, three = (TOLERANCE[p] for p in ("fp32", "fp16", "int8"))
    assert one.overlap > two.overlap > three.overlap
    assert one.score < two.score < three.score


def test_rows_come_back_as_they_were(tmp_path):
    chance = np.random.default_rng(1)
    frames = []
    for _ in range(5):
        low = chance.uniform(0, 500, (3, 2))
        boxes = np.concatenate([low, low + chance.uniform(5, 90, (3, 2))], 1)
        frames.append(Detections(boxes, chance.uniform(0, 1, 3), [0, 2, 7]))
    (tmp_path / "rows.txt").write_text(rows_of(frames))
    for before, after in zip(frames, read_mot(tmp_path / "rows.txt")):
        assert np.array_equal(before.xyxy, after.xyxy)
        assert np.array_equal(before.score, after.score)
        assert np.array_equal(before.class_id, after.class_id)


def test_a_camera_without_shapes_has_a_walker_too(tmp_path):
    settings = SimpleNamespace()
    assert picture_size(settings) == (640, 360)
    (tmp_path / "rows.txt").write_text(walkers(settings, (640, 360)))
    assert len(read_mot(tmp_path / "rows.txt")) == 51
