"""The formats of spectra: how each is known by its extension and its content, and which reader it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from fusion.errors import FileReadError, UnknownFormatError
from fusion.files import hdf5
from fusion.reading import advice
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.readers import delmic, geopixe, mda, netcdf, nexus, nsid, voltammograms, witec
from spectra.readers.rosettasciio import adapter

Arrays: TypeAlias = Sequence[StoredArray | Unreadable]
HDF5: Final = (".h5", ".hdf5", ".hf5", ".he5", ".nxs")
NETCDF: Final = (".nc", ".nc4", ".cdf")
_TABLES: Final = (".txt", ".csv", ".tsv")
_PLUGINS: Final = (
    "Bruker", "DigitalMicrograph", "DigitalSurf", "EDAX", "EMD", "Hamamatsu", "HSPY", "JEOL", "JobinYvon", "MSA",
    "PantaRhei", "Phenom", "Renishaw", "Ripple", "TIA", "TriVista",
)  # fmt: skip
"""What RosettaSciIO reads here, by the names of its plugins."""


class Format(NamedTuple):
    """A format: what it is called, its extensions, how a file of it is known among these, and its reader."""

    name: str
    extensions: tuple[str, ...]
    fits: Callable[[Path], bool]
    read: Callable[[Path], Arrays]


class Layout(NamedTuple):
    """A way to keep spectra in HDF5: what it is called, how an open file of it is known, and its reader."""

    name: str
    fits: Callable[[Any], bool]
    read: Callable[[Path], Arrays]


def arrays(path: Path) -> Arrays:
    """Return the arrays of a file by the first format that fits, else by the plugin of RosettaSciIO.

    Raises
    ------
    FileReadError
        If the format is unknown, or the file is damaged.
    """
    extension = path.suffix.lower()
    known = next((known for known in FORMATS if extension in known.extensions and known.fits(path)), None)
    return known.read(path) if known else adapter.arrays(path, _plugin(path, extension))


def extensions() -> tuple[str, ...]:
    """Return the extensions of the vendors' formats, lower case, that mean spectra and nothing else."""
    own = [end for known in FORMATS for end in known.extensions if end not in _SHARED]
    return tuple(sorted({*_by_extension(), *own}))


def _begins(mark: bytes) -> Callable[[Path], bool]:
    def fits(path: Path) -> bool:
        with path.open("rb") as stream:
            return stream.read(len(mark)) == mark

    return fits


def _any(_: Path) -> bool:
    return True


def _in_hdf5(path: Path) -> Arrays:
    with hdf5.opened(path) as file:
        known = next((layout for layout in LAYOUTS if layout.fits(file)), None)
        groups = ", ".join(map(repr, list(file)[:5]))
    if known is None:
        names = " and ".join(", ".join(layout.name for layout in LAYOUTS).rsplit(", ", 1))
        hint = f"{names} files are known; images open with volumes.open; save other spectra as NetCDF, axes with units"
        raise FileReadError(path, f"an HDF5 file of unknown layout (it begins with the groups {groups})", hint=hint)
    return known.read(path)


def _plugin(path: Path, extension: str) -> str:
    plugin = _by_extension().get(extension)
    if plugin is None:
        hint = advice.advice(path, "spectra.open", _accepted())
        raise UnknownFormatError(path, f"unknown format {extension or '(no extension)'!r}", hint=hint)
    if root := advice.foreign_xml(path):
        raise UnknownFormatError(path, f"XML of another kind (<{root}>)", hint=advice.advice(path, "spectra.open", ""))
    if plugin == "jeol" and _is_mrc(path):
        raise FileReadError(path, "a map of densities (MRC, CCP4)", hint="open it with volumes.open")
    if plugin == "hspy":
        with hdf5.opened(path):
            return plugin
    return plugin


def _is_mrc(path: Path) -> bool:
    """Whether a file is of MRC2014 or CCP4, whose word 53 says so; JEOL's maps of elements end in .map too."""
    with path.open("rb") as stream:
        return stream.read(211)[208:] == b"MAP"


def _accepted() -> str:
    """Return the formats by name with their extensions, for people."""
    ends: dict[str, list[str]] = {known.name: list(known.extensions) for known in FORMATS}
    for plugin in _plugins():
        ends.setdefault(plugin["name"], []).extend(f".{end.lower()}" for end in plugin["file_extensions"])
    return ", ".join(f"{name} ({' '.join(dict.fromkeys(listed))})" for name, listed in sorted(ends.items()))


def _plugins() -> list[Mapping[str, Any]]:
    from rsciio import IO_PLUGINS

    return [plugin for plugin in IO_PLUGINS if plugin["name"] in _PLUGINS]


@cache
def _by_extension() -> dict[str, str]:
    """Return the module of RosettaSciIO for each extension that no format of the table takes."""
    pairs = {
        f".{end.lower()}": plugin["api"].split(".")[-1] for plugin in _plugins() for end in plugin["file_extensions"]
    }
    return {**{end: plugin for end, plugin in pairs.items() if end not in HDF5}, ".img": "jeol"}


LAYOUTS: Final = (
    Layout("Delmic (Odemis)", delmic.is_delmic, delmic.arrays),
    Layout("HyperSpy", lambda file: "Experiments" in file, partial(adapter.arrays, plugin="hspy")),
    Layout("NSID", nsid.is_nsid, nsid.arrays),
    Layout("NeXus", nexus.is_nexus, nexus.arrays),
    Layout("NetCDF", lambda file: "_NCProperties" in file.attrs, netcdf.arrays),
)
FORMATS: Final = (
    Format("NetCDF", NETCDF, _any, netcdf.arrays),
    Format("HDF5", HDF5, _any, _in_hdf5),
    Format("GeoPIXE", (".geopixe",), _any, geopixe.arrays),
    Format("EPICS MDA", (".mda",), _any, mda.arrays),
    Format("WITec", (".txt",), _begins(witec.HEAD), witec.arrays),
    Format("voltammograms by place", _TABLES, voltammograms.is_table, voltammograms.arrays),
    Format("Hamamatsu", (".img",), _begins(b"IM"), partial(adapter.arrays, plugin="hamamatsu")),
)
_SHARED: Final = (*HDF5, *NETCDF, *_TABLES)
"""Extensions under which other things than spectra are kept too."""
