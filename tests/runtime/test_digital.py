"""Digital lines: every kind keeps the same contract; parts are put out in time or not passed."""

import fcntl
import os
import struct

import pytest

from edgelane.core import SourceError, UsageError
from edgelane.runtime.digital import Rejecter, open_input, open_output
from edgelane.runtime.digital import chardev as chips
from edgelane.runtime.digital.base import Encoder
from edgelane.runtime.digital.reject import Driver, Heartbeat
from edgelane.runtime.digital.trigger import Triggered
from edgelane.runtime.testing import FakeInput, FakeOutput, FakeSource


class Kernel:
    """What Linux makes of the ioctls of a GPIO chip, with pipes for edges."""

    def __init__(self, monkeypatch, tmp_path):
        self.levels, self.lows, self.pipes = {}, set(), {}
        self.handles = {}
        self.chip = str(tmp_path / "gpiochip0")
        open(self.chip, "w").close()
        monkeypatch.setattr(chips.fcntl, "ioctl", self.ioctl)
        monkeypatch.setattr(chips, "_ask", self._asked(chips._ask))

    def _asked(self, real):
        def ask(chip, line, code, request):
            return real(self.chip if chip == "/dev/gpiochip0" else chip, line, code, request)

        return ask

    def ioctl(self, file, code, argument=0, mutate=False):
        if code == chips.GET_HANDLE:
            values = list(struct.unpack("=64II64B32sIi", argument))
            line, flags = values[0], values[64]
            assert values[-2] == 1 and values[-3].rstrip(b"\0") == b"edgelane" and flags & 2
            if line in self.levels or line > 30:
                raise OSError(16 if line in self.levels else 22, "Device or resource busy")
            read, write = os.pipe()
            self.handles[write], self.levels[line] = line, bool(values[65])
            if flags & 4:
                self.lows.add(line)
            values[-1] = write
            argument[:] = struct.pack("=64II64B32sIi", *values)
        elif code == chips.GET_EVENT:
            line, flags, edges, name, _ = struct.unpack("=III32si", argument)
            assert flags & 1 and edges in (1, 2)
            read, self.pipes[line] = os.pipe()
            argument[:] = struct.pack("=III32si", line, flags, edges, name, read)
        elif code == chips.SET_VALUES:
            if file not in self.handles:
                raise OSError(9, "Bad file descriptor")
            self.levels[self.handles[file]] = bool(argument[0])
        else:
            raise AssertionError(hex(code))
        return 0

    def edge(self, line, seconds):
        os.write(self.pipes[line], struct.pack("=QI4x", int(seconds * 1e9), 1))


@pytest.fixture(params=["chip", "sysfs", "fake"])
def output(request, monkeypatch, tmp_path):
    """A function that opens line 7, and one that tells whether it is on."""
    if request.param == "chip":
        kernel = Kernel(monkeypatch, tmp_path)
        return (lambda **k: open_output("/dev/gpiochip0", 7, **k)), lambda: kernel.levels[7]
    if request.param == "sysfs":
        folder = tmp_path / "gpio7"
        folder.mkdir()
        (folder / "value").write_text("0")
        value = folder / "value"
        return (
            lambda **k: open_output(f"sysfs:{tmp_path}", 7, **k)
        ), lambda: value.read_text() == "1"
    line = FakeOutput()

    def opened(on=False):
        line.set(on)
        return line

    return opened, lambda: line.on


def test_an_output_is_what_it_was_told_and_keeps_it_when_it_is_closed(output):
    opened, is_on = output
    with opened(on=True) as line:
        assert is_on()
        line.set(False)
        assert not is_on()
        line.set(True)
    assert is_on()
    with pytest.raises(SourceError):
        line.set(False)


def test_the_ioctls_are_those_of_linux():
    assert (chips.GET_HANDLE, chips.GET_EVENT) == (0xC16CB403, 0xC030B404)
    assert chips.SET_VALUES == 0xC040B409


def test_a_line_that_is_not_there_is_one_sentence(monkeypatch, tmp_path):
    with pytest.raises(SourceError, match="line 3 of /dev/gpiochip77 cannot be had"):
        open_output("/dev/gpiochip77", 3)
    with pytest.raises(SourceError, match="line 3 of .* cannot be had"):
        open_output(f"sysfs:{tmp_path / 'none'}", 3)
    with pytest.raises(UsageError, match="no digital line at 'gpio'"):
        open_output("gpio", 3)
    with pytest.raises(UsageError, match="Did you mean 'rising'"):
        open_input("/dev/gpiochip0", 3, "risin")
    Kernel(monkeypatch, tmp_path)
    open_output("/dev/gpiochip0", 5)
    with pytest.raises(SourceError, match="busy"):
        open_output("/dev/gpiochip0", 5)


def test_the_kernel_tells_when_edges_came(monkeypatch, tmp_path):
    kernel = Kernel(monkeypatch, tmp_path)
    with open_input("/dev/gpiochip0", 4) as line:
        assert line.edges() == []
        for moment in (12.5, 12.75):
            kernel.edge(4, moment)
        assert line.edges(0.1) == [12.5, 12.75] and line.edges() == []


def test_sysfs_tells_edges_of_the_wanted_kind(tmp_path):
    folder = tmp_path / "gpio9"
    folder.mkdir()
    (folder / "value").write_text("0")
    with open_input(f"sysfs:{tmp_path}", 9, "falling") as line:
        assert (folder / "direction").read_text() == "in"
        (folder / "value").write_text("1")
        assert line.edges() == []
        (folder / "value").write_text("0")
        assert len(line.edges()) == 1 and line.edges() == []


def rejecter(**more):
    line = FakeOutput(lambda: 0.0)
    return Rejecter(line, **{"delay": 1.0, "pulse": 0.1, **more}), line


def test_a_part_is_put_out_when_it_has_reached_the_place():
    out, line = rejecter()
    assert line.on  # nothing is known yet of what passes: nothing passes
    assert out.part(1, True, 10.0, 10.05) and not line.on
    assert out.part(2, False, 10.5, 10.55)
    out.advance(10.99)
    assert not line.on
    out.advance(11.0)
    assert line.on and out.put_out == 1
    out.advance(11.1)
    assert not line.on
    out.advance(11.6)
    assert not line.on and out.put_out == 1
    assert out.facts()["latency_ms"]["median"] == pytest.approx(50, rel=0.02)


def test_two_parts_close_to_each_other_make_one_long_pulse():
    out, line = rejecter()
    out.part(1, True, 10.0, 10.1)
    out.part(2, True, 10.05, 10.15)
    out.advance(11.0)
    out.advance(11.06)
    out.advance(11.12)
    assert line.on and out.put_out == 2
    out.advance(11.17)
    assert not line.on


@pytest.mark.parametrize("safe", [True, False])
def test_a_verdict_that_comes_too_late_sets_the_safe_level_until_one_is_in_time(safe):
    told = []
    out, line = rejecter(safe=safe, missed=lambda part, late: told.append((part, round(late, 3))))
    out.part(1, False, 9.0, 9.1)
    assert not out.part(2, False, 10.0, 11.2)
    assert line.on is safe and told == [(2, 0.2)] and out.late == 1
    out.advance(11.5)
    assert line.on is safe
    assert out.part(3, False, 11.4, 11.6) and not line.on


def test_where_missed_parts_pass_a_pulse_still_begins_and_ends():
    """A part that is known to be bad is put out in full, and those after it are let pass."""
    out, line = rejecter(safe=False)
    out.part(1, True, 10.0, 10.1)
    assert not out.part(2, False, 9.0, 10.5) and not line.on
    out.advance(11.0)
    assert line.on
    assert not out.part(3, False, 10.0, 11.05) and line.on
    out.unseen()
    assert line.on
    out.advance(11.1)
    assert not line.on and out.put_out == 1 and out.late == 3


def test_after_an_error_the_safe_level_stays():
    out, line = rejecter()
    out.part(1, True, 10.0, 10.1)
    out.fail()
    out.advance(11.0)
    out.advance(12.0)
    assert line.on


def test_a_trigger_without_a_picture_sets_the_safe_level():
    out, line = rejecter()
    out.part(1, False, 10.0, 10.1)
    out.unseen()
    out.advance(10.5)
    assert line.on and out.late == 1


def test_an_encoder_tells_where_the_part_is_whatever_the_belt_does():
    counts = FakeInput(lambda: 0.0)
    encoder = Encoder(counts)
    out, line = rejecter(encoder=encoder, counts=10)
    for k in range(5):
        counts.edge(9.0 + 0.1 * k)
    assert out.part(1, True, 9.25, 9.5)  # its picture was taken at count 3
    assert encoder.at(9.25) == 3 and encoder.at(8.0) == 0
    out.advance(100.0)  # the belt stands
    assert not line.on
    for k in range(8):
        counts.edge(100.0 + 0.1 * k)
    out.advance(100.8)
    assert encoder.count == 13 and line.on
    for _ in range(10):
        counts.edge(101.0)
    assert not out.part(2, True, 100.05, 101.1)  # 16 counts on already
    assert out.late == 1


def test_the_heart_beats_as_long_as_all_is_well():
    line = FakeOutput(lambda: 0.0)
    heart = Heartbeat(line, period=1.0, within=2.0)
    heart.advance(0.0)
    assert not line.on
    heart.beat(0.0)
    states = []
    for k in range(1, 9):
        heart.advance(0.5 * k)
        states.append(line.on)
    assert states == [True, False, True, False, False, False, False, False]
    heart.beat(5.0)
    heart.advance(5.0)
    assert line.on
    heart.stop()
    heart.beat(6.0)
    heart.advance(6.0)
    assert not line.on


def test_a_driver_lets_time_pass_and_tells_of_a_line_that_fails():
    line = FakeOutput()
    failed = []
    heart = Heartbeat(line, period=0.01, within=1e9)
    heart.beat(0.0)
    with Driver(__import__("time").monotonic, (heart,), failed.append) as driver:
        until = driver._clock() + 5
        while len(line.changes) < 6 and driver._clock() < until:
            driver._done.wait(0.01)
        line.error = SourceError("gone")
        driver.join(5)
    assert len(line.changes) >= 6 and len(failed) == 1


def test_one_frame_passes_for_each_edge_and_an_edge_without_one_is_missed():
    line = FakeInput()
    missed = []
    source = FakeSource([100 + 0.1 * k for k in range(30)], live=True)
    got = Triggered(source, line, delay=0.05, within=0.15, missed=lambda: missed.append(1),
                    clocks=lambda: (1000.0, 900.0))  # fmt: skip
    line.edge(0.32)  # Unix 100.32, seen from 100.37 on
    line.edge(1.0)
    line.edge(-1.0)  # so long ago that no frame came in time
    line.edge(9.0)  # after the last one
    assert [round(f.timestamp, 1) for f in got] == [100.4, 101.1]
    assert got.unseen == len(missed) == 2
    assert got.triggers == 4 and got.live and got.size == (64, 48)


def test_the_ioctl_is_the_real_one_outside_of_tests():
    assert chips.fcntl is fcntl
