"""Gauge studies against published figures, and what they say of a table that is none."""

import numpy as np
import pytest

from edgelane.core import DataError, UsageError
from edgelane.pipelines.quality import Study, gauge_study, read_study
from edgelane.pipelines.quality.constants import a2, d2, d2_one, d3, range_limits

# The example of the AIAG's Measurement Systems Analysis, chapter III: 10 parts, 3 appraisers,
# 3 trials each (also Minitab's data set "gageaiag").
AIAG = np.array(
    [
        [
            [0.29, -0.56, 1.34, 0.47, -0.80, 0.02, 0.59, -0.31, 2.26, -1.36],
            [0.41, -0.68, 1.17, 0.50, -0.92, -0.11, 0.75, -0.20, 1.99, -1.25],
            [0.64, -0.58, 1.27, 0.64, -0.84, -0.21, 0.66, -0.17, 2.01, -1.31],
        ],
        [
            [0.08, -0.47, 1.19, 0.01, -0.56, -0.20, 0.47, -0.63, 1.80, -1.68],
            [0.25, -1.22, 0.94, 1.03, -1.20, 0.22, 0.55, 0.08, 2.12, -1.62],
            [0.07, -0.68, 1.34, 0.20, -1.28, 0.06, 0.83, -0.34, 2.19, -1.50],
        ],
        [
            [0.04, -1.38, 0.88, 0.14, -1.46, -0.29, 0.02, -0.46, 1.77, -1.49],
            [-0.11, -1.13, 1.09, 0.20, -1.07, -0.67, 0.01, -0.56, 1.45, -1.77],
            [-0.15, -0.96, 0.67, 0.11, -1.45, -0.49, 0.21, -0.49, 1.87, -2.16],
        ],
    ]
).transpose(2, 0, 1)


def study(values):
    values = np.asarray(values, dtype=float)
    return Study(values, tuple(map(str, range(len(values)))), tuple("ABCDEF"[: values.shape[1]]))


def csv(values, parts=None):
    rows = ["part,operator,trial,value"]
    for p, o, t in np.ndindex(*values.shape):
        rows.append(f"{p + 1},{'ABC'[o]},{t + 1},{values[p, o, t]:g}")
    return "\n".join(rows) + "\n"


def sds(found):
    return {name: c.sd for name, c in found.components.items()}


def test_anova_gives_the_published_figures():
    """MSA 4th ed., chapter III, tables III-B 7 and 8 (Analysis of Variance)."""
    found = gauge_study(study(AIAG))
    table = {s.name: s for s in found.anova}
    published = {
        "part": (9, 88.3619, 9.81799),
        "operator": (2, 3.1673, 1.58363),
        "interaction": (18, 0.3590, 0.01994),
        "repeatability": (60, 2.7589, 0.04598),
    }
    for name, (degrees, squares, mean) in published.items():
        assert table[name].degrees == degrees
        assert table[name].squares == pytest.approx(squares, abs=6e-5)
        assert table[name].mean_square == pytest.approx(mean, abs=6e-6)
    assert table["interaction"].f == pytest.approx(0.434, abs=5e-4)
    assert table["interaction"].p == pytest.approx(0.974, abs=5e-4)
    assert found.pooled
    assert sds(found)["repeatability"] == pytest.approx(0.199933, abs=1e-6)
    assert sds(found)["operator"] == pytest.approx(0.226838, abs=1e-6)
    assert sds(found)["gauge"] == pytest.approx(0.302373, abs=2e-6)
    assert sds(found)["part"] == pytest.approx(1.042327, abs=1e-6)
    assert found.components["gauge"].of_total == pytest.approx(27.9, abs=0.05)
    assert found.components["gauge"].contribution == pytest.approx(7.76, abs=0.005)
    assert found.ndc == 4
    assert found.verdict == "marginal"


def test_sums_of_squares_are_those_of_least_squares():
    """What nested linear models leave unexplained, solved without any formula of an analysis."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(6, 3, 3)) + rng.normal(size=(6, 3, 1))
    p, o = (axis.ravel() for axis in np.indices(values.shape)[:2])
    part, person, cell = np.eye(6)[p], np.eye(3)[o], np.eye(18)[p * 3 + o]

    def left(*columns):
        model = np.hstack([np.ones((values.size, 1)), *columns])
        fit = model @ np.linalg.lstsq(model, values.ravel(), rcond=None)[0]
        return float(np.sum((values.ravel() - fit) ** 2))

    main = left(part, person)
    wanted = [left(person) - main, left(part) - main, main - left(cell), left(cell)]
    found = gauge_study(study(values))
    assert [s.squares for s in found.anova] == pytest.approx(wanted, rel=1e-10)
    assert not found.pooled and "interaction" in found.components


def test_averages_and_ranges_give_the_published_figures():
    """MSA 4th ed., figure III-B 16, which rounds its constants and averages to four digits."""
    found = gauge_study(study(AIAG), method="range")
    assert sds(found)["repeatability"] == pytest.approx(0.20188, abs=5e-5)
    assert sds(found)["operator"] == pytest.approx(0.22963, abs=1e-4)
    assert sds(found)["gauge"] == pytest.approx(0.30575, abs=5e-5)
    assert sds(found)["part"] == pytest.approx(1.10456, abs=2e-4)
    assert sds(found)["total"] == pytest.approx(1.14610, abs=2e-4)
    shares = {name: c.of_total for name, c in found.components.items()}
    assert shares["repeatability"] == pytest.approx(17.62, abs=0.01)
    assert shares["operator"] == pytest.approx(20.04, abs=0.01)
    assert shares["gauge"] == pytest.approx(26.68, abs=0.01)
    assert shares["part"] == pytest.approx(96.38, abs=0.01)
    assert found.ndc == 5


def test_constants_are_those_of_the_published_tables():
    """ASTM E2587 and the AIAG's SPC manual, n = 2 to 10; K1 to K3 of the MSA manual."""
    tables = {
        "d2": [1.128, 1.693, 2.059, 2.326, 2.534, 2.704, 2.847, 2.970, 3.078],
        "d3": [0.853, 0.888, 0.880, 0.864, 0.848, 0.833, 0.820, 0.808, 0.797],
        "a2": [1.880, 1.023, 0.729, 0.577, 0.483, 0.419, 0.373, 0.337, 0.308],
        "D3": [0, 0, 0, 0, 0, 0.076, 0.136, 0.184, 0.223],
        "D4": [3.267, 2.575, 2.282, 2.114, 2.004, 1.924, 1.864, 1.816, 1.777],
    }
    ours = {
        "d2": d2,
        "d3": d3,
        "a2": a2,
        "D3": lambda n: range_limits(n)[0],
        "D4": lambda n: range_limits(n)[1],
    }
    for name, table in tables.items():
        assert [ours[name](n) for n in range(2, 11)] == pytest.approx(table, abs=1.01e-3), name
    assert d2(2) == pytest.approx(2 / np.sqrt(np.pi), abs=1e-9)
    assert d2(3) == pytest.approx(3 / np.sqrt(np.pi), abs=1e-9)
    assert [1 / d2(2), 1 / d2(3)] == pytest.approx([0.8862, 0.5908], abs=5e-5)
    assert [1 / d2_one(2), 1 / d2_one(3)] == pytest.approx([0.7071, 0.5231], abs=5e-5)
    assert [1 / d2_one(5), 1 / d2_one(10)] == pytest.approx([0.4030, 0.3146], abs=5e-5)


@pytest.mark.parametrize(
    "tolerance, percent, verdict", [(30, 6.05, "good"), (10, 18.14, "marginal")]
)
def test_with_a_tolerance_the_verdict_is_of_it(tolerance, percent, verdict):
    found = gauge_study(study(AIAG), tolerance)
    assert found.grr == pytest.approx(percent, abs=0.01)
    assert found.verdict == verdict
    assert found.components["gauge"].of_total == pytest.approx(27.9, abs=0.05)


def test_simulated_components_come_back():
    """60 parts, 12 operators: what went in comes out within the error of such a study."""
    rng = np.random.default_rng(5)
    people = rng.normal(0, 0.5, (1, 12, 1))
    values = (
        10
        + people
        + rng.normal(0, 2.0, (60, 1, 1))
        + rng.normal(0, 0.8, (60, 12, 1))
        + rng.normal(0, 0.4, (60, 12, 3))
    )
    found = gauge_study(study_of(values))
    assert not found.pooled
    assert sds(found)["repeatability"] == pytest.approx(0.4, rel=0.05)
    assert sds(found)["interaction"] == pytest.approx(0.8, rel=0.06)
    assert sds(found)["operator"] == pytest.approx(people.std(ddof=1), rel=0.3)
    assert sds(found)["part"] == pytest.approx(2.0, rel=0.25)


def study_of(values):
    names = tuple(f"o{i}" for i in range(values.shape[1]))
    return Study(values, tuple(map(str, range(len(values)))), names)


@pytest.mark.parametrize("method", ["anova", "range"])
def test_components_are_never_negative_and_add_up(method):
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=(4, 3, 2))  # parts that do not differ
        found = gauge_study(study(values), method=method)
        variances = {name: c.variance for name, c in found.components.items()}
        assert min(variances.values()) >= 0
        assert variances["gauge"] + variances["part"] == pytest.approx(variances["total"])
        assert found.components["gauge"].contribution <= 100


def test_shift_and_scale_change_nothing_in_percent():
    plain = gauge_study(study(AIAG))
    moved = gauge_study(study(AIAG * 1e-3 + 1e4))
    for name, component in plain.components.items():
        assert moved.components[name].of_total == pytest.approx(component.of_total, rel=1e-4)


def test_a_gauge_that_repeats_exactly():
    values = np.repeat(np.array([1.1, 2.3, 3.7, 4.9])[:, None, None], 3, 1).repeat(2, 2)
    for method in ("anova", "range"):
        found = gauge_study(study(values), 1.0, method)
        assert found.grr == 0 and found.ndc is None and found.verdict == "good"
        assert any("coarsely" in w for w in found.warnings)


def test_without_operators_the_gauge_is_its_repeatability():
    one = AIAG[:, :1]
    found = gauge_study(study(one), operators=False)
    within = np.sqrt(one.var(axis=2, ddof=1).mean())
    assert sds(found)["repeatability"] == pytest.approx(within)
    assert "operator" not in found.components
    assert found.size == (10, 1, 3)


@pytest.mark.parametrize(
    "values, said",
    [
        (AIAG[:1], "two parts"),
        (AIAG[:, :1], "two operators"),
        (AIAG[:, :, :1], "two trials"),
        (np.full((10, 3, 3), 1.5), "all 90 values are 1.5"),
        (AIAG * 1e307, "too large"),
        (np.where(AIAG == 2.26, np.nan, AIAG), "part 9, operator 1, trial 1 is not a finite"),
    ],
)
def test_what_is_no_study_is_refused_in_one_sentence(values, said):
    with pytest.raises(DataError, match=said):
        gauge_study(study(values))


@pytest.mark.parametrize("tolerance", [0, -1, float("nan"), float("inf")])
def test_a_tolerance_is_above_zero(tolerance):
    with pytest.raises(UsageError, match="tolerance"):
        gauge_study(study(AIAG), tolerance)


def test_a_table_is_read_whatever_its_order_and_dialect():
    text = csv(AIAG)
    head, *rows = text.splitlines()
    shuffled = [head, *np.random.default_rng(0).permutation(rows)]
    german = text.replace(",", ";").replace(".", ",")
    names = text.replace("part,operator,trial,value", "Sample,Appraiser,Trial,Measurement")
    whole = gauge_study(read_study(text)).as_dict()
    for other in ("\n".join(shuffled), "\ufeff" + german, names.replace("\n", "\r\n")):
        again = gauge_study(read_study(other)).as_dict()
        assert again["grr_percent"] == pytest.approx(whole["grr_percent"], rel=1e-12)
    assert np.array_equal(read_study(text).values, AIAG)


def test_without_a_trial_column_rows_count_as_they_come():
    text = "\n".join(",".join(r.split(",")[i] for i in (0, 1, 3)) for r in csv(AIAG).splitlines())
    assert np.array_equal(read_study(text).values, AIAG)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: "", "the table is empty"),
        (lambda t: "\n \n", "the table is empty"),
        (lambda t: t.splitlines()[0], "a header and no rows"),
        (lambda t: t.replace("value", "grams", 1), "no column 'value': got part, operator, trial"),
        (lambda t: t.replace(",0.29\n", ",abc\n"), "line 2: the value is not a number: got 'abc'"),
        (lambda t: t.replace(",0.29\n", ",nan\n"), "line 2: the value is not finite"),
        (lambda t: t.replace(",0.29\n", ",\n"), "line 2: the value is empty"),
        (lambda t: t.replace(",0.29\n", ",0,29\n"), "line 2 has 5 fields .* semicolons"),
        (lambda t: t.replace("1,A,1,0.29\n", ""), "trial 1 of part 1 by operator A is missing:"),
        (lambda t: t.replace("1,A,1,0.29\n", "1,A,2,0.29\n"), "trial 2 of part 1 .* twice"),
        (lambda t: t.replace("1,A,1,", ",A,1,"), "line 2: the part is empty"),
        (lambda t: t.replace("0.29", '"0.29'), "not a CSV"),
    ],
)
def test_a_bad_table_gets_one_clear_sentence(change, said):
    with pytest.raises(DataError, match=said) as caught:
        gauge_study(read_study(change(csv(AIAG))))
    assert "\n" not in str(caught.value)
