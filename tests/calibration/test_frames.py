"""Which pictures a model is calibrated with."""

import os

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from edgelane.calibration.frames import (  # noqa: E402
    choose_frames,
    is_flat,
    pick,
    picture_paths,
    spread,
    thumbnail,
)
from edgelane.core import DataError, SourceError, StorageError, UsageError  # noqa: E402
from edgelane.runtime import sources  # noqa: E402
from edgelane.runtime.testing import FakeSource  # noqa: E402


def picture(seed, size=(48, 64)):
    """Blocks of random colours: seeds differ as places do."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return np.kron(blocks, np.ones((size[0] // 6, size[1] // 8, 1), np.uint8))


def folder_of(path, pictures, ending="png"):
    path.mkdir(exist_ok=True)
    for index, image in enumerate(pictures):
        cv2.imwrite(str(path / f"{index}.{ending}"), image)
    return path


def near(image, seed):
    noise = np.random.default_rng(seed).integers(-3, 4, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)


def test_farthest_points_take_one_of_each_cluster():
    random = np.random.default_rng(0)
    centres = random.standard_normal((7, 5)) * 10
    rows = np.repeat(np.arange(7), 30)
    points = centres[rows] + random.standard_normal((210, 5)) * 0.1
    chosen = pick(points, 7)
    assert sorted(rows[chosen]) == list(range(7))
    assert list(chosen) == sorted(chosen)
    assert np.array_equal(pick(points, 500), np.arange(210))


def test_copies_are_not_taken_twice_before_the_rest():
    points = np.array([[0.0], [0.0], [0.0], [5.0], [9.0]])
    assert set(points[pick(points, 3), 0]) == {0.0, 5.0, 9.0}
    assert len(set(pick(np.zeros((5, 2)), 3))) == 3


def test_a_folder_gives_its_scenes_rather_than_its_first_pictures(tmp_path):
    scenes = [near(picture(s), 10 * s + i) for s in range(4) for i in range(6)]
    frames = choose_frames(folder_of(tmp_path / "f", scenes), 4)
    assert sorted(int(n.split(".")[0]) // 6 for n in frames.names) == [0, 1, 2, 3]
    assert frames.seen == 24
    for name, image in zip(frames.names, frames):
        assert np.array_equal(image, scenes[int(name.split(".")[0])])


def test_all_of_a_small_folder_in_natural_order(tmp_path):
    frames = choose_frames(folder_of(tmp_path / "f", [picture(i) for i in range(11)]), 20)
    assert frames.names == [f"{i}.png" for i in range(11)]
    assert len(list(frames)) == len(list(frames)) == 11, "they can be read again"


def test_pictures_that_cannot_be_read_are_told_and_left_out(tmp_path):
    folder = folder_of(tmp_path / "f", [picture(i) for i in range(3)])
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture either")
    frames = choose_frames(folder, 10)
    assert len(frames) == 3
    assert "2 of 5 pictures cannot be read: broken.jpg, empty.png" in frames.warnings[0]


def test_a_cut_to_black_is_not_chosen(tmp_path):
    pictures = [np.zeros((48, 64, 3), np.uint8), *(picture(i) for i in range(5))]
    frames = choose_frames(folder_of(tmp_path / "f", pictures), 3)
    assert "0.png" not in frames.names
    assert is_flat(pictures[0])


@pytest.mark.parametrize("content", [None, {}, {"a.jpg": b"x", "b.png": b""}])
def test_folders_without_pictures(tmp_path, content):
    folder = tmp_path / "f"
    if content is not None:
        folder.mkdir()
        for name, data in content.items():
            (folder / name).write_bytes(data)
    with pytest.raises((DataError, SourceError)) as caught:
        choose_frames(folder, 5)
    assert str(folder) in str(caught.value)


def test_a_count_of_none(tmp_path):
    with pytest.raises(UsageError):
        choose_frames(tmp_path, 0)


def test_the_identity_is_that_of_the_files(tmp_path):
    folder = folder_of(tmp_path / "f", [picture(i) for i in range(3)])
    first = choose_frames(folder).identity
    assert choose_frames(folder).identity == first
    os.utime(folder / "1.png", (1, 1))
    assert choose_frames(folder).identity != first


def video(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def test_a_video_gives_its_scenes(tmp_path):
    scenes = [picture(s) for s in (0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2)]
    frames = choose_frames(video(tmp_path / "v.avi", scenes), 3)
    places = [int(name.rsplit(" ", 1)[1]) for name in frames.names]
    assert [0 if p < 8 else 1 if p == 8 else 2 for p in places] == [0, 1, 2]
    for place, image in zip(places, frames):
        assert np.abs(image.astype(int) - scenes[place]).mean() < 12
    again = choose_frames(tmp_path / "v.avi", 3)
    assert again.identity == frames.identity


def test_a_long_video_is_thinned_and_memory_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelane.calibration.frames.CANDIDATES", 16)
    frames = choose_frames(video(tmp_path / "v.avi", [picture(i // 4) for i in range(100)]), 5)
    places = [int(name.rsplit(" ", 1)[1]) for name in frames.names]
    assert len(set(places)) == 5
    assert max(places) > 60, "the end was looked at too"
    assert frames.seen <= 16


def test_a_camera_is_looked_at_for_a_while(monkeypatch):
    source = FakeSource(np.arange(10_000) / 10, lambda i: picture(i // 40), live=True)
    monkeypatch.setitem(sources.base._OPENERS, "fake", lambda *_: source)
    frames = choose_frames("fake://door", 6)
    assert len(frames) == 6
    assert frames.seen == 24
    assert source.closed
    for name, image in zip(frames.names, frames):
        assert np.array_equal(image, picture(int(name.rsplit(" ", 1)[1]) // 40))


def test_a_temporary_folder_that_is_full(tmp_path, monkeypatch):
    path = video(tmp_path / "v.avi", [picture(i) for i in range(4)])

    class Full:
        def seek(self, *_):
            return 0

        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgelane.calibration.frames.tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(StorageError, match="No space left"):
        choose_frames(path, 2)


def test_candidates_are_spread_evenly():
    assert list(spread(4, 9)) == [0, 1, 2, 3]
    assert list(spread(101, 3)) == [0, 50, 100]


def test_thumbnails_tell_colours_and_places_apart():
    red, blue = np.zeros((2, 40, 40, 3), np.uint8)
    red[..., 2] = blue[..., 0] = 255
    half = red.copy()
    half[:, :20] = blue[:, :20]
    turned = half[:, ::-1]
    assert np.linalg.norm(thumbnail(red) - thumbnail(blue)) > 1
    assert np.linalg.norm(thumbnail(half) - thumbnail(turned)) > 0.5
    assert np.linalg.norm(thumbnail(red) - thumbnail(near(red, 0))) < 0.1


def test_natural_order(tmp_path):
    folder = folder_of(tmp_path / "f", [picture(0)] * 11)
    assert [p.name for p in picture_paths(folder)][-1] == "10.png"


def test_a_folder_of_folders(tmp_path):
    for name in ("b", "a"):
        folder_of(tmp_path / name, [picture(ord(name)), picture(ord(name) + 10)])
    frames = choose_frames(tmp_path)
    assert len(frames) == 4 and np.array_equal(frames[0], picture(ord("a")))
    assert "subfolders" in frames.warnings[0] and frames.warnings[0].endswith("a, b")
    folder_of(tmp_path, [picture(1)])
    alone = choose_frames(tmp_path)
    assert len(alone) == 1 and not alone.warnings, "its own pictures are all there is"


def test_folders_without_any_picture(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        choose_frames(tmp_path)
