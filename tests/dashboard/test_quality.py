"""Sections on quality: whole markup, every flagged point told, tables that say the same."""

import csv
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from edgelane.dashboard.control import control_section
from edgelane.dashboard.plots import Series, column_chart, figures, line_chart
from edgelane.dashboard.quality import (
    attribute_section,
    challenge_section,
    gauge_section,
    pareto_section,
    quality_page,
)
from edgelane.pipelines.quality import (
    Judgements,
    Study,
    attribute_study,
    capability,
    challenge,
    gauge_study,
    individuals,
    pareto,
    xbar_r,
)

ODD = 'A & "B" <b>'


def gauge(values, **options):
    names = tuple(f"{ODD}{i}" for i in range(values.shape[1]))
    study = Study(values, tuple(map(str, range(len(values)))), names)
    return gauge_section(study, gauge_study(study, **options), "mm")


def control(values, size=1, unit="mm"):
    charts = individuals(values) if size == 1 else xbar_r(values, size)
    return control_section(ODD, charts, capability(values, 0, 9, size=size), unit)


def sections():
    rng = np.random.default_rng(0)
    flat = np.repeat(rng.normal(size=(5, 1, 1)), 3, 1).repeat(2, 2)
    verdicts = np.where(rng.random((6, 2, 2)) < 0.3, "fail", "pass")
    yield gauge(rng.normal(size=(5, 3, 2)), tolerance=3.0)
    yield gauge(flat)
    yield gauge(rng.normal(size=(5, 1, 4)) * 1e-7 + 1e3, operators=False)
    yield gauge(rng.normal(size=(5, 6, 4)), method="range")
    yield control(rng.normal(5, 1, 30))
    yield control(rng.normal(5, 1, 2003), 5)
    yield control_section("flat", individuals([1.1] * 20))
    names = tuple("123456")
    truth = ("pass", "fail") * 3
    yield attribute_section(attribute_study(Judgements(verdicts, names, (ODD, "B"), truth)))
    yield attribute_section(attribute_study(Judgements(verdicts, names, (ODD, "B"), None)))
    yield pareto_section(pareto({ODD: 40, **{f"r{i}": 13 - i for i in range(13)}}))
    yield pareto_section([])
    yield challenge_section(challenge({"a": "fail"}, {"a": "fail", ODD: "pass"}))
    yield challenge_section(challenge({ODD: "fail"}, {ODD: "pass"}))


@pytest.mark.parametrize("section", list(sections()), ids=lambda s: s.title[:12])
def test_every_section_is_whole_markup_without_nonsense(section):
    ElementTree.fromstring(section.html)  # balanced, escaped
    assert "nan" not in section.html.lower() and "None" not in section.html
    assert "inf " not in section.html and ODD not in section.html
    for text in section.tables.values():
        rows = list(csv.reader(io.StringIO(text)))
        assert len({len(row) for row in rows}) == 1
    page = quality_page(ODD, [section])
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page


def test_each_flagged_point_is_drawn_and_told():
    values = np.random.default_rng(1).normal(5, 0.1, 40)
    values[20] = 7
    section = control(values)
    assert "point 21: beyond three sigma" in section.html
    rows = list(csv.DictReader(io.StringIO(next(iter(section.tables.values())))))
    assert [r["point"] for r in rows if "beyond three" in r["signals"]] == ["21", "21", "22"]
    assert section.html.count('class="flag"') == len([r for r in rows if r["signals"]])
    assert [float(r["value"]) for r in rows[:40]] == values.tolist()


def test_a_point_is_drawn_where_its_value_is():
    svg = ElementTree.fromstring(
        line_chart([Series("a", [1.0, 2.0, 4.0])], ["1", "2", "3"], title="t", limits=[("top", 4)])
    )
    at = [float(c.get("cy")) for c in svg.iter("circle")]
    assert (at[0] - at[2]) / (at[0] - at[1]) == pytest.approx(3, abs=0.01)
    limit = next(p.get("d") for p in svg.iter("path") if p.get("class") == "limit")
    assert float(limit.split("L")[0].split()[1]) == pytest.approx(at[2])


def test_long_series_draw_no_mark_for_each_point():
    values = np.random.default_rng(2).normal(size=5000).tolist()
    text = line_chart([Series("a", values)], [str(i) for i in range(5000)], title="t")
    assert "<circle" not in text and text.count("<text") < 25


@pytest.mark.parametrize("values", [[5.0, 5.0], [0.0], [1e12, 1e12 + 1], [-1e-9, 1e-9]])
def test_an_axis_stands_for_any_values(values):
    text = line_chart([Series("a", values)], ["x"] * len(values), title="t")
    places = [float(c.get("cy")) for c in ElementTree.fromstring(text).iter("circle")]
    assert len(places) == len(values) and all(0 < p < 250 for p in places)


def test_columns_stand_on_zero_and_shares_rise():
    svg = ElementTree.fromstring(column_chart([("a", 6, True), ("b", 3, False)], [0.67, 1.0], "t"))
    tall = [float(r.get("height")) for r in svg.iter("rect")]
    assert tall[0] == pytest.approx(2 * tall[1], abs=0.2)
    line = [float(c.get("cy")) for c in svg.iter("circle")]
    tops = [float(r.get("y")) for r in svg.iter("rect")]
    assert line[0] == pytest.approx(tops[0], abs=1) and line[1] < line[0]


@pytest.mark.parametrize(
    "value, text", [(-0.5, "−0.5"), (12345.6, "12346"), (0.00012345, "0.0001234"), (None, "–")]
)
def test_figures_of_a_number(value, text):
    assert figures(value) == text


def test_a_challenge_is_told_part_by_part():
    known = {"pass/1.png": "pass", "pass/2.png": "pass", "fail/3.png": "fail", "fail/4.png": "fail"}
    had = {**known, "fail/4.png": "pass", "pass/2.png": "unsure"}
    section = challenge_section(challenge(known, had), "plate v2")
    root = ElementTree.fromstring(section.html)
    rows = ["|".join(r.itertext()) for r in root.iter("tr")][1:]
    assert rows[0] == "pass/2.png|pass|unsure|unsure" and rows[1] == "fail/4.png|fail|pass|miss"
    assert rows[2].endswith("|as known")
    told = "".join(root.itertext())
    assert "Misses1 of 2" in told and "False alarms0 of 2" in told
    table = list(csv.DictReader(io.StringIO(section.tables["challenge.csv"])))
    assert [row["part"] for row in table] == ["1", "2", "3", "4"]
    assert table[3] == {"part": "4", "operator": "plate v2", "trial": "1", "verdict": "pass",
                        "reference": "fail", "kind": "miss"}  # fmt: skip
