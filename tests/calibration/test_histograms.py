"""Histograms of magnitudes."""

import numpy as np
import pytest

from edgelane.calibration.histograms import (
    BINS,
    SAMPLE,
    SIZE,
    Histogram,
    bin_of,
    edges_of,
    magnitudes,
    stride_of,
)

ALL = 1 << 20


def filled(*arrays, sample=SAMPLE):
    histogram = Histogram()
    for phase, values in enumerate(arrays):
        values = np.asarray(values, np.float32)
        histogram.add(values, float(np.abs(values).max()), phase, sample)
    return histogram


@pytest.mark.parametrize("value", [1e-20, 0.3, 1.0, 1.99, 140.0, 3e30])
def test_a_bin_holds_its_number_and_is_a_128th_of_an_octave_wide(value):
    index = bin_of(value)
    lower, upper = edges_of(np.array([index, index + 1]))
    assert lower <= np.float32(value) < upper
    assert upper / lower <= 1 + 1 / BINS + 1e-12


def test_counts_are_those_of_numpy_over_the_same_edges():
    random = np.random.default_rng(0)
    values = (random.standard_normal(30_000) ** 3).astype(np.float32)
    histogram = filled(values, sample=ALL)
    edges = histogram.edges()
    expected, _ = np.histogram(np.abs(values).astype(np.float64), edges)
    assert np.array_equal(histogram.counts, expected)
    assert histogram.zeros == int((np.abs(values) < edges[0]).sum())
    assert histogram.total == values.size


def test_a_larger_value_moves_the_window_and_loses_nothing_that_counts():
    random = np.random.default_rng(1)
    parts = [random.standard_normal(5000) * scale for scale in (0.01, 3.0, 900.0, 0.5)]
    streamed, whole = filled(*parts, sample=ALL), filled(np.concatenate(parts), sample=ALL)
    assert streamed.base == whole.base
    assert np.array_equal(streamed.counts, whole.counts)
    assert streamed.zeros == whole.zeros


def test_a_jump_beyond_the_window_leaves_the_old_values_as_zeros():
    histogram = filled(np.full(10, 1e-9), [5.0])
    assert histogram.zeros == 10
    assert histogram.counts.sum() == 1


def test_zeros_and_denormal_numbers_are_zeros():
    histogram = filled([0.0, -0.0, 1e-42, 1.0])
    assert histogram.zeros == 3
    assert filled(np.zeros(7)).zeros == 7


def test_a_large_array_is_sampled_evenly_over_rows_and_columns():
    random = np.random.default_rng(2)
    planes = np.abs(random.standard_normal((1, 16, 128, 128))).astype(np.float32)
    planes *= np.linspace(0.1, 4, 16, dtype=np.float32)[:, None, None]
    histogram = filled(planes)
    assert 0.7 * SAMPLE < histogram.total <= SAMPLE
    assert np.gcd(stride_of(6000, 700), 6000) == 1
    for share in (0.1, 0.5, 0.9, 0.99):
        assert histogram.quantile(share) == pytest.approx(np.quantile(planes, share), rel=0.03)


def test_quantiles_lie_within_their_bin():
    values = np.random.default_rng(3).exponential(2.0, 30_000).astype(np.float32)
    histogram = filled(values, sample=ALL)
    for share in (0.2, 0.5, 0.99, 0.9999, 1.0):
        exact = np.quantile(values, share, method="inverted_cdf")
        assert histogram.quantile(share) == pytest.approx(exact, rel=1.01 / BINS)


def test_squared_error_is_that_of_rounding_every_value():
    random = np.random.default_rng(4)
    values = np.where(random.random(30_000) < 0.4, 0, random.laplace(0, 1, 30_000))
    values = values.astype(np.float32)
    histogram = filled(values, sample=ALL)
    for amax in (0.5, 2.0, 6.0, 12.0):
        step = amax / 127
        rounded = np.clip(np.rint(values / step), -127, 127) * step
        exact = float(np.mean((values - rounded) ** 2))
        assert histogram.squared_error(np.array([amax]))[0] == pytest.approx(exact, rel=0.03)


def test_magnitudes_of_channels():
    values = np.zeros((2, 3, 2, 2), np.float32)
    values[0, 1, 0, 1], values[1, 2, 1, 1] = -7, 4
    low, high, channels = magnitudes(values)
    assert (low, high) == (-7, 4)
    assert channels is not None
    assert channels.tolist() == [0, 7, 4]
    assert magnitudes(np.float32([1, -3]))[2] is None
    assert np.isnan(magnitudes(np.float32([[1, np.nan]]))[1])


def test_memory_is_that_of_the_window():
    histogram = filled(np.arange(1, 100_000))
    assert histogram.counts.nbytes == SIZE * 8
