"""The report of an inspection: what a quality department reads in it, on made-up verdicts."""

import csv
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from edgelane.core import Event
from edgelane.core.verdict import Reason, Verdict
from edgelane.dashboard import write_report
from edgelane.dashboard.inspection import write_tables
from edgelane.dashboard.plots import histogram
from edgelane.dashboard.rejects import words_of
from edgelane.pipelines.quality import capability, challenge, xbar_r
from edgelane.runtime.journal import Journal

MODELS = {"plate.v3/anomaly.onnx": "a" * 16}
ENGINES = {"plate.v3/anomaly.onnx": "e" * 16}
IDENTITY = {"recipe": "plate", "version": 3, "recipe_hash": "c0ffee00c0ffee00", "models": MODELS,
            "engines": ENGINES}  # fmt: skip
KNOWN = {"pass/1": "pass", "pass/2": "pass", "fail/1": "fail", "fail/2": "fail"}


def bores(count=120):
    values = np.random.default_rng(5).normal(12.0, 0.02, count)
    values[40], values[90] = 12.2, 11.8
    return values.round(5)


def verdict(k, bore):
    reasons = [
        Reason("bore", float(bore), 11.9, 12.1, 0.004, "mm"),
        Reason("difference", 3.0 + k % 5, high=10, unit="px"),
    ]
    if k == 60:
        another = 'another <b>view</b> & "place"'
        reasons = [
            Reason("light", 12.0, 80, 120, condition=True, text="too dark to be judged"),
            Reason("view", None, condition=True, text=another),
        ]
    said = Verdict.of(reasons, 0.2)
    return {"part": k + 1, "serial": f"S{k + 1:06d}", "verdict": said.verdict, "score": said.score,
            "reasons": [r.as_dict() for r in said.reasons], "defects": [], "box": [0, 0, 9, 9],
            "seen": 1.7e9 + k, "frame": k, "looks": 1, **IDENTITY}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run of 120 parts in subgroups of five, with two challenges, one of which failed."""
    folder = tmp_path / "run"
    (folder / "rejects").mkdir(parents=True)
    with Journal(folder / "events.db") as journal:
        journal.set("clock", "unix")
        journal.set("identity", {"settings": {"camera": {"subgroup": 5}}})
        shifts = (("start of the run", {}), ("06:00", {"fail/1": "pass"}))
        for number, (shift, had) in enumerate(shifts, 1):
            result = challenge(KNOWN, {**KNOWN, **had})
            payload = {**result.as_dict(), "shift": shift, "at": 1.7e9, **IDENTITY}
            event = Event("camera", 1.7e9, "challenge", payload, number)
            journal.write("camera", 0, 1.7e9, [event])
        for k, bore in enumerate(bores()):
            told = verdict(k, bore)
            event = Event("camera", told["seen"], "verdict", told, k + 3)
            journal.write("camera", k, told["seen"], [event])
            if told["verdict"] != "pass":
                picture = folder / "rejects" / f"{told['serial']}-{told['verdict']}.jpg"
                picture.write_bytes(b"\xff\xd8\xff\xd9")
    return folder


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_reject_is_told_by_serial_verdict_reason_and_picture(run):
    page = write_report(run).read_text(encoding="utf-8")
    figures = re.findall(r'<figure class="reject.*?</figure>', page)
    assert len(figures) == 3
    last, dark, first = (ElementTree.fromstring(f) for f in figures)
    assert "".join(first.itertext()) == "S000041 failbore 12.2 mm, expected 11.9 to 12.1"
    assert "S000061 unsurelight: too dark to be judged (12, expected 80 to 120)" in "".join(
        dark.itertext()
    )
    assert 'another <b>view</b> & "place"' in "".join(dark.itertext())  # as text, not as markup
    assert last.find("img").get("src").startswith("data:image/jpeg;base64,/9j/2Q")
    assert "Which parts, and why" in page and "plate version 3 (c0ffee00c0ffee00" in page
    assert "plate.v3/anomaly.onnx " + "e" * 16 in page


def test_tables_say_what_the_page_says(run, tmp_path):
    write_tables(run, tmp_path / "csv")
    parts = rows_of(tmp_path / "csv" / "parts.csv")
    assert len(parts) == 120
    bad = [row for row in parts if row["verdict"] != "pass"]
    assert [row["serial"] for row in bad] == ["S000041", "S000061", "S000091"]
    assert [row["reasons"] for row in bad] == ["bore", "light; view", "bore"]
    assert bad[0]["picture"] == "rejects/S000041-fail.jpg" and parts[0]["picture"] == ""
    assert bad[0]["bore [mm]"] == "12.2" and parts[0]["utc"] == "2023-11-14T22:13:20Z"
    assert (bad[0]["recipe"], bad[0]["version"], bad[0]["recipe_hash"]) == (
        "plate", "3", "c0ffee00c0ffee00",
    )  # fmt: skip
    assert bad[0]["models"].endswith("a" * 16) and bad[0]["engines"].endswith("e" * 16)
    reasons = {row["reason"]: row["count"] for row in rows_of(tmp_path / "csv" / "reasons.csv")}
    assert reasons == {"bore": "2", "light": "1", "view": "1"}
    (tmp_path / "run" / "rejects" / "S000041-fail.jpg").unlink()  # the folder made room
    write_tables(run, tmp_path / "csv")
    assert rows_of(tmp_path / "csv" / "parts.csv")[40]["picture"] == ""


def test_means_and_ranges_are_drawn_with_the_capability(run, tmp_path):
    page = write_report(run).read_text(encoding="utf-8")
    write_tables(run, tmp_path / "csv")
    values = [v for k, v in enumerate(bores().tolist()) if k != 60]
    charts, capable = xbar_r(values, 5), capability(values, 11.9, 12.1, size=5)
    rows = rows_of(tmp_path / "csv" / "bore-control.csv")
    means = [row for row in rows if row["chart"] == "means"]
    ranges = [row for row in rows if row["chart"] == "ranges"]
    assert len(means) == len(ranges) == 23  # 119 values: four are left out
    assert float(means[0]["upper"]) == pytest.approx(charts.location.upper, rel=1e-12)
    assert [float(row["value"]) for row in ranges] == pytest.approx(charts.spread.values.tolist())
    assert means[8]["signals"].startswith("beyond three sigma") and means[0]["unit"] == "mm"
    body = page[page.index("Control of bore") : page.index("Control of difference")]
    assert "Means, in mm" in body and "Ranges, in mm" in body
    assert body.count('class="flag"') == sum(1 for row in rows if row["signals"])
    for index in (capable.cp, capable.cpk, capable.pp, capable.ppk):
        assert f"<strong>{index.value:.2f}</strong>" in body
        assert f"{index.low:.2f} to {index.high:.2f} (95 %)" in body
    assert "not in control, so its capability" in body and "not normally distributed" in body
    assert "5 parts in turn" in body and "The last 4 values fill no subgroup" in body
    (row,) = rows_of(tmp_path / "csv" / "capability.csv")
    assert (row["characteristic"], row["unit"], row["in_control"]) == ("bore", "mm", "no")
    assert float(row["cpk"]) == pytest.approx(capable.cpk.value)
    assert float(row["cpk_low95"]) == pytest.approx(capable.cpk.low)
    assert row["outside"] == "2" and float(row["normality_p"]) < 0.05


def test_a_score_has_a_chart_and_no_capability(run):
    page = write_report(run).read_text(encoding="utf-8")
    body = page[page.index("Control of difference") :]
    body = body[: body.index("</section>")]
    assert "Cpk" not in body and "This is a score" in body


def test_challenges_of_shifts_make_a_study(run, tmp_path):
    page = write_report(run).read_text(encoding="utf-8")
    body = page[page.index("Challenge set") : page.index("Control of bore")]
    assert "1 of 4" in body and "0 of 4" in body  # misses, false alarms
    assert "<strong>0.75</strong>" in body and "2 challenges" in body
    write_tables(run, tmp_path / "csv")
    rows = rows_of(tmp_path / "csv" / "known-parts.csv")
    assert len(rows) == 8 and {r["reference"] for r in rows} == {"pass", "fail"}
    assert [r["verdict"] for r in rows if r["part"] == "fail/1"] == ["fail", "pass"]


@pytest.mark.parametrize(
    "reason, said",
    [
        (Reason("bore", 12.345678, 11.9, 12.1, unit="mm"), "bore 12.35 mm, expected 11.9 to 12.1"),
        (Reason("colour", 7.0, high=5), "colour 7, expected at most 5"),
        (Reason("good", 0.25, low=0.5), "good 0.25, expected at least 0.5"),
        (Reason("cut", None, text="the border cuts it"), "cut: the border cuts it"),
        (
            Reason("bore", 12.11, 11.9, 12.1, 0.0212, "mm"),
            "bore 12.11 mm, expected 11.9 to 12.1, uncertain by 0.021",
        ),
    ],
)
def test_a_reason_in_words(reason, said):
    assert words_of(reason.as_dict()) == said


@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (1e-6, 5.0), (1e6, -1e7)])
def test_a_histogram_holds_all_values_and_its_limits(scale, shift):
    values = np.random.default_rng(3).normal(size=200) * scale + shift
    limits = [("lower", shift - 4 * scale), ("upper", shift + 4 * scale)]
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    svg = ElementTree.fromstring(histogram(values.tolist(), limits, mean, sd, "t"))
    heights = [float(r.get("height")) for r in svg.iter("rect")]
    counts = [int(t.text.split()[0]) for r in svg.iter("rect") for t in r]
    assert sum(counts) == 200
    assert np.corrcoef(heights, counts)[0, 1] > 0.999
    lines = [p.get("d") for p in svg.iter("path") if p.get("class") == "limit"]
    left, right = (float(d[1:].split()[0]) for d in lines)
    assert 0 < left < right < 470
