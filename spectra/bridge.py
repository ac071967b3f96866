"""The bridge to HyperSpy and back, without loss."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance, units
from fusion.conventions import SPATIAL, spatial_dims
from spectra.metadata import as_json, lookup
from spectra.quiet import quiet
from spectra.variables import main_variable
from spectra.vendor import labelled

_NODE: Final = "conspectus"
_TEM_KEV: Final = 60.0

Array = npt.NDArray[Any]


def to_hyperspy(ds: xr.Dataset, *, variable: str | None = None) -> Any:
    """Return a variable as a HyperSpy signal of the class that fits its technique.

    Parameters
    ----------
    ds : Dataset
        Any labelled dataset.
    variable : str, optional
        Which variable; left out, the one with a signal axis, or the only one.

    Returns
    -------
    BaseSignal
        EDSTEMSpectrum, EDSSEMSpectrum, EELSSpectrum (eXspy), else Signal1D for spectra and Signal2D for images; lazy
        if the variable is. The array is shared and keeps its order (z, y, x, signal), while HyperSpy *lists*
        navigation axes as x, y, z. Axes that are not uniform become a DataAxis. Labels that HyperSpy has no place
        for (pose, attributes) are kept in ``metadata.conspectus`` for the way back; other variables are left out.

    Raises
    ------
    ConventionError
        If the dataset breaks the conventions or it is not clear which variable is meant.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset(
    ...     {"counts": (("y", "x", "energy"), np.ones((2, 3, 4)))},
    ...     {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.01)},
    ...     name="map", cell_methods="sum", attrs={"signal_type": "EDS_SEM"})
    >>> to_hyperspy(ds)
    <EDSSEMSpectrum, title: map, dimensions: (3, 2|4)>
    """
    array = _variable(fusion.check(ds), variable)
    register_exspy()
    from hyperspy.signals import BaseSignal

    signal_dims = _signal_dims(array)
    signal = BaseSignal(
        array.variable.data,
        axes=[{**_axis_out(array, dim), "navigate": dim not in signal_dims} for dim in map(str, array.dims)],
        metadata=_metadata(ds, array),
        original_metadata=json.loads(ds.attrs.get("original_metadata", "{}")),
    )
    signal = signal.as_lazy() if array.chunks is not None else signal
    with quiet("hyperspy"):
        signal.set_signal_type(_signal_type(ds, array))
    return signal


def from_hyperspy(signal: Any, *, name: str | None = None) -> xr.Dataset:
    """Return a HyperSpy signal as a labelled dataset.

    Parameters
    ----------
    signal : BaseSignal
        Its axes have names or units that say what they are. A lazy signal stays lazy.
    name : str, optional
        Becomes the title; left out, the title of the signal.

    Returns
    -------
    Dataset
        What `to_hyperspy` was given, with the values, axes and title of the signal as they are now; or, for a signal
        from elsewhere, a dataset like those of `spectra.open`.

    Raises
    ------
    UnitError
        If an axis has a name and a unit that say nothing.
    ConventionError
        If the whole cannot be labelled.

    Examples
    --------
    >>> from hyperspy.signals import Signal1D
    >>> axes = [{"name": "x", "size": 2, "units": "nm"}, {"name": "Wavelength", "size": 3, "units": "nm"}]
    >>> from_hyperspy(Signal1D(np.ones((2, 3)), axes=axes), name="line")["intensity"].dims
    ('x', 'wavelength')
    """
    axes = sorted(signal.axes_manager._axes, key=lambda axis: int(axis.index_in_array))
    metadata = signal.metadata.as_dictionary()
    title = str(name or lookup(metadata, "General", "title") or "signal")
    kept = json.loads(lookup(metadata, _NODE) or "{}")
    if kept and all(axis.name in kept["coords"] for axis in axes):
        ds = _restored(signal, axes, kept, title)
    else:
        raw = {
            "data": signal.data,
            "axes": [axis.get_axis_dictionary() for axis in axes],
            "metadata": metadata,
            "original_metadata": signal.original_metadata.as_dictionary(),
        }
        ds = labelled(raw, title, frame=title)
    return provenance.record(ds, "spectra.from_hyperspy", {"name": title})


def _variable(ds: xr.Dataset, name: str | None) -> xr.DataArray:
    if name is None and len(ds.data_vars) == 1:
        return next(iter(ds.data_vars.values()))
    return main_variable(ds, name)


def register_exspy() -> None:
    """Let eXspy register its signal classes; HyperSpy's complaint about how it imports them is not the user's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Importing `Lazy")
        import exspy.signals  # noqa: F401


def _signal_dims(array: xr.DataArray) -> tuple[str, ...]:
    """Return the dims of the signal space: the signal axes, or the last two spatial ones of an image."""
    spectral = tuple(str(dim) for dim in array.dims if dim not in SPATIAL)
    colours = spectral == ("channel",) and array["channel"].dtype.kind in "US"
    return spectral if spectral and not colours else spatial_dims(array)[-2:]


def _signal_type(ds: xr.Dataset, array: xr.DataArray) -> str:
    if "signal_type" in ds.attrs:
        return str(ds.attrs["signal_type"])
    if "energy" in array.dims:
        return "EDS_TEM" if ds.attrs.get("beam_energy", 0.0) >= _TEM_KEV else "EDS_SEM"
    return "EELS" if "energy_loss" in array.dims else ""


def _axis_out(array: xr.DataArray, dim: str) -> dict[str, Any]:
    size = array.sizes[dim]
    values = array[dim].values if dim in array.coords else np.arange(size)
    axis = {"name": dim, "size": size, "units": str(array[dim].attrs.get("units", ""))}
    if values.dtype.kind not in "iuf":
        return {**axis, "scale": 1.0, "offset": 0.0}
    step = float(values[-1] - values[0]) / (size - 1) if size > 1 else 1.0
    uniform = {**axis, "scale": step, "offset": float(values[0])}
    drift = np.abs(_positions(uniform) - values).max()
    return uniform if drift <= 1e-9 * abs(step) else {**axis, "axis": values.astype(np.float64)}


def _positions(axis: Mapping[str, Any]) -> Array:
    if "axis" in axis:
        return np.asarray(axis["axis"], dtype=np.float64)
    return float(axis["offset"]) + float(axis["scale"]) * np.arange(int(axis["size"]), dtype=np.float64)


def _metadata(ds: xr.Dataset, array: xr.DataArray) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(ds.attrs.get("metadata", "{}"))
    tree.setdefault("General", {})["title"] = str(ds.attrs.get("title", ""))
    if "beam_energy" in ds.attrs:
        microscope = "TEM" if ds.attrs["beam_energy"] >= _TEM_KEV else "SEM"
        found = tree.setdefault("Acquisition_instrument", {}).setdefault(microscope, {})
        found.setdefault("beam_energy", ds.attrs["beam_energy"])
    return {**tree, _NODE: json.dumps(_labels(ds, array), ensure_ascii=False)}


def _labels(ds: xr.Dataset, array: xr.DataArray) -> dict[str, Any]:
    """Return name, attributes and coordinates; of a coordinate that its HyperSpy axis gives back, only attributes."""
    attrs = {key: value for key, value in ds.attrs.items() if key != "original_metadata"}
    labels: dict[str, Any] = array.coords.to_dataset().assign_attrs(attrs).to_dict()
    for dim in map(str, array.dims):
        stored = labels["coords"].setdefault(dim, {"dims": [dim], "attrs": {}, "data": None})
        axis = _axis_out(array, dim)
        if dim not in array.coords or np.array_equal(_positions(axis), array[dim].values):
            stored["data"] = None
        stored["given"] = [axis.get("scale"), axis.get("offset"), axis["size"]]
    variable = array.variable.to_dict(data=False)["attrs"]
    variable.pop("ancillary_variables", None)
    return {**labels, "name": str(array.name), "variable": variable}


def _restored(signal: Any, axes: list[Any], kept: dict[str, Any], title: str) -> xr.Dataset:
    dims = [str(axis.name) for axis in axes]
    coords = {
        key: stored for key, stored in kept["coords"].items() if key not in dims and set(stored["dims"]) <= set(dims)
    }
    shell = xr.Dataset.from_dict({"coords": coords, "attrs": kept["attrs"], "dims": {}, "data_vars": {}})
    shell = shell.assign_coords({axis.name: _coordinate(axis, kept["coords"][axis.name]) for axis in axes})
    array = xr.Variable(dims, signal.data, kept["variable"])
    ds = shell.assign({kept["name"]: array}).assign_attrs(title=title)
    original = signal.original_metadata.as_dictionary()
    ds = ds.assign_attrs(original_metadata=as_json(original)) if original else ds
    placed = fusion.set_pose(ds, *fusion.get_pose(ds))
    return fusion.check(placed.transpose(*spatial_dims(placed[kept["name"]]), ...))


def _coordinate(axis: Any, stored: Mapping[str, Any]) -> xr.Variable:
    """Return the stored coordinate if the axis is as it was given out, else the axis as it is now."""
    found = axis.get_axis_dictionary()
    same = [found.get("scale"), found.get("offset"), axis.size] == stored["given"]
    if stored["data"] is not None and same:
        return xr.Variable((axis.name,), stored["data"], stored["attrs"])
    unit = stored["attrs"].get("units", "1")
    factor = 1.0 if units.parse(str(axis.units or "")) in (unit, "1") else units.convert_factor(axis.units, unit)
    return xr.Variable((axis.name,), _positions({**found, "size": axis.size}) * factor, stored["attrs"])
