"""Notes in ONNX files, read and written without the onnx package, held against it."""

import os
import random

import pytest

from edgelane.core import ModelError, StorageError
from edgelane.runtime.onnx_metadata import check_onnx, read_metadata, write_metadata

onnx = pytest.importorskip("onnx")


def save_model(path, notes=(), weights=1000):
    """A small model whose notes stand before its graph where the onnx package puts them."""
    import numpy as np

    values = np.arange(weights, dtype=np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [weights])],
        [onnx.helper.make_tensor_value_info("y", 1, [weights])],
        [onnx.numpy_helper.from_array(values, "w")],
    )
    opset = onnx.helper.make_opsetid("", 13)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=7)
    for key, value in notes:
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return path


def notes_by_onnx(path):
    return [(p.key, p.value) for p in onnx.load(str(path)).metadata_props]


def test_a_note_is_added_and_the_rest_stays_byte_for_byte(tmp_path):
    path = save_model(tmp_path / "m.onnx")
    before = path.read_bytes()
    write_metadata(path, {"edgelane": '{"a": 1}'})
    assert path.read_bytes()[: len(before)] == before
    assert notes_by_onnx(path) == [("edgelane", '{"a": 1}')]
    onnx.checker.check_model(str(path))
    assert os.listdir(tmp_path) == ["m.onnx"]


def test_a_note_is_replaced_and_not_doubled(tmp_path):
    path = save_model(
        tmp_path / "m.onnx", [("edgelane", "old"), ("names", "{0: 'person'}"), ("edgelane", "twin")]
    )
    write_metadata(path, {"edgelane": "new"})
    assert sorted(notes_by_onnx(path)) == [("edgelane", "new"), ("names", "{0: 'person'}")]
    write_metadata(path, {"edgelane": None, "absent": None})
    assert notes_by_onnx(path) == [("names", "{0: 'person'}")]


def test_what_is_there_already_is_not_written_again(tmp_path):
    path = save_model(tmp_path / "m.onnx", [("a", "1")])
    stamp = path.stat().st_mtime_ns, path.stat().st_ino
    write_metadata(path, {"a": "1"})
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == stamp


@pytest.mark.parametrize("value", ["", "é 漢字 😀", "x" * 200, "y" * 70_000])
def test_any_text_comes_back(tmp_path, value):
    path = save_model(tmp_path / "m.onnx")
    write_metadata(path, {"key": value, "": "empty key"})
    assert read_metadata(path) == {"key": value, "": "empty key"} == dict(notes_by_onnx(path))


def test_onnxruntime_sees_the_note(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    path = save_model(tmp_path / "m.onnx")
    write_metadata(path, {"edgelane": "card"})
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"edgelane": "card"}


def test_a_link_keeps_pointing_and_rights_stay(tmp_path):
    path = save_model(tmp_path / "m.onnx")
    path.chmod(0o640)
    link = tmp_path / "link.onnx"
    link.symlink_to(path)
    write_metadata(link, {"a": "1"})
    assert link.is_symlink() and read_metadata(path) == {"a": "1"}
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><html><body>Log in</body></html>", b"PK\x03\x04 a zip", bytes(4096)]
    + [b"\x08\x08", b"\xff" * 30, b"plain text\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(100)],
)
def test_other_files_are_no_onnx(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    for call in (check_onnx, read_metadata, lambda p: write_metadata(p, {"a": "b"})):
        with pytest.raises(ModelError):
            call(path)
    assert path.read_bytes() == content


def test_a_cut_file_is_told_wherever_it_is_cut(tmp_path):
    """A cut between two fields is seen only where the graph is lost with it."""
    whole = save_model(tmp_path / "m.onnx", [("a", "1")], weights=50).read_bytes()
    cut = tmp_path / "cut.onnx"
    told = 0
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        try:
            check_onnx(cut)
        except ModelError:
            told += 1
    assert told >= len(whole) - 4
    cut.write_bytes(whole[:100])
    with pytest.raises(ModelError, match="cut off"):
        check_onnx(cut)


def test_random_bytes_never_crash(tmp_path):
    random.seed(1)
    whole = bytearray(save_model(tmp_path / "m.onnx", [("a", "1")], weights=20).read_bytes())
    path = tmp_path / "broken.onnx"
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(3):
            broken[random.randrange(len(broken))] = random.randrange(256)
        path.write_bytes(bytes(broken))
        try:
            read_metadata(path)
        except ModelError as error:
            assert str(path) in str(error)


def test_missing_files_and_locked_folders_are_told(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="does not exist"):
        read_metadata(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        read_metadata(tmp_path)
    path = save_model(tmp_path / "m.onnx")
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_metadata(path, {"a": "1"})
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.onnx"]
