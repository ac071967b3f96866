"""Small files of EPICS (mda), written by hand."""

import struct

import numpy as np


def text(words: str) -> bytes:
    letters = words.encode()
    if not letters:
        return struct.pack(">i", 0)
    return struct.pack(">ii", len(letters), len(letters)) + letters + bytes(-len(letters) % 4)


def head(rank: int, points: int, done: int, motors: list, detectors: list, lower: list[int]) -> bytes:
    """Return the head of a scan; motors and detectors are (name, description, unit, values)."""
    parts = [struct.pack(f">3i{len(lower)}i", rank, points, done, *lower), text("ioc:scan"), text("today")]
    parts.append(struct.pack(">3i", len(motors), len(detectors), 1))
    for number, (name, description, unit, _) in enumerate(motors):
        parts += [struct.pack(">i", number), text(name), text(description), text("LINEAR"), text(unit)]
        parts += [text(""), text(""), text("")]
    for number, (name, description, unit, _) in enumerate(detectors):
        parts += [struct.pack(">i", number), text(name), text(description), text(unit)]
    parts += [struct.pack(">i", 0), text("ioc:det.CNT"), struct.pack(">f", 1.0)]
    parts += [np.asarray(values, ">f8").tobytes() for *_, values in motors]
    parts += [np.asarray(values, ">f4").tobytes() for *_, values in detectors]
    return b"".join(parts)


def nested(scan: tuple, place: int) -> bytes:
    """Return a scan, (points, done, motors, detectors, scans below it), as saveData lays it out from `place` on."""
    points, done, motors, detectors, below = scan
    rank = depth(scan)
    start = place + len(head(rank, points, done, motors, detectors, [0] * points if below else []))
    parts, lower = [], []
    for each in below:
        lower.append(start)
        parts.append(nested(each, start))
        start += len(parts[-1])
    lower += [0] * (points - len(lower)) if below else []
    return head(rank, points, done, motors, detectors, lower) + b"".join(parts)


def depth(scan: tuple) -> int:
    return 1 + (depth(scan[4][0]) if scan[4] else 0)


def write(path, scan: tuple, extra: dict | None = None, *, unfinished=False):
    rank = depth(scan)
    start = 4 + 4 + 4 + 4 * rank + 4 + 4
    body = nested(scan, start)
    place = 0 if unfinished else start + len(body)
    header = struct.pack(f">fii{rank}iii", 1.4, 7, rank, *[1] * rank, 1, place)
    path.write_bytes(header + body + (b"" if unfinished else pvs(extra or {})))
    return path


def pvs(extra: dict) -> bytes:
    parts = [struct.pack(">i", len(extra))]
    for name, (value, unit) in extra.items():
        parts += [text(name), text("said")]
        if isinstance(value, str):
            parts += [struct.pack(">i", 0), text(value)]
        else:
            parts += [struct.pack(">ii", 34, 1), text(unit), struct.pack(">d", value)]
    return b"".join(parts)


SHAPE = (3, 4, 5)
X, Y = ("ioc:m1.VAL", "Sample X", "mm"), ("ioc:m2.VAL", "Sample Y", "mm")


def spectral_map(counts: np.ndarray, *, backwards=(), done=None, short_row=None, jitter=0.0) -> tuple:
    """Return a map of spectra; in the rows that are measured backwards x descends, and so do spectra and scaler."""
    rows = []
    for y, row in enumerate(counts):
        order = range(len(row))[:: -1 if y in backwards else 1]
        points = [(len(row[x]), len(row[x]), [], [("ioc:mca1.VAL", "", "", row[x])], []) for x in order]
        where = [0.1 * x + jitter * y for x in order]
        finished = len(row) - 1 if y == short_row else len(row)
        scaler = ("ioc:scaler.S2", "I0", "", [row[x].sum() for x in order])
        rows.append((len(row), finished, [(*X, where)], [scaler], points))
    done = len(rows) if done is None else done
    return (len(rows), done, [(*Y, 2.0 - 0.5 * np.arange(len(rows)))], [], rows[: max(done, 1)])
