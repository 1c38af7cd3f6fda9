"""The rendered conveyor: millimetres, a lens that is known, and defects that can be seen."""

import numpy as np
import pytest

from edgelane.core import UsageError
from edgelane.runtime.sources import open_source
from edgelane.runtime.synth import open_scene
from edgelane.runtime.synth.parts import DEFECTS, KINDS

cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_lens_is_the_one_that_opencv_knows(seed):
    scene = open_scene("bench", seed=seed)
    rng = np.random.default_rng(seed)
    points = rng.uniform(-90, 90, (50, 2))
    flat = np.concatenate((points, np.zeros((50, 1))), axis=1)
    expected, _ = cv2.projectPoints(
        flat, np.zeros(3), np.array([0, 0, scene.height_mm]), scene.camera_matrix, scene.distortion
    )
    np.testing.assert_allclose(scene.to_pixels(points), expected.reshape(-1, 2), atol=1e-6)
    np.testing.assert_allclose(scene.to_mm(scene.to_pixels(points)), points, atol=1e-6)
    # It bends: a straight line on the belt is none in the picture.
    edge = scene.to_pixels(np.array([[-80, -60], [0, -60], [80, -60.0]]))
    assert abs(edge[1, 1] - edge[[0, 2], 1].mean()) > 1.0


def test_parts_in_the_picture_measure_what_the_truth_says():
    """Pixels that are no belt, taken back through the lens, cover the part's own area."""
    errors = []
    for seed in (1, 2, 9, 11):
        scene = open_scene("bench", seed=seed, part="bracket", defects=0, size=(960, 540))
        for index in (70, 110, 150):
            image, truth = scene.render(index)[0].image.astype(int), scene.truth(index)
            belt = np.median(image.reshape(-1, 3), axis=0)
            if belt.mean() > 90:
                continue  # a light belt does not stand out from a light part
            for k in np.flatnonzero(truth.visibility == 1):
                x1, y1, x2, y2 = np.rint(truth.xyxy[k]).astype(int) + (-3, -3, 4, 4)
                crop = image[max(y1, 0) : y2, max(x1, 0) : x2]
                mask = (np.abs(crop - belt).max(axis=2) > 45).astype(np.uint8)
                contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                contour = max(contours, key=cv2.contourArea).reshape(-1, 2)
                flat = scene.to_mm(contour + (max(x1, 0) + 0.0, max(y1, 0) + 0.0))
                _, sides, _ = cv2.minAreaRect(flat.astype(np.float32))
                errors.append(np.sort(sides)[::-1] - truth.size[k])
    errors = np.array(errors)
    assert len(errors) >= 4
    assert (np.abs(errors) < 1.2).all() and (np.abs(errors.mean(axis=0)) < 0.7).all()


def test_defects_come_as_often_as_asked_and_sizes_tell_wrong_ones():
    scene = open_scene("bench", seed=2, seconds=300, defects=0.4)
    share = np.mean([p.defect != "none" for p in scene.parts])
    assert 0.3 < share < 0.5
    assert {p.defect for p in scene.parts} == set(DEFECTS)
    assert {p.kind for p in scene.parts} == set(KINDS)
    for part in scene.parts:
        product = scene.products[part.kind]
        off = abs(part.length / product.length - 1)
        assert (off > 0.07) == (part.defect == "wrong_size")
        lacks = len(product.holes) - len(part.holes)
        assert lacks == (part.defect == "missing_hole")
    good = open_scene("bench", seed=2, seconds=30, defects=0)
    assert {p.defect for p in good.parts} == {"none"}


@pytest.mark.parametrize("defect", ["scratch", "dent"])
def test_a_flaw_can_be_seen_where_the_truth_says(defect):
    seen = 0
    for seed in range(1, 12):
        scene = open_scene("bench", seed=seed, part="cap", defects=1, seconds=20)
        for index in (60, 120, 180):
            image, truth = scene.render(index)[0].image.astype(int), scene.truth(index)
            for k in range(len(truth)):
                if truth.defect[k] != defect or truth.visibility[k] < 1:
                    continue
                x1, y1, x2, y2 = np.rint(truth.flaw[k]).astype(int)
                flaw = image[y1 : y2 + 1, x1 : x2 + 1].reshape(-1, 3)
                around = image[y1 - 4 : y2 + 5, x1 - 4 : x2 + 5].reshape(-1, 3)
                contrast = np.abs(flaw - np.median(around, axis=0)).max()
                assert contrast > 12
                seen += 1
    assert seen >= 3


def test_parts_move_with_the_belt_and_keep_their_ids():
    scene = open_scene("bench", seed=3, speed=120)
    one, two = scene.truth(60), scene.truth(63)
    both = np.intersect1d(one.track_id, two.track_id)
    assert len(both)
    for track_id in both:
        a = one.place[one.track_id == track_id][0]
        b = two.place[two.track_id == track_id][0]
        np.testing.assert_allclose(b - a, (120 * 3 / 15, 0), atol=1e-3)


def test_outlines_lie_in_their_boxes_and_frames_do_not_depend_on_their_order():
    scene = open_scene("bench", seed=4, seconds=10)
    late = scene.render(100)[0].image
    truth = scene.truth(100)
    for outline, box in zip(truth.outline, truth.whole):
        assert (outline >= box[:2]).all() and (outline <= box[2:]).all()
    with open_source("synth://bench?seed=4&seconds=10") as source:
        source.seek(100)
        assert np.array_equal(next(iter(source)).image, late)
    assert len(truth.detections()) <= len(truth)


def test_an_unknown_part_is_one_sentence():
    with pytest.raises(UsageError, match="unknown part 'waser'. Did you mean 'washer'?"):
        open_scene("bench", part="waser")
    with pytest.raises(UsageError, match="defects is wrong"):
        open_source("synth://bench?defects=2")
