"""A verdict follows from its reasons."""

from edgelane.core.verdict import FAIL, PASS, UNSURE, Reason, Verdict


def test_a_value_within_its_limits_passes_and_tells_its_margin():
    reason = Reason("width", 10.02, low=9.9, high=10.1, uncertainty=0.01, unit="mm")
    assert reason.outcome == PASS
    assert abs(reason.margin - 0.08) < 1e-9
    assert Verdict.of([reason]).verdict == PASS


def test_a_value_nearer_to_a_limit_than_its_uncertainty_decides_nothing():
    assert Reason("width", 10.095, high=10.1, uncertainty=0.01).outcome == UNSURE
    assert Reason("width", 10.105, high=10.1, uncertainty=0.01).outcome == UNSURE
    assert Reason("width", 10.115, high=10.1, uncertainty=0.01).outcome == FAIL


def test_a_broken_condition_leaves_it_unsure_whatever_was_measured():
    bad = Reason("width", 12.0, high=10.1)
    dark = Reason("light", 0.1, low=0.5, condition=True)
    assert Verdict.of([bad]).verdict == FAIL
    assert Verdict.of([bad, dark]).verdict == UNSURE
    assert [r.name for r in Verdict.of([Reason("ok", 1.0, high=2.0), bad]).told] == ["width"]


def test_nothing_measured_is_never_a_pass():
    assert Verdict.of([]).verdict == UNSURE
    assert Verdict.of([Reason("width", None, high=1.0)]).verdict == UNSURE
    assert Verdict.of([Reason("width", float("nan"), high=1.0)]).verdict == UNSURE
