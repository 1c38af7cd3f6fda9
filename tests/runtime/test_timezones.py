"""Time zones by name, with and without Python's own."""

import random
from pathlib import Path

import pytest

from edgelane.core import ConfigError
from edgelane.runtime.timezones import FOLDERS, Rules, Zone, machine_zone

BERLIN_2026 = (1774746000, 1792890000)  # 29 March and 25 October, 01:00 UTC


def test_berlin():
    zone = Zone("Europe/Berlin")
    begin, end = BERLIN_2026
    assert [zone.offset(t) for t in (begin - 1, begin, end - 1, end)] == [3600, 7200, 7200, 3600]
    assert zone.offset(0.0) == 3600 and zone.offset(1e18) == 0


def test_the_files_are_read_as_python_reads_them():
    zoneinfo = pytest.importorskip("zoneinfo")
    draw, seen = random.Random(3), 0
    for name in sorted(zoneinfo.available_timezones()):
        path = Path(FOLDERS[0]) / name
        if not path.is_file() or draw.random() > 0.3:
            continue
        rules, zone = Rules(path.read_bytes()), Zone(name)
        for _ in range(20):
            moment = draw.uniform(0, 2.4e9)
            assert rules.offset(moment) == zone.offset(moment), (name, moment)
            seen += 1
    assert seen > 500 or not Path(FOLDERS[0]).is_dir()


@pytest.mark.parametrize("name", ["Europe/Berln", "../../etc/passwd", "", " ", "x" * 300, "/etc"])
def test_an_unknown_zone_is_told(name):
    if name:
        with pytest.raises(ConfigError, match="is unknown"):
            Zone(name)
    else:
        assert Zone(name).name


def test_a_file_that_is_none_is_refused():
    with pytest.raises(ValueError):
        Rules(b"no")


def test_the_machine_says_its_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert machine_zone() == "Asia/Tokyo"
    assert Zone().offset(1.7e9) == 9 * 3600
    monkeypatch.setenv("TZ", "Nowhere/Land")
    assert machine_zone() is None and Zone().name == "local"
