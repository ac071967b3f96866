"""The bridge to HyperSpy and back, without loss."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import SPATIAL, error_of, spatial_dims, with_links
from fusion.errors import DataError
from fusion.frames import with_pose
from fusion.model import with_error
from fusion.reading.metadata import SIGNAL_MARK, as_json
from fusion.variables import main_variable
from spectra.attributes import flat_attrs, lookup
from spectra.bridge import learning
from spectra.bridge.axes import NODE, axes_of, axis_out, converted, coordinate, dims_of, record
from spectra.quiet import quiet, register_exspy
from spectra.readers.rosettasciio.adapter import labelled

_ORIGINAL: Final = "hyperspy"
"""Attribute of a dataset that came from HyperSpy: its axes as they were."""
_TEM_KEV: Final = 60.0
_OWN_KEYS: Final = (NODE, "_HyperSpy", "Markers")


def to_hyperspy(ds: xr.Dataset, *, variable: str | None = None, decomposition: xr.Dataset | None = None) -> Any:
    """Return a variable as a HyperSpy signal of the class that fits its technique.

    Parameters
    ----------
    ds : Dataset
        Any labelled dataset. Of one that `spectra.decompose` returned, and no `variable`: the model of the map
        (abundance · endmember, lazy) with its learning results.
    variable : str, optional
        Which variable; left out, the one with a signal axis, or the only one.
    decomposition : Dataset, optional
        What `spectra.decompose` made of this map; it fills ``learning_results``.

    Returns
    -------
    BaseSignal
        Of the class that HyperSpy gives to its signal type, dtype and signal dimension: EDSTEMSpectrum, EDSSEMSpectrum,
        EELSSpectrum, DielectricFunction (eXspy), else Signal1D for spectra and Signal2D for images; lazy if the
        variable is. The array is shared and keeps its order (z, y, x, signal), while HyperSpy *lists* navigation axes
        as x, y, z; one that came transposed goes back transposed. Axes that are not uniform become a DataAxis; one that
        came from HyperSpy and was not touched goes back with its own name, unit, scale and offset. A standard error
        becomes the noise variance in ``metadata.Signal.Noise_properties``. Labels that HyperSpy cannot hold (pose,
        attributes) are kept in ``metadata.conspectus`` for the way back; other variables are left out. In the learning
        results ``explained_variance`` and its ratio are both the share of the total that `spectra.decompose` gives.

    Raises
    ------
    ConventionError
        If the dataset breaks the conventions or it is not clear which variable is meant.
    DataError
        If the decomposition is none, or is not of this map.

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
    if variable is None and decomposition is None and learning.is_decomposition(ds):
        ds, decomposition = learning.model(fusion.check(ds)), ds
    array = _variable(fusion.check(ds), variable)
    signal = _signal(ds, array)
    error = error_of(array)
    if error is not None:
        signal.metadata.set_item("Signal.Noise_properties.variance", _signal(ds, ds[error]) ** 2)
    if decomposition is not None:
        learning.attach(signal, array, fusion.check(decomposition))
    return signal


def from_hyperspy(signal: Any, *, name: str | None = None) -> xr.Dataset:
    """Return a HyperSpy signal as a labelled dataset.

    Parameters
    ----------
    signal : BaseSignal
        Its axes have names or units that say what they are. A lazy signal stays lazy; an axis that HyperSpy computes
        from an expression becomes its values.
    name : str, optional
        Becomes the title; left out, the title of the signal.

    Returns
    -------
    Dataset
        The dataset that `to_hyperspy` took, with the values, axes, metadata and title of the signal as they are now;
        or, for any other signal, a dataset like those of `spectra.open`. An axis that descends is reversed, data and
        all; a scale without a unit becomes ``px``; an RGB image becomes three channels. A noise variance that is a
        signal becomes the standard error. Both metadata trees are kept as JSON: arrays and tuples become lists. Stored
        models, markers and other signals within the metadata are left out, which the provenance notes;
        `learning_results` gives a decomposition.

    Raises
    ------
    UnitError
        If an axis has a name and a unit that say nothing.
    ConventionError
        If the signal cannot be labelled.
    DataError
        If the signal is ragged: its pixels have no common axis.

    Examples
    --------
    >>> from hyperspy.signals import Signal1D
    >>> axes = [{"name": "x", "size": 2, "units": "nm"}, {"name": "Wavelength", "size": 3, "units": "nm"}]
    >>> from_hyperspy(Signal1D(np.ones((2, 3)), axes=axes), name="line")["intensity"].dims
    ('x', 'wavelength')
    """
    if signal.ragged:
        raise DataError(
            f"a ragged signal ({signal!r}) has pixels of different lengths and no common axis; "
            "bring them to one length in HyperSpy first"
        )
    title = str(name or lookup(signal.metadata.as_dictionary(), "General", "title") or "signal")
    ds = _dataset(signal, signal.data, title)
    variance = signal.metadata.get_item("Signal.Noise_properties.variance")
    if getattr(variance, "data", None) is not None and variance.data.shape == signal.data.shape:
        ds = _with_error(ds, _dataset(signal, np.sqrt(variance.data), title))
    tree = signal.metadata.as_dictionary()
    left_out = [f"model {key}" for key in _models(signal)] + _signals_within(tree) + ["markers"] * ("Markers" in tree)
    noted = {"left_out": left_out} if left_out else {}
    return provenance.record(ds, "spectra.from_hyperspy", {"name": title, **noted})


def learning_results(signal: Any, *, unmixed: bool = False) -> xr.Dataset:
    """Return the decomposition that a HyperSpy signal carries.

    Parameters
    ----------
    signal : BaseSignal
        After ``signal.decomposition(...)``.
    unmixed : bool
        Whether the components of the blind source separation are meant instead.

    Returns
    -------
    Dataset
        ``abundance(z, y, x, component)`` in the units of the signal and ``endmember(component, signal)``, as
        `spectra.decompose` returns them; ``explained_variance(component)``, the ratio, where HyperSpy gives it.
        Factors of its NMF are scaled to unit sum, others are as they are. Masked pixels and channels are NaN.

    Raises
    ------
    DataError
        If there are no such results, or the data were centred, so that abundance · endmember is not their model.

    Examples
    --------
    >>> from hyperspy.signals import Signal1D
    >>> axes = [{"name": "x", "size": 3, "units": "nm"}, {"name": "Wavelength", "size": 4, "units": "nm"}]
    >>> signal = Signal1D(np.outer([1.0, 2.0, 3.0], [1.0, 0.0, 2.0, 1.0]) + np.eye(3, 4), axes=axes)
    >>> signal.decomposition(output_dimension=2, print_info=False)
    >>> dict(learning_results(signal).sizes)
    {'x': 3, 'wavelength': 4, 'component': 2}
    """
    ds = from_hyperspy(signal)
    axes = [(dim, axis) for dim, axis in zip(dims_of(signal), axes_of(signal), strict=True)]
    results = learning.results_of(signal, ds, axes, unmixed=unmixed)
    return provenance.record(results, "spectra.learning_results", {"unmixed": unmixed})


def _signal(ds: xr.Dataset, array: xr.DataArray) -> Any:
    register_exspy()
    from hyperspy.signals import BaseSignal

    axes = json.loads(ds.attrs.get(_ORIGINAL, "{}"))
    signal_dims = _signal_dims(array, axes)
    array = array.transpose(..., *signal_dims)  # HyperSpy takes the navigation axes for the first of the array
    signal = BaseSignal(
        array.variable.data,
        axes=[
            {**axis_out(array, dim, axes.get(dim)), "navigate": dim not in signal_dims} for dim in map(str, array.dims)
        ],
        metadata=_tree(ds.attrs),
        original_metadata=json.loads(ds.attrs.get("original_metadata", "{}")),
    )
    signal = signal.as_lazy() if array.chunks is not None else signal
    with quiet("hyperspy"):
        signal.set_signal_type(_signal_type(ds, array))
    # eXspy passes elements through a set, whose order differs from run to run
    if elements := lookup(_tree(ds.attrs), "Sample", "elements"):
        signal.metadata.Sample.elements = list(elements)
    # the class adds entries of its own to the tree: what it is now tells later what the user changed
    labels = {**_labels(ds, array, axes), "tree": _now(signal)}
    signal.metadata.set_item(NODE, json.dumps(labels, ensure_ascii=False))
    return signal


def _dataset(signal: Any, data: Any, title: str) -> xr.Dataset:
    kept = json.loads(signal.metadata.get_item(NODE, "{}"))
    if kept and all(str(axis.name) in kept["names"] for axis in axes_of(signal)):
        return _restored(signal, data, kept, title)
    tree, original = _now(signal), signal.original_metadata.as_dictionary()
    records = [record(axis) for axis in axes_of(signal)]
    raw = {"data": data, "axes": records, "metadata": tree, "original_metadata": original}
    ds = labelled(raw, title)
    texts = {"metadata": as_json(tree, longest=None), "original_metadata": as_json(original, longest=None)}
    axes = json.dumps(dict(zip(dims_of(signal), records, strict=True)))
    return ds.assign_attrs({key: text for key, text in texts.items() if text != "{}"}).assign_attrs({_ORIGINAL: axes})


def _with_error(ds: xr.Dataset, error: xr.Dataset) -> xr.Dataset:
    array, values = _variable(ds, None), _variable(error, None)
    return fusion.check(with_error(ds, str(array.name), array.copy(data=values.data)))


def _models(signal: Any) -> list[str]:
    return [str(key) for key in signal.models._models.as_dictionary()]


def _signals_within(tree: Any, path: str = "") -> list[str]:
    """Return where a metadata tree holds signals, the noise variance apart."""
    if not isinstance(tree, Mapping):
        return []
    paths = []
    for key, entry in tree.items():
        here = f"{path}.{key}".lstrip(".")
        paths += [here] if str(key).startswith(SIGNAL_MARK) else _signals_within(entry, here)
    return [here for here in paths if here != f"Signal.Noise_properties.{SIGNAL_MARK}variance"]


def _now(signal: Any) -> dict[str, Any]:
    """Return the metadata tree of a signal without the labels, and without what belongs to HyperSpy's own files."""
    tree: dict[str, Any] = json.loads(as_json(signal.metadata.as_dictionary(), longest=None))
    tree.get("General", {}).pop("FileIO", None)
    return {key: entry for key, entry in tree.items() if key not in _OWN_KEYS}


def _variable(ds: xr.Dataset, name: str | None) -> xr.DataArray:
    if name is None and len(ds.data_vars) == 1:
        return next(iter(ds.data_vars.values()))
    return main_variable(ds, name)


def _signal_dims(array: xr.DataArray, original: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the dims of the signal space: as HyperSpy had them, else signal axes, or the last two of an image."""
    spectral = tuple(str(dim) for dim in array.dims if dim not in SPATIAL)
    colours = spectral == ("channel",) and array["channel"].dtype.kind in "US"
    usual = spectral if spectral and not colours else spatial_dims(array)[-2:]
    kept = {dim: not axis["navigate"] for dim, axis in original.items()}
    return tuple(dim for dim in map(str, array.dims) if kept.get(dim, dim in usual))


def _signal_type(ds: xr.Dataset, array: xr.DataArray) -> str:
    if "signal_type" in ds.attrs:
        return str(ds.attrs["signal_type"])
    if _ORIGINAL in ds.attrs or array.dtype.kind == "c":
        return ""
    if "energy" in array.dims:
        return "EDS_TEM" if ds.attrs.get("beam_energy", 0.0) >= _TEM_KEV else "EDS_SEM"
    return "EELS" if "energy_loss" in array.dims else ""


def _tree(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return HyperSpy's metadata tree of a dataset."""
    tree: dict[str, Any] = json.loads(attrs.get("metadata", "{}"))
    tree.setdefault("General", {})["title"] = str(attrs.get("title", ""))
    if "beam_energy" in attrs:
        microscope = "TEM" if attrs["beam_energy"] >= _TEM_KEV else "SEM"
        column = tree.setdefault("Acquisition_instrument", {}).setdefault(microscope, {})
        column.setdefault("beam_energy", attrs["beam_energy"])
    return tree


def _labels(ds: xr.Dataset, array: xr.DataArray, original: Mapping[str, Any]) -> dict[str, Any]:
    """Return name, attributes and coordinates; of a coordinate that its HyperSpy axis gives back, only attributes."""
    attrs = {key: value for key, value in ds.attrs.items() if key != "original_metadata"}
    labels: dict[str, Any] = array.coords.to_dataset().assign_attrs(attrs).to_dict()
    names = {}
    for dim in map(str, array.dims):
        stored = labels["coords"].setdefault(dim, {"dims": [dim], "attrs": {}, "data": None})
        axis = axis_out(array, dim, original.get(dim))
        if dim not in array.coords or np.array_equal(converted(axis, stored), array[dim].values):
            stored["data"] = None
        stored["axis"], names[axis["name"]] = axis, dim
    variable = with_links(array, []).variable.to_dict(data=False)["attrs"]
    return {**labels, "name": str(array.name), "variable": variable, "names": names}


def _restored(signal: Any, data: Any, kept: dict[str, Any], title: str) -> xr.Dataset:
    axes = axes_of(signal)
    dims = [kept["names"][str(axis.name)] for axis in axes]
    coords = {
        key: stored for key, stored in kept["coords"].items() if key not in dims and set(stored["dims"]) <= set(dims)
    }
    attrs = {**kept["attrs"], **_changed(signal, kept, tuple(dims)), "title": title}
    shell = xr.Dataset.from_dict({"coords": coords, "attrs": attrs, "dims": {}, "data_vars": {}})
    pairs = zip(dims, axes, strict=True)
    shell = shell.assign_coords({dim: coordinate(dim, axis, kept["coords"][dim]) for dim, axis in pairs})
    ds = shell.assign({kept["name"]: xr.Variable(dims, data, kept["variable"])})
    original = signal.original_metadata.as_dictionary()
    ds = ds.assign_attrs(original_metadata=as_json(original, longest=None)) if original else ds
    placed = with_pose(ds, *fusion.get_pose(ds))
    return fusion.check(placed.transpose(*spatial_dims(placed[kept["name"]]), ...))


def _changed(signal: Any, kept: Mapping[str, Any], dims: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes whose entries in the metadata were changed since the signal was handed out."""
    before, now = kept["tree"], _now(signal)
    now.setdefault("General", {})["title"] = before["General"]["title"]
    if before == now:
        return {}
    old, new = (flat_attrs(tree, {}, dims) for tree in (before, now))
    return {key: value for key, value in new.items() if old.get(key) != value}
