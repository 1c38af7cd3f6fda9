"""Sweeps: rows from real processes, kept, resumed, and honest about what failed."""

import csv
import json
import os
import sys
import time

import numpy as np
import pytest
from profiles import MODEL, write_data

from edgelane.benchmarks.profile import measuring, profile, sweep
from edgelane.benchmarks.profile.worker import of_median, read_found, timed, write_found
from edgelane.core import Detections, StorageError, UsageError


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """One sweep over a good model and two that cannot be run, and what it gave."""
    folder = tmp_path_factory.mktemp("sweep")
    write_data(folder / "data")
    (folder / "broken.onnx").write_bytes(MODEL.read_bytes()[:5000])
    told = []
    result = profile(
        [MODEL, folder / "broken.onnx", folder / "absent.onnx"],
        folder / "data",
        out=folder / "out",
        repeats=2,
        seconds=0.02,
        threads=1,
        progress=lambda *step: told.append(step),
    )
    return folder, result, told


@pytest.mark.slow
def test_a_row_has_all_that_was_asked_for(swept):
    row = swept[1]["rows"][0]
    assert row["error"] is None and row["kind"] == "measured"
    assert (row["model"], row["precision"], row["backend"]) == (
        "store_person", "fp32", "onnxruntime",
    )  # fmt: skip
    assert set(row["stages"]) == {
        "decode", "preprocess", "infer", "postprocess", "pipeline", "end_to_end",
    }  # fmt: skip
    for stage in row["stages"].values():
        assert 0 < stage["p50"] <= stage["p95"] <= stage["p99"]
    assert row["low_ms"] <= row["ms"] <= row["high_ms"]
    assert row["fps"] > 0 and row["peak_mb"] > 20 and row["file_mb"] == pytest.approx(2.7, abs=0.5)
    assert row["metric"] == "AP" and 0 <= row["accuracy"] <= 1
    assert 2 <= row["rounds"] <= 4 and row["frames"] >= 8
    assert row["front"] is True


@pytest.mark.slow
def test_stages_add_up_to_the_whole(swept):
    """Means add up exactly but for the rounding; medians within what noise allows."""
    lines = (swept[0] / "out" / "rows.jsonl").read_text().splitlines()
    for line in map(json.loads, lines):
        if line["kind"] != "round":
            continue
        whole = line["stages"].pop("end_to_end")
        assert sum(s["mean"] for s in line["stages"].values()) == pytest.approx(
            whole["mean"], abs=1e-3
        )
        assert sum(s["of_median"] for s in line["stages"].values()) == pytest.approx(
            whole["p50"], abs=1e-3
        )
    row = swept[1]["rows"][0]
    parts = [s["of_median"] for name, s in row["stages"].items() if name != "end_to_end"]
    assert sum(parts) == pytest.approx(row["ms"], abs=1e-2)


@pytest.mark.slow
def test_what_cannot_run_says_why_and_the_others_go_on(swept):
    broken, absent = swept[1]["rows"][1:]
    assert "broken.onnx" in broken["error"] and broken.get("ms") is None
    assert "absent.onnx" in absent["error"]


@pytest.mark.slow
def test_progress_reaches_its_end(swept):
    measuring_steps = [(done, of) for what, done, of in swept[2] if what == "measuring"]
    assert measuring_steps[-1][0] == measuring_steps[-1][1]
    assert all(0 <= done <= of for done, of in measuring_steps)


@pytest.mark.slow
def test_the_files_hold_the_same_rows(swept):
    out = swept[0] / "out"
    data = json.loads((out / "rows.json").read_text())
    assert [r["model"] for r in data["rows"]] == ["store_person", "broken", "absent"]
    with open(out / "rows.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert float(table[0]["ms"]) == data["rows"][0]["ms"]
    assert float(table[0]["infer_p95_ms"]) == data["rows"][0]["stages"]["infer"]["p95"]
    assert "broken.onnx" in table[1]["error"]
    page = (out / "report.html").read_text()
    assert "http:" not in page and "https:" not in page and "<script" not in page
    assert "store_person" in page and "broken.onnx" in page


@pytest.mark.slow
def test_a_sweep_that_is_done_measures_nothing_again(swept, monkeypatch):
    def never(task):
        raise AssertionError("nothing is left to measure")

    monkeypatch.setattr(measuring, "_ask", never)
    out, before = swept[0] / "out", (swept[0] / "out" / "rows.jsonl").read_text()
    again = profile(
        [MODEL], swept[0] / "data", out=out, repeats=1, seconds=0.02, threads=1
    )  # fmt: skip
    assert again["rows"][0]["ms"] == swept[1]["rows"][0]["ms"]
    assert (out / "rows.jsonl").read_text() == before


class Workers:
    """Stands in for the processes: answers at once, and does what a test wants."""

    def __init__(self, monkeypatch, answer):
        self.tasks = []
        self.answer = answer
        monkeypatch.setattr(measuring, "_ask", self)

    def __call__(self, task):
        self.tasks.append(task)
        if task["what"] == "accuracy":
            return {"metric": "AP", "scores": {"AP": 0.3}, "notes": []}
        return self.answer(len(self.tasks), task)


def a_round(ms):
    stage = {"p50": ms, "p95": ms, "p99": ms, "mean": ms}
    return {
        "stages": {"infer": stage, "end_to_end": stage}, "frames": 10, "sum_ratio": 1.0,
        "fps": 1e3 / ms, "load_ms": 1.0, "peak_mb": 50.0, "begin": 0.0, "end": 1.0,
        "task": "detect", "size": [64, 64],
    }  # fmt: skip


@pytest.fixture
def models(tmp_path):
    paths = []
    for name in "abc":
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(MODEL.read_bytes())
        paths.append(path)
    write_data(tmp_path / "data")
    return paths


def test_rows_are_interleaved_in_an_order_that_changes(tmp_path, models, monkeypatch):
    workers = Workers(monkeypatch, lambda count, task: a_round(10.0))
    profile(models, tmp_path / "data", out=tmp_path / "out", repeats=6, accuracy=False)
    order = [os.path.basename(t["path"]) for t in workers.tasks]
    rounds = [tuple(order[i : i + 3]) for i in range(0, 18, 3)]
    assert len(order) == 18
    assert all(sorted(r) == ["a.onnx", "b.onnx", "c.onnx"] for r in rounds)
    assert len(set(rounds)) > 1


def test_a_row_that_is_not_steady_gets_more_rounds(tmp_path, models, monkeypatch):
    noise = iter([10.0, 14.0, 9.0, 12.0, 15.0, 10.0])
    Workers(monkeypatch, lambda count, task: a_round(next(noise)))
    rows = profile(models[:1], tmp_path / "data", out=tmp_path / "out", repeats=3,
                   accuracy=False)["rows"]  # fmt: skip
    assert rows[0]["rounds"] == 6
    assert any("noisy" in note for note in rows[0]["notes"])


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path, models, monkeypatch):
    def stopped(count, task):
        if count == 5:
            raise KeyboardInterrupt
        return a_round(10.0)

    Workers(monkeypatch, stopped)
    with pytest.raises(KeyboardInterrupt):
        profile(models, tmp_path / "data", out=tmp_path / "out", repeats=3)
    assert len((tmp_path / "out" / "rows.jsonl").read_text().splitlines()) == 4
    rest = Workers(monkeypatch, lambda count, task: a_round(10.0))
    rows = profile(models, tmp_path / "data", out=tmp_path / "out", repeats=3)["rows"]
    assert len([t for t in rest.tasks if t["what"] == "time"]) == 5
    assert [r["rounds"] for r in rows] == [3, 3, 3]


def test_a_process_that_dies_costs_its_row_alone(tmp_path, models, monkeypatch):
    monkeypatch.setattr(measuring, "WORKER", "edgelane.no_such_worker")
    rows = profile(models[:1], tmp_path / "data", out=tmp_path / "out", repeats=2)["rows"]
    assert "its process failed" in rows[0]["error"] and "no_such_worker" in rows[0]["error"]
    assert measuring._death(-9, "", 3.0).endswith("most often memory had run out.")
    assert "signal 11" in measuring._death(-11, "", 3.0)


def test_accuracy_that_cannot_be_told_leaves_the_times(tmp_path, models, monkeypatch):
    workers = Workers(monkeypatch, lambda count, task: a_round(10.0))

    def answer(task):
        if task["what"] == "accuracy":
            return {"error": "none of the 4 images is in the folder."}
        return Workers.__call__(workers, task)

    monkeypatch.setattr(measuring, "_ask", answer)
    row = profile(models[:1], tmp_path / "data", out=tmp_path / "out", repeats=2)["rows"][0]
    assert row["ms"] == pytest.approx(10) and row["error"] is None
    assert any("none of the 4 images" in note for note in row["notes"])


def test_a_disk_that_is_full_loses_nothing_that_was_measured(tmp_path, models, monkeypatch):
    from edgelane.benchmarks.profile import journal

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_append", full)
    Workers(monkeypatch, lambda count, task: a_round(10.0))
    result = profile(models[:1], tmp_path / "data", out=tmp_path / "out", repeats=2)
    assert result["rows"][0]["rounds"] == 2
    assert any("No space left on device" in note for note in result["notes"])
    assert result["problem"] is None

    def fuller(path, content):
        raise StorageError(f"{path} cannot be written", got="No space left on device")

    monkeypatch.setattr("edgelane.benchmarks.profile.outputs.write_whole", fuller)
    result = profile(models[:1], tmp_path / "data", out=tmp_path / "other", repeats=2)
    assert result["rows"][0]["rounds"] == 2 and result["report"] is None
    assert "No space left on device" in result["problem"]


def test_a_clock_that_steps_does_no_harm(monkeypatch):
    """Nothing that is measured looks at the time of day."""
    monkeypatch.setattr(time, "time", lambda: pytest.fail("the time of day was asked for"))
    laps, whole = timed([lambda index: time.sleep(0.002), lambda nothing: None], 5)
    assert laps.shape == (5, 2) and (whole >= 0.002).all()
    assert laps.sum(axis=1) == pytest.approx(whole)


def test_parts_of_the_median_add_up_where_medians_do_not():
    """Each frame is held up in one stage of three: no stage's median shows it."""
    laps = np.full((300, 3), 0.001)
    laps[np.arange(300), np.arange(300) % 3] += 0.006
    whole = laps.sum(axis=1)
    assert 3 * np.median(laps, axis=0).max() < 0.4 * np.median(whole)
    assert of_median(laps, whole).sum() == pytest.approx(9.0)


def test_detections_are_kept_and_read_again(tmp_path):
    rng = np.random.RandomState(0)
    found = []
    for count in (1, 0, 2):
        corner = rng.uniform(0, 50, (count, 2))
        boxes = np.hstack([corner, corner + 9]).astype(np.float32)
        found.append(
            Detections(boxes, rng.uniform(0, 1, count).astype(np.float32), np.arange(count))
        )
    write_found(str(tmp_path / "f.npz"), found)
    again = read_found(str(tmp_path / "f.npz"))
    assert [len(d) for d in again] == [1, 0, 2]
    for one, two in zip(found, again):
        assert (one.xyxy == two.xyxy).all() and (one.class_id == two.class_id).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"repeats": 0}, "repeats"),
        ({"repeats": 1.5}, "repeats"),
        ({"seconds": 0}, "seconds"),
        ({"sizes": ["big"]}, "size"),
        ({"sizes": [3]}, "size"),
        ({"precisions": ["fp61"]}, "Did you mean 'fp16'"),
        ({"devices": ["xavier-xn"]}, "Did you mean 'xavier-nx'"),
        ({"backends": ["tensort"]}, "Did you mean 'tensorrt'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(tmp_path, options, words):
    write_data(tmp_path / "data")
    with pytest.raises(UsageError, match=words):
        profile([MODEL], tmp_path / "data", out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_no_model_and_a_place_that_is_none_are_refused(tmp_path):
    write_data(tmp_path / "data")
    with pytest.raises(UsageError, match="no model"):
        profile([], tmp_path / "data", out=tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"):
        profile([MODEL], tmp_path / "data", out=tmp_path / "file")


def test_the_machine_is_told(tmp_path):
    name, words = sweep.this_machine()
    assert name and "cores" in words or name != "this machine"
    assert sys.executable
