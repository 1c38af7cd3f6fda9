"""Teaching picks the better way to judge a surface, and works with what is installed."""

import sys

import numpy as np
import pytest

from edgelane.cli.teaching import teach
from edgelane.cli.teaching.checks import Learnt
from edgelane.cli.teaching.lesson import weaknesses
from edgelane.core import ConfigError, DataError
from edgelane.pipelines.quality.threshold import upper_threshold
from edgelane.runtime.inspect.judging.judge import Judge
from edgelane.runtime.inspect.recipe.config import load_recipe

cv2 = pytest.importorskip("cv2")


def plate(seed, flaw=False, shift=0):
    """A plate with holes that lies a little otherwise each time, `(96, 128, 3)` uint8."""
    image = np.full((96, 128, 3), 45.0)
    cv2.rectangle(image, (14 + shift, 12), (112 + shift, 84), (140, 150, 160), -1, cv2.LINE_AA)
    for x in (40, 64, 88):
        cv2.circle(image, (x + shift, 48), 8, (30, 30, 30), -1, cv2.LINE_AA)
    if flaw:
        cv2.line(image, (45, 66), (70, 74), (235, 235, 235), 3, cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), 0.8)
    noise = np.random.RandomState(seed).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def desk(tmp_path):
    for name, count in (("good", 14), ("bad", 3)):
        (tmp_path / name).mkdir()
        for k in range(count):
            picture = plate(k, name == "bad", k % 3 - 1)
            cv2.imwrite(str(tmp_path / name / f"{k:02d}.png"), picture)
    (tmp_path / "plate.yaml").write_text("pipeline: inspection\n")
    return tmp_path


def test_without_onnx_the_golden_sample_is_taught_and_the_reason_told(desk, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "edgelane.export.anomaly", raising=False)
    for name in [n for n in sys.modules if n.startswith("edgelane.export.anomaly.")]:
        monkeypatch.delitem(sys.modules, name)
    lesson = teach(desk / "plate.yaml", str(desk / "good"), str(desk / "bad"))
    golden, anomaly = lesson.surface
    assert golden.name == "golden" and golden.caught == 1.0 and not lesson.missed
    assert anomaly.name == "anomaly" and "onnx" in anomaly.skipped
    text = lesson.recipe.read_text()
    assert "golden-01.png" in text and "anomaly:" not in text
    assert "left out" not in text and lesson.as_dict()["surface"][0]["chosen"]


@pytest.mark.slow
def test_the_better_way_is_kept_and_judges(desk):
    pytest.importorskip("onnx")
    lesson = teach(desk / "plate.yaml", str(desk / "good"), str(desk / "bad"), minutes=0.3)
    told = lesson.as_dict()
    assert [one.get("skipped") for one in told["surface"]] == [None, None]
    assert told["surface"][0]["caught"] >= told["surface"][1]["caught"]
    checks = load_recipe(lesson.recipe).settings.checks
    assert set(checks.names) == {told["surface"][0]["name"]}
    page = lesson.report.read_text()
    assert "How the ways to judge a surface compare" in page and "kept" in page
    judge = Judge(load_recipe(lesson.recipe))
    assert judge.single(plate(77)).verdict.verdict == "pass"
    assert judge.single(plate(78, flaw=True)).verdict.verdict != "pass"
    judge.close()


@pytest.mark.slow
def test_a_learnt_model_that_is_asked_for_is_part_of_the_recipe(desk):
    pytest.importorskip("onnx")
    (desk / "plate.yaml").write_text("pipeline: inspection\nchecks: {anomaly: {minutes: 0.3}}\n")
    lesson = teach(desk / "plate.yaml", str(desk / "good"))
    recipe = load_recipe(lesson.recipe)
    assert recipe.settings.checks.anomaly.model == "plate.v1/anomaly.onnx"
    assert list(recipe.identity()["models"]) == ["plate.v1/anomaly.onnx"]
    judge = Judge(recipe)
    bad = judge.single(plate(78, flaw=True))
    assert bad.verdict.verdict == "fail" and len(bad.defects)
    good = [judge.single(plate(70 + k, shift=k % 3 - 1)).verdict.verdict for k in range(6)]
    assert good.count("pass") >= 4
    judge.close()


def test_gauges_get_limits_from_good_parts_where_the_recipe_gives_none(desk):
    text = (
        "pipeline: inspection\nchecks:\n  gauges:\n    gauges:\n"
        "      hole: {kind: diameter, at: [0, 0], nominal: 16}\n"
        "      long: {kind: width, at: [0, 20], along: 0, nominal: 98, low: 10, high: 20}\n"
    )
    (desk / "plate.yaml").write_text(text)
    lesson = teach(desk / "plate.yaml", str(desk / "good"))
    gauges = load_recipe(lesson.recipe).settings.checks.gauges["gauges"]
    assert 14 < gauges["hole"]["low"] < gauges["hole"]["high"] < 20
    assert (gauges["long"]["low"], gauges["long"]["high"]) == (10, 20)
    assert any("not within the limits of long" in text for text in lesson.warnings)
    judge = Judge(load_recipe(lesson.recipe))
    judged = judge.single(plate(50))
    names = {r.name: r.outcome for r in judged.verdict.reasons}
    assert names["hole"] == "pass" and names["long"] == "fail"
    (desk / "plate.yaml").write_text(text.replace("diameter", "diametre"))
    with pytest.raises(ConfigError, match="checks.gauges.gauges.hole.kind.*Did you mean"):
        teach(desk / "plate.yaml", str(desk / "good"))


def test_a_few_good_parts_are_too_few_for_a_learnt_model_that_is_asked_for(desk):
    pytest.importorskip("onnx")
    (desk / "plate.yaml").write_text("pipeline: inspection\nchecks: {anomaly: {}}\n")
    for path in sorted((desk / "good").iterdir())[4:]:
        path.unlink()
    with pytest.raises(DataError, match="needs 8 good parts: got 4"):
        teach(desk / "plate.yaml", str(desk / "good"))
    assert not list(desk.glob("*.v1*"))


@pytest.mark.slow
def test_pictures_of_several_sizes_are_judged_by_a_learnt_model_alone(desk):
    pytest.importorskip("onnx")
    for k, path in enumerate(sorted((desk / "good").iterdir())):
        wide = 128 + 12 * (k % 3)
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (wide, 96)))
    lesson = teach(desk / "plate.yaml", str(desk / "good"), minutes=0.1)
    told = {one.name: one for one in lesson.surface}
    assert "several sizes" in told["golden"].skipped and not told["anomaly"].skipped
    assert any("differ in size" in text for text in lesson.warnings)
    recipe = load_recipe(lesson.recipe)
    assert recipe.settings.checks.names == ("anomaly",)
    judge = Judge(recipe)
    for wide in (118, 140, 170):
        image = cv2.resize(plate(60), (wide, 96))
        judged = judge.single(image)
        assert [r.name for r in judged.verdict.reasons if r.condition and r.outcome != "pass"] == []
        assert judged.verdict.score is not None
    dark = judge.single(cv2.resize(plate(60), (140, 96)) // 12)
    assert dark.verdict.verdict == "unsure" and dark.verdict.score is not None
    judge.close()
    text = "pipeline: inspection\nchecks: {golden: {}}\n"
    (desk / "plate.yaml").write_text(text)
    with pytest.raises(DataError, match="has another size"):
        teach(desk / "plate.yaml", str(desk / "good"))


def test_bad_parts_of_another_size_than_the_good_ones_are_refused(desk):
    for path in (desk / "bad").iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (120, 96)))
    with pytest.raises(DataError, match="another size than the pictures of good parts"):
        teach(desk / "plate.yaml", str(desk / "good"), str(desk / "bad"))


def test_good_parts_whose_own_light_differs_much_are_not_taken_for_another_light(desk):
    for k, path in enumerate(sorted((desk / "good").iterdir())):
        image = plate(k, shift=k % 3 - 1).astype(float)
        image[:, :] += (k % 5) * 18.0
        cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))
    from edgelane.cli.teaching.conditions import learn_conditions
    from edgelane.cli.teaching.parts import samples

    parts = samples(load_recipe(desk / "plate.yaml"), str(desk / "good"), lambda done, text: None)
    low, high = learn_conditions(parts)["light"]
    assert all(low < p.light < high for p in parts)
    assert low < 0.6 * np.median([p.light for p in parts])


def test_a_mask_beside_its_picture_is_no_part_and_marks_its_defect(desk, tmp_path):
    from edgelane.cli.teaching.lesson import masks_of
    from edgelane.cli.teaching.parts import samples
    from edgelane.runtime.inspect.pictures import pictures_in

    place = tmp_path / "mixed"
    place.mkdir()
    for k in range(3):
        cv2.imwrite(str(place / f"{k}.jpg"), plate(k, True))
        mask = np.zeros((96, 128), np.uint8)
        if k != 1:
            mask[60:80, 40:75] = 255
            mask[58, 40:75] = 40  # a faint edge
        cv2.imwrite(str(place / f"{k}.png"), mask)
    cv2.imwrite(str(place / "alone.png"), plate(9, True))
    assert [p.name for p in pictures_in(place)] == ["0.jpg", "1.jpg", "2.jpg", "alone.png"]
    shown = samples(load_recipe(desk / "plate.yaml"), str(place), lambda done, text: None)
    masks = masks_of(str(place), shown)
    assert [mask is None for mask in masks] == [False, True, False, True]
    assert int((masks[0] > 0).sum()) == 20 * 35


def ring(seed, flaw=False):
    """A ring somewhere on a belt, its light from one side, `(140, 180, 3)` uint8."""
    random = np.random.RandomState(seed)
    image = np.full((140, 180, 3), 45.0)
    at = (int(random.randint(60, 120)), int(random.randint(60, 80)))
    cv2.circle(image, at, 34, (150, 155, 160), -1, cv2.LINE_AA)
    cv2.circle(image, (at[0] - 2, at[1] - 2), 31, (165, 170, 175), -1, cv2.LINE_AA)
    cv2.circle(image, at, 15, (45, 45, 45), -1, cv2.LINE_AA)
    if flaw:
        cv2.circle(image, (at[0] + 24, at[1]), 2, (90, 95, 100), -1, cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), 0.8) * random.uniform(0.95, 1.05)
    return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def test_rings_pass_however_they_fit_and_a_speck_on_one_does_not(tmp_path):
    (tmp_path / "good").mkdir()
    for k in range(20):
        cv2.imwrite(str(tmp_path / "good" / f"{k:02d}.png"), ring(k))
    text = "pipeline: inspection\npart: {find: outline}\ntrigger: {by: picture}\n"
    (tmp_path / "ring.yaml").write_text(text + "checks: {outline: {}, colour: {}, golden: {}}\n")
    lesson = teach(tmp_path / "ring.yaml", str(tmp_path / "good"))
    assert {"difference", "deviation"} < set(lesson.thresholds)
    assert lesson.surface[0].scores.max() <= 1 and lesson.surface[0].threshold.value == 1
    judge = Judge(load_recipe(lesson.recipe))
    good = [judge.single(ring(100 + k)).verdict for k in range(12)]
    assert [v.verdict for v in good].count("pass") >= 11
    broken = [r.name for v in good for r in v.told if r.condition and r.outcome != "pass"]
    assert broken == []
    bad = judge.single(ring(200, flaw=True))
    assert bad.verdict.verdict != "pass" and len(bad.defects)
    judge.close()


def test_a_check_that_lets_most_flaws_pass_is_told():
    good = np.linspace(0, 1, 40)
    limit = upper_threshold(good, 0.01)
    few = Learnt("anomaly", limit, good, np.array([0.2] * 9 + [limit.value + 1]))
    (told,) = weaknesses([few], False, 0.01)
    assert "stops only 10%" in told and "--bad" in told
    (told,) = weaknesses([few], True, 0.01)
    assert "--bad" not in told and "--false-rejects" in told
    most = Learnt("golden", limit, good, np.array([limit.value + 1] * 9 + [0.2]))
    assert weaknesses([most, few], False, 0.01) == [] == weaknesses([], False, 0.01)
