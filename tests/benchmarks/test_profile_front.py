"""What is worth having, and what a budget picks."""

import pytest

from edgelane.benchmarks.profile.front import Budget, answers, mark_front
from edgelane.benchmarks.profile.rows import title
from edgelane.core import UsageError


def row(model, ms, accuracy, **more):
    found = {
        "kind": "measured", "model": model, "size": [416, 416], "precision": "fp32",
        "device": "this machine", "ms": ms, "low_ms": 0.9 * (ms or 0), "high_ms": 1.1 * (ms or 0),
        "fps": 1000 / (ms or 1), "accuracy": accuracy, "metric": "AP", "error": None,
    }  # fmt: skip
    return {**found, **more}


def test_what_is_beaten_in_both_is_not_on_the_front():
    rows = [row("a", 10, 0.3), row("b", 20, 0.4), row("c", 25, 0.35), row("d", 30, 0.4)]
    mark_front(rows)
    assert [r["front"] for r in rows] == [True, True, False, False]
    assert all(r["energy_front"] is None for r in rows)


def test_two_alike_are_both_on_the_front():
    rows = [row("a", 10, 0.3), row("b", 10, 0.3)]
    mark_front(rows)
    assert [r["front"] for r in rows] == [True, True]


def test_energy_has_a_front_of_its_own():
    rows = [row("a", 10, 0.3, energy_mj=90), row("b", 20, 0.3, energy_mj=60)]
    mark_front(rows)
    assert [r["front"] for r in rows] == [True, False]
    assert [r["energy_front"] for r in rows] == [False, True]


def test_estimates_and_other_devices_and_tasks_are_not_set_against_each_other():
    rows = [
        row("a", 10, 0.3),
        row("b", 5, 0.4, kind="estimate"),
        row("c", 5, 0.4, device="nano"),
        row("d", 5, 0.6, metric="OKS_AP"),
    ]
    mark_front(rows)
    assert all(r["front"] for r in rows)


def test_rows_without_time_or_accuracy_are_left_aside():
    rows = [row("a", None, 0.3, error="it failed"), row("b", 5, None), row("c", 9, 0.2)]
    mark_front(rows)
    assert [r["front"] for r in rows] == [None, None, True]


ROWS = [
    row("big", 100, 0.40),
    row("tiny", 40, 0.39, precision="int8", watts=12.0),
    row("nano", 10, 0.30, watts=9.0),
]


@pytest.mark.parametrize(
    ("budget", "model"),
    [
        (Budget(), "big"),
        (Budget(fps=15), "tiny"),
        (Budget(ms=20), "nano"),
        (Budget(watts=10), "nano"),
        (Budget(max_drop=1.5), "tiny"),
        (Budget(max_drop=0), "big"),
        (Budget(fps=5, max_drop=20), "big"),
    ],
)
def test_a_budget_picks(budget, model):
    (answer,) = answers(ROWS, budget)
    assert answer["row"]["model"] == model
    assert model in answer["text"]


def test_the_answer_says_what_is_lost_and_won():
    text = answers(ROWS, Budget(fps=15, watts=15))[0]["text"]
    assert text == (
        "For 15 fps at 15 W on this machine: tiny 416 INT8, 40.0 ms a frame, 25 fps, 12.0 W, "
        "AP 0.390; 1.0 points below the best (big 416 FP32), 2.5× as fast."
    )


def test_of_two_that_are_as_right_the_faster_is_taken():
    rows = [row("a", 40, 0.3355), row("a", 20, 0.3351, precision="fp16"), row("b", 10, 0.31)]
    assert answers(rows, Budget())[0]["row"] is rows[1]


def test_a_precision_that_a_device_lacks_is_no_option():
    rows = [
        row("a", 20, 0.30, kind="estimate", device="nano", precision="fp16", runs_as="fp16"),
        row("a", 20, 0.31, kind="estimate", device="nano", precision="int8", runs_as="fp16"),
    ]
    mark_front(rows)
    assert [r["front"] for r in rows] == [True, None]
    assert answers(rows, Budget())[0]["row"] is rows[0]


def test_nothing_fits_is_said_with_what_comes_nearest():
    answer = answers(ROWS, Budget(fps=500))[0]
    assert answer["row"] is None
    assert "nothing that was tried fits" in answer["text"] and "nano 416" in answer["text"]


def test_power_that_nothing_tells_is_not_guessed():
    answer = answers([row("a", 10, 0.3)], Budget(watts=5))[0]
    assert answer["row"] is None and "no sensor" in answer["text"]


def test_an_estimate_says_that_it_is_one_and_a_measurement_goes_before_it():
    guessed = row("a", 10, 0.3, kind="estimate", device="xavier-nx")
    text = answers([guessed], Budget(fps=15))[0]["text"]
    assert "Jetson Xavier NX" in text and text.endswith("Estimated, not measured.")
    both = answers([guessed, row("b", 50, 0.3, device="xavier-nx")], Budget())
    assert [a["row"]["model"] for a in both] == ["b"]


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"ms": -1}, {"watts": 0}, {"max_drop": -1}])
def test_a_budget_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError, match="budget"):
        Budget(**wrong)


def test_a_row_is_called_by_model_size_and_precision():
    assert title(row("yolox_nano_416", 1, 1)) == "yolox_nano_416 FP32"
    assert title(row("yolox_nano_416", 1, 1, size=[320, 320])) == "yolox_nano 320 FP32"
    assert title(row("net", 1, 1, size=[640, 384], precision="int8")) == "net 640x384 INT8"
    assert title(row("net", 1, 1, size=None, precision=None)) == "net"
