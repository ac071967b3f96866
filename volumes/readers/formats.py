"""The formats of images, stacks, volumes and points: how each is known by its content, and which reader it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from fusion.errors import FileReadError
from fusion.reading import advice
from volumes.readers.arrays import hdf5, matlab, netcdf, slices, tiff
from volumes.readers.electrons import mrc
from volumes.readers.light import czi, lif, localisations, nd2
from volumes.readers.probes import current_map, gwyddion, igor, jpk, nanoscope, nanosurf
from volumes.readers.stored_array import Part

Reader: TypeAlias = Callable[[Path], list[Part]]
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
    Format("JPK", lambda path, head: head.startswith(_TIFF) and jpk.is_jpk(path), jpk.parts),
    Format("TIFF", _begins(*_TIFF), tiff.parts),
    Format("PNG, JPEG, BMP", _begins(*_FLAT), slices.parts),
    Format(
        "SMAP",
        lambda path, head: head.startswith(_MATLAB_HDF5) and localisations.is_smap(path),
        localisations.smap_parts,
    ),
    Format("MATLAB 7.3", _begins(_MATLAB_HDF5), hdf5.matlab_parts),
    Format("MATLAB 5", _begins(b"MATLAB 5.0"), matlab.parts),
    Format("NetCDF 3", _begins(b"CDF\1", b"CDF\2"), netcdf.parts),
    Format("NetCDF 4", lambda path, head: head.startswith(_HDF5) and path.suffix.lower() in _NETCDF, netcdf.parts),
    Format(
        "Picasso",
        lambda path, head: head.startswith(_HDF5) and localisations.is_picasso(path),
        localisations.picasso_parts,
    ),
    Format("HDF5", _begins(_HDF5), hdf5.parts),
    Format("MRC", lambda path, head: head[208:211] == b"MAP", mrc.parts),
    Format("Zeiss CZI", _begins(b"ZISRAWFILE"), czi.parts),
    Format("Nikon ND2", _begins(b"\xda\xce\xbe\x0a"), nd2.parts),
    Format("Leica LIF", lambda path, head: lif.is_leica(head), lif.parts),
    Format("ThunderSTORM", lambda path, head: localisations.is_thunderstorm(head), localisations.thunderstorm_parts),
    Format("NanoScope", _begins(*nanoscope.HEADS), nanoscope.parts),
    Format("Nanosurf NID", _begins(nanosurf.HEAD), nanosurf.parts),
    Format("Gwyddion", _begins(gwyddion.HEAD), gwyddion.parts),
    Format("Igor ibw", lambda path, head: igor.is_wave(head), igor.parts),
    Format("SECM text", lambda path, head: head.startswith(b"#") and current_map.MARK in head, current_map.parts),
)
"""The first one that fits reads a file: those that are a kind of another stand before it."""

OPENER: Final = "volumes.open"
ACCEPTED: Final = f"{', '.join(found.name for found in FORMATS)} and folders of slices"


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
    found = next((known for known in FORMATS if known.fits(path, head)), None)
    hint = advice.advice(path, OPENER, ACCEPTED)
    if found is None:
        raise FileReadError(path, f"unknown format (it begins with {head[:8]!r})", hint=hint)
    if found.read is hdf5.parts and advice.belongs_elsewhere(path, OPENER):
        raise FileReadError(path, "its arrays are kept in the way of spectral files", hint=hint)
    return found.read
