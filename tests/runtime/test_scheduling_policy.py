"""Whose frame is next and which has to go, in a world of its own clock."""

import heapq
import itertools

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.core import UsageError
from edgelane.runtime.scheduling import Batching, Scheduler
from edgelane.runtime.scheduling.policy import MOST_WAITING


class World:
    """Cameras that give frames at their rates, and workers that take so long for each.

    Attributes:
        served: By camera `(number, seconds from capture to the end of its turn)`.
        dropped: By camera the numbers that had to make way.
    """

    def __init__(self, scheduler, rates, workers=1, service=0.01, live=True, phase=0.0, **more):
        self.scheduler, self.workers, self.service = scheduler, workers, service
        self.rates = rates
        self.served = {name: [] for name in rates}
        self.dropped = {name: [] for name in rates}
        self.offered = dict.fromkeys(rates, 0)
        self.most = dict.fromkeys(rates, 0)
        self.sizes = []
        priorities = more.pop("priorities", {})
        for name in rates:
            scheduler.add(name, live, priorities.get(name, 1.0), **more)
        self._phase = phase

    def run(self, seconds):
        """Let so many seconds pass."""
        ties = itertools.count()
        todo = []
        for i, (name, rate) in enumerate(self.rates.items()):
            for n in range(int(seconds * rate)):
                moment = (n + self._phase * i / len(self.rates)) / rate
                heapq.heappush(todo, (moment, next(ties), "frame", name, n))
        free, now = self.workers, 0.0
        while todo:
            now, _, what, name, given_ = heapq.heappop(todo)
            if what == "frame":
                self.offered[name] += 1
                gone = self.scheduler.offer(name, (given_, now), given_, now, now)
                self.dropped[name] += [number for number, _ in gone]
                self.most[name] = max(self.most[name], self.scheduler.waiting(name))
            else:
                free += 1
                for pick in given_:
                    self.scheduler.release(pick.camera)
            while free:
                turn = self.scheduler.take(now, free)
                if turn is None:
                    break
                free -= 1
                self.sizes.append(len(turn.picks))
                end = now + self.service * len(turn.picks)
                for pick in turn.picks:  # in the order in which they are passed on
                    number, since = pick.item
                    self.served[pick.camera].append((number, end - since))
                heapq.heappush(todo, (end, next(ties), "done", "", turn.picks))
        return self

    def count(self):
        return {name: len(frames) for name, frames in self.served.items()}


def names(n):
    return [f"c{i}" for i in range(n)]


rates = st.lists(st.sampled_from([1.0, 5.0, 7.0, 12.5, 30.0]), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(rates, st.integers(1, 3), st.sampled_from([0.002, 0.03, 0.2]), st.floats(0, 1))
def test_whatever_comes_frames_stay_in_order_and_none_is_lost_from_sight(given_, n, service, phase):
    """Offered is served, dropped or waiting; memory is bounded; nobody starves."""
    world = World(Scheduler(n), dict(zip(names(len(given_)), given_)), n, service, phase=phase).run(
        6.0
    )
    for name, frames in world.served.items():
        numbers = [number for number, _ in frames]
        assert numbers == sorted(set(numbers))
        dropped = world.scheduler.dropped(name)
        assert world.offered[name] == len(numbers) + dropped + world.scheduler.waiting(name)
        assert world.most[name] <= MOST_WAITING
        if world.offered[name]:
            assert numbers


@settings(max_examples=60, deadline=None)
@given(rates, st.integers(1, 3), st.floats(0, 1))
def test_a_device_that_keeps_up_drops_nothing(given_, workers, phase):
    """At half of what it could do, whatever the mixture of rates."""
    service = 0.5 * workers / sum(given_)
    if service > 0.5 / max(given_):
        service = 0.5 / max(given_)
    service = min(service, 0.1 * workers / len(given_))  # all may come at the same moment
    world = World(
        Scheduler(workers, 0.1), dict(zip(names(len(given_)), given_)), workers, service,
        phase=phase,
    ).run(5.0)  # fmt: skip
    assert all(world.scheduler.dropped(name) == 0 for name in world.rates)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(1, 3), st.sampled_from([0.02, 0.05, 0.11]), st.floats(0, 1))
def test_equal_cameras_get_equal_shares(n, workers, service, phase):
    world = World(Scheduler(workers), dict.fromkeys(names(n), 30.0), workers, service, phase=phase)
    counts = world.run(20.0).count().values()
    assert max(counts) - min(counts) <= 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=2, max_size=6), st.floats(0, 1))
def test_priorities_are_shares_of_a_busy_device(weights, phase):
    priorities = dict(zip(names(len(weights)), weights))
    world = World(
        Scheduler(1), dict.fromkeys(priorities, 50.0), 1, 0.02, phase=phase, priorities=priorities
    )
    served = world.run(40.0).count()
    whole = sum(served.values())
    for name, weight in priorities.items():
        # A camera cannot have more than it gives; what it leaves is shared by the others.
        wanted = weight / sum(weights)
        if all(1.1 <= w / sum(weights) * 50 <= 49 for w in weights):
            assert served[name] / whole == pytest.approx(wanted, rel=0.05, abs=2 / whole)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 10), st.integers(1, 3), st.sampled_from([0.01, 0.04, 0.3]))
def test_nobody_starves_however_unequal_the_priorities(n, workers, service):
    priorities = {name: 100.0 if i else 0.01 for i, name in enumerate(names(n))}
    world = World(
        Scheduler(workers), dict.fromkeys(priorities, 20.0), workers, service, priorities=priorities
    ).run(20.0)
    for name in priorities:
        assert len(world.served[name]) >= 20.0 / (1.0 + n * service / workers + 0.1) - 2


def test_a_fast_camera_does_not_crowd_out_slow_ones():
    """Ten slow ones need 50 of 100 turns a second; the fast one gets the other half, not more."""
    given_ = {"fast": 200.0, **dict.fromkeys(names(10), 5.0)}
    world = World(Scheduler(1), given_, 1, 0.01, phase=1.0).run(20.0)
    assert all(world.scheduler.dropped(name) == 0 for name in names(10))
    assert all(max(late for _, late in world.served[name]) < 0.1 for name in names(10))
    assert 900 < len(world.served["fast"]) < 1100


def test_a_camera_that_was_away_gets_no_more_than_its_share_when_it_is_back():
    scheduler = Scheduler(1, budget_s=10)
    for name in ("here", "away"):
        scheduler.add(name, True)
    number = itertools.count()
    for _ in range(500):
        scheduler.offer("here", None, next(number), 0.0, 0.0)
        scheduler.release(scheduler.take(0.0).picks[0].camera)
    taken = []
    for _ in range(40):
        for name in ("here", "away"):
            if scheduler.waiting(name) < 2:
                scheduler.offer(name, None, next(number), 0.0, 0.0)
        taken.append(scheduler.take(0.0).picks[0].camera)
        scheduler.release(taken[-1])
    assert 19 <= taken.count("away") <= 21


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([10.0, 30.0, 60.0]), st.sampled_from([0.05, 0.15, 0.5]))
def test_the_newest_wins_when_the_device_is_behind(rate, service):
    """What is looked at is no older than the budget, or the camera's next frame but one."""
    world = World(Scheduler(1, 0.1), {"c": rate}, 1, service).run(20.0)
    waits = [late - service for _, late in world.served["c"][3:-4]]
    assert max(waits) <= max(0.1, 1 / rate) + 1e-9
    if rate * service > 1.2:
        assert world.scheduler.dropped("c") > 0
        gaps = [b - a for (a, _), (b, _) in zip(world.served["c"], world.served["c"][1:])][4:]
        assert max(gaps) <= rate * service + 2  # the drops lie evenly


def test_a_burst_is_not_lost_while_there_is_time():
    scheduler = Scheduler(1, 0.1)
    scheduler.add("c", True)
    for n in range(4):
        assert scheduler.offer("c", n, n, 0.0, 0.001 * n) == []
    assert [scheduler.take(0.02).picks[0].item for _ in range(2)] == [0, 1]
    assert scheduler.take(0.02) is None  # as many under way as one worker is fed with
    scheduler.release("c", 2)
    assert scheduler.take(0.15).picks[0].item == 3  # frame 2 has waited for too long
    assert scheduler.dropped("c") == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.lists(st.booleans(), max_size=200))
def test_a_file_waits_and_is_never_dropped(workers, ahead, moves):
    scheduler = Scheduler(workers, 0.001)
    scheduler.add("file", False, ahead=ahead)
    offered, out, got = 0, [], []
    for now, give in enumerate(moves):
        if give and scheduler.room("file"):
            assert scheduler.offer("file", offered, offered, 0.0, float(now)) == []
            offered += 1
        turn = scheduler.take(float(now))
        if turn:
            out += [pick.item for pick in turn.picks]
        elif out:
            got.append(out.pop(0))
            scheduler.release("file")
        assert scheduler.pending + len(out) <= workers + 1 + ahead
    assert scheduler.dropped("file") == 0
    assert got + out == list(range(len(got) + len(out)))


def test_the_model_looks_at_every_nth_frame_and_after_a_drop_at_the_next():
    scheduler = Scheduler(1, 0.1)
    scheduler.add("c", True, every=3)
    looked = {}
    for n in range(12):
        scheduler.offer("c", n, n, float(n), float(n))
        if n in (3, 6):  # nobody takes these: the next ones push them out
            continue
        pick = scheduler.take(float(n)).picks[0]
        looked[pick.item] = pick.detect
        scheduler.release("c")
    assert looked == {0: True, 1: False, 2: False, 4: True, 5: False, 7: True, 8: False,
                      9: True, 10: False, 11: False}  # fmt: skip


def test_frames_that_wait_go_together_when_it_pays():
    batching = Batching(None)
    scheduler = Scheduler(2, 0.1, batching)
    for name in names(12):
        scheduler.add(name, True)
    batching.best, batching._step, batching._check_at = 8, 3, 1e9
    batching.ran(1, 0.004)
    batching.ran(8, 0.010)
    for name in names(12):
        scheduler.offer(name, name, 0, 0.0, 0.0)
    both = scheduler.take(0.0, idle=2), scheduler.take(0.0, idle=1)
    assert [len(turn.picks) for turn in both] == [6, 6]  # shared out between the two
    assert {pick.item for turn in both for pick in turn.picks} == set(names(12))
    batching.ran(8, 10.0)  # it has become slow: beyond the budget
    for name in names(12):
        scheduler.release(name)
        scheduler.offer(name, name, 1, 1.0, 1.0)
    assert len(scheduler.take(1.0).picks) == 1


@settings(max_examples=40, deadline=None)
@given(rates, st.integers(1, 3), st.sampled_from([0.005, 0.03]), st.sampled_from([2, 4, 16]))
def test_batches_keep_order_bounds_and_fairness(given_, workers, service, best):
    batching = Batching(None)
    batching.best, batching._step, batching._check_at = best, 9, 1e9
    scheduler = Scheduler(workers, 0.1, batching)
    world = World(scheduler, dict(zip(names(len(given_)), given_)), workers, service).run(6.0)
    assert max(world.sizes) <= best
    for name, frames in world.served.items():
        numbers = [number for number, _ in frames]
        assert numbers == sorted(set(numbers))
        waiting = scheduler.waiting(name)
        assert world.offered[name] == len(numbers) + scheduler.dropped(name) + waiting
    fast = [len(world.served[n]) for n, rate in world.rates.items() if rate == max(given_)]
    assert max(fast) - min(fast) <= 0.1 * max(fast) + best


def test_a_files_frames_are_kept_out_of_batches_that_are_not_exact():
    batching = Batching(None)
    scheduler = Scheduler(1, 10.0, batching)
    scheduler.add("file", False)
    scheduler.add("live", True)
    batching.best, batching._step, batching._check_at, batching.exact = 4, 3, 1e9, False
    for n in range(4):
        scheduler.offer("file", n, n, 0.0, 0.0)
        scheduler.offer("live", n, n, 0.0, 0.0)
    turns = []
    while scheduler.pending:
        turns.append([pick.camera for pick in scheduler.take(0.0).picks])
    assert [turn for turn in turns if "file" in turn] == [["file"]] * 4
    assert any(len(turn) > 1 for turn in turns)


def test_what_is_offered_to_a_run_that_ends_is_let_go():
    scheduler = Scheduler(1)
    scheduler.add("c", True)
    scheduler.offer("c", 0, 0, 0.0, 0.0)
    scheduler.clear()
    assert scheduler.take(0.0) is None and scheduler.dropped("c") == 0


@pytest.mark.parametrize("priority", [0, -1, float("nan")])
def test_a_priority_is_above_zero(priority):
    with pytest.raises(UsageError, match="priority"):
        Scheduler().add("c", True, priority)
