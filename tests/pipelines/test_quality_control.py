"""Control charts, the rules that break on them, and capabilities."""

import numpy as np
import pytest

from edgelane.core import DataError, UsageError
from edgelane.pipelines.quality import capability, individuals, normality, signals, xbar_r

FLOW = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]


def test_individuals_give_the_published_limits():
    """NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.2, flow rate of ten batches."""
    charts = individuals(FLOW)
    assert charts.location.centre == pytest.approx(50.81)
    assert charts.spread.centre == pytest.approx(1.8778, abs=5e-5)
    assert charts.location.upper == pytest.approx(55.8041, abs=3e-3)
    assert charts.location.lower == pytest.approx(45.8159, abs=3e-3)
    assert charts.spread.upper == pytest.approx(3.267 * 1.8778, abs=1e-3)
    assert charts.in_control
    assert np.isnan(charts.spread.values[0]) and len(charts.spread.values) == 10


def test_means_and_ranges_take_subgroups_in_time_order():
    rng = np.random.default_rng(1)
    values = rng.normal(5, 1, 53)
    times = np.arange(53.0)
    charts = xbar_r(values, 5)
    mixed = rng.permutation(53)
    again = xbar_r(values[mixed], 5, times[mixed])
    assert np.array_equal(charts.location.values, again.location.values)
    assert charts.left_out == 3 and any("last 3" in w for w in charts.warnings)
    groups = values[:50].reshape(10, 5)
    mean_range = np.ptp(groups, axis=1).mean()
    assert charts.location.upper == pytest.approx(groups.mean() + 0.577 * mean_range, abs=2e-3)
    assert charts.spread.upper == pytest.approx(2.114 * mean_range, abs=3e-3)
    assert charts.spread.lower == 0
    assert charts.sigma == pytest.approx(mean_range / 2.326, abs=1e-3)


@pytest.mark.parametrize("size", [2, 5, 10])
def test_sigma_within_has_the_degrees_it_is_said_to_have(size):
    rng = np.random.default_rng(2)
    found = [xbar_r(v, size) for v in rng.normal(size=(400, 20 * size))]
    sigma = np.array([c.sigma for c in found])
    assert sigma.mean() == pytest.approx(1, abs=0.02)
    assert 0.5 / sigma.var() == pytest.approx(found[0].degrees, rel=0.25)


def test_moving_ranges_have_the_degrees_they_are_said_to_have():
    rng = np.random.default_rng(3)
    found = [individuals(v) for v in rng.normal(size=(800, 50))]
    sigma = np.array([c.sigma for c in found])
    assert sigma.mean() == pytest.approx(1, abs=0.02)
    assert 0.5 / sigma.var() == pytest.approx(found[0].degrees, rel=0.2)


@pytest.mark.parametrize(
    "rule, values, at",
    [
        (1, [0.1, -0.2, 3.1, 0.1], [2]),
        (1, [0.1, -0.2, -3.1, 0.1], [2]),
        (1, [0.1, 3.0, 0.1], []),
        (2, [-0.5, *[0.5, 0.4] * 4, 0.6, -0.5], [9]),
        (2, [-0.5, *[0.5, 0.4] * 4, -0.5], []),
        (3, [0.0, -0.5, -0.2, 0.1, 0.3, 0.5, 0.9, 0.4], [6]),
        (3, [0.0, 0.5, 0.2, 0.1, -0.3, -0.5, 0.4], []),
        (4, [0.3, -0.3] * 7, [13]),
        (4, [0.3, -0.3] * 6 + [0.3], []),
        (5, [0.0, 2.1, 0.1, 2.2, 0.0], [3]),
        (5, [0.0, 2.1, 0.1, -2.2, 0.0], []),
        (5, [2.1, 2.1, 0.1], [1]),
        (6, [1.1, 1.2, 0.2, 1.1, 1.5, 0.0], [4]),
        (6, [1.1, 1.2, 0.2, -1.1, 1.5, 0.0], []),
        (7, [0.5, 0.4, -0.5, -0.4, 0.2] * 3, [14]),
        (8, [1.1, -1.2, 1.3, 1.1, -1.5, 1.2, -1.1, -1.4], [7]),
        (8, [1.1, -1.2, 1.3, 0.9, -1.5, 1.2, -1.1, -1.4], []),
    ],
)
def test_each_of_nelsons_rules(rule, values, at):
    found = [s.index for s in signals(values, 0.0, 1.0) if s.rule == f"nelson {rule}"]
    assert found == at


def test_western_electric_takes_eight_on_one_side():
    values = [0.5, 0.4] * 4
    assert [s.rule for s in signals(values, 0, 1, "western electric")] == ["western electric 4"]
    assert signals(values, 0, 1) == []
    with pytest.raises(UsageError, match="Did you mean 'nelson'"):
        signals(values, 0, 1, "nelsen")


def test_chance_alone_breaks_rules_as_seldom_as_it_should():
    """Rule 1: .27 % of points; all eight: some 1 to 4 %."""
    values = np.random.default_rng(4).normal(size=40000)
    found = signals(values, 0.0, 1.0)
    by_rule = {r: sum(s.rule == f"nelson {r}" for s in found) / 40000 for r in range(1, 9)}
    assert by_rule[1] == pytest.approx(0.0027, abs=0.0009)
    assert by_rule[2] == pytest.approx(2 * 0.5**9, rel=0.3)
    assert 0.01 < sum(by_rule.values()) < 0.04


def test_a_shift_is_flagged():
    rng = np.random.default_rng(6)
    charts = xbar_r(np.concatenate([rng.normal(0, 1, 100), rng.normal(2, 1, 25)]), 5)
    assert min(s.index for s in charts.location.signals if s.rule == "nelson 1") >= 18
    assert not charts.in_control


def test_a_constant_series_has_a_chart_without_width():
    charts = individuals([1.1] * 30)
    assert charts.in_control and charts.sigma == 0
    assert any("do not differ" in w for w in charts.warnings)
    assert not individuals([1.1] * 29 + [1.2]).in_control


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: individuals([1.0]), "two values"),
        (lambda: individuals([1.0, float("nan")]), "value 2 of 2 is not a finite"),
        (lambda: individuals([1.0, 2.0], [1.0]), "timestamp"),
        (lambda: individuals([[1.0, 2.0]]), "one row"),
        (lambda: xbar_r([1.0, 2.0, 3.0], 2), "two of them"),
        (lambda: capability([1.0, 1.0, 1.0], 0, 2), "do not differ"),
        (lambda: capability([1.0, 2.0], 0, 2), "three values"),
    ],
)
def test_values_that_make_no_chart_are_refused(call, said):
    with pytest.raises(DataError, match=said):
        call()


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: xbar_r([1.0] * 40, 11), "2 to 10"),
        (lambda: xbar_r([1.0] * 40, 1), "2 to 10"),
        (lambda: capability([1.0, 2.0, 3.0]), "a lower or an upper"),
        (lambda: capability([1.0, 2.0, 3.0], 3, 1), "no tolerance"),
        (lambda: capability([1.0, 2.0, 3.0], float("nan"), 1), "no tolerance"),
    ],
)
def test_what_was_asked_wrongly_is_told(call, said):
    with pytest.raises(UsageError, match=said):
        call()


def test_capability_by_its_definition():
    values = np.random.default_rng(7).normal(16, 2, 4000)
    found = capability(values, 8, 20)
    assert found.cp.value == pytest.approx(1.0, abs=0.04)
    assert found.cpk.value == pytest.approx(2 / 3, abs=0.04)
    sd = values.std(ddof=1)
    assert found.pp.value == pytest.approx(12 / (6 * sd))
    assert found.ppk.value == pytest.approx((20 - values.mean()) / (3 * sd))
    assert found.cp.low < found.cp.value < found.cp.high
    assert found.outside == int(((values < 8) | (values > 20)).sum())
    one = capability(values, upper=20)
    assert one.cp is None and one.ppk == found.ppk


def test_intervals_cover_the_truth():
    """True Cp 1.2, Cpk 0.9; intervals of 95 % in 600 series of 60."""
    rng = np.random.default_rng(8)
    hits = np.zeros(4)
    for values in rng.normal(0.9, 1, (600, 60)):
        found = capability(values, -3.6, 3.6)
        truth = (1.2, 0.9, 1.2, 0.9)
        four = (found.cp, found.cpk, found.pp, found.ppk)
        hits += [i.low <= t <= i.high for i, t in zip(four, truth)]
    assert (hits / 600 > 0.92).all() and (hits / 600 < 0.98).all()


def test_normality_is_rejected_as_often_as_said():
    rng = np.random.default_rng(9)
    normal = np.array([normality(v) for v in rng.normal(size=(1500, 25))])
    assert (normal < 0.05).mean() == pytest.approx(0.05, abs=0.018)
    assert (normal < 0.5).mean() == pytest.approx(0.5, abs=0.05)
    skew = rng.exponential(size=200)
    assert normality(skew) < 1e-6
    assert any("not normally" in w for w in capability(skew, 0, 9).warnings)
    assert capability(list(rng.normal(size=7)), -9, 9).normality_p is None
