"""A bundle holds what a config needs, is the same every time, and holds no password."""

import hashlib
import json
import os
import time

import pytest

from edgelane.core import ConfigError, DataError, ReleaseError, UsageError
from edgelane.deploy import Recording, Trust, make_bundle, read_bundle
from edgelane.deploy.secrecy import refuse_passwords


def trust_of(shop) -> Trust:
    return Trust({shop.secret.public.id: shop.secret.public.text})


def test_it_holds_what_its_manifest_says(shop):
    (shop.folder / "tiny.calib").write_text("TRT-8501-EntropyCalibration2\nx: 3c010a14\n")
    made = read_bundle(
        shop.bundle(3, golden={}, devices=["Orin NX 16GB", "nano"], expires="2031-05-01"),
        trust_of(shop),
    )
    manifest = made.manifest
    assert (manifest.name, manifest.version, manifest.devices) == ("shop", 3, ["nano", "orin-nx"])
    assert [f.path for f in manifest.files] == [
        "config.yaml", "golden/camera-0.txt", "models/detector/tiny.calib",
        "models/detector/tiny.onnx",
    ]  # fmt: skip
    tiny = (shop.folder / "tiny.onnx").read_bytes()
    assert manifest.file("models/detector/tiny.onnx").sha256 == hashlib.sha256(tiny).hexdigest()
    assert manifest.models[0].calibration == "models/detector/tiny.calib"
    (counted,) = manifest.golden.counts
    # Over the line and back, past it to the till and back, and once across.
    assert counted.answers["lines"]["door"] == {"in": 2, "out": 3}
    assert counted.answers["zones"]["till"]["entries"] >= 1


def test_the_same_input_gives_the_same_bytes(shop, monkeypatch):
    def made():
        bundle = shop.bundle(3)
        return bundle.read_bytes(), (bundle.parent / (bundle.name + ".minisig")).read_bytes()

    first = made()
    os.utime(shop.folder / "tiny.onnx", (1e9, 1e9))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert made() == first
    assert shop.bundle(4).read_bytes() != first[0]


def test_recorded_detections_of_ones_own(shop):
    rows = shop.folder / "door.txt"
    rows.write_text("1,-1,10,10,50,120,0.9\n2,-1,12,10,50,120,0.9\n")
    made = read_bundle(shop.bundle(1, golden={"camera": Recording(rows, 7.0)}), trust_of(shop))
    (counted,) = made.manifest.golden.counts
    assert (counted.fps, counted.size) == (7.0, (640, 360))
    with pytest.raises(UsageError, match="no camera 'doors'"):
        shop.bundle(1, golden={"doors": Recording(rows, 7.0)})
    rows.unlink()
    with pytest.raises(DataError, match=r"door\.txt cannot be read"):
        shop.bundle(2, golden={"camera": Recording(rows, 7.0)})
    assert not (shop.folder / "shop-2.edgelane").exists()


def test_modules_beside_the_config_come_along(shop):
    (shop.folder / "mine.py").write_text(
        "from edgelane.pipelines.counting import Counting\nclass Mine(Counting):\n    pass\n"
    )
    text = shop.config.read_text()
    shop.config.write_text(text.replace("pipeline: counting", "pipeline: mine:Mine"))
    made = read_bundle(shop.bundle(1), trust_of(shop))
    assert "mine.py" in [f.path for f in made.manifest.files]
    shop.config.write_text(text + "decoder: elsewhere:decode\n")
    with pytest.raises(ConfigError, match="module 'elsewhere' cannot be packed"):
        shop.bundle(2)


def test_files_that_the_config_names_come_along(shop, tmp_path):
    (shop.folder / "banked.py").write_text(
        "import msgspec\n"
        "from edgelane.pipelines.counting import Counting, CountingSettings\n"
        "class Settings(CountingSettings, frozen=True):\n    bank: str = ''\n"
        "class Mine(Counting):\n    Settings = Settings\n"
        "def told(event):\n    pass\n"
    )
    (shop.folder / "parts").mkdir()
    (shop.folder / "parts/bank one.npz").write_bytes(b"known parts")
    text = shop.config.read_text().replace("pipeline: counting", "pipeline: banked:Mine")
    shop.config.write_text(text + "bank: parts/bank one.npz\n")
    bundle = shop.bundle(1)
    made = read_bundle(bundle, trust_of(shop))
    (place,) = [m for m in made.members if m.name.startswith("files/")]
    whole = bundle.read_bytes()
    assert whole[place.start : place.start + place.size] == b"known parts"
    config = next(m for m in made.members if m.name == "config.yaml")
    assert json.loads(whole[config.start : config.start + config.size])["bank"] == place.name


PASSWORDS = [
    ({"cameras": {"a": {"source": "rtsp://me:hunter2@10.0.0.1/x"}}}, "cameras.a.source"),
    ({"source": "http://10.0.0.1/v?user=a&password=hunter2"}, "source"),
    ({"mqtt": {"password": "hunter2"}}, "mqtt.password"),
    ({"hooks": [{"url": "https://x/", "api_key": "hunter2"}]}, "hooks[0].api_key"),
    ({"pin_token": 482913}, "pin_token"),
]


@pytest.mark.parametrize(("data", "path"), PASSWORDS)
def test_a_password_is_refused_with_its_path_and_not_told(data, path):
    with pytest.raises(ConfigError) as caught:
        refuse_passwords(data)
    assert caught.value.what.startswith(path + " holds a password")
    assert "hunter2" not in str(caught.value) and "482913" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    ["secret:door", "rtsp://me:secret:door@h/x", "rtsp://me@h/x", "rtsp://h:554/x", "v.mp4", ""]
    + ["http://h/v?token=secret:cam"],
)
def test_names_of_secrets_are_welcome(source):
    refuse_passwords({"source": source, "password": "secret:x"}, f"source: {source}\n")


def test_a_password_in_a_comment_is_found_too(shop):
    text = shop.config.read_text()
    shop.config.write_text("# was rtsp://admin:hunter2@10.0.0.5/\n" + text)
    with pytest.raises(ConfigError, match="line 1 of the config"):
        shop.bundle(1)
    assert list(shop.folder.glob("*.edgelane*")) == []


@pytest.mark.parametrize(
    ("out", "options", "said"),
    [
        ("shop.edgelane", {}, "has no version"),
        ("shop-1.zip", {}, "is called otherwise"),
        ("shop-1.edgelane", {"version": 0}, "version of a bundle is wrong"),
        ("shop-1.edgelane", {"name": "A/../b"}, "name of a bundle is wrong"),
        ("shop-1.edgelane", {"expires": "2026-02-30"}, "last day is wrong"),
        ("shop-1.edgelane", {"devices": ["orin-nanu"]}, "did you mean 'orin-nano'"),
        ("shop-1.edgelane", {"wheels": ["x.zip"]}, "is no wheel"),
        ("shop-1.edgelane", {"model": "missing.onnx"}, "missing.onnx does not exist"),
        ("no/shop-1.edgelane", {}, "cannot be written"),
    ],
)
def test_what_cannot_be_asked_is_told_and_leaves_nothing(shop, out, options, said):
    from edgelane.core import EdgelaneError

    with pytest.raises(EdgelaneError) as caught:
        make_bundle(shop.config, shop.folder / out, **{"key": shop.key, "frames": [], **options})
    assert said in str(caught.value).replace("Did", "did")
    assert list(shop.folder.glob("*.edgelane*")) == []


def test_the_key_that_signs_cannot_be_revoked_by_it(shop):
    with pytest.raises(UsageError, match="cannot revoke the key that signs it"):
        shop.bundle(1, revoke=[shop.secret.public.id.lower()])


def test_nothing_is_believed_without_a_signature_of_a_trusted_key(shop):
    bundle = shop.bundle(1)
    with pytest.raises(ReleaseError, match="does not trust"):
        read_bundle(bundle, Trust())
    with pytest.raises(ReleaseError, match="was revoked"):
        read_bundle(bundle, Trust(trust_of(shop).keys, [shop.secret.public.id]))
    (shop.folder / "shop-1.edgelane.minisig").unlink()
    with pytest.raises(ReleaseError, match="without its signature"):
        read_bundle(bundle, trust_of(shop))
    with pytest.raises(ReleaseError, match="cannot be read"):
        read_bundle(shop.folder / "none.edgelane", trust_of(shop))


def test_the_config_in_it_reads_the_same(shop, tmp_path):
    from edgelane.runtime.config import load_config

    made = read_bundle(shop.bundle(1), trust_of(shop))
    member = next(m for m in made.members if m.name == "config.yaml")
    with open(shop.folder / "shop-1.edgelane", "rb") as file:
        file.seek(member.start)
        text = file.read(member.size)
    (tmp_path / "again.yaml").write_bytes(text)
    here, there = load_config(shop.config), load_config(tmp_path / "again.yaml")
    assert json.loads(text)["model"] == there.model == "models/detector/tiny.onnx"
    assert there.cameras == here.cameras
