"""MOT rows: what is read, what is refused, and that writing and reading give the same floats."""

import numpy as np
import pytest

from edgelane.core import DataError, Detections, StorageError, Tracks
from edgelane.runtime.mot import DetectionsWriter, TracksWriter, read_mot


def write(folder, text, name="det.txt"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def test_rows_become_corners_and_gaps_are_empty_frames(tmp_path):
    rows = read_mot(write(tmp_path, "1,-1,10,20,30,40,0.5,-1,-1,-1\n3,-1,1,2,3,4,0.25,-1,-1,-1\n"))
    assert len(rows) == 3
    assert rows[0].xyxy.tolist() == [[10, 20, 40, 60]]
    assert rows[0].score.tolist() == [0.5]
    assert len(rows[1]) == 0
    assert rows[2].xyxy.tolist() == [[1, 2, 4, 6]]
    assert not rows.tracked
    assert rows[0].track_id is None


@pytest.mark.parametrize(
    "text",
    [
        "1 -1 10 20 30 40 0.5\n",
        "1\t-1\t10\t20\t30\t40\t0.5\n",
        " 1, -1, 10, 20, 30, 40, 0.5 \n\n",
        "\ufeff1,-1,10,20,30,40,0.5\r\n",
        "# made by hand\n1,-1,10,20,30,40,0.5",
        "1.0,-1.0,1e1,20.0,30,40,.5\n",
    ],
)
def test_blanks_commas_comments_and_line_ends_are_all_understood(tmp_path, text):
    rows = read_mot(write(tmp_path, text))
    assert rows[0].xyxy.tolist() == [[10, 20, 40, 60]]
    assert rows[0].score.tolist() == [0.5]


def test_rows_need_not_be_sorted(tmp_path):
    rows = read_mot(write(tmp_path, "2,-1,1,1,1,1,.5\n1,-1,2,2,2,2,.5\n2,-1,3,3,3,3,.5\n"))
    assert rows[0].xyxy[:, 0].tolist() == [2]
    assert rows[1].xyxy[:, 0].tolist() == [1, 3]


def test_ids_above_zero_are_tracks(tmp_path):
    rows = read_mot(write(tmp_path, "1,7,1,1,5,5,1,-1,-1,-1\n2,7,2,1,5,5,1,-1,-1,-1\n"))
    assert rows.tracked
    assert rows[1].track_id.tolist() == [7]


def test_rows_with_and_without_ids_are_refused_with_both_lines(tmp_path):
    path = write(tmp_path, "1,3,1,1,5,5,1\n2,-1,2,1,5,5,1\n")
    with pytest.raises(DataError, match=r"line 1 has an id above 0, line 2 has none"):
        read_mot(path)


def test_an_id_twice_in_a_frame_is_refused(tmp_path):
    with pytest.raises(DataError, match="line 3: track 3 is twice in frame 1"):
        read_mot(write(tmp_path, "1,3,1,1,5,5,1\n1,4,1,1,5,5,1\n1,3,2,1,5,5,1\n"))


def test_rows_that_are_no_box_are_dropped_and_counted(tmp_path):
    rows = read_mot(
        write(
            tmp_path,
            "1,-1,nan,1,5,5,.9\n1,-1,1,1,inf,5,.9\n1,-1,1,1,0,5,.9\n1,-1,1,1,5,-5,.9\n"
            "1,-1,1,1,5,5,nan\n1,-1,1e30,1,5,5,.9\n2,-1,1,1,5,5,.9\n4,-1,1,1,0,0,.9\n",
        )
    )
    assert rows.dropped == 7
    assert "7 rows were dropped" in rows.warnings[0]
    assert [len(d) for d in rows] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        ("\n\n", "has no rows"),
        ("frame,id,x,y,w,h,score\n", "line 1 is no row of numbers"),
        ("1,-1,1,1,5,5,.9\n1,-1,one,1,5,5,.9\n", "line 2 is no row of numbers"),
        ("1,-1,1,1,5\n", "line 1 has the wrong number of columns: got 5"),
        ("1,-1,1,1,5,5,.9\n1,-1,1,1,5,5,.9,-1\n", "line 2 .* got 8, expected 7"),
        ("1,-1,1,1,5,5,.9,1,1,1,1\n", "got 11"),
        ("0,-1,1,1,5,5,.9\n", "frames are counted from 1|Frames are counted from 1"),
        ("1.5,-1,1,1,5,5,.9\n", "frame must be a whole number"),
        ("1,nan,1,1,5,5,.9\n", "id must be a whole number"),
        ("1e12,-1,1,1,5,5,.9\n", "frame is out of range"),
        (b"\x00\x01\x02\xff" * 20, "is no text"),
        (b"\x89PNG\r\n\x1a\n\xff", "is no text"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read_mot(write(tmp_path, text))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_mot(tmp_path / "none.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_mot(tmp_path)


def test_world_coordinates_in_ground_truth_are_no_classes(tmp_path):
    rows = read_mot(write(tmp_path, "1,9,499,158,31,75,1,4,-7.3,0\n"))
    assert rows[0].class_id.tolist() == [0]


def test_what_was_recorded_is_read_back_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(5)
    frames = []
    with DetectionsWriter(tmp_path / "d.txt") as writer:
        for index in range(200):
            n = int(rng.integers(0, 12))
            corner = rng.normal(size=(n, 2)) * 10.0 ** rng.integers(-6, 5, (n, 2))
            extent = np.abs(rng.normal(size=(n, 2))) * 10.0 ** rng.integers(-6, 4, (n, 2))
            frames.append(
                Detections.cleaned(
                    np.concatenate([corner, corner + extent], 1).astype(np.float32),
                    rng.random(n).astype(np.float32),
                    rng.integers(0, 3, n),
                )
            )
            writer.write(index, frames[-1])
    back = read_mot(tmp_path / "d.txt")
    assert back.dropped == 0
    for index, given in enumerate(frames):
        got = back[index] if index < len(back) else Detections.empty()
        assert np.array_equal(got.xyxy, given.xyxy)
        assert np.array_equal(got.score, given.score)
        assert np.array_equal(got.class_id, given.class_id)


def tracks(ids, confirmed, observed=None, ended=(), left=0.0):
    n = len(ids)
    boxes = np.array([[10 * i, 0, 10 * i + 5, 20] for i in ids], np.float32).reshape(n, 4)
    boxes[:, ::2] += left
    return Tracks(
        np.array(ids),
        boxes,
        boxes,
        np.full(n, 0.5),
        np.zeros(n),
        np.ones(n, bool) if observed is None else np.array(observed),
        np.array(confirmed, bool),
        np.array(ended),
    )


def test_tracks_are_told_from_their_first_frame_but_only_once_confirmed(tmp_path):
    path = tmp_path / "tracks.txt"
    with TracksWriter(path) as writer:
        writer.write(0, tracks([1, 2], [False, False]))
        writer.write(1, tracks([1, 2], [True, False]))
        writer.write(2, None)
        writer.write(3, tracks([1], [True], observed=[False], ended=[2]))
        assert not path.exists()
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert [row[:2] for row in rows] == [["1", "1"], ["2", "1"]]
    assert rows[0][2:] == ["10", "0", "5", "20", "0.5", "-1", "-1", "-1"]
    assert not (tmp_path / "tracks.txt.part").exists()
    assert read_mot(path).tracked


def test_moments_out_of_sight_are_bridged_and_longer_ones_are_not(tmp_path):
    path = tmp_path / "tracks.txt"
    with TracksWriter(path, bridge=2) as writer:
        for index in (0, 3, 7):
            writer.write(index, tracks([1], [True], left=10.0 * index))
        writer.write(8, tracks([2], [True]))
    rows = [[float(v) for v in line.split(",")] for line in path.read_text().splitlines()]
    assert [row[:3] for row in rows] == [
        [1, 1, 10],
        [2, 1, 20],
        [3, 1, 30],
        [4, 1, 40],
        [8, 1, 80],
        [9, 2, 20],
    ]


def test_rows_of_several_tracks_stay_in_the_order_of_frames(tmp_path):
    path = tmp_path / "tracks.txt"
    with TracksWriter(path, bridge=3) as writer:
        for index in range(12):
            seen = [t for t in (1, 2, 3) if (index + t) % 3]
            writer.write(index, tracks(seen, [True] * len(seen)))
    rows = [tuple(int(v) for v in r.split(",")[:2]) for r in path.read_text().splitlines()]
    assert rows == sorted(rows, key=lambda row: row[0]) and len(set(rows)) == len(rows) > 30


def test_tracks_of_a_killed_run_go_on_after_the_snapshot(tmp_path):
    path = tmp_path / "tracks.txt"
    first = TracksWriter(path)
    first.write(0, tracks([1], [False]))
    first.write(1, tracks([1], [True]))
    first.write(2, tracks([1], [True]))
    with open(tmp_path / "tracks.txt.part", "a") as file:
        file.write("3,1,10,0,5")  # cut off in the middle
    with TracksWriter(path, resume=1) as again:
        again.write(2, tracks([1], [True]))
        again.write(3, tracks([1], [True]))
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["1", "2", "3", "4"]


def test_rows_that_a_power_cut_left_as_nothing_are_passed_over(tmp_path):
    """A file system may give back zeros, or bytes of another file, where rows were not synced."""
    for writer, name in ((TracksWriter, "tracks.txt.part"), (DetectionsWriter, "d.txt")):
        path = tmp_path / name.replace(".part", "")
        row = b"1,1,10,10,5,5,.5,-1,-1,-1\n"
        rubbish = b"\0" * 20 + b"7,1,1,1,1,.5,-1,-1,-1\n\xff\xfe,\n\n,\n" + b"\0" * 9
        (tmp_path / name).write_bytes(row + rubbish)
        with writer(path, resume=5):
            pass
        assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["1"]


def test_a_folder_that_is_missing_is_told(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        TracksWriter(tmp_path / "none" / "tracks.txt")
    with pytest.raises(StorageError, match="cannot be written"):
        DetectionsWriter(tmp_path / "none" / "d.txt")


def test_a_full_disk_is_told():
    with pytest.raises(StorageError, match="No space left"):
        writer = DetectionsWriter("/dev/full")
        writer.write(0, Detections([[0, 0, 1, 1]], [0.5], [0]))
