"""Annotated video: true time, and what is told when it cannot be written or shown."""

import threading

import numpy as np
import pytest

from edgelane.core import Detections, MissingDependency, Observation, StorageError, UsageError
from edgelane.runtime import video
from edgelane.runtime.loop import Step
from edgelane.runtime.sources import open_source
from edgelane.runtime.video import VideoSink, VideoWriter, WindowSink, check_display

cv2 = pytest.importorskip("cv2")


def grey(value, size=(64, 48)):
    return np.full((size[1], size[0], 3), value, np.uint8)


def shown(path):
    """Grey level of each frame."""
    with open_source(path) as source:
        return [round(float(f.image.mean())) for f in source]


def test_a_steady_stream_is_written_frame_by_frame(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", 10, (64, 48)) as writer:
        for index in range(20):
            writer.write(grey(10 * index), index / 10)
    assert shown(tmp_path / "out.mp4") == pytest.approx([10 * i for i in range(20)], abs=5)
    with open_source(tmp_path / "out.mp4") as source:
        assert source.fps == 10
        assert source.size == (64, 48)


def test_slow_frames_are_repeated_and_fast_ones_left_out_so_that_time_is_true(tmp_path):
    times = [100.0, 100.1, 100.5, 100.52, 100.54, 100.6, 101.0]
    with VideoWriter(tmp_path / "out.mp4", 10, (64, 48)) as writer:
        for value, moment in zip(range(0, 210, 30), times):
            writer.write(grey(value), moment)
    # 0.0, 0.1 (to 0.5), 0.5 was replaced at once by 0.54, 0.6 (to 1.0), 1.0
    assert shown(tmp_path / "out.mp4") == pytest.approx(
        [0, 30, 30, 30, 30, 120, 150, 150, 150, 150, 180], abs=4
    )


def test_a_long_gap_is_shortened(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "LONGEST_GAP_S", 1.0)
    with VideoWriter(tmp_path / "out.avi", 5, (64, 48)) as writer:
        writer.write(grey(10), 0.0)
        writer.write(grey(200), 86_400.0)
        writer.write(grey(200), 86_400.2)
    assert shown(tmp_path / "out.avi") == pytest.approx([10] * 5 + [200, 200], abs=3)


@pytest.mark.parametrize(("fps", "used"), [(None, 25), (2000.0, 60), (0.1, 1), (12.5, 12.5)])
def test_odd_rates_are_brought_into_range(tmp_path, fps, used):
    with VideoWriter(tmp_path / "out.avi", fps, (64, 48)) as writer:
        assert writer.fps == used


def test_an_unknown_ending_is_told(tmp_path):
    with pytest.raises(UsageError, match="unknown ending: got '.webm', expected one of .mp4"):
        VideoWriter(tmp_path / "out.webm", 10, (64, 48))


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(StorageError, match="No such file.*--video"):
        VideoWriter(tmp_path / "none" / "out.mp4", 10, (64, 48))


def test_a_full_disk_is_told_while_writing(tmp_path, monkeypatch):
    writer = VideoWriter(tmp_path / "out.avi", 10, (64, 48))

    class Full:
        f_bavail, f_frsize = 1, 4096

    monkeypatch.setattr(video.os, "statvfs", lambda _: Full)
    with pytest.raises(StorageError, match="the disk is full"):
        for index in range(200):
            writer.write(grey(0), index / 10)
    writer.close()


def step(index, camera="door"):
    picture = grey(index)
    return Step(
        camera,
        Observation(camera, index / 10, Detections.empty(), (64, 48), picture, index),
        None,
        [],
        None,
    )


def test_the_sink_writes_its_own_camera_and_passes_over_steps_without_a_picture(tmp_path):
    sink = VideoSink(tmp_path / "out.mp4", 10, (64, 48), lambda s: s.observation.image, "door")
    for index in (0, 100):
        sink(step(index // 10))
        sink(step(200, "yard"))
    sink = VideoSink(
        tmp_path / "b.mp4", 10, (64, 48), lambda s: s.observation and s.observation.image
    )
    for index in range(5):
        sink(step(index))
    sink(Step("door", None, None, [], None))
    sink.close()
    assert len(shown(tmp_path / "b.mp4")) == 5


@pytest.mark.parametrize(
    ("display", "words"),
    [
        ("", "DISPLAY is not set"),
        (":6789", "DISPLAY=:6789, where nothing answers"),
        ("odd", "nothing answers"),
    ],
)
def test_a_missing_display_is_told(monkeypatch, display, words):
    monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(UsageError, match=words):
        check_display()


def test_opencv_without_windows_is_told(monkeypatch):
    monkeypatch.setattr(video, "check_display", lambda: None)

    def refuse(*_):
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(MissingDependency, match="without windows"):
        WindowSink(lambda s: None, threading.Event())


def test_a_key_ends_the_run(monkeypatch):
    monkeypatch.setattr(video, "check_display", lambda: None)
    keys = iter([-1, ord("q")])
    shows = []
    for name, fake in {
        "namedWindow": lambda *_: None,
        "resizeWindow": lambda *_: None,
        "imshow": lambda _, image: shows.append(int(image[0, 0, 0])),
        "waitKey": lambda _: next(keys),
        "getWindowProperty": lambda *_: 1.0,
        "destroyWindow": lambda _: None,
    }.items():
        monkeypatch.setattr(cv2, name, fake)
    stop = threading.Event()
    sink = WindowSink(lambda s: s.observation.image, stop)
    sink(step(1))
    assert not stop.is_set()
    sink(step(2))
    assert stop.is_set()
    sink(step(3))
    assert shows == [1, 2]
    sink.close()
