"""Spectra as files of HyperSpy."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Final

import xarray as xr

from fusion.conventions import check
from fusion.files.aside import aside, refuse_suffix, require_dataset
from spectra.bridge.signals import to_hyperspy

SUFFIXES: Final = (".hspy",)


def export(ds: xr.Dataset, path: str | PathLike[str]) -> Path:
    """Write a map for HyperSpy, with its axes, units and metadata.

    Parameters
    ----------
    ds : Dataset
        As `spectra.to_hyperspy` takes it: with one spectral variable.
    path : path-like
        Ends in ``.hspy``.

    Returns
    -------
    Path

    Raises
    ------
    ConventionError, DataError
        If the dataset breaks the conventions, or HyperSpy cannot hold it.
    StoreError
        If the ending of the name is not known, or the file cannot be written; an older one is then as it was.

    Examples
    --------
    >>> import numpy as np, tempfile, fusion
    >>> axes = {"x": fusion.Axis("nm", 5.0), "energy": fusion.Axis("eV", 10.0)}
    >>> ds = fusion.dataset({"counts": (("x", "energy"), np.ones((3, 8)))}, axes, name="map", cell_methods="sum")
    >>> export(ds, f"{tempfile.mkdtemp()}/map.hspy").name
    'map.hspy'
    """
    target = Path(path)
    require_dataset(ds)
    refuse_suffix(target, SUFFIXES, "; fusion.export and volumes.export know others")
    signal = to_hyperspy(check(ds))
    with aside(target) as written:
        signal.save(written)
    return target
