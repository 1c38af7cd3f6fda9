"""The log: JSON lines or text, limited by kind, without secrets."""

import io
import json
import logging

import pytest

from edgelane.runtime import secrets
from edgelane.runtime.health.logs import Log, logging_to
from edgelane.runtime.health.settings import LogSettings

LOGGER = logging.getLogger("edgelane.test")


class Ticks:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def logged(settings, say, clock=None):
    """What is written while `say(log)` logs."""
    stream = io.StringIO()
    log = Log(settings, stream, clock or Ticks())
    LOGGER.addHandler(log)
    LOGGER.setLevel("DEBUG")
    try:
        say(log)
    finally:
        LOGGER.removeHandler(log)
        log.close()
    return stream.getvalue().splitlines()


def test_a_line_is_a_json_object():
    def say(log):
        LOGGER.warning("%s: away\nfor %d s", "door", 5, extra={"camera": "door", "n": float("inf")})
        try:
            raise ValueError("rtsp://joe:s3cret@host/x broke")
        except ValueError:
            LOGGER.error("failed", exc_info=True)

    first, second = (json.loads(line) for line in logged(LogSettings(format="json"), say))
    assert first["message"] == "door: away\nfor 5 s" and first["camera"] == "door"
    assert first["level"] == "warning" and first["logger"] == "edgelane.test"
    assert first["time"].endswith("Z") and first["n"] == "inf"
    assert second["error"] == "ValueError: rtsp://***@host/x broke"


def test_text_is_one_line_for_people():
    (line,) = logged(LogSettings(), lambda log: LOGGER.info("a\nb"))
    assert line.endswith(" info: a b") and line[4] == "-"


def test_the_level_is_kept():
    lines = logged(LogSettings(level="warning"), lambda log: LOGGER.info("a") or LOGGER.error("b"))
    assert len(lines) == 1 and lines[0].endswith("error: b")


def test_a_flood_of_one_kind_is_counted_and_others_are_heard():
    clock = Ticks()

    def say(log):
        for number in range(100):
            LOGGER.warning("%s: lost %d", "door", number)
        LOGGER.warning("%s: lost %d", "till", 7)
        LOGGER.warning("something else")
        clock.now = 61.0
        log.sweep()
        LOGGER.warning("%s: lost %d", "door", 100)

    lines = logged(LogSettings(burst=3), say, clock)
    told = [line.split("warning: ")[1] for line in lines]
    assert told == [
        "door: lost 0", "door: lost 1", "door: lost 2", "till: lost 7", "something else",
        "door: lost 99 (97 more suppressed)", "door: lost 100",
    ]  # fmt: skip


def test_what_is_held_back_is_told_at_the_end_and_in_numbers():
    def say(log):
        for _ in range(10):
            LOGGER.warning("again")
        assert log.suppressed == 8

    lines = logged(LogSettings(format="json", burst=2), say)
    assert len(lines) == 3 and json.loads(lines[-1])["suppressed"] == 8


def test_endless_kinds_take_little_memory():
    def say(log):
        for number in range(5000):
            LOGGER.warning(f"kind {number}")  # noqa: G004
        assert len(log._flows) <= 1000

    assert len(logged(LogSettings(), say)) == 5000


def test_secrets_are_never_written(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELANE_SECRETS", str(tmp_path))
    monkeypatch.setattr(secrets, "_KNOWN", set())
    secrets.write_secret("door", "hun/ter two")
    secrets.with_secrets("rtsp://viewer:secret:door@10.0.0.5/stream")

    def say(log):
        LOGGER.warning("bad login hun/ter two for %s", "x?token=abc&y=1")
        LOGGER.warning(
            "url rtsp://viewer:hun%2Fter%20two@h/", extra={"deep": {"a": ["hun/ter two"]}}
        )

    text = "\n".join(logged(LogSettings(format="json"), say))
    assert "hun" not in text and "abc" not in text and text.count("***") >= 4


def test_a_log_that_cannot_be_written_ends_nothing():
    class Broken(io.StringIO):
        def write(self, text):
            raise OSError("gone")

    log = Log(LogSettings(), Broken())
    log.handle(logging.makeLogRecord({"msg": "%d", "args": ("x",)}))
    log.handle(logging.makeLogRecord({"msg": "fine"}))
    assert log.suppressed == 1


def test_a_program_with_its_own_logging_keeps_it():
    own = logging.NullHandler()
    logging.getLogger("edgelane").addHandler(own)
    try:
        with logging_to(None) as log:
            assert log is None
        with logging_to(LogSettings(), io.StringIO()) as log:
            assert log in logging.getLogger("edgelane").handlers
    finally:
        logging.getLogger("edgelane").removeHandler(own)
    assert log not in logging.getLogger("edgelane").handlers


@pytest.mark.parametrize("wrong", [{"format": "xml"}, {"burst": 0}, {"every_s": 0}, {"level": "x"}])
def test_wrong_settings(wrong):
    with pytest.raises(ValueError):
        LogSettings(**wrong)
