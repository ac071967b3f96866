"""NetCDF files read lazily: the datasets that `fusion.save` wrote, and those of other programs as they are."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from fusion.errors import ConspectusError, ConventionError, FileReadError
from fusion.files import hdf5
from fusion.files.store import load, wrote


def saved(path: Path) -> dict[str, xr.Dataset]:
    """Return the datasets that `fusion.save` wrote, by the name of their node; a single one has the name "".

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to Dataset
        Empty if another program wrote the file.

    Raises
    ------
    FileReadError
        If it is damaged, or what it holds breaks the conventions.
    """
    if not wrote(path):
        return {}
    try:
        project: xr.Dataset | xr.DataTree = load(path, chunks={})
    except ConventionError as error:
        raise FileReadError(path, str(error), hint="write it with fusion.save") from error
    if isinstance(project, xr.Dataset):
        return {"": project}
    return {node.path.strip("/"): node.to_dataset() for node in project.subtree if node.has_data}


def opened(path: Path) -> xr.Dataset:
    """Open a file of another program: version 4 by h5netcdf, as netCDF-C dies on a damaged one, version 3 by scipy.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If it cannot be read, or takes values from other files.
    """
    try:
        return xr.open_dataset(path, engine=_engine(path), decode_times=False, chunks={})
    except ConspectusError:
        raise
    except Exception as error:  # backends fail with errors of every class on damaged files
        raise FileReadError(path, f"not a readable NetCDF file ({error})", hint="copy it again") from error


def _engine(path: Path) -> str:
    """Return the engine of xarray that reads a file, once it is known to be complete in itself."""
    with path.open("rb") as stream:
        if stream.read(3) == b"CDF":
            return "scipy"
    with hdf5.opened(path):
        return "h5netcdf"
