"""Pictures written by hand, byte for byte, to be held against what readers make of them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def png(
    values: NDArray[np.integer], *, depth: int, colour: int, palette: bytes = b"", transparency: bytes = b""
) -> bytes:
    """A PNG of samples [H, W] or [H, W, C] in ``depth`` bits: colour 0 grey, 2 RGB, 3 palette, 4 and 6 with alpha."""
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + _row(row.ravel(), depth) for row in values)
    extra = b"".join(_chunk(name, data) for name, data in ((b"PLTE", palette), (b"tRNS", transparency)) if data)
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
    return start + extra + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _row(samples: NDArray[np.integer], depth: int) -> bytes:
    if depth >= 8:
        return samples.astype(">u2" if depth == 16 else "u1").tobytes()
    bits = (samples[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).ravel()).tobytes()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
