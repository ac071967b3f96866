"""A plain xarray object read as variables and axes, so that the builder of labelled datasets takes it as it is."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from fusion.axes import Axis
from fusion.conventions import LABELS, SIGNAL, SPATIAL
from fusion.errors import ConventionError
from fusion.frames import POSE
from fusion.units import PIXEL

_COUNTED = ("channel", "component")


class Plain(NamedTuple):
    """What a plain dataset consists of: variables, an axis for each dim, further coordinates, attributes."""

    variables: dict[str, xr.Variable]
    axes: dict[str, Any]
    coords: dict[Hashable, xr.Variable]
    attrs: Mapping[Any, Any]


def taken_apart(data: xr.Dataset | xr.DataArray, described: Collection[str] = ()) -> Plain:
    """Return the variables and axes of a plain dataset, with its dims under the names of the conventions.

    Parameters
    ----------
    data : Dataset or DataArray
        Its coordinates along space or a signal have ``units``. A spatial dim without coordinate is in pixels.
    described : collection of str
        Dims whose axes the caller gives, so that the coordinates need not say anything.

    Returns
    -------
    Plain

    Raises
    ------
    ConventionError
        If a coordinate has no unit, or is not a number.
    """
    ds = data.to_dataset(name=data.name or "values") if isinstance(data, xr.DataArray) else data
    ds = ds.rename({dim: name for dim in ds.dims if (name := _standard_name(str(dim))) != dim})
    measured = [key for key in ds.coords if key in (*SPATIAL, *SIGNAL) and key not in (*_COUNTED, *described)]
    if faults := [fault for key in measured for fault in _coordinate_faults(ds[key])]:
        raise ConventionError(faults)
    axes: dict[str, Any] = {
        str(key): Axis(ds[key].attrs["units"], values=ds[key].values, long_name=str(ds[key].attrs.get("long_name", "")))
        for key in measured
    }
    axes |= {dim: ds[dim].values for dim in (*LABELS, *_COUNTED) if dim in ds.coords}
    axes |= {dim: Axis(PIXEL, 1.0) for dim in SPATIAL if dim in ds.dims and dim not in ds.coords}
    axes |= {dim: np.arange(ds.sizes[dim]) for dim in _COUNTED if dim in ds.dims and dim not in ds.coords}
    further = {key: c.variable for key, c in ds.coords.items() if key not in (*axes, *described, POSE)}
    return Plain({str(key): array.variable for key, array in ds.data_vars.items()}, axes, further, ds.attrs)


def _standard_name(dim: str) -> str:
    """Return the name of the conventions that a dim has but for its case, spaces and hyphens."""
    name = dim.strip().casefold().replace(" ", "_").replace("-", "_")
    return name if name in (*SPATIAL, *SIGNAL, *LABELS) else dim


def _coordinate_faults(coordinate: xr.DataArray) -> Iterator[str]:
    name = coordinate.name
    if coordinate.dtype.kind not in "iuf":
        yield f"{name}: a coordinate is a number in a unit; received {coordinate.dtype}"
    if not coordinate.attrs.get("units"):
        yield f"{name}: no units; set ds[{name!r}].attrs['units'], e.g. 'um', 'nm' or 'eV', or 'px' where unknown"
