"""What people did, as bars in the report."""

import pytest

from edgelane.core import Event
from edgelane.dashboard.collect import collect
from edgelane.dashboard.report import read_run, render
from edgelane.dashboard.spells import MOST_SPELLS, Spells
from edgelane.dashboard.words import Clock
from edgelane.runtime.journal import Journal


def spell(since, until, rule="fall", track=1, **more):
    payload = {"rule": rule, "track": track, "since": since, "until": until, **more}
    return Event("camera", until, "released", payload, int(since))


def test_spells_stand_where_they_were():
    """Left and width go with time; what is told names person, side and length."""
    spells = Spells(Clock())
    assert spells.view() is None
    spells.add(0, spell(10, 20).payload)
    spells.add(0, spell(30, 110, "hand_raised", 2, side="left").payload)
    view = spells.view()
    assert [row.name for row in view.rows] == ["fall", "hand raised"]
    first, second = (row.bars[0] for row in view.rows)
    assert second.width == pytest.approx(8 * first.width, rel=0.01)
    assert second.left - first.left == pytest.approx(2 * first.width, rel=0.01)
    assert "person 2, left" in second.text and view.rows[0].total == "10 s"


def test_memory_is_bounded_and_rubbish_is_counted():
    """Only so many are drawn; all are counted; an event that is none is told as unread."""
    events = [spell(float(k), k + 0.5) for k in range(MOST_SPELLS + 50)]
    events.append(Event("camera", 1.0, "released", {"rule": "fall"}))
    found = collect(events, Clock())["camera"]
    assert len(found.spells) == MOST_SPELLS + 50 and found.unread == 1
    view = found.spells.view()
    assert len(view.rows[0].bars) == MOST_SPELLS and "50 of them are not drawn" in view.note


def test_the_page_shows_them(tmp_path):
    """In a section of their own, with names made safe."""
    with Journal(tmp_path / "events.db") as journal:
        journal.write("camera", 1, 9.0, [spell(1, 2), spell(3, 9, "a<b>")])
    page = render(read_run(tmp_path))
    assert "What people did" in page and "a&lt;b&gt;" in page and "a<b>" not in page


def test_a_run_that_counts_nobody_shows_no_empty_counts(make_run, tmp_path):
    """The zones of a pose camera are places to point at: without visits, no card of counting."""
    drawn = {"camera": {"size": [640, 360], "lines": {}, "zones": make_run.shapes()["zones"]}}
    events = [Event("camera", 1.0, "person", {"track": 1}), spell(1, 2)]
    summary = {**make_run.RUN, "frames": 30, "people": 1, "rules": {"fall": 1}}
    page = render(read_run(make_run.put(tmp_path / "run", events, summary, drawn)))
    assert "What people did" in page and "In and out" not in page
