"""The parts that a report is made of: bounded series, words, pictures, drawings."""

import random
import struct
import time
import zlib

import numpy as np
import pytest

from edgelane.core import Event
from edgelane.dashboard.charts import dwell_bars, occupancy_charts
from edgelane.dashboard.collect import CameraEvents, collect
from edgelane.dashboard.png import indexed_png
from edgelane.dashboard.scene import heat, heat_palette, overlay
from edgelane.dashboard.series import (
    CHART_STEPS,
    TABLE_STEPS,
    Bins,
    EvenSample,
    Level,
    Spread,
    add_counts,
    counts,
)
from edgelane.dashboard.table import time_table
from edgelane.dashboard.words import Clock, duration, elapsed, long_duration, number, ticks


@pytest.mark.parametrize("steps", [CHART_STEPS, TABLE_STEPS])
def test_each_bin_width_is_a_multiple_of_the_one_before(steps):
    widths = [width for width, _ in steps]
    assert all(b % a == 0 and b > a for a, b in zip(widths, widths[1:]))


def test_bins_stay_few_and_lose_nothing():
    bins = Bins(counts, add_counts, CHART_STEPS)
    for i in range(20000):
        value = bins.at(1e9 + i * 97.0)
        value["n"] = value.get("n", 0) + 1
        assert len(bins) <= 241
    assert sum(value["n"] for _, value in bins.items()) == 20000
    starts = [start for start, _ in bins.items()]
    assert starts == sorted(starts) and starts[0] % bins.width == 0


def test_bins_take_times_before_the_first_one():
    bins = Bins(counts, add_counts)
    for time_s in (1000.0, 5.0, -20.0):
        bins.at(time_s)["n"] = 1
    assert [start for start, _ in bins.items()] == [-20.0, 0.0, 1000.0]


def test_a_level_is_weighted_by_time():
    level = Level()
    level.add(4.0, 6, 10.0)
    level.add(1.0, 2, 30.0)
    assert level.mean == pytest.approx(1.75)
    assert level.highest == 6


def test_an_even_sample_spans_the_whole_stream():
    sample = EvenSample(100)
    for i in range(12345):
        sample.add(i)
    assert 50 <= len(sample.items) <= 100
    assert sample.seen == 12345
    assert len(set(np.diff(sample.items))) == 1
    assert sample.items[0] == 0 and sample.items[-1] > 12000


def test_a_spread_knows_mean_median_and_histogram():
    spread = Spread()
    for value in (1.0, 2.0, 3.0, 50.0, 100000.0):
        spread.add(value)
    assert spread.median == 3.0
    assert spread.mean == pytest.approx(20011.2)
    assert spread.longest == 100000.0
    assert spread.histogram([0.0, 2.0, 10.0, 60.0]) == [1, 2, 1, 1]
    assert sum(bar.value for bar in dwell_bars(spread)) == 5


def test_words_for_numbers_and_times():
    assert number(1234567.891, 1) == "1,234,567.9"
    assert number(-3) == "−3" and number(None) == number(float("nan")) == "–"
    assert [duration(s) for s in (0, 9.96, 59.6, 79, 3599.9, 7500, 90000)] == [
        "0.0 s",
        "10 s",
        "1 min",
        "1 min 19 s",
        "1 h",
        "2 h 5 min",
        "1 d 1 h",
    ]
    assert [long_duration(s) for s in (0.2, 59, 60, 480, 7200, 200000)] == [
        "1 second",
        "59 seconds",
        "1 minute",
        "8 minutes",
        "2 hours",
        "2 days",
    ]
    assert elapsed(79.9) == "0:01:19" and elapsed(90061) == "1 d 1:01:01"
    assert list(ticks(0, 10, (1, 2, 5), 4)) == [0, 5, 10]


def test_a_clock_without_a_calendar_does_not_fail():
    clock = Clock("unix")
    assert clock.text(clock.local(1e18))


def test_a_png_holds_its_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = indexed_png(pixels, heat_palette())
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(name + body)
        chunks[name] = body
        at += 12 + length
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (4, 3, 8, 3, 0, 0, 0)
    assert len(chunks[b"PLTE"]) == 768 and chunks[b"tRNS"][0] == 0
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(3, 5)
    assert (rows[:, 1:] == pixels).all() and not rows[:, 0].any()


def test_more_presence_is_lighter_and_less_clear():
    palette = heat_palette().astype(float)
    light = palette[1:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) >= -1.0).all()  # rounding of channels
    assert (np.diff(palette[:, 3]) >= 0).all()


def test_heatmap_parts_add_up():
    def part(cells, seconds, t):
        payload = {"start": t, "duration_s": 1, "size": [40, 20], "grid": [4, 2]}
        return Event("c", t, "heatmap", {**payload, "cells": cells, "seconds": seconds})

    events = collect([part([0, 5], [1.0, 2.0], 1.0), part([5], [8.0], 2.0)], Clock())["c"]
    (grid,) = events.heat.values()
    assert grid.tolist() == [1.0, 0, 0, 0, 0, 10.0, 0, 0]
    found = heat(events)
    assert found.total == 11.0 and found.cell == (10.0, 10.0)
    assert found.marks[-1][0] == 1.0 and found.marks[0][1] == "0 s"


def test_the_arrow_points_to_the_right_of_who_looks_along_the_line():
    # From the left to the right with y down: the right-hand side is below.
    shapes = {"lines": {"door": {"from": [0, 50], "to": [100, 50]}}}
    drawn = overlay(shapes, (100.0, 100.0))
    label = next(x for x in drawn.labels if x.kind == "in")
    assert label.left == pytest.approx(50.0) and label.top > 55.0
    assert drawn.lines == (("0", "50", "100", "50"),)


def test_long_or_many_names_become_numbers_with_a_key():
    line = {"from": [0, 50], "to": [100, 50]}
    few = overlay({"lines": {"door": line}}, (100.0, 100.0))
    assert few.key == () and "door" in [x.text for x in few.labels]
    name = "the door behind the second escalator"
    drawn = overlay({"lines": {name: line}}, (100.0, 100.0))
    assert drawn.key == (("1", name),)
    assert sorted(x.text for x in drawn.labels) == ["1", "in"]


def test_shapes_that_cannot_be_drawn_are_left_out():
    shapes = {
        "lines": {"a": {"from": [1, 1], "to": [1, 1]}, "b": {"from": "x"}, "c": 3},
        "zones": {"a": {"polygon": [[1, 1]]}, "b": {}, "c": {"polygon": [[1, None]] * 3}},
    }
    drawn = overlay(shapes, (100.0, 100.0))
    assert drawn.lines == drawn.zones == drawn.labels == ()


def bucket(t, mean, most, zones=()):
    level = {"mean": mean, "max": most}
    payload = {"start": t, "duration_s": 10.0, "scene": level, "zones": dict.fromkeys(zones, level)}
    return Event("c", t + 10.0, "occupancy", payload)


def test_charts_of_scene_and_zones_share_their_bins():
    events = collect([bucket(10.0 * i, 1.0, 2, ["till"]) for i in range(5000)], Clock())["c"]
    charts = occupancy_charts([("all", events.scene), ("till", events.zones["till"])], events.clock)
    assert [s.left for s in charts[0].slots] == [s.left for s in charts[1].slots]
    assert len(charts[0].slots) <= 240
    assert "On average 1.0, at most 2 at once" in charts[0].note


def test_hours_are_told_and_a_hole_in_them_is_not_called_zero():
    events = [bucket(3600.0 * h + 10 * i, 1, 1) for h in (0, 1, 3) for i in range(360)]
    events.append(Event("c", 3700.0, "visitor", {"track": 1, "class": "person"}))
    found = collect(events, Clock())["c"]
    from edgelane.dashboard.figures import Figures

    table = time_table(found, Figures())
    assert table.title == "Hour by hour"
    assert [(row.when, row.cells) for row in table.rows] == [
        ("0:00:00", ("0", "1 h")),
        ("1:00:00", ("1", "1 h")),
        ("2:00:00", ()),
        ("3:00:00", ("0", "1 h")),
    ]


def test_long_runs_are_told_by_day_with_a_typical_day():
    events = []
    for day in range(10):
        for hour in range(24):
            t = 86400.0 * day + 3600.0 * hour
            events += [bucket(t + 10 * i, 1, 1) for i in range(360)]
            if hour == 14:
                events += [
                    Event("c", t + i, "visitor", {"track": 100 * day + i, "class": "person"}, i)
                    for i in range(6)
                ]
    found = collect(events, Clock())["c"]
    from edgelane.dashboard.figures import Figures

    table = time_table(found, Figures())
    assert table.title == "Day by day" and len(table.rows) == 10
    assert [(bar.text, bar.value) for bar in table.day] == [("14–15", 6.0)]


def test_who_follows_an_earlier_track_is_the_same_passer_by():
    def event(kind, t, **payload):
        return Event("c", t, kind, payload)

    path = [[0, 1, 1], [1, 2, 2]]
    events = [
        event("visitor", 1.0, track=1),
        event("track", 2.0, track=1, visitor=True, entered=False, path=path),
        event("visitor", 3.0, track=2),
        event("crossing", 4.0, track=3, line="door", direction="in"),
        event("track", 5.0, track=3, visitor=False, entered=True, path=path, follows=1),
    ]
    people = CameraEvents(Clock())
    for e in events[:3]:
        people.add(e)
    assert people.people.passers_by == 2
    for e in events[3:]:
        people.add(e)
    assert people.people.passers_by == 1


def test_memory_does_not_grow_with_the_run():
    rng = random.Random(0)
    events = CameraEvents(Clock("unix"))
    sizes = []
    for i in range(60000):
        t = 1.75e9 + i * 60.0
        path = [[t, rng.random() * 99, 5.0], [t + 1, 7.0, 8.0]]
        track = {"track": i, "visitor": True, "entered": False, "path": path}
        events.add(Event("c", t, "track", track))
        events.add(Event("c", t, "visitor", {"track": i}))
        visit = {"zone": "till", "dwell_s": rng.expovariate(0.01)}
        events.add(Event("c", t, "visit", visit))
        events.add(bucket(t, 1.0, 1))
        if i in (29999, 59999):
            sizes.append(len(events.paths.items) + len(events.scene) + len(events.people._people))
    assert sizes[1] <= 20000 + 400 + 240 and sizes[0] <= 20000 + 400 + 240
    assert len(events.dwell["till"]._counts) < 3000


def test_two_hundred_thousand_events_take_seconds():
    events = [bucket(10.0 * i, 1.0, 2, ["till"]) for i in range(2000)]
    started = time.perf_counter()
    collected = CameraEvents(Clock("unix"))
    for _ in range(20):
        for event in events:
            collected.add(event)
    # 40,000 here; a tenth of a millisecond each would be 20 s for 200,000.
    assert time.perf_counter() - started < 4.0


def test_rows_with_missing_pictures_say_that_they_are_a_lower_bound():
    day = 1_700_006_400.0  # midnight, UTC
    events = []
    for hour in range(4):
        for minute in (5, 40):
            at = day + 3600 * hour + 60 * minute
            payload = {"line": "door", "direction": "in", "track": len(events) + 1}
            events.append(Event("a", at, "crossing", payload))
    gap = {"from": day + 3600 * 2 - 120, "to": day + 3600 * 2 + 360, "reason": "hung"}
    events.append(Event("a", gap["to"], "gap", gap))
    seen = collect(events, Clock("file"))["a"]
    from edgelane.dashboard.figures import Figures, LineFigures

    table = time_table(seen, Figures([LineFigures("door", 8, 0)]))
    assert table.columns[-1] == "missing" and "8 minutes in all" in table.note
    cells = [row.cells for row in table.rows]
    assert cells[1][1:] == ("≥ 2", "≥ 0", "2 min 0 s") or cells[1][1].startswith("≥ 2")
    assert cells[2][1].startswith("≥ 2") and cells[2][-1].startswith("6 min")
    assert not cells[0][1].startswith("≥") and not cells[3][1].startswith("≥")
    assert table.total[1] == "≥ 8"
