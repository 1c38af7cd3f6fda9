"""What is a crossing and what is none. Heights, not pixels: people here are 100 px tall."""

import numpy as np
import pytest

from edgelane.core import ConfigError, DataError, Detections, Tracks
from edgelane.pipelines import state
from edgelane.pipelines.geometry import Line
from edgelane.pipelines.lines import LineCounter, LineSettings
from edgelane.pipelines.tracking import Tracker

HEIGHT = 100.0
# Looking up the picture: whoever walks to the right goes in.
DOOR = Line((300, 400), (300, 100))


def tracks(ids, feet=(), observed=True, confirmed=True, ended=(), boxes=None):
    """People with their feet at `feet`, a third as wide as tall; or their boxes."""
    if boxes is None:
        x, y = np.asarray(feet, float).reshape(-1, 2).T
        boxes = np.stack((x - HEIGHT / 6, y - HEIGHT, x + HEIGHT / 6, y), axis=1)
    n = len(boxes)
    return Tracks(
        np.asarray(ids),
        boxes,
        boxes,
        np.full(n, 0.9),
        np.zeros(n),
        np.full(n, observed),
        np.full(n, confirmed),
        np.asarray(ended, np.int64),
    )


def run(feet, fps, lines, shakes, tops=None, seen=None):
    """Crossings of people who all walk alike, each with noise of their own on every edge.

    `feet[i]` is where they are at time `i / fps`, `shakes` `(frames, people, 4)` the noise in
    pixels, `tops` the heights where they change, `seen` the frames that show them.
    """
    counter, told = LineCounter(lines), []
    people = np.arange(shakes.shape[1]) + 1
    for i, (x, y) in enumerate(np.asarray(feet, float)):
        if seen is not None and not seen[i]:
            told += counter.update(tracks([], []), i / fps)
            continue
        tall = HEIGHT if tops is None else tops[i]
        left, top, right, bottom = (np.array([[x - 17, y - tall, x + 17, y]]) + shakes[i]).T
        boxes = np.stack((left, np.minimum(top, bottom - 1), right, bottom), axis=1)
        told += counter.update(tracks(people, boxes=boxes), i / fps)
    return told + counter.finish()


def totals(told, lines, person=None):
    """(in, out) by line, of one person or of all."""
    return {
        name: tuple(
            sum((c.line, c.direction) == (name, d) and person in (None, c.track_id) for c in told)
            for d in ("in", "out")
        )
        for name in lines
    }


def count(feet, fps=10.0, line=DOOR, **more):
    """(in, out) of one person without noise."""
    told = run(feet, fps, {"line": line}, np.zeros((len(feet), 1, 4)), **more)
    return totals(told, {"line": line})["line"]


def noisy(feet, fps=10.0, line=DOOR, noise=0.05, seed=0, **more):
    """The different (in, out) that 50 people get whose boxes have noise of `noise` heights.

    Both sides of a box move together, so that the foot point gets the noise in full.
    """
    shakes = np.random.default_rng(seed).normal(0, noise * HEIGHT, (len(feet), 50, 4))
    shakes[..., 2] = shakes[..., 0]
    told = run(feet, fps, {"line": line}, shakes, **more)
    return {totals(told, {"line": line}, person)["line"] for person in range(1, 51)}


def path(*corners, speed=0.7, fps=10.0):
    """Points on the way through corners, `speed` heights a second (a walk)."""
    points = [np.asarray(corners[0], float)]
    for corner in corners[1:]:
        corner = np.asarray(corner, float)
        step = speed * HEIGHT / fps
        n = max(1, int(round(np.hypot(*(corner - points[-1])) / step)))
        points += list(np.linspace(points[-1], corner, n + 1)[1:])
    return np.array(points)


# -- crossing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [3, 7, 10, 30])
def test_a_walk_across_counts_once_in_its_direction(fps):
    way = path((200, 250), (400, 250), fps=fps)
    assert count(way, fps) == (1, 0)
    assert count(way[::-1], fps) == (0, 1)
    assert noisy(way, fps) == {(1, 0)}


@pytest.mark.parametrize("angle", np.arange(0, 360, 30))
def test_every_direction_of_line_and_way(angle):
    turn = np.radians(angle)
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    centre = np.array([300, 250])

    def rotate(points):
        return (np.asarray(points, float) - centre) @ turned + centre

    line = Line(*(tuple(p) for p in rotate([DOOR.start, DOOR.end])))
    slanted = path((200, 300), (400, 200))
    assert count(rotate(slanted), line=line) == (1, 0)
    assert count(rotate(slanted[::-1]), line=line) == (0, 1)
    assert noisy(rotate(slanted), line=line) == {(1, 0)}


def test_the_crossing_tells_who_where_and_when():
    counter = LineCounter({"door": DOOR})
    told = []
    for i, point in enumerate(path((200, 250), (400, 250))):
        told += counter.update(tracks([7], [point]), i / 10)
    (crossing,) = told
    assert (crossing.line, crossing.direction, crossing.track_id) == ("door", "in", 7)
    assert crossing.point == pytest.approx((300, 250))
    assert 1.4 < crossing.timestamp < 1.7  # 100 px at 70 px a second


def test_crossing_back_and_forth_counts_each_time():
    way = path((200, 250), (400, 250), (200, 250), (400, 250))
    assert count(way) == (2, 1)
    assert noisy(way) == {(2, 1)}


@pytest.mark.parametrize("before, after", [(1, 1), (1, 3), (3, 1), (2, 2)])
def test_a_fast_runner_seen_in_a_few_frames(before, after):
    step = 120  # more than a height between two frames
    way = [(300 - step * (before - 0.5 - i), 250) for i in range(before + after)]
    assert count(way, fps=7) == (1, 0)
    assert noisy(way, fps=7) == {(1, 0)}


def test_a_runner_who_leaves_the_picture_counts_when_the_track_ends():
    counter = LineCounter({"door": DOOR})
    told = []
    for i, x in enumerate((100, 220, 340)):
        told += counter.update(tracks([1], [(x, 250)]), i / 7)
    told += counter.update(tracks([], [], ended=[1]), 5.0)
    assert [c.direction for c in told] == ["in"]
    assert counter.finish() == []


def test_what_a_tentative_track_did_is_told_once_it_is_confirmed():
    counter = LineCounter({"door": DOOR})
    for i, x in enumerate((100, 220, 340, 460, 580)):
        assert counter.update(tracks([1], [(x, 250)], confirmed=False), i / 7) == []
    told = counter.update(tracks([1], [(700, 250)]), 5 / 7)
    assert [(c.direction, c.track_id) for c in told] == [("in", 1)]
    assert told[0].timestamp < 5 / 7
    assert counter.update(tracks([1], [(800, 250)]), 6 / 7) == []


def test_a_track_that_ends_tentative_is_forgotten():
    counter = LineCounter({"door": DOOR})
    told = []
    for i, x in enumerate((100, 220, 340, 460, 580)):
        told += counter.update(tracks([1], [(x, 250)], confirmed=False), i / 7)
    told += counter.update(tracks([], [], ended=[1]), 3.0)
    assert told + counter.finish() == []


@pytest.mark.parametrize("gap", [2, 5, 10, 20])
def test_an_id_lost_in_the_middle_of_the_crossing(gap):
    way = path((200, 250), (400, 250))
    middle = len(way) // 2
    seen = np.ones(len(way), bool)
    seen[middle - gap // 2 : middle - gap // 2 + gap] = False
    assert count(way, seen=seen) == (1, 0)
    assert noisy(way, seen=seen) == {(1, 0)}


def test_coasted_boxes_never_count_by_themselves():
    counter = LineCounter({"door": DOOR})
    told = []
    for i, x in enumerate((200, 230, 260)):
        told += counter.update(tracks([1], [(x, 250)]), i / 10)
    for i, x in enumerate((290, 320, 350, 380)):
        told += counter.update(tracks([1], [(x, 250)], observed=False), 0.3 + i / 10)
    told += counter.update(tracks([1], [(255, 250)]), 0.8)
    assert told + counter.finish() == []


# -- no crossing ------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [5, 10, 30])
@pytest.mark.parametrize("off", [0, 3, 6])
def test_standing_on_the_line_is_no_crossing(fps, off):
    way = np.tile([300.0 + off, 250], (200, 1))
    assert count(way, fps) == (0, 0)
    assert noisy(way, fps) == {(0, 0)}


def test_standing_on_a_level_line_is_no_crossing():
    level = Line((100, 250), (500, 250))
    assert noisy(np.tile([300.0, 250], (200, 1)), line=level) == {(0, 0)}


@pytest.mark.parametrize("fps", [7, 25])
def test_standing_on_the_line_behind_a_tracker_is_no_crossing(fps):
    """A tracker's smooth boxes drift with the noise; the jitter of the detections tells."""
    level = Line((100, 250), (500, 250))
    for seed in range(10):
        shakes = np.random.default_rng(seed).normal(0, 0.05 * HEIGHT, (200, 4))
        tracker, counter, told = Tracker(), LineCounter({"level": level}), []
        for i, shake in enumerate(shakes):
            box = np.array([[283, 150, 317, 250]]) + shake
            seen = tracker.update(Detections.cleaned(box, [0.9]), i / fps)
            told += counter.update(seen, i / fps)
        assert told + counter.finish() == []


@pytest.mark.parametrize("reach", [-10, 0, 3])
def test_touching_the_line_and_turning_back(reach):
    way = path((200, 250), (300 + reach, 250), (200, 250))
    assert count(way) == (0, 0)
    assert noisy(way) == {(0, 0)}


def test_stopping_on_the_line_and_turning_back():
    still = np.tile([300.0, 250], (30, 1))
    way = np.concatenate((path((200, 250), (300, 250)), still, path((300, 250), (200, 250))))
    assert noisy(way) == {(0, 0)}


def test_stopping_on_the_line_and_walking_on():
    still = np.tile([300.0, 250], (30, 1))
    way = np.concatenate((path((200, 250), (300, 250)), still, path((300, 250), (400, 250))))
    assert noisy(way) == {(1, 0)}


@pytest.mark.parametrize("clearance", [30, 60])
def test_walking_round_the_end(clearance):
    top = 100 - clearance
    way = path((250, 250), (250, top), (350, top), (350, 250), speed=0.7)
    assert count(way) == (0, 0)
    assert noisy(way) == {(0, 0)}


def test_round_the_end_and_back_through_the_line():
    way = path((250, 250), (250, 40), (350, 40), (350, 250), (250, 250))
    assert count(way) == (0, 1)
    assert noisy(way) == {(0, 1)}


def test_passing_beyond_the_ends():
    for y in (60, 440):
        assert noisy(path((200, y), (400, y))) == {(0, 0)}


def test_passing_just_inside_the_ends():
    for y in (130, 370):
        assert noisy(path((200, y), (400, y))) == {(1, 0)}


@pytest.mark.parametrize("x", [270, 300])
def test_walking_along_the_line(x):
    assert noisy(path((x, 450), (x, 50))) == {(0, 0)}


@pytest.mark.parametrize("x", [280, 300, 320])
def test_a_person_who_comes_into_being_on_the_line_has_not_crossed_it(x):
    for goal in (200, 400):
        if (goal - 300) * (x - 300) < 0:
            continue  # born on one side and leaving by the other is a crossing
        assert noisy(path((x, 250), (goal, 250))) == {(0, 0)}


def test_a_person_who_comes_into_being_near_the_line_and_crosses_it():
    assert noisy(path((270, 250), (400, 250)), noise=0.02) == {(1, 0)}


# -- boxes that change ------------------------------------------------------------------------


@pytest.mark.parametrize("every", [2, 3, 7, 20])
def test_a_box_that_flickers_at_the_feet(every):
    """The legs are cut off in some frames: the foot point jumps up over a level line and back."""
    level = Line((100, 240), (500, 240))
    still = np.tile([300.0, 255], (200, 1))
    tops = np.full(200, HEIGHT)
    still[every - 1 :: every, 1] -= 30
    tops[every - 1 :: every] -= 30
    assert count(still, line=level, tops=tops) == (0, 0)
    assert noisy(still, line=level, tops=tops, noise=0.02) == {(0, 0)}


@pytest.mark.parametrize("hidden", [3, 10, 20])
def test_legs_hidden_for_a_while(hidden):
    level = Line((100, 240), (500, 240))
    still = np.tile([300.0, 258], (120, 1))
    tops = np.full(120, HEIGHT)
    still[50 : 50 + hidden, 1] -= 35
    tops[50 : 50 + hidden] -= 35
    assert count(still, line=level, tops=tops) == (0, 0)
    assert noisy(still, line=level, tops=tops, noise=0.02) == {(0, 0)}


def test_a_box_that_comes_and_goes_while_crossing():
    way = path((200, 250), (400, 250))
    for seed in range(5):
        seen = np.random.default_rng(seed).random(len(way)) < 0.5
        seen[[0, -1]] = True
        assert noisy(way, seen=seen, seed=seed) == {(1, 0)}


# -- several lines ----------------------------------------------------------------------------


def test_two_lines_close_together_count_alike():
    lines = {"first": DOOR, "second": Line((306, 400), (306, 100))}
    way = path((200, 250), (400, 250))
    shakes = np.random.default_rng(1).normal(0, 5, (len(way), 50, 4))
    told = run(way, 10.0, lines, shakes)
    for person in range(1, 51):
        assert totals(told, lines, person) == {"first": (1, 0), "second": (1, 0)}


def test_two_lines_that_meet_count_a_way_once():
    lines = {"lower": Line((300, 400), (300, 250)), "upper": Line((300, 250), (300, 100))}
    for y in range(240, 261):
        way = path((200, y), (400, y))
        for noise in (0, 3):
            shakes = np.random.default_rng(y).normal(0, noise, (len(way), 20, 4))
            told = run(way, 10.0, lines, shakes)
            assert len(told) == 20 == len({c.track_id for c in told})


def test_no_lines_count_nothing():
    counter = LineCounter({})
    assert counter.update(tracks([1], [(1, 1)]), 0.0) == [] == counter.finish()


# -- state ------------------------------------------------------------------------------------


def scene(seed, people=12, frames=150):
    """Noisy random walkers around the door; some are tentative at first, some end."""
    rng = np.random.default_rng(seed)
    feet = rng.uniform((150, 50), (450, 450), (people, 2))
    way = rng.uniform(-12, 12, (people, 2))
    for i in range(frames):
        way = np.clip(way + rng.normal(0, 3, way.shape), -15, 15)
        feet = feet + way
        shown = np.flatnonzero(rng.random(people) < 0.9)
        generation = i // 50
        ended = np.arange(people) + generation * people - people + 1 if i % 50 == 0 and i else []
        yield (
            i / 10,
            tracks(
                shown + 1 + generation * people,
                (feet + rng.normal(0, 3, feet.shape))[shown],
                confirmed=i % 50 > 5,
                ended=ended,
            ),
        )


@pytest.mark.parametrize("cut", [1, 53, 104])
def test_a_restored_counter_goes_on_as_if_nothing_had_been(cut):
    lines = {"door": DOOR, "sill": Line((100, 250), (500, 260))}
    whole, first, second = LineCounter(lines), LineCounter(lines), LineCounter(lines)
    expected, told = [], []
    for i, (time, seen) in enumerate(scene(3)):
        expected += whole.update(seen, time)
        if i == cut:
            second.load_state(state.decode(state.encode(first.state())))
        told += (first if i < cut else second).update(seen, time)
    assert told == expected and len(told) > 5
    assert second.finish() == whole.finish()


def test_state_of_other_lines_is_refused():
    kept = LineCounter({"door": DOOR}).state()
    with pytest.raises(DataError, match="other lines"):
        LineCounter({"gate": DOOR}).load_state(kept)
    with pytest.raises(DataError, match="another version"):
        LineCounter({"door": DOOR}).load_state({**kept, "version": 0})


def test_memory_stays_flat_while_tracks_are_born_and_die():
    counter = LineCounter({"door": DOOR})
    sizes = set()
    for i in range(3000):
        ids = np.arange(i * 5, i * 5 + 5) + 1
        counter.update(tracks(ids, np.full((5, 2), 250.0), ended=ids - 5 if i else []), i / 10)
        if i >= 10:
            sizes.add(len(state.encode(counter.state())))
    assert max(sizes) < 3000


# -- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"tolerance": -0.1}, {"settle_s": 0}, {"jitter_s": float("nan")}, {"certainty": -1}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"crossing.{next(iter(wrong))}"):
        LineSettings(**wrong)
