"""The counting pipeline as a whole: what it tells, and that it always tells the same."""

import doctest
import json
from collections import Counter

import msgspec
import numpy as np
import pytest

from edgelane.core import ConfigError, DataError, Detections, Event, Observation
from edgelane.pipelines import counting as module
from edgelane.pipelines.counting import Counting, LineShape, ZoneShape
from edgelane.pipelines.state import encode

SIZE = (640, 360)
SETTINGS = Counting.Settings(
    lines={"door": LineShape((320, 0), (320, 360))},
    zones={"till": ZoneShape([(400, 100), (560, 100), (560, 300), (400, 300)])},
)
PAYLOADS = {
    "crossing": {"line", "direction", "track", "class", "point"},
    "entry": {"zone", "track", "class"},
    "visit": {"zone", "track", "class", "entered", "left", "dwell_s"},
    "visitor": {"track", "class"},
    "track": {"track", "class", "first", "last", "visitor", "entered", "path"},
    "occupancy": {"start", "duration_s", "scene", "zones"},
    "heatmap": {"start", "duration_s", "size", "grid", "cells", "seconds"},
}


def make(settings=SETTINGS, camera="cam", size=SIZE):
    return Counting(camera, settings, size, ["person"])


def boxes(feet, height=80.0):
    feet = np.asarray(feet, float).reshape(-1, 2)
    x, y = feet[:, 0], feet[:, 1]
    return np.stack((x - height / 5, y - height, x + height / 5, y), axis=1)


def detections(feet, ids=None, height=80.0):
    n = len(feet)
    return Detections(boxes(feet, height), np.full(n, 0.8), np.zeros(n), ids)


def crowd(seed, n=150, people=6, given=False):
    """A realistic sequence: people walk, jitter, are missed, leave; ghosts flicker."""
    rng = np.random.default_rng(seed)
    place = rng.uniform((50, 120), (590, 340), (people, 2))
    speed = rng.normal(0, 5, (people, 2))
    frames, ids = [], np.arange(1, people + 1)
    for _i in range(n):
        place += speed
        outside = (place < (-20, 60)) | (place > (660, 400))
        back = outside.any(axis=1)
        if back.any():
            place[back] = rng.uniform((50, 120), (590, 340), (int(back.sum()), 2))
            ids[back] = ids.max() + 1 + np.arange(back.sum())
        seen = rng.random(people) < 0.9
        found = place[seen] + rng.normal(0, 2, (int(seen.sum()), 2))
        if given:
            frames.append(detections(found, ids[seen]))
            continue
        if rng.random() < 0.1:
            found = np.concatenate((found, rng.uniform((0, 80), (640, 360), (1, 2))))
        frames.append(detections(found))
    return frames


def play(pipeline, frames, fps=10.0, first=0):
    events = []
    for i, found in enumerate(frames, first):
        events += pipeline.process(Observation("cam", i / fps, found, SIZE, index=i))
    return events


def text(events):
    rows = [[e.id, e.camera, e.timestamp, e.kind, e.ordinal, e.payload] for e in events]
    return json.dumps(rows, sort_keys=True)


def walk(start=100.0, step=8.0, n=60, y=200.0):
    return [detections([(start + step * i, y)]) for i in range(n)]


def test_ten_lines_of_python_count_from_arrays():
    result = doctest.testmod(module)
    assert result.attempted >= 10 and result.failed == 0


def test_one_person_who_walks_through_brings_each_event_once():
    pipeline = make()
    events = play(pipeline, walk()) + pipeline.finish()
    kinds = Counter(e.kind for e in events)
    assert kinds == {
        "crossing": 1,
        "entry": 1,
        "visit": 1,
        "visitor": 1,
        "track": 1,
        "occupancy": 1,
        "heatmap": 1,
    }
    for event in events:
        assert set(event.payload) == PAYLOADS[event.kind]
        assert event.camera == "cam" and event.payload.get("class", "person") == "person"
    crossing = next(e.payload for e in events if e.kind == "crossing")
    # From the left to the right over a line that is drawn downwards is to its left: out.
    assert crossing["direction"] == "out" and crossing["point"][0] == pytest.approx(320, abs=1)
    visit = next(e.payload for e in events if e.kind == "visit")
    assert visit["dwell_s"] == pytest.approx(2.0, abs=0.3)
    assert visit["dwell_s"] == pytest.approx(visit["left"] - visit["entered"])
    track = next(e.payload for e in events if e.kind == "track")
    assert track["visitor"] and track["entered"] and track["first"] == 0.0
    assert track["path"][0] == [0.0, pytest.approx(100, abs=3), pytest.approx(200, abs=3)]
    assert len(track["path"]) <= 64
    summary = pipeline.summarise(events)
    assert summary["lines"] == {"door": {"in": 0, "out": 1}}
    assert summary["zones"]["till"]["entries"] == 1
    assert summary["zones"]["till"]["occupancy_max"] == 1
    assert summary["visitors"] == 1 and summary["passers_by"] == 0


def test_events_are_plain_json_and_every_id_is_one_of_a_kind():
    pipeline = make()
    events = play(pipeline, crowd(1, 300)) + pipeline.finish()
    json.loads(text(events))
    assert len({e.id for e in events}) == len(events)
    assert [e.timestamp for e in events] == sorted(e.timestamp for e in events)


def test_the_same_input_gives_the_same_bytes():
    one, other = make(), make()
    frames = crowd(2)
    assert text(play(one, frames) + one.finish()) == text(play(other, frames) + other.finish())
    assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_restart_anywhere_changes_nothing(seed, given):
    frames = crowd(seed, 120, given=given)
    whole = make()
    expected = text(play(whole, frames) + whole.finish())
    source, before = make(), []
    for cut in range(0, 121, 8):
        if cut:
            before += play(source, frames[cut - 8 : cut], first=cut - 8)
        resumed = make()
        resumed.restore(source.snapshot())
        after = play(resumed, frames[cut:], first=cut) + resumed.finish()
        assert text(before + after) == expected, cut


def test_a_restart_every_frame_changes_nothing():
    frames = crowd(6, 60)
    whole = make()
    expected = text(play(whole, frames) + whole.finish())
    events, state = [], make().snapshot()
    for i, found in enumerate(frames):
        pipeline = make()
        pipeline.restore(state)
        events += play(pipeline, [found], first=i)
        state = pipeline.snapshot()
    pipeline = make()
    pipeline.restore(state)
    assert text(events + pipeline.finish()) == expected


def test_what_is_played_again_after_a_crash_has_the_same_ids():
    frames = crowd(7)
    pipeline = make()
    events = play(pipeline, frames[:100])
    state = pipeline.snapshot()
    lost = play(pipeline, frames[100:130], first=100)
    again = make()
    again.restore(state)
    replayed = play(again, frames[100:], first=100)
    assert [e.id for e in lost] == [e.id for e in replayed][: len(lost)]
    assert not {e.id for e in events} & {e.id for e in replayed}


def test_a_state_of_another_configuration_is_refused():
    state = make().snapshot()
    other = msgspec.structs.replace(SETTINGS, lines={"door": LineShape((0, 9), (9, 9))})
    for pipeline in (make(other), make(size=(320, 180))):
        with pytest.raises(DataError, match="does not fit"):
            pipeline.restore(state)
    for junk in (b"", b"junk", state[:-1], encode({"pipeline": "detection"})):
        with pytest.raises(DataError):
            make().restore(junk)


def test_a_visitor_who_goes_in_nowhere_is_a_passer_by():
    settings = Counting.Settings(lines={"door": LineShape((600, 0), (600, 100))})
    pipeline = make(settings)
    summary = pipeline.summarise(play(pipeline, walk()) + pipeline.finish())
    assert (summary["visitors"], summary["passers_by"]) == (1, 1)
    assert "passers_by" not in make(Counting.Settings()).summarise([])


def test_who_goes_in_under_a_second_track_id_is_no_passer_by():
    def event(kind, **payload):
        return Event("cam", 1.0, kind, payload)

    events = [
        event("visitor", track=1),
        event("visitor", track=5),
        event("crossing", line="door", direction="in", track=3),
        event("track", track=2, follows=1),
        event("track", track=3, follows=2),
    ]
    assert make().summarise(events)["passers_by"] == 1


def test_a_summary_of_nothing_names_every_line_and_zone():
    summary = make().summarise([])
    assert summary["lines"] == {"door": {"in": 0, "out": 0}}
    assert summary["zones"]["till"]["entries"] == 0
    assert summary["visitors"] == 0 and summary["passers_by"] == 0


def test_heatmap_and_occupancy_tell_the_same_person_seconds():
    pipeline = make()
    events = play(pipeline, crowd(8, 400)) + pipeline.finish()
    heat = sum(sum(e.payload["seconds"]) for e in events if e.kind == "heatmap")
    buckets = [e.payload for e in events if e.kind == "occupancy"]
    seconds = sum(b["scene"]["mean"] * b["duration_s"] for b in buckets)
    assert heat > 100 and heat == pytest.approx(seconds, rel=0.005)
    assert sum(b["duration_s"] for b in buckets) == pytest.approx(39.9)


def test_given_tracks_are_taken_as_they_are():
    frames = [detections([(100 + 8 * i, 200), (540 - 8 * i, 220)], [7, 9]) for i in range(50)]
    pipeline = make()
    events = play(pipeline, frames)
    tracks = pipeline.tracks()
    assert tracks is not None and sorted(tracks.track_id.tolist()) == [7, 9]
    events += pipeline.finish()
    assert sorted(e.payload["track"] for e in events if e.kind == "visitor") == [7, 9]
    assert Counter(e.payload["direction"] for e in events if e.kind == "crossing") == {
        "in": 1,
        "out": 1,
    }


def test_rows_with_and_without_ids_are_not_mixed():
    pipeline = make()
    play(pipeline, [Detections.empty(), detections([(100, 200)], [7]), Detections.empty()])
    with pytest.raises(DataError, match="mixed"):
        play(pipeline, walk(n=1), first=3)


def test_shapes_scale_with_the_picture():
    scaled = Counting.scale(SETTINGS, 2.0, 0.5)
    assert scaled.lines["door"] == LineShape((640, 0), (640, 180))
    assert scaled.zones["till"].polygon[2] == (1120, 150)
    assert scaled.tracker == SETTINGS.tracker


def test_settings_are_read_from_a_config():
    data = {
        "lines": {"door": {"from": [1, 2], "to": [3, 4.5]}},
        "zones": {"till": {"polygon": [[0, 0], [9, 0], [0, 9]]}},
        "visit": {"enter_s": 0.5},
        "occupancy_s": 60,
    }
    settings = msgspec.convert(data, Counting.Settings)
    assert settings.lines["door"] == LineShape((1, 2), (3, 4.5))
    assert settings.visit.enter_s == 0.5 and settings.occupancy_s == 60
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"linse": {}}, Counting.Settings)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"heatmap_columns": 0}, "heatmap_columns"),
        ({"occupancy_s": float("nan")}, "occupancy_s"),
        ({"path_points": 1}, "path_points"),
        ({"visit": {"enter_s": -1}}, "visit.enter_s"),
        ({"visit": {"slack": 1.0}}, "visit.slack"),
        ({"visit": {"tolerance": 0}}, "visit.tolerance"),
        ({"visitor": {"seen_s": float("inf")}}, "visitor.seen_s"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(data, path):
    with pytest.raises(ConfigError, match=path):
        msgspec.convert(data, Counting.Settings)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (Counting.Settings(lines={"door": LineShape((5, 5), (5, 5))}), "lines.door: "),
        (Counting.Settings(zones={"till": ZoneShape([(0, 0), (5, 5)])}), "zones.till: "),
        (
            Counting.Settings(zones={"till": ZoneShape([(0, 0), (9, 9), (9, 0), (0, 9)])}),
            "zones.till: ",
        ),
    ],
)
def test_a_wrong_shape_is_named_with_its_path(settings, path):
    with pytest.raises(ConfigError, match=path):
        make(settings)


def test_empty_frames_before_during_and_after_are_counted_as_nobody():
    pipeline = make()
    empty = [Detections.empty()] * 100
    events = play(pipeline, empty) + play(pipeline, walk(), first=100)
    events += play(pipeline, empty, first=160) + pipeline.finish()
    buckets = [e.payload for e in events if e.kind == "occupancy"]
    assert [b["start"] for b in buckets] == [0.0, 10.0, 20.0]
    assert buckets[0]["scene"] == {"mean": 0.0, "max": 0}
    assert pipeline.summarise(events)["visitors"] == 1


def test_a_source_without_frames_or_people_finishes_quietly():
    assert make().finish() == []
    pipeline = make()
    assert pipeline.tracks() is None
    assert play(pipeline, [Detections.empty()]) == [] and pipeline.finish() == []
    assert len(pipeline.tracks()) == 0


def test_finishing_twice_tells_nothing_twice():
    pipeline = make()
    play(pipeline, crowd(9, 80))
    assert pipeline.finish() and pipeline.finish() == []


def test_frames_at_one_moment_get_ids_of_their_own():
    pipeline = make()
    events = []
    for i, found in enumerate(crowd(10, 200)):
        events += pipeline.process(Observation("cam", i // 2 / 5, found, SIZE))
    events += pipeline.finish()
    assert len({e.id for e in events}) == len(events) > 5


def test_a_stall_of_an_hour_invents_nothing():
    pipeline = make()
    events = play(pipeline, walk(n=30))
    events += play(pipeline, walk(n=30), first=36000) + pipeline.finish()
    summary = pipeline.summarise(events)
    assert summary["visitors"] == 2
    assert all(e.payload["dwell_s"] < 5 for e in events if e.kind == "visit")
    assert sum(sum(e.payload["seconds"]) for e in events if e.kind == "heatmap") < 9
    assert len([e for e in events if e.kind == "occupancy"]) == 2


def test_time_that_goes_back_does_not_break_anything():
    pipeline = make()
    events = play(pipeline, walk(n=30)) + play(pipeline, walk(n=30), first=20) + pipeline.finish()
    assert [e.timestamp for e in events] == sorted(e.timestamp for e in events)
    with pytest.raises(DataError, match="no time"):
        pipeline.process(Observation("cam", float("nan"), Detections.empty(), SIZE))


def test_time_passes_without_frames():
    pipeline = make()
    play(pipeline, [detections([(480, 200)])] * 30)
    assert pipeline.tick(2.0) == []
    told = pipeline.tick(12.0)
    assert Counter(e.kind for e in told) == {"visit": 1, "occupancy": 1}
    assert all(e.timestamp == 12.0 for e in told)
    assert pipeline.tick(12.0) == [] and pipeline.tick(13.0) == []


def test_boxes_beyond_the_picture_are_taken():
    rng = np.random.default_rng(11)
    pipeline = make()
    for i in range(60):
        found = Detections.cleaned(
            np.sort(rng.uniform(-2000, 3000, (20, 2, 2)), axis=1).reshape(20, 4),
            rng.random(20),
        )
        pipeline.process(Observation("cam", i / 10, found, SIZE))
    events = pipeline.finish()
    columns, rows = next(e.payload["grid"] for e in events if e.kind == "heatmap")
    cells = next(e.payload["cells"] for e in events if e.kind == "heatmap")
    assert min(cells) >= 0 and max(cells) < columns * rows


def test_the_state_stays_small_while_tracks_are_born_and_die():
    pipeline = make()
    sizes = []
    for i in range(1500):
        ids = [i // 3 + 1, 100000 + i // 4]
        feet = [(100 + 30 * (i % 3), 200), (450, 250)]
        pipeline.process(Observation("cam", i / 10, detections(feet, ids), SIZE))
        sizes.append(len(pipeline.snapshot()))
    assert max(sizes[750:]) <= max(sizes[:750]) * 1.02 + 200
