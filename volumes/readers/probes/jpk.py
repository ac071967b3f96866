"""JPK images (.jpk, .jpk-qi-image): TIFF whose private tags give the frame and how each page becomes a quantity.

A value is multiplier · raw + offset of the page's default slot. The first row is the bottom of the frame unless the
grid is reflected. The origin of the grid is taken as the centre of the frame and its angle, in radians, as turning it
counter-clockwise. The tags are those of JPK's own import module for Gwyddion.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.errors import FileReadError
from fusion.reading.contents import unique
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable
from volumes.readers.arrays import tiff
from volumes.readers.probes import scan

_MODE, _X, _Y, _WIDTH, _HEIGHT, _ANGLE, _REFLECTED = 0x8030, 0x8040, 0x8041, 0x8042, 0x8043, 0x8044, 0x8045
_CHANNEL, _RETRACE, _FANCY, _SLOTS, _DEFAULT = 0x8050, 0x8051, 0x8052, 0x8080, 0x8081
_NAME, _UNIT, _SCALING, _FACTOR, _OFFSET, _SLOT = 0x8090, 0x80A2, 0x80A3, 0x80A4, 0x80A5, 0x30
_PRIVATE: Final = range(0x8000, 0x9000)


def is_jpk(path: Path) -> bool:
    """Whether the first page of a TIFF file gives the lengths of a JPK grid; looked up without reading the others."""
    with path.open("rb") as stream:
        head = stream.read(8)
        order = ">" if head.startswith(b"MM") else "<"
        if len(head) < 8 or head[2:4] not in (b"\0*", b"*\0"):
            return False
        stream.seek(int(np.frombuffer(head, f"{order}u4", 1, 4)[0]))
        count = int.from_bytes(stream.read(2), "big" if order == ">" else "little")
        entries = stream.read(12 * count)
    codes = np.frombuffer(entries[: len(entries) // 12 * 12], f"{order}u2")[::6]
    return {_WIDTH, _HEIGHT} <= set(codes.tolist())


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the channels; the thumbnail, which has none, is left out."""
    with tiff.opened(path) as tif:
        pages: list[Any] = list(tif.pages)
        tags = [_tags(page) for page in pages]
        shapes = [page.shape for page in pages]
    pages_of_channels = [index for index, entries in enumerate(tags) if _CHANNEL in entries or _FANCY in entries]
    names = unique([_name(tags[index]) for index in pages_of_channels], "_")
    return [
        readable(path, name, partial(_array, path, name, index, shapes[index], tags))
        for name, index in zip(names, pages_of_channels, strict=True)
    ]


def _tags(page: Any) -> dict[int, Any]:
    return {tag.code: tag.value for tag in page.tags if tag.code in _PRIVATE}


def _title(entries: dict[int, Any]) -> str:
    return str(entries.get(_FANCY) or entries[_CHANNEL])


def _name(entries: dict[int, Any]) -> str:
    return f"{scan.variable_name(_title(entries))}{'_retrace' if entries.get(_RETRACE) else ''}"


def _array(path: Path, name: str, index: int, shape: tuple[int, ...], tags: list[dict[int, Any]]) -> StoredArray:
    grid, entries = tags[0], tags[index]
    if len(shape) != 2:
        raise FileReadError(path, f"{name!r} has the shape {shape}, no image", hint="export it again")
    factor, offset, unit = _slot(path, name, entries)
    steps = (abs(float(grid[_HEIGHT])) / shape[0], abs(float(grid[_WIDTH])) / shape[1])
    metre = units.convert_factor("m", units.LENGTH)
    y, x = (float(grid.get(tag, 0.0)) * metre for tag in (_Y, _X))
    pose = scan.placed(math.degrees(float(grid.get(_ANGLE, 0.0))), y, x)
    about = {"technique": "AFM", "instrument": "JPK", **scan.imaging_mode(str(grid.get(_MODE, "")))}
    metadata = {"pages": [{f"{code:#x}": value for code, value in page.items()} for page in tags]}
    frame = scan.Frame((shape[0], shape[1]), steps, "m", pose, about, metadata)
    read = partial(_read, path, index, factor, offset, bool(grid.get(_REFLECTED)))
    return scan.channel(name, _title(entries), unit, frame, read)


def _slot(path: Path, name: str, entries: dict[int, Any]) -> tuple[float, float, str | None]:
    """Return factor, offset and unit of the default slot, the calibration that JPK's own program shows."""
    shifts = (number * _SLOT for number in range(int(entries.get(_SLOTS, 0))))
    shift = next((shift for shift in shifts if entries.get(_NAME + shift) == entries.get(_DEFAULT)), None)
    if shift is None or entries.get(_SCALING + shift) != "LinearScaling":
        reason = f"the calibration {entries.get(_DEFAULT)!r} of {name!r} is missing or not linear"
        raise FileReadError(path, reason, hint="save it anew with JPK's data processing")
    return float(entries[_FACTOR + shift]), float(entries[_OFFSET + shift]), entries.get(_UNIT + shift)


def _read(path: Path, index: int, factor: float, offset: float, reflected: bool) -> npt.NDArray[np.float64]:
    with tiff.opened(path) as tif:
        raw = tif.pages[index].asarray()
    return (raw[::-1] if reflected else raw) * factor + offset
