"""`edgelane totals`: what a store manager reads, and that it survives what a store does to it."""

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import edgelane
from edgelane.cli.app import run_cli
from edgelane.core import Event, StorageError
from edgelane.runtime.journal import Journal
from edgelane.runtime.loop import Stream, run_loop
from edgelane.runtime.testing import FakeClock, FakePipeline, FakeSource

ROOT = Path(__file__).resolve().parents[2]
NOON = 1795258800.0  # 2026-11-21T12:00:00+01:00


def crossing(at, camera="door", **more):
    payload = {"line": "door", "direction": "in", "track": 1, **more}
    return Event(camera, at, "crossing", payload)


@pytest.fixture
def store(tmp_path):
    """Three hours of two cameras, one of which was away for eight minutes."""
    with Journal(tmp_path / "events.db") as journal:
        journal.set("clock", "unix")
        journal.set("timezone", "Europe/Berlin")
        lines = {"door": {"from": [0, 0], "to": [1, 1]}}
        shapes = {"size": [64, 48], "lines": lines, "zones": {"till": {}}}
        journal.set("shapes", {"door": shapes, "=side": {"size": [64, 48]}})
        events = [crossing(NOON + 60 * i) for i in range(150)]
        gap = {"from": NOON + 4000, "to": NOON + 4480, "reason": "connection refused"}
        events.append(Event("door", NOON + 4480, "gap", gap))
        events.append(Event("door", NOON + 9, "entry", {"zone": "till", "track": 1}))
        journal.write("door", 1, NOON + 9000, events, b"x", {"frames": 1, "first": NOON})
        journal.write("=side", 1, NOON + 9000, [crossing(NOON, "=side")])
    return tmp_path


def test_a_table_for_people(store, capsys):
    assert run_cli(["totals", str(store), "--camera", "door"]) == 0
    least = "lower bound, 8 minutes missing"
    assert capsys.readouterr().out.splitlines() == [
        "door (Europe/Berlin)",
        "  hour              visitors  door in  door out  till entries",
        "  Sat 21 Nov 12:00         0       60         0             1",
        f"  Sat 21 Nov 13:00       ≥ 0     ≥ 60       ≥ 0           ≥ 0  {least}",
        "  Sat 21 Nov 14:00         0       30         0             0  seen 14:00–14:30",
        f"  total                  ≥ 0    ≥ 150       ≥ 0           ≥ 1  {least}",
    ]  # fmt: skip


def test_a_camera_that_is_away_right_now_is_a_lower_bound_already(store):
    now = NOON + 9500
    camera = {"state": "away", "away_s": 480.0, "last_frame_age_s": 480.0, "reason": "x"}
    status = store / "status.json"
    status.write_text(json.dumps({"run": {"state": "running"}, "cameras": {"door": camera}}))
    before = edgelane.totals(store)["cameras"]["door"]["rows"][-1]
    os.utime(str(status), (now, now))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 3.0)
        row = edgelane.totals(store)["cameras"]["door"]["rows"][-1]
        patch.setattr(time, "time", lambda: now + 300.0)  # it says nothing any more
        later = edgelane.totals(store)["cameras"]["door"]["rows"][-1]
    assert row["note"] == "lower bound, 8 minutes missing" and row["missing_s"] == 480.0
    assert later["note"] == "" and later["lines"] == row["lines"] and before


def test_days_in_another_zone(store, capsys):
    assert run_cli(["totals", str(store), "--by", "day", "--timezone", "Asia/Tokyo"]) == 0
    out = capsys.readouterr().out
    assert "Sat 21 Nov 2026" in out and "(Asia/Tokyo)" in out and "all cameras" in out


def test_json_and_csv_hold_the_same(store, capsys):
    assert run_cli(["totals", str(store), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(edgelane.totals(store)))
    hours = told["cameras"]["door"]["rows"]
    assert hours[1]["note"] == "lower bound, 8 minutes missing" and hours[1]["missing_s"] == 480.0
    assert told["all"]["total"]["lines"]["door"]["in"] == 151
    assert run_cli(["totals", str(store), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [r["door in"] for r in rows if r["camera"] == "door"] == ["60", "60", "30"]
    assert [r["lower_bound"] for r in rows if r["camera"] == "door"] == ["0", "1", "0"]
    assert {r["camera"] for r in rows} == {"door", "'=side"}  # no formula for a spreadsheet


def test_a_recording_counts_from_its_start(tmp_path, capsys):
    folder = str(tmp_path / "run")
    example = ROOT / "examples"
    base = ["replay", str(example / "store.yaml"), "--detections", str(example / "walkers.txt")]
    assert run_cli([*base, "--fps", "10", "--out", folder, "--quiet"]) == 0
    capsys.readouterr()
    assert run_cli(["totals", folder]) == 0
    out = capsys.readouterr().out
    assert "from the start of the recording" in out and "0:00" in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    (part,) = edgelane.totals(folder)["cameras"].values()
    assert part["total"]["visitors"] == summary["visitors"]
    assert part["total"]["lines"] == summary["lines"]


@pytest.mark.parametrize(
    "more, words, code",
    [
        (["--by", "week"], "totals by 'week'", 2),
        (["--camera", "dor"], "Did you mean 'door'?", 2),
        (["--timezone", "Europe/Berln"], "Did you mean 'Europe/Berlin'?", 2),
    ],
)
def test_bad_input_is_told_in_one_sentence(store, capsys, more, words, code):
    assert run_cli(["totals", str(store), *more]) == code
    assert words in capsys.readouterr().err


def test_a_folder_without_a_run(tmp_path, capsys):
    assert run_cli(["totals", str(tmp_path)]) == 1
    assert "does not exist" in capsys.readouterr().err


# -- what a store does to it -----------------------------------------------------------------------


class Passing(FakePipeline):
    """A pipeline in front of which somebody passes in every picture."""

    def process(self, observation):
        return [crossing(observation.timestamp)]


class Steered(FakeSource):
    """A live source; the clock passes and is set between its pictures."""

    def __init__(self, clock, moves):
        super().__init__([0.0], live=True)
        self.clock, self.moves = clock, moves

    def __iter__(self):
        for index, (passes, step) in enumerate(self.moves):
            self.clock.advance(passes)
            self.clock._start += step
            self.timestamps = [self.clock.time()]
            for frame in super().__iter__():
                yield type(frame)(frame.image, self.timestamps[0], self.camera, index)


def counts(folder):
    told = edgelane.totals(folder)["cameras"].get("door", {"rows": []})
    return {row["start"]: row["lines"]["door"]["in"] for row in told["rows"]}


def play(folder, clock, moves, zone, look=None):
    """Run on a clock that is steered; `look` is called after every picture."""
    source = Steered(clock, moves)
    source.camera = "door"
    with Journal(folder / "events.db") as journal:
        journal.set("clock", "unix")
        journal.set("timezone", zone)
        sinks = [lambda step: look()] if look else []
        stream = Stream(source, lambda size: Passing())
        run_loop({"door": stream}, None, journal, sinks=sinks, clock=clock)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_counts_never_go_back_when_the_clock_jumps_an_hour(tmp_path, step):
    clock, before = FakeClock(NOON + 1800), {}

    def look():
        now = counts(tmp_path)
        for start, count in before.items():
            assert now[start] >= count
        before.clear()
        before.update(now)

    moves = [(20.0, 0.0)] * 100 + [(20.0, step)] + [(20.0, 0.0)] * 100
    play(tmp_path, clock, moves, "Europe/Berlin", look)
    play(tmp_path, clock, [(20.0, -step)] + [(20.0, 0.0)] * 50, "Europe/Berlin", look)
    assert sum(counts(tmp_path).values()) == 252


def test_a_zone_that_changes_between_two_runs_loses_nothing(tmp_path):
    clock = FakeClock(NOON)
    play(tmp_path, clock, [(60.0, 0.0)] * 100, "Europe/Berlin")
    first = counts(tmp_path)
    play(tmp_path, clock, [(60.0, 0.0)] * 100, "Asia/Kolkata")
    second = counts(tmp_path)
    assert sum(first.values()) == 100 and sum(second.values()) == 200
    assert all(start.endswith("+05:30") for start in second)


def test_a_full_disk_keeps_what_was_counted(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        journal.set("clock", "unix")
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count={pages + 20}")
        written = 0
        with pytest.raises(StorageError, match="full"):
            for number in range(10**5):
                journal.write(
                    "door", number, NOON + number, [crossing(NOON + number, note="n" * 50)]
                )
                written += 1
    assert sum(counts(tmp_path).values()) == written > 100
    with Journal(tmp_path / "events.db") as journal:  # somebody made room
        journal.write("door", 10**6, NOON + 10**6, [crossing(NOON + 10**6)])
    assert sum(counts(tmp_path).values()) == written + 1


WRITER = """
import sys, time
from edgelane.core import Event
from edgelane.runtime.journal import Journal
with Journal(sys.argv[1]) as journal:
    journal.set("clock", "unix")
    journal.set("timezone", "Europe/Berlin")
    number = (journal.position("door") or (0, 0))[0] + 1
    while True:
        moment = 1795258800.0 + 7.0 * number
        payload = {"line": "door", "direction": "in", "track": number}
        journal.write("door", number, moment, [Event("door", moment, "crossing", payload)])
        print(number, flush=True)
        number += 1
        time.sleep(0.001)
"""


def test_kill_9_loses_no_count_and_doubles_none(tmp_path):
    last, before = 0, {}
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "events.db")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(30):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read().split()
        process.wait()
        last = max([last, *map(int, told)])
        now = counts(tmp_path)
        assert all(now[start] >= count for start, count in before.items())
        # One that was journalled may not have been told any more.
        assert last <= sum(now.values()) <= last + 1
        before = now


def test_a_run_that_is_being_written_is_read(store):
    with Journal(store / "events.db") as journal:
        assert sum(counts(store).values()) == 150
        journal.write("door", 2, NOON + 9500, [crossing(NOON + 9500)])
        assert sum(counts(store).values()) == 151
    with sqlite3.connect(str(store / "events.db")) as database:
        (number,) = database.execute("SELECT count(*) FROM events").fetchone()
    assert number == 154
