"""Spectral files: what is in them, and one item of them as a labelled dataset."""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Final

import xarray as xr

from fusion import provenance
from fusion.errors import FileReadError, TruncatedFileWarning
from fusion.files.netcdf import saved
from fusion.isolation import sandbox
from fusion.reading.contents import Content, listed
from fusion.reading.frame_of_file import from_file
from fusion.reading.opening import damage_reported, grouped
from fusion.reading.paths import existing
from spectra.readers import formats, items, nexus

_SLOW: Final = (
    "dask.array", "h5netcdf.legacyapi", "rsciio.bruker", "rsciio.digitalmicrograph", "rsciio.emd", "rsciio.hspy",
    "rsciio.renishaw", "sparse",
)  # fmt: skip


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
        An item that `contents` lists: a map, or an image taken with it. Left out, the one that a NeXus file names as
        its default, or the one spectral item, or the one map among several; the attribute ``other_items`` then lists
        what else the file holds.

    Returns
    -------
    Dataset
        ``counts`` (X-ray counts, dims z, y, x, energy in keV), ``intensity`` (other spectra, on their own signal
        axis), ``current`` (voltammograms, dims y, x, potential in V) or ``image``; lazy where the format allows.
        Coordinates are pixel centres in um; the pose leads to the frame "stage" where the file states its position on
        one (`fusion.reading.stage`). Attributes: ``technique``, and where the file says so ``instrument``,
        ``beam_energy`` (keV) and ``elements``;
        ``original_metadata`` is everything the file says, as JSON text.

    Warns
    -----
    TruncatedFileWarning
        If the measurement was stopped; the attribute ``truncated`` says how much of the plan there is.

    Raises
    ------
    FileReadError
        If the file is missing, empty, damaged, of an unknown format, does not say what an axis is, or has several
        maps and no `name` is given.

    Examples
    --------
    >>> open("/missing.bcf")
    Traceback (most recent call last):
        ...
    fusion.errors.FileReadError: /missing.bcf: there is no such file; check the path
    """
    source = _existing(path)
    return sandbox.run(_opened, source, name, file=source, prepare=_prepare)


def contents(path: str | PathLike[str]) -> list[Content]:
    """List what a spectral file contains, without reading the values.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of Content
        Name, technique, dims, shape, dtype and units of each item; an item that cannot be opened says why.

    Raises
    ------
    FileReadError
        If the file is missing, empty, damaged or of an unknown format.
    """
    source = _existing(path)
    return listed(sandbox.run(_described, source, file=source, prepare=_prepare))


@cache
def _prepare() -> None:
    """Import what most files need, once for all readers."""
    for module in _SLOW:
        importlib.import_module(module)
    provenance.prepare()


def _opened(path: Path, name: str | None) -> xr.Dataset:
    """Open an item in the process that `sandbox` started for its file."""
    available = _items(path)
    if name is not None and name not in available:
        raise FileReadError(path, f"there is no item {name!r}", hint=f"it contains {items.listed(available)}")
    chosen = name or _default(path) or items.choose(path, available)
    ds = items.labelled(path, chosen, available[chosen])
    if "truncated" in ds.attrs and not isinstance(available[chosen], xr.Dataset):
        message = f"{path}: the measurement was stopped, or the file cut short: {ds.attrs['truncated']}"
        warnings.warn(TruncatedFileWarning(message), stacklevel=2)
    others = [other for other in available if other != chosen]
    if name is None and others:
        ds = ds.assign_attrs(other_items=others)
    return from_file(ds, "spectra.open", {"name": name or ds.attrs["title"]}, path)


def _described(path: Path) -> list[Content]:
    return items.describe(path, _items(path))


def _items(path: Path) -> dict[str, items.Item]:
    """Return the datasets of a file that `fusion.save` wrote, else the arrays of a file, by name."""
    with damage_reported(path):
        datasets = saved(path) if path.suffix.lower() in formats.NETCDF else {}
        if datasets:
            return {name or str(ds.attrs.get("title", path.stem)): ds for name, ds in datasets.items()}
        return {**grouped(formats.arrays(path))}


def _default(path: Path) -> str | None:
    return nexus.default(path) if path.suffix.lower() in formats.HDF5 else None


def _existing(path: str | PathLike[str]) -> Path:
    source = existing(path)
    if source.is_dir():
        hint = "name the file inside it, or open a folder of slices with volumes.open"
        raise FileReadError(source, "this is a folder", hint=hint)
    if source.stat().st_size == 0:
        raise FileReadError(source, "the file is empty", hint="copy it again")
    return source
