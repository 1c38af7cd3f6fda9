"""Parts told from their ground, light or dark, without their shadows and with their holes."""

import numpy as np
import pytest

from edgelane.core import DataError
from edgelane.runtime.inspect.gauges.checks import choose_marks, keep_marks, mark_shifts
from edgelane.runtime.inspect.gauges.ground import see_ground
from edgelane.runtime.inspect.gauges.segment import find_blobs
from edgelane.runtime.inspect.judging.finding import alone, find_parts

cv2 = pytest.importorskip("cv2")


def disc(shape, x, y, radius):
    """Share of each pixel that lies within a circle, `(h, w, 1)`."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.clip(radius - np.hypot(columns - x, rows - y) + 0.5, 0, 1)[..., None]


def scene(
    face=150.0, ground=160.0, hole=True, drop=3.0, seed=0, tint=(1, 1, 1), at=(150, 115), noise=2.0
):
    """A washer with a dark rim, on a ground in uneven light, its shadow to the lower right."""
    random = np.random.RandomState(seed)
    shape = (240, 320)
    fall = 1 - 0.25 * ((np.mgrid[:240, :320] / 240 - 0.5) ** 2).sum(axis=0)[..., None]
    image = np.full((*shape, 3), ground) * fall
    x, y = at
    whole, inner = disc(shape, x, y, 40), disc(shape, x, y, 37.5)
    within = disc(shape, x, y, 18) if hole else np.zeros((*shape, 1))
    shadow = cv2.GaussianBlur(disc(shape, x + drop, y + drop, 40), (0, 0), 1.0)[..., None]
    under = image * (1 - 0.45 * np.maximum(shadow, within))
    part = np.array(tint) * (face * inner + 0.6 * face * (1 - inner))
    solid = whole * (1 - within)
    image = cv2.GaussianBlur(under * (1 - solid) + part * solid, (0, 0), 0.8)
    return np.clip(image + random.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("ground", [30.0, 70.0, 110.0, 150.0, 190.0, 230.0])
@pytest.mark.parametrize("face", [60.0, 150.0, 200.0])
def test_a_part_is_found_on_every_ground_at_its_place_and_not_at_its_shadows(ground, face):
    (blob,) = find_blobs(scene(face, ground, seed=int(ground + face)))
    middle = 0.5 * (blob.contour.min(axis=0) + blob.contour.max(axis=0))
    assert np.abs(middle - (150, 115)).max() < 1.6
    assert abs(2 * np.sqrt(blob.area / np.pi) - 80) < 6 and not blob.cut
    assert abs(blob.ground.mean() - ground) < 0.12 * ground + 3


def test_a_shadow_is_told_by_its_way_and_a_part_without_one_has_none():
    (blob,) = find_blobs(scene(drop=3.5))
    assert (blob.shadow > 1.5).all() and abs(blob.shadow[0] - blob.shadow[1]) < 1.0
    (bare,) = find_blobs(scene(60.0, 190.0, drop=0.0))
    assert not bare.shadow.any()


@pytest.mark.parametrize(("face", "ground"), [(150, 40), (150, 160), (120, 160), (200, 190)])
def test_holes_are_counted_whatever_tone_they_have(face, ground):
    (blob,) = find_blobs(scene(face, ground, seed=3))
    assert len(blob.holes) == 1
    assert np.abs(blob.holes[0].mean(axis=0) - (150, 115)).max() < 1.5
    assert not blob.mask[115, 150] and blob.mask[115, 150 - 28]
    (none,) = find_blobs(scene(face, ground, hole=False, seed=3))
    assert none.holes == []


def test_a_coloured_mark_or_a_light_ring_is_no_hole():
    image = scene(150, 160, hole=False).astype(float)
    for ink in ((40, 40, 190), (235, 235, 235)):
        share = disc(image.shape[:2], 150, 115, 12)
        painted = np.clip(image * (1 - share) + np.array(ink) * share, 0, 255).astype(np.uint8)
        (blob,) = find_blobs(painted)
        assert blob.holes == []


def test_a_seam_texture_and_specks_are_no_parts():
    random = np.random.RandomState(2)
    cloud = cv2.resize(random.uniform(-1, 1, (12, 16)), (320, 240), interpolation=cv2.INTER_CUBIC)
    image = 165 * (1 + 0.05 * cloud[..., None]) + random.normal(0, 4, (240, 320, 3))
    image[:, 200:202] *= 0.8
    cv2.circle(image, (60, 60), 5, (60, 60, 60), -1)
    assert find_blobs(np.clip(image, 0, 255).astype(np.uint8)) == []


def test_parts_of_one_tone_close_together_stay_apart():
    one = scene(150, 60, hole=False, drop=0.0, at=(80, 120)).astype(int)
    two = scene(150, 60, hole=False, drop=0.0, at=(172, 120)).astype(int)
    assert len(find_blobs(np.maximum(one, two).astype(np.uint8))) == 2


def test_what_the_border_cuts_is_told():
    for at in ((20, 115), (305, 115), (150, 10), (150, 225)):
        (look,) = find_parts(scene(150, 60, at=at))
        assert look.cut


def test_a_part_is_cut_out_upright_and_shown_alone():
    one = scene(150, 60, hole=False, drop=0.0, at=(90, 110)).astype(int)
    two = scene(60, 160, hole=False, drop=0.0, at=(90, 110))
    image = np.maximum(one, scene(150, 60, drop=0.0, at=(240, 120)).astype(int)).astype(np.uint8)
    left, right = find_parts(image)
    assert left.middle[0] < right.middle[0]
    assert abs(left.length - 80) < 4 and abs(left.width - 80) < 4
    assert abs(float(left.image[left.mask > 0].mean()) - 150) < 16
    (kept,) = find_parts(alone(image, left))
    assert np.abs(kept.middle - left.middle).max() < 1
    assert abs(float(find_parts(two)[0].ground.mean()) - 160) < 15


def test_grey_pictures_and_pictures_without_a_ground_are_taken_or_refused():
    (blob,) = find_blobs(cv2.cvtColor(scene(150, 60), cv2.COLOR_BGR2GRAY))
    assert len(blob.holes) == 1 and blob.ground.shape == (1,)
    with pytest.raises(DataError, match="ground cannot be told"):
        see_ground(np.zeros((1, 1, 3), np.uint8))
    assert find_blobs(np.zeros((240, 320, 3), np.uint8)) == []


def test_what_is_fixed_is_chosen_and_what_moves_is_not():
    random = np.random.RandomState(4)
    still = np.full((240, 320), 90.0)
    for x, y in ((40, 40), (280, 200)):
        cv2.line(still, (x - 9, y), (x + 9, y), 150, 2)
        cv2.line(still, (x, y - 9), (x, y + 9), 150, 2)
    free = np.ones(still.shape, bool)
    free[80:160, 100:220] = False

    def taken(image):
        return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)

    pictures = [taken(still) for _ in range(5)]
    boxes = choose_marks(pictures, free)
    assert len(boxes) == 2
    marks = keep_marks(pictures[0], boxes)
    there = np.roll(taken(still), (3, -4), axis=(0, 1))
    for shift in mark_shifts(there, marks):
        assert shift is not None and np.abs(np.array(shift) - (-4, 3)).max() < 0.3
    belt = [taken(np.roll(still, 17 * k, axis=1)) for k in range(5)]
    assert choose_marks(belt, free) == [] and choose_marks(pictures[:2], free) == []
