"""What cannot be judged is unsure or refused with the reason: never a silent pass."""

import numpy as np
import pytest

from edgelane.cli.teaching import teach
from edgelane.core import DataError, UsageError
from edgelane.runtime.inspect.judging.judge import Judge
from edgelane.runtime.inspect.recipe.config import load_recipe

cv2 = pytest.importorskip("cv2")
pytestmark = pytest.mark.slow

SIZE = (320, 240)
CHECKS = "checks:\n  outline: {}\n  colour: {}\n  golden: {}\n"


def picture(
    seed=0, middle=(160, 120), angle=20.0, tint=(120, 150, 90), scale=1.0, flaw=False, light=1.0,
    more=(),
):  # fmt: skip
    """A plate with two holes and a mark on a dark rough ground, `(240, 320, 3)` uint8."""
    random = np.random.RandomState(seed)
    image = np.full((SIZE[1], SIZE[0], 3), 45.0)
    image += random.normal(0, 2, image.shape)
    for place in (middle, *more):
        turn = np.radians(angle)
        axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

        def at(points, place=place, axes=axes):
            return np.rint((np.array(points, float) * scale @ axes + place) * 16).astype(int)

        corners = at([(-45, -22), (45, -22), (45, 22), (-45, 22)])
        part = np.zeros((*image.shape[:2], 3), np.uint8)
        cv2.fillPoly(part, [corners], tint, cv2.LINE_AA, 4)
        for x in (-28, 28):
            cv2.circle(part, tuple(at([(x, 0)])[0].tolist()), round(8 * scale * 16), (45, 45, 45),
                       -1, cv2.LINE_AA, 4)  # fmt: skip
        cv2.fillPoly(part, [at([(-10, 8), (14, 8), (14, 14), (-10, 14)])], (40, 60, 40),
                     cv2.LINE_AA, 4)  # fmt: skip
        if flaw:
            ends = at([(-8, -14), (12, -4)])
            cv2.line(part, tuple(ends[0].tolist()), tuple(ends[1].tolist()), (230, 230, 230), 3,
                     cv2.LINE_AA, 4)  # fmt: skip
        inside = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(inside, [corners], 255, cv2.LINE_AA, 4)
        share = inside[..., None] / 255
        image = image * (1 - share) + part * share
    image = cv2.GaussianBlur(image * light, (0, 0), 0.8)
    return np.clip(image + random.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


def good(seed):
    random = np.random.RandomState(1000 + seed)
    middle = (160 + random.uniform(-30, 30), 120 + random.uniform(-20, 20))
    return picture(seed, middle, random.uniform(0, 360))


def write(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(images):
        cv2.imwrite(str(folder / f"{k:02d}.png"), image)
    return str(folder)


def recipe(folder, text=CHECKS, find="outline", trigger="picture"):
    path = folder / "plate.yaml"
    path.write_text(
        f"pipeline: inspection\npart: {{find: {find}}}\ntrigger: {{by: {trigger}}}\n{text}"
    )
    return path


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """A judge that was taught by sixteen good plates, and its folder."""
    folder = tmp_path_factory.mktemp("plate")
    place = write(folder / "good", [good(k) for k in range(16)])
    lesson = teach(recipe(folder), place, false_rejects=0.02)
    return Judge(load_recipe(lesson.recipe)), folder


@pytest.mark.parametrize("seed", range(5))
def test_a_good_part_passes_and_a_bad_one_fails_however_it_lies(plate, seed):
    judge, _ = plate
    angle = 70.0 * seed
    passed = judge.single(picture(50 + seed, (150, 110), angle)).verdict
    assert passed.verdict == "pass", passed
    bad = judge.single(picture(60 + seed, (170, 125), angle, flaw=True))
    assert bad.verdict.verdict == "fail" and len(bad.defects)
    assert judge.single(picture(70, angle=angle, scale=1.1)).verdict.verdict == "fail"
    assert judge.single(picture(71, angle=angle, tint=(90, 120, 150))).verdict.verdict == "fail"


def _noise(*_):
    return np.random.RandomState(0).randint(0, 255, (240, 320, 3)).astype(np.uint8)


CANNOT = {
    "no part in view": (lambda: picture(1, (-200, -200)), "parts"),
    "two parts": (lambda: picture(1, (90, 70), more=[(230, 170)]), "parts"),
    "two parts that touch": (lambda: picture(1, (160, 95), 0, more=[(160, 137)]), "one part"),
    "a part cut by the border": (lambda: picture(1, (300, 120)), "cut"),
    "overexposed": (lambda: np.clip(picture(1) * 6.0 + 60, 0, 255).astype(np.uint8), "light"),
    "underexposed": (lambda: (picture(1) * 0.15).astype(np.uint8), "light"),
    "unfocused": (lambda: cv2.GaussianBlur(picture(1), (0, 0), 4), "focus"),
    "another camera": (lambda: cv2.resize(picture(1), (640, 480)), "picture"),
    "noise": (_noise, None),
    "black": (lambda: np.zeros((240, 320, 3), np.uint8), None),
    "white": (lambda: np.full((240, 320, 3), 255, np.uint8), None),
    "a moved camera": (lambda: cv2.resize(picture(1, (160, 120)), None, fx=1.4, fy=1.4)[
        48:288, 64:384], None),
}  # fmt: skip


@pytest.mark.parametrize("name", CANNOT)
def test_a_picture_that_cannot_be_judged_never_passes(plate, name):
    make, reason = CANNOT[name]
    verdict = plate[0].single(make()).verdict
    if name == "a moved camera":  # nearer: sizes are wrong, and no part is passed
        assert verdict.verdict != "pass"
        return
    assert verdict.verdict == "unsure", verdict
    told = [r.name for r in verdict.told]
    assert told and all(r.text or r.value is not None for r in verdict.told)
    assert reason is None or reason in told, told


def test_one_good_picture_is_refused(tmp_path):
    with pytest.raises(DataError, match="one good part does not tell"):
        teach(recipe(tmp_path), write(tmp_path / "good", [good(1)]))
    with pytest.raises(DataError, match="two good parts"):
        teach(recipe(tmp_path), write(tmp_path / "good", [good(1), good(2)]))
    same = write(tmp_path / "same", [good(1)] * 5)
    with pytest.raises(DataError, match="one and the same"):
        teach(recipe(tmp_path), same)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good", "plate.yaml", "same"]


@pytest.mark.parametrize(
    "odd, message",
    [
        (lambda: picture(9, scale=1.3), "09.png: length"),
        (lambda: picture(9, tint=(60, 60, 200)), "09.png: colour"),
        (lambda: cv2.GaussianBlur(picture(9), (0, 0), 2.5), "09.png: .* times as sharp"),
    ],
)
def test_good_parts_that_differ_too_much_are_refused_by_name(tmp_path, odd, message):
    place = write(tmp_path / "good", [*(good(k) for k in range(9)), odd()])
    with pytest.raises(DataError, match=message):
        teach(recipe(tmp_path), place)
    assert not list(tmp_path.glob("*.v1*")) and not list(tmp_path.glob(".*"))


def test_good_parts_of_two_kinds_are_refused_by_a_golden_sample(tmp_path):
    random = np.random.RandomState(3)

    def tile(kind):
        image = np.full((120, 160, 3), 120.0)
        for k in range(5):
            x = 20 + 28 * k
            if kind:
                cv2.circle(image, (x, 60), 10, (30, 30, 30), -1)
            else:
                cv2.line(image, (x, 10), (x, 110), (30, 30, 30), 6)
        return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)

    place = write(tmp_path / "good", [tile(k % 2) for k in range(12)])
    text = "checks: {golden: {}}\n"
    with pytest.raises(DataError, match="do not look like|differ too much"):
        teach(recipe(tmp_path, text, "whole"), place)


def test_pictures_that_show_no_part_or_two_teach_nothing(tmp_path):
    shown = [*(good(k) for k in range(5)), picture(5, (-200, -200)),
             picture(6, (90, 70), more=[(230, 170)])]  # fmt: skip
    with pytest.raises(DataError, match="2 of 7 pictures cannot teach") as error:
        teach(recipe(tmp_path), write(tmp_path / "good", shown))
    assert "05.png shows no part; 06.png shows 2 parts" in str(error.value)


def test_masks_that_do_not_match_are_refused(tmp_path):
    place = write(tmp_path / "good", [good(k) for k in range(8)])
    bad = write(tmp_path / "bad", [picture(k, flaw=True) for k in range(2)])
    masks = tmp_path / "bad" / "masks"
    masks.mkdir()
    cv2.imwrite(str(masks / "00.png"), np.full((10, 10), 255, np.uint8))
    with pytest.raises(DataError, match="mask 00.png does not match its picture: got 10 x 10"):
        teach(recipe(tmp_path), place, bad)
    cv2.imwrite(str(masks / "00.png"), np.zeros((240, 320), np.uint8))
    with pytest.raises(DataError, match="mask 00.png marks nothing"):
        teach(recipe(tmp_path), place, bad)
    cv2.imwrite(str(masks / "00.png"), np.full((240, 320), 255, np.uint8))
    cv2.imwrite(str(masks / "77.png"), np.full((240, 320), 255, np.uint8))
    with pytest.raises(DataError, match="1 masks belong to no picture.*77.png"):
        teach(recipe(tmp_path), place, bad)


def test_bad_parts_that_would_pass_are_told(tmp_path):
    place = write(tmp_path / "good", [good(k) for k in range(10)])
    bad = write(tmp_path / "bad", [picture(30, flaw=True), good(31), picture(32, scale=1.2)])
    lesson = teach(recipe(tmp_path), place, bad)
    assert lesson.missed == ["01.png"] and lesson.judged["00.png"] == "fail"
    assert any("1 of 3 bad parts pass" in text for text in lesson.warnings)


def test_light_or_focus_that_drifted_is_told(tmp_path):
    drifting = [(good(k) * (1 + 0.02 * k)).clip(0, 255).astype(np.uint8) for k in range(12)]
    lesson = teach(recipe(tmp_path), write(tmp_path / "good", drifting))
    assert any("grew brighter from the first to the last" in text for text in lesson.warnings)
    steady = teach(recipe(tmp_path), write(tmp_path / "good", [good(k) for k in range(12)]))
    assert not any("drifted" in text or "half" in text for text in steady.warnings)
    blurred = [cv2.GaussianBlur(good(k), (0, 0), 0.3 + 0.07 * k) for k in range(12)]
    soft = teach(recipe(tmp_path), write(tmp_path / "good", blurred))
    assert any("grew less sharp" in text for text in soft.warnings)
    assert (steady.version, soft.version) == (2, 3)


def test_wrong_folders_and_rates_are_one_sentence(tmp_path):
    path = recipe(tmp_path)
    with pytest.raises(UsageError, match="there are no pictures at"):
        teach(path, str(tmp_path / "none"))
    with pytest.raises(UsageError, match="share of false rejects is wrong"):
        teach(path, str(tmp_path), false_rejects=2)
    mixed = write(tmp_path / "good", [good(k) for k in range(4)])
    cv2.imwrite(str(tmp_path / "good" / "09.png"), cv2.resize(good(9), (640, 480)))
    with pytest.raises(DataError, match="09.png has another size than 00.png"):
        teach(path, mixed)
    (tmp_path / "good" / "09.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="09.png is no picture"):
        teach(path, mixed)
