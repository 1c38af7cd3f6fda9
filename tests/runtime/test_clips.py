"""Clips around events: what they show, what they hide, and that they never end a run."""

import resource
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgelane.core import Detections, Event, Observation, StorageError, Tracks
from edgelane.runtime.clips.clips import Clips
from edgelane.runtime.clips.library import Library, read_clips
from edgelane.runtime.clips.pixelate import pixelate_boxes, pixelate_picture
from edgelane.runtime.clips.settings import ClipSettings
from edgelane.runtime.loop import Step

SIZE = (320, 240)
START = 1_700_000_000.0


def picture(number):
    """Noise, so that what is not pixelated differs from what is; the number's grey at the top."""
    image = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    image = cv2.resize(image[::4, ::4], SIZE, interpolation=cv2.INTER_NEAREST)
    image[:20] = number % 250
    return image


def step(number, events=(), boxes=(), camera="door", fps=10.0, classes=(0,), tracks=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    ids = np.resize(np.array(classes), len(boxes))
    found = Detections(boxes, score=np.full(len(boxes), 0.9), class_id=ids)
    stamp = START + number / fps
    seen = Observation(camera, stamp, found, SIZE, picture(number), number)
    return Step(camera, seen, tracks, list(events), None)


def crossing(number, camera="door", fps=10.0, kind="crossing"):
    return Event(camera, START + number / fps, kind, {"line": "door"})


def settings(**more):
    more = {"events": ["crossing"], "before_s": 1.0, "after_s": 1.0, "keep_free_mb": 0, **more}
    return ClipSettings(**more)


def played(folder, steps, classes=("person",), cameras=("door",), **more):
    """Run steps as a recording is run, and give the clips."""
    with Clips(settings(**more), folder, cameras, classes) as clips:
        for each in steps:
            clips(each)
    return clips, read_clips(folder)


def frames(clip):
    capture = cv2.VideoCapture(str(clip.path))
    found = []
    while True:
        good, image = capture.read()
        if not good:
            return found
        found.append(image)


def rough(image, box=None):
    """How much neighbouring pixels differ: noise does, blocks do not."""
    part = image if box is None else image[box[1] : box[3], box[0] : box[2]]
    return float(np.abs(np.diff(part.astype(float), axis=1)).mean())


BOX = (100, 60, 180, 220)


def test_a_clip_shows_what_was_before_and_after(tmp_path):
    steps = [step(n, [crossing(n)] if n == 50 else []) for n in range(100)]
    clips, (clip,) = played(tmp_path, steps)
    assert clips.written == 1 and clips.failed == 0
    assert clip.start == START + 4.0 and clip.end == START + 6.0
    assert clip.events == (crossing(50).id,) and clip.pixelated == "people"
    assert clip.path.name == "20231114-221325Z-door-crossing.mp4"
    assert clip.bytes == clip.path.stat().st_size
    shown = frames(clip)
    assert len(shown) == 21 and shown[0].shape == (240, 320, 3)
    greys = [int(image[5:15, :].mean()) for image in shown]
    assert greys[0] == pytest.approx(40, abs=4) and greys[-1] == pytest.approx(60, abs=4)


def test_people_are_pixelated_and_the_rest_is_not(tmp_path):
    steps = [step(n, [crossing(n)] if n == 30 else [], [BOX]) for n in range(60)]
    _, (clip,) = played(tmp_path, steps)
    for image in frames(clip):
        inner = (BOX[0] + 8, BOX[1] + 8, BOX[2] - 8, BOX[3] - 8)
        assert rough(image, inner) < 0.5 * rough(image, (200, 60, 300, 220))


def test_a_person_that_the_detector_misses_for_a_moment_is_pixelated(tmp_path):
    steps = [
        step(n, [crossing(n)] if n == 30 else [], [BOX] if n % 6 == 0 else []) for n in range(60)
    ]
    _, (clip,) = played(tmp_path, steps)
    clear = rough(picture(0), (200, 60, 300, 220))
    assert all(rough(image, (110, 70, 170, 210)) < 0.5 * clear for image in frames(clip))


def test_a_person_that_only_the_tracker_expects_is_pixelated(tmp_path):
    one = np.array([1])
    box = np.array([BOX], np.float32)
    tracks = Tracks(one, box, box, np.array([0.5]), np.array([0]), one < 1, one > 0, one[:0])
    steps = [step(n, [crossing(n)] if n == 30 else [], tracks=tracks) for n in range(60)]
    _, (clip,) = played(tmp_path, steps)
    assert rough(frames(clip)[5], (110, 70, 170, 210)) < 0.5 * rough(picture(0))


def test_other_classes_are_left_clear_unless_there_are_no_people_to_know(tmp_path):
    steps = [step(n, [crossing(n)] if n == 30 else [], [BOX], classes=(1,)) for n in range(60)]
    inner = (110, 70, 170, 210)
    _, (clip,) = played(tmp_path / "a", steps, classes=("person", "cart"))
    clear = rough(frames(clip)[5], inner)
    _, (clip,) = played(tmp_path / "b", steps, classes=("thing", "cart"))
    assert rough(frames(clip)[5], inner) < 0.5 * clear


@pytest.mark.parametrize("how", ["picture", "off"])
def test_all_of_the_picture_or_nothing(tmp_path, how):
    steps = [step(n, [crossing(n)] if n == 30 else [], [BOX]) for n in range(60)]
    _, (clip,) = played(tmp_path, steps, pixelate=how)
    shown, clear = rough(frames(clip)[5], (0, 30, 320, 240)), rough(picture(5), (0, 30, 320, 240))
    assert clip.pixelated == how
    assert shown < 0.5 * clear if how == "picture" else shown > 0.7 * clear


def test_a_model_that_knows_nobody_shows_nobody(tmp_path, caplog):
    steps = [step(n, [crossing(n)] if n == 30 else []) for n in range(60)]
    _, (clip,) = played(tmp_path, steps, classes=())
    assert clip.pixelated == "picture"
    assert rough(frames(clip)[5], (0, 30, 320, 240)) < 0.5 * rough(picture(0))
    assert "the model knows no person, so all of the picture is pixelated" in caplog.text


def test_blocks_keep_nothing_of_a_face():
    image = picture(0)
    before = image.copy()
    assert pixelate_boxes(image, np.array([BOX])) is image
    part = image[BOX[1] : BOX[3], BOX[0] : BOX[2]].reshape(-1, 3)
    assert len(np.unique(part, axis=0)) <= 8 * 13
    assert (image[:, 250:] == before[:, 250:]).all()
    assert pixelate_boxes(picture(0), np.array([[-50, -50, 5, 5], [1e6, 0, 1e7, 9]])).shape
    assert pixelate_boxes(picture(0), np.array([[np.nan, 0, 5, 5]])).shape
    assert len(np.unique(pixelate_picture(picture(0)).reshape(-1, 3), axis=0)) <= 24 * 20


def test_events_that_follow_each_other_share_a_clip(tmp_path):
    steps = [step(n, [crossing(n)] if n in (30, 35, 38, 90) else []) for n in range(130)]
    _, found = played(tmp_path, steps)
    assert [len(clip.events) for clip in found] == [3, 1]
    assert found[0].start == START + 2.0 and found[0].end == pytest.approx(START + 4.8)


def test_endless_events_make_clips_of_bounded_length(tmp_path):
    steps = [step(n, [crossing(n)]) for n in range(200)]
    _, found = played(tmp_path, steps, longest_s=4.0)
    assert len(found) >= 5 and all(clip.end - clip.start <= 4.01 for clip in found)
    assert {e for clip in found for e in clip.events} == {crossing(n).id for n in range(200)}


def test_only_kinds_asked_for_and_each_camera_its_own(tmp_path):
    steps = []
    for n in range(80):
        events = [crossing(n, kind="entry")] if n == 20 else [crossing(n)] if n == 30 else []
        steps += [step(n, events), step(n, [crossing(n, "till")] if n == 50 else [], camera="till")]
    _, found = played(tmp_path, steps, cameras=("door", "till"))
    assert [clip.camera for clip in found] == ["door", "till"]


def test_a_slow_camera_keeps_true_time(tmp_path):
    steps = [step(n, [crossing(n, fps=2.0)] if n == 20 else [], fps=2.0) for n in range(40)]
    _, (clip,) = played(tmp_path, steps, before_s=3.0, after_s=3.0)
    assert clip.end - clip.start == pytest.approx(6.0) and 55 <= len(frames(clip)) <= 65


def test_wide_pictures_are_made_smaller_and_a_fast_camera_thinned(tmp_path):
    steps = [step(n, [crossing(n, fps=50.0)] if n == 100 else [], fps=50.0) for n in range(200)]
    _, (clip,) = played(tmp_path, steps, width=161, fps=5.0)
    assert frames(clip)[0].shape == (120, 160, 3) and 9 <= len(frames(clip)) <= 12


def test_avi_has_no_pictures_that_hang_together(tmp_path):
    steps = [step(n, [crossing(n)] if n == 30 else []) for n in range(60)]
    _, (clip,) = played(tmp_path, steps, format="avi")
    assert clip.path.suffix == ".avi" and len(frames(clip)) == 21


def test_the_oldest_go_where_the_budget_is_spent(tmp_path):
    steps = [step(n, [crossing(n)] if n % 40 == 20 else []) for n in range(400)]
    _, before = played(tmp_path / "all", steps)
    size = before[0].bytes
    _, found = played(tmp_path, steps, budget_mb=3.5 * size / 1e6)
    assert [c.events for c in found] == [c.events for c in before[-len(found) :]]
    assert 2 <= len(found) <= 4 and sum(c.bytes for c in found) <= 3.5 * size
    files = {p.name for p in (tmp_path / "clips").glob("*.mp4")}
    assert files == {clip.path.name for clip in found}
    with sqlite3.connect(str(tmp_path / "clips" / "clips.db")) as table:
        (links,) = table.execute("SELECT count(*) FROM clip_events").fetchone()
    assert links == len(found)


def test_clips_are_kept_for_days_alone_where_that_is_asked_for(tmp_path):
    steps = [step(n, [crossing(n)] if n in (30, 90) else []) for n in range(130)]
    played(tmp_path, steps)
    later = time.time() + 3 * 86400
    library = Library(tmp_path, 1e9, keep_s=4 * 86400, clock=lambda: later)
    library.expire()
    assert len(read_clips(tmp_path)) == 2
    library = Library(tmp_path, 1e9, keep_s=2 * 86400, clock=lambda: later)
    library.expire()
    library.close()
    assert read_clips(tmp_path) == [] and not list((tmp_path / "clips").glob("*.mp4"))


def test_a_disk_without_room_is_told_and_counting_goes_on(tmp_path, caplog):
    steps = [step(n, [crossing(n)] if n == 30 else []) for n in range(60)]
    clips, found = played(tmp_path, steps, keep_free_mb=1e7)
    assert found == [] and clips.failed == 1
    assert clips.told()[1] == ["clips are not written: the disk has no room for clips"]
    assert "one cannot be written" in caplog.text


CUT = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_clips import Clips, crossing, read_clips, settings, step
with Clips(settings(format="avi"), Path(sys.argv[1]), ["door"], ["person"]) as clips:
    resource.setrlimit(resource.RLIMIT_FSIZE, (150000, 150000))
    for n in range(60):
        clips(step(n, [crossing(n)] if n == 30 else []))
found = read_clips(sys.argv[1])
print(len(found), clips.failed, [p.name for p in Path(sys.argv[1]).glob("clips/*.avi")])
"""


def test_a_file_that_is_cut_off_is_no_clip(tmp_path):
    assert resource.RLIMIT_FSIZE
    command = [sys.executable, "-c", CUT, str(tmp_path), str(Path(__file__).resolve().parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[0] == "0 1 []", done.stderr


def test_what_a_kill_left_half_is_removed(tmp_path):
    steps = [step(n, [crossing(n)] if n == 30 else []) for n in range(60)]
    _, (clip,) = played(tmp_path, steps)
    (tmp_path / "clips" / ".part-x.mp4").write_bytes(b"half")
    clip.path.unlink()
    later = [step(n + 1000, [crossing(n + 1000)] if n == 30 else []) for n in range(60)]
    _, found = played(tmp_path, later)
    assert [c.events for c in found] == [(crossing(1030).id,)]
    assert not list((tmp_path / "clips").glob(".part*"))


def test_a_live_camera_does_not_wait(tmp_path, monkeypatch):
    hold = threading.Event()
    with Clips(settings(), tmp_path, ["door"], live=["door"]) as clips:
        add = clips._recorders["door"].add
        clips._recorders["door"].add = lambda *a: hold.wait(10) and add(*a)
        took = []
        for number in range(60):
            each = step(number, [crossing(number)] if number == 30 else [])
            began = time.perf_counter()
            clips(each)
            took.append(time.perf_counter() - began)
        assert clips.skipped > 40 and sorted(took)[-5] < 0.2
        hold.set()


def test_a_run_that_is_asked_to_stop_does_not_wait_for_clips(tmp_path):
    stop = threading.Event()
    with Clips(settings(), tmp_path, ["door"], live=["door"], stop=stop) as clips:
        for number in range(8):
            clips(step(number, [crossing(number)]))
        clips._recorders["door"].finish = lambda: time.sleep(20)
        stop.set()
        began = time.monotonic()
    assert time.monotonic() - began < 3.0


def test_a_clip_is_finished_when_no_picture_comes(tmp_path, monkeypatch):
    from edgelane.runtime.clips import clips as module

    monkeypatch.setattr(module, "QUIET_S", 0.1)
    with Clips(settings(), tmp_path, ["door"]) as clips:
        for number in range(31):
            clips(step(number, [crossing(number)] if number == 30 else []))
        ends = time.monotonic() + 10
        while not read_clips(tmp_path) and time.monotonic() < ends:
            time.sleep(0.05)
        (clip,) = read_clips(tmp_path)
        assert clip.end == START + 3.0


def test_memory_is_bounded(tmp_path):
    with Clips(settings(before_s=60, longest_s=120, memory_mb=0.5), tmp_path, ["door"]) as clips:
        for number in range(300):
            clips(step(number))
        time.sleep(0.3)
        recorder = clips._recorders["door"]
        assert recorder._bytes <= 0.5e6
        assert recorder._bytes == sum(len(s.jpeg) for s in recorder._shots)


def test_without_clips_there_are_none(tmp_path):
    assert read_clips(tmp_path) == []
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "clips.db").write_bytes(b"no table")
    with pytest.raises(StorageError, match="cannot be read"):
        read_clips(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": []}, {"before_s": -1}, {"after_s": 99}, {"before_s": 0, "after_s": 0},
        {"budget_mb": 0}, {"pixelate": "blur"}, {"fps": 0}, {"width": 1}, {"format": "gif"},
        {"longest_s": 1}, {"keep_days": 0}, {"memory_mb": 0}, {"keep_free_mb": -1},
    ],
)  # fmt: skip
def test_wrong_settings(wrong):
    with pytest.raises(ValueError):
        settings(**wrong)
