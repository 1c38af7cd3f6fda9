"""A config is read whole or refused with the path of the field."""

from typing import Dict, List

import msgspec
import pytest

from edgelane.core import ConfigError, MissingDependency, UsageError
from edgelane.runtime.config import decode, load_config, resolve_path
from edgelane.runtime.named import load_object

MANY = """
pipeline: counting
model: yolox.onnx
classes: [person]
confidence: 0.4
reference_size: [640, 360]
cameras:
  entrance:
    source: door.mp4
    lines: {door: {from: [1, 2], to: [3, 4]}}
  till:
    source: till.mp4
    reference_size: [100, 100]
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        path = tmp_path / "store.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_cameras_take_what_stands_on_top_unless_they_say_otherwise(write):
    config = load_config(write(MANY))
    assert list(config.cameras) == ["entrance", "till"]
    assert config.cameras["entrance"].reference_size == (640, 360)
    assert config.cameras["till"].reference_size == (100, 100)
    assert config.classes == ("person",) and config.confidence == 0.4


def test_one_camera_may_stand_on_top(write):
    config = load_config(write("source: a.mp4\nlines: {door: {}}"))
    camera = config.cameras["camera"]
    assert (camera.source, camera.settings, camera.path) == ("a.mp4", {"lines": {"door": {}}}, "")


def test_rates_and_priorities_belong_to_cameras(write):
    text = "fps: 5\nlatency_ms: 250\ncameras: {a: {priority: 2}, b: {fps: 12.5}}"
    config = load_config(write(text))
    assert [(c.fps, c.priority) for c in config.cameras.values()] == [(5.0, 2.0), (12.5, 1.0)]
    assert config.latency_ms == 250 and config.cameras["a"].settings == {}
    plain = load_config(write("source: door.mp4"))
    assert (plain.cameras["camera"].fps, plain.latency_ms) == (None, None)


def test_yaml_is_1_2_so_times_and_on_stay_text(write):
    config = load_config(write("open: 10:30\nswitch: on"))
    assert config.cameras["camera"].settings == {"open": "10:30", "switch": "on"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "must hold keys and values"),
        ("- a\n- b", "must hold keys and values"),
        ("a: [1", "line 1.*no YAML"),
        ("a: 1\na: 2", "no YAML"),
        ("1: a", "must be text"),
        ("cameras: []", "cameras"),
        ("cameras: {}", "cameras"),
        ("cameras: {door: 3}", "cameras.door"),
        ("source: a\ncameras: {door: {}}", "Move it under the camera"),
        ("confidence: 3", "confidence: got 3"),
        ("confidence: high", "confidence: got 'high', expected a number"),
        ("classes: person", "classes: got 'person', expected a list"),
        ("classes: []", "at least one class"),
        ("classes: [1]", r"classes\[0\]"),
        ("reference_size: [640]", "reference_size"),
        ("reference_size: [640, 0]", "reference_size"),
        ("reference_size: [.nan, 3]", "reference_size"),
        ("cameras: {a: {source: 3}}", r"cameras\.a\.source"),
        ("fps: 0", "fps: got 0.0, expected 0.001 to 1000 frames a second"),
        ("fps: -5", "fps: got -5"),
        ("fps: .nan", "fps: got nan"),
        ("fps: .inf", "fps: got inf"),
        ("fps: five", "fps: got 'five', expected a number"),
        ("fps: true", "fps: got True, expected a number"),
        ("cameras: {a: {fps: 0}}", r"cameras\.a\.fps"),
        ("priority: high", "priority: got 'high', expected a number"),
        ("priority: 0", "priority: got 0.0, expected 0.01 to 100"),
        ("cameras: {a: {priority: .nan}}", r"cameras\.a\.priority: got nan"),
        ("latency_ms: 0", "latency_ms: got 0.0, expected 1 to 60000 milliseconds"),
        ("latency_ms: .nan", "latency_ms: got nan"),
        ("latency_ms: soon", "latency_ms: got 'soon', expected a number"),
    ],
)
def test_a_wrong_config_names_the_field(write, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(text))
    assert caught.value.exit_code == 2


def test_a_config_that_is_missing_or_a_folder_or_binary_is_told(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "b.yaml")


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start: List[float] = msgspec.field(name="from")
    note: str = ""


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lines: Dict[str, Leaf] = {}
    grid: int = 4


def test_a_struct_is_decoded_with_its_yaml_names():
    tree = decode(Tree, {"lines": {"door": {"from": [1, 2]}}})
    assert tree == Tree({"door": Leaf([1.0, 2.0])}, 4)


@pytest.mark.parametrize(
    "data, message",
    [
        ({"lines": {"door": {"from": [1, "x"]}}}, r"lines\.door\.from\[1\]: .*a number"),
        ({"lines": {"door": {"form": [1, 2]}}}, r"lines\.door\.form is unknown\. Did you mean"),
        ({"lines": {"door": {}}}, r"lines\.door lacks from"),
        ({"lines": 3}, "lines: got 3"),
        ({"lines": {3: {}}}, "lines: name 3 must be text"),
        ({"gird": 3}, "gird is unknown. Did you mean 'grid'"),
        ({"sauce": 3}, "sauce is unknown. Did you mean 'source'"),
        ({"grid": "many"}, "grid: got 'many', expected a whole number"),
        (3, "expected keys and values"),
    ],
)
def test_a_wrong_struct_names_the_field(data, message):
    with pytest.raises(ConfigError, match=message):
        decode(Tree, data, "", ("source",))


def test_a_path_is_looked_up_beside_the_config_first(tmp_path, monkeypatch):
    here, beside = tmp_path / "here", tmp_path / "beside"
    for folder in (here, beside):
        folder.mkdir()
        (folder / "both").touch()
    (here / "only").touch()
    monkeypatch.chdir(here)
    assert resolve_path("both", beside) == str(beside / "both")
    assert resolve_path("only", beside) == "only"
    assert resolve_path("none", beside) == str(beside / "none")


def test_a_users_own_object_is_imported_from_beside_the_config(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_own_module.py").write_text("def decode():\n    return 3\n")
    (tmp_path / "my_needy_module.py").write_text("import a_library_nobody_has\n")
    assert load_object("my_own_module:decode", "decoder", tmp_path)() == 3
    with pytest.raises(UsageError, match="Did you mean 'decode'"):
        load_object("my_own_module:decoed", "decoder", tmp_path)
    with pytest.raises(UsageError, match="no module"):
        load_object("nothing_there:x", "decoder", tmp_path)
    with pytest.raises(UsageError, match="malformed"):
        load_object("nothing", "decoder", tmp_path)
    with pytest.raises(MissingDependency, match="a_library_nobody_has"):
        load_object("my_needy_module:x", "decoder", tmp_path)
    (tmp_path / "my_broken_module.py").write_text("def decode(:\n")
    with pytest.raises(UsageError, match=r"SyntaxError: .*my_broken_module.py, line 1"):
        load_object("my_broken_module:decode", "decoder", tmp_path)
    (tmp_path / "my_failing_module.py").write_text("x = 1\nx / 0\n")
    with pytest.raises(UsageError, match=r"ZeroDivisionError.*\(my_failing_module.py, line 2\)"):
        load_object("my_failing_module:decode", "decoder", tmp_path)
