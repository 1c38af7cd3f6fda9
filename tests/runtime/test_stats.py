"""What a run measures: quantiles of durations, latency by camera."""

import numpy as np
import pytest

from edgelane.runtime.loop import Stream, run_loop
from edgelane.runtime.stats import CameraStats, RunStats, StageTimes, Times
from edgelane.runtime.testing import FakeModel, FakePipeline, FakeSource


@pytest.mark.parametrize("scale", [1e-4, 0.02, 3.0, 40.0])
def test_quantiles_are_right_to_a_few_percent(scale):
    values = scale * np.random.default_rng(1).lognormal(0.0, 1.0, 5000)
    times = Times()
    for value in values:
        times.note(float(value))
    assert times.count == 5000 and times.wall == pytest.approx(values.sum())
    for q in (0.01, 0.5, 0.95, 0.99):
        assert times.quantile(q) == pytest.approx(np.quantile(values, q), rel=0.03)
    assert times.at_most(scale) == pytest.approx((values <= scale).sum(), abs=60)


def test_no_times_and_merged_times():
    times = Times()
    assert times.quantile(0.99) == 0.0 and times.summary_ms() == {"p50": 0, "p95": 0, "p99": 0}
    other = Times()
    other.note(0.5)
    times.merge(other)
    times.merge(other)
    assert times.count == 2 and times.quantile(0.5) == pytest.approx(0.5, rel=0.02)
    stage = StageTimes()
    stage.add(0.004, 0.002)
    assert stage.median_ms == pytest.approx(4.0, rel=0.02) and stage.cpu_ms == pytest.approx(2.0)


def test_the_summary_of_live_cameras_tells_their_latency():
    stats = RunStats({n: CameraStats(live=n != "file") for n in ("one", "two", "file")})
    for camera, seconds in (("one", 0.1), ("two", 0.3), ("file", 9.0)):
        stats.cameras[camera].latency.note(seconds)
    assert "latency_ms" not in stats.cameras["file"].summary()
    assert stats.cameras["one"].summary()["latency_ms"]["p50"] == pytest.approx(100, rel=0.02)
    assert stats.summary()["latency_ms"]["p99"] == pytest.approx(300, rel=0.02)


def test_latency_is_measured_from_capture_to_the_end_of_the_frames_work():
    source = FakeSource([0.1 * n for n in range(8)], live=True, wait=0.1)
    stats = run_loop(
        {"camera": Stream(source, lambda size: FakePipeline())},
        FakeModel(seconds=0.05),
        None,
        workers=1,
    )
    latency = stats.cameras["camera"].latency
    assert latency.count == stats.processed
    assert latency.quantile(0.0) > 0.049 and latency.quantile(0.5) < 0.15
