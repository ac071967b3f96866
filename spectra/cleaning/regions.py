"""Cutting a map: ranges of its axes, and regions that a label image marks."""

from __future__ import annotations

import numpy as np
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import kind, spatial_dims
from fusion.errors import ConventionError, DataError
from fusion.model import like, with_error
from fusion.variables import real_variable


def crop(ds: xr.Dataset, /, **ranges: tuple[float | None, float | None]) -> xr.Dataset:
    """Cut a dataset to ranges of its coordinates, both ends included.

    Parameters
    ----------
    ds : Dataset
    **ranges : (float or None, float or None)
        For each axis the lowest and highest coordinate in its standard unit, ``energy=(0.2, 10.0)`` in keV,
        ``x=(0.0, 50.0)`` in um; None leaves an end as it is.

    Returns
    -------
    Dataset
        A view, lazy if it was.

    Raises
    ------
    DataError
        If an axis is not there, its range is no pair, or nothing lies in it.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"counts": (("x", "energy"), np.ones((2, 5)))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}, name="map", cell_methods="sum")
    >>> crop(ds, energy=(0.5, 1.5))["energy"].values
    array([0.5, 1. , 1.5])
    """
    kept = fusion.check(ds)
    for dim, ends in ranges.items():
        try:
            low, high = ends
        except (TypeError, ValueError) as error:
            raise DataError(f"the range of {dim} is a pair (low, high), None for no end; received {ends!r}") from error
        if dim not in kept.dims or dim not in kept.coords:
            raise DataError(f"there is no axis {dim!r} to crop; the axes are {', '.join(map(str, kept.dims))}")
        cut = kept.sel({dim: slice(low, high)})
        if not cut.sizes[dim]:
            first, last = (float(kept[dim][index]) for index in (0, -1))
            unit = kept[dim].attrs.get("units", "")
            raise DataError(f"nothing along {dim} lies in ({low}, {high}); it runs from {first:g} to {last:g} {unit}")
        kept = cut
    return provenance.record(kept, "spectra.crop", dict(ranges))


def region(ds: xr.Dataset, labels: xr.DataArray, value: int | str) -> xr.Dataset:
    """Return the mean spectrum of a labelled region, with its standard error.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal).
    labels : DataArray, (z, y, x)
        A label image on the grid of the map, with ``flag_values`` and ``flag_meanings``.
    value : int or str
        Which region: its flag value, or its meaning.

    Returns
    -------
    Dataset
        The variable, dims (signal,), its mean over the pixels of the region in the units of the map; ``..._stderr``,
        the standard deviation between pixels over √n, NaN for a single pixel; lazy if it was. Pixels with NaN are
        left out channel by channel. Attribute ``pixels`` is the size of the region.

    Raises
    ------
    ConventionError
        If `labels` is no label image.
    DataError
        If it is on another grid, knows no such region, or the region is empty.

    Examples
    --------
    >>> from fusion import Axis
    >>> axes = {"x": Axis("um", 1.0), "energy": Axis("keV", 0.5)}
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "matrix particle"}
    >>> ds = fusion.dataset({"counts": (("x", "energy"), [[1.0, 2.0], [3.0, 4.0], [5.0, 8.0]]),
    ...                      "phase": (("x",), [0, 1, 1], flags)}, axes, name="map", cell_methods="sum")
    >>> region(ds, ds["phase"], "particle")["counts"].values
    array([4., 6.])
    """
    array = real_variable(fusion.check(ds))
    spatial = spatial_dims(array)
    inside = _inside(array, labels, value)
    pixels = int(inside.sum())
    if not pixels:
        raise DataError(f"no pixel is labelled {value!r}")
    chosen = array.where(inside)
    units = {"units": array.attrs.get("units", "1")}
    mean = chosen.mean(spatial).assign_attrs(units, long_name=f"mean {array.name}")
    error = (chosen.std(spatial, ddof=1) / np.sqrt(chosen.count(spatial))).where(chosen.count(spatial) > 1)
    shell = ds.drop_vars([*ds.data_vars, *spatial]).assign_attrs(pixels=pixels)
    result = with_error(like(shell, {str(array.name): mean}), str(array.name), error)
    return provenance.record(fusion.check(result), "spectra.region", {"labels": labels, "value": value})


def _inside(array: xr.DataArray, labels: xr.DataArray, value: int | str) -> xr.DataArray:
    if kind(labels) != "label":
        raise ConventionError([f"{labels.name}: a label image has flag_values and flag_meanings; received none"])
    if set(labels.dims) != set(spatial_dims(array)):
        raise DataError(f"the labels have the axes {labels.dims}, the map {spatial_dims(array)}; resample them first")
    for dim in labels.dims:
        if not np.array_equal(labels[dim].values, array[dim].values):
            raise DataError(f"the labels have other positions along {dim} than the map; fusion.resample them first")
    values = [int(flag) for flag in np.atleast_1d(labels.attrs["flag_values"])]
    meanings = dict(zip(str(labels.attrs.get("flag_meanings", "")).split(), values, strict=False))
    flag = meanings.get(value) if isinstance(value, str) else int(value)
    if flag not in values:
        raise DataError(f"there is no region {value!r}; the labels are {meanings or values}")
    return labels.compute() == flag
