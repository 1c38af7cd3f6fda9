"""Parts of known size, by command: what the gauges must add goes into the recipe."""

import json

import numpy as np
import pytest

from edgelane.cli.app import run_cli

cv2 = pytest.importorskip("cv2")

RECIPE = """\
pipeline: inspection
checks:
  gauges:
    gauges:
      bore: {kind: diameter, at: [0, 0], nominal: 24, tolerance: 0.6}
      long: {kind: width, at: [0, 22], along: 0, nominal: 98, length: 10}
"""
BURR = 0.8  # px: the bore looks so much smaller than it is


def plate(seed, bore=24.0):
    """A plate with a bore whose burr hides part of it, `(96, 128, 3)` uint8."""
    fine = np.full((96 * 8, 128 * 8), 45, np.uint8)
    cv2.rectangle(fine, (14 * 8, 12 * 8), (112 * 8, 84 * 8), 140, -1)
    cv2.circle(fine, (63 * 8, 48 * 8), round((bore - BURR) * 4), 30, -1)
    image = cv2.resize(fine, (128, 96), interpolation=cv2.INTER_AREA).astype(float)
    image = cv2.GaussianBlur(image, (0, 0), 0.8)
    noise = np.random.RandomState(seed).normal(0, 1.5, image.shape)
    return cv2.merge([np.clip(image + noise, 0, 255).astype(np.uint8)] * 3)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, count in (("good", 12), ("known", 6)):
        (tmp_path / name).mkdir()
        for k in range(count):
            cv2.imwrite(f"{name}/{k}.png", plate(k))
    rows = ["image;gauge;value", *(f"{k}.png;bore;24,0" for k in range(6))]
    (tmp_path / "known" / "sizes.csv").write_text("\n".join(rows))
    (tmp_path / "plate.yaml").write_text(RECIPE)
    return tmp_path


TEACH = "teach plate.yaml --good good --quiet --masters known/sizes.csv"


def bore_of(capsys, recipe):
    assert run_cli(["inspect", "good/0.png", "--recipe", recipe, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    return told["verdict"], {r["name"]: r for r in told["reasons"]}.get("bore")


def test_masters_take_out_what_a_burr_hides(desk, capsys):
    assert run_cli(TEACH.split()) == 0
    out = capsys.readouterr().out
    assert "master   bore: +0." in out and "(95 %)" in out and "long" not in out.split("master")[1]
    page = (desk / "plate.v1" / "report.html").read_text(encoding="utf-8")
    assert "What masters of known size tell" in page and '<th scope="row">bore</th>' in page
    assert bore_of(capsys, "plate.v1.yaml")[0] == "pass"
    assert run_cli([*TEACH.split()[:-2], "--json"]) == 0  # the recipe as it was, without masters
    assert "masters" not in json.loads(capsys.readouterr().out)
    verdict, reason = bore_of(capsys, "plate.v2.yaml")
    assert verdict != "pass" and reason["value"] == pytest.approx(24 - BURR, abs=0.15)
    teach = [*TEACH.replace("plate.yaml", "plate.v1.yaml").split(), "--json"]
    assert run_cli(teach) == 0  # taught again: the offset is found anew, not added twice
    again = json.loads(capsys.readouterr().out)["masters"]["bore"]
    assert again["offset"] == pytest.approx(BURR, abs=0.15) and 0 <= again["doubt"] < 0.3


def test_gauges_that_are_suggested_are_of_the_true_size(desk, capsys):
    (desk / "plate.yaml").write_text("pipeline: inspection\nchecks: {gauges: {}}\n")
    text = (desk / "known" / "sizes.csv").read_text().replace(";bore;", ";hole1;")
    (desk / "known" / "sizes.csv").write_text(text)
    assert run_cli(TEACH.split()) == 0
    capsys.readouterr()
    from edgelane.runtime.inspect.recipe.config import load_recipe

    hole = load_recipe("plate.v1.yaml").settings.checks.gauges["gauges"]["hole1"]
    assert hole["nominal"] == pytest.approx(24, abs=0.1)
    assert hole["offset"] == pytest.approx(BURR, abs=0.15)
    assert run_cli(["inspect", "good/0.png", "--recipe", "plate.v1.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "pass"


@pytest.mark.parametrize(
    "change, code, said",
    [
        (lambda t: None, 2, "does not exist"),
        (lambda t: t.replace("bore", "bor"), 2, "Did you mean 'bore'"),
        (lambda t: t.replace("24,0", "wide"), 1, "sizes.csv: line 2: the value is not a number"),
        (lambda t: t.replace("1.png", "0.png"), 1, "line 3: bore of 0.png stands there twice"),
        (lambda t: t.replace("5.png", "9.png"), 1, "9.png cannot be read"),
        (lambda t: "\n".join(t.split()[:3]), 1, "bore was measured on 2 pictures of known parts"),
        (lambda t: t.replace("gauge;", "size;"), 1, "no column 'gauge'"),
    ],
)
def test_masters_that_tell_nothing_are_refused(desk, capsys, change, code, said):
    table = desk / "known" / "sizes.csv"
    text = change(table.read_text())
    table.unlink() if text is None else table.write_text(text)
    assert run_cli(TEACH.split()) == code
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not list(desk.glob("*.v1*"))


def test_masters_need_gauges(desk, capsys):
    (desk / "plate.yaml").write_text("pipeline: inspection\nchecks: {golden: {}}\n")
    assert run_cli(TEACH.split()) == 2
    assert "masters are for gauges" in capsys.readouterr().err
