"""NetCDF files read lazily: the datasets that `fusion.save` wrote, and those of other programs as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def groups(path: Path) -> dict[str, xr.Dataset]:
    """Open the groups of a file of another program, each with the coordinates of the groups around it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to Dataset
        By the path of the group; that of the root is "".

    Raises
    ------
    FileReadError
        If it cannot be read, or takes values from other files.
    """
    if (engine := _engine(path)) == "scipy":
        return {"": opened(path)}
    with hdf5.opened(path, arrays=()) as file:
        paths = list(hdf5.groups(file))
    try:
        # one by one: xarray.open_groups names the lazy arrays of two groups alike, and dask computes one for both
        by_path = {
            name: xr.open_dataset(path, group=name, engine=engine, decode_times=False, chunks={}) for name in paths
        }
    except Exception as error:  # backends fail with errors of every class on damaged files
        raise FileReadError(path, f"not a readable NetCDF file ({error})", hint="copy it again") from error
    return {group.strip("/"): _with_outer_coords(by_path, group) for group in by_path}


def _with_outer_coords(by_path: Mapping[Any, xr.Dataset], group: str) -> xr.Dataset:
    """Return a group with the coordinates of those around it, the nearest first, along its own dims."""
    ds = by_path[group]
    while group != "/":
        group = group.rpartition("/")[0] or "/"
        outer = by_path.get(group, xr.Dataset()).coords
        fitting = {key: c for key, c in outer.items() if all(ds.sizes.get(d) == n for d, n in c.sizes.items())}
        ds = ds.assign_coords({key: c.variable for key, c in fitting.items() if key not in ds.variables})
    return ds


def _engine(path: Path) -> str:
    """Return the engine of xarray that reads a file, once it is known to be complete in itself."""
    with path.open("rb") as stream:
        if stream.read(3) == b"CDF":
            return "scipy"
    with hdf5.opened(path):
        return "h5netcdf"
