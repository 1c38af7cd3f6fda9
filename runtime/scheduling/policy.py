"""Who is next, what has to go, and how many frames go together: decided, not done."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Tuple

from ...core import UsageError
from .batching import Batching

MOST_WAITING = 4
"""Frames of one live camera that wait at most, however large the latency budget is."""

STARVED_S = 1.0
"""A camera that has waited for its turn this long is next, whatever the priorities."""

LIGHT = 0.1
"""What a frame counts that the model does not look at, against one that it does."""


class Pick(NamedTuple):
    """A frame whose turn it is.

    Attributes:
        camera: Whose it is.
        item: What was offered.
        detect: Whether the model is to look at it.
    """

    camera: str
    item: Any
    detect: bool


@dataclass(frozen=True)
class Turn:
    """What one worker does next.

    Attributes:
        picks: Frames in the order in which each camera's are passed on.
        reference: 0 where they are run together. Otherwise this is a trial: they are first run in
            batches of so many, which gives the results, and then together, to compare.
    """

    picks: List[Pick]
    reference: int = 0


class _Waiting(NamedTuple):
    item: Any
    number: int
    since: float


@dataclass
class _Lane:
    """One camera.

    `tag` is the virtual time at which its first waiting frame is through, were each lane served
    all the time in proportion to its weight; the smallest is next. `turn_at` is when it had its
    last turn, or began to wait for one.
    """

    name: str
    live: bool
    weight: float
    every: int
    ahead: int
    waiting: Deque[_Waiting] = field(default_factory=deque)
    out: int = 0
    tag: float = 0.0
    turn_at: float = 0.0
    before: Optional[int] = None
    dropped: int = 0
    held: bool = False

    def looks(self, number: int) -> bool:
        """Whether the model looks at this frame: at those of a number that can be divided, also
        after a restart; where one was dropped, at the next."""
        if self.every == 1:
            return True
        before = number - 1 if self.before is None else self.before
        return number // self.every > before // self.every


class Scheduler:
    """Frames of many cameras on one model. Pure: it has no thread and is told the time.

    Args:
        workers: How many take turns.
        budget_s: Seconds that a live frame may wait before a newer one takes its place.
        batching: How many frames go together; one by one without.

    Attributes:
        pending: How many frames wait, of all cameras.
    """

    def __init__(
        self, workers: int = 1, budget_s: float = 0.1, batching: Optional[Batching] = None
    ) -> None:
        self._workers = workers
        self._budget = budget_s
        self._batching = batching or Batching(1)
        self._lanes: Dict[str, _Lane] = {}
        self._now = 0.0  # virtual time: the tag of what was taken last
        self._out = 0  # frames of live cameras that are taken and not passed on
        self.pending = 0

    def add(
        self, name: str, live: bool, priority: float = 1.0, every: int = 1, ahead: int = 8
    ) -> None:
        """A camera takes part.

        Args:
            name: The camera.
            live: Whether its frames may be dropped; they wait otherwise.
            priority: Its weight against the others when not all can be served, above 0.
            every: Of how many frames the model looks at one.
            ahead: Of a file: frames that wait or are under way at most, beside one a worker.
        """
        if not priority > 0:
            raise UsageError(f"camera {name}: priority", got=priority, expected="a number above 0")
        self._lanes[name] = _Lane(name, live, float(priority), every, ahead)

    def room(self, name: str) -> bool:
        """Whether a frame of this camera may be offered; of a live one always."""
        lane = self._lanes[name]
        return lane.live or len(lane.waiting) + lane.out < self._most(lane)

    def offer(self, name: str, item: Any, number: int, since: float, now: float) -> List[Any]:
        """A frame has come.

        Args:
            name: Its camera.
            item: The frame, as `take` gives it back.
            number: Its number among the camera's frames.
            since: When it was captured.
            now: What time it is.

        Returns:
            Frames of this camera that had to make way, oldest first; they are counted.
        """
        lane = self._lanes[name]
        if not lane.waiting:
            lane.tag = max(lane.tag, self._now) + self._share(lane, lane.looks(number))
            lane.turn_at = now
        lane.waiting.append(_Waiting(item, number, since))
        self.pending += 1
        return self._make_way(lane, now)

    def take(self, now: float, idle: int = 1) -> Optional[Turn]:
        """The next turn, or None where nothing can be done.

        Args:
            now: What time it is.
            idle: How many workers have nothing to do, with the one that asks: frames are shared
                out among them rather than put in one batch.
        """
        if not self.pending:
            return None
        lanes = [lane for lane in self._lanes.values() if self._ready(lane)]
        if not lanes:
            return None
        for lane in lanes:
            self._make_way(lane, now)
        size, reference, exact = 1, 0, True
        if self._batching.most > 1:
            exact = self._batching.exact
            size, reference = self._together(lanes, now, idle)
        picks = [self._pick(self._next(lanes, now), now)]
        if size > 1 and (exact or self._lanes[picks[0].camera].live):
            rest = [lane for lane in lanes if exact or lane.live]
            while len(picks) < size:
                rest = [lane for lane in rest if self._ready(lane)]
                if not rest:
                    break
                picks.append(self._pick(self._next(rest, now), now))
        if reference and sum(pick.detect for pick in picks) < 2:
            reference = 0
            self._batching.untried()
        return Turn(picks, reference)

    def release(self, name: str, count: int = 1) -> None:
        """So many frames of a camera have been passed on."""
        lane = self._lanes[name]
        lane.out -= count
        self._out -= count if lane.live else 0
        if lane.held and lane.waiting and self._ready(lane):
            # What it could not take while it was held up is not made good later.
            lane.held = False
            lane.tag = max(lane.tag, self._now + self._share(lane, True))

    def waiting(self, name: str) -> int:
        """How many frames of a camera wait."""
        return len(self._lanes[name].waiting)

    def dropped(self, name: str) -> int:
        """How many frames of a camera had to make way."""
        return self._lanes[name].dropped

    def clear(self) -> None:
        """Let go of all that waits, because the run ends."""
        for lane in self._lanes.values():
            lane.waiting.clear()
        self.pending = 0

    def _most(self, lane: _Lane) -> int:
        """Frames of a camera that are taken and not passed on, at most; of a file with those that
        wait. One beyond the workers' own keeps them fed while those are passed on."""
        best = self._batching.best
        more = self._workers * best if best > 1 else 0
        return self._workers + 1 + more + (0 if lane.live else lane.ahead)

    def _ready(self, lane: _Lane) -> bool:
        if not lane.waiting:
            return False
        if not lane.live:
            return True
        most = self._most(lane)
        lane.held = lane.out >= most
        # Frames must not grow old behind the model either, where a pipeline is what is slow.
        return not lane.held and self._out < 2 * most

    def _make_way(self, lane: _Lane, now: float) -> List[Any]:
        gone = []
        if lane.live:
            waiting = lane.waiting
            while len(waiting) > 1 and (
                len(waiting) > MOST_WAITING or now - waiting[0].since > self._budget
            ):
                gone.append(waiting.popleft().item)
            lane.dropped += len(gone)
            self.pending -= len(gone)
        return gone

    def _share(self, lane: _Lane, heavy: bool) -> float:
        return (1.0 if heavy else LIGHT) / lane.weight

    def _next(self, lanes: List[_Lane], now: float) -> _Lane:
        longest = min(lanes, key=lambda lane: lane.turn_at)
        if now - longest.turn_at > STARVED_S:
            return longest
        return min(lanes, key=lambda lane: (lane.tag, lane.waiting[0].since))

    def _pick(self, lane: _Lane, now: float) -> Pick:
        lane.turn_at = now
        item, number, _ = lane.waiting.popleft()
        detect = lane.looks(number)
        lane.before = number
        lane.out += 1
        self._out += 1 if lane.live else 0
        self.pending -= 1
        # One whose turn came out of order pays for it later, and does not carry time with it.
        others = [other.tag for other in self._lanes.values() if other.waiting]
        self._now = max(self._now, min([lane.tag, *others]))
        if lane.waiting:
            lane.tag += self._share(lane, lane.looks(lane.waiting[0].number))
        return Pick(lane.name, item, detect)

    def _together(self, lanes: List[_Lane], now: float, idle: int) -> Tuple[int, int]:
        """How many frames go together, and for a trial in batches of how many first."""
        batching = self._batching
        lanes = [lane for lane in lanes if batching.exact or lane.live]
        count, live, oldest = 0, False, now
        for lane in lanes:
            room = self._most(lane) - lane.out if lane.live else len(lane.waiting)
            count += min(len(lane.waiting), room)
            if lane.live:
                live, oldest = True, min(oldest, lane.waiting[0].since)
        slack = self._budget - (now - oldest) if live else None
        size, reference = batching.trial(count, now, self._budget if live else None)
        if size > 1:
            return size, reference
        return batching.size(count, idle, slack, self._budget), 0
