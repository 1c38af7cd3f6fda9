"""The judge of boards: boxes paired with true ones, intervals, changes that keep boxes in place."""

import numpy as np
import pytest

from edgelane.benchmarks import inspection

cv2 = pytest.importorskip("cv2")


def board(name: str) -> inspection.Board:
    """Lines with a gap (an open) and a blot (copper), `(200, 200, 3)`."""
    template = np.full((200, 200, 3), 255, np.uint8)
    for x in (40, 80, 120, 160):
        cv2.line(template, (x, 15), (x, 185), (0, 0, 0), 7)
    tested = template.copy()
    tested[90:100, 35:45] = 255
    cv2.circle(tested, (100, 60), 5, (0, 0, 0), -1)
    boxes = np.array([(34, 87, 46, 103), (92, 52, 108, 68)], float)
    return inspection.Board(name, template, tested, boxes, np.array([1, 5]))


@pytest.fixture
def folder(tmp_path):
    for name in ("00001001", "00001002", "00002001"):
        one = board(name)
        cv2.imwrite(str(tmp_path / f"{name}_temp.jpg"), one.template)
        cv2.imwrite(str(tmp_path / f"{name}_test.jpg"), one.tested)
        rows = np.column_stack((one.boxes, one.types)).astype(int)
        np.savetxt(str(tmp_path / f"{name}.txt"), rows, fmt="%d")
    return tmp_path


def test_boxes_are_paired_one_to_one_by_falling_overlap():
    truth = np.array([(0, 0, 10, 10), (20, 0, 30, 10)], float)
    found = np.array([(1, 0, 11, 10), (0, 0, 10, 10), (50, 50, 60, 60)], float)
    assert inspection.matches(found, truth, 0.33) == [(1, 0)]
    assert inspection.matches(found[:0], truth, 0.33) == []


def test_what_is_found_is_counted_by_type_and_by_group(folder):
    rows = inspection.boards(folder)
    figures = inspection.summary(rows)
    assert figures["f33"] == 1 and figures["missed"] == 0 and figures["defective_passed"] == 0
    assert figures["types"]["open"] == [3, 3] and figures["types"]["copper"] == [3, 3]
    assert figures["types"]["short"] == [0, 0]
    assert set(figures["groups"]) == {"00001", "00002"}
    wrong = [rows[0]._replace(hits=0), *rows[1:]]
    low, high = inspection.interval(wrong)
    assert low < inspection.f_of(wrong) < high <= 1


@pytest.mark.parametrize("name", inspection.CHANGES)
def test_changes_keep_boxes_on_their_defects(name):
    one = inspection.CHANGES[name](board("00001001"), np.random.default_rng(0))
    apart = np.abs(one.tested.astype(int) - one.template.astype(int)).max(axis=2)
    for left, top, right, bottom in np.rint(one.boxes).astype(int):
        assert apart[top:bottom, left:right].max() > 60


def test_drawn_settings_stay_within_a_quarter():
    usual, random = inspection.GoldenSettings(), np.random.default_rng(0)
    for _ in range(20):
        drawn = inspection.other_settings(random)
        for key in inspection.REAL:
            value = 10 if key == "margin" else getattr(usual, key)
            assert 0.74 * value - 1 <= getattr(drawn, key) <= 1.26 * value + 1
