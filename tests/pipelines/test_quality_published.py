"""Worked examples that others have published, each with its source, come out as they stand there.

More of them stand beside what they are of: the AIAG's gauge study and NIST's chart of individuals.
"""

import numpy as np
import pytest
from scipy.special import ndtr

from edgelane.pipelines.quality import (
    Judgements,
    Study,
    attribute_study,
    capability,
    clopper_pearson,
    gauge_study,
    individuals,
    normality,
    xbar_r,
)
from edgelane.pipelines.quality.capability import normality_of

# Montgomery, Introduction to Statistical Quality Control, 2nd ed., pp. 206-213: inside diameters
# of piston rings in thousandths of a millimetre above 73.9, 25 subgroups of 5.
RINGS = """130 102 119 92 108  95 92 101 111 104  88 124 121 105 102  102 96 93 115 109
92 107 115 89 114  109 94 97 85 93  95 106 94 100 105  85 103 93 115 88  108 95 109 105 104
98 100 90 107 95  94 98 94 95 90  104 100 107 100 96  83 102 98 97 112  106 67 94 100 84
112 114 98 99 107  100 84 105 98 96  94 112 86 105 107  106 110 118 103 100  84 102 103 105 97
100 110 113 120 103  88 101 109 105 96  104 99 90 106 109  110 89 90 109 114
115 108 93 100 110  82 84 95 117 113"""

# SAS/QC User's Guide, PROC CAPABILITY, example 5.2: gain of 75 amplifiers in dB.
AMPLIFIERS = """4.54 4.87 4.66 4.90 4.68 5.22 4.43 5.14 3.07 4.22 5.09 3.41 5.75 5.16 3.96 5.37
5.70 4.11 4.83 4.51 4.57 4.16 5.73 3.64 5.48 4.95 4.57 4.46 4.75 5.38 5.19 4.35 4.98 4.87 3.53
4.46 4.57 4.69 5.27 4.67 5.03 4.50 5.35 4.55 4.05 6.63 5.32 5.24 5.73 5.08 5.07 5.42 5.05 5.70
4.79 4.34 5.06 4.64 4.82 3.24 4.79 4.46 3.84 5.05 5.46 4.64 6.13 4.31 4.81 4.98 4.95 5.57 4.11
4.15 5.95"""

# ISO 22514-7:2012, table A.4: ten parts, three operators, three measurements.
ISO = [
    [
        [8.120, 8.435, 8.480], [7.445, 6.815, 7.490], [9.965, 10.010, 9.560],
        [6.140, 5.960, 6.365], [5.690, 5.600, 5.780], [2.855, 2.450, 2.585],
        [10.685, 10.595, 10.775], [6.725, 6.275, 6.545], [4.970, 5.105, 5.510],
        [9.875, 10.100, 9.875],
    ],
    [
        [8.200, 8.290, 8.245], [7.300, 7.120, 7.075], [9.660, 9.340, 9.250],
        [6.095, 6.185, 6.185], [5.080, 5.340, 5.440], [2.315, 2.585, 2.315],
        [10.450, 10.840, 11.050], [6.240, 6.120, 6.300], [5.015, 5.285, 5.150],
        [10.080, 9.800, 9.970],
    ],
    [
        [8.525, 8.435, 8.345], [7.535, 7.355, 7.085], [9.830, 9.695, 9.515],
        [6.140, 6.140, 6.050], [5.780, 5.735, 5.555], [2.630, 2.360, 2.585],
        [10.865, 11.000, 11.180], [6.590, 6.500, 6.725], [5.060, 5.195, 5.105],
        [10.190, 9.785, 9.965],
    ],
]  # fmt: skip

# The attribute study of JASP's quality control module: black spots in the bores of fifteen
# bearings, three appraisers, three trials (Y: there are some), checked there against Minitab.
SPOTS = "YNYYYNYNNYNYYYY"
APPRAISERS = {
    "EG": "YYY NNN YYY YNN YYY YYY YYY NNN NNN YYY NNN YYY YYY NNN YYY",
    "BL": "YYY NNN YYY YNN YYY YYY NNN NNN NNN YYY NNN YYY YYY NNN YYY",
    "MH": "YYY YYY YYY YYY YYY YYY YYY NNY YNN YYY YNY YYY YYY NNN YYY",
}


def rings():
    return 73.9 + np.array(RINGS.split(), float) / 1000


def test_means_and_ranges_of_piston_rings():
    """Limits as R's package qcc prints them for these rings (man page of `qcc`)."""
    charts = xbar_r(rings(), 5)
    assert charts.in_control and charts.size == 5 and len(charts.location.values) == 25
    assert charts.location.centre == pytest.approx(74.00118, abs=6e-6)
    assert charts.sigma == pytest.approx(0.009785039, rel=2e-4)
    assert charts.location.lower == pytest.approx(73.98805, abs=6e-6)
    assert charts.location.upper == pytest.approx(74.01430, abs=1.1e-5)
    assert charts.spread.centre == pytest.approx(0.02276, abs=6e-6)
    assert charts.spread.lower == 0
    assert charts.spread.upper == pytest.approx(0.04812533, abs=2e-5)


def test_capability_of_piston_rings():
    """The same source, `process.capability`, tolerance 73.95 to 74.05: Cp 1.703, Cpk 1.663."""
    found = capability(rings(), 73.95, 74.05, size=5)
    assert found.cp.value == pytest.approx(1.703, abs=6e-4)
    assert found.cpk.value == pytest.approx(1.663, abs=6e-4)
    assert found.outside == 0 and found.normality_p > 0.05 and not found.warnings
    # There the interval counts 124 degrees of freedom; ranges of five are worth fewer.
    assert found.cpk.low < 1.448 and found.cpk.high > 1.878
    assert found.cp.low < 1.491 and found.cp.high > 1.915


def test_the_interval_of_an_index_of_amplifiers():
    """SAS/QC, example 5.3: from .328 to .496 with 90 % confidence, tolerance 4 to 6 dB."""
    values = np.array(AMPLIFIERS.split(), float)
    found = capability(values, 4, 6, confidence=0.9)
    assert (found.ppk.low, found.ppk.high) == pytest.approx((0.328, 0.496), abs=1.5e-3)
    assert found.outside == int(((values < 4) | (values > 6)).sum()) == 9


def test_indices_of_the_handbook():
    """NIST/SEMATECH e-Handbook, 6.1.6: limits 8 and 20, mean 16, s 2: 1.0, .6667, Cpl 1.3333."""
    x = np.random.default_rng(0).normal(size=60)
    values = 16 + 2 * (x - x.mean()) / x.std(ddof=1)
    found = capability(values, 8, 20)
    assert found.pp.value == pytest.approx(1.0)
    assert found.ppk.value == pytest.approx(0.6667, abs=5e-5)
    assert capability(values, lower=8).ppk.value == pytest.approx(1.3333, abs=5e-5)


@pytest.mark.parametrize(
    "statistic, p", [(0.631, 0.1), (0.752, 0.05), (0.873, 0.025), (1.035, 0.01)]
)
def test_chances_of_anderson_and_darling(statistic, p):
    """D'Agostino and Stephens, Goodness-of-Fit Techniques (1986), table 4.7, case 3."""
    assert normality_of(statistic) == pytest.approx(p, rel=0.02)


def test_the_statistic_of_anderson_and_darling_by_its_integral():
    """n times the integral of (Fn - F)^2 / (F (1 - F)) over F, taken as it stands."""
    n = 40
    values = np.sort(np.random.default_rng(0).gamma(3.0, size=n))
    seen = ndtr((values - values.mean()) / values.std(ddof=1))
    u = (np.arange(2_000_000) + 0.5) / 2_000_000
    apart = np.searchsorted(seen, u, side="right") / n - u
    plain = n * float(np.mean(apart**2 / (u * (1 - u))))
    assert normality(values) == pytest.approx(
        normality_of(plain * (1 + 0.75 / n + 2.25 / n**2)), rel=1e-3
    )


def test_the_gauge_study_of_iso_22514_7():
    """Tables A.5 and A.6: the interaction (F 1.193) is pooled; u_AV .08683, u_EVO .1827."""
    values = np.array(ISO).transpose(1, 0, 2)
    names = tuple(str(i) for i in range(10))
    found = gauge_study(Study(values, names, ("1", "2", "3")))
    table = {s.name: s for s in found.anova}
    degrees = {name: s.degrees for name, s in table.items()}
    assert degrees == {"part": 9, "operator": 2, "interaction": 18, "repeatability": 60}
    squares = [table[n].squares for n in ("operator", "part", "interaction", "repeatability")]
    assert squares == pytest.approx([0.519, 526.9, 0.686, 1.917], abs=0.03)
    assert table["interaction"].f == pytest.approx(1.193, abs=1e-3) and found.pooled
    assert found.components["operator"].sd == pytest.approx(0.08683, abs=1e-4)
    assert found.components["repeatability"].sd == pytest.approx(0.1827, abs=1e-4)
    assert found.components["part"].variance == pytest.approx(6.501, abs=2e-3)


def spots():
    verdicts = np.array(
        [[list(part) for part in text.lower().split()] for text in APPRAISERS.values()]
    )
    names = tuple(str(i) for i in range(1, 16))
    return Judgements(verdicts.transpose(1, 0, 2), names, tuple(APPRAISERS), tuple(SPOTS.lower()))


def test_the_attribute_study_of_bearings():
    """JASP's verified tables: effectiveness, misses, false alarms, and the kappas."""
    found = attribute_study(spots(), "Y")
    assert (found.agreed.count, found.effective.count) == (9, 7)
    assert found.effective.exact == pytest.approx((0.21267, 0.73414), abs=1e-5)
    assert found.agreed.exact == pytest.approx((0.32287, 0.83664), abs=1e-5)
    assert found.fleiss == pytest.approx(0.641667, abs=1e-6)
    rows = {o.name: o for o in found.operators}
    published = {  # effective, miss, false alarm in percent; Cohen with the truth, Fleiss within
        "EG": (80, 16.67, 20, 0.612903, 0.905462),
        "BL": (73.33, 26.67, 20, 0.492308, 0.91),
        "MH": (60, 10, 66.67, 0.264151, 0.543919),
    }
    for name, (effective, miss, alarm, kappa, within) in published.items():
        one = rows[name]
        rates = [100 * rate.value for rate in (one.effective, one.miss, one.false_alarm)]
        assert rates == pytest.approx([effective, miss, alarm], abs=0.005)
        assert one.kappa == pytest.approx(kappa, abs=1e-6)
        assert one.within == pytest.approx(within, abs=1e-6)
        assert one.verdict == "bad"
    assert [rows[n].repeated.count for n in ("EG", "BL", "MH")] == [14, 14, 12]


@pytest.mark.parametrize("matched, low, high", [(42, 71, 93), (45, 78, 97), (40, 66, 90)])
def test_intervals_of_the_manuals_effectiveness(matched, low, high):
    """MSA 4th ed., chapter III, section C: three appraisers who are right about 50 parts."""
    found = clopper_pearson(matched, 50)
    assert [round(100 * end) for end in found] == [low, high]


@pytest.mark.parametrize(
    "bad, misses, good, alarms, miss, alarm",
    [(48, 3, 102, 5, 6.3, 4.9), (48, 3, 102, 2, 6.3, 2.0), (48, 6, 102, 9, 12.5, 8.8)],
)
def test_misses_and_false_alarms_of_the_manual(bad, misses, good, alarms, miss, alarm):
    """MSA 4th ed., chapter III, section C: the three appraisers against the reference."""
    verdicts = ["fail"] * (bad - misses) + ["pass"] * misses
    verdicts += ["fail"] * alarms + ["pass"] * (good - alarms)
    truth = ("fail",) * bad + ("pass",) * good
    names = tuple(str(i) for i in range(bad + good))
    study = Judgements(np.array(verdicts)[:, None, None], names, ("A",), truth)
    (one,) = attribute_study(study).operators
    assert 100 * one.miss.value == pytest.approx(miss, abs=0.051)
    assert 100 * one.false_alarm.value == pytest.approx(alarm, abs=0.051)
    assert one.verdict == "bad"


def test_limits_do_not_hang_on_the_unit():
    plain, other = individuals(rings()), individuals(1000 * rings())
    assert other.location.upper == pytest.approx(1000 * plain.location.upper)
