"""Two profiles: faster, slower, or too close to tell."""

import json

import pytest

from edgelane.benchmarks.profile import compare_profiles
from edgelane.core import DataError, UsageError


def write(path, *rows):
    path.write_text(json.dumps({"rows": list(rows)}))
    return path


def row(model="a", rounds=(10.0, 10.1, 9.9, 10.0), **more):
    found = {"kind": "measured", "model": model, "size": [64, 64], "precision": "fp32",
             "backend": "onnxruntime", "device": "this machine", "ms": rounds[0],
             "round_ms": list(rounds), "error": None}  # fmt: skip
    return {**found, **more}


SLOW = (12.0, 12.1, 11.9, 12.0)


def test_each_pair_has_its_verdict(tmp_path):
    one = write(tmp_path / "1.json", row("a"), row("b"), row("c", SLOW))
    two = write(tmp_path / "2.json", row("a"), row("b", SLOW), row("c"))
    found = compare_profiles(one, two)
    assert [p["verdict"] for p in found["pairs"]] == ["too close to tell", "slower", "faster"]
    assert [p["regression"] for p in found["pairs"]] == [False, True, False]
    assert found["pairs"][1]["ratio"] == pytest.approx(1.2, rel=0.01)
    assert found["regressions"] == 1


def test_slower_within_the_limit_is_no_regression(tmp_path):
    one, two = write(tmp_path / "1.json", row()), write(tmp_path / "2.json", row(rounds=SLOW))
    assert compare_profiles(one, two, max_slower=25)["regressions"] == 0


def test_what_has_gone_or_fails_is_a_regression_and_what_is_new_none(tmp_path):
    one = write(tmp_path / "1.json", row("a"), row("b"))
    two = write(tmp_path / "2.json", row("b", ms=None, round_ms=None, error="it broke"), row("c"))
    found = compare_profiles(one, two)
    assert [(p["verdict"], p["regression"]) for p in found["pairs"]] == [
        ("missing", True), ("failed", True), ("new", False),
    ]  # fmt: skip
    assert found["pairs"][1]["reason"] == "it broke"


def test_estimates_are_not_compared(tmp_path):
    one = write(tmp_path / "1.json", row(), row("e", kind="estimate"))
    assert len(compare_profiles(one, one)["pairs"]) == 1


def test_the_folder_of_a_profile_will_do(tmp_path):
    write(tmp_path / "rows.json", row())
    assert compare_profiles(tmp_path, tmp_path)["regressions"] == 0


@pytest.mark.parametrize("content", ["", "[]", '{"rows": 1}', '{"rows": []}'])
def test_what_is_no_profile_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError):
        compare_profiles(tmp_path / "x.json", tmp_path / "x.json")
    with pytest.raises(DataError, match="there is no profile"):
        compare_profiles(tmp_path / "none.json", tmp_path / "x.json")


def test_a_limit_below_nothing_is_refused(tmp_path):
    one = write(tmp_path / "1.json", row())
    with pytest.raises(UsageError, match="max_slower"):
        compare_profiles(one, one, max_slower=-1)
