"""Medians, their intervals, and when two are told apart."""

import math

import numpy as np
import pytest

from edgelane.benchmarks.profile.stats import compare_rounds, median_of_rounds, summary


def test_the_median_lies_in_its_interval_and_more_rounds_narrow_it():
    rng = np.random.default_rng(3)
    few = median_of_rounds(10 * np.exp(rng.normal(0, 0.02, 4)))
    many = median_of_rounds(10 * np.exp(rng.normal(0, 0.02, 30)))
    assert few.low < few.value < few.high
    assert many.low < 10 < many.high
    assert many.spread < few.spread


def test_one_round_says_nothing_about_how_sure_it_is():
    one = median_of_rounds([5.0])
    assert one.value == pytest.approx(5)
    assert one.spread == math.inf


def test_the_interval_holds_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        found = median_of_rounds(np.exp(rng.normal(0, 0.05, 6)))
        held += found.low <= 1 <= found.high
    assert held >= 930


def test_the_same_thing_twice_is_too_close_to_tell():
    rng = np.random.default_rng(2)
    told = [
        compare_rounds(np.exp(rng.normal(0, 0.01, 5)), np.exp(rng.normal(0.005, 0.01, 5))).verdict
        for _ in range(200)
    ]
    assert told.count("too close to tell") >= 198


def test_a_difference_is_told_with_its_direction():
    one, two = [10.0, 10.1, 9.9, 10.05], [12.0, 12.1, 11.9, 12.05]
    slower = compare_rounds(one, two)
    assert slower.verdict == "slower"
    assert slower.low < slower.value < slower.high
    assert slower.value == pytest.approx(1.2, rel=0.01)
    assert compare_rounds(two, one).verdict == "faster"


def test_a_difference_within_noise_is_not_told():
    assert compare_rounds([10, 14, 9, 13], [12, 11, 16, 10]).verdict == "too close to tell"
    assert compare_rounds([10.0], [20.0]).verdict == "too close to tell"


def test_percentiles_are_in_milliseconds():
    found = summary(np.arange(1, 101) / 1000)
    assert found["p50"] == pytest.approx(50.5)
    assert found["p95"] == pytest.approx(95.05)
    assert found["p99"] == pytest.approx(99.01)
    assert found["mean"] == pytest.approx(50.5)
