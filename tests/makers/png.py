"""PNG files of every bit depth, colour type, row filter and interlace, encoded here (PNG, third edition)."""

import struct
import zlib

import numpy as np

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def packed(row, bits):
    """Return the bytes of a row of samples, the leftmost in the highest bits."""
    if bits == 16:
        return row.astype(">u2").tobytes()
    digits = (row.ravel()[:, None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(digits.astype(np.uint8).ravel()).tobytes()


def paeth(left, above, corner):
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))


def filtered(row, before, kind, step):
    """Return a row as its differences to what stands `step` bytes to the left, above, or both."""
    out = bytearray([kind])
    for i, value in enumerate(row):
        left, corner = (row[i - step], before[i - step]) if i >= step else (0, 0)
        out.append((value - (0, left, before[i], (left + before[i]) // 2, paeth(left, before[i], corner))[kind]) % 256)
    return bytes(out)


def encoded(values, bits):
    step = max(1, bits * (values.shape[2] if values.ndim == 3 else 1) // 8)
    before, rows = b"", []
    for number, row in enumerate(packed(row, bits) for row in values):
        rows.append(filtered(row, before or bytes(len(row)), number % 5, step))
        before = row
    return b"".join(rows)


def write_png(path, values, bits, colour, *, interlaced=False, chunks=()):
    """Write integers of shape (y, x) or (y, x, samples); the rows take the five filters in turn."""
    steps = ADAM7 if interlaced else ((0, 0, 1, 1),)
    passes = (values[y::dy, x::dx] for y, x, dy, dx in steps)
    body = b"".join(encoded(part, bits) for part in passes if part.size)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, int(interlaced))
    more = b"".join(chunk(name, data) for name, data in chunks)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    )
    return path
