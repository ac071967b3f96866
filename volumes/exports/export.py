"""One dataset written for another program, chosen by the ending of the name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Final

import xarray as xr

from fusion.conventions import check
from fusion.files.aside import refuse_suffix, require_dataset
from volumes.exports.imagej import write_tiff
from volumes.exports.ome_zarr import write_ome_zarr
from volumes.exports.paraview import write_vti, write_vtkhdf

WRITERS: Final[Mapping[str, Callable[[xr.Dataset, Path], None]]] = {
    ".vti": write_vti, ".vtkhdf": write_vtkhdf, ".ome.zarr": write_ome_zarr, ".tif": write_tiff, ".tiff": write_tiff,
}  # fmt: skip
"""What writes a file, by the ending of its name."""


def export(ds: xr.Dataset, path: str | PathLike[str]) -> Path:
    """Write images or volumes for ParaView, for viewers of OME-Zarr, or for ImageJ.

    Parameters
    ----------
    ds : Dataset
        Passes `fusion.check`.
    path : path-like
        ``.vti`` or ``.vtkhdf``: all variables on the grid, where the pose puts them, in um, turned by the direction
        matrix of VTK. ``.ome.zarr``: one image (OME-Zarr 0.4) with its scale and translation in um, at several sizes.
        ``.tif``: one image or volume as ImageJ reads it, with pixel size and unit. For the last two, `ds` holds one
        variable: ``ds[["image"]]``.

    Returns
    -------
    Path

    Raises
    ------
    ConventionError, DataError, FrameError
        If the format cannot hold the dataset; the message says what to do.
    StoreError
        If the ending of the name is not known, or the file cannot be written; an older one is then as it was.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from fusion import Axis, dataset
    >>> ds = dataset({"image": (("y", "x"), np.eye(3, dtype=np.uint8))}, {d: Axis("nm", 5.0) for d in "yx"},
    ...              name="sem", cell_methods="mean")
    >>> export(ds, f"{tempfile.mkdtemp()}/sem.tif").name
    'sem.tif'
    """
    target = Path(path)
    require_dataset(ds)
    refuse_suffix(target, tuple(WRITERS), "; fusion.export and spectra.export know others")
    writer = next(writer for suffix, writer in WRITERS.items() if target.name.endswith(suffix))
    writer(check(ds), target)
    return target
