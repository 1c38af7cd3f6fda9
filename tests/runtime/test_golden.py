"""Golden samples: what is found, what is let pass, and what cannot be judged."""

import json

import numpy as np
import pytest

from edgelane.cli.app import run_cli
from edgelane.core import DataError
from edgelane.runtime.inspect import Golden, GoldenSettings, inspect, inspect_picture

cv2 = pytest.importorskip("cv2")


def plate(seed: int = 0, noise: float = 2.0, colour=(150, 150, 150)) -> np.ndarray:
    """A plate with slots and holes on a dark ground, `(320, 400, 3)` uint8."""
    image = np.full((320, 400, 3), 40, np.uint8)
    cv2.rectangle(image, (40, 40), (360, 280), colour, -1, cv2.LINE_AA)
    for k in range(5):
        cv2.circle(image, (80 + 58 * k, 90), 14, (30, 30, 30), -1, cv2.LINE_AA)
        cv2.line(image, (80 + 50 * k, 150), (95 + 50 * k, 240), (235, 235, 235), 7, cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), 0.9)
    grain = np.random.RandomState(seed).normal(0, noise, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def moved(image, angle=0.0, scale=1.0, shift=(0, 0)):
    height, width = image.shape[:2]
    warp = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    warp[:, 2] += shift
    return cv2.warpAffine(image, warp, (width, height), borderMode=cv2.BORDER_REPLICATE), warp


LIES = [(0, 1, (0, 0)), (1.5, 1.015, (12, -12)), (-1.5, 0.985, (-12, 7)), (3.5, 1.0, (0, 0))]


def test_a_part_that_is_another_leaves_the_golden_picture_as_it_was():
    # A size that suits the Fourier transform.
    small = cv2.resize(plate(1), (90, 72), interpolation=cv2.INTER_AREA)
    other = np.random.RandomState(0).randint(0, 255, small.shape).astype(np.uint8)
    golden = Golden([small])
    before = inspect_picture(golden, small).as_dict()
    assert before["verdict"] == "pass"
    assert inspect_picture(golden, other).verdict.verdict == "unsure"
    assert inspect_picture(golden, small).as_dict() == before


@pytest.mark.parametrize("angle, scale, shift", LIES)
def test_a_good_part_passes_however_it_lies(angle, scale, shift):
    golden = Golden([plate(1)])
    tested, warp = moved(plate(2), angle, scale, shift)
    result = inspect_picture(golden, tested)
    assert result.verdict.verdict == "pass", result.as_dict()
    found = golden.compare(tested).registration.warp
    corners = np.array([[60, 60, 1], [340, 60, 1], [340, 260, 1], [60, 260, 1]], float)
    assert np.abs(corners @ found.T - corners @ warp.T).max() < 0.35


def test_defects_are_boxed_in_pixels_of_the_tested_picture():
    bad = plate(3)
    cv2.circle(bad, (200, 200), 5, (40, 40, 40), -1, cv2.LINE_AA)
    cv2.rectangle(bad, (300, 60), (330, 100), (150, 150, 150), -1)  # a hole is filled
    tested, warp = moved(bad, 1.2, 1.01, (9, -6))
    result = inspect_picture(Golden([plate(1)]), tested)
    assert result.verdict.verdict == "fail"
    middles = np.array([[200, 200, 1], [312, 90, 1]], float) @ warp.T
    for middle in middles:
        inside = (result.xyxy[:, :2] < middle).all(1) & (result.xyxy[:, 2:] > middle).all(1)
        assert inside.any()
    assert len(result.xyxy) == 2


def test_a_thin_line_that_is_cut_and_two_that_are_joined_are_seen():
    good = np.full((200, 200, 3), 240, np.uint8)
    for x in (60, 90, 120, 150):
        cv2.line(good, (x, 20), (x, 180), (20, 20, 20), 3)
    bad = good.copy()
    bad[95:103, 57:64] = 240
    bad[60:64, 90:120] = 20
    result = inspect_picture(Golden([good]), bad)
    assert len(result.xyxy) == 2


def test_a_colour_on_a_grey_part_is_a_defect_though_its_grey_is_right():
    tested = plate(4)
    tested[180:200, 60:75] = (245, 85, 220)
    grey = cv2.cvtColor(tested, cv2.COLOR_BGR2GRAY)
    assert abs(int(grey[190, 67]) - 150) < 12
    assert inspect_picture(Golden([plate(1)]), tested).verdict.verdict == "fail"


def _in_light(image, factor, tint=(1, 1, 1), gamma=1.0):
    level = (image / 255.0) ** gamma * 255
    return np.clip(level * np.reshape(factor, (*np.shape(factor), 1)) * tint, 0, 255).astype("u1")


def _slope(amount, angle):
    y, x = np.mgrid[-0.5:0.5:320j, -0.5:0.5:400j]
    return 0.85 * (1 + amount * (x * np.cos(angle) + y * np.sin(angle)))


LIGHT = {
    "darker": lambda image: _in_light(image, 0.8),
    "lighter": lambda image: _in_light(image, 1.05),
    "brighter in the dark": lambda image: _in_light(image, 1.0, gamma=0.85),
    "from the left": lambda image: _in_light(image, _slope(-0.6, 0.3)),
    "from below": lambda image: _in_light(image, _slope(0.6, 1.7)),
    "bluish": lambda image: _in_light(image, 1.0, (1.05, 0.95, 0.85)),
}


@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.parametrize("colour", [(150, 150, 150), (140, 165, 120)])
def test_other_light_is_no_defect_and_hides_none(name, colour):
    golden = Golden([plate(1, colour=colour)])
    good = inspect_picture(golden, LIGHT[name](moved(plate(2, colour=colour), 1.0)[0]))
    assert good.verdict.verdict == "pass", good.as_dict()
    bad = plate(3, colour=colour)
    cv2.circle(bad, (200, 260), 6, (40, 40, 40), -1, cv2.LINE_AA)
    result = inspect_picture(golden, LIGHT[name](bad))
    assert result.verdict.verdict == "fail" and len(result.xyxy) == 1, result.as_dict()


def test_a_part_of_another_colour_is_not_taken_for_other_light():
    golden = Golden([plate(1, colour=(120, 165, 120))])
    assert inspect_picture(golden, plate(2, colour=(120, 165, 120))).verdict.verdict == "pass"
    other = inspect_picture(golden, plate(2, colour=(200, 140, 110)))
    assert other.verdict.verdict == "fail", other.as_dict()


def test_a_picture_that_bends_is_no_defect():
    y, x = np.mgrid[0:320, 0:400].astype(np.float32)
    bent = cv2.remap(plate(2), x + 3 * np.sin(y / 70), y + 3 * np.sin(x / 90), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    golden = Golden([plate(1)])
    assert inspect_picture(golden, bent).verdict.verdict == "pass"
    bent[200:208, 240:248] = 40
    assert len(inspect_picture(golden, bent).xyxy) == 1


def test_several_good_parts_teach_where_parts_may_differ():
    def part(seed, x):
        image = plate(seed)
        image[252:268, x : x + 16] = 40  # a label that is never twice in one place
        return image

    goods = [part(k, x) for k, x in enumerate((60, 70, 80, 90, 100))]
    tested = part(9, 84)
    assert inspect_picture(Golden(goods[:1]), tested).verdict.verdict == "fail"
    assert inspect_picture(Golden(goods), tested).verdict.verdict == "pass"
    stain = part(10, 80)
    stain[190:215, 330:350] = stain[190:215, 330:350] * 0.78
    assert inspect_picture(Golden(goods), stain).verdict.verdict == "fail"
    assert inspect_picture(Golden(goods[:1]), plate(5)).verdict.verdict == "fail"


def _dark(image):
    return (image * 0.12).astype(np.uint8)


BAD_PICTURES = {
    "no part": lambda: np.full((320, 400, 3), 40, np.uint8),
    "no part, light from the left": lambda: (
        np.full((320, 400, 3), 90) * np.linspace(0.7, 1.3, 400)[None, :, None]
    ).astype(np.uint8),
    "noise": lambda: np.random.RandomState(1).randint(0, 255, (320, 400, 3)).astype(np.uint8),
    "overexposed": lambda: np.clip(plate(2).astype(int) * 2 + 120, 0, 255).astype(np.uint8),
    "underexposed": lambda: _dark(plate(2)),
    "unfocused": lambda: cv2.GaussianBlur(plate(2), (0, 0), 5),
    "cut by the border": lambda: moved(plate(2), 0, 1, (170, 0))[0],
    "another size": lambda: plate(2)[:-4],
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_what_cannot_be_judged_is_unsure_with_a_reason(name):
    result = inspect_picture(Golden([plate(1)]), BAD_PICTURES[name]())
    assert result.verdict.verdict == "unsure", result.as_dict()
    assert result.as_dict()["reasons"][0]["outcome"] != "pass"


def test_two_parts_do_not_pass():
    small = cv2.resize(plate(1), (200, 160))
    one, two = np.full((320, 400, 3), 40, np.uint8), np.full((320, 400, 3), 40, np.uint8)
    one[80:240, 0:200] = small
    two[80:240, 0:200] = small
    two[80:240, 200:400] = small
    assert inspect_picture(Golden([one]), one).verdict.verdict == "pass"
    assert inspect_picture(Golden([one]), two).verdict.verdict != "pass"


def test_a_blank_golden_picture_is_never_a_pass():
    blank = np.full((200, 200, 3), 250, np.uint8)
    assert inspect_picture(Golden([blank]), blank).verdict.verdict == "unsure"


def test_good_parts_that_do_not_match_are_refused():
    with pytest.raises(DataError, match="another size"):
        Golden([plate(1), plate(2)[:-2]])
    with pytest.raises(DataError, match="does not look like"):
        Golden([plate(1), BAD_PICTURES["noise"]()])


def _write(folder, **pictures):
    folder.mkdir(exist_ok=True)
    for name, image in pictures.items():
        cv2.imwrite(str(folder / f"{name}.png"), image)
    return folder


def test_the_command_prints_a_line_a_part_and_draws_it(tmp_path, capsys):
    bad = plate(3)
    cv2.circle(bad, (200, 200), 7, (40, 40, 40), -1)
    folder = _write(tmp_path / "parts", a_test=plate(2), a_temp=plate(1), b_test=bad,
                    b_temp=plate(4), c_test=plate(5))  # fmt: skip
    (folder / "d_test.png").write_bytes(b"not a picture")
    _write(folder, d_temp=plate(1))
    out = tmp_path / "out"
    code = run_cli(["inspect", str(folder), "--golden", str(folder), "--json", "--out", str(out)])
    assert code == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["verdict"] for row in rows] == ["pass", "fail", "unsure", "unsure"]
    assert set(rows[0]) == {"image", "verdict", "score", "defects", "reasons"}
    assert len(rows[1]["defects"]) == 1 and rows[1]["defects"][0]["score"] > 0.5
    assert "no golden picture" in rows[2]["reasons"][0]["text"]
    assert "no picture that can be read" in rows[3]["reasons"][0]["text"]
    drawn = cv2.imread(str(out / "b_test.png"))
    assert drawn.shape[1] == 400 and drawn.shape[0] > 320


def test_pictures_are_never_overwritten_by_what_is_drawn_of_them(tmp_path, capsys):
    parts = _write(tmp_path / "parts", a=plate(7))
    cv2.imwrite(str(parts / "a.bmp"), plate(8))
    goods = _write(tmp_path / "goods", a=plate(1))
    before = (parts / "a.png").read_bytes(), (goods / "a.png").read_bytes()
    for out in (parts, goods):
        asked = ["inspect", str(parts), "--golden", str(goods), "--out", str(out)]
        assert run_cli(asked) == 2 and "overwrite" in capsys.readouterr().err
    assert ((parts / "a.png").read_bytes(), (goods / "a.png").read_bytes()) == before
    out = tmp_path / "drawn"
    assert len(list(inspect(parts, goods, out=out))) == 2
    assert sorted(p.name for p in out.iterdir()) == ["a.bmp.png", "a.png.png"]


def test_several_good_pictures_serve_as_one_kind_or_by_folder(tmp_path):
    goods = _write(tmp_path / "goods", **{f"good{k}": plate(k) for k in range(3)})
    parts = _write(tmp_path / "parts", a=plate(7), b=plate(8))
    with pytest.raises(DataError, match="--one-kind"):
        list(inspect(parts, goods))
    assert {p.verdict.verdict for p in inspect(parts, goods, one_kind=True)} == {"pass"}
    by_name = tmp_path / "named"
    by_name.mkdir()
    _write(by_name / "a", **{f"good{k}": plate(k) for k in range(3)})
    assert [p.verdict.verdict for p in inspect(parts, by_name)] == ["pass", "unsure"]


def test_good_parts_that_cannot_serve_are_refused_by_name(tmp_path, capsys):
    parts = _write(tmp_path / "parts", a=plate(7), b=plate(8))
    goods = _write(tmp_path / "goods", a=plate(1), b=BAD_PICTURES["noise"](), c=plate(2))
    with pytest.raises(DataError, match=r"b\.png does not look like a\.png"):
        list(inspect(parts, goods, one_kind=True))
    assert run_cli(["inspect", str(parts), "--golden", str(goods), "--one-kind", "--json"]) == 1
    told = capsys.readouterr()
    assert not told.out and "b.png" in told.err
    # By name each stands for itself: one that cannot be used spoils no other.
    (goods / "b.png").write_bytes(b"")
    found = list(inspect(parts, goods))
    assert [p.verdict.verdict for p in found] == ["pass", "unsure"]
    assert "b.png" in found[1].verdict.reasons[0].text


def test_half_a_part_that_is_darker_is_not_taken_for_the_light_of_a_lamp():
    golden = Golden([plate(k) for k in range(5)])
    dark = plate(9)
    dark[:, 200:] = dark[:, 200:] * 0.7
    assert inspect_picture(golden, dark).verdict.verdict == "fail"


def test_a_larger_defect_scores_higher():
    golden, scores = Golden([plate(1)]), []
    for radius in (4, 8, 16, 32):
        tested = plate(2)
        cv2.circle(tested, (240, 200), radius, (40, 40, 40), -1)
        scores.append(float(inspect_picture(golden, tested).score.max()))
    assert scores == sorted(set(scores)) and scores[0] > 0.5 and scores[-1] < 1


@pytest.mark.parametrize(
    "images, golden", [("nowhere", "parts"), ("parts", "nowhere"), ("empty", "parts")]
)
def test_paths_that_do_not_exist_are_one_sentence(tmp_path, capsys, monkeypatch, images, golden):
    monkeypatch.chdir(tmp_path)
    _write(tmp_path / "parts", a=plate(1))
    (tmp_path / "empty").mkdir()
    assert run_cli(["inspect", images, "--golden", golden]) == 2
    assert capsys.readouterr().err.startswith("Error: ")


@pytest.mark.data
def test_boards_beside_their_templates(data):
    """A few boards as they come; the benchmark measures all of them."""
    boxes = hits = 0
    settings = GoldenSettings()
    folder = data / "qi" / "deeppcb"
    names = sorted(p.stem[:-5] for p in folder.glob("*_test.jpg"))[::10]
    found = 0
    for name in names:
        golden = Golden([cv2.imread(str(folder / f"{name}_temp.jpg"))], settings)
        result = inspect_picture(golden, cv2.imread(str(folder / f"{name}_test.jpg")))
        truth = np.loadtxt(folder / f"{name}.txt", ndmin=2)[:, :4]
        middle = 0.5 * (truth[:, :2] + truth[:, 2:])[:, None]
        inside = (result.xyxy[None, :, :2] < middle) & (result.xyxy[None, :, 2:] > middle)
        hits += int(inside.all(2).any(1).sum())
        boxes += len(truth)
        found += len(result.xyxy)
    assert hits >= 0.95 * boxes and found <= 1.05 * boxes
