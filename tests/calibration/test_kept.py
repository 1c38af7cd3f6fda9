"""Statistics kept for the next calibration."""

import os

import numpy as np
import pytest
from nets import small_net

pytest.importorskip("onnxruntime")

from edgelane.calibration.collect import collect  # noqa: E402
from edgelane.calibration.kept import MOST, Kept, kept_folder  # noqa: E402
from edgelane.core import StorageError  # noqa: E402


def counted(model):
    calls = []

    def work():
        calls.append(1)
        return collect(model, [{"x": np.ones((1, 3, 8, 8), np.float32)}])

    return work, calls


def test_the_second_time_nothing_is_collected(tmp_path):
    model = small_net()
    work, calls = counted(model)
    first = Kept(tmp_path / "k").get(model, "pictures", work)
    kept = Kept(tmp_path / "k")
    again = kept.get(model, "pictures", work)
    assert (len(calls), kept.reused) == (1, 1)
    assert list(again) == list(first)
    assert again["c1"].amax == first["c1"].amax


def test_other_pictures_or_another_graph_are_collected(tmp_path):
    model, other = small_net(), small_net(seed=1)
    work, calls = counted(model)
    kept = Kept(tmp_path)
    kept.get(model, "pictures", work)
    kept.get(model, "others", work)
    kept.get(other, "pictures", counted(other)[0])
    assert (len(calls), kept.reused) == (2, 0)


def test_a_few_tensors_are_not_taken_for_all(tmp_path):
    model = small_net()
    work, calls = counted(model)
    kept = Kept(tmp_path)
    kept.get(model, "pictures", work, ["c1"])
    kept.get(model, "pictures", work)
    kept.get(model, "pictures", work, ["c1"])
    assert (len(calls), kept.reused) == (2, 1)


def test_a_damaged_file_is_collected_anew(tmp_path):
    model = small_net()
    work, calls = counted(model)
    Kept(tmp_path).get(model, "pictures", work)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:300])
    kept = Kept(tmp_path)
    kept.get(model, "pictures", work)
    assert (len(calls), kept.reused) == (2, 0)


def test_the_longest_unused_go(tmp_path):
    model = small_net()
    work, _ = counted(model)
    for index in range(MOST + 3):
        Kept(tmp_path).get(model, str(index), work)
        for path in tmp_path.iterdir():
            os.utime(path, (path.stat().st_mtime - 10, path.stat().st_mtime - 10))
    kept = Kept(tmp_path)
    kept.get(model, str(MOST + 2), work)
    assert len(list(tmp_path.iterdir())) == MOST
    assert kept.reused == 1


def test_what_cannot_be_kept(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    model = small_net()
    work, _ = counted(model)
    monkeypatch.setenv("EDGELANE_CACHE", str(blocked / "models"))
    assert kept_folder() == blocked / "calibration"
    assert len(Kept().get(model, "pictures", work)) > 0, "the user's cache is no must"
    with pytest.raises(StorageError):
        Kept(blocked).get(model, "pictures", work)
    assert len(Kept(False).get(model, "pictures", work)) > 0
