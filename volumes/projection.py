"""The projection of a volume along one of its axes."""

from __future__ import annotations

import xarray as xr

from fusion.conventions import SPATIAL
from fusion.errors import ConventionError


def project(volume: xr.DataArray, axis: str) -> xr.DataArray:
    """Return the sum of a volume along one of its axes.

    Parameters
    ----------
    volume : DataArray (z, y, x)
        Lazy arrays stay lazy.
    axis : {"z", "y", "x"}

    Returns
    -------
    DataArray
        On the two other axes, in the unit of `volume`; ``cell_methods`` says what was summed.

    Raises
    ------
    ConventionError
        If the volume has no such axis.

    See Also
    --------
    fusion.project : along the beam of another dataset, by its pose.

    Examples
    --------
    >>> import numpy as np
    >>> volume = xr.DataArray(np.ones((2, 3, 4)), dims=("z", "y", "x"), attrs={"cell_methods": "z: y: x: mean"})
    >>> image = project(volume, "y")
    >>> image.dims, float(image[0, 0]), image.attrs["cell_methods"]
    (('z', 'x'), 3.0, 'y: sum z: x: mean')
    """
    if axis not in volume.dims or axis not in SPATIAL:
        raise ConventionError([f"axis: {axis!r} is not a spatial axis of the volume; it has {volume.dims}"])
    summed = volume.sum(axis, keep_attrs=True, skipna=False)
    method = str(volume.attrs.get("cell_methods", "")).rpartition(":")[2].strip()
    kept = " ".join(f"{dim}:" for dim in summed.dims if dim in SPATIAL)
    return summed.assign_attrs(cell_methods=f"{axis}: sum {kept} {method}") if method else summed
