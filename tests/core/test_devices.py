"""The table of devices holds what planning and estimating rely on."""

import dataclasses

import pytest

from edgelane.core import UsageError
from edgelane.core.devices import DEVICES, PRECISIONS, find_device, graphics_card


def test_every_jetson_that_is_asked_for_is_in_the_table():
    wanted = {
        "nano", "nano-2gb", "tx2", "tx2-nx", "xavier-nx", "agx-xavier", "orin-nano-4gb",
        "orin-nano", "orin-nano-super", "orin-nx-8gb", "orin-nx", "agx-orin-32gb", "agx-orin",
        "agx-thor",
    }  # fmt: skip
    assert wanted <= set(DEVICES)
    assert all(name == device.name for name, device in DEVICES.items())


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_each_row_agrees_with_itself(device):
    assert device.jetson and device.modules and device.power_modes and device.ram_gb
    assert tuple(sorted(device.ram_gb)) == device.ram_gb
    assert set(device.precisions) <= set(PRECISIONS) and device.fast("fp16")
    # A peak of INT8 is told exactly where INT8 is fast, and it is twice that of FP16.
    if device.name != "agx-thor":
        assert (device.int8_tops is not None) == device.fast("int8")
    if device.int8_tops:
        assert device.int8_tops == pytest.approx(2 * device.fp16_tflops, rel=0.02)
    oldest, newest = device.tensorrt
    assert newest is None or oldest <= newest


def test_fast_int8_and_coherent_memory_begin_with_xavier():
    slow = {name for name, device in DEVICES.items() if not device.fast("int8")}
    assert slow == {"nano", "nano-2gb", "tx2", "tx2-nx"}
    assert slow == {name for name, device in DEVICES.items() if not device.io_coherent}


def test_an_accelerator_is_in_xavier_orin_nx_and_agx_orin_only():
    assert {n: d.dla_cores for n, d in DEVICES.items() if d.dla_cores and not d.super_of} == {
        "xavier-nx": 2,
        "agx-xavier": 2,
        "orin-nx-8gb": 1,
        "orin-nx": 2,
        "agx-orin-32gb": 2,
        "agx-orin": 2,
    }


def test_a_super_mode_is_the_same_module_with_more_speed():
    for device in DEVICES.values():
        if device.super_of:
            base = DEVICES[device.super_of]
            assert device.modules == base.modules
            assert device.fp16_tflops > base.fp16_tflops
            assert device.bandwidth_gbs >= base.bandwidth_gbs
            assert "MAXN_SUPER" in device.power_modes


def test_a_module_belongs_to_one_device():
    owners = {}
    for device in DEVICES.values():
        for module in device.modules + device.boards:
            if not device.super_of:
                assert owners.setdefault(module, device.name) == device.name


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("nano", "nano"),
        ("Jetson Nano", "nano"),
        ("NVIDIA Jetson Xavier NX", "xavier-nx"),
        ("Orin NX 16GB", "orin-nx"),
        ("orin_nano_8gb", "orin-nano"),
        ("Jetson Orin Nano 8GB (Super)", "orin-nano-super"),
        ("AGX Orin 64GB", "agx-orin"),
        ("thor", "agx-thor"),
    ],
)
def test_a_device_is_found_by_the_names_people_use(said, name):
    assert find_device(said).name == name


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_a_device_is_found_by_its_title(device):
    assert find_device(device.title) is device


def test_an_unknown_name_says_which_is_near_or_all_of_them():
    with pytest.raises(UsageError, match=r"no device is called 'xavier-nxx'.*'xavier-nx'"):
        find_device("xavier-nxx")
    with pytest.raises(UsageError, match="Known are: agx-orin"):
        find_device("raspberry pi")


def test_a_card_in_a_computer_has_the_precisions_of_its_capability():
    assert graphics_card("Quadro P2000", (6, 1)).precisions == ("fp32", "int8")
    assert graphics_card("Tesla P100", (6, 0)).precisions == ("fp32", "fp16")
    assert graphics_card("GTX 970", (5, 2)).precisions == ("fp32",)
    card = graphics_card("RTX 3060", (8, 6))
    assert card.precisions == PRECISIONS and card.name == "sm86"
    assert not card.jetson and not card.io_coherent and card.dla_cores == 0


def test_a_device_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEVICES["nano"].name = "other"
