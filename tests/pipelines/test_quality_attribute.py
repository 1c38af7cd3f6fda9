"""Agreement of verdicts, rates with their intervals, Pareto charts and challenge sets."""

import numpy as np
import pytest

from edgelane.core import DataError, UsageError
from edgelane.pipelines.quality import (
    Judgements,
    attribute_study,
    challenge,
    clopper_pearson,
    cohen_kappa,
    fleiss_kappa,
    pareto,
    read_judgements,
    wilson,
)


def pair(counts):
    """Two rows of verdicts from a table of counts: both 0, 0 and 1, 1 and 0, both 1."""
    rows = [[a, b] for (a, b), n in zip(("00", "01", "10", "11"), counts) for _ in range(n)]
    return np.array(rows).T


@pytest.mark.parametrize(
    "counts, kappa",
    [
        ((44, 6, 3, 97), 0.86),
        ((42, 5, 9, 94), 0.79),
        ((43, 7, 8, 92), 0.78),
        ((45, 5, 3, 97), 0.88),
        ((45, 2, 3, 100), 0.92),
        ((42, 9, 6, 93), 0.77),
    ],
)
def test_cohens_kappa_is_the_published_one(counts, kappa):
    """MSA 4th ed., chapter III, section C: cross-tabulations of the attribute study."""
    assert cohen_kappa(*pair(counts)) == pytest.approx(kappa, abs=0.005)


def test_fleiss_kappa_is_the_published_one():
    """The worked example of fourteen raters, ten subjects and five categories: .210."""
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    rows = [np.repeat(list("abcde"), row) for row in counts]
    assert fleiss_kappa(rows) == pytest.approx(0.210, abs=5e-4)


def test_kappa_at_its_ends():
    assert cohen_kappa(["a", "b"], ["a", "b"]) == 1
    assert cohen_kappa(["a", "b"], ["b", "a"]) == -1
    assert cohen_kappa(["a", "a"], ["a", "a"]) is None
    assert fleiss_kappa([["a", "a"], ["b", "b"]]) == 1
    assert fleiss_kappa([["a", "a"]]) is None


@pytest.mark.parametrize(
    "count, total, score, exact",
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_intervals_of_a_rate_are_the_published_ones(count, total, score, exact):
    """Newcombe, Statistics in Medicine 17 (1998), table I, methods 3 and 5."""
    assert wilson(count, total) == pytest.approx(score, abs=6e-5)
    assert clopper_pearson(count, total) == pytest.approx(exact, abs=6e-5)
    turned = clopper_pearson(total - count, total)
    assert turned == pytest.approx((1 - exact[1], 1 - exact[0]), abs=6e-5)


@pytest.mark.parametrize("count, total", [(1, 0), (-1, 3), (4, 3)])
def test_what_is_no_rate_has_no_interval(count, total):
    with pytest.raises(DataError):
        wilson(count, total)


TABLE = """part,operator,trial,verdict,reference
1,Ann,1,pass,pass
1,Ann,2,pass,pass
1,Bo,1,pass,pass
1,Bo,2,FAIL,pass
2,Ann,1,fail,fail
2,Ann,2,fail,fail
2,Bo,1,pass,fail
2,Bo,2,unsure,fail
3,Ann,1,pass,pass
3,Ann,2,pass,pass
3,Bo,1,pass,pass
3,Bo,2,pass,pass
"""


def test_misses_and_false_alarms_by_operator():
    found = attribute_study(read_judgements(TABLE))
    ann, bo = found.operators
    assert (ann.miss.count, ann.miss.total) == (0, 2)
    assert (bo.miss.count, bo.miss.total) == (1, 2)  # `unsure` is seen by somebody else
    assert (bo.false_alarm.count, bo.false_alarm.total) == (1, 4)
    assert (ann.effective.count, bo.effective.count, found.effective.count) == (3, 1, 1)
    assert (ann.kappa, ann.within, ann.verdict, bo.verdict) == (1, 1, "good", "bad")
    assert found.verdict == "bad"
    assert found.between[0][:2] == ("Ann", "Bo")
    assert found.as_dict()["operators"][1]["miss"]["exact95"] == clopper_pearson(1, 2)


def test_without_a_reference_agreement_is_all_there_is():
    text = "\n".join(line.rsplit(",", 1)[0] for line in TABLE.splitlines())
    found = attribute_study(read_judgements(text))
    assert found.operators[0].miss is None and found.effective is None
    assert found.agreed.count == 1
    assert any("all be wrong" in w for w in found.warnings)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: "", "empty"),
        (lambda t: t.replace("1,Ann,1,pass,pass\n", ""), "not balanced"),
        (lambda t: t.replace("1,Ann,2,pass,pass", "1,Ann,2,pass,fail"), "two references"),
        (lambda t: t.replace("1,Ann,2,pass,pass", "1,Ann,2,pass,"), "reference of part 1 is empty"),
        (lambda t: t.replace("1,Ann,2,pass,pass", "1,Ann,2,,pass"), "line 3: the verdict is empty"),
        (lambda t: t.lower().replace("fail", "pass").replace("unsure", "pass"), "every verdict"),
        (lambda t: "\n".join(t.splitlines()[:5]), "two parts"),
    ],
)
def test_a_bad_table_gets_one_clear_sentence(change, said):
    with pytest.raises(DataError, match=said):
        attribute_study(read_judgements(change(TABLE)))


def test_the_verdict_that_means_bad_is_found_or_asked_for():
    words = TABLE.lower().replace("fail", "scrap").replace("unsure", "scrap")
    assert attribute_study(read_judgements(words)).operators[0].miss.total == 2
    words = words.replace("pass", "green")
    with pytest.raises(UsageError, match="--fail"):
        attribute_study(read_judgements(words))
    assert attribute_study(read_judgements(words), "Scrap").operators[1].false_alarm.count == 1
    with pytest.raises(UsageError, match="Did you mean 'scrap'"):
        attribute_study(read_judgements(words), "scarp")


def test_one_operator_and_a_reference_judge_a_camera():
    verdicts = np.array([["pass"], ["fail"], ["fail"]])[:, None]
    found = attribute_study(
        Judgements(verdicts, ("1", "2", "3"), ("camera",), ("pass", "fail", "fail"))
    )
    assert found.verdict == "good" and found.fleiss is None and not found.between


def test_reasons_by_weight():
    found = pareto(["dent"] * 6 + ["scratch"] * 3 + ["colour"])
    assert [(r.name, r.count, r.vital) for r in found] == [
        ("dent", 6, True), ("scratch", 3, True), ("colour", 1, False),
    ]  # fmt: skip
    assert [r.cumulative for r in found] == pytest.approx([0.6, 0.9, 1.0])
    assert pareto({"b": 2, "a": 2, "never": 0})[0].name == "a"
    assert pareto([]) == []
    with pytest.raises(DataError):
        pareto({"dent": -1})


SET = {"g1": "pass", "g2": "pass", "b1": "fail", "b2": "fail"}


def test_a_challenge_that_comes_out_as_known_is_passed():
    found = challenge(SET, dict(SET, visitor="pass"))
    assert found.passed and not found.wrong and found.unknown == ("visitor",)


def test_a_challenge_tells_each_part_that_went_wrong():
    found = challenge(SET, {"g1": "fail", "g2": "unsure", "b1": "pass"})
    assert not found.passed
    assert [(w.part, w.kind) for w in found.wrong] == [
        ("b1", "miss"), ("g1", "false alarm"), ("g2", "unsure"), ("b2", "not inspected"),
    ]  # fmt: skip
    assert found.wrong[0].text == "b1 should be fail and was pass"


def test_a_part_that_fails_for_another_reason_proves_nothing():
    found = challenge(SET, SET, {"b1": "dent"}, {"b1": ["too dark"], "b2": ["scratch"]})
    assert [(w.part, w.kind) for w in found.wrong] == [("b1", "reason")]
    assert challenge(SET, SET, {"b1": "dent"}, {"b1": ["dent", "too dark"]}).passed


@pytest.mark.parametrize(
    "expected, obtained, said",
    [
        ({}, {}, "empty"),
        ({"a": "pass"}, {"a": "pass"}, "must fail"),
        ({"a": "fial"}, {}, "Did you mean 'fail'"),
        ({"a": "fail"}, {"a": None}, "obtained verdict of part 'a'"),
    ],
)
def test_what_is_no_challenge_is_refused(expected, obtained, said):
    with pytest.raises(DataError, match=said):
        challenge(expected, obtained)
