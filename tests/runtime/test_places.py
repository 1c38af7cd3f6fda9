"""Place by place: what varies on good parts is let pass, and what does not is seen."""

import numpy as np
import pytest

from edgelane.core import ConfigError, DataError
from edgelane.runtime.inspect.golden.places import Places
from edgelane.runtime.inspect.golden.sample import Golden
from edgelane.runtime.inspect.recipe.config import load_recipe

cv2 = pytest.importorskip("cv2")


def plate(seed, dent=None, light=1.0, colour=(150, 150, 160)):
    """A plate with a label that varies, `(120, 160, 3)` uint8."""
    random = np.random.RandomState(seed)
    image = np.full((120, 160, 3), 40.0)
    cv2.rectangle(image, (20, 20), (140, 100), colour, -1, cv2.LINE_AA)
    for x in (50, 110):
        cv2.circle(image, (x, 60), 12, (30, 30, 30), -1, cv2.LINE_AA)
    cv2.rectangle(image, (66, 50), (94, 70), (random.uniform(60, 240),) * 3, -1)
    if dent is not None:
        cv2.circle(image, dent, 1, (110, 110, 120), -1, cv2.LINE_AA)
    image = cv2.GaussianBlur(image * light, (0, 0), 0.8)
    return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def taught():
    images = [plate(k) for k in range(16)]
    golden = Golden(images[:1])
    return golden, Places(golden, images, [3.0, 2.0, 1.5, 1.2])


def deviation(taught, image):
    golden, places = taught
    found = golden.compare(image)
    return places.compare(found.laid, found.inside, found.registration)


def test_a_faint_speck_is_seen_and_a_label_that_varies_is_not(taught):
    good = max(deviation(taught, plate(100 + k)).score for k in range(8))
    turn = cv2.getRotationMatrix2D((80, 60), 1.5, 1.0)
    bad = cv2.warpAffine(plate(200, dent=(120, 90)), turn, (160, 120), borderValue=(40, 40, 40))
    found = deviation(taught, bad)
    assert found.score > 1.5 * good
    ((left, top, right, bottom), worst), *_ = found.boxes(1.2 * good, (160, 120))
    x, y = turn @ (120, 90, 1)
    assert left < x < right and top < y < bottom and right - left < 20
    assert worst >= 1.2 * good and not found.boxes(found.score * 1.01 + found.map.max(), (160, 120))


def test_light_that_drifts_by_a_tenth_is_no_defect_and_another_colour_is_one(taught):
    usual = max(deviation(taught, plate(300 + k)).score for k in range(6))
    drifted = [deviation(taught, plate(400 + k, light=1 + 0.1 * (-1) ** k)).score for k in range(4)]
    assert max(drifted) < 1.5 * usual
    assert deviation(taught, plate(500, colour=(150, 150, 190))).score > 2 * usual


def test_grey_parts_and_a_score_without_any_box_of_its_own():
    grey = [cv2.cvtColor(plate(k), cv2.COLOR_BGR2GRAY) for k in range(10)]
    golden = Golden([cv2.merge((grey[0],) * 3)])
    places = Places(golden, [cv2.merge((image,) * 3) for image in grey])
    found = golden.compare(cv2.merge((grey[3],) * 3))
    away = places.compare(found.laid, found.inside, found.registration)
    assert away.map.shape == (120, 160) and away.score == pytest.approx(away.worst.max())
    assert away.boxes(away.score, (160, 120))


def test_few_parts_are_refused():
    golden = Golden([plate(0)])
    with pytest.raises(DataError, match="too few good parts"):
        Places(golden, [plate(k) for k in range(7)])
    with pytest.raises(ConfigError, match="usual must be four numbers"):
        load_recipe({"pipeline": "inspection", "checks": {"golden": {"usual": [1.0]}}})
