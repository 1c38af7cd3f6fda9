"""A camera calibrated from rendered boards knows its lens and its plane."""

import json

import numpy as np
import pytest

from edgelane.cli.app import run_cli
from edgelane.core import DataError, UsageError
from edgelane.runtime.inspect.gauges.camera import Board, Camera, calibrate_camera

cv2 = pytest.importorskip("cv2")

TRUE = Camera(
    (640, 480),
    np.array([[1060.0, 0, 324], [0, 1061, 236], [0, 0, 1]]),
    np.array([-0.2, 0.05, 5e-4, -4e-4, 0]),
    np.array([0.08, -0.06, 0.0]),
    np.array([-30.0, -21, 125]),
)
CHESS = Board("chessboard", 10, 7, 6.0)


def seen(board: Board, camera: Camera) -> np.ndarray:
    """The board as the camera sees it, `(480, 640, 3)` uint8."""
    if board.kind == "charuco":
        size = (board.columns * 60, board.rows * 60)
        print_ = board.aruco(cv2).generateImage(size, marginSize=0)
        per_mm = 60 / board.square_mm
    else:
        y, x = np.mgrid[0 : board.rows * 60, 0 : board.columns * 60] // 60
        print_ = np.where((x + y) % 2 == 0, 30, 220).astype(np.uint8)
        per_mm = 60 / board.square_mm
    print_ = cv2.copyMakeBorder(print_, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=220)
    y, x = np.mgrid[0:960, 0:1280]
    pixels = np.stack(((x.ravel() + 0.5) / 2 - 0.5, (y.ravel() + 0.5) / 2 - 0.5), axis=1)
    at = (camera.to_mm(pixels) * per_mm + 60 - 0.5).astype(np.float32).reshape(960, 1280, 2)
    picture = cv2.remap(print_, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
                        borderValue=220)  # fmt: skip
    picture = cv2.resize(picture, (640, 480), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(cv2.GaussianBlur(picture, (0, 0), 0.7), cv2.COLOR_GRAY2BGR)


def views(board: Board, count: int = 5):
    random = np.random.RandomState(3)
    result = []
    for k in range(count):
        last = k == count - 1
        turn = TRUE.rotation + random.uniform(-0.3, 0.3, 3) * (not last)
        shift = TRUE.translation + (random.uniform(-4, 4, 3) + (0, 0, 20)) * (not last)
        result.append(seen(board, Camera(TRUE.size, TRUE.matrix, TRUE.distortion, turn, shift)))
    return result


@pytest.mark.parametrize("board", [CHESS, Board("charuco", 10, 7, 6.0)], ids=lambda b: b.kind)
@pytest.mark.slow
def test_pixels_become_millimetres(board):
    camera = calibrate_camera(views(board), board)
    assert camera.rms < 0.15 and camera.views >= 4
    pixels = np.random.RandomState(1).uniform((90, 80), (550, 400), (40, 2))
    here, there = camera.to_mm(pixels), TRUE.to_mm(pixels)
    lengths = [np.linalg.norm(p[1:] - p[:-1], axis=1) for p in (here, there)]
    assert np.abs(lengths[0] / lengths[1] - 1).max() < 2e-3
    assert camera.scale_uncertainty < 1e-3


def test_places_go_to_pixels_and_back_on_every_height():
    pixels = np.random.RandomState(2).uniform((0, 0), (639, 479), (50, 2))
    for height in (0.0, 5.0):
        assert np.abs(TRUE.to_pixels(TRUE.to_mm(pixels, height), height) - pixels).max() < 1e-6
    low, high = TRUE.mm_per_pixel((320, 240)), TRUE.mm_per_pixel((320, 240), 5.0)
    assert 0.03 < 1 - high / low < 0.05  # nearer by 5 mm of 125


@pytest.mark.slow
def test_the_command_writes_a_camera(tmp_path, capsys):
    for k, image in enumerate(views(CHESS, 4)):
        cv2.imwrite(str(tmp_path / f"{k}.png"), image)
    out = tmp_path / "camera.json"
    asked = ["calibrate-camera", str(tmp_path), "--squares", "10x7", "--square", "6"]
    assert run_cli([*asked, "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert abs(facts["mm_per_pixel"] / TRUE.mm_per_pixel((320, 240)) - 1) < 0.01
    camera = Camera.load(out)
    assert camera.size == (640, 480) and camera.views == 4
    assert run_cli([*asked[:2], "--squares", "9x7", "--square", "6", "--out", "no.json"]) == 1
    assert "count the squares" in capsys.readouterr().err.lower()
    assert run_cli([*asked[:2], "--squares", "tens", "--square", "6"]) == 2


def test_what_is_no_camera_or_board_is_refused(tmp_path):
    path = tmp_path / "camera.json"
    path.write_text("{}")
    with pytest.raises(DataError, match="no calibrated camera"):
        Camera.load(path)
    with pytest.raises(UsageError, match="did you mean|chessboard"):
        Board("chesboard", 10, 7, 6.0)
    with pytest.raises(DataError, match="found in 0 of 3"):
        calibrate_camera([np.full((100, 120, 3), 90, np.uint8)] * 3, CHESS)
