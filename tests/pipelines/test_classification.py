"""The class of a picture in time: certain after a while, steady, and summed up."""

import numpy as np
import pytest

from edgelane.core import ConfigError, DataError, Detections, Observation, Regions
from edgelane.pipelines.classification import Classification, ClassificationSettings
from edgelane.pipelines.registry import pipeline_class
from edgelane.runtime.classify import Classified

CLASSES = ["clean", "dirty", "wet"]
SIZE = (640, 480)


def play(rows, fps=10, multi=False, pipeline=None, start=0, **settings):
    """Scores of one frame after another; gives all events and the pipeline."""
    made = pipeline or Classification("c", ClassificationSettings(**settings), SIZE, CLASSES)
    events = []
    for i, row in enumerate(rows, start):
        found = Classified(np.asarray(row, np.float32), multi)
        given = Observation("c", i / fps, Detections.empty(), SIZE, index=i, findings=found)
        events += made.process(given)
    return events, made


CLEAN, DIRTY, UNSURE = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.35, 0.35, 0.3)


def kinds(events, kind):
    return [e.payload for e in events if e.kind == kind]


def test_a_class_is_told_when_it_has_lasted_and_when_it_is_over():
    events, made = play([CLEAN] * 30 + [DIRTY] * 30)
    events += made.finish()
    told = kinds(events, "class")
    assert [(t["class"], t["before"]) for t in told] == [("clean", None), ("dirty", "clean")]
    assert told[0]["since"] == 0 and 3.0 <= told[1]["since"] <= 3.5
    assert told[1]["top"][0][0] == "dirty" and len(told[1]["top"]) == 3
    spells = kinds(events, "spell")
    assert [s["class"] for s in spells] == ["clean", "dirty"]
    assert spells[0]["until"] == spells[1]["since"]
    assert spells[0]["score"] > 0.8
    summary = made.summarise(events)
    assert summary["changes"] == 1
    assert summary["watched_s"] == pytest.approx(5.9)
    total = sum(c["share"] for c in summary["classes"].values()) + summary["unsure"]
    assert total == pytest.approx(1, abs=1e-3)


def test_what_flickers_changes_nothing():
    rows = [CLEAN] * 20 + [DIRTY] * 3 + [CLEAN] * 20 + [UNSURE] * 4 + [CLEAN] * 20
    events, made = play(rows)
    events += made.finish()
    assert [t["class"] for t in kinds(events, "class")] == ["clean"]
    spell = kinds(events, "spell")
    assert len(spell) == 1 and spell[0]["duration_s"] == pytest.approx(6.6)


def test_scores_around_the_limit_do_not_switch_it():
    draws = np.random.default_rng(0)
    best = 0.55 + 0.08 * draws.standard_normal(600)
    events, made = play(np.stack([best, 0.9 - best, np.full(600, 0.1)], 1), smoothing_s=0.0)
    assert len(kinds(events, "class")) <= 1


def test_a_class_is_over_when_nothing_is_certain_any_more():
    events, made = play([CLEAN] * 20 + [UNSURE] * 30)
    spell = kinds(events, "spell")
    assert len(spell) == 1 and 2.0 <= spell[0]["until"] <= 2.8
    assert made.summarise(events + made.finish())["unsure"] > 0.3


def test_classes_that_may_be_together_are_followed_each_on_its_own():
    rows = [(0.9, 0.1, 0.0)] * 20 + [(0.9, 0.9, 0.0)] * 20 + [(0.1, 0.9, 0.0)] * 20
    events, made = play(rows, multi=True)
    events += made.finish()
    assert [t["class"] for t in kinds(events, "class")] == ["clean", "dirty"]
    assert all(t["before"] is None for t in kinds(events, "class"))
    assert [s["class"] for s in kinds(events, "spell")] == ["clean", "dirty"]
    assert made.summarise(events)["changes"] == 0


def test_frames_and_a_restart_in_between_give_the_same_events():
    rows = [CLEAN] * 25 + [DIRTY] * 25 + [UNSURE] * 25
    whole, made = play(rows)
    whole += made.finish()
    for cut in (3, 26, 29, 52):
        first, one = play(rows[:cut])
        two = Classification("c", ClassificationSettings(), SIZE, CLASSES)
        two.restore(one.snapshot())
        rest, _ = play(rows[cut:], pipeline=two, start=cut)
        again = first + rest + two.finish()
        assert [(e.id, e.payload) for e in again] == [(e.id, e.payload) for e in whole]
    other = Classification("c", ClassificationSettings(least=0.7), SIZE, CLASSES)
    with pytest.raises(DataError):
        other.restore(made.snapshot())


def test_a_gap_ends_what_was_certain_and_is_not_watched():
    events, made = play([CLEAN] * 20)
    events += made.tick(3.0)
    assert not kinds(events, "spell")
    events += made.tick(8.0)
    assert kinds(events, "spell")[0]["until"] == pytest.approx(1.9)
    later, _ = play([CLEAN] * 20, pipeline=made, start=200)
    events += later + made.finish()
    assert [t["since"] for t in kinds(events, "class")] == [0.0, 20.0]
    assert made.summarise(events)["watched_s"] == pytest.approx(3.8)


def test_scores_that_are_no_numbers_are_no_look():
    rows = [CLEAN] * 10 + [(np.nan, 0, 0)] * 10 + [CLEAN] * 10
    events, made = play(rows)
    events += made.finish()
    assert len(kinds(events, "spell")) == 1
    assert made.summarise(events)["watched_s"] == pytest.approx(2.9)


def test_shares_are_told_in_sums_that_add_up():
    events, made = play([CLEAN] * 400, shares_s=10)
    events += made.finish()
    sums = kinds(events, "shares")
    assert len(sums) == 4
    assert sum(s["watched"] for s in sums) == pytest.approx(39.9)
    assert sum(s["seconds"].get("clean", 0) + s["unsure"] for s in sums) == pytest.approx(39.9)


def test_parts_are_asked_for_and_told_by_name():
    parts = {"left": (0, 0, 320, 480), "right": (320, 0, 640, 480)}
    made = Classification("c", ClassificationSettings(parts=parts), SIZE, CLASSES)
    events = []
    for i in range(20):
        given = Observation("c", i / 10, Detections.empty(), SIZE, index=i)
        asked = made.regions(given)
        assert asked.boxes.tolist() == [[0, 0, 320, 480], [320, 0, 640, 480]]
        answered = Regions(asked.boxes, asked.note, np.array([CLEAN, DIRTY]))
        events += made.process(
            Observation("c", i / 10, Detections.empty(), SIZE, index=i, regions=answered)
        )
    events += made.finish()
    told = {t["part"]: t["class"] for t in kinds(events, "class")}
    assert told == {"left": "clean", "right": "dirty"}
    assert made.seen()["left"]["class"] == "clean" if made.seen() else True
    summary = made.summarise(events)
    assert set(summary["parts"]) == {"left", "right"}
    scaled = Classification.scale(made.settings, 0.5, 0.5)
    assert scaled.parts["right"] == (160, 0, 320, 240)


def test_settings_and_input_that_make_no_sense_are_told():
    with pytest.raises(ConfigError, match="keep is above least"):
        ClassificationSettings(keep=0.9)
    with pytest.raises(ConfigError, match="parts.a has no area"):
        ClassificationSettings(parts={"a": (5, 0, 5, 5)})
    with pytest.raises(ConfigError, match="gap_s"):
        ClassificationSettings(gap_s=0)
    made = Classification("c", ClassificationSettings(), SIZE, CLASSES)
    with pytest.raises(DataError, match="needs the scores of classes"):
        made.process(Observation("c", 0.0, Detections.empty(), SIZE))
    with pytest.raises(DataError, match="no time"):
        made.process(Observation("c", float("nan"), Detections.empty(), SIZE))
    assert pipeline_class("classification") is Classification
