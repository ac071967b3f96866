"""Files of VTK and ParaView: an image with origin, spacing and direction matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from fusion.errors import DataError
from fusion.files.aside import aside
from volumes.drawing.mesh import to_pyvista

_VERSION: Final = (1, 0)
"""Of the file format VTKHDF, since which it holds images (https://docs.vtk.org/en/latest/vtk_file_formats/)."""


def write_vti(ds: xr.Dataset, target: Path) -> None:
    """Write an XML file of VTK."""
    grid = _image(ds)
    with aside(target) as path:
        grid.save(path)


def write_vtkhdf(ds: xr.Dataset, target: Path) -> None:
    """Write an HDF5 file of VTK, which is read in parts."""
    import h5py

    grid = _image(ds)
    with aside(target) as path, h5py.File(path, "w") as file:
        root = file.create_group("VTKHDF")
        ends = [(0, size - 1) for size in grid.dimensions]
        root.attrs.create("Version", _VERSION, dtype=np.int64)
        root.attrs.create("Type", np.bytes_("ImageData"))
        root.attrs.create("WholeExtent", np.ravel(ends), dtype=np.int64)
        root.attrs.create("Origin", grid.origin, dtype=np.float64)
        root.attrs.create("Spacing", grid.spacing, dtype=np.float64)
        root.attrs.create("Direction", np.ravel(grid.direction_matrix), dtype=np.float64)
        points = root.create_group("PointData")
        for name in grid.point_data.keys():  # noqa: SIM118 (no mapping)
            values = np.asarray(grid.point_data[name])
            # the reader of VTK expects no axis of a single point
            shape = (*(size for size in grid.dimensions[::-1] if size > 1), *values.shape[1:])
            points.create_dataset(name, data=values.reshape(shape), compression="gzip", compression_opts=1)


def _image(ds: xr.Dataset) -> Any:
    import pyvista as pv

    grid = to_pyvista(ds)
    if not isinstance(grid, pv.ImageData):
        raise DataError("an axis is not uniform, and an image of VTK is; resample it, or export to .nc")
    return grid
