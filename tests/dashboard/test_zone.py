"""The report tells the hours of the store, wherever it is written."""

import pytest

from edgelane.core import Event
from edgelane.dashboard.report import read_run
from edgelane.dashboard.words import Clock
from edgelane.runtime.journal import Journal

NOON = 1795258800.0  # 2026-11-21T12:00:00+01:00


def test_a_clock_of_a_named_zone():
    clock = Clock("unix", "Europe/Berlin")
    assert clock.text(clock.local(NOON)) == "21 Nov 2026 12:00:00"
    assert clock.zone() == "Times are local clock times (Europe/Berlin, UTC+01:00)."
    other = Clock("unix", "America/New_York")
    assert other.text(other.local(NOON), 60.0) == "21 Nov 2026 06:00"


@pytest.mark.parametrize("zone", [None, "local", "No/Such"])
def test_without_a_known_zone_it_is_the_machines(zone):
    clock, plain = Clock("unix", zone), Clock("unix")
    assert clock.local(NOON) == plain.local(NOON) and clock.zone() == plain.zone()


def test_recordings_have_no_zone():
    assert Clock("file", "Europe/Berlin").local(5.0) == 5.0


def test_the_report_marks_the_hour_that_lacks_pictures(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        journal.set("clock", "unix")
        journal.set("timezone", "Europe/Berlin")
        payload = {"line": "door", "direction": "in", "track": 1}
        events = [Event("door", NOON + 300 * i, "crossing", payload) for i in range(60)]
        gap = {"from": NOON + 4000, "to": NOON + 4480, "reason": "connection refused"}
        journal.write("door", 1, NOON + 18000, [*events, Event("door", NOON + 4480, "gap", gap)])
    view = read_run(tmp_path)
    table = view.cameras[0].table
    assert table is not None and "Europe/Berlin" in table.note
    rows = {row.when: row.cells for row in table.rows}
    assert rows["12:00"][1] == "12" and rows["13:00"][1] == "≥ 12"
    assert table.total[1] == "≥ 60"
    assert any("8 minutes are missing" in text for _, text in view.notices)
