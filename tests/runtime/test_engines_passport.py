"""Passports tell whether an engine fits; the cache keeps engines whole and within bounds."""

import dataclasses
import hashlib
import json
import os
import time

import engine_nets as nets
import pytest

from edgelane.core import ModelError, StorageError
from edgelane.core.devices import DEVICES
from edgelane.runtime.engines import (
    EngineCache,
    Here,
    Passport,
    cached_engine,
    engines_folder,
    passport_path,
    plan_build,
    read_calibration_cache,
    read_engine,
    read_graph,
    read_passport,
    write_passport,
)
from edgelane.runtime.engines.passport import write_engine

HERE = Here("8.5.2.2", "7.2", "35.4.1", "Xavier", "xavier-nx")


def passport(data=b"engine", onnx="/models/m.onnx", built=100.0, **changes):
    made = Passport(
        onnx=onnx,
        onnx_sha256="ab" * 32,
        tensorrt=HERE.tensorrt,
        compute_capability=HERE.compute_capability,
        l4t=HERE.l4t,
        gpu=HERE.gpu,
        device=HERE.device,
        precision="int8",
        dla_core=1,
        calibration="cd" * 32,
        profile={"images": [[1, 3, 8, 8]] * 3},
        built=built,
        seconds=12.5,
        engine_sha256=hashlib.sha256(data).hexdigest(),
        engine_size=len(data),
        metadata={"edgelane": "{}"},
        options={"precision": "int8"},
    )
    return dataclasses.replace(made, **changes)


def test_a_passport_comes_back_as_it_was_written(tmp_path):
    engine = tmp_path / "m.engine"
    write_passport(engine, passport())
    assert passport_path(engine) == tmp_path / "m.engine.json"
    assert read_passport(engine) == passport()
    # What a later edgelane adds is left aside.
    data = json.loads(passport_path(engine).read_text())
    passport_path(engine).write_text(json.dumps({**data, "colour": "red"}))
    assert read_passport(engine) == passport()


def test_an_engine_of_another_device_or_release_is_told_why():
    mine = passport()
    assert mine.differences(HERE) == [] and mine.differences(HERE, mine.onnx_sha256) == []
    for changes, text in (
        ({"tensorrt": "10.3.0"}, "TensorRT 8.5.2.2, this is 10.3.0"),
        ({"compute_capability": "8.7"}, "compute capability 7.2, this is 8.7"),
        ({"l4t": None}, "L4T 35.4.1, this is none"),
        ({"device": "agx-xavier"}, "the device xavier-nx, this is agx-xavier"),
        ({"gpu": "Orin"}, "GPU Xavier, this is Orin"),
    ):
        (found,) = mine.differences(HERE._replace(**changes))
        assert text in found
    # What one side cannot tell is no difference.
    assert mine.differences(HERE._replace(gpu="", device=None)) == []
    (found,) = mine.differences(HERE, "ef" * 32)
    assert "/models/m.onnx has changed" in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no passport.*edgelane build"),
        ("{", "cannot be read.*no JSON"),
        ("[]", "no passport of an engine"),
        ('{"format": 99}', "no passport of an engine"),
        ('{"format": 1, "onnx": "m"}', "lacks onnx_sha256, tensorrt"),
    ],
)
def test_a_missing_or_damaged_passport_is_told(tmp_path, text, message):
    if text is not None:
        (tmp_path / "m.engine.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        read_passport(tmp_path / "m.engine")


def test_an_engine_that_is_cut_off_or_damaged_is_told(tmp_path):
    engine = tmp_path / "m.engine"
    write_engine(engine, b"engine", passport())
    assert read_engine(engine) == (b"engine", passport())
    engine.write_bytes(b"engi")
    with pytest.raises(ModelError, match=r"cut off.*got 4 bytes.*expected 6"):
        read_engine(engine)
    engine.write_bytes(b"eNgine")
    with pytest.raises(ModelError, match="is damaged"):
        read_engine(engine)
    engine.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        read_engine(engine)


def test_an_engine_whose_passport_cannot_be_written_is_taken_away(tmp_path, monkeypatch):
    from edgelane.runtime.engines import passport as module

    def full(path, content):
        if path.name.endswith(".json"):
            raise StorageError(f"{path} cannot be written", got="No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(module, "write_whole", full)
    with pytest.raises(StorageError, match="No space left"):
        write_engine(tmp_path / "m.engine", b"engine", passport())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def graph(tmp_path):
    return read_graph(nets.save(tmp_path / "m.onnx"))


def test_the_key_changes_with_all_that_makes_another_engine(tmp_path, graph):
    cache = EngineCache(tmp_path / "engines")
    device = DEVICES["agx-orin"]
    plan = plan_build(graph, device, "10.3.0")
    keys = {cache.key(graph, plan, HERE)}
    ranges = read_calibration_cache(nets.save_cache(tmp_path / "a.calib"))
    other = read_calibration_cache(nets.save_cache(tmp_path / "b.calib", {"images": 0.5}))
    for options in (
        {"precision": "fp32"},
        {"calibration": ranges},
        {"calibration": other},
        {"dla_core": 0},
        {"dla_core": 1},
        {"workspace_mb": 64},
        {"level": 5},
    ):
        keys.add(cache.key(graph, plan_build(graph, device, "10.3.0", **options), HERE))
    for field in HERE._fields:
        keys.add(cache.key(graph, plan, HERE._replace(**{field: "other"})))
    keys.add(cache.key(read_graph(nets.save(tmp_path / "m.onnx", seed=1)), plan, HERE))
    assert len(keys) == 9 + len(HERE._fields)
    assert all(key.startswith("m-") for key in keys)
    assert cache.key(graph, plan, HERE) in keys  # and it is the same each time


def test_what_is_kept_is_found_whole_or_not_at_all(tmp_path):
    cache = EngineCache(tmp_path)
    assert cache.find("m") is None
    path = cache.store("m", b"engine", passport())
    assert cache.find("m") == (path, passport())
    path.write_bytes(b"eng")
    assert cache.find("m") is None and list(tmp_path.iterdir()) == []


def test_the_cache_lets_go_of_what_was_used_longest_ago(tmp_path):
    cache = EngineCache(tmp_path, limit=25)
    for number, name in enumerate("abc"):
        data = name.encode() * 10
        path = cache.path(name)
        write_engine(path, data, passport(data))
        os.utime(path, (number, number))
    assert [p.stem for _, _, p in cache.kept()] == ["a", "b", "c"]
    assert cache.find("a") is not None  # used now, so b goes first
    assert [p.stem for p in cache.prune()] == ["b"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.engine", "a.engine.json", "c.engine", "c.engine.json",
    ]  # fmt: skip
    # One that is larger than all the room is kept alone, for it was asked for.
    cache.store("d", b"d" * 100, passport(b"d" * 100))
    assert [p.stem for _, _, p in cache.kept()] == ["d"]


def test_the_newest_engine_of_a_model_is_found_by_its_passport_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELANE_ENGINES", str(tmp_path))
    assert engines_folder() == tmp_path
    onnx = str(tmp_path / "m.onnx")
    assert cached_engine(onnx) is None
    cache = EngineCache()
    cache.store("old", b"engine", passport(onnx=onnx, built=1.0))
    cache.store("new", b"engine", passport(onnx=onnx, built=2.0))
    cache.store("other", b"engine", passport(built=3.0))
    (tmp_path / "broken.engine").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert cached_engine("m.onnx") == cache.path("new")


def test_the_time_of_the_last_build_is_known_where_it_was_on_this_machine(tmp_path):
    cache = EngineCache(tmp_path)
    assert cache.took("/models/m.onnx", HERE) is None
    cache.store("a", b"engine", passport(built=1.0, seconds=60.0))
    cache.store("b", b"engine", passport(built=2.0, seconds=90.0))
    cache.store("c", b"engine", passport(built=3.0, seconds=1.0, tensorrt="10.3.0"))
    assert cache.took("/models/m.onnx", HERE) == 90.0


def test_what_a_power_cut_left_half_written_is_swept_away(tmp_path):
    cache = EngineCache(tmp_path)
    for name, age in ((".old.engine.7.tmp", 1e6), (".new.engine.8.tmp", 0)):
        (tmp_path / name).write_bytes(b"half")
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    cache.prune()
    assert [p.name for p in tmp_path.iterdir()] == [".new.engine.8.tmp"]


def test_the_folder_of_engines_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("EDGELANE_ENGINES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engines_folder() == tmp_path / "edgelane" / "engines"
    assert engines_folder("here").name == "here"
