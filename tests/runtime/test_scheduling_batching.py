"""Whether batches pay is found out by measuring, and found out anew when things change."""

import pytest

from edgelane.runtime.scheduling.batching import CHECK_S, FAILURES, SIZES, Batching


class Device:
    """A device on which so many frames take so long."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.now = 0.0
        self.trials = []

    def serve(self, batching, waiting, seconds, budget=None):
        """Serve a backlog that never ends."""
        batching.ran(1, self.seconds(1))
        until = self.now + seconds
        while self.now < until:
            size, reference = batching.trial(waiting, self.now, budget)
            if size:
                self.trials.append(size)
                apart = sum(
                    self.seconds(min(reference, size - start))
                    for start in range(0, size, reference)
                )
                self.now += apart + self.seconds(size)
                batching.tried(size, reference, apart, self.seconds(size), True, True, self.now)
            else:
                size = batching.size(waiting, 1, None if budget is None else budget, budget or 1e9)
                self.now += self.seconds(size)
                batching.ran(size, self.seconds(size))
        return self


def test_a_device_that_gains_gets_the_largest_batch_soon():
    batching = Batching(None)
    device = Device(lambda n: 0.004 + 0.0005 * n).serve(batching, 32, 3.0)
    assert batching.best == SIZES[-1]
    assert len(device.trials) <= 2 * len(SIZES) + 2


def test_a_cpu_gains_nothing_and_is_left_in_peace():
    batching = Batching(None)
    device = Device(lambda n: 0.008 * n).serve(batching, 32, 600.0)
    assert batching.best == 1
    assert len(device.trials) < 12  # of 75 000 frames
    assert set(device.trials) == {2}


def test_a_device_that_is_full_with_a_few_stops_there():
    batching = Batching(None)
    Device(lambda n: 0.01 * max(n / 4, 1.0)).serve(batching, 32, 30.0)
    assert batching.best == 4


def test_a_batch_that_does_not_pay_any_more_is_given_up():
    """As when an engine has made way for the CPU."""
    batching = Batching(None)
    device = Device(lambda n: 0.004 + 0.0001 * n).serve(batching, 32, 5.0)
    assert batching.best == 16
    device.seconds = lambda n: 0.01 * n
    device.serve(batching, 32, 2 * CHECK_S)
    assert batching.best == 1
    device.seconds = lambda n: 0.004 + 0.0001 * n
    device.serve(batching, 32, 60.0)
    assert batching.best == 16


def test_a_graph_of_a_fixed_batch_is_filled():
    """It takes as long for one picture as for all."""
    batching = Batching(8)
    Device(lambda n: 0.01).serve(batching, 5, 2.0)
    assert batching.best == 8 and batching.size(5, 1, None) == 5
    assert batching.size(50, 1, None) == 8


def test_one_lucky_trial_changes_nothing():
    batching = Batching(None)
    batching.tried(2, 1, 1.0, 0.1, True, True, 0.0)
    assert batching.best == 1
    batching.tried(2, 1, 1.0, 1.1, True, True, 1.0)
    batching.tried(2, 1, 1.0, 0.1, True, True, 9.0)
    assert batching.best == 1


def test_a_batch_stays_within_the_budget():
    batching = Batching(None)
    Device(lambda n: 0.03 + 0.005 * n).serve(batching, 32, 20.0, budget=0.1)
    assert batching.best == 16
    sizes = {slack: batching.size(32, 1, slack, 0.1) for slack in (0.1, 0.08, 0.01, -1.0)}
    assert 10 <= sizes[0.1] <= 14
    assert sizes[0.01] == sizes[-1.0] <= sizes[0.08] < sizes[0.1]
    assert batching.seconds(sizes[0.01]) <= 0.05  # half of it where it is gone already
    assert batching.size(32, 1, None, 0.1) == 16  # a file has none


def test_a_model_that_is_slower_than_the_budget_is_not_tried():
    batching = Batching(None)
    device = Device(lambda n: 0.5 + 0.001 * n).serve(batching, 8, 20.0, budget=0.1)
    assert not device.trials and batching.best == 1


def test_a_graph_that_mixes_pictures_is_never_given_several():
    batching = Batching(None)
    batching.tried(2, 1, 1.0, 0.1, False, False, 0.0)
    assert batching.most == 1 and batching.trial(32, 1e9, None) == (0, 0)


def test_outputs_that_differ_by_rounding_are_remembered():
    batching = Batching(None)
    batching.tried(2, 1, 1.0, 0.5, True, True, 0.0)
    assert batching.exact
    batching.tried(2, 1, 1.0, 0.5, True, False, 1.0)
    assert not batching.exact and batching.best == 2


def test_batches_that_fail_are_given_up():
    batching = Batching(None)
    assert [batching.failed(float(n)) for n in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    assert batching.trial(32, 1e9, None) == (0, 0)


@pytest.mark.parametrize("most", [1, 0])
def test_a_model_of_one_picture_is_never_tried(most):
    batching = Batching(most)
    assert batching.trial(99, 0.0, None) == (0, 0) and batching.size(99, 1, None) == 1
