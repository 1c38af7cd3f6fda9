"""A classifier through the models river: export, calibrate, check and profile."""

import importlib.util
import json
from pathlib import Path

import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from edgelane.cli.app import run_cli  # noqa: E402
from edgelane.core import ModelCard  # noqa: E402
from edgelane.core.card import METADATA_KEY  # noqa: E402
from edgelane.runtime.classify import load_classifier  # noqa: E402
from edgelane.runtime.onnx_metadata import read_metadata  # noqa: E402

_PATH = Path(__file__).resolve().parents[1] / "runtime" / "classifiers.py"
_SPEC = importlib.util.spec_from_file_location("colours", _PATH)
colours = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(colours)


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures for each class; every fourth lies in the wrong one."""
    names = colours.COLOURS
    for k, name in enumerate(names):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(8):
            colour = name if i % 4 else names[(k + 1) % 3]
            image = colours.picture(colour, (40 + i, 20, 100, 80), (160, 120))
            cv2.imwrite(str(tmp_path / "data" / name / f"{i}.png"), image)
    return tmp_path / "data"


def test_export_writes_what_the_numbers_are_and_how_pictures_are_cut(tmp_path, pictures, capsys):
    plain = colours.save_colours(tmp_path / "plain.onnx", "gemm", "softmax", gain=20)
    out = tmp_path / "m.onnx"
    given = ["export", plain, "--out", str(out), "--task", "classify"]
    assert run_cli([*given, "--classes", "red,green,blue"]) == 0
    card = ModelCard.from_json(read_metadata(out)[METADATA_KEY])
    assert card.task == "classify" and card.decoder == "softmax"
    assert card.classes == ("red", "green", "blue") and card.input.resize == "crop"
    assert card.extra["classify"] == {"crop": 0.875}
    image = colours.picture("red", (40, 20, 100, 80), (160, 120))
    with load_classifier(out) as one, load_classifier(plain) as two:
        assert one(image) == pytest.approx(two(image), abs=1e-5)
    assert run_cli([*given, "--classes", "red,green,blue", "--map"]) == 0
    with load_classifier(out) as model:
        assert model.maps and model.card.classes == ("red", "green", "blue")
        assert model.map(image, 0)[50, 70] > 0.5
    assert run_cli([*given, "--classes", "red,green"]) == 1
    assert "tells apart 3 classes" in capsys.readouterr().err


def test_calibrate_and_profile_on_folders_of_classes(tmp_path, pictures, capsys):
    model = colours.save_colours(
        tmp_path / "m.onnx", card={"input": {"resize": "crop"}}, gain=20, size=(64, 64)
    )
    quantised = tmp_path / "q.onnx"
    given = ["calibrate", model, "--images", str(pictures), "--out", str(quantised)]
    assert run_cli([*given, "--cache", str(tmp_path / "q.calib")]) == 0
    capsys.readouterr()
    out = tmp_path / "profile"
    options = ["--repeats", "1", "--seconds", "0.05", "--out", str(out), "--json"]
    assert run_cli(["profile", model, str(quantised), "--data", str(pictures), *options]) == 0
    rows = json.loads((out / "rows.json").read_text(encoding="utf-8"))
    rows = rows["rows"] if isinstance(rows, dict) else rows
    for row in rows:
        assert row["metric"] == "top1" and row["accuracy"] == pytest.approx(0.75, abs=0.05)
    assert rows[0]["confusion"]["counts"][0][1] == 2
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "takes for what" in page and "75.0 %" in page


def test_check_draws_what_a_picture_is_taken_for_and_where(tmp_path, pictures, capsys):
    model = colours.save_colours(tmp_path / "m.onnx", card={}, gain=20)
    out = tmp_path / "seen"
    given = ["check", model, "--images", str(pictures / "red"), "--out", str(out)]
    assert run_cli([*given, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["classes"] == {"red": 6, "green": 2} and report["map"] is None
    assert report["top"]["1.png"][0][0] == "red"
    assert sorted(p.name for p in out.iterdir()) == [f"{i}.png" for i in range(8)]
    before = cv2.imread(str(pictures / "red" / "1.png")).astype(int)
    after = cv2.imread(str(out / "1.png")).astype(int)
    changed = abs(after - before).sum(axis=2)
    assert changed[40:60, 60:90].mean() > 40 and changed[100:, 140:].mean() < 5
    flat = colours.save_colours(tmp_path / "f.onnx", "flat", card={}, gain=20)
    assert run_cli(["check", flat, "--images", str(pictures / "red"), "--out", str(out)]) == 0
    assert "no class-activation map" in capsys.readouterr().out
    assert run_cli(["check", model, "--images", str(tmp_path), "--out", str(out)]) == 1
    assert "no pictures" in capsys.readouterr().err


def test_check_takes_no_confidence_for_a_classifier(tmp_path, pictures, capsys):
    """It would change nothing, and a user who gives one believes that it does."""
    model = colours.save_colours(tmp_path / "m.onnx", card={})
    images = str(pictures / "red")
    assert run_cli(["check", model, "--images", images, "--confidence", "0.5"]) == 2
    assert "--confidence means nothing to a classifier" in capsys.readouterr().err
