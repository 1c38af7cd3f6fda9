"""Totals by the local hour and day: DST, gaps, clocks that jump; none goes down."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelane.core import Event, UsageError
from edgelane.pipelines.totals import Totals, all_totals
from edgelane.runtime.timezones import Zone

BERLIN = Zone("Europe/Berlin").offset
NOON = 1795258800.0  # 2026-11-21T12:00:00+01:00


def crossing(at, line="door", direction="in"):
    return Event("door", at, "crossing", {"line": line, "direction": direction, "track": 1})


def gap(start, end, reason="x"):
    return Event("door", end, "gap", {"from": start, "to": end, "reason": reason})


def made(events, by="hour", offset=BERLIN):
    totals = Totals(by, offset)
    for event in events:
        totals.add(event)
    return totals


def test_an_hour_with_eight_minutes_missing_is_a_lower_bound():
    events = [crossing(NOON + 60), crossing(NOON + 3700), gap(NOON + 600, NOON + 1080)]
    totals = made(events)
    first, second = totals.rows((NOON, NOON + 7200))
    assert first["start"] == "2026-11-21T12:00:00+01:00"
    assert first["lines"] == {"door": {"in": 1, "out": 0}}
    assert first["lower_bound"] and first["note"] == "lower bound, 8 minutes missing"
    assert first["missing_s"] == 480.0 and first["watched_s"] == 3120.0
    assert not second["lower_bound"] and second["note"] == "" and not second["partial"]
    total = totals.total((NOON, NOON + 7200))
    assert total["lines"]["door"]["in"] == 2 and total["note"] == "lower bound, 8 minutes missing"
    (day,) = made(events, "day").rows()
    assert day["note"] == "lower bound, 8 minutes missing" and day["start"].startswith(
        "2026-11-21T00"
    )


def test_a_gap_is_shared_among_its_hours():
    rows = made([gap(NOON - 120, NOON + 3600 + 360)]).rows()
    assert [row["missing_s"] for row in rows] == [120.0, 3600.0, 360.0]
    assert rows[1]["watched_s"] == 0.0 and rows[1]["note"] == "lower bound, 60 minutes missing"


def test_hours_without_events_stand_there_with_zeros():
    rows = made([crossing(NOON), crossing(NOON + 4 * 3600)]).rows()
    assert [row["lines"]["door"]["in"] for row in rows] == [1, 0, 0, 0, 1]


def test_where_clocks_are_set_back_an_hour_is_told_twice_and_the_day_is_longer():
    back = 1792890000.0  # 2026-10-25T03:00+02:00 becomes 02:00+01:00
    events = [crossing(back - 1800), crossing(back + 1800), crossing(back + 5400)]
    starts = [row["start"] for row in made(events).rows()]
    assert starts == [
        "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00",
    ]  # fmt: skip
    (day,) = made([*events, gap(back - 7200, back)], "day").rows((back - 9e4, back + 9e4))[1:2]
    assert day["start"] == "2026-10-25T00:00:00+02:00" and day["end"] == "2026-10-26T00:00:00+01:00"
    assert day["watched_s"] == 25 * 3600 - 7200 and day["lines"]["door"]["in"] == 3


def test_where_clocks_are_set_forward_an_hour_is_left_out():
    forth = 1774746000.0
    rows = made([crossing(forth - 1800), crossing(forth + 1800)]).rows()
    assert [row["start"][11:16] for row in rows] == ["01:00", "03:00"]
    (day,) = made([crossing(forth)], "day").rows((forth - 7200, forth + 86400))[:1]
    assert day["end"] == "2026-03-30T00:00:00+02:00"


@pytest.mark.parametrize("name", ["Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo", "UTC"])
def test_odd_zones_lose_nothing(name):
    offset = Zone(name).offset
    moments = [1.77e9 + 8111 * i for i in range(4000)]  # more than a year
    for by in ("hour", "day"):
        rows = made([crossing(t) for t in moments], by, offset).rows()
        assert sum(row["lines"]["door"]["in"] for row in rows) == len(moments)
        starts = [row["start"] for row in rows]
        assert len(set(starts)) == len(starts)


def test_another_zone_moves_the_hours_and_changes_no_sum():
    events = [crossing(NOON + 977 * i, direction="out" if i % 3 else "in") for i in range(500)]
    events.append(gap(NOON + 5000, NOON + 9000))
    sums = set()
    for name in ("Europe/Berlin", "America/New_York", "Asia/Kathmandu"):
        rows = made(events, "hour", Zone(name).offset).rows()
        sums.add((
            sum(row["lines"]["door"]["in"] for row in rows),
            sum(row["lines"]["door"]["out"] for row in rows),
            round(sum(row["missing_s"] for row in rows), 3),
        ))  # fmt: skip
    assert sums == {(167, 333, 4000.0)}


def test_a_clock_that_had_not_been_set_lists_no_millions_of_hours():
    totals = made([crossing(10.0), gap(10.0, NOON), crossing(NOON + 1)])
    rows = totals.rows()
    assert [row["start"][:4] for row in rows] == ["1970", "2026"]
    assert totals.total()["lower_bound"]


def test_recordings_count_from_their_start():
    totals = made([crossing(5.0), crossing(3700.0)], offset=None)
    assert [(r["start"], r["end"]) for r in totals.rows()] == [(0.0, 3600.0), (3600.0, 7200.0)]


def test_zones_visits_visitors_and_other_kinds():
    events = [
        Event("door", NOON, "entry", {"zone": "till", "track": 1}),
        Event("door", NOON + 9, "visit", {"zone": "till", "dwell_s": 4.0}),
        Event("door", NOON + 9, "visit", {"zone": "till", "dwell_s": 8.0}),
        Event("door", NOON + 9, "visitor", {"track": 1}),
        Event("door", NOON + 9, "fall", {"track": 1}),
        Event("door", NOON + 9, "heatmap", {}),
        Event("door", NOON + 9, "crossing", {"line": "door", "direction": "sideways"}),
        Event("door", NOON + 9, "entry", {}),
    ]
    (row,) = made(events).rows(lines=["back"])
    assert row["zones"]["till"] == {"entries": 1, "visits": 2, "dwell_mean_s": 6.0}
    assert row["visitors"] == 1 and row["events"] == {"fall": 1} and "back" in row["lines"]


def test_cameras_are_summed():
    one, two = made([crossing(NOON)]), made([crossing(NOON + 5), gap(NOON, NOON + 60)])
    (row,) = all_totals([one, two], "hour", BERLIN).rows()
    assert row["lines"]["door"]["in"] == 2 and row["note"] == "lower bound, 1 minute missing"


def test_nothing_gives_nothing():
    assert made([]).rows() == [] and made([]).total()["visitors"] == 0
    with pytest.raises(UsageError, match="Did you mean 'hour'"):
        Totals("hours")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 2e6), st.booleans()), min_size=1, max_size=40),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
)
def test_no_total_ever_goes_down(given_events, name):
    """Whatever comes next, also with an earlier time, no hour's count gets smaller."""
    totals = Totals("hour", Zone(name).offset)
    before = {}
    for at, is_gap in given_events:
        moment = 1.774e9 + at
        totals.add(gap(moment, moment + 777) if is_gap else crossing(moment))
        now = {r["start"]: (r["lines"].get("door", {"in": 0})["in"], r["missing_s"])
               for r in totals.rows()}  # fmt: skip
        for start, (count, missing) in before.items():
            assert now[start][0] >= count and now[start][1] >= missing
        before = now
    rows = totals.rows()
    assert sum(c for c, _ in before.values()) == sum(not g for _, g in given_events)
    assert sum(r["missing_s"] for r in rows) == pytest.approx(
        777.0 * sum(g for _, g in given_events), abs=1.0
    )
