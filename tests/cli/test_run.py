"""Whole runs through the command line: the answers, and one sentence for every bad input."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgelane
from edgelane.cli.app import run_cli

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "examples" / "store.yaml"
WALKERS = ROOT / "examples" / "walkers.txt"
CONFIG = """
pipeline: counting
classes: [person]
reference_size: [100, 100]
lines:
  middle: {from: [50, 100], to: [50, 0]}
zones:
  left: {polygon: [[0, 0], [50, 0], [50, 100], [0, 100]]}
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A working directory with a config."""
    (tmp_path / "store.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(data) -> str:
    return str(data / "weights" / "yolox_nano_416.onnx")


@pytest.fixture(scope="module")
def clip(data, tmp_path_factory) -> str:
    """Six seconds of a real video."""
    return cut(data / "video" / "vtest_480x360.mp4", tmp_path_factory.mktemp("clip") / "c.mp4", 60)


def cut(video: Path, out: Path, frames: int, every: int = 1) -> str:
    import cv2

    capture = cv2.VideoCapture(str(video))
    fourcc = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(out), fourcc, 10 / every, (480, 360))
    for index in range(frames):
        picture = capture.read()[1]
        if index % every == 0:
            writer.write(picture)
    writer.release()
    return str(out)


def replay(*more: str) -> int:
    base = ["replay", str(STORE), "--detections", str(WALKERS), "--fps", "10", "--quiet"]
    return run_cli([*base, *more])


def events(folder):
    from edgelane import read_events

    return [(e.id, e.timestamp, e.kind, json.dumps(e.payload)) for e in read_events(folder)]


def refuse(arguments, *words, code, capsys) -> str:
    """The command must fail with one sentence that has these words, and without a traceback."""
    capsys.readouterr()
    assert run_cli(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and "Traceback" not in error
    for word in words:
        assert word in error, error
    return error


# -- replay ----------------------------------------------------------------------------------------


def test_replay_counts_the_made_up_shop_as_its_makers_know_it(desk, capsys):
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import walkers
    finally:
        sys.path.pop(0)
    truth = walkers.simulate()[1]
    assert replay("--out", "shop", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["lines"]["door"] == truth["door"]
    assert summary["visitors"] == truth["visitors"]
    assert summary["passers_by"] == truth["passers_by"]
    assert summary["zones"]["checkout"]["entries"] == truth["checkout"]
    assert summary["zones"]["shelf"]["entries"] == truth["shelf"]
    assert summary == {
        **json.loads(Path("shop/summary.json").read_text()),
        "report": "shop/report.html",
    }


def test_replay_gives_the_same_events_byte_for_byte(desk):
    assert replay("--out", "a", "--tracks") == 0 and replay("--out", "b", "--tracks") == 0
    assert events("a") == events("b") and len(events("a")) > 50
    assert Path("a/tracks.txt").read_bytes() == Path("b/tracks.txt").read_bytes()


def test_tracks_that_were_written_can_be_replayed_as_tracks(desk, capsys):
    assert replay("--out", "a", "--tracks", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    again = ["replay", str(STORE), "--detections", "a/tracks.txt", "--fps", "10", "--quiet"]
    assert run_cli([*again, "--out", "b", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["lines"] == first["lines"]


def test_a_finished_folder_is_kept_unless_overwriting_is_asked_for(desk, capsys):
    assert replay("--out", "a") == 0
    (desk / "a" / "mine.txt").write_text("mine")
    before = events("a")
    base = ["replay", str(STORE), "--detections", str(WALKERS), "--fps", "5", "--out", "a"]
    refuse(base, "holds a finished run", "--overwrite", code=2, capsys=capsys)
    assert events("a") == before
    assert run_cli([*base, "--overwrite", "--quiet"]) == 0
    assert events("a") != before and (desk / "a" / "mine.txt").read_text() == "mine"


def test_kill_9_loses_nothing_and_counts_nothing_twice(desk):
    assert replay("--out", "whole", "--tracks") == 0
    command = [sys.executable, "-m", "edgelane", "replay", str(STORE), "--detections"]
    command += [str(WALKERS), "--fps", "10", "--out", "cut", "--tracks", "--quiet"]
    kills = 0
    for tenths in (6, 7, 8, 9, 10, 12, 14):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=tenths / 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    subprocess.run(command, check=False, capture_output=True)
    assert kills and events("cut") == events("whole")
    assert Path("cut/tracks.txt").read_bytes() == Path("whole/tracks.txt").read_bytes()


def test_a_run_that_was_cut_off_before_its_files_were_in_place_is_not_finished(desk, monkeypatch):
    from edgelane.runtime.mot import TracksWriter

    assert replay("--out", "whole", "--tracks") == 0
    with monkeypatch.context() as cut:
        cut.setattr(TracksWriter, "close", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with contextlib.suppress(KeyboardInterrupt):
            replay("--out", "cut", "--tracks")
    assert Path("cut/summary.json").exists() and not Path("cut/tracks.txt").exists()
    assert replay("--out", "cut", "--tracks") == 0
    assert Path("cut/tracks.txt").read_bytes() == Path("whole/tracks.txt").read_bytes()
    assert events("cut") == events("whole")


def test_an_interrupted_run_of_another_config_is_not_gone_on_with(desk, capsys):
    from edgelane.runtime.journal import Journal

    assert replay("--out", "a") == 0
    with Journal("a/events.db") as journal:
        journal.set("ended", "stopped")
    base = ["replay", "store.yaml", "--detections", str(WALKERS), "--fps", "10", "--out", "a"]
    refuse(base, "another config", "--overwrite", code=2, capsys=capsys)


@pytest.mark.parametrize(
    "rows, words",
    [
        ("", ["no rows"]),
        ("a,b,c\n", ["line 1"]),
        ("1,-1,3,4\n", ["columns"]),
        ("0,-1,1,1,5,5,0.9\n", ["frame"]),
        ("1,-1,1,1,5,5,0.9,-1,-1,-1\n1,7,1,1,5,5,0.9,-1,-1,-1\n", ["mixes"]),
    ],
)
def test_recorded_detections_that_are_none_are_told_with_the_line(desk, rows, words, capsys):
    Path("d.txt").write_text(rows)
    base = ["replay", str(STORE), "--detections", "d.txt", "--fps", "10", "--out", "a"]
    refuse(base, "d.txt", *words, code=1, capsys=capsys)
    assert not Path("a").exists()


def test_boxes_that_are_no_boxes_are_dropped_and_told(desk, capsys):
    rows = "1,-1,nan,1,5,5,0.9\n1,-1,1,1,inf,5,0.9\n2,-1,1,1,0,5,0.9\n3,-1,1,1,5,5,nan\n"
    Path("d.txt").write_text(rows + "4,-1,-50,-50,20,30,0.9\n5,-1,9000,9000,20,30,0.9\n")
    base = ["replay", str(STORE), "--detections", "d.txt", "--fps", "10", "--quiet", "--json"]
    assert run_cli(base) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == 5 and "4 rows were dropped" in summary["warnings"][0]
    assert summary["visitors"] == 0 and Path("runs/store/report.html").exists()


def test_the_confidence_of_the_config_holds_for_recorded_detections_too(desk, capsys):
    Path("d.txt").write_text("".join(f"{i},-1,10,10,20,60,0.3,-1,-1,-1\n" for i in range(1, 99)))
    for confidence, visitors in (("0.2", 1), ("0.4", 0)):
        Path("c.yaml").write_text(f"reference_size: [64, 80]\nconfidence: {confidence}\n")
        base = ["replay", "c.yaml", "--detections", "d.txt", "--fps", "10", "--overwrite"]
        assert run_cli([*base, "--quiet", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["visitors"] == visitors


@pytest.mark.parametrize(
    "options, words",
    [
        (["--fps", "0"], ["fps"]),
        (["--fps", "nan"], ["fps"]),
        (["--fps", "10", "--size", "wide"], ["--size", "768x576"]),
        (["--fps", "10", "--size", "0x5"], ["--size"]),
    ],
)
def test_wrong_options_are_misuse(desk, options, words, capsys):
    base = ["replay", str(STORE), "--detections", str(WALKERS), "--out", "a"]
    refuse([*base, *options], *words, code=2, capsys=capsys)


def test_a_video_never_takes_the_place_of_what_is_played(desk, capsys):
    from edgelane.runtime.synth import open_scene
    from edgelane.runtime.synth.writers import render_to_file

    scene = open_scene("store", seed=1, fps=5, size="160x90", seconds=1, people=1)
    render_to_file(scene, desk / "shop.avi")
    before = Path("shop.avi").read_bytes()
    shipped = Path(edgelane.__file__).resolve().parent / "runtime/models/store_person.onnx"
    for source in ("shop.avi", f"live+file://{desk / 'shop.avi'}"):
        given = ["--source", source, "--video", "./shop.avi", "--quiet", "--out", "o"]
        run = ["run", "store.yaml", "--model", str(shipped), *given]
        refuse(run, "would overwrite shop.avi", code=2, capsys=capsys)
    assert Path("shop.avi").read_bytes() == before and not Path("o").exists()


def test_a_recording_needs_a_size(desk, capsys):
    Path("c.yaml").write_text("pipeline: counting\n")
    base = ["replay", "c.yaml", "--detections", str(WALKERS), "--fps", "10", "--out", "a"]
    refuse(base, "--size", code=2, capsys=capsys)


@pytest.mark.parametrize(
    "text, words",
    [
        ("lines: {door: {from: [5, 5], to: [5, 5]}}", ["lines.door", "length"]),
        ("lines: {door: {from: [5, 5], to: [.nan, 5]}}", ["lines.door"]),
        ("lines: {door: {from: [5], to: [6, 5]}}", ["lines.door.from"]),
        ("lines: {door: {form: [5, 5], to: [6, 5]}}", ["lines.door.form", "did you mean 'from'"]),
        ("zones: {till: {polygon: [[0, 0], [9, 9], [9, 0], [0, 9]]}}", ["zones.till", "cross"]),
        ("zones: {till: {polygon: [[0, 0], [9, 9]]}}", ["zones.till"]),
        ("linse: {}", ["linse", "did you mean 'lines'"]),
        ("pipeline: counitng", ["counitng", "did you mean 'counting'"]),
        ("tracker: {lost_s: -1}", ["tracker.lost_s"]),
        ("cameras: {a: {}, b: {}}", ["one camera"]),
    ],
)
def test_a_wrong_config_names_the_field(desk, text, words, capsys):
    Path("c.yaml").write_text("reference_size: [640, 360]\n" + text)
    base = ["replay", "c.yaml", "--detections", str(WALKERS), "--fps", "10", "--out", "a"]
    error = refuse(base, code=2, capsys=capsys)
    for word in words:
        assert word.lower() in error.lower()


def test_a_folder_that_cannot_be_one_is_told(desk, capsys):
    Path("file").write_text("in the way")
    base = ["replay", str(STORE), "--detections", str(WALKERS), "--fps", "10"]
    refuse([*base, "--out", "file"], "file", "--out", code=1, capsys=capsys)
    refuse([*base, "--out", "file/below"], "file", "--out", code=1, capsys=capsys)
    assert Path("file").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs to mount")
def test_a_full_disk_is_told_and_what_was_journalled_is_kept(desk, capsys):
    small = desk / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        base = ["replay", str(STORE), "--detections", str(WALKERS), "--fps", "10", "--quiet"]
        refuse([*base, "--out", str(small / "a")], "cannot be written", code=1, capsys=capsys)
        kept = events(small / "a")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert replay("--out", "whole") == 0
    assert kept and kept == events("whole")[: len(kept)]


def test_a_report_of_nothing_is_told(desk, capsys):
    refuse(["report", "nowhere"], "nowhere", code=1, capsys=capsys)


# -- run -------------------------------------------------------------------------------------------


@pytest.mark.data
def test_run_and_replay_of_its_detections_give_the_same_answers(desk, model, clip):
    run = ["run", "store.yaml", "--model", model, "--source", clip, "--quiet", "--tracks"]
    assert run_cli([*run, "--out", "a", "--detections", "--video", "v.mp4"]) == 0
    again = ["replay", "store.yaml", "--detections", "a/detections.txt", "--fps", "10", "--tracks"]
    assert run_cli([*again, "--size", "480x360", "--out", "b", "--quiet"]) == 0
    assert events("a") == events("b") and events("a")
    assert Path("a/tracks.txt").read_bytes() == Path("b/tracks.txt").read_bytes()
    assert Path("v.mp4").stat().st_size > 10000


@pytest.mark.data
@pytest.mark.slow
def test_six_people_who_pass_one_after_another_are_six_visitors(desk, data, model, capsys):
    video = str(data / "video" / "one-by-one-person-detection.mp4")
    run = ["run", "store.yaml", "--model", model, "--source", video, "--quiet", "--json"]
    assert run_cli(run) == 0
    assert json.loads(capsys.readouterr().out)["visitors"] == 6


@pytest.mark.data
def test_several_cameras_have_their_parts_and_the_sums_stand_on_top(desk, model, clip, capsys):
    Path("two.yaml").write_text(
        f"model: {model}\nclasses: [person]\nreference_size: [100, 100]\n"
        "lines: {middle: {from: [50, 100], to: [50, 0]}}\n"
        f"cameras: {{left: {{source: {clip}}}, right: {{source: {clip}}}}}\n"
    )
    assert run_cli(["run", "two.yaml", "--out", "a", "--json", "--quiet", "--tracks"]) == 0
    summary = json.loads(capsys.readouterr().out)
    left, right = summary["cameras"]["left"], summary["cameras"]["right"]
    assert left["lines"] == right["lines"] and left["frames"] == right["frames"] == 60
    assert summary["frames"] == 120
    assert summary["visitors"] == left["visitors"] + right["visitors"] > 0
    assert Path("a/tracks-left.txt").read_bytes() == Path("a/tracks-right.txt").read_bytes()


def make_audio(path: Path) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.zeros(8000, np.int16).tobytes())


def make_source(kind: str, clip: str) -> str:
    if kind == "missing":
        return "nowhere.mp4"
    if kind == "folder":
        Path("empty").mkdir()
        return "empty"
    if kind == "audio":
        make_audio(Path("sound.wav"))
        return "sound.wav"
    if kind == "text":
        Path("text.mp4").write_text("no video")
        return "text.mp4"
    if kind == "zero":
        Path("zero.mp4").write_bytes(b"")
        return "zero.mp4"
    if kind == "headless":
        Path("head.mp4").write_bytes(Path(clip).read_bytes()[:2000])
        return "head.mp4"
    return "rtps://127.0.0.1/x"


@pytest.mark.data
@pytest.mark.parametrize(
    "kind, code",
    [
        ("missing", 1),
        ("folder", 1),
        ("audio", 1),
        ("text", 1),
        ("zero", 1),
        ("headless", 1),
        ("scheme", 2),
    ],
)
def test_a_source_without_frames_is_told(desk, model, clip, kind, code, capsys):
    source = make_source(kind, clip)
    run = ["run", "store.yaml", "--model", model, "--source", source, "--out", "a", "--quiet"]
    error = refuse(run, source, code=code, capsys=capsys)
    assert error.count("\n") == 1


@pytest.mark.data
@pytest.mark.parametrize("kind", ["missing", "text", "truncated", "unknown", "folder"])
def test_a_model_that_is_none_is_told(desk, model, clip, kind, capsys):
    path = desk / "m.onnx"
    if kind == "text":
        path.write_text("no model")
    elif kind == "truncated":
        path.write_bytes(Path(model).read_bytes()[:100000])
    elif kind == "folder":
        path.mkdir()
    elif kind == "unknown":
        import onnx
        from onnx import TensorProto, helper

        shapes = [("x", [1, 3, 32, 32]), ("y", [1, 3, 32, 32])]
        tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes]
        node = helper.make_node("Relu", ["x"], ["y"])
        graph = helper.make_graph([node], "g", tensors[:1], tensors[1:])
        opset = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    run = ["run", "store.yaml", "--model", str(path), "--source", clip, "--out", "a", "--quiet"]
    refuse(run, "m.onnx", code=1, capsys=capsys)
    assert not Path("a/summary.json").exists()


@pytest.mark.data
def test_what_a_run_needs_is_asked_for(desk, model, clip, capsys):
    refuse(["run", "store.yaml", "--source", clip], "--model", code=2, capsys=capsys)
    refuse(["run", "store.yaml", "--model", model], "--source", code=2, capsys=capsys)
    Path("c.yaml").write_text("classes: [persn]\n")
    run = ["run", "c.yaml", "--model", model, "--source", clip, "--quiet"]
    refuse(run, "persn", "Did you mean 'person'", code=2, capsys=capsys)
    run = ["run", "store.yaml", "--model", model, "--source", clip, "--decoder", "yolx"]
    refuse(run, "yolx", "Did you mean 'yolox'", code=2, capsys=capsys)


@pytest.mark.data
def test_a_video_that_breaks_off_is_counted_as_far_as_it_goes(desk, model, clip, capsys):
    """An AVI plays up to where it was cut; an MP4 has its index at the end."""
    import cv2

    whole = cv2.VideoCapture(clip)
    writer = cv2.VideoWriter("w.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (480, 360))
    for _ in range(30):
        writer.write(whole.read()[1])
    writer.release()
    Path("cut.avi").write_bytes(Path("w.avi").read_bytes()[: Path("w.avi").stat().st_size // 2])
    run = ["run", "store.yaml", "--model", model, "--source", "cut.avi", "--out", "a"]
    assert run_cli([*run, "--quiet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert 5 < summary["frames"] < 25
    assert "ended" in " ".join(summary["warnings"])


@pytest.mark.data
@pytest.mark.slow
def test_half_the_frames_change_the_counts_by_a_tenth_at_most(desk, data, model, capsys):
    video = data / "video" / "vtest_480x360.mp4"
    half = cut(video, desk / "half.mp4", 795, every=2)
    Path("lines.yaml").write_text(
        "classes: [person]\nreference_size: [480, 360]\nlines:\n"
        "  left: {from: [150, 60], to: [150, 350]}\n"
        "  middle: {from: [240, 60], to: [240, 350]}\n"
        "  right: {from: [330, 60], to: [330, 350]}\n"
    )
    counts = []
    for source in (str(video), half):
        run = ["run", "lines.yaml", "--model", model, "--source", source, "--overwrite"]
        assert run_cli([*run, "--quiet", "--json"]) == 0
        lines = json.loads(capsys.readouterr().out)["lines"]
        counts.append([v for line in lines.values() for v in line.values()])
    full, less = np.array(counts)
    assert np.abs(full - less).sum() <= 0.1 * full.sum()
