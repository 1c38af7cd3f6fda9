"""Files that belong together."""

import os

import pytest
from nets import small_net

from edgelane.calibration.artefacts import check_places, write_together
from edgelane.calibration.graph import read_model
from edgelane.core import StorageError


def left(folder):
    return sorted(p.name for p in folder.iterdir())


def test_all_are_put_in_place(tmp_path):
    write_together({tmp_path / "m.onnx": small_net(), tmp_path / "m.calib": b"text"})
    assert left(tmp_path) == ["m.calib", "m.onnx"]
    assert read_model(tmp_path / "m.onnx") == small_net()


def test_weights_beside_a_large_model_come_along(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelane.calibration.graph.EXTERNAL_LIMIT", 10)
    monkeypatch.setattr("edgelane.calibration.artefacts.write_model", big_writer)
    write_together({tmp_path / "m.onnx": small_net()})
    assert left(tmp_path) == ["m.onnx", "m.onnx.data"]


def big_writer(model, path):
    path.with_name(path.name + ".data").write_bytes(b"weights")
    path.write_bytes(b"model")


def test_one_that_cannot_be_written_leaves_none(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"old")
    with pytest.raises(StorageError, match="no/m.calib cannot be written"):
        write_together({tmp_path / "m.onnx": b"new", tmp_path / "no" / "m.calib": b"text"})
    assert left(tmp_path) == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_bytes() == b"old"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_a_stop_at_the_last_leaves_what_was_there(tmp_path, monkeypatch, error):
    (tmp_path / "a").write_bytes(b"old")
    true, calls = os.replace, []

    def replace(old, new):
        calls.append(new)
        if str(new) == str(tmp_path / "b"):
            raise error
        true(old, new)

    monkeypatch.setattr(os, "replace", replace)
    kinds = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(kinds):
        write_together({tmp_path / "a": b"new", tmp_path / "b": b"new", tmp_path / "c": b"new"})
    assert left(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_places_that_will_not_do(tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"x")
    check_places({"one": tmp_path / "a", "two": tmp_path / "b"}, {"the model": model})
    for places, says in (
        ({"one": model}, "over the model"),
        ({"one": tmp_path / "a", "two": tmp_path / "a"}, "two would be written over one"),
        ({"one": tmp_path}, "is a folder"),
        ({"one": tmp_path / "no" / "a"}, "there is no folder"),
    ):
        with pytest.raises(StorageError, match=says):
            check_places(places, {"the model": model})
