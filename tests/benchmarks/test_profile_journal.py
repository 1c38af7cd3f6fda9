"""Measurements are on disk at once, whole or not at all."""

import json

import pytest

from edgelane.benchmarks.profile import journal as module
from edgelane.benchmarks.profile.journal import Journal
from edgelane.core import StorageError


def a_round(number, key="a"):
    return {"kind": "round", "key": key, "round": number, "ms": 1.5}


def test_what_was_kept_is_there_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    first = Journal(path)
    assert first.append(a_round(0)) and first.append(a_round(1)) and first.append(a_round(0, "b"))
    assert not first.append(a_round(1))
    again = Journal(path)
    assert [line["round"] for line in again.of("a", "round")] == [0, 1]
    assert len(path.read_text().splitlines()) == 3


def test_a_line_torn_by_a_power_failure_is_cut_off(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(a_round(0)) + "\n" + '{"kind": "round", "key": "a", "rou')
    found = Journal(path)
    assert len(list(found)) == 1
    assert found.append(a_round(1))
    assert [json.loads(text)["round"] for text in path.read_text().splitlines()] == [0, 1]


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    kept = Journal(path)
    kept.append(a_round(0))
    real, full = module.os.write, [True]

    def write(handle, content):
        if full[0]:
            return real(handle, content[:7])
        return real(handle, content)

    monkeypatch.setattr(module.os, "write", write)
    assert kept.append(a_round(1))
    assert kept.problem == "No space left on device"
    assert not kept.flush()
    assert len(path.read_text().splitlines()) == 1 and path.read_text().endswith("\n")
    assert [line["round"] for line in kept.of("a", "round")] == [0, 1]
    full[0] = False
    assert kept.flush() and kept.problem is None
    assert [json.loads(text)["round"] for text in path.read_text().splitlines()] == [0, 1]


def test_a_journal_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        Journal(tmp_path / "rows.jsonl")
