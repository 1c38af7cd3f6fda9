"""The calibration cache of TensorRT: ranges of activations, as text.

The first line names the release and the algorithm, `TRT-8501-EntropyCalibration2`; each other line
is `tensor: hex`, where the hex is a big-endian float32, the scale: the largest value / 127. Source:
files that TensorRT writes.
"""

import hashlib
import math
import os
import re
import struct
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple, Union

from ...core import ModelError

PathLike = Union[str, "os.PathLike[str]"]

_HEAD = re.compile(r"TRT-(\d+)-(\w+)")
_ALGORITHM = "EntropyCalibration2"


@dataclass(frozen=True)
class CalibrationCache:
    """A calibration cache that was read.

    Attributes:
        path: The file.
        sha256: Of the file.
        scales: Scale by tensor; the range of a tensor is 127 times its scale.
        mended: Tensors whose scale had lost its leading zeros, as some scripts write it.
    """

    path: str
    sha256: str
    scales: Dict[str, float]
    mended: Tuple[str, ...] = ()

    def text(self, tensorrt: Sequence[int]) -> bytes:
        """The cache as a release of TensorRT would have written it; it refuses another's.

        Args:
            tensorrt: Major, minor and patch.
        """
        major, minor, patch = (*tensorrt, 0, 0)[:3]
        number = f"{major}{minor:02d}{patch:02d}" if major >= 10 else f"{major}{minor}{patch:02d}"
        lines = [f"TRT-{number}-{_ALGORITHM}"]
        lines += [f"{n}: {struct.pack('!f', v).hex()}" for n, v in self.scales.items()]
        return ("\n".join(lines) + "\n").encode()


def read_calibration_cache(path: PathLike) -> CalibrationCache:
    """Read a calibration cache.

    Raises:
        ModelError: The file is missing or no cache of entropy calibration, or a line is damaged.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ModelError(f"calibration cache {name} cannot be read", got=error.strerror) from None
    lines = data.decode("utf-8", "replace").splitlines()
    head = _HEAD.fullmatch(lines[0].strip()) if lines else None
    if head is None or head.group(2) != _ALGORITHM:
        raise ModelError(
            f"{name} is no calibration cache",
            got=repr(lines[0][:60]) if lines else "an empty file",
            expected=f"a first line such as TRT-8501-{_ALGORITHM}",
            remedy="make one with: edgelane calibrate m.onnx --images DIR --cache q.calib",
        )
    scales: Dict[str, float] = {}
    mended: List[str] = []
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            tensor, digits, scale = _entry(name, number, line)
            scales[tensor] = scale
            if len(digits) < 8:
                mended.append(tensor)
    if not scales:
        raise ModelError(f"calibration cache {name} holds no tensor", remedy="calibrate again")
    return CalibrationCache(name, hashlib.sha256(data).hexdigest(), scales, tuple(mended))


def _entry(path: str, number: int, line: str) -> Tuple[str, str, float]:
    """Tensor, digits and scale of a line; lost leading zeros are put back."""
    tensor, _, digits = line.rpartition(":")
    tensor, digits = tensor.rstrip(), digits.strip()
    if tensor and re.fullmatch(r"[0-9a-fA-F]{1,8}", digits):
        scale = struct.unpack("!f", bytes.fromhex(digits.rjust(8, "0")))[0]
        if math.isfinite(scale) and scale >= 0:
            return tensor, digits, scale
    raise ModelError(
        f"calibration cache {path} is damaged in line {number}",
        got=repr(line[:60]),
        expected="a tensor and the eight hex digits of a float above 0",
        remedy="calibrate again, and copy the file as it is",
    )
