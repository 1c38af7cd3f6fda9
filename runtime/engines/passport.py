"""The passport of an engine: what it was built from, for and with.

An engine runs only on the release of TensorRT, the kind of GPU and the driver that it was built
for. `model.engine.json` beside `model.engine` tells them before anything is loaded.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ...core import ModelError, StorageError
from ..files import write_whole

PathLike = Union[str, "os.PathLike[str]"]

FORMAT = 1


class Here(NamedTuple):
    """What engines depend on, on this machine.

    Attributes:
        tensorrt: Release, in full.
        compute_capability: Of the GPU, e.g. `8.7`.
        l4t: Of a Jetson, or None.
        gpu: As the driver calls it.
        device: Name of the Jetson, whatever its power mode, or None.
    """

    tensorrt: str
    compute_capability: str
    l4t: Optional[str] = None
    gpu: str = ""
    device: Optional[str] = None


@dataclass(frozen=True)
class Passport:
    """What is known of an engine.

    Attributes:
        onnx: The ONNX it was built from; relative where it lies beside the engine.
        onnx_sha256: Of that ONNX, with its external weights.
        tensorrt: Release that built it, in full.
        compute_capability: Of the GPU, e.g. `8.7`.
        l4t: Of the Jetson, or None.
        gpu: As the driver calls it.
        device: Name of the Jetson, or None.
        precision: `fp32`, `fp16` or `int8`.
        dla_core: Core of the deep-learning accelerator, or None.
        calibration: SHA-256 of the calibration cache, the hash in the card of a graph with Q/DQ,
            or None.
        profile: Smallest, usual and largest shape by input, for inputs with open axes.
        built: When, as seconds since 1970 by this machine's clock.
        seconds: How long the build took.
        engine_sha256: Of the engine.
        engine_size: Of the engine in bytes.
        metadata: `metadata_props` of the ONNX, with its card.
        options: What `build_engine` was asked for, so that it can be asked again.
    """

    onnx: str
    onnx_sha256: str
    tensorrt: str
    compute_capability: str
    l4t: Optional[str]
    gpu: str
    device: Optional[str]
    precision: str
    dla_core: Optional[int]
    calibration: Optional[str]
    profile: Dict[str, List[List[int]]]
    built: float
    seconds: float
    engine_sha256: str
    engine_size: int
    metadata: Dict[str, str] = field(default_factory=dict)
    options: Dict[str, Any] = field(default_factory=dict)

    def differences(self, here: Here, onnx_sha256: Optional[str] = None) -> List[str]:
        """Why the engine cannot be used here; empty where it can.

        Args:
            here: This machine.
            onnx_sha256: Of the ONNX that is to be run, if it is at hand.
        """
        found = []
        for what, mine, theirs, certain in (
            ("TensorRT", self.tensorrt, here.tensorrt, True),
            ("compute capability", self.compute_capability, here.compute_capability, True),
            ("L4T", self.l4t, here.l4t, True),
            ("the device", self.device, here.device, False),
            ("GPU", self.gpu, here.gpu, False),
        ):
            # A name that one side cannot tell is no difference.
            if mine != theirs and (certain or (mine and theirs)):
                found.append(
                    f"it was built for {what} {mine or 'none'}, this is {theirs or 'none'}"
                )
        if onnx_sha256 is not None and onnx_sha256 != self.onnx_sha256:
            found.append(f"{self.onnx} has changed since it was built")
        return found


def passport_path(engine: PathLike) -> Path:
    """Where the passport of an engine lies."""
    path = Path(engine)
    return path.with_name(path.name + ".json")


def write_passport(engine: PathLike, passport: Passport) -> None:
    """Put a passport beside an engine, in one step.

    Raises:
        StorageError: The folder cannot be written or the disk is full.
    """
    data = {"format": FORMAT, **dataclasses.asdict(passport)}
    text = json.dumps(data, indent=1, sort_keys=True)
    write_whole(passport_path(engine), text.encode() + b"\n")


def read_passport(engine: PathLike) -> Passport:
    """The passport of an engine.

    Raises:
        ModelError: There is none, or it is damaged.
    """
    path = passport_path(engine)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"engine {os.fspath(engine)} has no passport",
            expected=str(path),
            remedy="build it with: edgelane build m.onnx",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no JSON"
        raise ModelError(f"passport {path} cannot be read", got=reason) from None
    known = {f.name: f for f in dataclasses.fields(Passport)}
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ModelError(f"{path} is no passport of an engine", remedy="build the engine again")
    missing = [
        name
        for name, f in known.items()
        if name not in data and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ModelError(
            f"passport {path} lacks " + ", ".join(missing), remedy="build the engine again"
        )
    return Passport(**{name: data[name] for name in known if name in data})


def read_engine(engine: PathLike) -> Tuple[bytes, Passport]:
    """An engine with its passport, checked to be whole.

    Raises:
        ModelError: The engine or its passport is missing, or the engine is cut off or damaged.
    """
    name = os.fspath(engine)
    passport = read_passport(name)
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise ModelError(f"engine {name} cannot be read", got=error.strerror) from None
    if len(data) != passport.engine_size:
        raise ModelError(
            f"engine {name} is cut off or another one",
            got=f"{len(data):,} bytes",
            expected=f"{passport.engine_size:,}, as its passport says",
            remedy="build it again",
        )
    if hashlib.sha256(data).hexdigest() != passport.engine_sha256:
        raise ModelError(f"engine {name} is damaged", remedy="build it again")
    return data, passport


def write_engine(engine: PathLike, data: bytes, passport: Passport) -> None:
    """Put an engine and its passport in place; the passport last, for it makes the engine valid.

    Raises:
        StorageError: The folder cannot be written or the disk is full; a new engine that was
            written already is taken away.
    """
    path = Path(engine)
    fresh = not path.exists()
    write_whole(path, data)
    try:
        write_passport(path, passport)
    except BaseException:
        # Without its passport nobody would take it.
        if fresh:
            try:
                path.unlink()
            except OSError as error:
                raise StorageError(f"{path} cannot be removed", got=error.strerror) from None
        raise
