"""The spectra that lines are looked for in: the total of a map, or its endmembers."""

from __future__ import annotations

import xarray as xr

from fusion.conventions import spatial_dims
from fusion.errors import DataError
from fusion.variables import real_variable


def spectra_of(ds: xr.Dataset) -> xr.DataArray:
    """Return the endmembers of a decomposition or the total spectrum of a map, the signal axis last.

    Raises
    ------
    DataError
        If the axis is neither energy nor Raman shift.
    """
    array = ds["endmember"] if "endmember" in ds else real_variable(ds)
    if not {"energy", "raman_shift"} & set(array.dims):
        raise DataError(
            f"X-ray lines need an energy axis in keV, Raman bands one of raman_shift in 1/cm; "
            f"{array.name} has the dims {array.dims}"
        )
    return array if array.name == "endmember" else array.sum(spatial_dims(array))
