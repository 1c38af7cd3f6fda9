"""Motion JPEG cameras, files played live, and what goes wrong with them."""
# ruff: noqa: SIM117 - a server and who watches it read better apart

import os
import signal
import time

import cv2
import numpy as np
import pytest
from viewer import Viewer

from edgelane.benchmarks.soak.proxy import Proxy
from edgelane.benchmarks.soak.servers import MjpegServer
from edgelane.core import SourceError, UsageError
from edgelane.runtime.sources import open_source


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds at 20 frames a second, each as bright as its number."""
    path = tmp_path_factory.mktemp("clip") / "a clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20, (160, 120))
    for i in range(40):
        writer.write(np.full((120, 160, 3), 5 * i, np.uint8))
    writer.release()
    return path


def test_motion_jpeg_comes_with_its_times():
    with MjpegServer() as server, Viewer(server.url) as viewer:
        viewer.more(20)
        assert viewer.size == (320, 240)
        assert abs(viewer.frames[-1][1] - time.time()) < 1.0
        assert viewer.frames[-1][3].max() > 200


def test_motion_jpeg_that_falls_silent_is_noticed_and_comes_back():
    with MjpegServer() as server, Viewer(f"{server.url}?timeout=1") as viewer:
        viewer.more()
        server.silent = True
        viewer.wait(lambda: not viewer.source.health()["connected"])
        server.silent = False
        viewer.more()
        assert viewer.source.reconnects == 1
        assert viewer.source.absences[-1].reason == "the camera went silent"


def test_motion_jpeg_of_another_size_is_scaled():
    with MjpegServer() as server, Viewer(server.url) as viewer:
        viewer.more()
        server.size = (640, 360)
        viewer.wait(lambda: viewer.source.warnings)
        viewer.more()
        assert "640x360" in viewer.source.warnings[0]


def test_motion_jpeg_that_is_cut_is_asked_again():
    with MjpegServer() as server, Proxy(server.server_address[1]) as proxy:
        with Viewer(f"http://127.0.0.1:{proxy.port}/video.mjpg?timeout=2") as viewer:
            viewer.more()
            proxy.cut()
            viewer.wait(lambda: viewer.source.reconnects == 1)
            viewer.more()


def test_who_may_see_is_asked_for_a_password():
    with MjpegServer(login="joe:right") as server:
        port = server.server_address[1]
        with Viewer(f"http://joe:right@127.0.0.1:{port}/video.mjpg") as viewer:
            viewer.more()
            assert viewer.source.uri == f"http://***@127.0.0.1:{port}/video.mjpg"
        uri = f"http://joe:wr0ng@127.0.0.1:{port}/video.mjpg"
        with open_source(uri) as source, pytest.raises(SourceError) as caught:
            assert source.size
        assert "wrong user or password" in str(caught.value)
        assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"refuse": 404}, "no stream of that name"),
        ({"refuse": 503}, "answers 503"),
        ({"kind": "text/html"}, "no motion JPEG: the camera sends text/html"),
    ],
)
def test_what_is_no_motion_jpeg_is_told(change, told):
    with MjpegServer() as server:
        for key, value in change.items():
            setattr(server, key, value)
        with open_source(f"{server.url}?open=2") as source:
            with pytest.raises(SourceError, match=told):
                assert source.size


def test_a_file_is_played_at_its_own_rate(clip):
    began = time.monotonic()
    with open_source(f"live+file://{clip}") as source:
        assert source.live and source.size == (160, 120)
        frames = list(source)
    assert time.monotonic() - began >= 1.9
    assert len(frames) + source.dropped == 40 and frames[-1].index == 39
    gaps = np.diff([f.timestamp for f in frames if f.index >= 0])
    assert np.median(gaps) == pytest.approx(0.05, abs=0.002)
    assert abs(frames[-1].timestamp - time.time()) < 1.0
    assert abs(frames[-1].image.mean() - 195) < 8


def test_a_file_can_be_played_faster_and_over_and_over(clip):
    with Viewer(f"live+file://{clip}?speed=4&loop=1") as viewer:
        viewer.wait(lambda: viewer.frames and viewer.frames[-1][2] > 100)
        stamps = [f[1] for f in viewer.frames]
        assert stamps[-1] - stamps[0] < 3.0


def test_a_rendered_scene_can_be_played_live():
    with Viewer("live+synth://store?seed=1&size=320x180&fps=10") as viewer:
        viewer.more(3)
        assert viewer.size == (320, 180)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with open_source(f"live+file://{tmp_path}/none.mp4") as source:
        with pytest.raises(SourceError, match="does not exist"):
            assert source.size


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("live+file:///a.mp4?lop=1", "Did you mean 'loop'"),
        ("rtsp://joe:s3cret@h/cam?transport=tpc", "Did you mean 'tcp'"),
        ("rtsp://joe:s3cret@h/cam?timeout=-1", "timeout is wrong"),
        ("csi://front", "the sensor's number"),
        ("csi://0?widht=3", "Did you mean 'width'"),
        ("rstp://joe:s3cret@h/cam", "Did you mean 'rtsp'"),
    ],
)
def test_wrong_uris_are_told_without_their_secrets(uri, told):
    with pytest.raises(UsageError) as caught:
        open_source(uri)
    assert told in str(caught.value) and "s3cret" not in str(caught.value)


def test_a_device_that_is_pulled_out_is_away(monkeypatch):
    from edgelane.core import Frame
    from edgelane.runtime.sources import v4l2
    from edgelane.runtime.sources.probe import Away
    from edgelane.runtime.sources.readers import DeviceReader

    class Webcam:
        fps = 15.0

        def __init__(self, device, camera, query):
            assert (device, query) == ("/dev/video7", {"width": "64"})

        def __iter__(self):
            yield Frame(np.zeros((48, 64, 3), np.uint8), time.time() - 0.5)
            raise SourceError("gone")

        def close(self):
            pass

    monkeypatch.setattr(v4l2, "V4l2Source", Webcam)
    reader = DeviceReader("/dev/video7", {"width": "64"})
    assert time.monotonic() - reader.read().moment == pytest.approx(0.5, abs=0.2)
    with pytest.raises(Away, match="stopped giving pictures"):
        reader.read()
    reader.close()


def test_a_device_that_is_not_there_is_waited_for():
    with open_source("live+v4l2:///dev/video63?open=1") as source:
        with pytest.raises(SourceError, match="/dev/video63 does not exist"):
            assert source.size


def test_a_camera_that_needs_gstreamer_says_so_where_there_is_none():
    from edgelane.runtime.sources import gstreamer

    if gstreamer.opencv_has_gstreamer() or gstreamer.load_gst() is not None:
        pytest.skip("there is GStreamer here")
    with open_source("csi://0") as source:
        with pytest.raises(Exception, match="GStreamer is missing"):
            assert source.size


def test_pictures_that_nobody_takes_are_dropped_and_counted(clip):
    with open_source(f"live+file://{clip}?speed=4&loop=1") as source:
        frames = iter(source)
        first = next(frames)
        time.sleep(1.0)  # eighty pictures pass
        after = next(frames)
        assert after.index - first.index > 20
        assert source.dropped >= after.index - first.index - 1
        # What was skipped is gone: the picture is one of the newest.
        assert abs(after.timestamp - time.time()) < 2.5


def test_a_camera_may_come_later(clip, tmp_path):
    with MjpegServer() as server:
        server.refuse = 503
        with open_source(f"{server.url}?open=0.5") as source:
            with pytest.raises(SourceError):
                assert source.size
            source.expect((160, 120))
            server.refuse = 0
            frame = next(iter(source))
            assert frame.size == source.size == (160, 120)


def test_closing_leaves_no_process(clip):
    source = open_source(f"live+file://{clip}?loop=1")
    pid = source._process.pid
    assert source.size
    source.close()
    source.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_file_descriptors_and_processes_do_not_grow(clip):
    with Viewer(f"live+file://{clip}?loop=1&timeout=1") as viewer:
        viewer.more()
        before = len(os.listdir("/proc/self/fd"))
        for count in (1, 2, 3):
            viewer.source._process.send_signal(signal.SIGKILL)
            viewer.wait(lambda count=count: viewer.source.restarts == count)
            viewer.more()
        assert len(os.listdir("/proc/self/fd")) == before
