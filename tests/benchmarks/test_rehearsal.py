"""What is compared between two machines; the emulated one is made by hand, see the benchmark."""

import shutil

import pytest

from edgelane.benchmarks.rehearsal import CONFIG, compare, main, write_pictures


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on short pictures, and a copy of it."""
    from edgelane.cli.jobs import run

    pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("rehearsal")
    write_pictures(folder / "pictures", seconds=2)
    (folder / "check.yaml").write_text(CONFIG.format(source="pictures?fps=10"))
    run(folder / "check.yaml", out=folder / "here", detections=True)
    shutil.copytree(str(folder / "here"), str(folder / "there"))
    return folder


def test_two_that_answer_alike(runs):
    told = compare(runs / "here", runs / "there")
    assert told["same_detections"] and told["same_events"]
    assert told["box"] == told["score"] == 0.0
    assert told["detections"][0] == told["detections"][1] > 0 and told["events"][0] > 0


def test_a_box_that_differs_and_one_that_is_missing_are_told(runs, tmp_path):
    there = tmp_path / "there"
    shutil.copytree(str(runs / "there"), str(there))
    rows = (there / "detections.txt").read_text().splitlines()
    first = rows[0].split(",")
    first[4] = str(float(first[4]) + 0.5)
    (there / "detections.txt").write_text("\n".join([",".join(first), *rows[1:]]) + "\n")
    assert compare(runs / "here", there)["box"] == pytest.approx(0.5, abs=1e-3)
    (there / "detections.txt").write_text("\n".join(rows[1:]) + "\n")
    assert not compare(runs / "here", there)["same_detections"]


def test_what_is_missing_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["--root", str(tmp_path)]) == 1
    assert "only be made as root" in capsys.readouterr().err
