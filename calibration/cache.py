"""TensorRT's calibration cache: a scale for each tensor, as implicit INT8 and DLAs read it.

A text: `TRT-8501-EntropyCalibration2`, then a line a tensor, `name: 3c008912`, the scale as the
hexadecimal digits of its big-endian float32. The scale is the largest magnitude over 127. TensorRT
checks the version only to tell calibrators apart, and takes a cache of another one; a build finds
tensors by their names, so the names must be those of the very ONNX that is built.
"""

import math
import struct
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from ..core import DataError, UsageError
from ..runtime.files import write_whole

TARGET = "8.5.1"


class Cache(NamedTuple):
    """What a cache says.

    Attributes:
        scales: Scale by tensor name.
        version: Of TensorRT, as in the first line, e.g. 8501.
        calibrator: Kind of calibrator, e.g. `EntropyCalibration2`.
        warnings: What was mended while reading.
    """

    scales: Dict[str, float]
    version: int
    calibrator: str
    warnings: Tuple[str, ...] = ()


def version_number(target: str) -> int:
    """TensorRT's version as its caches write it: 8.5.1 is 8501, 10.9.0 is 100900.

    Raises:
        UsageError: That is no version, or one without calibrators.
    """
    parts = str(target).split(".")
    if not all(p.isdigit() for p in parts) or not 1 <= len(parts) <= 4:
        raise UsageError("TensorRT's version", got=repr(target), expected="e.g. 8.5 or 10.3.0")
    major, minor, patch = ([int(p) for p in parts] + [0, 0])[:3]
    if major > 10:
        raise UsageError(
            "TensorRT 11 reads no calibration cache",
            got=target,
            remedy="give it the Q/DQ model, or name a version up to 10",
        )
    # From 10 on two digits are kept for the minor version.
    return (
        major * 10_000 + minor * 100 + patch if major >= 10 else major * 1000 + minor * 100 + patch
    )


def cache_bytes(
    ranges: Mapping[str, float],
    target: str = TARGET,
    calibrator: str = "EntropyCalibration2",
) -> bytes:
    """A cache as bytes.

    Args:
        ranges: Largest magnitude by tensor name, above 0.
        target: TensorRT's version.
        calibrator: Kind of the calibrator that shall read it.

    Raises:
        DataError: A range is no positive number, or a name cannot stand in a line.
        UsageError: The version is none.
    """
    lines = [f"TRT-{version_number(target)}-{calibrator}"]
    for name, amax in ranges.items():
        if not (math.isfinite(amax) and amax > 0):
            raise DataError(
                f"the tensor {name!r} has no scale", got=amax, expected="a range above 0"
            )
        if not name or "\n" in name or "\r" in name:
            raise DataError(
                "a calibration cache cannot hold this tensor's name",
                got=repr(name),
                remedy="rename it in the model",
            )
        lines.append(f"{name}: {struct.pack('!f', max(amax / 127, 1.2e-38)).hex()}")
    return ("\n".join(lines) + "\n").encode("utf-8")


def write_cache(
    path: Union[str, Path],
    ranges: Mapping[str, float],
    target: str = TARGET,
    calibrator: str = "EntropyCalibration2",
) -> None:
    """Write a cache in one step; raises as `cache_bytes`, and `StorageError`."""
    write_whole(Path(path), cache_bytes(ranges, target, calibrator))


def read_cache(path: Union[str, Path]) -> Cache:
    """Read a cache.

    Many scripts write numbers without their leading zeros, which makes others of them. They are
    put back, and a warning says so.

    Raises:
        DataError: The file is missing, or no calibration cache.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise DataError(f"there is no calibration cache {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=error.strerror) from None
    except UnicodeDecodeError:
        raise _none(path, "bytes that are no text") from None
    lines = text.splitlines()
    head = lines[0].split("-", 2) if lines else []
    if len(head) != 3 or head[0] != "TRT" or not head[1].isdigit():
        raise _none(path, repr(lines[0][:60]) if lines else "an empty file")
    scales: Dict[str, float] = {}
    stripped: List[str] = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        name, colon, digits = line.rpartition(":")
        digits = digits.strip()
        scale = _scale(digits) if colon and name else None
        if scale is None:
            raise _none(path, f"{line[:60]!r} in line {number}")
        if len(digits) < 8:
            stripped.append(name)
        scales[name] = scale
    if not scales:
        raise _none(path, "no tensor in it")
    warnings: Tuple[str, ...] = ()
    if stripped:
        warnings = (
            f"{path}: {len(stripped)} of {len(scales)} scales had lost their leading zeros, "
            f"first {stripped[0]!r}; write the cache anew, for TensorRT reads them wrong.",
        )
    return Cache(scales, int(head[1]), head[2], warnings)


def _scale(digits: str) -> Optional[float]:
    if not 1 <= len(digits) <= 8:
        return None
    try:
        value = struct.unpack("!f", bytes.fromhex(digits.rjust(8, "0")))[0]
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _none(path: Union[str, Path], got: str) -> DataError:
    return DataError(
        f"{path} is no calibration cache of TensorRT",
        got=got,
        expected="TRT-8501-EntropyCalibration2 and a line 'name: 3c008912' a tensor",
    )
