"""The benchmark of learnt anomaly: its measures, and a quick look at real tiles."""

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgelane.benchmarks.anomaly import (  # noqa: E402
    Fold,
    conveyor_parts,
    interval,
    pixels,
    read_tiles,
)
from edgelane.benchmarks.anomaly_commands import by_commands, table  # noqa: E402
from edgelane.core import DataError  # noqa: E402
from edgelane.export.anomaly import learn  # noqa: E402
from edgelane.export.anomaly.calibrate import auroc  # noqa: E402
from edgelane.export.anomaly.methods import Looked  # noqa: E402
from edgelane.runtime.inspect.judging.anomaly import load_anomaly  # noqa: E402
from edgelane.runtime.inspect.pictures import read_picture  # noqa: E402


def test_the_interval_holds_the_mean_and_shrinks_with_more_tiles():
    random = np.random.default_rng(0)
    widths = []
    for count in (30, 300):
        rows = [(random.normal(0, 1, count), random.normal(1, 1, count)) for _ in range(3)]
        value, low, high = interval(rows, np.arange(count), rounds=200)
        assert low < value < high
        assert value == pytest.approx(0.76, abs=0.08)
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_pixels_of_a_map_that_knows_are_right_and_of_one_that_does_not_are_chance():
    mask = np.zeros((32, 32), bool)
    mask[8:20, 8:20] = True
    looked = [Looked(np.zeros((1, 32, 32)), np.ones((32, 32), bool), mask)]
    knows = Fold(np.zeros((2, 32, 32), np.float32), mask[None].astype(np.float32))
    assert min(pixels([knows], looked, [0])) > 0.95
    random = np.random.default_rng(0)
    blind = Fold(
        random.normal(0, 1, (2, 32, 32)).astype(np.float32),
        random.normal(0, 1, (1, 32, 32)).astype(np.float32),
    )
    assert pixels([blind], looked, [0])[0] == pytest.approx(0.5, abs=0.25)


def test_a_folder_without_tiles_is_refused(tmp_path):
    with pytest.raises(DataError, match="no tiles"):
        read_tiles(tmp_path)


def test_parts_of_the_conveyor_lie_alike():
    good, rest, defects = conveyor_parts("bracket", 4, 6)
    assert len(good) == 4 and len(rest) == len(defects) >= 6
    assert {p.shape for p in good + rest} == {(96, 96, 3)}
    assert set(defects) - {"none"}
    middles = np.array([p[44:52, 44:52].mean() for p in good])
    assert middles.std() < 25


@pytest.mark.slow
def test_tiles_of_several_sizes_go_the_users_way(tmp_path):
    free, bad = [], []
    for k in range(20):
        random = np.random.default_rng(k)
        size = (96 + 8 * (k % 4), 96)
        image = np.clip(random.normal(130, 8, size), 0, 255).astype(np.uint8)
        mask = np.zeros(size, np.uint8)
        if k >= 14:
            x, y = (int(v) for v in random.integers(20, 70, 2))
            cv2.circle(mask, (x, y), 7, 255, -1)
            image[mask > 0] //= 3
        (bad if k >= 14 else free).append(tmp_path / f"{k:02d}.jpg")
        cv2.imwrite(str(tmp_path / f"{k:02d}.jpg"), image)
        cv2.imwrite(str(tmp_path / f"{k:02d}.png"), mask)
    row = by_commands(free, bad, (0,), labelled=3, minutes=0.1)
    assert row["kept"] == "anomaly" and row["without_score"] == 0
    assert row["image"] > 0.9 and row["bad_failed"] > row["good_failed"]
    assert "anomaly, 1 folds" in table([row])[1]


@pytest.mark.data
@pytest.mark.slow
def test_defects_of_tiles_are_told_from_free_tiles_never_seen(data, tmp_path):
    free, bad, _ = read_tiles(data / "qi" / "magtile")
    learnt = learn(free[::2], size=(256, 256), minutes=0.6, candidates=["discriminator"])
    path = tmp_path / "m.onnx"
    learnt.save(path)
    with load_anomaly(path) as anomaly:
        good = np.array([anomaly(read_picture(p))[0] for p in free[1::2]])
        wrong = np.array([anomaly(read_picture(p))[0] for p in bad[::3]])
    assert auroc(wrong, good) > 0.7
