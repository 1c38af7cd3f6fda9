"""Sources: true times, the ends of files, and a sentence for all that is no source."""

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgelane.core import Frame, SourceError, UsageError
from edgelane.runtime.sources import Source, open_source, register
from edgelane.runtime.sources.file import natural

cv2 = pytest.importorskip("cv2")
FILES = Path(__file__).parent / "files"
MILLISECONDS = [
    0, 33, 66, 100, 300, 333, 366, 500, 900, 920, 940, 960, 1000, 1500, 1533, 1566, 2000, 2100,
    2133, 2500,
]  # fmt: skip


def jpeg(path, value=100, size=(64, 48)):
    assert cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))


def mp4(path, count=30, fps=10):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (64, 48))
    for index in range(count):
        writer.write(np.full((48, 64, 3), 8 * index % 256, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("name", ["variable_rate_b_frames.mp4", "variable_rate_late_start.mkv"])
def test_a_variable_rate_file_with_b_frames_keeps_its_times(name):
    with open_source(FILES / name, "door") as source:
        frames = list(source)
    assert [f.timestamp for f in frames] == [ms / 1000 for ms in MILLISECONDS]
    assert [f.index for f in frames] == list(range(20))
    assert {f.camera for f in frames} == {"door"}
    # Frame i is grey 10 * i: each time belongs to its own picture.
    assert [round(float(np.median(f.image)) / 10) for f in frames] == list(range(20))
    assert not source.warnings
    assert not source.live


@pytest.mark.parametrize("start", [0, 1, 7, 8, 13, 19])
def test_winding_gives_the_same_frames_with_the_same_times(start):
    with open_source(FILES / "variable_rate_b_frames.mp4") as source:
        whole = list(source)
        source.seek(start)
        part = list(source)
    assert [(f.index, f.timestamp) for f in part] == [(f.index, f.timestamp) for f in whole[start:]]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(part, whole[start:]))


def test_winding_past_the_end_gives_nothing():
    with open_source(FILES / "variable_rate_b_frames.mp4") as source:
        source.seek(99)
        assert list(source) == []


def test_a_file_without_times_counts_frames_and_says_so():
    with open_source(FILES / "no_times.h264") as source:
        times = [f.timestamp for f in source]
    assert times == [round(i / 25, 6) for i in range(30)]
    assert "keeps no times" in source.warnings[0]


def test_a_steady_file_has_times_at_its_rate(tmp_path):
    with open_source(mp4(tmp_path / "a b?.mp4")) as source:
        assert source.size == (64, 48)
        assert source.fps == 10
        assert source.frames == 30
        assert [f.timestamp for f in source] == [i / 10 for i in range(30)]


def test_a_file_uri_is_a_file(tmp_path):
    path = mp4(tmp_path / "my video.mp4")
    with open_source(path.as_uri()) as source:
        assert len(list(source)) == 30


def test_a_file_that_ends_early_says_where(tmp_path):
    path = tmp_path / "cut.mkv"
    whole = (FILES / "variable_rate_late_start.mkv").read_bytes()
    path.write_bytes(whole[:1500])
    with open_source(path) as source:
        frames = list(source)
    assert 3 <= len(frames) < 20
    assert f"ended at {frames[-1].timestamp:.1f} s of" in source.warnings[0]


@pytest.mark.data
def test_half_a_real_video_plays_to_where_it_ends(data, tmp_path):
    whole = (data / "video" / "one-by-one-person-detection.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 4])
    with open_source(tmp_path / "half.mp4") as source:
        count = sum(1 for _ in source)
    assert 100 < count < 1000
    assert source.frames == 1394
    assert "of 139.4 s" in source.warnings[0]


def test_a_video_whose_index_is_cut_off_is_told(tmp_path):
    whole = mp4(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="truncated: its index"):
        open_source(tmp_path / "cut.mp4")


def test_sound_alone_is_told(tmp_path):
    with pytest.raises(SourceError, match="sound but no picture"):
        open_source(FILES / "sound_only.mp4")
    (tmp_path / "a.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100))
    with pytest.raises(SourceError, match="sound but no picture"):
        open_source(tmp_path / "a.wav")


def test_a_video_of_no_frames_is_told(tmp_path):
    with pytest.raises(SourceError, match="a.mp4 "):
        open_source(mp4(tmp_path / "a.mp4", count=0))
    (tmp_path / "b.mp4").write_bytes(b"")
    with pytest.raises(SourceError, match="is empty"):
        open_source(tmp_path / "b.mp4")


def test_what_is_no_video_is_told_without_noise(tmp_path):
    """In a process of its own: FFmpeg asks once how loud it may be."""
    (tmp_path / "a.mp4").write_text("no video at all" * 50)
    code = (
        "from edgelane.core import SourceError\n"
        "from edgelane.runtime.sources import open_source\n"
        "for name in ('a.mp4', 'none.mp4'):\n"
        "    try:\n"
        "        open_source(name)\n"
        "    except SourceError as error:\n"
        "        print(error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "is no video" in first and "does not exist" in second
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("v4l3:///dev/video0", "unknown scheme 'v4l3'. Did you mean 'v4l2'"),
        ("http//x", "does not exist"),
        ("no_such_module:Camera", "cannot be imported"),
        ("os.path:Camera", "cannot be imported"),
    ],
)
def test_an_unknown_source_is_told(uri, words):
    with pytest.raises((UsageError, SourceError), match=words):
        open_source(uri)


def test_an_unknown_key_is_told(tmp_path):
    jpeg(tmp_path / "1.jpg")
    with pytest.raises(UsageError, match="unknown key 'fsp'. Did you mean 'fps'"):
        open_source(f"{tmp_path}?fsp=3")
    for wrong in ("0", "-1", "nan", "fast", ""):
        with pytest.raises(UsageError, match="fps is wrong"):
            open_source(f"{tmp_path}?fps={wrong}")


def test_images_come_in_natural_order_at_the_asked_rate(tmp_path):
    for number in (10, 2, 1):
        jpeg(tmp_path / f"img{number}.jpg", value=number * 10)
    (tmp_path / "notes.txt").write_text("no image")
    with open_source(f"{tmp_path}?fps=4") as source:
        frames = list(source)
        assert [round(float(f.image.mean())) for f in frames] == [10, 20, 100]
        assert [f.timestamp for f in frames] == [0, 0.25, 0.5]
        assert (source.frames, source.fps, source.duration) == (3, 4, 0.75)
        assert not source.warnings
        source.seek(2)
        assert [f.index for f in source] == [2]


def test_images_without_a_rate_take_ten_and_say_so(tmp_path):
    jpeg(tmp_path / "1.png")
    with open_source(tmp_path) as source:
        assert source.fps == 10
        assert "add ?fps=" in source.warnings[0]


def test_a_motchallenge_sequence_knows_its_rate(tmp_path):
    (tmp_path / "img1").mkdir()
    jpeg(tmp_path / "img1" / "000001.jpg")
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nname=X\nframeRate=14\n")
    with open_source(tmp_path / "img1") as source:
        assert source.fps == 14
        assert not source.warnings


def test_images_that_cannot_be_read_or_differ_in_size_are_passed_over(tmp_path):
    (tmp_path / "0.jpg").write_bytes(b"broken")
    jpeg(tmp_path / "1.jpg")
    jpeg(tmp_path / "2.jpg", size=(32, 32))
    (tmp_path / "3.jpg").write_bytes(b"")
    jpeg(tmp_path / "4.jpg")
    with open_source(f"{tmp_path}?fps=1") as source:
        assert [f.timestamp for f in source] == [1, 4]
    assert "passed over 2 images that cannot be read (0.jpg, 3.jpg)" in source.warnings[0]
    assert "passed over 1 image whose size is not 64x48" in source.warnings[1]


def test_a_folder_without_images_is_told(tmp_path):
    with pytest.raises(SourceError, match="holds no images"):
        open_source(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"broken")
    with pytest.raises(SourceError, match="none of its 1 images can be read"):
        open_source(tmp_path)


def test_numbers_sort_by_value():
    names = ["b2", "a10", "a9", "A1", "10", "9"]
    assert sorted(names, key=natural) == ["9", "10", "A1", "a9", "a10", "b2"]


def test_a_scheme_of_ones_own_is_registered():
    class Own(Source):
        def __init__(self, location, camera, query):
            self.uri, self.camera, self.query = location, camera, query
            self.size = (4, 4)

        def __iter__(self):
            yield Frame(np.zeros((4, 4, 3), np.uint8), 0.0, self.camera)

    register("own", Own)
    with open_source("own://there?seed=1", "door") as source:
        assert (source.uri, source.query) == ("there", {"seed": "1"})
        assert [f.camera for f in source] == ["door"]
        with pytest.raises(SourceError, match="cannot be wound"):
            source.seek(3)


def test_a_class_of_ones_own_is_called(tmp_path, monkeypatch):
    (tmp_path / "mycam.py").write_text(
        "class Camera:\n    def __init__(self, camera, rate):\n"
        "        self.camera, self.rate = camera, rate\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = open_source("mycam:Camera?rate=5", "door")
    assert (source.camera, source.rate) == ("door", "5")


class FakeCapture:
    """Stands in for cv2.VideoCapture on a camera device."""

    made = []
    frames = 3

    def __init__(self, *args):
        self.args, self.asked, self.left = args, {}, self.frames
        self.released = False
        self.made.append(self)

    def isOpened(self):
        return True

    def set(self, key, value):
        self.asked[key] = value

    def get(self, key):
        if key == cv2.CAP_PROP_POS_MSEC:
            return (time.monotonic() - 0.25) * 1e3
        return 30.0

    def grab(self):
        self.left -= 1
        return self.left >= 0

    def retrieve(self):
        return True, np.zeros((48, 64, 3), np.uint8)

    def read(self):
        return True, np.zeros((48, 64, 3), np.uint8)

    def release(self):
        self.released = True


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    real = os.stat

    def fake(path, *args, **kwargs):
        if str(path) == "/dev/video7":
            return os.stat_result((stat.S_IFCHR | 0o660, 0, 0, 1, 0, 0, 0, 0, 0, 0))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", fake)
    monkeypatch.setattr(os, "access", lambda *_: True)
    FakeCapture.made.clear()


def test_a_camera_gives_unix_time_of_the_moment_of_capture(device):
    source = open_source("v4l2:///dev/video7?width=64&height=48&fps=30&format=MJPG", "door")
    capture = FakeCapture.made[-1]
    assert capture.args == ("/dev/video7", cv2.CAP_V4L2)
    assert capture.asked[cv2.CAP_PROP_FRAME_WIDTH] == 64
    assert capture.asked[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter_fourcc(*"MJPG")
    assert source.live
    assert source.size == (64, 48)
    frames = []
    with pytest.raises(SourceError, match="stopped giving frames.*cable"):
        for frame in source:
            frames.append(frame)
            assert frame.timestamp == pytest.approx(time.time() - 0.25, abs=0.1)
    assert [f.index for f in frames] == [0, 1, 2]
    source.close()
    assert capture.released
    source.close()


def test_a_bare_device_is_a_camera_and_tells_what_it_cannot_do(device):
    source = open_source("/dev/video7?width=1920")
    assert "has no width of 1920: it gives 64x48" in source.warnings[0]
    with pytest.raises(UsageError, match="format is wrong"):
        open_source("/dev/video7?format=JPEGS")


def test_closing_a_camera_ends_its_iteration(device, monkeypatch):
    monkeypatch.setattr(FakeCapture, "frames", 10**9)
    source = open_source("/dev/video7")
    thread = threading.Thread(target=lambda: [None for _ in source])
    thread.start()
    source.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_missing_camera_is_told(tmp_path):
    with pytest.raises(SourceError, match="does not exist.*plugged in"):
        open_source("v4l2:///dev/video99")
    plain = tmp_path / "video0"
    plain.write_text("x")
    with pytest.raises(SourceError, match="is no camera device"):
        open_source(f"v4l2://{plain}")
