"""RTSP cameras and what goes wrong with them, against a real server on loopback."""
# ruff: noqa: SIM117 - a server and who watches it read better apart

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from edgelane.benchmarks.soak.clips import bar_camera, bars, can_encode
from edgelane.benchmarks.soak.proxy import Proxy
from edgelane.benchmarks.soak.rtsp import RtspProcess, RtspServer
from edgelane.benchmarks.soak.servers import free_port
from edgelane.core import SourceError
from edgelane.runtime.sources import open_source

pytest.importorskip("av", reason="the RTSP server of these tests encodes with PyAV")

from viewer import Viewer  # noqa: E402

BACK_S = 15.0
"""Three times what is promised for noticing a hang and for seeing a camera that is back: the
machine may be busy."""


@pytest.fixture(scope="module")
def camera():
    return bar_camera()


@pytest.fixture(scope="module")
def clip():
    return bars()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_pictures_come_with_their_times(camera, transport):
    with RtspServer(camera) as server, Viewer(f"{server.url}?transport={transport}") as viewer:
        viewer.more(20)
        assert viewer.source.live and viewer.size == (320, 240)
        stamps = [f[1] for f in viewer.frames]
        assert abs(stamps[-1] - time.time()) < 1.0
        assert viewer.source.health()["connected"]
        image = viewer.frames[-1][3]
        assert image.max() > 180 and 40 < image.min() < 80


def test_who_joins_in_the_middle_of_a_group_of_pictures_sees_no_broken_ones():
    camera = bar_camera(gop=40)
    time.sleep(0.5)
    with RtspServer(camera) as server, Viewer(f"{server.url}?timeout=2") as viewer:
        viewer.more(10)
        for *_, image in viewer.frames:
            assert image.max() > 180 and (image < 100).mean() > 0.8


def test_pictures_come_through_gstreamer_where_it_is_there(camera):
    path = "/usr/lib/python3/dist-packages"
    probe = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst"
    environment = {**os.environ, "PYTHONPATH": path}
    found = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True)
    if found.returncode:
        pytest.skip("PyGObject with GStreamer is not installed for this Python")
    sys.path.append(path)  # the capture process looks where this one does
    try:
        with RtspServer(camera, login="joe:a b") as server:
            port = server.server_address[1]
            uri = f"rtsp://joe:a%20b@127.0.0.1:{port}/cam?backend=gstreamer&timeout=3"
            with Viewer(uri) as viewer:
                viewer.more(10)
                image = viewer.frames[-1][3]
                assert image.max() > 180 and 40 < np.median(image) < 80
                assert viewer.source.health()["tries"] == 0
    finally:
        sys.path.remove(path)


@pytest.mark.slow
def test_a_server_that_was_killed_comes_back(clip):
    port = free_port()
    first = RtspProcess(clip, port)
    with Viewer(f"{first.url}?timeout=2") as viewer:
        viewer.more()
        first.kill()
        viewer.wait(lambda: not viewer.source.health()["connected"])
        viewer.wait(lambda: viewer.source.health().get("reason") == "connection refused")
        time.sleep(1.0)
        with RtspProcess(clip, port):
            back = time.monotonic()
            viewer.more(1)
            assert time.monotonic() - back < BACK_S
            told = viewer.source.health()
            assert told["connected"] and told["reconnects"] == 1 and told["tries"] >= 2
            assert told["restarts"] == 0  # the process stayed
            absence = viewer.source.absences[-1]
            assert viewer.source.reason(absence.start, absence.end) == absence.reason


@pytest.mark.slow
def test_a_server_that_hangs_is_noticed_and_comes_back(clip):
    with RtspProcess(clip) as server, Viewer(f"{server.url}?timeout=1") as viewer:
        viewer.more()
        server.stop()
        began = time.monotonic()
        viewer.wait(lambda: not viewer.source.health()["connected"])
        assert time.monotonic() - began < BACK_S
        time.sleep(2.0)
        server.go_on()
        back = time.monotonic()
        viewer.more(1)
        assert time.monotonic() - back < BACK_S


def test_a_decoder_that_hangs_is_replaced(camera):
    with RtspServer(camera) as server, Viewer(f"{server.url}?timeout=1") as viewer:
        viewer.more()
        process = viewer.source._process
        os.kill(process.pid, signal.SIGSTOP)  # hangs as in a driver
        began = time.monotonic()
        viewer.wait(lambda: viewer.source.restarts == 1)
        assert time.monotonic() - began < BACK_S
        viewer.more()
        assert process.poll() is not None
        assert viewer.source.absences[-1].reason == "the capture hung"


def test_a_capture_process_that_dies_is_replaced(camera):
    with RtspServer(camera) as server, Viewer(server.url) as viewer:
        viewer.more()
        viewer.source._process.kill()
        viewer.wait(lambda: viewer.source.restarts == 1)
        viewer.more()
        assert viewer.source.absences[-1].reason == "the capture process died"


def test_a_connection_that_is_cut_is_made_again(camera):
    with RtspServer(camera) as server, Proxy(server.server_address[1]) as proxy:
        with Viewer(f"rtsp://127.0.0.1:{proxy.port}/cam?timeout=2") as viewer:
            viewer.more()
            proxy.cut()
            viewer.wait(lambda: viewer.source.reconnects == 1)
            viewer.more()


@pytest.mark.slow
def test_a_half_open_connection_is_noticed(camera):
    with RtspServer(camera) as server, Proxy(server.server_address[1]) as proxy:
        with Viewer(f"rtsp://127.0.0.1:{proxy.port}/cam?timeout=1") as viewer:
            viewer.more()
            proxy.hold = True  # connections stand, new ones too, and nothing comes
            viewer.wait(lambda: "no answer" in viewer.source.health().get("reason", ""))
            proxy.hold = False
            proxy.cut()
            back = time.monotonic()
            viewer.more(1)
            assert time.monotonic() - back < BACK_S


def test_a_slow_connection_gives_pictures_all_the_same(camera):
    with RtspServer(camera) as server, Proxy(server.server_address[1]) as proxy:
        proxy.delay = 0.02
        with Viewer(f"rtsp://127.0.0.1:{proxy.port}/cam") as viewer:
            viewer.more(20)
            assert viewer.source.health()["tries"] == 0


@pytest.mark.slow
def test_a_camera_that_flaps_is_asked_more_and_more_rarely(camera, caplog):
    with RtspServer(camera, die_after=45) as server:
        with Viewer(f"{server.url}?timeout=2") as viewer:
            viewer.wait(lambda: viewer.source.reconnects >= 3, 30)
            lost = list(viewer.source.absences)
            assert len(lost) >= 3 and viewer.source.restarts == 0
    # One line a minute, and one that it came back from what was told.
    assert caplog.text.count("no pictures") == 1 and caplog.text.count("pictures again") == 1


def test_a_wrong_password_is_told_without_telling_it(camera):
    with RtspServer(camera, login="joe:right") as server:
        port = server.server_address[1]
        with open_source(f"rtsp://joe:wr0ng@127.0.0.1:{port}/cam") as source:
            with pytest.raises(SourceError, match="wrong user or password") as caught:
                assert source.size
        assert "wr0ng" not in str(caught.value) and "joe" not in str(caught.value)
        with open_source(server.url) as source:
            with pytest.raises(SourceError, match="asks for a user and a password"):
                assert source.size
        # Cameras lock out who tries again and again.
        assert server.asked.count("DESCRIBE") <= 4


def test_the_right_password_is_taken_and_shown_nowhere(camera, caplog):
    with RtspServer(camera, login="joe:r1ght@pw") as server:
        port = server.server_address[1]
        uri = f"rtsp://joe:r1ght%40pw@127.0.0.1:{port}/cam"
        with Viewer(uri) as viewer:
            viewer.more()
            pid = viewer.source._process.pid
            for name in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    assert b"r1ght" not in file.read()
            assert "r1ght" not in viewer.source.uri
            viewer.source._process.kill()
            viewer.wait(lambda: viewer.source.reconnects == 1)
        assert "r1ght" not in caplog.text and "no pictures" in caplog.text


def test_a_stream_that_is_not_there_is_told(camera):
    with RtspServer(camera) as server:
        with open_source(server.url.replace("/cam", "/other") + "?open=1.5") as source:
            with pytest.raises(SourceError, match="no stream of that name"):
                assert source.size


def test_nobody_there_is_told():
    with open_source(f"rtsp://127.0.0.1:{free_port()}/cam?open=1") as source:
        with pytest.raises(SourceError, match="connection refused"):
            assert source.size


def test_what_speaks_no_rtsp_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                link.recv(1000)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                link.close()

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        with open_source(f"rtsp://127.0.0.1:{port}/cam?open=1") as source:
            with pytest.raises(SourceError, match="no RTSP camera"):
                assert source.size
        listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts


@pytest.mark.slow
def test_a_camera_that_comes_back_in_another_size_is_scaled(clip):
    port = free_port()
    first = RtspProcess(clip, port)
    with Viewer(f"{first.url}?timeout=2") as viewer:
        viewer.more()
        first.kill()
        with RtspProcess(bars((640, 360), 10), port):
            viewer.wait(lambda: viewer.source.reconnects == 1)
            viewer.more()  # `run` checks the size of each
            assert "640x360" in viewer.source.warnings[0]
            assert len(viewer.source.warnings) == 1
            viewer.more(10)
            assert viewer.source.fps == 10


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h265", "jpeg"])
def test_a_camera_that_comes_back_in_another_codec_is_seen(clip, codec):
    if not can_encode(codec):
        pytest.skip(f"this PyAV cannot encode {codec}")
    port = free_port()
    first = RtspProcess(clip, port)
    with Viewer(f"{first.url}?timeout=2") as viewer:
        viewer.more()
        first.kill()
        with RtspProcess(bars(codec=codec), port) as second:
            viewer.wait(lambda: viewer.source.reconnects == 1)
            viewer.more(10)
            image = viewer.frames[-1][3]
            assert image.max() > 180 and 40 < np.median(image) < 80
            second.kill()
            with RtspProcess(clip, port):
                viewer.wait(lambda: viewer.source.reconnects == 2)
                viewer.more(10)
        assert not viewer.source.warnings and viewer.source.restarts == 0


@pytest.mark.slow
def test_a_camera_that_sends_more_slowly_is_not_taken_for_lost(clip):
    with RtspProcess(clip) as server, Viewer(f"{server.url}?timeout=2") as viewer:
        viewer.more(20)
        server.tell(pace=0.1)  # two pictures a second
        time.sleep(3.0)
        viewer.more(4)
        server.tell(pace=1.0)
        viewer.more(20)
        assert viewer.source.health()["tries"] == 0 and not viewer.source.absences


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_pictures_of_a_stream_joined_half_way_are_whole(codec):
    if not can_encode(codec):
        pytest.skip(f"this PyAV cannot encode {codec}")
    camera = bar_camera(gop=30, codec=codec)
    time.sleep(0.5)
    with RtspServer(camera) as server, Viewer(f"{server.url}?timeout=3") as viewer:
        viewer.more(10)
        assert viewer.source.health()["tries"] == 0
        for *_, image in viewer.frames:
            assert image.max() > 180 and (image < 100).mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_camera_whose_keyframes_are_rare_comes_back(codec):
    if not can_encode(codec):
        pytest.skip(f"this PyAV cannot encode {codec}")
    camera = bar_camera(gop=100, codec=codec)  # one in five seconds
    with RtspServer(camera) as server, Proxy(server.server_address[1]) as proxy:
        with Viewer(f"rtsp://127.0.0.1:{proxy.port}/cam?open=30") as viewer:
            viewer.more()
            for count in (1, 2):
                proxy.cut()
                back = time.monotonic()
                viewer.wait(lambda count=count: viewer.source.reconnects == count)
                assert time.monotonic() - back < BACK_S
                viewer.more()
            for *_, image in viewer.frames:
                assert image.max() > 180 and (image < 100).mean() > 0.8


def test_a_connection_that_loses_bytes_gives_pictures_again(camera):
    with RtspServer(camera) as server, Proxy(server.server_address[1]) as proxy:
        with Viewer(f"rtsp://127.0.0.1:{proxy.port}/cam?timeout=2") as viewer:
            viewer.more()
            proxy.drop = 0.3
            time.sleep(2.0)
            proxy.drop = 0.0
            back = time.monotonic()
            viewer.more(10)
            assert time.monotonic() - back < BACK_S


def test_a_stream_that_changes_its_size_goes_on():
    # Without a new connection; OpenCV scales the pictures itself.
    camera = bar_camera(second=(480, 272), after=60)
    with RtspServer(camera) as server, Viewer(f"{server.url}?timeout=2") as viewer:
        viewer.wait(lambda: time.monotonic() - camera.began > 4.0)
        viewer.more(10)
        assert viewer.frames[-1][3].max() > 180 and viewer.source.reconnects == 0


@pytest.mark.slow
def test_other_cameras_do_not_notice(camera, clip):
    with RtspProcess(clip) as sick, RtspServer(camera) as well:
        with Viewer(f"{sick.url}?timeout=1") as one, Viewer(well.url) as other:
            one.more()
            sick.stop()
            one.wait(lambda: not one.source.health()["connected"])
            other.more(20)
            sick.kill()
            other.more(20)
            told = other.source.health()
            assert told["reconnects"] == told["tries"] == 0
            assert not other.source.absences


ORPHAN = """
import os, sys, time
from edgelane.runtime.sources import open_source
source = open_source(sys.argv[1])
assert source.size
print(source._process.pid, flush=True)
for _ in source:
    pass
"""


def test_a_capture_process_goes_with_the_program(camera):
    with RtspServer(camera) as server:
        parent = subprocess.Popen(
            [sys.executable, "-c", ORPHAN, server.url], stdout=subprocess.PIPE
        )
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        parent.stdout.close()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            try:
                with open(f"/proc/{child}/stat") as file:
                    if file.read().rpartition(")")[2].split()[0] == "Z":
                        return
            except OSError:
                return
            time.sleep(0.05)
        pytest.fail("the capture process outlived the program")
