"""Models are exchanged under running threads: nothing is lost, nothing fails, nothing leaks."""

import threading
import time

import numpy as np
import pytest

from edgelane.core import ModelError
from edgelane.runtime.backends import Swappable, SwappableBackend, TensorSpec
from edgelane.runtime.cuda import CudaError
from edgelane.runtime.testing import FakeBackend


class Watched:
    """A backend that answers `x + number` slowly, and notes a call after or during its end."""

    def __init__(self, number, shape=(None, 2), dtype=np.float32, output=np.float32):
        self.number, self.running, self.calls = number, 0, 0
        self.closed, self.faults = False, []
        self.inputs = (TensorSpec("x", shape, np.dtype(dtype)),)
        self.outputs = (TensorSpec("y", shape, np.dtype(output)),)
        self.metadata = {}
        self.dynamic_batch = shape[0] is None
        self.lock = threading.Lock()

    def infer(self, feeds):
        with self.lock:
            if self.closed:
                self.faults.append("used after its end")
            self.running += 1
            self.calls += 1
        time.sleep(0.0005)
        fixed = self.inputs[0].shape[0]
        if fixed is not None and len(feeds["x"]) != fixed:
            self.faults.append("a batch that it cannot take")
        answer = (feeds["x"] + self.number).astype(self.outputs[0].dtype)
        with self.lock:
            self.running -= 1
        return {"y": answer}

    def close(self):
        with self.lock:
            if self.running:
                self.faults.append("closed in the middle of a call")
            if self.closed:
                self.faults.append("closed twice")
            self.closed = True


def test_threads_infer_while_backends_are_swapped():
    """Every call is answered by one of them, and each is closed once, after its last call."""
    backends = [Watched(n) for n in range(30)]
    serving = SwappableBackend(backends[0])
    answers, errors = [], []
    last = time.monotonic() + 30

    def work(value):
        mine = []
        feeds = {"x": np.full((1, 2), value, np.float32)}
        while mine[-1:] != [29] and not errors and time.monotonic() < last:
            try:
                number = serving.infer(feeds)["y"][0, 0] - value
                mine.append(int(number))
            except Exception as error:  # shown by the assertion below
                errors.append(error)
        answers.append(mine)

    threads = [threading.Thread(target=work, args=(v,)) for v in range(4)]
    for thread in threads:
        thread.start()
    for backend in backends[1:]:
        time.sleep(0.003)
        serving.swap(backend)
    for thread in threads:
        thread.join()
    assert errors == []
    assert [b.faults for b in backends] == [[]] * len(backends)
    assert all(b.closed for b in backends[:-1])
    assert not backends[-1].closed
    for mine in answers:
        assert mine == sorted(mine)  # never an older one after a newer one
        assert mine[-1] == 29
    assert sum(map(len, answers)) == sum(b.calls for b in backends)
    serving.close()
    serving.close()
    assert backends[-1].closed
    assert backends[-1].faults == []


def test_the_old_one_is_closed_only_after_its_last_call():
    """A call that is on its way keeps it open, however long it takes."""
    old, new = Watched(1), Watched(2)
    model = Swappable(old)
    with model.lease() as first:
        with model.lease() as second:
            assert first is second is old
            model.swap(new)
            assert not old.closed
            with model.lease() as third:
                assert third is new
        assert not old.closed
    assert old.closed
    with model.lease():
        model.close()
        assert not new.closed
    assert new.closed
    with pytest.raises(ModelError, match="has been closed"), model.lease():
        pass
    late = Watched(3)
    model.swap(late)
    assert late.closed


def test_a_close_that_fails_does_not_stop_what_serves(caplog):
    """It is said in the log."""
    old, new = Watched(1), Watched(2)
    old.close = lambda: 1 / 0
    serving = SwappableBackend(old)
    serving.swap(new)
    assert "could not be closed" in caplog.text
    assert serving.infer({"x": np.zeros((1, 2), np.float32)})["y"][0, 0] == 2


def test_what_was_promised_is_kept():
    """Batches, types of feeds and of outputs stay, whatever the new form makes of them."""
    serving = SwappableBackend(Watched(0, dtype=np.int64, output=np.int64))
    engine = Watched(10, shape=(2, 2), dtype=np.int32, output=np.int32)
    serving.swap(engine)
    assert serving.dynamic_batch
    assert serving.inputs[0].dtype == np.int64
    for count in (1, 2, 5):
        x = np.arange(2 * count).reshape(count, 2)
        y = serving.infer({"x": x})["y"]
        assert y.dtype == np.int64
        assert np.array_equal(y, x + 10)
    assert engine.faults == []


@pytest.mark.parametrize(
    "other",
    [
        Watched(0, shape=(None, 3)),
        Watched(0, shape=(None, 2, 1)),
        Watched(0, dtype=np.uint8),
        FakeBackend({"z": np.zeros((1, 2))}),
    ],
)
def test_another_graph_is_refused(other):
    """Nothing is changed, and both stay open."""
    serving = SwappableBackend(Watched(1))
    with pytest.raises(ModelError, match="are other ones"):
        serving.swap(other)
    assert not other.closed
    assert serving.infer({"x": np.zeros((1, 2), np.float32)})["y"][0, 0] == 1


def test_a_device_that_fails_is_replaced_once():
    """The frames at which it failed are run again; without a replacement the error is told."""
    broken = Watched(0)

    def fail(feeds):
        time.sleep(0.002)
        raise CudaError("it broke")

    broken.infer = fail
    made = []

    def rescue(error):
        made.append(Watched(5))
        return made[-1]

    serving = SwappableBackend(broken, rescue)
    answers = []
    feeds = {"x": np.zeros((1, 2), np.float32)}
    threads = [
        threading.Thread(target=lambda: answers.append(serving.infer(feeds)["y"][0, 0]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [5.0] * 6
    assert len(made) == 1
    assert broken.closed
    alone = SwappableBackend(broken)
    with pytest.raises(CudaError, match="it broke"):
        alone.infer(feeds)
