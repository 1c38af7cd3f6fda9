"""A small PNG writer for pictures of few colours: no picture library is needed to report."""

import base64
import struct
import zlib

import numpy as np


def indexed_png(pixels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG with a palette and transparency.

    Args:
        pixels: `(h, w)` uint8, indices into the palette.
        palette: `(n, 4)` uint8 with n ≤ 256, RGBA.

    Returns:
        The file's bytes (PNG specification, third edition: colour type 3, 8 bits).
    """
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with filter type 0
    rows[:, 1:] = pixels
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette[:, :3].tobytes()),
            _chunk(b"tRNS", palette[:, 3].tobytes()),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def data_uri(kind: str, content: bytes) -> str:
    """`data:image/png;base64,…` for a `kind` such as `image/png`."""
    return f"data:{kind};base64," + base64.b64encode(content).decode("ascii")
