"""Live cameras with capture processes on one model: rates, latency, one that hangs."""

import contextlib
import os
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip("cv2")

from edgelane.runtime.loop import Stream, run_loop
from edgelane.runtime.sources import open_source
from edgelane.runtime.stats import RunStats
from edgelane.runtime.synth import open_scene
from edgelane.runtime.synth.writers import render_to_file
from edgelane.runtime.testing import FakeModel, FakePipeline

CALL_S = 0.005


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    scene = open_scene("store", seed=3, fps=10, size="160x90", seconds=4, people=2)
    return render_to_file(scene, tmp_path_factory.mktemp("clip") / "store.avi")


@contextlib.contextmanager
def opened(uris):
    with contextlib.ExitStack() as stack:
        sources = {name: stack.enter_context(open_source(u, name)) for name, u in uris.items()}
        assert all(source.size == (160, 90) for source in sources.values())
        yield sources


def run(sources, seconds, meanwhile=lambda: None, fps=None, sinks=()):
    stop, stats = threading.Event(), RunStats()

    def halt():
        meanwhile()
        time.sleep(seconds)
        stop.set()

    thread = threading.Thread(target=halt)
    thread.start()
    streams = {
        n: Stream(s, lambda size: FakePipeline(), fps=(fps or {}).get(n))
        for n, s in sources.items()
    }
    run_loop(
        streams, FakeModel(seconds=CALL_S), None, stop=stop, stats=stats, sinks=sinks, workers=2
    )
    thread.join()
    return stats


def test_a_rate_below_the_cameras_own_saves_the_copies(clip, monkeypatch):
    from edgelane.runtime.sources.ring import Ring

    reads = []
    read = Ring.read
    monkeypatch.setattr(Ring, "read", lambda self, number: reads.append(1) or read(self, number))
    moments = []
    with opened({"c": f"live+file://{clip}?loop=1&speed=5"}) as sources:
        stats = run(
            sources,
            3.0,
            fps={"c": 5},
            sinks=[lambda s: s.observation and moments.append(s.observation.timestamp)],
        )
    told = stats.cameras["c"]
    assert told.frames == pytest.approx(15, abs=5)
    assert told.skipped > 5 * told.frames
    assert told.frames <= len(reads) <= told.frames + told.dropped + 2
    assert float(np.median(np.diff(moments))) == pytest.approx(0.2, abs=0.05)


@pytest.mark.slow
def test_others_do_not_notice_a_camera_that_hangs_and_comes_back(clip):
    uris = dict.fromkeys(("well", "fine", "good"), f"live+file://{clip}?loop=1")
    uris["sick"] = f"live+file://{clip}?loop=1&timeout=1"
    with opened(uris) as sources:

        def hang():
            time.sleep(1.0)
            os.kill(sources["sick"]._process.pid, signal.SIGSTOP)
            until = time.monotonic() + 20
            while time.monotonic() < until and not sources["sick"].reconnects:
                time.sleep(0.05)

        stats = run(sources, 1.0, hang)
        assert sources["sick"].reconnects == 1
    for name in ("well", "fine", "good"):
        told = stats.cameras[name]
        assert told.frames > 20 and told.dropped <= 0.1 * told.frames
        assert told.latency.quantile(0.95) < 3 * (2 * CALL_S + 0.1)
