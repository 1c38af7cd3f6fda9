"""The picture of the scene: the median of few frames, however long the run."""

import itertools

import numpy as np
import pytest

from edgelane.runtime.scene import MOST, WIDEST, Scene, _network, median

cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize("count", range(1, 12))
def test_the_network_sorts(count):
    pairs = list(_network(count))
    for bits in itertools.product((0, 1), repeat=count):  # the 0-1 principle
        values = list(bits)
        for low, high in pairs:
            if values[low] > values[high]:
                values[low], values[high] = values[high], values[low]
        assert values == sorted(values)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 15, 16])
def test_the_median_is_the_median(count):
    images = np.random.default_rng(count).integers(0, 256, (count, 33, 47, 3), np.uint8)
    assert np.array_equal(median(list(images)), np.sort(images, axis=0)[count // 2])


def test_who_walks_through_vanishes():
    scene = Scene()
    street = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    for index in range(1000):
        image = street.copy()
        left = index * 7 % 61
        image[10:40, left : left + 8] = 255
        scene.offer(image, index)
    assert np.array_equal(scene.picture(), street)
    assert scene.rich


@pytest.mark.parametrize("count", [1, 5, 16, 17, 100, 5000])
def test_samples_are_few_and_spread_over_the_run(count):
    scene = Scene()
    image = np.zeros((4, 4, 3), np.uint8)
    for index in range(count):
        scene.offer(image, index)
    taken = [index for index, _ in scene._samples]
    assert len(taken) <= MOST
    assert len(taken) >= min(count, MOST // 2)
    assert taken[0] == 0
    assert count - taken[-1] <= max(2 * count / (MOST // 2), 1)
    assert len(set(np.diff(taken))) <= 1


def test_dropped_frames_leave_no_gap_in_the_samples():
    scene = Scene()
    image = np.zeros((4, 4, 3), np.uint8)
    for index in range(1, 20_000, 7):
        scene.offer(image, index)
    assert MOST // 2 <= len(scene._samples) <= MOST


def test_the_picture_is_at_most_so_wide_and_a_jpeg():
    scene = Scene()
    assert scene.jpeg() is None
    scene.offer(np.full((1080, 1920, 3), 90, np.uint8), 0)
    picture = scene.picture()
    assert picture.shape == (540, WIDEST, 3)
    data = scene.jpeg()
    assert data[:2] == b"\xff\xd8"
    assert cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape == (540, WIDEST, 3)


def test_a_sample_is_a_copy():
    scene = Scene()
    image = np.zeros((4, 4, 3), np.uint8)
    scene.offer(image, 0)
    image[:] = 200
    assert not scene.picture().any()
