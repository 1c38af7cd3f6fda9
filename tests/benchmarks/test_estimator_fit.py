"""Published rows, what was fitted on them, and how that is judged."""

import numpy as np
import pytest

pytest.importorskip("onnx")

from edgelane.benchmarks.estimator import validate  # noqa: E402
from edgelane.benchmarks.estimator.fit import Fit, errors, fit, load, runs_of_rows  # noqa: E402
from edgelane.benchmarks.estimator.latency import parts, seconds  # noqa: E402
from edgelane.benchmarks.estimator.published import PATH, digest, published  # noqa: E402
from edgelane.core import DataError  # noqa: E402


@pytest.fixture(scope="module")
def rows():
    return [row for row in published() if row.used == "fit"]


def test_rows_have_sources_and_reasons():
    table = published()
    assert len({row.device for row in table}) >= 6
    assert len({row.publisher for row in table}) >= 8
    assert all(row.source.startswith("https://") for row in table)
    assert all(row.note for row in table if row.used == "excluded")
    kept = [r for r in table if r.used == "fit"]
    marks = [(r.publisher, *r[:2], *r[3:8], r.timing, r.source, r.note) for r in kept]
    assert len(set(marks)) == len(marks), "a figure counts once"


def test_what_was_fitted_is_of_this_table():
    found = load()
    assert found["published_sha256"] == digest(), "run: python -m edgelane.benchmarks.estimator fit"
    assert found["rows"] == sum(row.used == "fit" for row in published())


def test_rows_that_were_not_fitted_are_near():
    held = [row for row in published() if row.used == "held-out"]
    median, most = validate.relative(errors(load()["parameters"], held))
    assert median < 20 and most < 45


def test_a_row_that_makes_no_sense_is_told(tmp_path):
    lines = PATH.read_text(encoding="utf-8").splitlines()
    for old, new in ((",fp16,", ",fp61,"), ("nano,", "nana,"), (",1,fp16,14.7", ",1,fp16,-1")):
        assert old in lines[1]
        (tmp_path / "p.csv").write_text("\n".join([lines[0], lines[1].replace(old, new, 1)]))
        with pytest.raises(Exception, match="nana|line 2"):
            published(tmp_path / "p.csv")


def test_a_missing_fit_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match="estimator fit"):
        load(tmp_path / "none.json")


def test_the_parts_of_a_run_add_up(rows):
    p, runs = load()["parameters"], runs_of_rows(rows[:1])
    cost = parts(p, runs)
    assert np.all(cost.total >= cost.overhead + np.maximum(cost.compute, cost.memory) - 1e-12)
    timed = (cost.total.sum() + p["run"][0]) * p["timing"][runs.timing[0]]
    assert seconds(p, runs)[0] == pytest.approx(timed)


@pytest.mark.slow
def test_a_fit_finds_what_rows_were_made_with(rows):
    some = [r for r in rows if r.device in ("nano", "agx-xavier") and r.publisher != "trtutils"]
    true = dict(load()["parameters"])
    true["efficiency"] = true["efficiency"] * 1.25
    told = seconds(true, runs_of_rows(some)) * 1e3
    made = [row._replace(ms=float(ms)) for row, ms in zip(some, told)]
    found = fit(made, Fit(load()["parameters"], {}))
    median, most = validate.relative(errors(found.parameters, made))
    assert median < 3 and most < 10, "priors pull where rows say little"
    assert found.parameters["efficiency"][0] == pytest.approx(true["efficiency"][0], rel=0.15)


def test_a_quantile_counts_weights():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.8, 0.1])
    assert validate.quantile(values, weights, 0.5) == 1
    assert validate.quantile(values, weights, 0.85) == 2
    assert validate.quantile(values, weights, 1.0) == 3


def test_order_counts_pairs_of_one_publisher_on_one_device(rows):
    one = [r for r in rows if r.publisher == "kentaroy47"]
    right, total = validate.order(np.zeros(len(one)), one)
    assert right == total > 0
    turned = np.log([1 / row.ms**2 for row in one])
    assert validate.order(turned, one) == (0, total)


def test_the_gain_of_int8_is_compared_pair_by_pair(rows):
    one = [r for r in rows if r.publisher == "paddle-lite"]
    off = np.array([0.1 if row.precision == "int8" else 0.0 for row in one])
    assert validate.int8_gain(off, one) == pytest.approx(np.exp(0.1) - 1)
    assert validate.int8_gain(off + 0.3, one) == pytest.approx(np.exp(0.1) - 1)


def test_intervals_hold_as_often_as_they_say_on_what_they_did_not_see(rows):
    random = np.random.default_rng(0)
    off = {name: random.normal(0, 0.2, len(rows)) for name in validate.LEFT_OUT}
    groups = ["ampere" if "orin" in row.device else "older" for row in rows]
    held = validate.coverage(off, rows, groups)
    assert all(0.86 < share.rows < 0.98 for share in held.values())
    width = validate.half_widths(off, rows, groups)
    assert width["all"] == pytest.approx(1.645 * 0.2, rel=0.15)
