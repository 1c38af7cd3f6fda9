"""Errors say what, got, expected and remedy, and know their exit code."""

import pickle

from edgelane.core import ConfigError, DataError, EdgelaneError, UsageError, did_you_mean


def test_an_error_reads_as_sentences():
    error = ConfigError("lines.door.from", got=3, expected="[x, y]", remedy="draw it again")
    assert str(error) == "lines.door.from: got 3, expected [x, y]. Draw it again."


def test_an_error_without_details_is_one_sentence():
    assert str(EdgelaneError("the disk is full")) == "the disk is full."


def test_a_question_as_remedy_keeps_its_mark():
    assert str(UsageError("no x", remedy="did you mean 'y'?")).endswith("Did you mean 'y'?")


def test_misuse_exits_with_2_and_failure_with_1():
    assert (ConfigError("x").exit_code, DataError("x").exit_code) == (2, 1)


def test_a_bad_array_is_also_a_value_error():
    assert isinstance(DataError("x"), ValueError)


def test_an_error_crosses_a_process_with_all_its_parts():
    error = pickle.loads(pickle.dumps(ConfigError("a", got=1, expected=2, remedy="b")))
    assert (error.what, error.got, error.expected, error.remedy) == ("a", 1, 2, "b")


def test_the_nearest_name_is_offered_and_otherwise_all():
    assert did_you_mean("yolx", ["yolox", "picodet"]) == "did you mean 'yolox'?"
    assert did_you_mean("zzz", ["b", "a"]) == "known are: a, b"
    assert did_you_mean("zzz", []) == "none is known"
