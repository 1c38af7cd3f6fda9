"""A run keeps pictures of rejects within its budget, and its journal names what judged."""

import csv
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from edgelane.cli.app import run_cli  # noqa: E402
from edgelane.cli.jobs import read_events  # noqa: E402

RECIPE = """\
pipeline: inspection
source: line?fps=5
serial: T
checks: {classifier: {model: colours.onnx, good: [red], least: 0.5}}
rejects: {megabytes: 0.05}
"""
BAD = range(3, 40, 3)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Forty trays judged by a classifier, every third of the wrong colour."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
    try:
        import classifiers as colours
    finally:
        sys.path.pop(0)
    folder = tmp_path_factory.mktemp("trays")
    (folder / "good").mkdir()
    (folder / "line").mkdir()
    random = np.random.default_rng(0)

    def write(path, colour):
        image = colours.picture(colour, (30, 20, 130, 100), (160, 120)).astype(float)
        image[20:100, 30:130] *= 0.51 if colour == "green" else 1.0  # as bright as red is
        noisy = image + random.normal(0, 0.6, image.shape)
        cv2.imwrite(str(path), np.clip(noisy, 0, 255).astype(np.uint8))

    for k in range(12):
        write(folder / "good" / f"{k:02d}.png", "red")
    for k in range(40):
        write(folder / "line" / f"{k:02d}.png", "green" if k in BAD else "red")
    colours.save_colours(folder / "colours.onnx", "gemm", "softmax", card={}, gain=20)
    (folder / "tray.yaml").write_text(RECIPE)
    taught = ["teach", str(folder / "tray.yaml"), "--good", str(folder / "good"), "--quiet"]
    assert run_cli(taught) == 0
    recipe = str(folder / "tray.v1.yaml")
    assert run_cli(["run", recipe, "--out", str(folder / "run"), "--quiet"]) == 0
    return folder


def test_the_journal_names_serial_recipe_and_model(ran):
    events = list(read_events(ran / "run", "verdict"))
    assert [e.payload["serial"] for e in events] == [f"T{k:06d}" for k in range(1, 41)]
    digest = hashlib.sha256((ran / "colours.onnx").read_bytes()).hexdigest()[:16]
    for event in events:
        assert (event.payload["recipe"], event.payload["version"]) == ("tray", 1)
        assert event.payload["models"] == {"colours.onnx": digest}
        assert len(event.payload["recipe_hash"]) == 16
    failed = {e.payload["part"] - 1 for e in events if e.payload["verdict"] == "fail"}
    assert failed == set(BAD)
    summary = json.loads((ran / "run" / "summary.json").read_text())
    assert summary["failed"] == len(BAD) and summary["run"]["models"] == {"colours.onnx": digest}


def test_pictures_of_rejects_stay_within_their_budget_and_the_latest_are_kept(ran):
    kept = sorted((ran / "run" / "rejects").iterdir())
    assert sum(path.stat().st_size for path in kept) <= 50_000
    assert 0 < len(kept) < len(BAD)
    latest = [f"T{k + 1:06d}-fail.jpg" for k in BAD][-len(kept) :]
    assert [path.name for path in kept] == latest
    for path in kept:
        assert cv2.imread(str(path)) is not None


def test_the_report_leads_from_serial_to_verdict_reason_and_picture(ran, tmp_path):
    assert run_cli(["report", str(ran / "run"), "--tables", str(tmp_path)]) == 0
    page = (ran / "run" / "report.html").read_text(encoding="utf-8")
    kept = sorted(p.name for p in (ran / "run" / "rejects").iterdir())
    assert page.count('<figure class="reject fail">') == len(kept)
    for k in BAD:
        assert f'<th scope="row">T{k + 1:06d}</th>' in page
    assert "classifier 0" in page and "expected at least " in page
    with open(tmp_path / "parts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    bad = [row for row in rows if row["verdict"] == "fail"]
    assert len(rows) == 40 and len(bad) == len(BAD)
    assert {row["reasons"] for row in bad} == {"classifier"}
    named = [row["picture"] for row in rows if row["picture"]]
    assert [Path(name).name for name in named] == kept
    assert all(row["models"].startswith("colours.onnx ") for row in rows)
