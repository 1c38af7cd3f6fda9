"""A soak: a run of one's own config, hit by real faults for an hour, and the verdict."""

import contextlib
import random
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from ...core import StorageError, UsageError
from ...runtime.config import CameraConfig, Config, load_config
from .faults import BACK_S, NOTICED_S, RESTART_S, Fault, chosen, lacking
from .judge import (
    STOP_S,
    Check,
    Window,
    at_most,
    frames,
    gaps_told,
    latency,
    memory,
    worst,
)
from .ledger import Ledger
from .posts import Films, Post
from .subject import Life, Subject

SIZE = (640, 360)
START_S = 90.0
LAST_WORDS_S = 2.0
"""What was told so short before a kill may not have been journalled."""

TWIN = "twin"
SHORT_S = 900.0
"""A soak shorter than this has shorter faults and pauses."""

Record = Dict[str, Any]


def soak(
    config: Union[str, Path],
    *,
    hours: float = 1.0,
    faults: str = "all",
    seed: int = 0,
    clip: Optional[str] = None,
    model: Optional[str] = None,
    decoder: Optional[str] = None,
    out: Optional[Union[str, Path]] = None,
    progress: bool = False,
) -> Record:
    """Run a config's model, pipeline and shapes against cameras that fail, and judge how it goes.

    The cameras of the config are not touched: each is replaced by a server on loopback that shows
    a rendered store, or a clip. Nobody outside is told of events. With one camera in the config a
    second one with the same settings is watched beside it, because a camera must not notice what
    happens to another.

    Args:
        config: Path of the config.
        hours: How long.
        faults: Names with commas between, or `all`; see `faults.FAULTS`.
        seed: Of the order of the faults, their lengths and whom they hit.
        clip: Video or folder of images that the cameras show, over and over.
        model: Instead of the config's; the detector that ships where neither names one.
        decoder: Instead of the config's.
        out: Folder of the run; `runs/soak-<date>` unless given. It must not be there yet.
        progress: Tell each fault on stderr.

    Returns:
        `verdict` (`pass` or `fail`), `checks` with `name`, `value`, `limit`, `unit`, `good` and
        `note`, `faults`, one by one, `left_out` and `not_reached` with the reasons, `seconds`,
        `cameras`, `seed`, and `folder`.

    Raises:
        UsageError: A fault is unknown, the config is none, or the folder is there already.
        EdgelaneError: The run does not start.
    """
    if not 0 < hours <= 24 * 365:
        raise UsageError("--hours is wrong", got=hours, expected="above 0")
    wanted = chosen(faults)
    settings = load_config(config)
    folder = Path(out) if out is not None else Path(f"runs/soak-{time.strftime('%Y%m%d-%H%M%S')}")
    if folder.exists() and any(folder.iterdir()):
        raise StorageError(f"{folder} is not empty", remedy="give another --out")
    films = Films(clip)
    left_out = lacking(wanted, films)
    wanted = [fault for fault in wanted if fault.name not in left_out]
    if not wanted:
        raise UsageError("none of these faults can be made here", got="; ".join(left_out.values()))
    cameras, twins = _cameras(settings)
    say = _Teller(progress)
    say(f"drawing what {len(cameras)} cameras show")
    with contextlib.ExitStack() as stack:
        posts = {}
        for at, (name, camera) in enumerate(cameras.items()):
            size = camera.reference_size or SIZE
            post = Post(name, films, (round(size[0]), round(size[1])), seed + at)
            posts[name] = stack.enter_context(post)
        names = {fault.name for fault in wanted}
        for post in posts.values():  # encoded before the run, which shares the machine
            if "size" in names:
                post.other_size()
            if "codec" in names:
                post.other_codec()
        films.forget()
        spec = {
            "config": str(config),
            "sources": {name: post.uri for name, post in posts.items()},
            "twins": twins,
            "model": model or (None if settings.model else _shipped(settings)),
            "decoder": decoder,
            "out": str(folder),
        }
        subject = Subject(spec, list(cameras))
        stack.callback(subject.close)
        soaking = _Soak(subject, posts, Ledger(folder / "events.db"), wanted, seed, hours, say)
        soaking.run()
        result = soaking.result()
    result.update(left_out=left_out, seed=seed, folder=str(folder), codec=films.codec)
    return result


def _shipped(config: Config) -> Optional[str]:
    return "store-person" if config.pipeline == "counting" else None


def _cameras(config: Config) -> Tuple[Dict[str, CameraConfig], Dict[str, str]]:
    """Cameras by name, and those that are second ones of others."""
    cameras = dict(config.cameras)
    if len(cameras) > 1:
        return cameras, {}
    (name,) = cameras
    twin = TWIN if name != TWIN else f"{TWIN} 2"
    return {**cameras, twin: cameras[name]}, {twin: name}


class _Teller:
    def __init__(self, aloud: bool) -> None:
        self._aloud, self._began = aloud, time.monotonic()

    def __call__(self, text: str) -> None:
        if self._aloud:
            passed = int(time.monotonic() - self._began)
            print(f"{passed // 60:4d}:{passed % 60:02d}  {text}", file=sys.stderr, flush=True)


class _Soak:
    """The course of a soak."""

    def __init__(
        self,
        subject: Subject,
        posts: Mapping[str, Post],
        ledger: Ledger,
        faults: List[Fault],
        seed: int,
        hours: float,
        say: _Teller,
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

    # The verdict

    def result(self) -> Record:
        """What `soak` returns, but for what it knows itself."""
        lives, records = self.subject.lives, self.records
        audit = self.ledger.audit()
        checks: List[Check] = list(memory(lives))
        away = [r for r in records if "noticed_s" in r]
        back = [r for r in records if r.get("limit_s") == BACK_S]
        patient = [r for r in records if r["fault"] == "password"]
        again = [r for r in records if r["fault"] in ("kill", "term", "disk")]
        checks += [
            at_most("a lost camera is noticed", worst(away, "noticed_s"), NOTICED_S, "s"),
            at_most("a camera that is back is counted", worst(back, "back_s"), BACK_S, "s"),
        ]
        if patient:
            name, limit = "after a wrong password", patient[0]["limit_s"]
            checks.append(at_most(name, worst(patient, "back_s"), limit, "s"))
        if again:
            name = "the run is back after it ended"
            checks.append(at_most(name, worst(again, "back_s"), RESTART_S, "s"))
        checks.append(at_most("SIGTERM ends it", max(self.stops), STOP_S, "s"))
        checks += frames(lives, self.windows, {n: p.fps for n, p in self.posts.items()})
        checks += latency(lives, self.windows)
        checks += gaps_told(lives, audit, self.names)
        untold = sum(len(self.ledger.missing(_sure(life))) for life in lives)
        counted = _decreases([life.summary for life in lives if life.summary is not None])
        checks += [
            at_most("journalled events lost", audit.lost, 0, "", f"of {audit.events}"),
            at_most("events told and not journalled", untold, 0, ""),
            at_most("events journalled twice", audit.twice, 0, ""),
            at_most("counts or times that went back", audit.backwards + counted, 0, ""),
        ]
        bad = [r for r in records if not r["good"]]
        tally = f"of {len(records)}"
        checks.append(at_most("faults that ended badly", len(bad), 0, "", tally))
        clean = self.subject.life.code == 0 and self.subject.life.summary is not None
        checks.append(at_most("the end was not clean", 0 if clean else 1, 0, ""))
        return {
            "verdict": "pass" if all(check.good for check in checks) else "fail",
            "checks": [check._asdict() for check in checks],
            "faults": records,
            "not_reached": self.not_reached,
            "seconds": round(time.monotonic() - self.began, 1),
            "cameras": self.names,
            "events": audit.counts,
            "lives": len(lives),
        }


def _sure(life: Life) -> set:
    """Ids that must be in the journal: not those of the last moments before it was killed."""
    until = float("inf")
    if life.code != 0 and life.ended is not None:
        until = life.ended - LAST_WORDS_S
    return {name for name, moment in life.told.items() if moment <= until}


def _decreases(summaries: List[Dict[str, Any]]) -> int:
    """How many counts are smaller in a later summary."""
    worse = 0
    for before, after in zip(summaries, summaries[1:]):
        later = dict(_counts(after))
        worse += sum(value > later.get(name, 0) for name, value in _counts(before))
    return worse


def _counts(summary: Mapping[str, Any], path: str = "") -> Iterator[Tuple[str, int]]:
    for key, value in summary.items():
        if isinstance(value, Mapping):
            yield from _counts(value, f"{path}{key}.")
        elif key in ("in", "out", "entries", "visitors"):
            yield f"{path}{key}", int(value)


def _told(record: Record) -> str:
    parts = [record["fault"]]
    if "camera" in record:
        parts.append(f"on {record['camera']}")
    for key, word in (("noticed_s", "noticed"), ("changed_s", "changed"), ("back_s", "back")):
        if key in record:
            value = record[key]
            parts.append(f"{word} never" if value is None else f"{word} after {value:.1f} s")
    return "  ".join(parts) + ("" if record["good"] else "  BAD")


def describe(result: Mapping[str, Any]) -> Iterator[str]:
    """A result as lines of text."""
    yield (
        f"{len(result['faults'])} faults on {len(result['cameras'])} cameras in "
        f"{result['seconds'] / 60:.1f} minutes, {result['lives']} starts of the run"
    )
    yield ""
    yield f"{'fault':<16}{'times':>6}{'noticed':>10}{'back':>8}   worst of all, in seconds"
    by_name: Dict[str, List[Record]] = {}
    for record in result["faults"]:
        by_name.setdefault(record["fault"], []).append(record)
    for name, records in sorted(by_name.items()):
        figures = []
        for key in ("noticed_s", "back_s"):
            value = worst(records, key)
            figures.append("" if value is None else f"{value:.1f}")
        bad = sum(not record["good"] for record in records)
        mark = f"   {bad} BAD" if bad else ""
        yield f"{name:<16}{len(records):>6}{figures[0]:>10}{figures[1]:>8}{mark}"
    yield ""
    yield f"{'check':<34}{'value':>9}{'limit':>9}"
    for check in result["checks"]:
        value = "-" if check["value"] is None else f"{check['value']:g}"
        limit = f"{check['limit']:g}"
        mark = "" if check["good"] else "  FAIL"
        note = f"  ({check['note']})" if check["note"] else ""
        unit = f" {check['unit']}" if check["unit"] else ""
        yield f"{check['name']:<34}{value:>9}{limit:>9}{unit}{mark}{note}"
    for title in ("left_out", "not_reached"):
        for name, why in result[title].items():
            yield f"{title.replace('_', ' ')}: {name} ({why})"
    yield f"verdict {result['verdict']}, journal in {result['folder']}"
