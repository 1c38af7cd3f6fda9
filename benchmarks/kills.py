"""`kill -9` at random moments: is a journalled event lost, or one there twice?

    python -m edgelane.benchmarks.kills --times 20

Once on a run of a file, which must end with exactly the events of a run that nobody disturbed; and
once on a run of live cameras, real RTSP servers on loopback, which cannot be played again: there
whatever was once read from the journal must stay in it, once, and no time may go back.
"""

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..core import EdgelaneError, StorageError
from ..runtime.journal import Journal
from .soak.ledger import Ledger
from .soak.posts import Films, Post
from .soak.subject import Subject

SIZE = (320, 180)
FPS = 10
START_S = 60.0

CONFIG = """\
pipeline: counting
model: store-person
classes: [person]
reference_size: [320, 180]
lines:
  across: {{from: [30, 110], to: [290, 110]}}
zones:
  left: {{polygon: [[0, 60], [130, 60], [130, 180], [0, 180]]}}
source: {source}
"""


def file_run(times: int, seed: int = 0, seconds: float = 1500.0) -> Dict[str, Any]:
    """Kill a run of a rendered store again and again, and hold its events against an undisturbed
    run's.

    Args:
        times: How often.
        seed: Of the moments.
        seconds: Length of the store.

    Returns:
        `kills`, `events`, `lost` and `twice` against the undisturbed run, `gone` (that had been
        read from the journal before a kill), and `in_flight`, the kills before which events had
        come since the last.

    Raises:
        EdgelaneError: The run fails by itself.
    """
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "store.yaml"
        size = "x".join(str(side) for side in SIZE)
        source = f"synth://store?seed={seed}&fps={FPS}&size={size}&seconds={seconds:g}&people=10"
        config.write_text(CONFIG.format(source=source), encoding="utf-8")
        undisturbed, killed = Path(folder) / "undisturbed", Path(folder) / "killed"
        _finish(_start(config, undisturbed))
        ledger = Ledger(killed / "events.db")
        done = in_flight = 0
        process = _start(config, killed)
        while done < times:
            if done % 4 != 3:  # one of four comes while it starts
                _wait_for_progress(process, killed / "events.db")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.0, 1.5))
                raise EdgelaneError(
                    f"the run was over after {done} kills", remedy="give it more --seconds"
                )
            fresh = ledger.read()
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1
            in_flight += fresh + ledger.read() > 0
            process = _start(config, killed)
        _finish(process)
        wanted = _events(undisturbed)
        found = _events(killed)
        audit = ledger.audit()
    return {
        "kills": done,
        "events": len(found),
        "lost": len(set(wanted) - set(found)),
        "twice": len(set(found) - set(wanted)),
        "gone": audit.lost,
        "in_flight": in_flight,
    }


def live_run(times: int, seed: int = 0, seconds: float = 6.0) -> Dict[str, Any]:
    """Kill a run of two live cameras again and again.

    Args:
        times: How often.
        seed: Of the moments.
        seconds: How long it runs at most from its first pictures to a kill.

    Returns:
        `kills`, `events`, `gone`, `twice`, `backwards`, `untold` (told to a sink two seconds
        before a kill and not journalled), and `back_s`, the longest time from a start to pictures
        of all cameras.

    Raises:
        EdgelaneError: The run fails by itself.
    """
    chance = random.Random(seed)
    back: List[float] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "store.yaml"
        config.write_text(CONFIG.format(source="rtsp://127.0.0.1/cam"), encoding="utf-8")
        films = Films(seed=seed)
        posts = {n: stack.enter_context(Post(n, films, SIZE)) for n in ("camera", "twin")}
        spec = {
            "config": str(config),
            "sources": {name: post.uri for name, post in posts.items()},
            "twins": {"twin": "camera"},
            "out": str(folder / "run"),
        }
        subject = Subject(spec, list(posts))
        stack.callback(subject.close)
        ledger = Ledger(folder / "run" / "events.db")
        for number in range(times + 1):
            began = time.monotonic()
            subject.start()
            if not subject.until(lambda began=began: _all_seen(subject, began), START_S):
                raise subject.failure()
            back.append(time.monotonic() - began)
            time.sleep(chance.uniform(0.0, seconds))
            ledger.read()
            if number < times:
                subject.kill()
        subject.stop()
        audit = ledger.audit()
        untold = 0
        for life in subject.lives:
            end = life.ended if life.killed and life.ended else float("inf")
            sure = {name for name, moment in life.told.items() if moment < end - 2.0}
            untold += len(ledger.missing(sure))
    return {
        "kills": times,
        "events": audit.events,
        "gone": audit.lost,
        "twice": audit.twice,
        "backwards": audit.backwards,
        "untold": untold,
        "back_s": round(max(back), 2),
    }


def _all_seen(subject: Subject, moment: float) -> bool:
    return all(subject.seen_after(name, moment) is not None for name in subject.cameras)


def _wait_for_progress(process: subprocess.Popen, path: Path) -> None:
    """Wait until a run has journalled more than it had when it was started."""
    before, end = _reached(path), time.monotonic() + START_S
    while _reached(path) == before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


def _reached(path: Path) -> Optional[int]:
    with contextlib.suppress(StorageError), Journal(path, readonly=True) as journal:
        snapshot = journal.snapshot("camera")
        return None if snapshot is None else snapshot.index
    return None


def _start(config: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "edgelane", "run", str(config), "--out", str(out), "--quiet"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def _finish(process: subprocess.Popen) -> None:
    _, said = process.communicate()
    if process.returncode:
        raise EdgelaneError("the run failed", got=said.decode("utf-8", "replace").strip())


def _events(folder: Path) -> Dict[str, str]:
    ledger = Ledger(folder / "events.db")
    ledger.read()
    return ledger.known


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line; exits 1 where an event was lost or doubled and `--check` asks for it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="kills of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1500.0, help="length of the file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 where something is wrong")
    options = parser.parse_args(arguments)
    try:
        file = file_run(options.times, options.seed, options.seconds)
        live = live_run(options.times, options.seed)
    except EdgelaneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps({"file": file, "live": live}))
    else:
        print(
            f"a file, killed {file['kills']} times, {file['in_flight']} of them with new events: "
            f"{file['events']} events, {file['lost']} lost and {file['twice']} too many against "
            f"an undisturbed run, {file['gone']} gone that were journalled\n"
            f"two live cameras, killed {live['kills']} times: {live['events']} events, "
            f"{live['gone']} gone that were journalled, {live['twice']} twice, "
            f"{live['untold']} told and not journalled, {live['backwards']} back in time; "
            f"pictures of both at most {live['back_s']:.1f} s after a start"
        )
    wrong = file["lost"] + file["twice"] + file["gone"]
    wrong += live["gone"] + live["twice"] + live["backwards"] + live["untold"]
    return 1 if options.check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
