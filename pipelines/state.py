"""The state of a pipeline as bytes: msgpack, with numpy arrays as an extension."""

import zlib
from typing import Any, Dict

import msgspec
import numpy as np

from ..core import DataError

MAGIC = b"ELST"
VERSION = 1
"""Of this wrapping; what a pipeline puts inside carries its own."""

_ARRAY = 1
_HEAD = len(MAGIC) + 1 + 4


def _plain(value: Any) -> Any:
    """What msgpack does not know: arrays become an extension, numpy scalars plain numbers."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"an array of {value.dtype} cannot be kept in a state")
        whole = (value.dtype.str, list(value.shape), value.tobytes())
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(whole))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be kept in a state")


def _array(code: int, data: memoryview) -> np.ndarray:
    if code != _ARRAY:
        raise ValueError(f"extension {code} is unknown")
    dtype, shape, values = msgspec.msgpack.decode(data)
    # A copy, because arrays over bytes cannot be written to.
    return np.frombuffer(values, np.dtype(dtype)).reshape(shape).copy()


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoder = msgspec.msgpack.Decoder(ext_hook=_array)


def encode(state: Dict[str, Any]) -> bytes:
    """Pack a dict of plain types and numpy arrays.

    Args:
        state: Keys are strings or integers; values None, bool, int, float, str, bytes, lists,
            dicts, and arrays of numbers or bools. Tuples come back as lists.

    Raises:
        DataError: Something in it cannot be packed.
    """
    try:
        body = _encoder.encode(state)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError("a state cannot be packed", got=str(error)) from None
    return MAGIC + bytes([VERSION]) + zlib.crc32(body).to_bytes(4, "big") + body


def decode(data: bytes) -> Dict[str, Any]:
    """Unpack what `encode` packed; arrays come back writable, with dtype and shape.

    Raises:
        DataError: These are other bytes, damaged ones, or of another version.
    """
    data = bytes(data)
    remedy = "start without it: counting begins anew"
    if len(data) < _HEAD or data[: len(MAGIC)] != MAGIC:
        raise DataError("these bytes are no state", got=f"{len(data)} bytes", remedy=remedy)
    version = data[len(MAGIC)]
    if version != VERSION:
        raise DataError("a state of another version", got=version, expected=VERSION, remedy=remedy)
    body = data[_HEAD:]
    if zlib.crc32(body) != int.from_bytes(data[len(MAGIC) + 1 : _HEAD], "big"):
        raise DataError("a state is damaged: its checksum does not fit", remedy=remedy)
    try:
        state = _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, TypeError, IndexError) as error:
        raise DataError("a state cannot be unpacked", got=str(error), remedy=remedy) from None
    if not isinstance(state, dict):
        raise DataError("a state is no dict", got=type(state).__name__, remedy=remedy)
    return state


def decode_own(state: bytes, pipeline: str, fingerprint: str) -> Dict[str, Any]:
    """As `decode`, of a state that holds `pipeline` and `fingerprint` and must be one's own.

    Raises:
        DataError: The bytes are damaged, or of another pipeline, configuration or version.
    """
    data = decode(state)
    if data.get("pipeline") != pipeline or data.get("fingerprint") != fingerprint:
        raise DataError(
            f"a state of the {pipeline} pipeline does not fit",
            got="one of another pipeline, version, configuration or picture size",
            remedy="go on with the configuration it was written with, or start a new folder",
        )
    return data
