"""Lines and polygons: what they accept, and where points stand to them."""

import numpy as np
import pytest

from edgelane.core import ConfigError
from edgelane.pipelines.geometry import Line, Polygon, foot_points, segments_intersect

SQUARE = Polygon([(0, 0), (10, 0), (10, 10), (0, 10)])
# A U: two towers with a gap between them.
U_SHAPE = Polygon([(0, 0), (2, 0), (2, 8), (8, 8), (8, 0), (10, 0), (10, 10), (0, 10)])


def test_foot_point_is_the_bottom_centre():
    assert foot_points(np.array([[10, 20, 30, 80]], np.float32)).tolist() == [[20, 80]]
    assert foot_points(np.zeros((0, 4))).shape == (0, 2)


def test_the_right_hand_side_of_a_line_is_positive():
    up = Line((5, 10), (5, 0))  # looking up the picture, right is greater x
    assert up.side(np.array([[8, 5], [2, 5], [5, 99]])).tolist() == [3, -3, 0]
    assert up.along(np.array([[8, 10], [0, 0], [5, -5]])).tolist() == [0, 10, 15]


@pytest.mark.parametrize("bad", [(1, float("nan")), (float("inf"), 0), (1,), "x", None, (1, 2, 3)])
def test_points_that_are_no_points_are_refused(bad):
    with pytest.raises(ConfigError, match="start of a line"):
        Line(bad, (0, 0))
    with pytest.raises(ConfigError, match="point 2 of a polygon"):
        Polygon([(0, 0), bad, (3, 3)])


def test_a_line_of_no_length_is_refused():
    with pytest.raises(ConfigError, match=r"no length.*two different points"):
        Line((3, 4), (3, 4))


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0), (10, 10), (10, 0), (0, 10)],  # a bow tie
        [(0, 0), (10, 0), (10, 10), (5, 0), (0, 10)],  # a corner touches another edge
        [(0, 0), (10, 0), (5, 0), (5, 5)],  # an edge that turns straight back
        [(0, 0), (10, 0), (10, 10), (0, 10), (10, 0), (5, -5)],  # a corner met twice
    ],
)
def test_a_polygon_that_crosses_itself_is_refused(points):
    with pytest.raises(ConfigError, match="crosses itself"):
        Polygon(points)


@pytest.mark.parametrize(
    "points", [[], [(1, 1)], [(0, 0), (1, 1)], [(0, 0), (1, 1), (1, 1), (0, 0)], 5]
)
def test_a_polygon_of_fewer_than_three_points_is_refused(points):
    with pytest.raises(ConfigError, match="too few points|no list of points"):
        Polygon(points)


def test_a_polygon_of_no_area_is_refused():
    with pytest.raises(ConfigError, match="crosses itself|no area"):
        Polygon([(0, 0), (5, 5), (10, 10)])


def test_a_closed_ring_is_the_same_polygon():
    assert Polygon([(0, 0), (4, 0), (0, 4), (0, 0)]) == Polygon([(0, 0), (4, 0), (0, 4)])


def test_contains_takes_concave_shapes_and_both_senses():
    points = np.array([[1, 1], [5, 4], [9, 4], [5, 9], [11, 5], [-1, 9]])
    expected = [True, False, True, True, False, False]
    assert U_SHAPE.contains(points).tolist() == expected
    assert Polygon(U_SHAPE.points[::-1]).contains(points).tolist() == expected
    assert U_SHAPE.contains(np.zeros((0, 2))).shape == (0,)
    assert U_SHAPE.area == 10 * 10 - 6 * 8
    assert U_SHAPE.bounds == (0, 0, 10, 10)


def test_a_ray_through_a_corner_counts_it_once():
    diamond = Polygon([(0, 5), (5, 0), (10, 5), (5, 10)])
    assert diamond.contains(np.array([[5, 5], [-1, 5], [11, 5], [-1, 0], [-1, 10]])).tolist() == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_shared_edge_belongs_to_one_of_two_neighbours():
    left, right = SQUARE, Polygon([(10, 0), (20, 0), (20, 10), (10, 10)])
    edge = np.stack((np.full(9, 10.0), np.arange(1, 10)), axis=1)
    assert (left.contains(edge) ^ right.contains(edge)).all()


def test_points_that_are_not_finite_lie_outside():
    bad = np.array([[np.nan, 5], [5, np.nan], [np.inf, 5], [5, -np.inf]])
    assert not SQUARE.contains(bad).any()


def test_contains_agrees_with_winding_angles():
    rng = np.random.default_rng(5)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    radii = rng.uniform(3, 10, 12)
    star = Polygon(np.stack((radii * np.cos(angles), radii * np.sin(angles)), axis=1))
    points = rng.uniform(-10, 10, (500, 2))
    rays = np.asarray(star.points)[None] - points[:, None]
    turns = np.arctan2(rays[..., 1], rays[..., 0])
    steps = np.diff(np.concatenate((turns, turns[:, :1]), axis=1), axis=1)
    winding = ((steps + np.pi) % (2 * np.pi) - np.pi).sum(axis=1)
    assert (star.contains(points) == (np.abs(winding) > 1)).all()


def test_shapes_scale_with_the_picture():
    assert Line((1, 2), (3, 4)).scaled(2, 10) == Line((2, 20), (6, 40))
    assert SQUARE.scaled(2, 3).area == SQUARE.area * 6


@pytest.mark.parametrize(
    "first, second, meet",
    [
        (((0, 0), (4, 4)), ((0, 4), (4, 0)), True),
        (((0, 0), (1, 1)), ((2, 2), (3, 3)), False),
        (((0, 0), (2, 2)), ((1, 1), (3, 3)), True),
        (((0, 0), (4, 0)), ((2, 0), (2, 5)), True),
        (((0, 0), (4, 0)), ((2, 1), (2, 5)), False),
        (((0, 0), (4, 0)), ((5, -1), (5, 1)), False),
    ],
)
def test_segments_intersect(first, second, meet):
    a, b, c, d = (np.array([p]) for p in first + second)
    assert segments_intersect(a, b, c, d).tolist() == [meet]
    assert segments_intersect(d, c, b, a).tolist() == [meet]
