"""Parts of live sources that need no camera: addresses, pauses, times, memory, pipelines."""

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from edgelane.core import SourceError, UsageError
from edgelane.runtime.sources import gstreamer, live, open_source
from edgelane.runtime.sources.address import mask, parse_address
from edgelane.runtime.sources.backoff import Backoff
from edgelane.runtime.sources.mjpeg import _end
from edgelane.runtime.sources.network import _own
from edgelane.runtime.sources.probe import authorization
from edgelane.runtime.sources.ring import Ring, make_memory, slots_of
from edgelane.runtime.sources.timeline import Timeline
from edgelane.runtime.testing import FakeClock

# Addresses


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://joe:s3cret@10.0.0.1/cam",
        "rtsp://joe:s3cret@h@10.0.0.1/cam",
        "rtsp://joe:s3/cret@10.0.0.1/cam",
        "cannot open 'http://joe:s3cret@10.0.0.1/cam' now",
        "http://10.0.0.1/cam?user=joe&pwd=s3cret&channel=1",
        "rtsp://10.0.0.1/u?x=1&token=s3cret",
    ],
)
def test_secrets_are_starred_out(text):
    shown = mask(text)
    assert "joe" not in shown and "cret" not in shown
    assert "10.0.0.1" in shown and "***" in shown


def test_an_address_without_secrets_stays_as_it_is():
    assert mask("rtsp://10.0.0.1:8554/a/b?channel=1") == "rtsp://10.0.0.1:8554/a/b?channel=1"


def test_an_address_is_taken_apart():
    found = parse_address("rtsp://joe:p%40ss@[fe80::1]:8554/a/b?channel=1&subtype=0")
    assert (found.host, found.port, found.user, found.password) == ("fe80::1", 8554, "joe", "p@ss")
    assert found.url == "rtsp://[fe80::1]:8554/a/b?channel=1&subtype=0"
    assert found.secret_url == "rtsp://joe:p%40ss@[fe80::1]:8554/a/b?channel=1&subtype=0"
    assert "p@ss" not in repr(found) and "p%40ss" not in repr(found)
    plain = parse_address("http://cam/video.mjpg")
    assert (plain.port, plain.user, plain.secret_url) == (80, None, "http://cam:80/video.mjpg")


def test_a_password_may_hold_marks():
    found = parse_address("rtsp://joe:a@b:c@10.0.0.1/cam")
    assert (found.user, found.password, found.host) == ("joe", "a@b:c", "10.0.0.1")


@pytest.mark.parametrize("uri", ["rtsp:///cam", "rtsp://joe:s3cret@/cam", "rtsp://h:99999/"])
def test_an_address_without_host_is_told_without_its_password(uri):
    with pytest.raises(UsageError, match="no host") as caught:
        parse_address(uri)
    assert "s3cret" not in str(caught.value)


def test_the_cameras_own_query_stays_with_it():
    address, own = _own("rtsp://h/real?channel=1&transport=udp&subtype=0&timeout=2")
    assert address == "rtsp://h/real?channel=1&subtype=0"
    assert own == {"transport": "udp", "timeout": "2"}


def test_digest_is_that_of_the_standard():
    # The example of RFC 2617, 3.5, without qop as computed by its formulas.
    address = parse_address("rtsp://Mufasa:Circle Of Life@host/dir/index.html")
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    told = authorization(challenge, address, "GET", "/dir/index.html")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in told
    assert authorization("Basic realm=x", address, "GET").startswith("Basic TXVmYXNhOk")


# Pauses


def test_pauses_double_with_jitter_up_to_a_limit():
    longest = Backoff(0.25, 2.0, chance=lambda: 1.0)
    assert [longest.pause() for _ in range(5)] == [0.25, 0.5, 1.0, 2.0, 2.0]
    shortest = Backoff(0.25, 2.0, chance=lambda: 0.0)
    assert [shortest.pause() for _ in range(4)] == [0.1875, 0.375, 0.75, 1.5]


def test_a_camera_that_flaps_is_not_asked_at_once_each_time():
    backoff = Backoff(0.25, 2.0, stable_s=5.0, chance=lambda: 1.0)
    pauses = []
    for start in range(0, 100, 10):
        for now in range(3):  # three seconds of pictures, then none
            backoff.good(start + now)
        pauses.append(backoff.pause())
    assert pauses[-1] == 2.0
    for now in (200, 203, 206):
        backoff.good(now)
    assert backoff.pause() == 0.25


# Times


class SteppedClock(FakeClock):
    def step(self, seconds):
        self._start += seconds


def test_a_clock_set_forward_is_followed_at_once():
    clock = SteppedClock()
    line = Timeline(clock)
    clock.advance(10)
    clock.step(3600)
    assert line.unix(clock.monotonic()) == clock.time()
    assert line.steps == [3600]


def test_a_clock_set_back_never_turns_time_back():
    clock = SteppedClock()
    line = Timeline(clock)
    before = line.unix(clock.monotonic())
    clock.step(-3600)
    times = [before]
    for _ in range(3600):
        clock.advance(1)
        times.append(line.unix(clock.monotonic()))
    steps = np.diff(times)
    assert (steps > 0.97).all() and (steps < 1.001).all()
    assert times[-1] - clock.time() == pytest.approx(3600 - 0.02 * 3600, abs=1)
    clock.advance(60 * 3600)
    line.unix(clock.monotonic())
    clock.advance(1)
    assert line.unix(clock.monotonic()) == pytest.approx(clock.time(), abs=0.1)


def test_time_goes_on_after_what_an_earlier_run_has_reached():
    clock = SteppedClock()
    line = Timeline(clock)
    reached = clock.time() + 500
    line.not_before(reached)
    assert line.unix(clock.monotonic()) > reached


def test_the_time_between_two_runs_is_known_although_the_clock_was_set_back():
    clock = SteppedClock()
    line = Timeline(clock)
    clock.step(-3600)
    clock.advance(10)
    reached, lead = line.unix(clock.monotonic()), line.lead()
    assert lead == pytest.approx(3600, abs=1)
    clock.advance(300)
    later = Timeline(clock)  # of another process
    assert later.lead() == 0
    later.not_before(reached, lead)
    assert later.unix(clock.monotonic()) - reached == pytest.approx(300, abs=0.1)
    later.not_before(reached, lead)  # told by each camera
    assert later.unix(clock.monotonic()) - reached == pytest.approx(300, abs=0.1)


def test_a_clock_set_back_while_nothing_ran_turns_nothing_back():
    clock = SteppedClock()
    reached = Timeline(clock).unix(clock.monotonic())
    clock.advance(300)
    clock.step(-3600)
    later = Timeline(clock)
    later.not_before(reached, 0.0)
    assert 0 < later.unix(clock.monotonic()) - reached < 0.1


# Memory


def test_pictures_cross_between_two_views_of_the_ring():
    memory = make_memory()
    writer, reader = Ring(memory), Ring(os.dup(memory))
    for size in ((64, 48), (320, 240), (32, 24)):  # grows, and never shrinks
        writer.shape(size)
        reader.shape(size)
        for number in range(2 * writer.slots):
            image = np.full((size[1], size[0], 3), number, np.uint8)
            writer.write(number, image)
            assert (reader.read(number) == image).all()
    writer.close()
    reader.close()


def test_the_ring_is_bounded_and_knows_what_was_overwritten():
    assert slots_of((64, 48)) == 8 and slots_of((3840, 2160)) == 3
    memory = make_memory()
    ring = Ring(memory)
    ring.shape((64, 48))
    # Told of 7: number 8 may be on its way into the slot of 0, not into that of 1.
    assert not ring.intact(0, 7) and ring.intact(1, 7)
    ring.close()


def test_a_thumbnail_does_not_end_a_jpeg():
    segment = b"\xff\xd8\xff\xdb\x00\x04ab\xff\xd9"
    app = b"\xff\xe1" + (2 + len(segment)).to_bytes(2, "big") + segment
    coded = b"\xff\xda\x00\x04xy" + b"12\xff\x0034\xff\xd056" + b"\xff\xd9"
    data = bytearray(b"--b\r\n" + b"\xff\xd8" + app + coded + b"\r\n--b")
    start = data.find(b"\xff\xd8\xff")
    assert data[start : _end(data, start, 0)[0]].endswith(b"56\xff\xd9")
    scan = 0
    for length in range(start + 3, len(data)):  # byte by byte as it may come
        end, scan = _end(data[:length], start, scan)
        if end:
            break
    assert end == data.rfind(b"\xff\xd9") + 2


# Pipelines of GStreamer


def test_a_machine_without_room_for_a_process_is_waited_for(tmp_path, monkeypatch):
    """It is one sentence at the start, and a camera that is away later; nothing is left open."""
    uri = "live+synth://store?seed=1&fps=5&size=64x48&people=0"
    popen = subprocess.Popen

    def full(*words, **more):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(live.subprocess, "Popen", full)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SourceError, match="no capture process can be started for door"):
        open_source(uri, "door")
    assert len(os.listdir("/proc/self/fd")) <= before
    monkeypatch.setattr(live.subprocess, "Popen", popen)
    with open_source(uri, "door") as source:
        frames = iter(source)
        next(frames)
        monkeypatch.setattr(live.subprocess, "Popen", full)
        source._replace("the capture hung")
        source._respawn = 0.0
        source._pump(0.0)
        told = source.health()
        assert not told["connected"] and "Resource temporarily" in told["reason"]
        monkeypatch.setattr(live.subprocess, "Popen", popen)
        assert next(frames).size == (64, 48) and source.health()["connected"]


def test_pipelines_of_a_jetson():
    assert gstreamer.csi_pipeline(0) == (
        "nvarguscamerasrc sensor-id=0 ! "
        "video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 ! nvvidconv ! "
        "video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink name=sink drop=true max-buffers=1 sync=false"
    )
    assert "sensor-id=1" in gstreamer.csi_pipeline(1, flip=2)
    assert "nvvidconv flip-method=2 !" in gstreamer.csi_pipeline(1, flip=2)
    address = parse_address("rtsp://joe:s3cret word@h/cam?channel=1&subtype=0")
    line = gstreamer.rtsp_pipeline(address, "h264", "tcp", 100, True)
    assert line.startswith(
        'rtspsrc location="rtsp://h:554/cam?channel=1&subtype=0" user-id=joe '
        'user-pw="s3cret word" latency=100 protocols=tcp ! rtph264depay ! h264parse ! '
        "nvv4l2decoder enable-max-performance=1 ! nvvidconv ! "
    )
    assert "rtph265depay ! h265parse" in gstreamer.rtsp_pipeline(address, "h265", "udp", 1, True)
    soft = gstreamer.rtsp_pipeline(address, "h264", "udp", 100, False)
    assert "avdec_h264 ! videoconvert" in soft and " nv" not in soft
    assert gstreamer.usb_pipeline("/dev/video0", 1280, 720, 29.97).startswith(
        "v4l2src device=/dev/video0 ! image/jpeg,width=1280,height=720,framerate=29970/1000 ! "
        "jpegparse ! nvv4l2decoder mjpeg=1 ! nvvidconv ! "
    )


def test_no_word_can_break_out_of_a_pipeline():
    word = 'a" ! filesink location=/etc/passwd \\'
    quoted = gstreamer.quoted(word)
    assert shlex.split(quoted) == [word]


SYSTEM_GST = """
import sys
sys.path += ["/usr/lib/python3/dist-packages"]
from edgelane.runtime.sources.gstreamer import GstReader, load_gst, SINK
gst = load_gst()
if gst is None:
    sys.exit(77)
reader = GstReader(
    gst, "videotestsrc num-buffers=5 pattern=red ! video/x-raw,width=322,height=24 ! "
    "videoconvert ! video/x-raw,format=BGR ! " + SINK.replace("drop=true ", ""), 5.0)
image = reader.read().image
assert image.shape == (24, 322, 3), image.shape
assert (image[..., 2] > 200).all() and (image[..., :2] < 60).all()
try:
    while True:
        reader.read()
except Exception as error:
    print("ended:", error)
reader.close()
"""


def test_an_appsink_gives_pictures():
    """For real where this Python can load Debian's PyGObject."""
    done = subprocess.run(
        [sys.executable, "-c", SYSTEM_GST], capture_output=True, text=True, timeout=60
    )
    if done.returncode == 77:
        pytest.skip("PyGObject with GStreamer is not installed for this Python")
    assert done.returncode == 0, done.stderr
    assert "ended: the stream broke off" in done.stdout
