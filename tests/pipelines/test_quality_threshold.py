"""Thresholds that good parts set keep what they promise."""

import numpy as np
import pytest

from edgelane.core import DataError, UsageError
from edgelane.pipelines.quality.threshold import reach_threshold, upper_threshold, wanted_parts


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


@pytest.mark.parametrize("n, rate", [(12, 0.05), (40, 0.01)])
def test_scores_that_are_the_worst_of_many_places_keep_the_rate(n, rate):
    random = np.random.default_rng(n)
    rejected, plain, trials = 0.0, 0.0, 300
    for _ in range(trials):
        worst = np.abs(random.normal(size=(n, 200))).max(axis=1)
        further = np.abs(random.normal(size=(100, 200))).max(axis=1)
        limit = upper_threshold(worst, rate, largest=True)
        assert limit.interval[0] <= limit.expected <= limit.interval[1]
        rejected += float((further > limit.value).mean()) / trials
        plain += float((further > upper_threshold(worst, rate).value).mean()) / trials
    # A normal tail would reject more.
    assert rejected < 1.1 * rate and plain > rejected


def test_limits_to_both_sides_leave_the_rate_outside_of_both():
    random = np.random.default_rng(8)
    outside, trials = 0.0, 400
    for _ in range(trials):
        values = random.normal(10.0, 1.0, 30)
        reach = reach_threshold(values, float(values.mean()), 0.05)
        further = random.normal(10.0, 1.0, 200)
        outside += float((np.abs(further - values.mean()) > reach.value).mean()) / trials
    assert 0.04 < outside < 0.06
    assert reach_threshold([1.0, 1.0, 1.0], 1.0, 0.01, least=0.5).value == 0.5
    with pytest.raises(DataError, match="three good parts"):
        reach_threshold([1.0, 2.0], 1.5)


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
