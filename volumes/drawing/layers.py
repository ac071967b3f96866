"""Layers of a picture: which arrays are drawn, in which colour, between which values."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import Final, Literal, NamedTuple

import numpy as np
import xarray as xr

from fusion.conventions import describing, error_of, kind, label_names, linked, spatial_dims
from fusion.display import PALETTE, color
from fusion.errors import DataError
from volumes.drawing.mixing import covered, window

_BANDS: Final = ("component", "channel")
_BOTTOM: Final = 2.0
_TOP: Final = 99.0
_NEXT_TO_NOTHING: Final = 0.05
PERCENTILES: Final = (2.0, 99.8)
_GREY: Final = "#c9ced6"
_RGB: Final = (("r", "g", "b"), ("red", "green", "blue"))
_UNSEEN: Final = ("background", "outside", "label_0")
_MOST_LABELS: Final = 20
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

    @property
    def constant(self) -> float | None:
        """The one value of an array that is the same everywhere; None if it varies."""
        low, high = float(self.values.min()), float(self.values.max())
        return low if low == high else None


def scalar(ds: xr.Dataset, variable: str | None = None) -> xr.DataArray:
    """Return the array to draw in grey, with NaN where it has no coverage.

    Raises
    ------
    DataError
        If there is none, it has further dims, or its values are all NaN.
    """
    dims = spatial_dims(ds)
    images = [str(key) for key, v in ds.data_vars.items() if v.dims == dims and v.dtype.kind in "iufb"]
    if variable is None:
        candidates = [name for name in images if name != "coverage"]
        variable = candidates[0] if candidates else None
    if variable is None or variable not in images:
        reason = "no array" if variable is None else f"no array {variable!r}"
        raise DataError(f"{reason} on {dims} to draw; the dataset has {images or list(ds.data_vars)}")
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
    if components is None and colors is None and (colours := photograph(ds, variable)):
        return colours
    bands, images = _available(ds, variable)
    available = bands | {name: array for name, array in images.items() if name not in bands}
    names = _by_default(bands) if components is None else [_named(available, key) for key in components]
    count = len(PALETTE if colors is None else colors)
    if not 0 < len(names) <= count:
        raise DataError(f"{len(names)} arrays to draw in {count} colours; name 1 to {count} components")
    palette = _own_colors(names, bands) if colors is None else [_hex(name) for name in colors]
    return [_layer(name, _covered(available[name], ds), palette[i]) for i, name in enumerate(names)]


def grey_layer(array: xr.DataArray) -> Layer:
    """Return an array that lies behind coloured ones, between its 2nd and 99.8th percentile."""
    low, high = window(np.asarray(array.values, dtype=float), *PERCENTILES)
    return Layer(str(array.name), array, _GREY, low, high, str(array.attrs.get("units", "1")), "behind")


def beneath(behind: Sequence[Layer], over: Sequence[Layer], alpha: float) -> list[Layer]:
    """Return an image as it shows through layers of opacity `alpha`: dimmed where they have a value, be it 0."""
    cover = covered(over)
    return [
        layer._replace(values=layer.values.where(~cover, layer.bottom + (1.0 - alpha) * (layer.values - layer.bottom)))
        for layer in behind
    ]


def faded(layer: Layer, ds: xr.Dataset) -> Layer:
    """Return a layer that fades where its values are not known well; where an error is not known, it is not drawn.

    Raises
    ------
    DataError
        If its values have no standard error.
    """
    name = error_of(ds[layer.values.name])
    if name is None or name not in ds:
        raise DataError(f"{layer.values.name}: colours fade by standard errors, and it has none; leave out fade=")
    error = ds[name]
    band = {dim: list(ds[dim].values).index(layer.values[dim].item()) for dim in _BANDS if dim in error.dims}
    # A value v known to s is drawn with the share v^2 / (v^2 + s^2) of its strength, the factor by which the best
    # linear estimate is drawn to 0 (Wiener): a half at one standard error, 0.9 at three. No threshold, no new edge.
    power, variance = layer.values**2, error.isel(band, drop=True) ** 2
    weight = (power / (power + variance)).where(~np.isposinf(variance), 0.0).where(power > 0, 0.0)
    return layer._replace(values=layer.values * weight)


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
    present = np.unique(array.values)
    shown = [(flag, name) for flag, name in label_names(array).items() if name not in _UNSEEN and flag in present]
    if not 0 < len(shown) <= _MOST_LABELS:
        return []
    palette = [_hex(name) for name in colors] if colors is not None else _palette(len(shown))
    if len(shown) > len(palette):
        raise DataError(f"{array.name}: {len(shown)} labels to draw in {len(palette)} colours; name one for each label")
    one = xr.ones_like(array, dtype=np.float32)
    return [
        Layer(name, one.where(array == flag), shade, 0.0, 1.0, "1", "label")
        for (flag, name), shade in zip(shown, palette, strict=False)
    ]


def has_layers(ds: xr.Dataset, variable: str | None) -> bool:
    """Whether the variable (the first one, if none is named) is one array per component or channel."""
    chosen = [ds[variable]] if variable in ds else list(ds.data_vars.values())
    return any(set(_BANDS) & set(array.dims) and spatial_dims(array) for array in chosen)


def _available(ds: xr.Dataset, variable: str | None) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Return by name the components (of one variable, if it is given), and the variables that are one array."""
    dims = spatial_dims(ds)
    drawn = {key: array for key, array in _drawn(ds).items() if array.dims[: len(dims)] == dims}
    images = {key: array for key, array in drawn.items() if array.dims == dims}
    bands: dict[str, xr.DataArray] = {}
    for dim in _BANDS:
        for key, array in drawn.items():
            if array.dims == (*dims, dim) and variable in (None, key):
                named = {str(label): array.isel({dim: i}) for i, label in enumerate(array[dim].values)}
                bands |= {label: band for label, band in named.items() if label not in bands}
    return bands, images


def _drawn(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the numeric variables by name, without those that only support another one."""
    supporting = describing(ds)
    return {str(key): v for key, v in ds.data_vars.items() if v.dtype.kind in "iuf" and str(key) not in supporting}


def _by_default(bands: dict[str, xr.DataArray]) -> list[str]:
    """Return the names of the components, of the channels where there are none: as many as there are colours."""
    return _preferred(bands)[: len(PALETTE)]


def _preferred(bands: dict[str, xr.DataArray]) -> list[str]:
    return [name for name, band in bands.items() if "component" in band.coords] or list(bands)


def left_out(ds: xr.Dataset, variable: str | None) -> int:
    """Return how many components or channels are more than there are colours."""
    return max(0, len(_preferred(_available(ds, variable)[0])) - len(PALETTE))


def _own_colors(names: Sequence[str], bands: dict[str, xr.DataArray]) -> list[str]:
    """Return the colour that each component has in every picture; one after the other where two would be alike."""
    order = [name for band in _BANDS for name, array in bands.items() if band in array.coords]
    numbers = [order.index(name) if name in order else i for i, name in enumerate(names)]
    shades = [color(number) for number in numbers]
    return shades if len(set(shades)) == len(shades) else list(PALETTE)


def photograph(ds: xr.Dataset, variable: str | None) -> list[Layer]:
    """Return red, green and blue between common values, if a colour photograph is the only thing to draw in colour."""
    dims = spatial_dims(ds)
    banded = {key: v for key, v in _drawn(ds).items() if set(v.dims) - set(dims) and set(v.dims) & set(_BANDS)}
    chosen = [array for key, array in banded.items() if variable in (None, key)]
    if len(chosen) != 1 or chosen[0].dims != (*dims, "channel"):
        return []
    array = chosen[0]
    initials = [str(label).lower() for label in array["channel"].values]
    order = [initials.index(name) for names in _RGB for name in names if set(names) == set(initials) - set(_ALPHA)]
    # resampling turns the integers of a photograph into floats
    if len(order) != 3 or (array.dtype != np.uint8 and array.dtype.kind != "f"):
        return []
    seen = _covered(array.isel(channel=order), ds)
    bottom, top = window(seen.values, *PERCENTILES)
    unit = str(array.attrs.get("units", "1"))
    return [Layer(_PURE[i][0], seen.isel(channel=i), _PURE[i][1], bottom, top, unit, "photograph") for i in range(3)]


def _palette(count: int) -> list[str]:
    """Return distinct colours: beyond the six, hues a golden section apart."""
    from matplotlib.colors import to_hex

    further = [to_hex(hsv_to_rgb((0.07 + 0.618034 * i) % 1.0, 0.5, 0.75)) for i in range(count - len(PALETTE))]
    return [*PALETTE, *further]


def _hex(name: str) -> str:
    """Return a colour as both PyVista and matplotlib read it."""
    from matplotlib.colors import to_hex

    try:
        return str(to_hex(name))
    except ValueError:
        raise DataError(f"colors are names or codes such as 'red' or '#ff5a4d'; received {name!r}") from None


def _named(available: dict[str, xr.DataArray], key: str | int) -> str:
    if isinstance(key, int) and str(key) not in available and -len(available) <= key < len(available):
        return list(available)[key]
    if str(key) not in available:
        raise DataError(f"no component or variable {key!r}; there are {list(available)}")
    return str(key)


def _layer(name: str, values: xr.DataArray, shade: str) -> Layer:
    bottom, top = window(values.values, _BOTTOM, _TOP)
    # A component that is next to nothing in its darkest pixels begins at 0, or noise there would be drawn as signal.
    # One that is constant is drawn at full strength; where it is 0 everywhere, nothing is.
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        bottom, top = min(lowest, 0.0), max(highest, 0.0) or 1.0
    elif 0.0 <= bottom < _NEXT_TO_NOTHING * top:
        bottom = 0.0
    label = f"component {name}" if name.isdigit() else name
    return Layer(label, values, shade, bottom, top, str(values.attrs.get("units", "1")))


def _covered(array: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    coverage = ds.get("coverage")
    if coverage is None or "coverage" not in linked(array):
        return array
    return array.where(coverage > 0)


def drawn_names(ds: xr.Dataset) -> list[str]:
    """Return the names of the numeric variables that do not only support another one, coverage left out."""
    return [name for name in _drawn(ds) if name != "coverage"]
