"""TensorRT's calibration cache."""

import struct

import pytest

from edgelane.calibration.cache import cache_bytes, read_cache, version_number, write_cache
from edgelane.core import DataError, StorageError, UsageError


def test_a_cache_is_read_as_it_was_written(tmp_path):
    ranges = {"images": 255.0, "a: b": 1e-5, "/model.0/Mul_output_0": 3.25, "größe": 7.0}
    write_cache(tmp_path / "m.calib", ranges)
    cache = read_cache(tmp_path / "m.calib")
    assert list(cache.scales) == list(ranges)
    for name, amax in ranges.items():
        assert cache.scales[name] == struct.unpack("!f", struct.pack("!f", amax / 127))[0]
    assert (cache.version, cache.calibrator, cache.warnings) == (8501, "EntropyCalibration2", ())


def test_the_format_is_tensorrts():
    # 1.0 / 127 is 3c010204, and 2**-120 / 127 begins with a zero that must stay.
    text = cache_bytes({"x": 1.0, "y": 2.0**-120}, "8.6.1").decode()
    assert text.splitlines()[:2] == ["TRT-8601-EntropyCalibration2", "x: 3c010204"]
    digits = text.splitlines()[2].split(": ")[1]
    assert len(digits) == 8
    assert digits.startswith("00")


@pytest.mark.parametrize(
    ("target", "number"),
    [("8.5", 8500), ("8.5.1", 8501), ("8.2.1.8", 8201), ("10.9.0", 100900), ("10.3", 100300)],
)
def test_versions(target, number):
    assert version_number(target) == number


@pytest.mark.parametrize("target", ["11.0", "eight", "", "8.5.x", "1.2.3.4.5"])
def test_versions_that_have_no_cache(target):
    with pytest.raises(UsageError, match="TensorRT"):
        version_number(target)


def test_leading_zeros_that_were_lost_are_put_back_and_told(tmp_path):
    path = tmp_path / "m.calib"
    path.write_text("TRT-8501-EntropyCalibration2\nx: 3c010204\ny: 800000\n")
    cache = read_cache(path)
    assert cache.scales["y"] == 2.0**-126
    assert len(cache.warnings) == 1
    assert "'y'" in cache.warnings[0]


@pytest.mark.parametrize("amax", [0.0, -1.0, float("nan"), float("inf")])
def test_a_range_that_is_none(amax):
    with pytest.raises(DataError, match="'t'"):
        cache_bytes({"t": amax})


@pytest.mark.parametrize("name", ["", "two\nlines"])
def test_a_name_that_no_line_holds(name):
    with pytest.raises(DataError, match="name"):
        cache_bytes({name: 1.0})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"TRT-8501-EntropyCalibration2\n",
        b"TRT-8501-EntropyCalibration2\nx 3c010204\n",
        b"TRT-8501-EntropyCalibration2\nx: 3c0102041\n",
        b"TRT-8501-EntropyCalibration2\nx: zz\n",
        b"TRT-8501-EntropyCalibration2\nx: 7f800000\n",
        b"TRT-8501-EntropyCalibration2\nx:\n",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_cache(tmp_path, content):
    path = tmp_path / "m.calib"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no calibration cache"):
        read_cache(path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(StorageError):
        write_cache(tmp_path / "no" / "m.calib", {"x": 1.0})
    with pytest.raises(DataError, match="there is no"):
        read_cache(tmp_path / "m.calib")
