"""Energy and heat from the kernel's files."""

import time

import pytest

from edgelane.benchmarks.profile.sensors import Rapl, Sensors


def zone(root, number, name, energy, top=1000_000_000):
    folder = root / "sys/class/powercap" / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(name + "\n")
    (folder / "energy_uj").write_text(str(energy))
    (folder / "max_energy_range_uj").write_text(str(top))
    return folder


def test_packages_are_summed_and_their_parts_left_out(tmp_path):
    one = zone(tmp_path, "0", "package-0", 5_000_000)
    two = zone(tmp_path, "1", "package-1", 1_000_000)
    zone(tmp_path, "0:0", "core", 1_000_000)
    zone(tmp_path, "2", "psys", 1_000_000)
    meter = Rapl(tmp_path)
    assert meter.joules() is None
    (one / "energy_uj").write_text("7500000")
    (two / "energy_uj").write_text("2000000")
    assert meter.joules() == pytest.approx(3.5)


def test_a_counter_that_wraps_goes_on(tmp_path):
    one = zone(tmp_path, "0", "package-0", 999_000_000)
    meter = Rapl(tmp_path)
    meter.joules()
    (one / "energy_uj").write_text("1000000")
    assert meter.joules() == pytest.approx(2.0)


def test_the_rails_and_zones_of_a_jetson_are_looked_at(tmp_path):
    rails = tmp_path / "sys/bus/i2c/devices/6-0040/iio:device0"
    rails.mkdir(parents=True)
    (rails / "rail_name_0").write_text("POM_5V_IN\n")
    (rails / "in_power0_input").write_text("6250\n")
    heat = tmp_path / "sys/class/thermal/thermal_zone1"
    heat.mkdir(parents=True)
    (heat / "type").write_text("GPU-therm\n")
    (heat / "temp").write_text("41500\n")
    with Sensors(tmp_path) as sensors:
        begin = time.monotonic()
        time.sleep(0.35)
        found = sensors.between(begin, time.monotonic())
    assert found == {"watts": 6.25, "temperature_c": 41.5}


def test_a_machine_without_sensors_tells_nothing(tmp_path):
    with Sensors(tmp_path) as sensors:
        begin = time.monotonic()
        time.sleep(0.15)
        assert sensors.between(begin, time.monotonic()) == {}
