"""Layers of an image and their mixture: which arrays are drawn, in which colour, between which values."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import describing, kind, linked, spatial_dims
from fusion.display import PALETTE
from fusion.errors import DataError

_BANDS: Final = ("component", "channel")
_BOTTOM: Final = 2.0
_TOP: Final = 99.0
_NEXT_TO_NOTHING: Final = 0.05
PERCENTILES: Final = (2.0, 99.8)
_GREY: Final = "#c9ced6"
_DIMMED: Final = 0.3
_RGB: Final = (("r", "g", "b"), ("red", "green", "blue"))
_UNSEEN: Final = ("background", "outside", "label_0")
_MOST_LABELS: Final = 20
_MOST_LINES: Final = 10
_ALPHA: Final = ("a", "alpha")
_PURE: Final = (("red", "#ff0000"), ("green", "#00ff00"), ("blue", "#0000ff"))


Role = Literal["colour", "behind", "photograph", "label"]


class Layer(NamedTuple):
    """One array to draw: its values (NaN where there is nothing), colour, darkest and brightest value."""

    name: str
    values: xr.DataArray
    color: str
    bottom: float
    top: float
    units: str
    role: Role = "colour"
    """Drawn in colour, in grey behind these, as a colour of a photograph, or as a label."""


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

    Each is either a component or channel of a variable, or a variable itself. Where nothing is named, these are the
    components; without any, the channels, and those of a colour photograph are drawn as it was taken.

    Raises
    ------
    DataError
        If a name is unknown, or there are more arrays than colours.
    """
    photograph = _photograph(ds, variable) if components is None and colors is None else []
    if photograph:
        return photograph
    bands, whole = _available(ds, variable)
    available = bands | {name: array for name, array in whole.items() if name not in bands}
    names = _by_default(bands) if components is None else [_named(available, key) for key in components]
    palette = [_hex(color) for color in (PALETTE if colors is None else colors)]
    if not 0 < len(names) <= len(palette):
        raise DataError(f"{len(names)} arrays to draw in {len(palette)} colours; name 1 to {len(palette)} components")
    return [_layer(name, _covered(available[name], ds), palette[i]) for i, name in enumerate(names)]


def grey_layer(array: xr.DataArray, over: Sequence[Layer]) -> Layer:
    """Return the array that lies behind coloured ones, between its 2nd and 99.8th percentile, dimmed beneath them."""
    low, high = window(np.asarray(array.values, dtype=float), *PERCENTILES)
    dimmed = array.where(~covered(over), low + _DIMMED * (array - low))
    return Layer(str(array.name), dimmed, _GREY, low, high, str(array.attrs.get("units", "1")), "behind")


def label_layers(array: xr.DataArray, colors: Sequence[str] | None) -> list[Layer]:
    """Return a layer for each label that occurs; none if there is no label to show, or more than 20 of them.

    What is called ``background`` or ``outside``, and a 0 without a name, is left open, or it would hide the rest.

    Raises
    ------
    DataError
        If there are fewer colours than labels.
    """
    if kind(array) != "label":
        return []
    flags = zip(np.atleast_1d(array.attrs["flag_values"]), _meanings(array), strict=True)
    present = np.unique(array.values)
    shown = [(flag, name) for flag, name in flags if name not in _UNSEEN and flag in present]
    if not 0 < len(shown) <= _MOST_LABELS:
        return []
    palette = [_hex(color) for color in colors] if colors is not None else _palette(len(shown))
    if len(shown) > len(palette):
        raise DataError(f"{array.name}: {len(shown)} labels to draw in {len(palette)} colours; name one for each label")
    one = xr.ones_like(array, dtype=np.float32)
    return [
        Layer(name, one.where(array == flag), color, 0.0, 1.0, "1", "label")
        for (flag, name), color in zip(shown, palette, strict=False)
    ]


def legend(found: Sequence[Layer], ink: str) -> list[tuple[str, str]]:
    """Return text and colour of each line: what is drawn, from which value to which; of labels the names."""
    if found and found[0].role == "photograph":
        return [(f"red, green, blue  {_range(found[0])}", ink)]
    lines = [(f"{item.name}  {_range(item)}" if item.role != "label" else item.name, item.color) for item in found]
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[: _MOST_LINES - 1], (f"and {len(lines) - _MOST_LINES + 1} more", ink)]


def value_text(value: float, unit: str) -> str:
    """Return a value with its unit, as a legend shows it."""
    return f"{value:.3g}" if unit == "1" else f"{value:.3g} {unit}"


def focus(found: Sequence[Layer]) -> dict[str, int]:
    """Return the middle index along each dim of what the coloured layers cover."""
    seen = covered([layer for layer in found if layer.role != "behind"] or found)
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
    found = {key: array for key, array in _drawn(ds).items() if array.dims[: len(dims)] == dims}
    whole = {key: array for key, array in found.items() if array.dims == dims}
    bands: dict[str, xr.DataArray] = {}
    for dim in _BANDS:
        for key, array in found.items():
            if array.dims == (*dims, dim) and variable in (None, key):
                named = {str(label): array.isel({dim: i}) for i, label in enumerate(array[dim].values)}
                bands |= {label: band for label, band in named.items() if label not in bands}
    return bands, whole


def _drawn(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the numeric variables by name, without those that only support another one."""
    supporting = describing(ds)
    return {str(key): v for key, v in ds.data_vars.items() if v.dtype.kind in "iuf" and str(key) not in supporting}


def _by_default(bands: dict[str, xr.DataArray]) -> list[str]:
    """Return the names of the components; of the channels where there are none."""
    components = [name for name, band in bands.items() if "component" in band.coords]
    return (components or list(bands))[: len(PALETTE)]


def _photograph(ds: xr.Dataset, variable: str | None) -> list[Layer]:
    """Return red, green and blue between common values, if a colour photograph is the only thing to draw in colour."""
    dims = spatial_dims(ds)
    banded = {key: v for key, v in _drawn(ds).items() if set(v.dims) - set(dims) and set(v.dims) & set(_BANDS)}
    chosen = [array for key, array in banded.items() if variable in (None, key)]
    if len(chosen) != 1 or chosen[0].dims != (*dims, "channel"):
        return []
    array = chosen[0]
    initials = [str(label).lower() for label in array["channel"].values]
    order = [initials.index(name) for names in _RGB for name in names if set(names) == set(initials) - set(_ALPHA)]
    # resampling turns the whole numbers of a photograph into floats
    if len(order) != 3 or (array.dtype != np.uint8 and array.dtype.kind != "f"):
        return []
    seen = _covered(array.isel(channel=order), ds)
    bottom, top = window(seen.values, *PERCENTILES)
    unit = str(array.attrs.get("units", "1"))
    return [Layer(_PURE[i][0], seen.isel(channel=i), _PURE[i][1], bottom, top, unit, "photograph") for i in range(3)]


def _meanings(array: xr.DataArray) -> list[str]:
    """Return the name of each label; that of its value where not all have one."""
    names = str(array.attrs.get("flag_meanings", "")).split()
    flags = np.atleast_1d(array.attrs["flag_values"])
    return names if len(names) == len(flags) else [f"label_{flag}" for flag in flags]


def _palette(count: int) -> list[str]:
    """Return distinct colours: beyond those of the house, hues a golden section apart."""
    from matplotlib.colors import to_hex

    further = [to_hex(hsv_to_rgb((0.07 + 0.618034 * i) % 1.0, 0.5, 0.75)) for i in range(count - len(PALETTE))]
    return [*PALETTE, *further]


def _range(layer: Layer) -> str:
    return f"{layer.bottom:.3g} – {value_text(layer.top, layer.units)}"


def _hex(color: str) -> str:
    """Return a colour as both PyVista and matplotlib read it."""
    from matplotlib.colors import to_hex

    try:
        return str(to_hex(color))
    except ValueError:
        raise DataError(f"colors are names or codes such as 'red' or '#ff5a4d'; received {color!r}") from None


def _named(available: dict[str, xr.DataArray], key: str | int) -> str:
    if isinstance(key, int) and str(key) not in available and -len(available) <= key < len(available):
        return list(available)[key]
    if str(key) not in available:
        raise DataError(f"no component or variable {key!r}; there are {list(available)}")
    return str(key)


def _layer(name: str, values: xr.DataArray, color: str) -> Layer:
    bottom, top = window(values.values, _BOTTOM, _TOP)
    if 0.0 <= bottom < _NEXT_TO_NOTHING * top:
        bottom = 0.0
    label = f"component {name}" if name.isdigit() else name
    return Layer(label, values, color, bottom, top, str(values.attrs.get("units", "1")))


def _covered(array: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    coverage = ds.get("coverage")
    if coverage is None or "coverage" not in linked(array):
        return array
    return array.where(coverage > 0)
