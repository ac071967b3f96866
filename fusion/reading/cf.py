"""What a NetCDF file says of its axes beside the names of its dims (CF conventions, sections 3.3 and 4)."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Final

import xarray as xr

from fusion.conventions import SPATIAL

_STANDARD_NAMES: Final[Mapping[str, str]] = {
    "projection_x_coordinate": "x", "projection_y_coordinate": "y", "depth": "z", "height": "z", "altitude": "z",
    "radiation_wavelength": "wavelength", "time": "time",
}  # fmt: skip
_LONG_NAME: Final = re.compile(r"([xyz])(?:[ _-]?(?:axis|coordinate|distance|position))?", re.IGNORECASE)


def dim_of(ds: xr.Dataset, dim: Hashable) -> str:
    """Return the dim of the conventions that the coordinate along a dim of a file names; empty where it names none.

    The attributes ``axis``, ``standard_name`` and ``long_name`` count, in this order, then the name of a coordinate
    that is called otherwise than its dim.

    Examples
    --------
    >>> row = ("row", [0.0, 0.5], {"units": "um", "standard_name": "projection_y_coordinate"})
    >>> ds = xr.Dataset(coords={"row": row, "x": ("column", [0.0, 1.0])})
    >>> dim_of(ds, "row"), dim_of(ds, "column")
    ('y', 'x')
    """
    along = [coordinate for coordinate in ds.coords.values() if coordinate.dims == (dim,)]
    own = [coordinate for coordinate in along if coordinate.name == dim]
    coordinates = own or along
    if len(coordinates) != 1:
        return ""
    (coordinate,) = coordinates
    axis, standard, long = (
        str(coordinate.attrs.get(key, "")).strip() for key in ("axis", "standard_name", "long_name")
    )
    described = _LONG_NAME.fullmatch(long)
    names = (axis.lower(), _STANDARD_NAMES.get(standard, ""), described[1].lower() if described else "")
    stated = next((name for name in names if name in SPATIAL or name in _STANDARD_NAMES.values()), "")
    return stated or (str(coordinate.name) if coordinate.name in SPATIAL and not own else "")


def renamed(ds: xr.Dataset, names: Mapping[Hashable, str]) -> xr.Dataset:
    """Return a dataset with other names of its dims, where no two have the same and none is taken by another variable.

    Examples
    --------
    >>> ds = xr.Dataset({"image": (("row", "column"), [[1.0]])}, {"x": ("column", [0.5])})
    >>> renamed(ds, {"row": "y", "column": "x"})["image"].dims
    ('y', 'x')
    """
    unique = {dim: name for dim, name in names.items() if name != dim and list(names.values()).count(name) == 1}
    swapped = {dim: name for dim, name in unique.items() if name in ds.coords and ds[name].dims == (dim,)}
    free = {dim: name for dim, name in unique.items() if name not in {*ds.dims, *ds.variables}}
    return ds.swap_dims(swapped).rename(free)
