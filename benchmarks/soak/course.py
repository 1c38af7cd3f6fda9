"""The course of a soak: which fault comes when, and what was seen of each."""

import random
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from .faults import NOTICED_S, RESTART_S, Fault
from .judge import Window
from .ledger import Ledger
from .posts import Post
from .subject import Subject

START_S = 90.0
SHORT_S = 900.0
"""A soak shorter than this has shorter faults and pauses."""

Record = Dict[str, Any]


class Course:
    """The course of a soak."""

    def __init__(
        self,
        subject: Subject,
        posts: Mapping[str, Post],
        ledger: Ledger,
        faults: List[Fault],
        seed: int,
        hours: float,
        say: Callable[[str], None],
    ) -> None:
        self.subject, self.posts, self.ledger = subject, posts, ledger
        self.faults, self.say = faults, say
        self.names = list(posts)
        self.seconds = 3600 * hours
        self.long = self.seconds >= SHORT_S
        self.quiet_s = 6.0 if self.long else 2.0
        self.chance = random.Random(seed)
        self.records: List[Record] = []
        self.windows: List[Window] = []
        self.stops: List[float] = []
        self.not_reached: Dict[str, str] = {}
        self.calm_since = 0.0
        self.began = 0.0
        self._turn = self.chance.randrange(len(posts))

    # The course

    def run(self) -> None:
        """Start the run, hit it until the time is over, and stop it."""
        self.say("starting the run")
        self.subject.start()
        if not self.subject.until(lambda: self._all_after(0.0) is not None, START_S):
            raise self.subject.failure()
        self.began = time.monotonic()
        end = self.began + self.seconds
        self.calm_since = self.began + 1.0
        self._wait(2 * self.quiet_s)
        on_cameras = [fault for fault in self.faults if not fault.run or fault.name == "clock"]
        on_run = [fault for fault in self.faults if fault.run and fault.name != "clock"]
        # A process that lives long tells most about memory: what ends it comes last.
        need = sum(self._takes(fault) for fault in on_run)
        part = 0.3 if on_cameras else 1.0
        rounds = max(int(part * self.seconds / need), 1) if need else 0
        self._phase(on_cameras, end - rounds * need)
        self._phase(on_run, end)
        self.say("stopping the run")
        self.calm_until_now()
        self.ledger.read()
        self.stops.append(self.subject.stop())

    def _phase(self, faults: List[Fault], end: float) -> None:
        """One fault after another in rounds of all, until the time is over."""
        done = set()
        while faults:
            some = False
            for fault in self.chance.sample(faults, len(faults)):
                if time.monotonic() + self._takes(fault) > end:
                    continue
                self._one(fault)
                done.add(fault.name)
                some = True
            if not some:
                break
        for fault in faults:
            if fault.name not in done:
                self.not_reached[fault.name] = "the time was over"

    def _takes(self, fault: Fault) -> float:
        """Seconds that a fault takes with the quiet after it, about."""
        alone = {"kill": 4.0, "term": 4.0}.get(fault.name)
        if alone is not None:
            return alone + self.quiet_s
        usual = {"password": 32.0, "disk": 3.0, "cut": 1.0}.get(fault.name, 2.5)
        return self._longest(fault) + usual + self.quiet_s

    def _longest(self, fault: Fault) -> float:
        return max(fault.shortest, 12.0 if self.long else 4.0)

    def _one(self, fault: Fault) -> None:
        seconds = self.chance.uniform(max(fault.shortest, 3.0), self._longest(fault))
        self.calm_until_now()
        if fault.run:
            record = getattr(self, "_" + fault.name)(seconds)
        else:
            self._turn = (self._turn + 1) % len(self.names)
            record = self._hit(fault, self.names[self._turn], seconds)
        self.records.append({"fault": fault.name, **record})
        self.say(_told(self.records[-1]))
        self._check_alive()
        self.calm_since = time.monotonic() + 1.0
        self._wait(self.quiet_s + 1.0)
        self.ledger.read()

    def _hit(self, fault: Fault, name: str, seconds: float) -> Record:
        assert fault.inject is not None
        post, subject, began = self.posts[name], self.subject, time.monotonic()
        broke = fault.inject(post, seconds, self._wait)
        ended = time.monotonic()
        record: Record = {"camera": name, "seconds": round(ended - began, 2), "good": True}
        since = ended
        if fault.away:
            subject.until(lambda: subject.lost_after(name, broke or began) is not None, 20.0)
            since = max(subject.lost_after(name, broke or began) or ended, ended)
            lost = subject.lost_after(name, began)
            record["noticed_s"] = None if lost is None else round(lost - began, 2)
            record["good"] = lost is not None and lost - began <= NOTICED_S
            if fault.name in ("size", "rate", "codec"):
                between = None if lost is None else subject.seen_after(name, lost)
                shown = between is not None and between < (broke or ended)
                record["changed_s"] = round(between - began, 2) if shown and between else None
                record["good"] &= shown
        subject.until(lambda: subject.seen_after(name, since) is not None, fault.back_s + 20.0)
        back = subject.seen_after(name, since)
        record["back_s"] = None if back is None else round(back - ended, 2)
        record["limit_s"] = fault.back_s
        record["good"] &= back is not None and back - ended <= fault.back_s
        others = tuple(n for n in self.names if n != name)
        self.windows.append(Window(began, back or time.monotonic(), others, False))
        return record

    def _clock(self, seconds: float) -> Record:
        began = time.monotonic()
        self.subject.set_clock(3600.0)
        self._wait(seconds)
        self.subject.set_clock(0.0)
        self._wait(seconds)
        ended = time.monotonic()
        back = self._restarted(ended, 10.0)
        return {"seconds": round(ended - began, 2), "back_s": back, "good": back is not None}

    def _kill(self, seconds: float) -> Record:
        # At no particular moment, e.g. in the middle of a transaction.
        self._wait(self.chance.uniform(0.0, 1.0))
        self.ledger.read()
        self.subject.kill()
        return self._again(True)

    def _term(self, seconds: float) -> Record:
        took = self.subject.stop()
        self.stops.append(took)
        good = self.subject.life.code == 0 and self.subject.life.summary is not None
        return {**self._again(good), "stop_s": round(took, 2)}

    def _disk(self, seconds: float) -> Record:
        self.subject.limit_files(4096)
        ended = self.subject.wait(20.0)
        if not ended:  # it goes on without the disk, and has to write again when there is room
            self.subject.limit_files(None)
            back = self._restarted(time.monotonic(), RESTART_S)
            return {"back_s": back, "good": back is not None, "ended": False}
        life = self.subject.life
        said = [line for line in life.errors if line.startswith("Error:")]
        trace = any("Traceback" in line for line in life.errors)
        self._wait(seconds)
        good = life.code == 1 and len(said) == 1 and not trace
        return {**self._again(good), "ended": True, "said": said[0] if said else ""}

    def _again(self, good: bool) -> Record:
        """Start the run again, and wait for all cameras."""
        began = time.monotonic()
        self.subject.start()
        back = self._restarted(began, 3 * RESTART_S)
        good = good and back is not None and back <= RESTART_S
        return {"back_s": back, "limit_s": RESTART_S, "good": good}

    def _restarted(self, moment: float, limit: float) -> Optional[float]:
        """Seconds until all cameras are counted again, or None."""
        self.subject.until(lambda: self._all_after(moment) is not None, limit)
        back = self._all_after(moment)
        return None if back is None else round(back - moment, 2)

    def _all_after(self, moment: float) -> Optional[float]:
        seen = [self.subject.seen_after(name, moment) for name in self.names]
        known = [s for s in seen if s is not None]
        return max(known) if len(known) == len(seen) else None

    def _check_alive(self) -> None:
        if self.subject.alive:
            return
        self.subject.wait(1.0)
        said = list(self.subject.life.errors)[-3:]
        self.say("the run ended by itself: " + "; ".join(said))
        self.records.append({"fault": "none", "good": False, "said": "; ".join(said)})
        self._again(True)

    def calm_until_now(self) -> None:
        """What was calm since the last fault is a window to measure in."""
        now = time.monotonic()
        if now - self.calm_since > 1.0:
            self.windows.append(Window(self.calm_since, now, tuple(self.names), True))

    def _wait(self, seconds: float) -> None:
        time.sleep(max(seconds, 0.0))


def _told(record: Record) -> str:
    parts = [record["fault"]]
    if "camera" in record:
        parts.append(f"on {record['camera']}")
    for key, word in (("noticed_s", "noticed"), ("changed_s", "changed"), ("back_s", "back")):
        if key in record:
            value = record[key]
            parts.append(f"{word} never" if value is None else f"{word} after {value:.1f} s")
    return "  ".join(parts) + ("" if record["good"] else "  BAD")
