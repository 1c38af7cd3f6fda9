"""What edges hide: rims beside them, and polygons painted exactly where they are."""

import math

import numpy as np
import pytest
from scipy.special import erf

from edgelane.core import DataError
from edgelane.runtime.inspect.gauges.colour import ColourChecker, lab, linear_of_lab
from edgelane.runtime.inspect.gauges.plane import Plane, Pose
from edgelane.runtime.inspect.gauges.steps import edge_doubt, samples
from edgelane.runtime.synth.coverage import coverage


def profiles(blur, rim, noise, count=12, level=0.5):
    """Two steps `rim` pixels apart, as a lens blurs them."""
    t = samples()
    steps = [0.5 * (1 + erf((t - side * rim / 2) / (blur * math.sqrt(2)))) for side in (-1, 1)]
    clean = 170 - 130 * (level * steps[0] + (1 - level) * steps[1])
    return clean + np.random.RandomState(4).normal(0, noise, (count, len(t)))


@pytest.mark.parametrize("blur", [0.6, 1.2, 2.0])
def test_one_clean_step_hides_nothing(blur):
    noise = np.full(12, 0.8)
    assert edge_doubt(profiles(blur, 0.0, 0.8), noise, blur, blur).max() < 0.05


@pytest.mark.parametrize(("rim", "level"), [(1.0, 0.5), (2.4, 0.5), (3.5, 0.35), (5.0, 0.6)])
def test_a_rim_is_covered_whichever_of_its_edges_is_meant(rim, level):
    noise = np.full(12, 0.5)
    # The fitted step lies between the two, at their mean; the lens is known to be sharper.
    seen = math.sqrt(0.6**2 + rim**2 * level * (1 - level)) if rim < 3 else 0.7
    doubts = edge_doubt(profiles(0.6, rim, 0.5, level=level), noise, seen, 0.6)
    assert (doubts > 0.45 * rim).mean() > 0.9 and doubts.max() < rim + 3


def test_polygons_cover_exactly_their_area():
    square = np.array([[2, 3], [6, 3], [6, 5.25], [2, 5.25]])
    share = coverage(square, (10, 12))
    assert share.sum() == pytest.approx(4 * 2.25, abs=1e-6)
    assert share[3, 2] == pytest.approx(0.25) and share[4, 4] == 1 and share[5, 4] == 0.75
    turn = np.arange(300) * (2 * math.pi / 300)
    ring = np.stack((np.cos(turn), np.sin(turn)), axis=1) * 17.3 + (24.37, 21.11)
    share = coverage(ring, (45, 50)).astype(float)
    y, x = np.mgrid[:45, :50]
    assert share.sum() == pytest.approx(150 * math.sin(2 * math.pi / 300) * 17.3**2, rel=1e-6)
    assert (share * x).sum() / share.sum() == pytest.approx(24.37, abs=2e-3)
    assert (share * y).sum() / share.sum() == pytest.approx(21.11, abs=2e-3)
    assert set(np.unique(share[:, :5])) == {0.0}  # nothing beside it


def test_poses_and_planes_go_there_and_back():
    pose = Pose(np.array([3.0, -2.0]), 0.7)
    points = np.random.RandomState(1).uniform(-5, 5, (6, 2))
    assert np.abs(pose.to_part(pose.to_plane(points)) - points).max() < 1e-12
    plain = Plane(None)
    assert plain.unit == "px" and np.array_equal(plain.to_plane(points), points)


def test_a_colour_checker_sets_a_strange_light_right():
    random = np.random.RandomState(2)
    colours = random.uniform(20, 230, (24, 3))  # BGR
    true = lab(colours)
    assert np.abs(linear_of_lab(true)[:, 0].clip(0, 1) - linear_of_lab(true)[:, 0]).max() < 1e-6
    mixed = linear_of_lab(true) @ np.array([[0.8, 0.1, 0.02], [0.1, 0.7, 0.1], [0, 0.15, 0.6]]).T
    value = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)
    patches = [np.tile(np.rint(v[::-1] * 255), (40, 1)).astype(np.uint8) for v in value]
    checker = ColourChecker.seen(patches, true)
    assert np.median(checker.error) < 0.6 and checker.error.max() < 3
    found = checker.lab(np.array([p[0] for p in patches]))
    assert np.abs(found - true).max() < 3
    with pytest.raises(DataError, match="not those that were given"):
        ColourChecker.seen(patches, true[::-1])
    with pytest.raises(DataError, match="at least six"):
        ColourChecker.seen(patches[:4], true[:4])
    with pytest.raises(DataError, match="patch 1 of the colour checker is overexposed"):
        ColourChecker.seen([np.full((9, 3), 255)] + patches[1:], true)
