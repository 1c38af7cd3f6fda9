"""The truth rule, and what the counter makes of annotated boxes."""

import numpy as np
import pytest

from edgelane.benchmarks.counting import WIDTH, explain, main, score
from edgelane.benchmarks.tracking import recordings
from edgelane.benchmarks.truth import people, random_lines, true_crossings
from edgelane.pipelines.geometry import Line

DOOR = Line((50, 100), (50, 0))


def person(*feet):
    """One annotated person, 40 px tall, with these foot points."""
    return people([(np.array([3]), np.array([[x - 8, y - 40, x + 8, y]])) for x, y in feet])


@pytest.mark.parametrize(
    "feet, expected",
    [
        ([(20, 50), (80, 50)], ["in"]),
        ([(80, 50), (20, 50)], ["out"]),
        ([(20, 50), (52, 50)], []),  # still in the band of 3 px
        ([(20, 50), (52, 50), (54, 50)], ["in"]),
        ([(20, 50), (53.5, 50), (46.5, 50)], ["in", "out"]),
        ([(48, 50), (80, 50)], []),  # begins in the band
        ([(20, 120), (80, 120)], []),  # beyond the end
    ],
)
def test_the_truth_rule(feet, expected):
    assert [c.direction for c in true_crossings(person(*feet), DOOR)] == expected


def test_a_crossing_tells_how_close_it_was():
    (crossing,) = true_crossings(person((10, 50), (48, 50), (58, 50), (56, 50)), DOOR)
    assert (crossing.track_id, crossing.frame) == (3, 2)
    assert crossing.reach == pytest.approx(8 / 40)


def test_score_sums_over_lines_and_directions():
    assert score({("a", "in"): 3}, {("a", "in"): 1, ("a", "out"): 2}) == (4, 3, 3)


def test_random_lines_are_the_same_for_a_seed_and_lie_where_people_are():
    persons = person((10, 50), (48, 50), (58, 50))
    lines = random_lines(persons, 200, 30, seed=4)
    assert lines == random_lines(persons, 200, 30, seed=4) != random_lines(persons, 200, 30, 5)
    for line in lines.values():
        middle = np.add(line.start, line.end) / 2
        assert middle[1] == pytest.approx(50) and 20 <= line.length <= 100


@pytest.mark.data
def test_annotated_boxes_are_counted_within_two_percent_and_each_error_is_close(data):
    recording = recordings(data)[0]
    persons = people(recording.truth)
    error = true = 0
    for seed in range(20, 24):
        found = explain(recording, random_lines(persons, WIDTH, 20, seed))
        error, true = error + found.score.error, true + found.score.true
        assert found.others == []
    assert true > 500 and error <= 0.02 * true


@pytest.mark.data
def test_the_benchmark_prints_its_figures(data, capsys):
    assert main(["--data", str(data), "--lines", "3", "--json"]) == 0
    assert '"edgelane"' in capsys.readouterr().out


def test_missing_data_is_one_sentence(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
