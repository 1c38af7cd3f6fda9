"""Gauges of a recipe: in the part's own coordinates, and what forbids to judge."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from edgelane.benchmarks.rendered_parts import bar, disc, render, without
from edgelane.core import ConfigError, DataError, UsageError
from edgelane.runtime.inspect.gauges.camera import Camera
from edgelane.runtime.inspect.gauges.drawing import draw_measured
from edgelane.runtime.inspect.gauges.gauging import Gauging, gauge_pictures
from edgelane.runtime.inspect.gauges.settings import read_settings
from edgelane.runtime.inspect.gauges.teaching import master_gauges, suggest_gauges, teach_gauges

cv2 = pytest.importorskip("cv2")

CAMERA = Camera(
    (320, 240),
    np.array([[533.0, 0, 162], [0, 534, 118], [0, 0, 1]]),
    np.array([-0.2, 0.05, 5e-4, -4e-4, 0]),
    np.array([0.07, -0.05, 0.04]),
    np.array([-30.0, -22, 110]),
)
PIXEL = CAMERA.mm_per_pixel((160.0, 120.0))
SIZE = {"length": 27.0, "width": 14.0, "big": 5.0, "small": 3.0}


def plate(degrees, x=29.0, y=23.0, holes=2, bite=0.0, wide=14.0):
    """A plate of 27 x 14 mm with a hole at 8, 0 and a smaller one at -5, -3."""
    turn = math.radians(degrees)
    c, s = math.cos(turn), math.sin(turn)
    at = [(8, 0, 5), (-5, -3, 3)][:holes]
    out = [disc(x + u * c - v * s, y + u * s + v * c, d) for u, v, d in at]
    if bite:
        out.append(disc(x - 13 * c, y - 13 * s, bite))
    whole = bar(x, y, 27, wide, turn)
    return without(whole, *out) if out else whole


def seen(inside, seed=0, light=(0.9, 2.0, 0.2), **more):
    return render(CAMERA, inside, light, np.random.RandomState(2 * seed + 1), **more)


def nothing(p):
    return np.zeros(len(p), bool)


SETTINGS = {
    "gauges": {
        "length": {"kind": "width", "at": [0, 0], "along": 0, "nominal": 27, "tolerance": 0.1,
                   "length": 8},
        "width": {"kind": "width", "at": [0, 0], "along": 90, "nominal": 14, "tolerance": 0.1,
                  "length": 18},
        "big": {"kind": "diameter", "at": [8, 0], "nominal": 5, "tolerance": [-0.1, 0.2]},
        "small": {"kind": "radius", "at": [-5, -3], "nominal": 1.5, "low": 1.4, "high": 1.6},
        "pitch": {"kind": "distance", "between": ["big", "small"], "nominal": 13.342,
                  "tolerance": 0.1},
        "side": {"kind": "line", "from": [-10, 7], "to": [10, 7]},
        "end": {"kind": "line", "from": [13.5, -5], "to": [13.5, 5]},
        "corner": {"kind": "angle", "between": ["side", "end"], "nominal": 90, "tolerance": 0.5},
        "edge": {"kind": "distance", "between": ["big", "side"], "nominal": 7, "tolerance": 0.1},
        "centre": {"kind": "distance", "between": ["part", "big"], "nominal": 8, "tolerance": 0.1},
        "place": {"kind": "position", "of": "big", "tolerance": 0.15},
        "area": {"kind": "area", "nominal": 378, "tolerance": 3},
        "holes": {"kind": "holes", "nominal": 2},
        "shape": {"kind": "contour", "tolerance": 0.4},
    }
}  # fmt: skip
TRUE = {"length": 27, "width": 14, "big": 5, "small": 1.5, "pitch": math.hypot(13, 3),
        "corner": 90, "edge": 7, "centre": 8, "area": 378}  # fmt: skip


@pytest.fixture(scope="module")
def taught():
    images = [seen(plate(d), k) for k, d in enumerate((0, 100, 215))]
    settings = {**SETTINGS, "marks": []}
    return {**settings, "taught": json.loads(json.dumps(teach_gauges(settings, images, CAMERA)))}


@pytest.fixture(scope="module")
def gauging(taught):
    return Gauging(taught, CAMERA)


@pytest.mark.parametrize("degrees", [40.0, 190.0, -75.0])
def test_every_kind_is_measured_however_the_part_lies(gauging, degrees):
    measured = gauging.measure(seen(plate(degrees, 31, 21), 7))
    assert measured.verdict.verdict == "pass", [r for r in measured.reasons if r.outcome != "pass"]
    (part,) = measured.parts
    assert abs(math.remainder(part.angle - degrees, 360)) < 0.3
    for name, true in TRUE.items():
        value, doubt, unit = measured.measures[name]
        if unit == "mm":
            assert abs(value - true) < 0.08 * PIXEL, name
        assert abs(value - true) <= doubt + 1e-9, name
    reason = next(r for r in measured.reasons if r.name == "big")
    assert (reason.low, reason.high, reason.unit) == (4.9, 5.2, "mm") and reason.margin > 0


def test_a_missing_hole_and_a_bite_fail_with_their_places(gauging):
    measured = gauging.measure(seen(plate(30, holes=1), 3))
    assert measured.verdict.verdict == "fail" and measured.measures["holes"].value == 1
    assert "there is no hole" in {r.text for r in measured.reasons if r.outcome == "fail"}
    measured = gauging.measure(seen(plate(30, bite=3.0), 3))
    failed = {r.name: r for r in measured.reasons if r.outcome == "fail"}
    assert set(failed) == {"shape", "area"}
    reason = failed["shape"]
    assert abs(reason.value - 2.0) < 0.2
    assert "inside the taught contour at -11" in reason.text


def test_a_part_of_a_wrong_size_fails_with_its_sizes(gauging):
    small = without(bar(29, 23, 0.85 * 27, 0.85 * 14, 0.3), disc(29, 23, 2))
    measured = gauging.measure(seen(small, 2))
    assert measured.verdict.verdict == "fail"
    assert abs(measured.measures["length"].value - 0.85 * 27) < 0.1 * PIXEL
    assert abs(measured.measures["width"].value - 0.85 * 14) < 0.1 * PIXEL


def test_near_a_limit_it_is_unsure(taught):
    narrow = {"kind": "width", "at": [0, 0], "along": 90, "nominal": 14, "length": 18}
    image = seen(plate(10), 5)
    value, doubt, _ = Gauging({"gauges": {"w": narrow}}, CAMERA).measure(image).measures["w"]
    shares = {2: "pass", 0.5: "unsure", -0.5: "unsure", -2: "fail"}
    for share, verdict in shares.items():
        high = value + share * doubt
        settings = {"gauges": {"w": {**narrow, "high": high}}}
        assert Gauging(settings, CAMERA).measure(image).verdict.verdict == verdict


def _blurred(image):
    return cv2.GaussianBlur(image, (0, 0), 3.2)


BAD = {
    "no part": (lambda: seen(nothing), "parts"),
    "two parts": (lambda: seen(lambda p: disc(18, 20, 12)(p) | disc(42, 26, 12)(p)), "parts"),
    "cut": (lambda: seen(plate(20, 10, 20)), "cut"),
    "dark": (lambda: (0.01 * seen(plate(20))).astype(np.uint8), "underexposed"),
    "bright": (lambda: cv2.add(seen(plate(20), 2), np.full((240, 320, 3), 250, np.uint8)),
               "overexposed"),
    "unfocused": (lambda: _blurred(seen(plate(20))), "focus"),
    "another part": (lambda: seen(disc(29, 23, 24)), "likeness"),
    "another size": (lambda: seen(plate(20))[:-2], "camera"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_picture_that_cannot_be_judged_is_unsure_and_says_why(gauging, what):
    make, name = BAD[what]
    measured = gauging.measure(make())
    assert measured.verdict.verdict == "unsure"
    problems = {reason.name: reason.text for reason in measured.problems}
    assert name in problems and len(problems[name]) > 8
    assert json.loads(json.dumps(measured.as_dict()))["problems"]


def test_another_camera_is_told_from_the_taught_one(taught):
    other = Camera(CAMERA.size, CAMERA.matrix * 1.01, CAMERA.distortion, CAMERA.rotation,
                   CAMERA.translation)  # fmt: skip
    for camera in (other, None):
        measured = Gauging(taught, camera).measure(seen(plate(20)))
        assert "camera" in {reason.name for reason in measured.problems}
        assert measured.verdict.verdict == "unsure"


def test_a_moved_camera_is_seen_by_fixed_marks():
    image = seen(plate(15), 4)
    rng = np.random.RandomState(1)
    image[5:35, 6:36] = cv2.resize(rng.randint(0, 2, (5, 5)).astype(np.uint8) * 200, (30, 30),
                                   interpolation=cv2.INTER_NEAREST)[..., None]  # fmt: skip
    settings = {"gauges": {}, "marks": [[4, 3, 38, 37]]}
    settings["taught"] = teach_gauges(settings, [image], CAMERA)
    gauging = Gauging(settings, CAMERA)
    assert not gauging.measure(image).problems
    for shift in (1.6, 9.0):
        warp = np.array([[1, 0, shift], [0, 1, -0.5]])
        moved = cv2.warpAffine(image, warp, (320, 240), borderMode=cv2.BORDER_REPLICATE)
        (problem,) = gauging.measure(moved).problems
        assert problem.name == "moved" and abs(problem.value - math.hypot(shift, 0.5)) < 0.2
    gone = image.copy()
    gone[:40, :40] = 40
    assert "fixed marks are not where" in gauging.measure(gone).problems[0].text
    with pytest.raises(DataError, match="nothing that could be found again"):
        teach_gauges({"marks": [[290, 205, 310, 225]]}, [seen(plate(15), 4)], CAMERA)


def test_several_parts_are_measured_one_by_one():
    two = seen(lambda p: disc(18, 20, 12)(p) | disc(42, 26, 10)(p), 2)
    outer = {"kind": "diameter", "of": "outline", "nominal": 12, "tolerance": 0.1}
    settings = {"parts": {"count": 2}, "gauges": {"outer": outer}}
    measured = Gauging(settings, CAMERA).measure(two)
    assert [p.verdict for p in measured.parts] == ["pass", "fail"]
    assert abs(measured.measures["part2_outer"].value - 10) < 0.1 * PIXEL
    count = Gauging({"gauges": {"n": {"kind": "parts", "nominal": 1}}}, CAMERA)
    assert count.measure(two).verdict.verdict == "fail"
    assert count.measure(seen(nothing)).verdict.verdict == "fail"


@pytest.mark.parametrize(("wall", "edge"), [(0.0, "face"), (1.0, "outline")])
def test_upright_walls_do_not_change_the_size_of_a_thick_part(wall, edge):
    image = seen(without(disc(33, 26, 22), disc(33, 26, 10)), 3, thickness=5.0, wall=wall)
    gauges = {"outer": {"kind": "diameter", "of": "outline"},
              "bore": {"kind": "diameter", "at": [0, 0], "nominal": 10}}  # fmt: skip
    settings = {"gauges": gauges, "parts": {"thickness": 5.0, "edge": edge}}
    measures = Gauging(settings, CAMERA).measure(image).measures
    for name, true in (("outer", 22), ("bore", 10)):
        assert abs(measures[name].value - true) < 0.1 * PIXEL
        assert abs(measures[name].value - true) < measures[name].uncertainty
    flat = Gauging({"gauges": gauges}, CAMERA).measure(image).measures["outer"].value
    assert abs(flat - 22) > 3 * PIXEL


def test_colours_are_measured_against_a_grey_card():
    image = seen(plate(0), 1)
    face = image[118:124, 150:160].reshape(-1, 3).mean(axis=0)
    tint = np.array([0.8, 1.0, 1.15])
    image = np.clip(image * tint, 0, 255).astype(np.uint8)
    paint = {"kind": "colour", "at": [0, 3], "size": 1.5, "tolerance": 3,
             "nominal": "#{2:02x}{1:02x}{0:02x}".format(*(int(v) for v in face))}  # fmt: skip
    plain = Gauging({"gauges": {"paint": paint}}, CAMERA).measure(image)
    image[5:35, 270:310] = np.rint(117.6 * tint)
    card = {"grey": {"at": [272, 7, 308, 33], "reflectance": 0.18}}
    right = Gauging({"gauges": {"paint": paint}, **card}, CAMERA).measure(image)
    assert plain.verdict.verdict == "fail" and plain.measures["paint"].value > 5
    assert right.measures["paint"].value < 3 and right.verdict.verdict == "pass"
    image[5:35, 270:310] = 255
    white = Gauging({"gauges": {"paint": paint}, **card}, CAMERA).measure(image)
    assert white.verdict.verdict == "unsure" and "overexposed" in white.problems[0].text


def test_limits_are_suggested_by_good_parts_and_hold():
    images = [seen(plate(d, wide=14 + 0.02 * k), k) for k, d in enumerate((5, 80, 170, 260))]
    found = suggest_gauges(images, CAMERA)
    assert set(found["gauges"]) == {"length", "width", "hole1", "hole2", "holes", "contour"}
    assert abs(found["gauges"]["width"]["nominal"] - 14.03) < 0.05
    gauging = Gauging(json.loads(json.dumps(found)), CAMERA)
    assert gauging.measure(seen(plate(120), 9)).verdict.verdict == "pass"
    assert gauging.measure(seen(plate(120, wide=14.6), 9)).verdict.verdict == "fail"


def test_what_cannot_be_taught_is_refused():
    good = seen(plate(5), 1)
    with pytest.raises(DataError, match="no pictures"):
        teach_gauges({}, [], CAMERA)
    with pytest.raises(DataError, match="picture 2 shows 2 parts"):
        teach_gauges({}, [good, seen(lambda p: disc(18, 20, 12)(p) | disc(42, 26, 12)(p))], CAMERA)
    with pytest.raises(DataError, match="border cuts"):
        teach_gauges({}, [seen(plate(20, 10, 20))], CAMERA)
    with pytest.raises(DataError, match="differ too much"):
        teach_gauges({}, [good, seen(disc(29, 23, 24))], CAMERA, ["a.png", "b.png"])
    with pytest.raises(DataError, match="another size"):
        teach_gauges({}, [good, good[:-2]], CAMERA)


def rimmed(x, y, seed):
    """A washer with a chamfer half a millimetre wide, half as light: its edge is the chamfer's."""
    outer, face = (seen(disc(x, y, size), seed).astype(int) for size in (24, 23))
    return ((outer + face) // 2).astype(np.uint8)


def test_masters_take_out_what_a_chamfer_hides():
    outer = {"outer": {"kind": "diameter", "of": "outline", "nominal": 24}}
    places = [(29, 23), (27, 24), (31, 21), (30, 25), (28, 22)]
    images = [rimmed(x, y, k) for k, (x, y) in enumerate(places)]
    plain = (
        Gauging({"gauges": outer}, replace(CAMERA, blur=0.95)).measure(images[0]).measures["outer"]
    )
    assert abs(plain.value - 24) > 0.3 * PIXEL and abs(plain.value - 24) < plain.uncertainty
    known = [{"outer": 24.0}] * 4
    offsets = master_gauges({"gauges": outer}, images[:4], known, CAMERA)
    merged = {"outer": {**outer["outer"], **offsets["outer"]}}
    exact = Gauging({"gauges": merged}, CAMERA).measure(images[4]).measures["outer"]
    assert abs(exact.value - 24) < exact.uncertainty < 0.5 * plain.uncertainty
    with pytest.raises(DataError, match="on 2 pictures"):
        master_gauges({"gauges": outer}, images[:2], known[:2], CAMERA)
    with pytest.raises(UsageError, match="Did you mean 'outer'"):
        master_gauges({"gauges": outer}, images[:1], [{"oter": 24.0}], CAMERA)


def bevelled(degrees, seed):
    """A plate of 27 x 14 mm whose face begins 0.4 mm within, less towards the light."""
    turn, x, y = math.radians(degrees), 29 + 0.4 * seed, 23 - 0.3 * seed
    layers = [bar(x, y, 27, 14, turn), bar(x - 0.1, y - 0.1, 25.6, 12.6, turn)]
    outer, face = (seen(layer, 1).astype(float) for layer in layers)
    return (0.5 * outer + 0.5 * face).astype(np.uint8)


def test_masters_teach_what_an_edge_of_several_steps_looks_like():
    wide = {"wide": {"kind": "width", "at": [0, 0], "along": 90, "nominal": 14, "length": 18}}
    turns = (0, 25, 65, 110, 150, 200, 265, 310)
    images = [bevelled(degrees, k) for k, degrees in enumerate(turns)]
    told = master_gauges({"gauges": wide}, images, [{"wide": 14.0}] * 8, CAMERA)["wide"]
    assert len(told["form"]) > 1 and told["doubt"] < 0.35 * PIXEL
    assert told.moved > 0.5 * PIXEL > 5 * abs(told["offset"])
    gauging = Gauging(
        json.loads(json.dumps({"gauges": {"wide": {**wide["wide"], **told}}})), CAMERA
    )
    for degrees, seed in ((30, 7), (160, 8)):
        value, doubt, _ = gauging.measure(bevelled(degrees, seed)).measures["wide"]
        assert abs(value - 14) < min(doubt, 0.1 * PIXEL)
    with pytest.raises(ConfigError, match="form is damaged"):
        read_settings({"gauges": {"wide": {**wide["wide"], "form": told["form"][:3]}}})


WRONG = {
    "gauges.bore.kind": {"bore": {"kind": "diamter"}},
    "gauges.bore: unknown key 'nominl'": {"bore": {"kind": "diameter", "nominl": 3}},
    "gauges.bore needs `at": {"bore": {"kind": "diameter", "at": [0, 0]}},
    "gauges.bore.tolerance is about": {"bore": {"kind": "area", "tolerance": 3}},
    "gauges.p.between names two": {"p": {"kind": "distance", "between": ["part"]}},
    "there is no gauge 'bor'": {"p": {"kind": "position", "of": "bor", "tolerance": 1},
                                "bore": {"kind": "diameter", "at": [0, 0], "nominal": 3}},
    "bore is a diameter": {"a": {"kind": "angle", "between": ["bore", "bore"]},
                           "bore": {"kind": "diameter", "at": [0, 0], "nominal": 3}},
    "lower limit is above the upper": {"a": {"kind": "area", "low": 3, "high": 2}},
    "gauges.a.nominal": {"a": {"kind": "area", "nominal": "three"}},
    "gauges.c.nominal": {"c": {"kind": "colour", "at": [0, 0], "nominal": "reddish"}},
    "name 'part' stands for": {"part": {"kind": "area"}},
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_wrong_settings_are_refused_with_their_path(message):
    with pytest.raises(ConfigError) as error:
        read_settings({"gauges": WRONG[message]})
    assert message in str(error.value)
    with pytest.raises(ConfigError, match="inspect.gauges"):
        read_settings({"gauges": WRONG["gauges.bore.kind"]}, "inspect")
    with pytest.raises(ConfigError, match="Did you mean 'outline'"):
        read_settings({"parts": {"edge": "outlin"}})


def test_pictures_of_a_folder_are_drawn_and_unreadable_ones_are_unsure(gauging, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), seen(plate(33), 6))
    cv2.imwrite(str(tmp_path / "b.png"), seen(plate(33, bite=3.0), 6))
    (tmp_path / "c.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    done = []
    told = list(gauge_pictures(tmp_path, gauging, out=out, progress=lambda *n: done.append(n)))
    assert [m.verdict.verdict for _, _, m in told] == ["pass", "fail", "unsure"]
    assert done[-1] == (3, 3) and sorted(p.name for p in out.iterdir()) == ["a.png", "b.png"]
    good, bad = (cv2.imread(str(out / name)) for name in ("a.png", "b.png"))
    assert good.shape[1] == 960 and good.shape[0] > 720
    red = [((p[..., 2] > 200) & (p[..., 0] < 100)).sum() for p in (good, bad)]
    assert red[0] == 0 and red[1] > 200
    empty = draw_measured(seen(nothing), gauging.measure(seen(nothing)))
    assert empty.shape[1] == 960
