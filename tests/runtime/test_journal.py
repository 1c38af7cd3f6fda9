"""The journal: nothing told is lost, one writer, and every failure has a sentence."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest

from edgelane.core import DataError, Event, StorageError
from edgelane.runtime.journal import SCHEMA_VERSION, Journal


def event(at, kind="crossing", **payload):
    return Event("door", float(at), kind, payload)


def test_events_come_back_in_order_and_by_camera_and_kind(tmp_path):
    with Journal(tmp_path / "new" / "events.db") as journal:
        journal.write("door", 0, 0.5, [event(0.5, line="a"), event(0.5, "visit", zone="b")])
        journal.write("yard", 0, 0.1, [Event("yard", 0.1, "crossing", {"line": "c"}, 3)])
        told = list(journal.events())
        assert [e.kind for e in told] == ["crossing", "visit", "crossing"]
        assert told[0] == event(0.5, line="a")
        assert told[2] == Event("yard", 0.1, "crossing", {"line": "c"}, 3)
        assert [e.camera for e in journal.events(kind="crossing")] == ["door", "yard"]
        assert [e.kind for e in journal.events(camera="door", kind="visit")] == ["visit"]
        assert journal.cameras() == ["door", "yard"]
        assert journal.count() == 3


def test_more_events_than_a_page_are_all_read(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        journal.write("door", 0, 0.0, [event(i) for i in range(4501)])
        assert [e.timestamp for e in journal.events()] == list(range(4501))


def test_an_event_that_is_made_again_is_stored_once(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        journal.write("door", 1, 1.0, [event(1)])
        journal.write("door", 1, 1.0, [event(1), event(2)])
        assert [e.timestamp for e in journal.events()] == [1, 2]


def test_provisional_events_stand_until_they_are_taken_back(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        journal.write("door", 1, 1.0, [event(1)])
        journal.write("door", 1, 1.0, [event(1, "visit")], provisional=True)
        assert journal.count() == 2
    with Journal(tmp_path / "events.db") as journal:
        journal.retract("yard")
        assert journal.count() == 2
        journal.retract("door")
        journal.retract("door")
        journal.write("door", 2, 2.0, [event(2)])
        assert [e.timestamp for e in journal.events()] == [1, 2]


def test_the_snapshot_is_the_last_one(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        assert journal.snapshot("door") is None
        journal.write("door", 5, 0.5, [], b"five", {"frames": 6})
        journal.write("door", 9, 0.9, [event(0.9)], b"nine")
        journal.write("door", 10, 1.0, [event(1)])
    with Journal(tmp_path / "events.db") as journal:
        saved = journal.snapshot("door")
        assert saved is not None
        assert (saved.index, saved.timestamp, saved.state) == (9, 0.9, b"nine")
        assert journal.position("door") == (10, 1.0)


def test_frames_without_events_cost_no_transaction_but_keep_their_position(tmp_path):
    path = tmp_path / "events.db"
    with Journal(path) as journal:
        before = journal._db.total_changes
        for index in range(1000):
            journal.write("door", index, index / 10, [])
        assert journal._db.total_changes == before
        assert journal.position("door") == (999, 99.9)
    with Journal(path, readonly=True) as journal:
        assert journal.position("door") == (999, 99.9)


def test_facts_and_pictures_are_kept(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        assert journal.get("run", 1) == 1
        journal.set("run", {"model": "a.onnx", "n": [1, 2]})
        journal.set_blob("door", "scene", b"\xff\xd8")
    with Journal(tmp_path / "events.db", readonly=True) as journal:
        assert journal.get("run") == {"model": "a.onnx", "n": [1, 2]}
        assert journal.blob("door", "scene") == b"\xff\xd8"
        assert journal.blob("yard", "scene") is None


def test_a_second_writer_is_refused_and_named(tmp_path):
    path = tmp_path / "events.db"
    named = rf"another run \(process {os.getpid()}\)"
    with Journal(path), pytest.raises(StorageError, match=named):
        Journal(path)
    Journal(path).close()
    assert sorted(os.listdir(tmp_path)) == ["events.db"]


def test_reading_while_another_writes(tmp_path):
    path = tmp_path / "events.db"
    with Journal(path) as writer, Journal(path, readonly=True) as reader:
        for index in range(20):
            writer.write("door", index, float(index), [event(index)])
            assert reader.count() == index + 1
        with pytest.raises(StorageError, match="reading only"):
            reader.set("a", 1)


def test_the_file_alone_holds_everything_once_it_is_closed(tmp_path):
    path = tmp_path / "events.db"
    writer = Journal(path)
    writer.write("door", 0, 0.0, [event(0)])
    with Journal(path, readonly=True) as reader:
        assert reader.count() == 1
        writer.close()
    copy = tmp_path / "copy" / "events.db"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    with Journal(copy, readonly=True) as journal:
        assert journal.count() == 1


def test_a_finished_journal_is_read_from_a_folder_that_cannot_be_written(tmp_path):
    path = tmp_path / "out" / "events.db"
    with Journal(path) as writer:
        writer.write("door", 0, 0.0, [event(0)])
    mount = subprocess.run(
        ["mount", "--bind", "-o", "ro", str(path.parent), str(path.parent)], capture_output=True
    )
    if mount.returncode:
        os.chmod(path.parent, 0o555)
        if os.access(path.parent, os.W_OK):
            pytest.skip("this user may write everywhere, and may not mount")
    try:
        with Journal(path, readonly=True) as journal:
            assert journal.count() == 1
        with pytest.raises(StorageError, match="cannot be (written|opened)"):
            Journal(path)
    finally:
        if not mount.returncode:
            subprocess.run(["umount", str(path.parent)], check=True)
        os.chmod(path.parent, 0o755)


def test_a_file_in_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written.*--out"):
        Journal(tmp_path / "out" / "events.db")


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 500]
)
@pytest.mark.parametrize("readonly", [False, True])
def test_what_is_no_database_is_told(tmp_path, content, readonly):
    path = tmp_path / "events.db"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="is no journal, or is damaged"):
        Journal(path, readonly=readonly)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_told_when_it_is_read(tmp_path):
    path = tmp_path / "events.db"
    with Journal(path) as journal:
        journal.write("door", 0, 0.0, [event(i, text="x" * 200) for i in range(2000)])
    data = bytearray(path.read_bytes())
    data[20000:-20000] = os.urandom(len(data) - 40000)
    path.write_bytes(data)
    with Journal(path) as journal, pytest.raises(StorageError, match="damaged"):
        list(journal.events())


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "events.db"
    other = sqlite3.connect(str(path))
    other.execute("CREATE TABLE notes (text)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="no journal of edgelane"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "events.db"
    Journal(path).close()
    other = sqlite3.connect(str(path))
    other.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    other.close()
    with pytest.raises(StorageError, match=rf"got schema {SCHEMA_VERSION + 1}, expected schema"):
        Journal(path)


def test_a_missing_journal_is_not_made_by_a_reader(tmp_path):
    with pytest.raises(StorageError, match="does not exist"):
        Journal(tmp_path / "events.db", readonly=True)
    assert not os.listdir(tmp_path)


def test_a_full_disk_is_told_and_what_was_journalled_is_kept(tmp_path):
    path = tmp_path / "events.db"
    journal = Journal(path)
    journal.write("door", 0, 0.0, [event(0)])
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError, match=r"full.*[Ff]ree some space"):
        journal.write("door", 1, 1.0, [event(i, text="x" * 500) for i in range(1, 100)])
    journal.close()
    with Journal(path) as again:
        assert [e.timestamp for e in again.events()] == [0]


def test_a_disk_that_is_really_full_keeps_what_was_journalled(tmp_path):
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        path = tmp_path / "events.db"
        journal = Journal(path)
        kept = 0
        with pytest.raises(StorageError, match="Free some space"):
            for index in range(10_000):
                journal.write("door", index, float(index), [event(index, text="x" * 1000)])
                kept = index + 1
        journal.close()
        with Journal(path, readonly=True) as again:
            assert again.count() == kept > 20
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_payload_that_json_cannot_say_is_refused_and_nothing_of_the_frame_is_kept(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        for wrong in (float("nan"), {1, 2}):
            with pytest.raises(DataError, match="crossing holds what JSON cannot say"):
                journal.write("door", 0, 0.0, [event(0), event(1, value=wrong)])
        assert journal.count() == 0
        journal.write("door", 0, 0.0, [event(0)])
        assert journal.count() == 1


def test_kill_9_loses_nothing_that_was_told(tmp_path):
    path = tmp_path / "events.db"
    script = textwrap.dedent(
        f"""
        import os
        from edgelane.core import Event
        from edgelane.runtime.journal import Journal
        journal = Journal({str(path)!r})
        for index in range(10**9):
            event = Event("door", index / 10, "k")
            journal.write("door", index, index / 10, [event], b"s%d" % index)
            os.write(1, b"%d\\n" % index)
        """
    )
    for wait in (0.05, 0.15):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        told = child.stdout.read().split(b"\n")[:-1]
        child.wait()
        last = int(told[-1])
        with Journal(path, readonly=True) as journal:
            assert journal.count() > last
        with Journal(path) as journal:
            assert journal.snapshot("door").index >= last
            assert sum(1 for _ in journal.events()) > last
