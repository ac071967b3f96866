"""Maps of one line or band each: counts or area in a window, less a straight background from both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance, units
from fusion.conventions import cell_methods, kind, signal_dim, spatial_dims, stderr_name
from fusion.errors import DataError
from fusion.model import like
from fusion.variables import real_variable
from spectra.lines import xrays
from spectra.lines.settings import require_resolution

Array = npt.NDArray[np.float64]


class Windows(NamedTuple):
    """Ranges of a signal axis, both ends included: of the line, and of the background to its left and right."""

    line: tuple[float, float]
    left: tuple[float, float]
    right: tuple[float, float]


def line_map(
    ds: xr.Dataset,
    lines: str | Iterable[str],
    *,
    resolution: float | None = None,
    width: float = 2.0,
    gap: float = 1.0,
    side: float = 1.0,
) -> xr.Dataset:
    """Return a map of the net counts of each X-ray line, with its standard error.

    Parameters
    ----------
    ds : Dataset
        Counts along energy, dims (z, y, x, energy), not corrected for a background yet.
    lines : str or iterable of str
        As ``"Fe_Ka"`` or ``["Fe_Ka", "Pt_La"]``.
    resolution : float, optional
        Full width at half maximum (FWHM) at Mn Kα, in eV; left out, what the file states.
    width : float
        Of the window around the line, in FWHM of the line; 2.0 holds 98 % of it.
    gap : float
        Between that window and those of the background to both sides, in FWHM.
    side : float
        Width of each window of the background, in FWHM.

    Returns
    -------
    Dataset
        For each line a variable of its name, ``Fe_Ka(z, y, x)`` in counts, and ``Fe_Ka_stderr``; lazy if the map is. A
        pixel with NaN in a window is NaN. The attribute ``windows`` of each names the six ends in keV: of the
        background to the left, of the line, of the background to the right.

    Raises
    ------
    DataError
        If the values are no counts, the resolution is not known, a line is not known, or a window leaves the axis or
        holds no channel.

    Notes
    -----
    With N counts in a window of w channels, and N₁, N₂ in windows of w₁, w₂ channels whose centres lie the shares t
    and 1 − t of their distance from that of the line: net = N − a₁ N₁ − a₂ N₂ with a₁ = (1 − t) w / w₁,
    a₂ = t w / w₂, a straight line under the peak. Counts are independent and Poisson, so the variance is
    N + a₁² N₁ + a₂² N₂; where both sides are alike, it is N + (w / w_b)² N_b with w_b, N_b of both together. A pixel
    without any count has the error 0. Lines of other elements within the windows are not separated: see `fit_lines`.

    Examples
    --------
    >>> from fusion import Axis
    >>> energy = 0.01 * np.arange(1000)
    >>> peak = np.where(abs(energy - 6.4) < 0.095, 50.0, 0.0)
    >>> ds = fusion.dataset({"counts": (("x", "energy"), np.stack([4.0 + 0 * peak, 4.0 + peak]))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.01)}, name="map", cell_methods="sum")
    >>> line_map(ds, "Fe_Ka", resolution=130.0)["Fe_Ka"].values.round(6)
    array([  0., 950.])
    """
    array = real_variable(fusion.check(ds))
    _require_counts(array)
    known = require_resolution(ds, resolution)
    names = [lines] if isinstance(lines, str) else list(lines)
    wanted = {name: _around(xrays.xray_line(name), known, width, gap, side) for name in names}
    weights = np.ones(array.sizes["energy"])
    maps = {}
    for name, windows in wanted.items():
        estimator = coefficients(array["energy"].values, windows, weights, name)
        net, variance = _applied(array, estimator), _applied(array, estimator**2)
        maps[name] = _described(net, windows, f"net counts of {name}")
        maps[stderr_name(name)] = variance.clip(min=0) ** 0.5
    parameters = {"lines": names, "resolution": known, "width": width, "gap": gap, "side": side}
    return provenance.record(_result(ds, array, maps, "count"), "spectra.line_map", parameters)


def band_map(ds: xr.Dataset, bands: Mapping[str, tuple[float, float]], *, side: float) -> xr.Dataset:
    """Return a map of the area of each band over a straight baseline, with its standard error.

    Parameters
    ----------
    ds : Dataset
        Intensities with one spectral variable, dims (z, y, x, signal), of any uniform or uneven signal axis.
    bands : mapping of str to (float, float)
        Name of each map and the ends of its window, ``{"phosphate": (930.0, 985.0)}``, in the unit of the axis.
    side : float
        Width of the two windows that adjoin the first on either side, to which the baseline is fitted.

    Returns
    -------
    Dataset
        For each band ``phosphate(z, y, x)``, in the unit of the map times that of the axis, and
        ``phosphate_stderr``; lazy if the map is. A pixel with NaN in a window is NaN. Attribute ``windows`` as in
        `line_map`.

    Raises
    ------
    DataError
        If a window leaves the axis or holds no channel, or those of the baseline hold fewer than 4 together.

    Notes
    -----
    The baseline joins the means of the two outer windows. The noise is taken to be independent and the same in all
    channels of a band: its variance is that of the outer windows about the straight line that fits them best, so
    that a curved baseline makes the error larger.

    Examples
    --------
    >>> from fusion import Axis
    >>> shift = 900.0 + 2.0 * np.arange(60)
    >>> spectrum = 0.5 * shift + np.where(abs(shift - 960.0) < 9.0, 10.0, 0.0)
    >>> ds = fusion.dataset({"intensity": (("x", "raman_shift"), [spectrum])},
    ...                     {"x": Axis("um", 1.0), "raman_shift": Axis("1/cm", 2.0, 900.0)},
    ...                     name="map", cell_methods="mean")
    >>> band_map(ds, {"phosphate": (945.0, 975.0)}, side=10.0)["phosphate"].values.round(6)
    array([180.])
    """
    array = real_variable(fusion.check(ds))
    dim = signal_dim(array)
    axis = array[dim].values
    maps = {}
    for name, (low, high) in bands.items():
        windows = Windows((low, high), (low - side, low), (high, high + side))
        estimator = coefficients(axis, windows, np.diff(xrays.channel_edges(axis)), name)
        noise = _noise_variance(array, windows, name)
        maps[name] = _described(_applied(array, estimator), windows, f"area of {name}")
        maps[stderr_name(name)] = (noise * float((estimator**2).sum())) ** 0.5
    factors = [str(one.attrs.get("units", "1")) for one in (array, array[dim])]
    unit = units.parse(" * ".join(unit for unit in factors if unit != "1"))
    parameters = {"bands": {name: list(ends) for name, ends in bands.items()}, "side": side}
    return provenance.record(_result(ds, array, maps, unit), "spectra.band_map", parameters)


def coefficients(axis: Array, windows: Windows, weights: Array, name: str) -> Array:
    """Return the numbers by which channels are multiplied and summed for what stands over a straight background.

    Parameters
    ----------
    axis : array, (channel,)
    windows : Windows
        A channel that lies in that of the line is not taken for the background.
    weights : array, (channel,)
        What a channel adds to the sum: 1 for counts, its width for an area.
    name : str
        For messages.

    Returns
    -------
    array, (channel,)
        Zero outside the windows; orthogonal to any straight line in the limit of narrow channels.

    Raises
    ------
    DataError
        If a window leaves the axis or holds no channel.

    Examples
    --------
    >>> coefficients(np.arange(7.0), Windows((2.5, 3.5), (0.5, 2.5), (3.5, 5.5)), np.ones(7), "band")
    array([ 0.  , -0.25, -0.25,  1.  , -0.25, -0.25,  0.  ])
    """
    # A straight line through the means of both sides has at a channel the value (1 − s) left + s right, s its share of
    # the way between their centres. Summed over the window this is linear in all channels, so that one vector of
    # coefficients does the work for every pixel, and its square that of the variance of independent counts. A line
    # fitted to all background channels would be steeper in its noise and gain little over two short windows.
    inside, left, right = _masks(axis, windows, name)
    first, last = axis[left].mean(), axis[right].mean()
    share = (axis[inside] - first) / (last - first)
    result = np.where(inside, weights, 0.0)
    result[left] = -(weights[inside] * (1.0 - share)).sum() / left.sum()
    result[right] = -(weights[inside] * share).sum() / right.sum()
    return result


def _around(line: xrays.XrayLine, resolution: float, width: float, gap: float, side: float) -> Windows:
    if not (width > 0 and gap >= 0 and side > 0):
        raise DataError(f"width and side are positive, gap is not negative; received {width!r}, {side!r}, {gap!r}")
    full, centre = float(xrays.width(line.energy, resolution)), line.energy
    near, far = (width / 2.0 + gap) * full, (width / 2.0 + gap + side) * full
    half = width / 2.0 * full
    return Windows((centre - half, centre + half), (centre - far, centre - near), (centre + near, centre + far))


def _masks(axis: Array, windows: Windows, name: str) -> list[npt.NDArray[np.bool_]]:
    """Return which channels lie in each window; those at the border of two belong to the line."""
    if windows.left[0] < axis[0] or windows.right[1] > axis[-1]:
        raise DataError(
            f"{name}: its windows run from {windows.left[0]:.4g} to {windows.right[1]:.4g}, but the axis only from "
            f"{axis[0]:.4g} to {axis[-1]:.4g}; make them narrower"
        )
    inside, left, right = ((axis >= low) & (axis <= high) for low, high in windows)
    masks = [inside, left & ~inside, right & ~inside]
    if not all(mask.any() for mask in masks):
        raise DataError(f"{name}: a window holds no channel; make it wider")
    return masks


def _applied(array: xr.DataArray, estimator: Array) -> xr.DataArray:
    """Return the sum of the channels times a number each; channels beyond the outermost are not read."""
    dim = signal_dim(array)
    used = np.flatnonzero(estimator)
    span = slice(int(used[0]), int(used[-1]) + 1)
    # NaN times zero is NaN: a gap between the windows must not spoil a pixel
    values = array.isel({dim: span}).where(xr.DataArray(estimator[span] != 0, dims=dim), 0)
    result: xr.DataArray = xr.dot(values, xr.DataArray(estimator[span], dims=dim), dim=dim).drop_attrs(deep=False)
    return result


def _noise_variance(array: xr.DataArray, windows: Windows, name: str) -> xr.DataArray:
    """Return the variance of the outer windows about the straight line that fits them best."""
    # The residual projector 1 − Q Qᵀ of a straight line, Q its orthonormal basis, leaves n − 2 degrees of freedom. The
    # variance comes from this pixel alone, as the intensities of Raman spectra are not counts.
    dim = signal_dim(array)
    axis = array[dim].values
    _, left, right = _masks(axis, windows, name)
    outer = np.flatnonzero(left | right)
    if outer.size < 4:
        raise DataError(f"{name}: {outer.size} channels for the baseline; at least 4 are needed, make side larger")
    line = np.linalg.qr(np.stack([np.ones(outer.size), axis[outer] - axis[outer].mean()], axis=1))[0]
    rest = xr.DataArray(np.eye(outer.size) - line @ line.T, dims=("_channel", dim))
    residual: xr.DataArray = xr.dot(array.isel({dim: outer}).drop_vars(dim), rest, dim=dim).drop_attrs(deep=False)
    return (residual**2).sum("_channel", skipna=False) / (outer.size - 2)


def _require_counts(array: xr.DataArray) -> None:
    if "energy" not in array.dims:
        raise DataError(f"X-ray lines lie along energy; {array.name} has the dims {array.dims}")
    if not xrays.is_counts(array):
        raise DataError(f"{array.name}: counts (cell_methods 'sum') are needed, as their errors are those of counting")
    if array.chunks is None and array.dtype.kind in "if" and (array.values < 0).any():
        raise DataError(f"{array.name}: negative values, which counts never have; use the map before any correction")


def _described(values: xr.DataArray, windows: Windows, text: str) -> xr.DataArray:
    ends = [float(end) for window in (windows.left, windows.line, windows.right) for end in window]
    return values.assign_attrs(long_name=text, windows=ends)


def _result(ds: xr.Dataset, array: xr.DataArray, maps: Mapping[str, xr.DataArray], unit: str) -> xr.Dataset:
    """Return the maps in place of the spectra."""
    attrs = {"units": unit, **cell_methods(spatial_dims(array), kind(array))}
    return like(ds, {name: values.assign_attrs({**attrs, **values.attrs}) for name, values in maps.items()})
