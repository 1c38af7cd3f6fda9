"""Thresholds that good parts set keep what they promise."""

import numpy as np
import pytest

from edgelane.core import DataError, UsageError
from edgelane.pipelines.quality.threshold import upper_threshold, wanted_parts


@pytest.mark.parametrize("n, rate", [(10, 0.05), (30, 0.02), (100, 0.02)])
@pytest.mark.parametrize("skew", [False, True])
def test_one_further_part_is_rejected_as_often_as_wanted(n, rate, skew):
    random = np.random.default_rng(n)
    rejected = covered = 0.0
    trials = 600
    for _ in range(trials):
        values = random.normal(3.0, 1.0, n + 1)
        values = np.exp(values) if skew else values
        limit = upper_threshold(values[:n], rate, logarithmic=skew)
        rejected += values[n] > limit.value
        covered += limit.interval[0] <= limit.expected <= limit.interval[1]
    # Never more than wanted but for chance; where few were seen, less: none of them is rejected.
    # A logarithm of 1 and more bends what is exactly lognormal a little.
    assert rejected / trials < (2.5 if skew else 1) * rate + 3 * np.sqrt(rate / trials)
    assert covered == trials


def test_the_interval_holds_the_true_share():
    from scipy.special import ndtr

    random = np.random.default_rng(4)
    held = 0
    for _ in range(600):
        limit = upper_threshold(random.normal(0.0, 1.0, 40), 0.05)
        true = float(ndtr(-limit.value))
        held += limit.interval[0] <= true <= limit.interval[1]
    assert 0.92 < held / 600 < 0.98


def test_how_many_good_parts_prove_a_rate():
    assert (wanted_parts(0.01), wanted_parts(0.05), wanted_parts(0.001)) == (299, 59, 2995)
    limit = upper_threshold(np.linspace(1, 2, 30), 0.01)
    assert limit.more_parts == 269 and limit.above == 0
    assert limit.proved == pytest.approx(1 - 0.05 ** (1 / 30))
    assert limit.value > 2 and upper_threshold(np.zeros(5), 0.01, least=3.0).value == 3.0


def test_what_sets_no_threshold_is_refused():
    with pytest.raises(DataError, match="three good parts"):
        upper_threshold([1.0, 2.0])
    with pytest.raises(DataError, match="three good parts"):
        upper_threshold([1.0, 2.0, float("nan")])
    with pytest.raises(UsageError, match="false-reject rate"):
        upper_threshold([1.0, 2.0, 3.0], 0.7)
    with pytest.raises(DataError, match="must not be negative"):
        upper_threshold([-1.0, 2.0, 3.0], logarithmic=True)
