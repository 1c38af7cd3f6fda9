"""Gauges on rendered parts of known sizes, and what cannot be measured."""

import math

import numpy as np
import pytest

from edgelane.core import DataError
from edgelane.runtime.inspect.gauges.camera import Camera
from edgelane.runtime.inspect.gauges.parts import judge_parts, measure_parts

cv2 = pytest.importorskip("cv2")

CAMERA = Camera(
    (480, 360),
    np.array([[800.0, 0, 243], [0, 801, 177], [0, 0, 1]]),
    np.array([-0.2, 0.05, 5e-4, -4e-4, 0]),
    np.array([0.07, -0.05, 0.04]),
    np.array([-30.0, -22, 110]),
)


def render(inside, dark=False, blur=1.2, noise=4.0, shade=0.3, seed=0, camera=CAMERA, times=4):
    """A part, given by `inside((n, 2) mm) -> (n,) bool`, as the camera sees it."""
    width, height = camera.size
    y, x = np.mgrid[0 : height * times, 0 : width * times]
    # Somewhere in each small square, or an edge along the rows would move by steps.
    jitter = np.random.RandomState(9).uniform(0, 1, (2, x.size))
    pixels = (np.stack((x.ravel(), y.ravel())) + jitter).T / times - 0.5
    light, ground = (60.0, 200.0) if dark else (170.0, 40.0)
    big = np.where(inside(camera.to_mm(pixels)), light, ground)
    image = big.reshape(height, times, width, times).mean(axis=(1, 3))
    image = cv2.GaussianBlur(image, (0, 0), blur)
    image = image * (1 - shade * np.linspace(0, 1, width))
    image = image + np.random.RandomState(seed).normal(0, noise, image.shape)
    grey = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def disc(x, y, diameter):
    return lambda p: np.hypot(p[:, 0] - x, p[:, 1] - y) < diameter / 2


def bar(x, y, length, width, degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def inside(p):
        u, v = p[:, 0] - x, p[:, 1] - y
        return (np.abs(c * u + s * v) < length / 2) & (np.abs(c * v - s * u) < width / 2)

    return inside


def without(outer, *holes):
    def inside(p):
        result = outer(p)
        for hole in holes:
            result &= ~hole(p)
        return result

    return inside


@pytest.mark.parametrize("dark", [False, True])
def test_a_washer_is_measured_to_a_small_part_of_a_pixel(dark):
    image = render(without(disc(29, 23, 30), disc(29, 23, 14)), dark)
    (part,) = measure_parts(image, CAMERA)
    pixel = CAMERA.mm_per_pixel(CAMERA.to_pixels([[29.0, 23.0]])[0])
    assert part.shape == "round" and part.measures["holes"].value == 1
    for name, true in (("diameter", 30), ("hole1_diameter", 14)):
        value, doubt, unit = part.measures[name]
        assert unit == "mm" and abs(value - true) < 0.05 * pixel
        assert 0 < doubt < 0.15 * pixel
    assert abs(part.measures["area"].value / (math.pi / 4 * 900) - 1) < 2e-3
    assert np.abs(part.middle - (29, 23)).max() < 0.05 * pixel


@pytest.mark.parametrize("degrees", [-70.0, 0.3, 33.0, 88.0])
def test_a_bar_is_measured_however_it_lies(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    holes = [disc(29 + k * 8 * c, 23 + k * 8 * s, 5) for k in (-1, 1)]
    (part,) = measure_parts(render(without(bar(29, 23, 27, 14, degrees), *holes)), CAMERA)
    measures = part.measures
    pixel = CAMERA.mm_per_pixel(CAMERA.to_pixels([[29.0, 23.0]])[0])
    assert part.shape == "rectangle" and measures["holes"].value == 2
    assert abs(measures["length"].value - 27) < 0.05 * pixel
    assert abs(measures["width"].value - 14) < 0.05 * pixel
    assert abs(math.remainder(measures["angle"].value - degrees, 180)) < 0.05
    assert abs(measures["hole1_hole2_distance"].value - 16) < 0.07 * pixel
    assert abs(abs(measures["hole1_x"].value) - 8) < 0.07 * pixel


def test_the_thickness_of_a_part_is_taken_into_account():
    image = render(disc(29, 23, 24))
    flat = measure_parts(image, CAMERA)[0].measures["diameter"].value
    thick = measure_parts(image, CAMERA, height=5.5)[0].measures["diameter"].value
    assert abs(thick / flat - (1 - 5.5 / 110)) < 3e-3


def test_a_free_shape_has_an_area():
    (part,) = measure_parts(render(lambda p: disc(26, 20, 16)(p) | bar(34, 26, 16, 6, 30)(p)),
                            CAMERA)  # fmt: skip
    assert part.shape == "free"
    y, x = np.mgrid[0:40:0.02, 0:60:0.02]
    dense = np.stack((x.ravel(), y.ravel()), axis=1)
    true = float((disc(26, 20, 16)(dense) | bar(34, 26, 16, 6, 30)(dense)).sum()) * 0.02**2
    assert abs(part.measures["area"].value - true) < part.measures["area"].uncertainty


def test_a_verdict_follows_from_limits():
    parts = measure_parts(render(disc(29, 23, 24)), CAMERA)
    assert judge_parts(parts, {"diameter": (23.9, 24.1)}).verdict == "pass"
    assert judge_parts(parts, {"diameter": (24.2, 24.6)}).verdict == "fail"
    value = parts[0].measures["diameter"].value
    assert judge_parts(parts, {"diameter": (None, value + 1e-4)}).verdict == "unsure"
    assert judge_parts(parts, {"width": (1, 2)}).verdict == "unsure"


def test_two_parts_and_a_cut_part_are_unsure():
    two = measure_parts(render(lambda p: disc(18, 20, 14)(p) | disc(42, 24, 14)(p)), CAMERA)
    assert len(two) == 2
    assert judge_parts(two, {"diameter": (13, 15)}).verdict == "unsure"
    assert judge_parts(two, {"diameter": (13, 15)}, count=2).verdict == "pass"
    cut = measure_parts(render(disc(3, 20, 16)), CAMERA)
    assert cut[0].cut and judge_parts(cut, {"area": (1, 9999)}).verdict == "unsure"


def test_no_part_and_another_camera_are_refused():
    with pytest.raises(DataError, match="no part"):
        measure_parts(render(lambda p: np.zeros(len(p), bool)), CAMERA)
    with pytest.raises(DataError, match="another size"):
        measure_parts(render(disc(29, 23, 24))[:-2], CAMERA)
