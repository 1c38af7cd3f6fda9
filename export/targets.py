"""What an ONNX may hold so that the TensorRT of a device reads it."""

import re
from dataclasses import dataclass
from typing import Optional, Tuple

from ..core import UsageError, did_you_mean
from ..core.devices import DEVICES, find_device

OLDEST = 13
"""The oldest opset written: per-channel Q/DQ begins with it, and TensorRT 8.0 reads it."""

NEWEST = 25
USUAL = 17
"""What a torch module is exported to where nothing asks for less."""

TYPED_QDQ = 19
"""The opset from which Q/DQ take half-precision tensors and scales."""

Version = Tuple[int, int]

# Newest opset by TensorRT release, from the release's operators.md in onnx/onnx-tensorrt.
_OPSETS = (((8, 0), 13), ((8, 5), 17), ((10, 0), 20), ((11, 0), 25))

# TensorRT of each JetPack, from NVIDIA's JetPack archive.
_JETPACKS = {
    "4.6": (8, 0), "4.6.1": (8, 2), "5.0": (8, 4), "5.1": (8, 5), "6.0": (8, 6),
    "6.1": (10, 3), "6.2": (10, 3), "7.0": (10, 13), "7.1": (10, 13), "7.2": (10, 16),
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What the model is exported for.

    Attributes:
        name: As it was asked for.
        tensorrt: Its TensorRT, the oldest where several may run there; None where nothing is said.
        opset: Newest opset that it reads.
    """

    name: str
    tensorrt: Optional[Version]
    opset: int

    def before(self, major: int, minor: int = 0) -> bool:
        """Whether its TensorRT is older than this release; False where nothing is said."""
        return self.tensorrt is not None and self.tensorrt < (major, minor)


ANY = Target("any", None, NEWEST)


def find_target(name: Optional[str]) -> Target:
    """The target of this name.

    Args:
        name: A TensorRT (`trt8.2`, `10.3`), a JetPack (`jetpack5.1`) or a device (`nano`,
            `orin-nx`); None for no target in particular. A device stands for the oldest TensorRT
            of its JetPacks.

    Raises:
        UsageError: Nothing is called so.
    """
    if name is None:
        return ANY
    key = re.sub(r"[\s_=-]", "", str(name).lower())
    found = re.fullmatch(r"(?:trt|tensorrt)?(\d+)(?:\.(\d+))?(?:\.\d+)*", key)
    if found:
        return _of(str(name), (int(found[1]), int(found[2] or 0)))
    found = re.fullmatch(r"(?:jetpack|jp)(\d+)((?:\.\d+)*)", key)
    if found:
        version = found[1] + (found[2] or ".0")
        while version not in _JETPACKS and version.count(".") > 1:
            version = version.rpartition(".")[0]
        if version not in _JETPACKS:
            raise UsageError(
                f"no JetPack {version} is known", remedy=did_you_mean(version, _JETPACKS)
            )
        return _of(str(name), _JETPACKS[version])
    try:
        device = find_device(str(name))
    except UsageError:
        known = [*DEVICES, "trt8.2", "trt8.5", "trt10.3", "jetpack5.1", "jetpack6.2"]
        raise UsageError(
            f"there is no target {str(name)!r}", remedy=did_you_mean(str(name), known)
        ) from None
    return _of(device.name, device.tensorrt[0])


def _of(name: str, version: Version) -> Target:
    if version < _OPSETS[0][0]:
        raise UsageError(f"TensorRT {version[0]}.{version[1]} is too old", expected="8.0 or newer")
    return Target(name, version, max(opset for since, opset in _OPSETS if since <= version))


def choose_opset(target: Target, asked: Optional[int], current: Optional[int]) -> int:
    """The opset to write.

    Args:
        target: What the model is for.
        asked: What the user asks for, if anything.
        current: That of the ONNX at hand; None for a torch module.

    Raises:
        UsageError: The opset asked for is none that is written, or the target cannot read it.
    """
    if asked is not None:
        if not OLDEST <= asked <= NEWEST:
            raise UsageError(f"opset {asked} is not written", expected=f"{OLDEST} to {NEWEST}")
        if asked > target.opset:
            raise UsageError(
                f"{target.name} does not read opset {asked}",
                expected=f"at most {target.opset}",
                remedy="leave --opset out, or name a newer target",
            )
        return asked
    wanted = USUAL if current is None else max(current, OLDEST)
    return min(wanted, target.opset)
