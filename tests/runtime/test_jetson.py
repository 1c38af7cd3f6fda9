"""A Jetson is known by its files alone: each device of the table from a recording of one."""

import pytest
import recordings

from edgelane.core import DataError
from edgelane.core.devices import DEVICES
from edgelane.runtime.jetson import (
    JETPACKS,
    detect,
    gpu_load,
    jetpack_of,
    parse_tegrastats,
    read_power,
    read_temperatures,
    total_power,
)


def test_there_is_a_recording_of_every_device():
    assert sorted(DEVICES) == recordings.NAMES
    assert all(recordings.load(name)["source"] for name in recordings.NAMES)


@pytest.mark.parametrize("name", recordings.NAMES)
def test_a_device_is_known_with_its_software(name, tmp_path):
    expect = recordings.unpack(name, tmp_path)["expect"]
    machine = detect(tmp_path)
    assert machine.device is DEVICES[name] and machine.exact
    assert machine.l4t == expect["l4t"] and machine.jetpack.name == expect["jetpack"]
    assert machine.power_mode == expect["power_mode"]
    # What is installed is what that JetPack brings.
    assert machine.packages["tensorrt"].startswith(expect["tensorrt"])
    assert machine.jetpack.tensorrt == expect["tensorrt"]
    assert machine.packages["cuda"].startswith(machine.jetpack.cuda)
    assert machine.packages["cudnn"]


@pytest.mark.parametrize("name", recordings.NAMES)
def test_the_sensors_of_a_device_are_read(name, tmp_path):
    expect = recordings.unpack(name, tmp_path)["expect"]
    rails = read_power(tmp_path)
    assert total_power(rails) == (expect["watts"] and pytest.approx(expect["watts"]))
    assert not any(rail == "NC" or "sum" in rail for rail in rails)
    heat = {k.lower(): v for k, v in read_temperatures(tmp_path).items()}
    assert heat["gpu"] == expect["gpu_celsius"] and min(heat.values()) > -100
    assert gpu_load(tmp_path) == expect["gpu_load"]


@pytest.mark.parametrize(
    "line", [line for n in recordings.NAMES for line in recordings.load(n)["tegrastats"]]
)
def test_every_recorded_line_of_tegrastats_is_read(line):
    stats = parse_tegrastats(line)
    assert 0 < stats.ram_used_mb < stats.ram_total_mb
    assert stats.cpu and any(core for core in stats.cpu)
    assert len(stats.cpu) == line.split("CPU [")[1].split("]")[0].count(",") + 1
    assert sum(core is None for core in stats.cpu) == line.count("off,") + line.count("off]")
    assert stats.temperatures and min(stats.temperatures.values()) > 0
    assert ("SWAP" in line) == (stats.swap_total_mb is not None)
    assert ("GR3D_FREQ @" in line or "GR3D" not in line) == (stats.gpu_load is None)
    assert line.startswith("RAM") == (stats.time is None)
    if stats.rails:
        assert stats.power_mw > 0 and stats.power_mw < 200e3
    assert not {"RAM", "SWAP", "APE", "IRAM"} & set(stats.rails)


def test_a_line_of_jetpack_4_in_full():
    stats = parse_tegrastats(recordings.load("nano")["tegrastats"][1])
    assert (stats.ram_used_mb, stats.ram_total_mb) == (330, 3964)
    assert stats.largest_free == (758, 4)
    assert stats.cpu[0] == (12.0, 102) and stats.cpu[1] is None
    assert (stats.emc_load, stats.emc_mhz) == (3.0, 204)
    assert (stats.gpu_load, stats.gpu_mhz) == (40.0, (76,))
    assert stats.temperatures["GPU"] == 22.5
    assert stats.rails["POM_5V_CPU"] == (124, 124) and stats.power_mw == 933


def test_lines_of_jetpack_7_have_clocks_without_load_and_peaks_behind_the_averages():
    idle, _, busy, shared = (parse_tegrastats(x) for x in recordings.load("agx-thor")["tegrastats"])
    assert idle.gpu_load is None and idle.gpu_mhz == (314, 314, 314)
    assert idle.power_mw == 19780  # VIN feeds the others and is not added to them
    assert busy.gpu_load == 87 and busy.rails["VDD_GPU"] == (37939, 8660)
    assert busy.temperatures["gpu"] == 56.937
    assert shared.cpu == ((0.0, 2601), (5.0, 2601), None) and shared.emc_mhz == 4266


def test_the_memory_rail_of_agx_orin_is_not_counted_twice():
    stats = parse_tegrastats(recordings.load("agx-orin")["tegrastats"][1])
    assert stats.power_mw == 3150 + 14312 + 4968
    assert "CV0" in stats.temperatures


def test_an_old_line_with_short_names_and_one_rail_without_average():
    stats = parse_tegrastats(
        "RAM 3468/3983MB (lfb 48x512kB) SWAP 873/8192MB (cached 295MB) cpu [17%,13%,29%,5%]@408 "
        "EMC 1%@408 APE 25 GR3D 3%@76 VDD_GPU -392mW VIN 23000mW"
    )
    assert stats.cpu[2] == (29.0, 408) and stats.gpu_load == 3 and stats.largest_free == (48, 0.5)
    assert stats.rails["VDD_GPU"] == (-392, None) and stats.power_mw == 23000


@pytest.mark.parametrize("line", ["", "tegrastats: not found", "CPU [1%@2]", "RAM x/yMB"])
def test_what_is_no_line_of_tegrastats_is_told(line):
    with pytest.raises(DataError, match="no line of tegrastats"):
        parse_tegrastats(line)


@pytest.mark.parametrize(
    ("l4t", "name", "tensorrt"),
    [
        ("32.6.1", "4.6", "8.0.1"),
        ("32.7.1", "4.6.1", "8.2.1"),
        ("32.7.9", "4.6.6", "8.2.1"),
        ("35.1.0", "5.0.2", "8.4.1"),
        ("35.4.1", "5.1.2", "8.5.2"),
        ("36.3.0", "6.0", "8.6.2"),
        ("36.4.0", "6.1", "10.3.0"),
        ("36.4.7", "6.2.1", "10.3.0"),
        ("38.2.1", "7.0", "10.13.3"),
        ("39.2.0", "7.2", "10.16.1"),
        ("32.1.0", "4.3", "6.0.1"),
    ],
)
def test_an_l4t_says_which_jetpack_it_is(l4t, name, tensorrt):
    jetpack = jetpack_of(l4t)
    assert jetpack.name == name and jetpack.tensorrt == tensorrt


def test_an_unknown_l4t_is_no_jetpack():
    assert jetpack_of("99.1") is None
    assert [j.l4t for j in JETPACKS] == sorted(
        (j.l4t for j in JETPACKS), key=lambda v: [int(n) for n in v.split(".")]
    )


@pytest.fixture
def root(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_other_boards_are_no_jetson(root):
    assert detect(root(**{"proc__device-tree__model": "Raspberry Pi 4 Model B\0"})) is None
    assert detect(root() / "nowhere") is None


def test_a_module_on_a_foreign_carrier_board_is_known_by_its_device_tree_file(root):
    place = root(
        **{
            "proc__device-tree__model": "NVIDIA Jetson",
            "proc__device-tree__compatible": "nvidia,tegra194\0",
            "proc__device-tree__nvidia,dtsfilename": "/x/tegra194-xavier-nx-cti-NGX003.dts\0",
        }
    )
    machine = detect(place)
    assert machine.device.name == "xavier-nx" and machine.exact


def test_a_module_is_known_by_board_numbers_with_colons(root):
    place = root(
        **{
            "proc__device-tree__compatible": "nvidia,tegra186\0",
            "proc__device-tree__nvidia,boardids": "3489:0000:A0\0",
        }
    )
    assert detect(place).device.name == "tx2"


def test_an_unknown_module_is_taken_for_the_smallest_with_its_chip(root):
    place = root(**{"proc__device-tree__compatible": "acme,box\0nvidia,tegra234\0"})
    machine = detect(place)
    assert machine.device.name == "orin-nano-4gb" and not machine.exact
    place = root(**{"proc__device-tree__compatible": "nvidia,p9999-0000\0nvidia,tegra999\0"})
    assert detect(place).device is None


def test_an_unknown_variant_of_a_known_module_is_taken_for_the_module(root):
    place = root(**{"proc__device-tree__compatible": "x,y+p3701-0001\0nvidia,tegra234\0"})
    machine = detect(place)
    assert machine.device.name.startswith("agx-orin") and not machine.exact


def test_a_release_file_alone_makes_a_jetson_and_dpkg_tells_l4t_without_one(root):
    release = "# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t210ref, EABI: aarch64"
    machine = detect(root(etc__nv_tegra_release=release))
    assert machine.model == "NVIDIA Jetson" and machine.l4t == "32.7.1"
    assert machine.device is None and machine.power_mode is None
    status = "Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: 36.4.3-2025\n\n"
    gone = "Package: libnvinfer10\nStatus: deinstall ok config-files\nVersion: 10.3.0-1\n"
    place = root(
        etc__nv_tegra_release="",
        var__lib__dpkg__status=status + gone,
        **{"proc__device-tree__model": "NVIDIA Jetson Orin Nano"},
    )
    machine = detect(place)
    assert machine.l4t == "36.4.3" and machine.packages == {}


def test_the_default_power_mode_holds_where_none_was_set(root):
    place = root(
        etc__nvpmodel_conf="",
        **{
            "proc__device-tree__model": "NVIDIA Jetson Xavier NX\0",
            "etc__nvpmodel.conf": "< POWER_MODEL ID=2 NAME=MODE_15W >\n< PM_CONFIG DEFAULT=2 >\n",
        },
    )
    assert detect(place).power_mode == "MODE_15W"
    (place / "var/lib/nvpmodel").mkdir(parents=True)
    (place / "var/lib/nvpmodel/status").write_text("pmode:0007")
    assert detect(place).power_mode == "mode 7"


def test_sensors_that_are_missing_or_asleep_are_left_out(tmp_path):
    assert read_power(tmp_path) == {} and total_power({}) is None
    assert read_temperatures(tmp_path) == {} and gpu_load(tmp_path) is None
    rail = tmp_path / "sys/bus/i2c/devices/1-0040/hwmon/hwmon2"
    rail.mkdir(parents=True)
    (rail / "in1_label").write_text("VDD_IN\n")
    assert read_power(tmp_path) == {}
