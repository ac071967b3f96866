"""GeoPIXE exports (.GeoPIXE): the spectra of an X-ray fluorescence map, pixel by pixel and detector by detector.

A header in JSON (its length first, two bytes) says the sizes of the map; records follow, little-endian: ``DP``, the
length of the record, x, y, the detector, its dead time, and then the channels that are not empty with their counts.
Pixels are as wide as the field divided by their number, and channel 0 lies at 0 eV, for only a gain is given.
"""

from __future__ import annotations

import json
import struct
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.lazy import by_rows
from fusion.reading.stored_array import StoredArray

Array: TypeAlias = npt.NDArray[Any]

_AGAIN: Final = "export it again"
_RECORD: Final = struct.Struct("<2sIHHHf")
_MARK: Final = b"DP"
_CHANNELS: Final = 2**16  # a record numbers them with two bytes


class Header(NamedTuple):
    """What the file says of itself; `start` is where the records begin."""

    sizes: tuple[int, int, int]
    channels: int
    pitch: tuple[float, float]
    gain: float
    fields: dict[str, Any]
    start: int


def arrays(path: Path) -> list[StoredArray]:
    """Return the one map of a file, ``counts`` with dims y, x, (channel,) energy.

    The detectors are apart: ``channel`` numbers them where there are several; their sum is ``ds.sum("channel")`` and
    one of them ``ds.isel(channel=0)``.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If the file is damaged, or any pixel is missing.
    """
    header = _header(path)
    rows, columns, detectors = header.sizes
    several = detectors > 1
    return [
        StoredArray(
            name=path.stem,
            dims=("y", "x", "channel", "energy") if several else ("y", "x", "energy"),
            shape=(rows, columns, *((detectors,) if several else ()), header.channels),
            dtype=np.dtype(np.uint16),
            load=partial(_lazy, path, header, _records(path, header)),
            axes={
                "y": Axis("mm", step=header.pitch[0]),
                "x": Axis("mm", step=header.pitch[1]),
                "energy": Axis("eV", step=header.gain),
            },
            attrs={"units": "count", "long_name": "counts"},
            cell_method="sum",
            dataset_attrs={"technique": "XRF"},
            metadata=header.fields,
            variable="counts",
        )
    ]


def _lazy(path: Path, header: Header, records: Array) -> Any:
    read = partial(_row, path, header.channels, records)
    counts = by_rows(read, header.sizes[0], (*header.sizes[1:], header.channels), np.uint16)
    return counts if header.sizes[2] > 1 else counts[:, :, 0]


def _header(path: Path) -> Header:
    with path.open("rb") as stream:
        head = stream.read(2)
        length = int.from_bytes(head, "little")
        text = stream.read(length)
    if len(text) < length or len(head) < 2:
        raise FileReadError(path, "cut short within its header", hint=_AGAIN)
    try:
        fields = json.loads(text)
        field = fields["File Header"]
        y, x, detectors, channels = (int(field[key]) for key in ("Yres", "Xres", "Dets", "Chan"))
        if min(y, x, detectors, channels) < 1 or channels > _CHANNELS:
            raise ValueError(f"sizes {y}, {x}, {detectors}, {channels}")
        pitch = float(field["Height (mm)"]) / y, float(field["Width (mm)"]) / x
        gain = float(field["Gain (eV)"])
        # NaN and infinity are words of Python's JSON
        if not all(np.isfinite(value) and value > 0 for value in (*pitch, gain)):
            raise ValueError(f"pixels of {pitch} mm, a gain of {gain} eV")
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FileReadError(path, f"not a GeoPIXE export (its header: {error!r})", hint=_AGAIN) from error
    return Header((y, x, detectors), channels, pitch, gain, fields, 2 + length)


def _records(path: Path, header: Header) -> Array:
    """Return where the record of each pixel and detector begins, and how long it is."""
    end, start = path.stat().st_size, header.start
    if prod(header.sizes) * _RECORD.size > end:
        shape = " x ".join(map(str, header.sizes))
        raise FileReadError(path, f"cut short: {end} bytes cannot hold {shape} spectra", hint=_AGAIN)
    records = np.zeros((*header.sizes, 2), np.int64)
    with path.open("rb") as stream:
        while start < end:
            stream.seek(start)
            length, where = _record(path, stream.read(_RECORD.size), start, end)
            if any(index >= size for index, size in zip(where, header.sizes, strict=True)) or records[where].any():
                reason = f"damaged: the spectrum of y, x, detector {where} is outside the map or there twice"
                raise FileReadError(path, reason, hint=_AGAIN)
            records[where] = start + _RECORD.size, length - _RECORD.size
            start += length
    missing = int((records[..., 0] == 0).sum())
    if missing:
        raise FileReadError(path, f"cut short: {missing} of {records[..., 0].size} spectra are missing", hint=_AGAIN)
    return records


def _record(path: Path, head: bytes, start: int, end: int) -> tuple[int, tuple[int, int, int]]:
    """Return the length of a record and the y, x and detector of its spectrum."""
    if len(head) < _RECORD.size:
        raise FileReadError(path, f"cut short within the record at byte {start}", hint=_AGAIN)
    mark, length, x, y, detector, _ = _RECORD.unpack(head)
    if mark != _MARK or length < _RECORD.size or (length - _RECORD.size) % 4:
        raise FileReadError(path, f"damaged: no record begins at byte {start}", hint=_AGAIN)
    if start + length > end:
        raise FileReadError(path, f"cut short within the record at byte {start}", hint=_AGAIN)
    return length, (y, x, detector)


def _row(path: Path, channels: int, records: Array, row: int) -> Array:
    """Return the spectra of one row of the map: x, detector, channel."""
    spectra = np.zeros((*records.shape[1:3], channels), np.uint16)
    with path.open("rb") as stream:
        for where in np.ndindex(records.shape[1:3]):
            start, length = (int(value) for value in records[row][where])
            stream.seek(start)
            content = stream.read(length)
            if len(content) < length:
                raise FileReadError(path, "it was cut while it was read", hint=_AGAIN)
            pairs = np.frombuffer(content, "<u2").reshape(-1, 2)
            last = int(pairs[:, 0].max(initial=0))
            if last >= channels:
                raise FileReadError(path, f"damaged: channel {last} of {channels} in row {row}", hint=_AGAIN)
            spectra[where][pairs[:, 0]] = pairs[:, 1]
    return spectra
