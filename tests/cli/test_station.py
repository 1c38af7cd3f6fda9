"""A live inspection: the machine is told in time, and is left safe when it cannot be."""

import json
import time

import numpy as np
import pytest

from edgelane.cli.jobs import inspecting, read_events, run
from edgelane.cli.jobs.shifts import Shifts
from edgelane.core import SourceError
from edgelane.runtime.sources import register
from edgelane.runtime.testing import FakeInput, FakeOutput, FakeSource
from edgelane.runtime.timezones import Zone

cv2 = pytest.importorskip("cv2")

PERIOD = 0.12


def plate(flaw=False, seed=0):
    """A plate with holes, `(120, 160, 3)` uint8."""
    image = np.full((120, 160, 3), 40.0)
    cv2.rectangle(image, (20, 20), (140, 100), (150, 150, 150), -1, cv2.LINE_AA)
    for x in (50, 80, 110):
        cv2.circle(image, (x, 60), 10, (30, 30, 30), -1, cv2.LINE_AA)
    if flaw:
        cv2.circle(image, (65, 85), 7, (240, 240, 240), -1, cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), 0.8)
    noise = np.random.RandomState(seed).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


class Live(FakeSource):
    """Plates, every fifth with a flaw, at true times; the line is told of each as it is taken."""

    count, line = 20, None

    def __init__(self, location="", camera="camera", query=None):
        super().__init__([0.0] * self.count, plate(), camera, live=True)

    def __iter__(self):
        from edgelane.core import Frame

        for k in range(self.count):
            time.sleep(PERIOD)
            if self.line is not None:
                self.line.edge()
            yield Frame(plate(k % 5 == 4, k), time.time(), self.camera, k)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A recipe of one picture a part, taught by twelve."""
    from edgelane.cli.teaching import teach

    folder = tmp_path_factory.mktemp("plate")
    (folder / "good").mkdir()
    for k in range(12):
        cv2.imwrite(str(folder / "good" / f"{k:02d}.png"), plate(seed=100 + k))
    (folder / "plate.yaml").write_text("pipeline: inspection\nchecks: {golden: {}}\n")
    return teach(folder / "plate.yaml", str(folder / "good"), false_rejects=0.02).recipe


@pytest.fixture
def lines(monkeypatch):
    """Fakes of the lines, by number."""
    made = {}

    def output(chip, line, on=False, active_low=False):
        made[line] = FakeOutput()
        made[line].set(on)
        return made[line]

    def entry(chip, line, edge="rising"):
        made[line] = Live.line = FakeInput()
        return made[line]

    monkeypatch.setattr(inspecting, "open_output", output)
    monkeypatch.setattr(inspecting, "open_input", entry)
    register("plates", Live)
    yield made
    Live.line = None


def recipe(taught, text):
    path = taught.with_name("live.v1.yaml")
    path.write_text(taught.read_text() + "source: plates://\n" + text)
    return path


REJECT = "outputs:\n  reject: {chip: /dev/gpiochip0, line: 3, delay: %s, pulse: 0.04}\n"


@pytest.mark.slow
def test_bad_parts_are_put_out_in_time_and_the_line_is_safe_at_the_end(taught, lines, tmp_path):
    text = REJECT % 2.0 + "  heartbeat: {chip: /dev/gpiochip0, line: 4, period: 0.1}\n"
    summary, folder = run(recipe(taught, text), out=tmp_path / "run")
    events = list(read_events(folder, "verdict"))
    failed = [e for e in events if e.payload["verdict"] == "fail"]
    assert len(events) == 20 and len(failed) == 4
    output = summary["run"]["output"]
    assert output["late"] == 0 and 0 < output["latency_ms"]["median"] < 2000
    changes = lines[3].changes
    assert changes[0][1] and changes[-1][1] and lines[3].closed  # safe before and after
    assert len(lines[4].changes) > 4 and not lines[4].on


@pytest.mark.slow
def test_verdicts_that_come_too_late_set_the_safe_level_and_are_told(taught, lines, tmp_path):
    summary, _ = run(recipe(taught, REJECT % 0.0001), out=tmp_path / "run")
    assert summary["run"]["output"]["late"] == 20 and summary["run"]["output"]["put_out"] == 0
    assert {on for _, on in lines[3].changes} == {True}
    assert "came after the part had passed the output" in summary["warnings"][0]


@pytest.mark.slow
def test_an_input_says_which_pictures_are_of_parts(taught, lines, tmp_path):
    text = "trigger: {by: input, within: 5, input: {chip: /dev/gpiochip0, line: 7}}\n"
    summary, folder = run(recipe(taught, text), out=tmp_path / "run")
    assert summary["run"]["triggers"]["edges"] == 20
    assert summary["inspected"] + summary["run"]["triggers"]["unseen"] == 20
    assert summary["failed"] >= 3 and lines[7].closed
    assert json.loads((folder / "summary.json").read_text())["run"]["recipe"] == "live"


@pytest.mark.slow
def test_a_line_that_cannot_be_had_begins_no_run(taught, monkeypatch, tmp_path):
    register("plates", Live)
    with pytest.raises(SourceError, match="line 3 of /dev/gpiochip0 cannot be had"):
        run(recipe(taught, REJECT % 1.0), out=tmp_path / "run")


def at(text, zone="Europe/Berlin"):
    """Unix time of a local one."""
    from datetime import datetime, timezone

    moment = datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()
    return moment - Zone(zone).offset(moment - 3600)


def test_each_shift_of_each_day_is_told_once():
    day = Shifts(["22:00", "6:00", "14:00"], Zone("Europe/Berlin"))
    told = [
        day.begun(at(text))
        for text in (
            "2026-11-20T13:00", "2026-11-20T13:59", "2026-11-20T14:00", "2026-11-20T21:59",
            "2026-11-20T22:10", "2026-11-21T05:59", "2026-11-21T06:00", "2026-11-21T06:01",
            "2026-11-22T07:00",
        )
    ]  # fmt: skip
    assert told == [None, None, "14:00", None, "22:00", None, "6:00", None, "6:00"]
    one = Shifts(["06:00"], Zone("Europe/Berlin"))
    days = [f"2026-10-{d}T07:00" for d in (24, 25, 26)]  # clocks are set back on the 25th
    assert [one.begun(at(text)) for text in days] == [None, "06:00", "06:00"]
    assert Shifts([], Zone("UTC")).begun(0.0) is None


@pytest.fixture
def challenged(taught, tmp_path, monkeypatch):
    """A live recipe with a challenge set, of which one shift begins while it runs."""
    for verdict, flaw in (("pass", False), ("fail", True)):
        (tmp_path / "known" / verdict).mkdir(parents=True)
        for k in range(2):
            cv2.imwrite(str(tmp_path / "known" / verdict / f"{k}.png"), plate(flaw, 40 + k))
    begun = iter([None] * 4 + ["06:00"])
    monkeypatch.setattr(Shifts, "begun", lambda self, now: next(begun, None))
    register("plates", Live)
    text = f"challenge: {{set: {tmp_path / 'known'}, shifts: ['06:00']}}\n"
    return recipe(taught, text), tmp_path / "known"


@pytest.mark.slow
def test_the_challenge_set_is_judged_at_the_beginning_of_a_shift(challenged, tmp_path):
    path, _ = challenged
    _, folder = run(path, out=tmp_path / "run")
    told = [e.payload for e in read_events(folder, "challenge")]
    assert [(t["shift"], t["passed"]) for t in told] == [
        ("start of the run", True), ("06:00", True),
    ]  # fmt: skip
    assert told[1]["verdicts"][0] == ["pass/0.png", "pass", "pass"]
    assert told[1]["recipe"] == "live" and not list(read_events(folder, "alarm"))


@pytest.mark.slow
def test_a_challenge_that_cannot_be_judged_is_an_alarm(challenged, tmp_path, monkeypatch):
    path, known = challenged
    judged = inspecting.run_challenge

    def once(recipe):
        result = judged(recipe)
        for picture in (known / "fail").iterdir():
            picture.unlink()
        return result

    monkeypatch.setattr(inspecting, "run_challenge", once)
    _, folder = run(path, out=tmp_path / "run")
    assert len(list(read_events(folder, "challenge"))) == 1
    (alarm,) = read_events(folder, "alarm")
    assert (
        "could not be judged (06:00): no part of the challenge set must fail"
        in (alarm.payload["text"])
    )
