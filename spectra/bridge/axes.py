"""Axes on the way to HyperSpy and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import units
from fusion.model import Axis
from spectra.axes import as_axis, dim_name

NODE: Final = "conspectus"
"""Where in its metadata a signal keeps the labels that HyperSpy cannot hold."""

Array = npt.NDArray[Any]


def axes_of(signal: Any) -> list[Any]:
    """Return the axes in the order of the array."""
    return sorted(signal.axes_manager._axes, key=lambda axis: int(axis.index_in_array))


def dims_of(signal: Any) -> list[str]:
    """Return the dims that the axes of a signal stand for, in the order of the array."""
    kept = json.loads(signal.metadata.get_item(NODE, "{}")).get("names", {})
    kind = str(signal.metadata.get_item("Signal.signal_type", ""))
    named = [(axis, kept.get(str(axis.name))) for axis in axes_of(signal)]
    return [dim or dim_name(axis.name, axis.units, kind) for axis, dim in named]


def record(axis: Any) -> dict[str, Any]:
    """Return an axis as text can hold it; one computed from an expression is its values."""
    record: dict[str, Any] = axis.get_axis_dictionary()
    plain = {key: record[key] for key in ("name", "units", "navigate", "is_binned")}
    if record["_type"] == "UniformDataAxis":
        return {**plain, "size": axis.size, "scale": float(axis.scale), "offset": float(axis.offset)}
    return {**plain, "size": axis.size, "axis": axis.axis.tolist()}


def axis_out(array: xr.DataArray, dim: str, original: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an axis for HyperSpy: its own original if the coordinate still agrees with it, else in standard units."""
    size = array.sizes[dim]
    values = array[dim].values if dim in array.coords else np.arange(size)
    unit = str(array[dim].attrs.get("units", "")) if dim in array.coords else ""
    if original and _untouched(dim, original, values, unit):
        return {**original, "name": original["name"] or dim}
    plain = {"is_binned": original["is_binned"]} if original else {}
    axis = {**plain, "name": (original or {}).get("name") or dim, "size": size, "units": unit}
    if values.dtype.kind not in "iuf":
        return {**axis, "scale": 1.0, "offset": 0.0}
    step = float(values[-1] - values[0]) / (size - 1) if size > 1 else 1.0
    uniform = {**axis, "scale": step, "offset": float(values[0])}
    drift = np.abs(positions(uniform) - values).max()
    return uniform if drift <= 1e-9 * abs(step) else {**axis, "axis": values.astype(np.float64).tolist()}


def _untouched(dim: str, original: Mapping[str, Any], values: Array, unit: str) -> bool:
    axis = as_axis(dim, original)
    known = isinstance(axis, Axis) and unit != units.PIXEL and original["size"] == values.size
    return known and bool(np.array_equal(axis.centres(values.size, unit), values))  # type: ignore[union-attr]


def positions(axis: Mapping[str, Any]) -> Array:
    """Return the positions of an axis in its own unit."""
    if "axis" in axis:
        return np.asarray(axis["axis"], dtype=np.float64)
    return float(axis["offset"]) + float(axis["scale"]) * np.arange(int(axis["size"]), dtype=np.float64)


def coordinate(dim: str, axis: Any, stored: Mapping[str, Any]) -> xr.Variable:
    """Return the stored coordinate if the axis is unchanged, else the axis as it is now."""
    now, original = record(axis), stored["axis"]
    same = now["units"] == original["units"] and np.array_equal(positions(now), positions(original))
    if same and stored["data"] is not None:
        return xr.Variable((dim,), stored["data"], stored["attrs"])
    return xr.Variable((dim,), converted(now, stored), stored["attrs"])


def converted(axis: Mapping[str, Any], stored: Mapping[str, Any]) -> Array:
    """Return the positions of an axis in the unit of its coordinate."""
    unit, own = stored["attrs"].get("units", "1"), str(axis["units"] or "")
    factor = 1.0 if units.parse(own) in (unit, "1") else units.convert_factor(own, unit)
    return positions(axis) * factor
