"""Small files of GeoPIXE, written by hand."""

import json
import struct

import numpy as np


def write(path, counts: np.ndarray, *, skip=(), **changes):
    """Write counts (y, x, detector, channel) as GeoPIXE does; `changes` replace entries of the header."""
    y, x, detectors, channels = counts.shape
    field = {"Xres": x, "Yres": y, "Width (mm)": 0.3 * x, "Height (mm)": 0.2 * y, "Dets": detectors,
             "Chan": channels, "Gain (eV)": 20.0, **changes}  # fmt: skip
    head = json.dumps({"File Header": field}).encode()
    parts = [struct.pack("<H", len(head)), head]
    for where in np.ndindex(y, x, detectors):
        filled = np.flatnonzero(counts[where])
        pairs = np.stack([filled, counts[where][filled]], axis=1).astype("<u2").tobytes()
        if where not in skip:
            parts.append(struct.pack("<2sIHHHf", b"DP", 16 + len(pairs), where[1], where[0], where[2], 1.0) + pairs)
    path.write_bytes(b"".join(parts))
    return path
