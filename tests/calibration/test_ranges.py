"""From histograms to ranges."""

import numpy as np
import pytest

from edgelane.calibration.histograms import Histogram
from edgelane.calibration.ranges import DEAD, entropy, error_curve, least_error, ranges
from edgelane.calibration.store import Activation, Statistics
from edgelane.core import UsageError


def seen(values, name="t"):
    values = np.asarray(values, np.float32)
    histogram = Histogram()
    histogram.add(values, float(np.abs(values).max()), sample=1 << 20)
    return Activation(name, float(values.min()), float(values.max()), values.size, None, histogram)


def statistics(**tensors):
    return Statistics({name: seen(values, name) for name, values in tensors.items()})


@pytest.fixture
def normal():
    return np.random.default_rng(0).standard_normal(30_000)


def test_minmax_is_the_largest_magnitude():
    assert ranges(statistics(a=[1, -3, 2]), "minmax") == {"a": 3.0}


def test_percentile(normal):
    found = ranges(statistics(a=normal), "percentile:95")["a"]
    assert found == pytest.approx(np.quantile(np.abs(normal), 0.95), rel=0.01)
    assert ranges(statistics(a=normal), "percentile:100")["a"] == pytest.approx(
        np.abs(normal).max(), rel=1e-6
    )


def test_mse_finds_what_trying_every_range_finds(normal):
    values = np.append(normal, [40.0, -55.0]).astype(np.float32)
    tried = np.geomspace(1, 55, 400)
    errors = []
    for amax in tried:
        step = amax / 127
        errors.append(np.mean((values - np.clip(np.rint(values / step), -127, 127) * step) ** 2))
    best = min(errors)
    found = ranges(statistics(a=values), "mse")["a"]
    step = found / 127
    error = np.mean((values - np.clip(np.rint(values / step), -127, 127) * step) ** 2)
    assert error <= 1.02 * best


def test_the_table_of_errors_agrees_with_the_integral(normal):
    histogram = seen(normal**3).histogram
    limits, errors = error_curve(histogram)
    assert limits is not None
    assert (np.diff(limits) > 0).all()
    picked = np.array([0, 300, 600, 895])
    assert histogram.squared_error(limits[picked]) == pytest.approx(errors[picked], rel=1e-9)
    assert least_error(histogram, 1.0) == limits[np.argmin(errors)]


def tensorrt_entropy(values, bins=2048):
    """The published search, over even bins and one range at a time."""
    counts, edges = np.histogram(np.abs(values[values != 0]), bins, (0, np.abs(values).max()))
    best, found = np.inf, edges[-1]
    for i in range(128, bins + 1, 8):
        p = counts[:i].astype(float)
        p[-1] += counts[i:].sum()
        q = np.zeros(i)
        cuts = np.linspace(0, i, 129)
        for a, b in zip(cuts[:-1], cuts[1:]):
            part = slice(int(round(a)), int(round(b)))
            holds = counts[part][: i - part.start] > 0
            if holds.any():
                q[part] = holds * counts[part].sum() / holds.sum()
        both = (p > 0) & (q > 0)
        p, q = p / p.sum(), q / q.sum()
        divergence = (p[both] * np.log(p[both] / q[both])).sum() + 1e3 * p[(p > 0) & (q == 0)].sum()
        if divergence < best:
            best, found = divergence, edges[i]
    return found


@pytest.mark.parametrize("power", [1, 2, 3])
def test_entropy_is_near_the_published_search(normal, power):
    values = np.sign(normal) * np.abs(normal) ** power
    expected = tensorrt_entropy(values)
    assert entropy(seen(values).histogram, np.abs(values).max()) == pytest.approx(
        expected, rel=0.35
    )


def test_entropy_cuts_off_a_lonely_outlier(normal):
    values = np.append(normal, 60.0)
    assert ranges(statistics(a=values), "entropy")["a"] < 15


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_every_range_is_positive_and_within_what_was_seen(method, normal):
    values = {
        "normal": normal,
        "dead": np.zeros(100),
        "constant": np.full(50, -0.25),
        "rare": np.append(np.zeros(2000), 2.0),
        "tiny": np.full(9, 1e-25),
        "denormal": np.full(9, 1e-42),
        "huge": np.array([1e38, -2e38, 1.0]),
        "one": np.array([5.0]),
    }
    known = statistics(**values)
    found = ranges(known, method)
    assert list(found) == list(values)
    for name, amax in found.items():
        assert 0 < amax < np.inf, name
        assert amax <= max(known[name].amax, DEAD), name
    assert found["dead"] == found["denormal"] == DEAD
    assert found["constant"] == pytest.approx(0.25, rel=0.02)
    assert found["one"] == pytest.approx(5, rel=0.02)


def test_only_some_tensors():
    assert list(ranges(statistics(a=[1], b=[2]), "minmax", ["b"])) == ["b"]


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("entropie", "Did you mean 'entropy'"),
        ("percentile:x", "50 to 100"),
        ("percentile:3", "50 to 100"),
        ("mse:4", "takes no value"),
    ],
)
def test_a_method_that_is_none(method, says):
    with pytest.raises(UsageError, match=says):
        ranges(statistics(a=[1]), method)
