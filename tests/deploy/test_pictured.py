"""A recipe and a classification in a bundle: packed, proved by golden pictures, and back again."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("nacl")

from edgelane.cli.app import run_cli  # noqa: E402
from edgelane.cli.jobs import read_events  # noqa: E402
from edgelane.cli.teaching import teach  # noqa: E402
from edgelane.core import DataError, ReleaseError  # noqa: E402
from edgelane.deploy import Layout  # noqa: E402
from edgelane.deploy.golden import check_release  # noqa: E402
from edgelane.deploy.proving import read_manifest  # noqa: E402

CLASSIFIERS = Path(__file__).resolve().parents[1] / "runtime"
RECIPE = """\
pipeline: inspection
source: {source}
serial: P
checks: {{golden: {{}}}}
challenge: {{set: known, shifts: ["06:00"]}}
"""


def plate(flaw=False, seed=0):
    """A plate with holes, `(90, 120, 3)` uint8."""
    image = np.full((90, 120, 3), 40.0)
    cv2.rectangle(image, (15, 15), (105, 75), (150, 150, 150), -1, cv2.LINE_AA)
    for x in (40, 60, 80):
        cv2.circle(image, (x, 45), 8, (30, 30, 30), -1, cv2.LINE_AA)
    if flaw:
        cv2.circle(image, (50, 64), 6, (240, 240, 240), -1, cv2.LINE_AA)
    noise = np.random.RandomState(seed).normal(0, 2, image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)


def write(folder, count, flaw=False, seed=0):
    folder.mkdir(parents=True)
    for k in range(count):
        cv2.imwrite(str(folder / f"{k:02d}.png"), plate(flaw, seed + k))


@pytest.fixture(scope="module")
def works(tmp_path_factory):
    """Plates, a recipe that was taught by them, and a challenge set."""
    folder = tmp_path_factory.mktemp("works")
    write(folder / "good", 12)
    write(folder / "known" / "pass", 2, seed=50)
    write(folder / "known" / "fail", 2, flaw=True, seed=60)
    (folder / "plate.yaml").write_text(RECIPE.format(source="good"))
    teach(folder / "plate.yaml", str(folder / "good"), false_rejects=0.02)
    return folder


@pytest.fixture
def desk(works, tmp_path, monkeypatch, capsys):
    """A copy of them with a key, a device that trusts it, and the command line."""
    shutil.copytree(works, tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")

    def edgelane(line, code=0):
        assert run_cli(line.split()) == code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return said.err if code else said.out

    edgelane("keys new works.key")
    edgelane("keys trust works.pub --root device")
    return edgelane


def unchallenged(source, name):
    """The taught recipe with another source and without a challenge set."""
    lines = Path("plate.v1.yaml").read_text().replace("source: good", f"source: {source}")
    kept = [line for line in lines.splitlines() if not line.startswith("challenge:")]
    Path(name).write_text("\n".join(kept) + "\n")


def identity(folder):
    payload = next(iter(read_events(folder, "verdict"))).payload
    return [payload[key] for key in ("recipe", "version", "recipe_hash", "serial")]


def test_a_recipe_travels_proves_itself_and_goes_back(desk):
    said = desk("bundle plate.v1.yaml --out plate-1.edgelane --key works.key")
    assert "4 pictures: 2 fail: " in said and ", 2 pass" in said
    assert "4 verdicts as they must be" in desk("install plate-1.edgelane --root device")
    release = Layout("device").current()
    held = {f.path for f in release.manifest.files}
    assert {"plate.v1/golden-01.png", "known/fail/00.png", "config.yaml"} <= held
    # Off the desk it judges as it does there, under the same name.
    desk(f"run {release.folder}/config.yaml --source good --out there --quiet")
    desk("run plate.v1.yaml --out here --quiet")
    assert identity("there") == identity("here")
    assert identity("here")[:2] == ["plate", 1]
    assert json.loads(Path("there/summary.json").read_text())["challenges"]["passed"] == 1
    desk("teach plate.v1.yaml --good good --quiet --false-rejects 0.05")
    desk("bundle plate.v2.yaml --out plate-2.edgelane --key works.key")
    done = json.loads(desk("install plate-2.edgelane --root device --json"))
    assert done["version"] == 2 and done["tested"]["answers"] == 4
    assert "plate-1-" in desk("rollback --root device")
    assert Layout("device").current().id == release.id


def test_a_device_that_judges_otherwise_does_not_switch(desk, monkeypatch):
    desk("bundle plate.v1.yaml --out plate-1.edgelane --key works.key")
    desk("install plate-1.edgelane --root device")
    desk("bundle plate.v1.yaml --out plate-2.edgelane --key works.key --frames known/fail")
    from edgelane.runtime.inspect.judging import inspector

    class Blind(inspector.Judge):
        def judge(self, image):
            return super().judge(plate(seed=3))

    with monkeypatch.context() as patch:
        patch.setattr(inspector, "Judge", Blind)
        said = desk("install plate-2.edgelane --root device", 1)
    assert "does not say of golden/picture-000.png what it must: got pass, expected fail" in said
    assert Layout("device").current().manifest.version == 1
    assert "2 verdicts" in desk("install plate-2.edgelane --root device")


def test_a_learnt_file_that_was_changed_is_no_release(desk):
    picture = Path("plate.v1/golden-02.png")
    picture.write_bytes(Path("plate.v1/golden-01.png").read_bytes())
    said = desk("bundle plate.v1.yaml --out plate-1.edgelane --key works.key", 1)
    assert "golden-02.png is not the file it was taught with" in said
    picture.unlink()
    said = desk("bundle plate.v1.yaml --out plate-1.edgelane --key works.key", 1)
    assert "golden-02.png, which belongs to it, cannot be read" in said
    assert not list(Path().glob("*.edgelane*"))


def test_what_is_not_as_its_folder_says_does_not_go_out(desk):
    shutil.copy("known/pass/00.png", "known/fail/99.png")
    said = desk("bundle plate.v1.yaml --out plate-1.edgelane --key works.key", 2)
    assert (
        "does not judge its golden pictures as their folders say: got fail/99.png is pass" in said
    )
    assert not list(Path().glob("*.edgelane*"))


def test_pictures_are_asked_for_where_none_can_be_had(desk):
    unchallenged("csi://0", "live.v1.yaml")
    line = "bundle live.v1.yaml --out live-1.edgelane --key works.key"
    assert "has no golden pictures" in desk(line, 2)
    assert "proves itself by them alone" in desk(line + " --no-frames", 2)
    assert "names its models itself" in desk(line + " --model x.onnx", 2)
    assert "no part in the golden pictures fails" in desk(line + " --frames good")
    Path("rows.txt").write_text("1,-1,10,10,50,120,0.9\n")
    assert "counts nothing" in desk(line + " --golden rows.txt --fps 5", 2)
    untaught = "bundle plate.yaml --out plate-1.edgelane --key works.key"
    assert "plate.yaml is not taught yet" in desk(untaught, 2)


def test_a_source_on_disk_gives_golden_pictures(desk):
    Path("mixed").mkdir()
    for k in range(30):
        cv2.imwrite(f"mixed/{k:02d}.png", plate(k in (17, 18), 200 + k))
    unchallenged("mixed", "line.v1.yaml")
    made = json.loads(desk("bundle line.v1.yaml --out line-1.edgelane --key works.key --json"))
    assert not [w for w in made["warnings"] if "fails" in w]  # the bad one is among the eight
    assert "8 verdicts" in desk("install line-1.edgelane --root device")


def test_a_picture_that_hangs_on_a_limit_is_told(desk):
    from edgelane.runtime.inspect.judging.judge import Judge
    from edgelane.runtime.inspect.recipe.config import load_recipe

    judge = Judge(load_recipe("plate.v1.yaml"))
    reasons = judge.single(cv2.imread("known/fail/00.png")).verdict.reasons
    judge.close()
    worst = next(r.value for r in reasons if r.name == "difference")
    text = Path("plate.v1.yaml").read_text()
    limit = next(line for line in text.splitlines() if "high:" in line).strip()
    Path("near.v1.yaml").write_text(text.replace(limit, f"high: {worst / 1.01:.3f}"))
    line = "bundle near.v1.yaml --out near-1.edgelane --key works.key --frames known/fail"
    assert "hang on a value that is all but at its limit" in desk(line)
    assert "hang on" not in desk(line.replace("near.v1", "plate.v1"))


def test_files_outside_the_folder_of_the_recipe_come_along(desk):
    Path("elsewhere").mkdir()
    shutil.copy("plate.v1.yaml", "elsewhere/plate.v1.yaml")
    text = Path("elsewhere/plate.v1.yaml").read_text().replace("plate.v1/", "../plate.v1/")
    Path("elsewhere/plate.v1.yaml").write_text(text.replace("set: known", "set: ../known"))
    desk("bundle elsewhere/plate.v1.yaml --out plate-1.edgelane --key works.key")
    assert "4 verdicts" in desk("install plate-1.edgelane --root device")
    shutil.rmtree("plate.v1")
    shutil.rmtree("known")
    folder = Layout("device").current().folder
    assert check_release(folder, read_manifest(folder)).answers == 4


@pytest.fixture
def colours(monkeypatch):
    monkeypatch.syspath_prepend(str(CLASSIFIERS))
    import classifiers

    yield classifiers
    sys.modules.pop("classifiers", None)


@pytest.mark.parametrize("parts", ["", "parts: {left: [0, 0, 50, 80], right: [50, 0, 100, 80]}\n"])
def test_a_classification_travels_too(desk, colours, parts):
    for name in ("red", "green"):
        Path("shown", name).mkdir(parents=True)
        picture = colours.picture(name, (0, 0, 100, 80), (100, 80))
        cv2.imwrite(f"shown/{name}/0.png", picture)
    colours.save_colours(Path("colours.onnx"), "gemm", "softmax", card={}, gain=20)
    Path("shown.yaml").write_text(
        f"pipeline: classification\nmodel: colours.onnx\nsource: csi://0\n{parts}"
    )
    said = desk("bundle shown.yaml --out shown-1.edgelane --key works.key --frames shown")
    count = 2 if parts else 1
    assert f"2 pictures: {count} green, {count} red" in said
    done = json.loads(desk("install shown-1.edgelane --root device --json"))
    assert done["tested"]["answers"] == 2 * count
    folder = Layout("device").current().folder
    cv2.imwrite(
        str(folder / "golden/picture-000.png"), colours.picture("blue", (0, 0, 100, 80), (100, 80))
    )
    with pytest.raises(ReleaseError, match="does not say of golden/picture-000.png what it must"):
        check_release(folder, read_manifest(folder))


def test_a_recipe_brings_its_camera_and_its_classifier(tmp_path, colours):
    import hashlib

    from edgelane.deploy.contents import gather

    (tmp_path / "lens").mkdir()
    (tmp_path / "lens/camera.json").write_text("{}")
    colours.save_colours(tmp_path / "colours.onnx", "gemm", "softmax", card={}, gain=20)
    digests = "".join(
        f"  {name}: {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}\n"
        for name in ("lens/camera.json", "colours.onnx")
    )
    (tmp_path / "tray.v4.yaml").write_text(
        "pipeline: inspection\nversion: 4\nsource: csi://0\nchecks:\n"
        "  classifier: {model: colours.onnx, good: [red]}\n"
        "  gauges: {camera: lens/camera.json, gauges: {size: {kind: area}}}\n"
        f"artefacts:\n{digests}"
    )
    contents = gather(tmp_path / "tray.v4.yaml", None, [], None, [])
    assert set(contents.files) == {"lens/camera.json", "colours.onnx", "config.yaml"}
    (model,) = contents.models
    assert (model["path"], model["role"]) == ("colours.onnx", "check")
    told = json.loads(contents.files["config.yaml"])
    assert told["name"] == "tray" and set(told["artefacts"]) == {"lens/camera.json", "colours.onnx"}
    (tmp_path / "colours.onnx").unlink()
    with pytest.raises(DataError, match="colours.onnx, which belongs to it, cannot be read"):
        gather(tmp_path / "tray.v4.yaml", None, [], None, [])


@pytest.mark.slow
def test_a_recipe_is_flashed_as_a_count_is(desk, server, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELANE_SSH", " ".join(server.ssh()))
    monkeypatch.setenv("EDGELANE_REMOTE_PYTHON", sys.executable)
    monkeypatch.setenv("EDGELANE_REMOTE_ROOT", str(tmp_path / "far"))
    (tmp_path / "far").mkdir()
    desk("bundle plate.v1.yaml --out plate-1.edgelane --key works.key")
    told = desk(f"flash {server.host} plate-1.edgelane --trust works.pub --retries 0")
    assert "golden   4 verdicts as they must be" in told
    assert Layout(tmp_path / "far").current().manifest.name == "plate"
