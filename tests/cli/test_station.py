"""A live inspection: the machine is told in time, and is left safe when it cannot be."""

import json
import time

import numpy as np
import pytest

from edgelane.cli.jobs import inspecting, read_events, run
from edgelane.core import SourceError
from edgelane.runtime.sources import register
from edgelane.runtime.testing import FakeInput, FakeOutput, FakeSource

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
