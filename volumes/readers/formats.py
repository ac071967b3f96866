"""The formats of images, stacks, volumes and points: how each is known by its content, and which reader it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from fusion.errors import FileReadError, UnknownFormatError
from fusion.reading import advice
from fusion.reading.stored_array import StoredArray, Unreadable
from volumes.readers.arrays import flat, hdf5, matlab, netcdf, slices, tiff
from volumes.readers.electrons import mrc, mrc_header
from volumes.readers.light import czi, lif, nd2, picasso, smap, thunderstorm
from volumes.readers.probes import current_map, gwyddion, igor, jpk, nanoscope, nanosurf

Reader: TypeAlias = Callable[[Path], Sequence[StoredArray | Unreadable]]
_FIRST: Final = 512
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FLAT: Final = (b"\x89PNG", b"\xff\xd8\xff", b"BM")
_HDF5: Final = b"\x89HDF"
_MATLAB_HDF5: Final = b"MATLAB 7.3"
_NETCDF: Final = (".nc", ".nc4")


class Format(NamedTuple):
    """A format: what it is called, how a file of it is known by its path and its first bytes, and its reader."""

    name: str
    fits: Callable[[Path, bytes], bool]
    read: Reader


def _begins(*marks: bytes) -> Callable[[Path, bytes], bool]:
    return lambda path, head: head.startswith(marks)


FORMATS: Final = (
    Format("JPK", lambda path, head: head.startswith(_TIFF) and jpk.is_jpk(path), jpk.arrays),
    Format("TIFF", _begins(*_TIFF), tiff.arrays),
    Format("PNG, JPEG, BMP", _begins(*_FLAT), flat.arrays),
    Format(
        "SMAP",
        lambda path, head: head.startswith(_MATLAB_HDF5) and smap.is_smap(path),
        smap.arrays,
    ),
    Format("MATLAB 7.3", _begins(_MATLAB_HDF5), hdf5.matlab),
    Format("MATLAB 5", _begins(b"MATLAB 5.0"), matlab.arrays),
    Format("NetCDF 3", _begins(b"CDF\1", b"CDF\2"), netcdf.arrays),
    Format("NetCDF 4", lambda path, head: head.startswith(_HDF5) and path.suffix.lower() in _NETCDF, netcdf.arrays),
    Format(
        "Picasso",
        lambda path, head: head.startswith(_HDF5) and picasso.is_picasso(path),
        picasso.arrays,
    ),
    Format("HDF5", _begins(_HDF5), hdf5.arrays),
    Format("MRC", lambda path, head: head[208:211] == b"MAP" or mrc_header.is_older(path, head), mrc.arrays),
    Format("Zeiss CZI", _begins(b"ZISRAWFILE"), czi.arrays),
    Format("Nikon ND2", _begins(b"\xda\xce\xbe\x0a"), nd2.arrays),
    Format("Leica LIF", lambda path, head: lif.is_leica(head), lif.arrays),
    Format("ThunderSTORM", lambda path, head: thunderstorm.is_table(head), thunderstorm.arrays),
    Format("NanoScope", _begins(*nanoscope.HEADS), nanoscope.arrays),
    Format("Nanosurf NID", _begins(nanosurf.HEAD), nanosurf.arrays),
    Format("Gwyddion", _begins(gwyddion.HEAD), gwyddion.arrays),
    Format("Igor ibw", lambda path, head: igor.is_wave(head), igor.arrays),
    Format("SECM text", lambda path, head: head.startswith(b"#") and current_map.MARK in head, current_map.arrays),
)
"""The first one that fits reads a file: those that are a kind of another stand before it."""

OPENER: Final = "volumes.open"
ACCEPTED: Final = f"{', '.join(one.name for one in FORMATS)} and folders of slices"


def reader(path: Path) -> Reader:
    """Choose the reader of a file by its first bytes, or that of a folder.

    Raises
    ------
    FileReadError
        If the file is empty, no format fits, or it is one of spectra.
    """
    if path.is_dir():
        return slices.folder
    with path.open("rb") as stream:
        head = stream.read(_FIRST)
    if not head:
        raise FileReadError(path, "the file is empty", hint="copy it again")
    chosen = next((known for known in FORMATS if known.fits(path, head)), None)
    hint = advice.advice(path, OPENER, ACCEPTED)
    if chosen is None:
        raise UnknownFormatError(path, f"unknown format (it begins with {head[:8]!r})", hint=hint)
    if chosen.read is hdf5.arrays and advice.belongs_to_other_package(path, OPENER):
        raise FileReadError(path, "its arrays are kept in the way of spectral files", hint=hint)
    return chosen.read
