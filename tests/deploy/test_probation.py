"""A release that does worse is taken back by itself."""

import pytest

from edgelane.core import UsageError
from edgelane.deploy import Layout, Limits, Probation, Sample, install, probation, running

LIMITS = Limits(duration_s=300, grace_s=30, stall_s=20, slow_s=60)


def samples(fps, until=400, alive=lambda t: True, crashes=lambda t: 0, start=1000.0):
    """One every five seconds; `fps` tells frames a second of the camera `door` by the second."""
    frames = 0.0
    for second in range(until + 1):
        frames += fps(second)
        if second % 5 == 0:
            yield Sample(start + second, alive(second), crashes(second), {"door": int(frames)})


def judge(found, before=15.0):
    watch = Probation(LIMITS, {"door": before})
    for sample in found:
        verdict = watch.feed(sample)
        if verdict.action != "watch":
            return verdict, sample.at - 1000.0
    return verdict, None


def test_one_that_does_as_before_is_kept_after_its_time():
    assert judge(samples(lambda t: 14.5)) == (("keep", ""), 300.0)


def test_a_slow_start_is_no_fault():
    verdict, _ = judge(samples(lambda t: 0 if t < 25 else 15))
    assert verdict.action == "keep"


@pytest.mark.parametrize(
    ("found", "reason", "latest"),
    [
        (samples(lambda t: 15, crashes=lambda t: t // 20), "crashed 3 times", 60),
        (samples(lambda t: 15, alive=lambda t: t < 40), "has not run", 60),
        (samples(lambda t: 0), "gives no frames", 30),
        (samples(lambda t: 15 if t < 100 else 0), "stood still", 125),
        (samples(lambda t: 15 if t < 100 else 8), "down to 8.0 frames a second from 15.0", 185),
    ],
)
def test_a_crash_a_stall_a_lost_or_slow_camera_takes_it_back(found, reason, latest):
    verdict, at = judge(found)
    assert verdict.action == "back" and reason in verdict.reason
    assert at <= latest


def test_a_short_hiccup_is_forgiven():
    verdict, _ = judge(samples(lambda t: 5 if 100 < t < 130 else 15))
    assert verdict.action == "keep"


def test_a_restart_counts_its_frames_anew_without_harm():
    found = [s._replace(frames={"door": s.frames["door"] - (2000 if s.at >= 1150 else 0)})
             for s in samples(lambda t: 15)]  # fmt: skip
    assert judge(found)[0].action == "keep"


def test_a_camera_that_was_lost_before_is_not_missed():
    assert judge(samples(lambda t: 0), before=0.0)[0].action == "keep"


def test_what_is_down_at_the_end_is_not_kept_yet():
    verdict, _ = judge(samples(lambda t: 15, until=305, alive=lambda t: t < 295))
    assert verdict.action == "watch"


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(UsageError):
        Probation(Limits(speed=2.0), {})


def test_on_a_device_it_goes_back_or_counts_as_good(shop, device):
    first = install(shop.bundle(1), device).release
    second = install(shop.bundle(2), device, probation_s=600.0).release
    assert Layout(device).read_state().good == [first]
    done = probation(samples(lambda t: 0), device, before={"door": 15.0}, limits=LIMITS)
    assert done.action == "back" and running(device).id == first
    third = install(shop.bundle(3), device, probation_s=600.0).release
    done = probation(samples(lambda t: 15), device, before={"door": 15.0}, limits=LIMITS)
    assert done.action == "keep" and running(device).id == third
    assert third in Layout(device).read_state().good
    assert second not in Layout(device).read_state().good
    # Nothing is watched any more.
    assert probation([], device, before={}).action == "keep"


def test_a_device_that_starts_again_and_again_goes_back(shop, device):
    first = install(shop.bundle(1), device).release
    install(shop.bundle(2), device, probation_s=600.0)
    for _ in range(LIMITS.starts):
        assert probation([], device, before={}, limits=LIMITS).action == "watch"
    assert probation([], device, before={}, limits=LIMITS).action == "back"
    assert running(device).id == first
