"""The registry: what it says, and models that come through it whole, checked and stamped."""

import fcntl
import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from faulty import Reply, Server

from edgelane.core import ConfigError, ModelCard, ModelError, StorageError, UsageError
from edgelane.runtime.decoders import FAMILIES
from edgelane.runtime.model import load_model
from edgelane.runtime.onnx_metadata import read_metadata
from edgelane.runtime.registry import (
    cache_folder,
    fetch_model,
    get_model,
    list_models,
    load_entries,
    resolve_model,
    store,
)


def onnx_bytes(seed: int = 0, size: int = 200_000) -> bytes:
    """The least that is an ONNX from outside: an IR version and a graph of so many bytes."""
    graph = random.Random(seed).getrandbits(8 * size).to_bytes(size, "little")
    length, head = size, bytearray(b"\x08\x07\x3a")
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + graph


def zipped(files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as box:
        for name, content in files:
            box.writestr(name, content)
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


MODEL = onnx_bytes()


@pytest.fixture()
def server():
    made = Server()
    made.answer = lambda number, path: Reply(MODEL)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """No waiting between tries, and no cache or registry of the user's."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("EDGELANE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGELANE_REGISTRY", raising=False)


@pytest.fixture()
def own(server, tmp_path, monkeypatch):
    """Write a registry with one model, `tiny`; changes replace fields of its entry."""

    def write(name="tiny", **changes):
        entry = {
            "task": "detect",
            "licence": "MIT",
            "licence_source": "https://example.org/licence",
            "project": "https://example.org",
            "input_size": [416, 416],
            "address": f"{server.address}/tiny.onnx",
            "file_size": len(MODEL),
            "sha256": sha256(MODEL),
            "card": {"decoder": "yolox", "classes": ["person"], "input": {"colour": "bgr"}},
        }
        entry.update(changes)
        path = tmp_path / "own.json"
        path.write_text(json.dumps({"models": {name: entry}}))
        monkeypatch.setenv("EDGELANE_REGISTRY", str(path))
        return path

    write()
    return write


def names(folder) -> list:
    return sorted(os.listdir(folder))


# What ships ---------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", load_entries().values(), ids=lambda e: e.name)
def test_every_shipped_entry_says_where_its_facts_come_from(entry):
    card = ModelCard.from_json(entry.model_card().to_json())
    assert card.task == entry.task and card.licence == entry.licence
    assert entry.task == "pose" or entry.card.decoder in FAMILIES
    assert entry.score is not None and 0 < entry.score.value < 100
    for source in (entry.score.source, entry.licence_source, entry.project):
        assert source.startswith("https://")
    if entry.address is None:
        assert entry.note
    else:
        assert entry.address.startswith("https://") and entry.address_source
    assert bool(entry.sha256_sources) == entry.verifiable
    assert entry.verifiable or entry.address is None or "--trust" in entry.note


def test_a_card_agrees_with_what_its_family_usually_takes():
    """Recognised without a card and read with one, a model sees the same picture."""
    for entry in load_entries().values():
        if entry.task != "detect":
            continue
        family, card = FAMILIES[entry.card.decoder], entry.model_card()
        for field, usual in family.input.items():
            value = getattr(card.input, field)
            value = tuple(value) if isinstance(usual, tuple) else value
            assert value == usual, (entry.name, field)
        assert card.nms_iou == family.nms_iou


# Getting ------------------------------------------------------------------------------------


def test_a_model_comes_with_its_card_and_only_once(own, server, tmp_path):
    path = get_model("tiny")
    assert path == tmp_path / "cache" / "tiny.onnx"
    card = ModelCard.from_json(read_metadata(path)["edgelane"])
    assert card.decoder == "yolox" and card.classes == ("person",) and card.licence == "MIT"
    assert card.input.size == (416, 416) and card.extra["registry"] == "tiny"
    assert path.read_bytes().startswith(MODEL)
    assert names(path.parent) == ["tiny.json", "tiny.onnx"]
    again = fetch_model("tiny")
    assert not again.fresh and again.sha256 == sha256(MODEL) and len(server.seen) == 1


def test_a_cut_download_is_resumed_by_the_next_call(own, server):
    server.answer = lambda number, path: Reply(MODEL, cut=50_000 if number == 1 else 0)
    with pytest.raises(ModelError, match="50,000 bytes are kept"):
        get_model("tiny", attempts=2)
    folder = cache_folder()
    assert names(folder) == ["tiny.onnx.part", "tiny.onnx.part.json"]
    listed = {m["name"]: m for m in list_models()}["tiny"]
    assert listed["begun"] == 50_000 and not listed["cached"]
    server.answer = lambda number, path: Reply(MODEL)
    assert get_model("tiny").read_bytes().startswith(MODEL)
    assert server.seen[-1]["range"] == "bytes=50000-"
    assert names(folder) == ["tiny.json", "tiny.onnx"]


def test_wrong_bytes_are_removed_and_told(own, server):
    server.answer = lambda number, path: Reply(MODEL[:-1] + b"?")
    with pytest.raises(ModelError, match="not the published file.*removed"):
        get_model("tiny")
    assert names(cache_folder()) == []


def test_a_published_checksum_holds_in_spite_of_trust(own, server):
    own(sha256="0" * 64)
    with pytest.raises(ModelError, match="not the published file"):
        get_model("tiny", trust=True)


def test_a_login_page_is_told_from_a_model(own, server):
    page = b"<!DOCTYPE html>" + b"x" * (len(MODEL) - 15)
    server.answer = lambda number, path: Reply(page)
    with pytest.raises(ModelError, match="a web page instead of a model"):
        get_model("tiny")
    own(sha256=None)
    with pytest.raises(ModelError, match="a web page instead of a model"):
        get_model("tiny", trust=True)
    assert names(cache_folder()) == []


def test_what_is_no_onnx_is_refused(own, server):
    junk = b"\xff" * 1000
    own(sha256=sha256(junk), file_size=None)
    server.answer = lambda number, path: Reply(junk)
    with pytest.raises(ModelError, match="no ONNX model"):
        get_model("tiny")
    assert names(cache_folder()) == []


def test_a_damaged_model_in_the_cache_is_fetched_anew(own, server):
    path = get_model("tiny")
    good = path.read_bytes()
    path.write_bytes(good[:1000] + b"?" + good[1001:])
    assert fetch_model("tiny").fresh and path.read_bytes() == good
    path.write_bytes(good[:-5])
    assert {m["name"]: m["cached"] for m in list_models()}["tiny"] is False
    assert fetch_model("tiny").fresh and path.read_bytes() == good


def test_a_new_card_is_stamped_without_a_download(own, server):
    path = get_model("tiny")
    own(card={"decoder": "yolox", "classes": ["person"], "confidence": 0.5})
    assert not fetch_model("tiny").fresh
    assert ModelCard.from_json(read_metadata(path)["edgelane"]).confidence == 0.5
    assert not fetch_model("tiny").fresh and len(server.seen) == 1


def test_a_copy_goes_where_it_is_wanted(own, tmp_path):
    path = get_model("tiny", out=tmp_path / "models" / "mine.onnx")
    assert path.read_bytes() == (cache_folder() / "tiny.onnx").read_bytes()
    assert get_model("tiny", out=tmp_path) == tmp_path / "tiny.onnx"
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--out"):
        get_model("tiny", out=tmp_path / "file" / "m.onnx")


# Trust --------------------------------------------------------------------------------------


def test_without_a_checksum_trust_is_asked_for_and_remembered(own, server):
    own(sha256=None)
    with pytest.raises(UsageError, match="nobody published a checksum of tiny.*--trust"):
        get_model("tiny")
    assert not cache_folder().exists() and server.seen == []
    got = fetch_model("tiny", trust=True)
    assert got.trusted and got.sha256 == sha256(MODEL)
    got.path.unlink()
    assert fetch_model("tiny").sha256 == sha256(MODEL)


def test_another_file_than_was_trusted_is_refused(own, server):
    own(sha256=None)
    get_model("tiny", trust=True).unlink()
    other = onnx_bytes(1)
    server.answer = lambda number, path: Reply(other, etag='"two"')
    with pytest.raises(ModelError, match="no longer the file that you trusted"):
        get_model("tiny")
    assert "tiny.onnx" not in names(cache_folder())
    assert fetch_model("tiny", trust=True).sha256 == sha256(other)
    (cache_folder() / "tiny.onnx").unlink()
    assert fetch_model("tiny").sha256 == sha256(other)


# Archives -----------------------------------------------------------------------------------


def test_a_model_is_taken_out_of_its_zip(own, server):
    box = zipped([("a/pipeline.json", b"{}"), ("a/end2end.onnx", MODEL), ("../evil", b"x")])
    own(
        sha256=sha256(box),
        file_size=len(box),
        member={"name": "end2end.onnx", "sha256": sha256(MODEL)},
    )
    server.answer = lambda number, path: Reply(box, cut=9_000 if number < 3 else None)
    path = get_model("tiny")
    assert path.read_bytes().startswith(MODEL) and "edgelane" in read_metadata(path)
    assert names(cache_folder()) == ["tiny.json", "tiny.onnx"]


def test_the_checksum_of_the_model_in_a_zip_is_enough(own, server):
    box = zipped([("end2end.onnx", MODEL)])
    server.answer = lambda number, path: Reply(box)
    own(sha256=None, file_size=None, member={"name": "end2end.onnx", "sha256": sha256(MODEL)})
    assert not fetch_model("tiny").trusted
    (cache_folder() / "tiny.onnx").unlink()
    own(sha256=None, file_size=None, member={"name": "end2end.onnx", "sha256": "0" * 64})
    with pytest.raises(ModelError, match="in the archive of tiny is not the published file"):
        get_model("tiny")
    assert "tiny.onnx" not in names(cache_folder())


@pytest.mark.parametrize(
    "box, told",
    [
        (zipped([("other.onnx", MODEL)]), "does not hold one end2end.onnx"),
        (zipped([("a/end2end.onnx", MODEL), ("b/end2end.onnx", MODEL)]), "does not hold one"),
        (zipped([("end2end.onnx", MODEL)])[:-30], "no whole zip"),
        (zipped([("end2end.onnx", b"junk")]), "no ONNX model"),
        (b"<html>Log in</html>", "a web page"),
    ],
)
def test_a_zip_that_is_not_what_it_should_be(own, server, box, told):
    own(sha256=sha256(box), file_size=None, member={"name": "end2end.onnx"})
    server.answer = lambda number, path: Reply(box)
    with pytest.raises(ModelError, match=told):
        get_model("tiny")
    assert names(cache_folder()) == []


# The cache ----------------------------------------------------------------------------------


def test_a_file_in_place_of_the_cache_is_told(own, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="cannot be used: got a file in its place"):
            get_model("tiny", cache=place)


def test_a_cache_that_cannot_be_written_is_told(own, tmp_path, monkeypatch):
    monkeypatch.setattr(store.os, "access", lambda path, mode: False)
    with pytest.raises(StorageError, match="no right to write"):
        get_model("tiny")


def test_two_processes_do_not_write_to_one_file(own, tmp_path):
    folder = cache_folder()
    folder.mkdir()
    with open(folder / ".tiny.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="by another process"):
            get_model("tiny")
    get_model("tiny")  # a lock that a killed process left behind holds nobody up
    assert names(folder) == ["tiny.json", "tiny.onnx"]


def test_the_cache_is_where_it_was_said(monkeypatch, tmp_path):
    assert cache_folder("there") == Path("there")
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("EDGELANE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/edgelane/models")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("~/.cache/edgelane/models").expanduser()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"address": 3}'])
def test_a_broken_record_counts_as_no_model(own, server, text):
    get_model("tiny")
    (cache_folder() / "tiny.json").write_text(text)
    assert fetch_model("tiny").fresh


# A user's own registry ----------------------------------------------------------------------


def test_own_entries_come_on_top_in_json_and_yaml(own, tmp_path):
    assert {"tiny", "yolox-nano"} <= {m["name"] for m in list_models()}
    path = tmp_path / "own.yaml"
    path.write_text((tmp_path / "own.json").read_text().replace("tiny", "small"))
    assert "small" in {m["name"] for m in list_models(registry=path)}
    own("yolox-nano", licence="0BSD")
    assert load_entries()["yolox-nano"].licence == "0BSD"


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"sha256": "abc"}, r"models\.tiny\.sha256.*64 hexadecimal"),
        ({"sha256": "A" * 64}, "small letters"),
        ({"address": "file:///etc/passwd"}, r"models\.tiny\.address"),
        ({"address": None}, r"models\.tiny\.note"),
        ({"task": "segment"}, "detect or pose"),
        ({"input_size": [0, 4]}, "input_size"),
        ({"input_size": "big"}, r"models\.tiny\.input_size"),
        ({"licens": "MIT"}, "did you mean|Did you mean"),
        ({"member": {"name": "../m.onnx"}}, r"member\.name"),
        ({"card": {"decoder": "yolox", "classes": "coco90"}}, "classes is unknown"),
        ({"card": {"decoder": "yolox", "input": {"color": "bgr"}}}, "input.color"),
        ({"card": {"decoder": "yolox", "input": {"colour": "grey"}}}, "colour"),
    ],
)
def test_a_wrong_entry_is_named(own, changes, told):
    own(**changes)
    with pytest.raises(ConfigError, match=told):
        load_entries()


@pytest.mark.parametrize("name", ["../up", "A", "", "a/b", "x" * 65])
def test_a_name_becomes_a_file_and_must_be_plain(own, name):
    own(name)
    with pytest.raises(ConfigError, match="the name becomes a file's"):
        load_entries()


@pytest.mark.parametrize(
    "text, told",
    [("{", "neither JSON nor YAML"), ("[]", "expected one key"), ('{"models": []}', "one key")],
)
def test_a_file_that_is_no_registry_is_told(tmp_path, text, told):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_entries(path)
    with pytest.raises(ConfigError, match="does not exist"):
        load_entries(tmp_path / "none.json")


def test_unknown_names_get_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'yolox-nano'"):
        get_model("yolox-nanno")


def test_a_model_without_an_address_says_how_to_get_it():
    with pytest.raises(ModelError, match="Export it with"):
        get_model("rf-detr-medium")


# In a config --------------------------------------------------------------------------------


def test_a_config_may_name_a_model(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape("`edgelane models get tiny`")):
        resolve_model("tiny", tmp_path)
    path = get_model("tiny")
    assert resolve_model("tiny", tmp_path) == str(path)
    (tmp_path / "tiny").write_bytes(b"a file goes first")
    assert resolve_model("tiny", tmp_path) == str(tmp_path / "tiny")


def test_the_model_that_ships_has_a_name_and_needs_no_download(tmp_path):
    path = resolve_model("store-person", tmp_path, cache=tmp_path / "none")
    with load_model(path) as model:
        assert list(model.classes) == ["person"]
    copy = get_model("store-person", out=tmp_path / "copy.onnx", cache=tmp_path / "none")
    assert copy.read_bytes() == Path(path).read_bytes()
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="Did you mean 'store-person'"):
        resolve_model("store-persn", tmp_path)


def test_paths_stay_paths(tmp_path):
    for name in ("missing.onnx", "models/yolox-nano", str(tmp_path / "yolox-nano")):
        assert resolve_model(name, tmp_path).endswith(name)
    with pytest.raises(ConfigError, match="neither a file nor a model.*Did you mean 'yolox-tiny'"):
        resolve_model("yolox-tinny", tmp_path)


@pytest.mark.parametrize(
    "decoder, classes", [("yolox", "coco80"), ("d-fine", "coco80"), ("rf-detr", "coco91")]
)
def test_a_stamped_model_runs_by_its_card(own, server, tmp_path, decoder, classes):
    """What comes out of the registry is read by the card that went in, open input size and all."""
    graphs, layouts = pytest.importorskip("graphs"), pytest.importorskip("layouts")
    outputs = layouts.LAYOUTS[decoder]
    if decoder == "rf-detr":  # as conversions call them, where only the card tells the family
        outputs = layouts.LAYOUTS["d-fine"]
    kinds = [f"kind_{i}" for i in range(layouts.CLASSES)]
    image = [1, 3, *layouts.SIZE[::-1]] if decoder == "yolox" else [1, 3, None, None]
    made = graphs.save_graph(tmp_path / "made.onnx", outputs, layouts.SIZE, image=image)
    content = Path(made).read_bytes()
    shipped = next(e for e in load_entries().values() if e.card.decoder == decoder)
    assert shipped.card.classes == classes
    card = {"decoder": decoder, "input": shipped.card.input, "classes": kinds}
    size = list(layouts.SIZE)
    own(sha256=sha256(content), file_size=len(content), card=card, input_size=size)
    server.answer = lambda number, path: Reply(content)
    with load_model(resolve_model(str(get_model("tiny")))) as model:
        picture = np.full((layouts.SIZE[1], layouts.SIZE[0], 3), 90, np.uint8)
        found = model(picture)
        assert model.card.decoder == decoder and model.classes == tuple(kinds)
    np.testing.assert_allclose(found.xyxy, layouts.TRUTH.boxes, atol=2e-3)
    assert found.class_id.tolist() == layouts.TRUTH.classes.tolist()


def test_the_registry_needs_no_library_of_an_extra():
    """A device with the base install can fetch models."""
    code = (
        "import sys\n"
        "from edgelane.runtime.registry import list_models\n"
        "assert list_models()\n"
        "heavy = {'cv2', 'onnx', 'onnxruntime', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
