"""Recipes: what they may say, and that their files are those they were taught with."""

import hashlib

import pytest

from edgelane.core import ConfigError, DataError
from edgelane.runtime.inspect.recipe.config import base_name, load_recipe


def test_a_recipe_says_how_parts_are_found_and_when_they_are_judged():
    recipe = load_recipe({"pipeline": "inspection", "part": {"find": "outline"}})
    assert recipe.settings.by == "arrival" and recipe.settings.version == 0
    assert load_recipe({"pipeline": "inspection"}).settings.by == "picture"
    assert recipe.hash != load_recipe({"pipeline": "inspection"}).hash


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"part": {"find": "outlin"}}, "part: find is 'outlin'"),
        ({"part": {"fnd": "whole"}}, "part.fnd is unknown. Did you mean 'find'"),
        ({"checks": {"goldn": {}}}, "checks.goldn is unknown. Did you mean 'golden'"),
        ({"checks": {"golden": {"hihg": 3}}}, "checks.golden.hihg is unknown. Did you mean 'high'"),
        ({"trigger": {"by": "timer"}}, "a timer needs `every`"),
        ({"trigger": {"by": "arrival"}}, "arrival needs part"),
        ({"trigger": {"by": "input"}}, "go together"),
        ({"outputs": {"reject": {"chip": "/dev/gpiochip0", "line": 1}}}, "either `delay`"),
        ({"challenge": {"set": "known", "shifts": ["25:00"]}}, "'25:00' is no time"),
        ({"checks": {"outline": {"length": [3, 1]}}}, "the least is above the most"),
    ],
)
def test_a_wrong_key_is_named_with_its_path(keys, message):
    with pytest.raises(ConfigError) as error:
        load_recipe({"pipeline": "inspection", **keys})
    assert message in str(error.value)


def test_a_config_that_is_no_recipe_is_refused():
    with pytest.raises(ConfigError, match="is no recipe: got pipeline: counting"):
        load_recipe({"pipeline": "counting"})
    two = {"pipeline": "inspection", "cameras": {"a": {}, "b": {}}}
    with pytest.raises(ConfigError, match="a recipe is of one camera: got 2 cameras"):
        load_recipe(two)


def test_a_file_that_was_changed_or_lost_since_teaching_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    path = tmp_path / "part.v1.yaml"
    path.write_text(f"pipeline: inspection\nversion: 1\nartefacts:\n  a.png: {digest}\n")
    recipe = load_recipe(path)
    assert recipe.name == "part" and recipe.identity()["version"] == 1
    (tmp_path / "a.png").write_bytes(b"two")
    with pytest.raises(DataError, match="a.png is not the file it was taught with"):
        load_recipe(path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="a.png, which belongs to it, cannot be read"):
        load_recipe(path)


def test_the_name_of_a_recipe_is_without_its_version():
    assert base_name("washer.v12") == "washer"
    assert base_name("washer.vx") == "washer.vx" and base_name("washer") == "washer"


def test_a_verdict_names_the_engine_that_was_built_of_a_model(tmp_path):
    from edgelane.runtime.engines.passport import Passport, write_passport

    (tmp_path / "m.onnx").write_bytes(b"graph")
    digest = hashlib.sha256(b"graph").hexdigest()
    path = tmp_path / "part.v1.yaml"
    path.write_text(f"pipeline: inspection\nversion: 1\nartefacts:\n  m.onnx: {digest}\n")
    told = load_recipe(path).identity()
    assert told["models"] == {"m.onnx": digest[:16]} and "engines" not in told
    engine = tmp_path / "m.engine"
    engine.write_bytes(b"engine")
    built = hashlib.sha256(b"engine").hexdigest()
    write_passport(
        engine,
        Passport("m.onnx", digest, "10.3.0", "8.7", None, "gpu", None, "fp16", None, None, {},
                 1.7e9, 1.0, built, 6),
    )  # fmt: skip
    assert load_recipe(path).identity()["engines"] == {"m.onnx": built[:16]}


def test_a_recipe_keeps_its_name_and_hash_in_a_bundle(tmp_path):
    path = tmp_path / "part.v1.yaml"
    path.write_text("pipeline: inspection\nversion: 1\n")
    other = tmp_path / "config.yaml"
    other.write_text("name: part\npipeline: inspection\nversion: 1\n")
    assert load_recipe(path).identity() == load_recipe(other).identity()
