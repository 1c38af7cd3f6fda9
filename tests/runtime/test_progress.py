"""Progress: one rewritten line on a terminal, plain lines elsewhere."""

import io

import pytest

from edgelane.runtime.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Time:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Time()


def test_plain_lines_come_every_few_seconds(clock):
    out = io.StringIO()
    progress = Progress("run", stream=out, clock=clock)
    for index in range(1, 201):
        clock.now += 0.125
        progress.update(index, index / 400)
    progress.close()
    lines = out.getvalue().splitlines()
    assert 4 <= len(lines) <= 6
    assert lines[0].startswith("run  10 %  40 frames  8.0/s  0:45 left")
    assert "\r" not in out.getvalue()


def test_a_terminal_line_is_rewritten_and_left_at_the_end(clock):
    out = Terminal()
    progress = Progress(stream=out, clock=clock)
    for index in range(1, 101):
        clock.now += 0.05
        progress.update(index, index / 100)
    progress.close()
    text = out.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert 20 <= text.count("\r") <= 30
    assert "100 %" in text.split("\r")[-1]
    assert "0:05 taken" in text.split("\r")[-1]


def test_work_without_an_end_tells_its_rate(clock):
    progress = Progress(stream=io.StringIO(), clock=clock)
    clock.now += 3700
    progress.update(37_000)
    assert progress.text(clock.now) == "37,000 frames  10.0/s  1:01:40"


def test_a_restart_in_the_middle_counts_from_there(clock):
    progress = Progress(stream=io.StringIO(), clock=clock)
    progress.update(1, 0.5)
    clock.now += 10
    progress.update(100, 0.75)
    assert "0:10 left" in progress.text(clock.now)


def test_work_that_ends_early_tells_the_time_taken(clock):
    out = io.StringIO()
    progress = Progress(stream=out, clock=clock)
    clock.now += 3
    progress.update(30, 0.25)
    progress.close()
    assert out.getvalue() == " 25 %  30 frames  10.0/s  0:03 taken\n"


def test_a_stream_that_is_closed_does_not_stop_the_work(clock):
    out = io.StringIO()
    progress = Progress(stream=out, clock=clock)
    out.close()
    for index in range(100):
        clock.now += 1
        progress.update(index)
    progress.close()
    assert out.closed


def test_short_work_leaves_a_terminal_clean(clock):
    out = Terminal()
    progress = Progress(stream=out, clock=clock)
    progress.update(1, 0.1)
    progress.close()
    assert out.getvalue() == ""
