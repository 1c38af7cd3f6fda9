"""What a target's TensorRT reads."""

import pytest

from edgelane.core import UsageError
from edgelane.export.targets import ANY, choose_opset, find_target


@pytest.mark.parametrize(
    "name, tensorrt, opset",
    [
        ("trt8.2", (8, 2), 13),
        ("8.4", (8, 4), 13),
        ("TensorRT 8.5.2", (8, 5), 17),
        ("8.6", (8, 6), 17),
        ("10.3", (10, 3), 20),
        ("11", (11, 0), 25),
        ("jetpack4.6.1", (8, 2), 13),
        ("jetpack5.1.3", (8, 5), 17),
        ("JetPack 6.2", (10, 3), 20),
        ("nano", (8, 0), 13),
        ("agx-thor", (10, 13), 20),
    ],
)
def test_names_of_all_kinds_are_known(name, tensorrt, opset):
    found = find_target(name)
    assert (found.tensorrt, found.opset) == (tensorrt, opset)


def test_the_opset_is_what_the_target_reads():
    nano, orin = find_target("trt8.2"), find_target("trt10.3")
    assert choose_opset(nano, None, None) == 13 and choose_opset(orin, None, None) == 17
    assert choose_opset(nano, None, 18) == 13, "brought down"
    assert choose_opset(orin, None, 11) == 13, "brought up, for Q/DQ by channel"
    assert choose_opset(ANY, None, 18) == 18, "left alone"
    assert choose_opset(ANY, 19, 11) == 19


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: find_target("nanno"), "Did you mean 'nano'"),
        (lambda: find_target("jetpack9"), "no JetPack 9.0"),
        (lambda: find_target("trt7.1"), "too old"),
        (lambda: choose_opset(find_target("trt8.2"), 17, None), "does not read opset 17"),
        (lambda: choose_opset(ANY, 11, None), "opset 11 is not written"),
    ],
)
def test_what_cannot_be_is_one_sentence(call, told):
    with pytest.raises(UsageError, match=told):
        call()
