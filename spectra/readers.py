"""Spectral files: what is in them, and one item of them as a labelled dataset."""

from __future__ import annotations

import importlib
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Final

import h5py
import xarray as xr

from fusion import provenance, sandbox
from fusion.errors import ConspectusError, FileReadError
from spectra import delmic, geopixe, hdf5, items, mda, netcdf, nexus, nsid, secm, vendor, witec
from spectra.items import Builders, Content

_PLUGINS: Final = (
    "Bruker", "DigitalMicrograph", "DigitalSurf", "EDAX", "EMD", "Hamamatsu", "HSPY", "JEOL", "JobinYvon", "MSA",
    "PantaRhei", "Phenom", "Renishaw", "Ripple", "TIA", "TriVista",
)  # fmt: skip
_SLOW: Final = (
    "dask.array", "h5netcdf.legacyapi", "rsciio.bruker", "rsciio.digitalmicrograph", "rsciio.emd", "rsciio.hspy",
    "rsciio.renishaw", "sparse",
)  # fmt: skip
_HDF5: Final = (".h5", ".hdf5", ".hf5", ".he5", ".nxs")
_TABLES: Final = (".txt", ".csv", ".tsv")
_NETCDF: Final = (".nc", ".nc4", ".cdf")
_OWN: Final = {".geopixe": geopixe.builders, ".mda": mda.builders}


def open(path: str | PathLike[str], *, name: str | None = None) -> xr.Dataset:
    """Open one item of a spectral file as a labelled dataset.

    Parameters
    ----------
    path : path-like
        A file of Bruker (bcf, spx), EDAX, JEOL, Velox and other EMD, Gatan (dm3, dm4), TIA, Renishaw (wdf),
        WITec (txt), JobinYvon (LabSpec xml), TriVista, Hamamatsu, Digital Surf, Delmic (h5), NSID (hf5), EPICS
        (mda), GeoPIXE, NeXus (nxs, h5), HyperSpy (hspy), MSA, Ripple, NetCDF, or a
        table of voltammograms by place (txt, csv).
    name : str, optional
        An item that `contents` lists: a map, or an image taken with it. Left out, the one spectral item, or the
        one that a NeXus file names as its default.

    Returns
    -------
    Dataset
        ``counts`` (X-ray counts, dims z, y, x, energy in keV), ``intensity`` (other spectra, on their own signal
        axis), ``current`` (voltammograms, dims y, x, potential in V) or ``image``; lazy where the format allows.
        Coordinates are pixel centres in um; the pose leads to the frame "stage" where the file tells its place on
        one (`fusion.stage`). Attributes: ``technique``, and where the file says so ``instrument``, ``beam_energy``
        (keV) and ``elements``;
        ``original_metadata`` is everything the file says, as JSON text.

    Raises
    ------
    FileReadError
        If the file is missing, empty, damaged, of an unknown format, does not say what an axis is, or has several
        spectral items and no `name` is given.

    Examples
    --------
    >>> open("missing.bcf")
    Traceback (most recent call last):
        ...
    fusion.errors.FileReadError: missing.bcf: there is no such file; check the path
    """
    place = _existing(path)
    return sandbox.run(_opened, place, name, file=place, prepare=_prepare)


def contents(path: str | PathLike[str]) -> list[Content]:
    """List what a spectral file contains, without reading the values.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of Content
        Name, technique, dims, shape and units of each item; an item that cannot be opened says why.

    Raises
    ------
    FileReadError
        If the file is missing, empty, damaged or of an unknown format.
    """
    place = _existing(path)
    return items.listed(sandbox.run(_described, place, file=place, prepare=_prepare))


def extensions() -> tuple[str, ...]:
    """Return the extensions of the vendors' formats, lower case, that mean spectra and nothing else."""
    return tuple(sorted([*_by_extension(), *_OWN]))


@cache
def _prepare() -> None:
    """Import what most files need, once for all readers."""
    for module in _SLOW:
        importlib.import_module(module)
    provenance.prepare()


def _opened(path: Path, name: str | None) -> xr.Dataset:
    try:
        ds = items.choose(path, _builders(path), name or _default(path))
    except FileReadError:
        raise
    except ConspectusError as error:
        raise FileReadError(path, f"what it says makes no sense ({error})", hint="copy or export it again") from error
    return provenance.opened(ds, "spectra.open", {"name": name or ds.attrs["title"]}, path)


def _described(path: Path) -> list[Content]:
    return items.describe(_builders(path))


def _builders(path: Path) -> Builders:
    extension = path.suffix.lower()
    if extension in _NETCDF:
        return netcdf.builders(path)
    if extension in _HDF5:
        return _hdf5_builders(path)
    if extension in _OWN:
        return _OWN[extension](path)
    if extension == ".txt" and _starts_with(path, witec.HEAD):
        return witec.builders(path)
    if extension in _TABLES and secm.is_table(path):
        return secm.builders(path)
    return vendor.builders(path, _plugin(path, extension))


def _default(path: Path) -> str | None:
    return nexus.default(path) if path.suffix.lower() in _HDF5 else None


def _existing(path: str | PathLike[str]) -> Path:
    place = Path(path)
    if not place.exists():
        raise FileReadError(place, "there is no such file", hint="check the path")
    if place.is_dir():
        raise FileReadError(place, "this is a folder", hint="name the file inside it")
    if place.stat().st_size == 0:
        raise FileReadError(place, "the file is empty", hint="copy it again")
    return place


def _plugin(path: Path, extension: str) -> str:
    plugin = _by_extension().get(extension)
    if plugin is None:
        accepted = " ".join(extensions() + _HDF5 + _NETCDF)
        raise FileReadError(path, f"unknown format {extension or '(no extension)'!r}", hint=f"accepted: {accepted}")
    if extension == ".img" and _starts_with(path, b"IM"):
        return "hamamatsu"
    if plugin == "hspy":
        _refuse_foreign_links(path)
    return plugin


def _hdf5_builders(path: Path) -> Builders:
    _refuse_foreign_links(path)
    with hdf5.opened(path) as file:
        if delmic.is_delmic(file):
            return delmic.builders(path)
        if "Experiments" in file:
            return vendor.builders(path, "hspy")
        if nsid.is_nsid(file):
            return nsid.builders(path)
        if nexus.is_nexus(file):
            return nexus.builders(path)
        found = ", ".join(map(repr, list(file)[:5]))
    raise FileReadError(
        path,
        f"an HDF5 file of unknown layout (it begins with the groups {found})",
        hint="Delmic (Odemis), NSID, NeXus and HyperSpy files are known; save others as NetCDF, axes with units",
    )


def _refuse_foreign_links(path: Path) -> None:
    """Refuse HDF5 files that point outside: they could pass any local file off as pixels."""
    with hdf5.opened(path) as file:
        links: list[str] = []
        file.visititems_links(lambda name, link: links.append(name) if _leads_out(file, name, link) else None)
    if links:
        raise FileReadError(path, f"{links[0]!r} lies in another file", hint="only files complete in themselves")


def _leads_out(file: h5py.File, name: str, link: object) -> bool:
    if isinstance(link, h5py.ExternalLink):
        return True
    entry = file.get(name)
    return isinstance(entry, h5py.Dataset) and bool(entry.external or entry.is_virtual)


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


@cache
def _by_extension() -> dict[str, str]:
    from rsciio import IO_PLUGINS

    known = [plugin for plugin in IO_PLUGINS if plugin["name"] in _PLUGINS]
    pairs = {f".{end.lower()}": plugin["api"].split(".")[-1] for plugin in known for end in plugin["file_extensions"]}
    return {**{end: plugin for end, plugin in pairs.items() if end not in _HDF5}, ".img": "jeol"}
