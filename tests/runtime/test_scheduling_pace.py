"""Frames are picked at an even pace, also where clocks jitter and after a restart."""

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.runtime.scheduling.pace import Pace, pace_of

RATES = st.sampled_from([1.0, 4.0, 5.0, 7.0, 10.0, 12.5, 15.0, 25.0, 29.97, 30.0, 60.0])


def times(fps, seconds, jitter=0.0, start=0.0, seed=1):
    n = np.arange(int(seconds * fps))
    return start + n / fps + jitter / fps * np.random.default_rng(seed).uniform(-0.5, 0.5, len(n))


@settings(max_examples=80, deadline=None)
@given(RATES, RATES, st.booleans(), st.floats(0, 0.4), st.floats(0, 5), st.integers(0, 99))
def test_the_rate_is_the_one_asked_for_and_even(source, wanted, live, jitter, start, seed):
    start += 1_700_000_000.0 if live else 0.0
    pace = pace_of(wanted, live, None if live else source)
    stamps = times(source, 40.0, jitter, start, seed)
    if pace is None:
        assert source <= 1.02 * wanted
        return
    picked = np.array([t for t in stamps if pace.take(float(t))])
    rate = min(source, wanted)
    assert len(picked) == pytest.approx(40.0 * rate, rel=0.02, abs=2)
    assert pace.skipped == len(stamps) - len(picked)
    # No two of them further from the even distance than frames of the source allow; the first of a
    # file need not lie on its grid.
    off = np.abs(np.diff(picked if live else picked[1:]) - 1 / rate)
    assert off.max() <= (1.01 + 2 * jitter) / source + 1e-6


@pytest.mark.parametrize("fps", [5, 15, 30])
def test_a_camera_at_its_own_rate_loses_nothing_although_its_clock_jitters(fps):
    pace = Pace(fps, live=True)
    stamps = times(fps, 60.0, 0.8, 1e9)
    assert sum(pace.take(float(t)) for t in stamps) >= 0.995 * len(stamps)


@settings(max_examples=40, deadline=None)
@given(RATES, RATES, st.integers(1, 200), st.floats(0, 0.3))
def test_a_file_that_is_gone_on_with_gives_the_frames_it_would_have_given(source, wanted, cut, jit):
    stamps = [float(t) for t in times(source, 20.0, jit)]
    pace = Pace(wanted, False, source)
    whole = [(t, pace.number) for t in stamps if pace.take(t)]
    at = min(cut, len(whole) - 1)
    again = Pace(wanted, False, source)
    again.reached(whole[at][0])
    rest = [(t, again.number) for t in stamps if t > whole[at][0] and again.take(t)]
    assert rest == whole[at + 1 :]


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_is_set_does_not_stop_the_frames(step):
    pace = Pace(5, live=True)
    stamps = times(30, 20.0, 0.1, 1e9)
    stamps[300:] += step
    picked = [i for i, t in enumerate(stamps) if pace.take(float(t))]
    assert len(picked) == pytest.approx(100, abs=3)
    assert max(np.diff(picked)) <= 8


def test_a_camera_that_pauses_goes_on_at_its_pace():
    pace = Pace(2, live=True)
    stamps = np.concatenate((times(10, 5.0), times(10, 5.0, start=65.0)))
    picked = [float(t) for t in stamps if pace.take(float(t))]
    assert len(picked) == pytest.approx(20, abs=2)
    assert min(np.diff(picked)) > 0.35


def test_all_frames_are_wanted_without_a_rate():
    assert pace_of(None, True, 30.0) is None and pace_of(30, False, 29.97) is None
    assert pace_of(30, True, 25.0) is not None  # what a live camera says of itself may be wrong
