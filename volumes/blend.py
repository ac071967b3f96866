"""Layers of an image and their mixture: which arrays are drawn, in which colour, between which values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import spatial_dims
from fusion.errors import DataError

COLORS: Final = ("#ff5a4d", "#35d07f", "#5a8cff", "#ffc53d", "#e06cff", "#3fd9e8")
_BANDS: Final = ("component", "channel")
_BOTTOM: Final = 2.0
_TOP: Final = 99.0
PERCENTILES: Final = (2.0, 99.8)
_GREY: Final = "#c9ced6"
_DIMMED: Final = 0.3


class Layer(NamedTuple):
    """One array to draw: its values (NaN where there is nothing), colour, darkest and brightest value."""

    name: str
    values: xr.DataArray
    color: str
    bottom: float
    top: float
    units: str


def scalar(ds: xr.Dataset, variable: str | None = None) -> xr.DataArray:
    """Return the array to draw in grey, with NaN where it has no coverage.

    Raises
    ------
    DataError
        If there is none, it has further dims, or its values are all NaN.
    """
    whole = spatial_dims(ds)
    found = [str(key) for key, v in ds.data_vars.items() if v.dims == whole and v.dtype.kind in "iufb"]
    if variable is None:
        candidates = [name for name in found if name != "coverage"]
        variable = candidates[0] if candidates else None
    if variable is None or variable not in found:
        reason = "no array" if variable is None else f"no array {variable!r}"
        raise DataError(f"{reason} on {whole} to draw; the dataset has {found or list(ds.data_vars)}")
    return _covered(ds[variable], ds)


def layers(
    ds: xr.Dataset, variable: str | None, components: Sequence[str | int] | None, colors: Sequence[str] | None
) -> list[Layer]:
    """Return the arrays to draw in colour.

    Each is either a component or channel of a variable, or a variable itself.

    Raises
    ------
    DataError
        If a name is unknown, or there are more arrays than colours.
    """
    bands, whole = _available(ds, variable)
    available = bands | {name: array for name, array in whole.items() if name not in bands}
    names = list(bands)[: len(COLORS)] if components is None else [_named(available, key) for key in components]
    palette = COLORS if colors is None else colors
    if not 0 < len(names) <= len(palette):
        raise DataError(f"{len(names)} arrays to draw in {len(palette)} colours; name 1 to {len(palette)} components")
    return [_layer(name, _covered(available[name], ds), palette[i]) for i, name in enumerate(names)]


def grey_layer(array: xr.DataArray, over: Sequence[Layer]) -> Layer:
    """Return the array that lies behind coloured ones, between its 2nd and 99.8th percentile, dimmed beneath them."""
    low, high = window(np.asarray(array.values, dtype=float), *PERCENTILES)
    dimmed = array.where(~covered(over), low + _DIMMED * (array - low))
    return Layer(str(array.name), dimmed, _GREY, low, high, str(array.attrs.get("units", "1")))


def focus(found: Sequence[Layer]) -> dict[str, int]:
    """Return the middle index along each dim of what the coloured layers cover."""
    seen = covered([layer for layer in found if layer.color != _GREY] or found)
    dims = [str(dim) for dim in found[0].values.dims]
    if not seen.any():
        return {}
    return {dim: int(np.median(index)) for dim, index in zip(dims, np.nonzero(seen), strict=True)}


def has_layers(ds: xr.Dataset, variable: str | None) -> bool:
    """Whether the variable (the first one, if none is named) is one array per component or channel."""
    chosen = [ds[variable]] if variable in ds else list(ds.data_vars.values())
    return any(set(_BANDS) & set(array.dims) and spatial_dims(array) for array in chosen)


def mixed(found: Sequence[Layer]) -> npt.NDArray[np.uint8]:
    """Mix layers as light is mixed and return RGBA.

    Every layer is scaled to its own brightest value; the colours are then combined by 1 - (1 - a)(1 - b), which
    stays below 1. Opacity is that of the brightest layer, a dark colour counting less; 0 where all
    layers are NaN.

    Parameters
    ----------
    found : sequence of Layer
        Of one shape.

    Returns
    -------
    array of uint8
        The shape of a layer and four more values: red, green, blue, opacity.
    """
    from matplotlib.colors import to_rgb

    shape = found[0].values.shape
    dark = np.ones((*shape, 3), dtype=np.float32)
    strongest = np.zeros(shape, dtype=np.float32)
    for layer in found:
        share = np.clip((layer.values.values - layer.bottom) / (layer.top - layer.bottom), 0.0, 1.0)
        share = np.nan_to_num(share).astype(np.float32)
        color = np.asarray(to_rgb(layer.color), dtype=np.float32)
        dark *= 1.0 - share[..., None] * color
        np.maximum(strongest, share * color.max(), out=strongest)
    light = np.concatenate([1.0 - dark, strongest[..., None]], axis=-1)
    return np.round(255 * light).astype(np.uint8)


def covered(found: Sequence[Layer]) -> npt.NDArray[np.bool_]:
    """Return where at least one layer has a value."""
    lost = np.ones(found[0].values.shape, dtype=bool)
    for layer in found:
        lost &= np.isnan(layer.values.values)
    return ~lost


def window(values: npt.NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of the finite values, apart from each other.

    Raises
    ------
    DataError
        If no value is finite.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise DataError("no finite value to draw; the array is empty or lies outside the other dataset")
    bottom, top = (float(v) for v in np.percentile(finite, [low, high]))
    if top <= bottom:
        bottom, top = float(finite.min()), float(finite.max())
    return (bottom, top) if top > bottom else (bottom, bottom + 1.0)


def _available(ds: xr.Dataset, variable: str | None) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Return by name the components (of one variable, if it is given), and the variables that are one array."""
    dims = spatial_dims(ds)
    supporting = {name for v in ds.data_vars.values() for name in str(v.attrs.get("ancillary_variables", "")).split()}
    bands: dict[str, xr.DataArray] = {}
    whole: dict[str, xr.DataArray] = {}
    for key, array in ds.data_vars.items():
        rest = [dim for dim in array.dims if dim not in dims]
        if spatial_dims(array) != dims or array.dtype.kind not in "iuf" or str(key) in supporting:
            continue
        if not rest:
            whole[str(key)] = array
        elif len(rest) == 1 and rest[0] in _BANDS and variable in (None, key):
            bands |= {str(label): array.sel({rest[0]: label}) for label in array[rest[0]].values}
    return bands, whole


def _named(available: dict[str, xr.DataArray], key: str | int) -> str:
    if isinstance(key, int) and str(key) not in available and -len(available) <= key < len(available):
        return list(available)[key]
    if str(key) not in available:
        raise DataError(f"no component or variable {key!r}; there are {list(available)}")
    return str(key)


def _layer(name: str, values: xr.DataArray, color: str) -> Layer:
    bottom, top = window(values.values, _BOTTOM, _TOP)
    label = f"component {name}" if name.isdigit() else name
    return Layer(label, values, color, bottom, top, str(values.attrs.get("units", "1")))


def _covered(array: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    coverage = ds.get("coverage")
    if coverage is None or "coverage" not in str(array.attrs.get("ancillary_variables", "")).split():
        return array
    return array.where(coverage > 0)
