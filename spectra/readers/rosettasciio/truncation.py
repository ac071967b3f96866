"""Whether a file is all there: what its header promises, held against its length, before a reader trusts either."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from fusion.errors import FileReadError
from spectra.readers.rosettasciio.jeol import is_stopped

_AGAIN: Final = "copy it again"
_SFS: Final = b"AAMVHFSS"
_PTS: Final = b"PTTDFILE"
_WDF: Final = b"WDF1"
_SPD: Final = b"MAPSPECTRA_DATA"
_IMAGE: Final = (52).to_bytes(4, "little")
_RIPPLE: Final = ("width", "height", "depth", "data-length")
_RPL: Final = re.compile(
    r"^(?:\(MLX::)?(width|height|depth|offset|data-length)[\s:]+(\d+)", re.IGNORECASE | re.MULTILINE
)
_ASW_PTS: Final = "*/*/*.pts"
_BLOCK: Final = struct.Struct("<4sIQ")


class Block(NamedTuple):
    """One block of a Renishaw file: its name and the bytes after its header."""

    name: bytes
    start: int
    size: int


def require_complete(path: Path, plugin: str) -> None:
    """Refuse a file that is shorter than it says itself.

    That is one of Bruker (bcf), EDAX, Gatan (dm3, dm4), JEOL (pts, asw, img, map), Renishaw (wdf), or Ripple with the
    values beside it. The compiled reader of bcf files crashes on the first missing byte, that of pts files counts fewer
    X-rays, that of dm4 files does not miss what lies behind the values, and maps of EDAX and Ripple are mapped into
    memory, where a missing end is only noticed when it is asked for. Other formats are not judged here: their readers
    miss what is not there. A wdf file that ends with one of its blocks cannot be told from a complete one; the blocks
    that a map needs are asked for by its reader.

    Parameters
    ----------
    path : Path
    plugin : str
        Module of RosettaSciIO.

    Raises
    ------
    FileReadError
        If the file is cut short, or the blocks of a wdf file do not follow one another.
    """
    # a project of JEOL is a list: the maps lie in folders beside it
    parts = sorted(path.parent.glob(_ASW_PTS)) if path.suffix.lower() == ".asw" else [path]
    for part in parts if plugin in _PROMISES else []:
        _require_length(part, _PROMISES[plugin])


def blocks(path: Path) -> Iterator[Block]:
    """Yield the blocks of a Renishaw file, up to the first whose header is missing or makes no sense.

    Parameters
    ----------
    path : Path
    """
    with path.open("rb") as stream:
        place = 0
        while len(head := _at(stream, place, _BLOCK.size)) == _BLOCK.size:
            name, _, size = _BLOCK.unpack(head)
            if size < _BLOCK.size:
                return
            yield Block(name, place + _BLOCK.size, size - _BLOCK.size)
            place += size


def _require_length(path: Path, promised: Callable[[Path], int]) -> None:
    size = path.stat().st_size
    try:
        length = promised(path)
    except struct.error as error:
        raise FileReadError(path, f"cut short within its header, after {size} bytes", hint=_AGAIN) from error
    if size < length:
        raise FileReadError(path, f"cut short: {size} of at least {length} bytes are there", hint=_AGAIN)


def _bruker(path: Path) -> int:
    """Return the length that the header of the container gives: its head and the number of its chunks."""
    with path.open("rb") as stream:
        if stream.read(len(_SFS)) != _SFS:
            return 0
        (chunk,) = struct.unpack("<I", _at(stream, 0x128, 4))
        (count,) = struct.unpack("<I", _at(stream, 0x148, 4))
    return 0x118 + int(chunk) * int(count)


def _edax(path: Path) -> int:
    """Return where the counts of a map (spd, lsd) or of a spectrum (spc) end."""
    with path.open("rb") as stream:
        if path.suffix.lower() == ".spc":
            start, channels = struct.unpack("<ih", _at(stream, 28, 6))
            return int(start) + 4 * int(channels)
        if stream.read(len(_SPD)) != _SPD:
            return 0
        points, lines, channels, width, start = struct.unpack("<5I", _at(stream, 24, 20))
    return int(start + points * lines * channels * width)


def _gatan(path: Path) -> int:
    """Return the length that the header gives: that of the tags, to which it and the end come (24 bytes, 16 in dm3)."""
    with path.open("rb") as stream:
        version, *length = struct.unpack(">III", _at(stream, 0, 12))
    if version == 4:
        return (int(length[0]) << 32) + int(length[1]) + 24
    return int(length[0]) + 16 if version == 3 else 0


def _jeol(path: Path) -> int:
    """Return where the events of a map end, by their start and their length; or where the tags of an image do."""
    with path.open("rb") as stream:
        if _at(stream, 0, 4) == _IMAGE:
            return _tags_end(stream)
        if _at(stream, 4, len(_PTS)) != _PTS:
            return 0
        start, length = struct.unpack("<II", _at(stream, 28, 8))
    return int(length) if is_stopped(path) else int(start) + int(length)


def _tags_end(stream: BinaryIO) -> int:
    """Return the end of a JEOL image: after the tag that holds all others, or at least one byte behind the file."""
    (start,) = struct.unpack("<I", _at(stream, 44, 4))
    place, depth = int(start) + 12, 0
    while depth >= 0:
        mark = _at(stream, place, 1)
        if mark == b"\xff":
            place, depth = place + 1, depth - 1
        elif mark == b"\1" and (length := _tag_length(stream, place)):
            place, depth = place + length, depth + 1
        else:
            # neither a tag nor the end of one: the file stops here, or is damaged
            return max(place, stream.seek(0, 2)) + 1
    return place


def _tag_length(stream: BinaryIO, place: int) -> int:
    """Return the length of a tag, from its mark to its value; 0 where the file ends within."""
    try:
        (name,) = struct.unpack("<I", _at(stream, place + 1, 4))
        _, value = struct.unpack("<II", _at(stream, place + 5 + name, 8))
    except struct.error:
        return 0
    return 13 + int(name) + int(value)


def _renishaw(path: Path) -> int:
    """Return where the last block ends; a block header that is cut itself promises at least its own length."""
    with path.open("rb") as stream:
        if stream.read(len(_WDF)) != _WDF:
            # the plugin would look for it for ever
            raise FileReadError(path, f"damaged: it does not begin with {_WDF.decode()}", hint=_AGAIN)
    end = max((block.start + block.size for block in blocks(path)), default=0)
    if end + _BLOCK.size <= path.stat().st_size:
        # the plugin would look for a block there for ever
        raise FileReadError(path, f"damaged: no block begins at byte {end}", hint=_AGAIN)
    return end + _BLOCK.size if end < path.stat().st_size else end


def _ripple(path: Path) -> int:
    """Refuse values that are missing or end too early.

    A header whose last line has no end is judged by its reader.
    """
    header = {key.lower(): int(number) for key, number in _RPL.findall(path.read_bytes().decode("latin-1"))}
    values = next((file for end in ("raw", "RAW") if (file := path.with_name(path.name[:-3] + end)).is_file()), None)
    if values is None:
        hint = "copy both files into one folder"
        raise FileReadError(path, f"its values are not beside it, in {path.stem}.raw", hint=hint)
    _require_length(values, lambda _: _ripple_values(path, header))
    return 0


def _ripple_values(path: Path, header: Mapping[str, int]) -> int:
    try:
        return prod(header[key] for key in _RIPPLE) + header["offset"]
    except KeyError as error:
        raise FileReadError(path, f"damaged: it does not tell the number of values ({error})", hint=_AGAIN) from error


def _at(stream: BinaryIO, place: int, count: int) -> bytes:
    stream.seek(place)
    return stream.read(count)


_PROMISES: Final[dict[str, Callable[[Path], int]]] = {
    "bruker": _bruker, "digitalmicrograph": _gatan, "edax": _edax, "jeol": _jeol, "renishaw": _renishaw,
    "ripple": _ripple,
}  # fmt: skip
