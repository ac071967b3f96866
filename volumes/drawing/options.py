"""How a dataset is drawn, in three dimensions or flat, and what of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import xarray as xr

from fusion.conventions import check, spatial_dims
from fusion.errors import DataError
from volumes.drawing import layers
from volumes.drawing.layers import Layer
from volumes.drawing.mesh import refuse_points, unlinked

Style = Literal["volume", "slices", "both", "faces", "relief"]
BACKGROUND: Final = "#0e1116"
INK: Final = "#e8eaed"
LINE: Final = 0.042
"""Height of a line of the legend, as a share of the picture."""
LARGEST: Final = 24e6
"""Voxels that are drawn at once: RGBA of them takes 100 MB of a graphics card, and sums in double four times that."""
THINNED: Final = "thinned"
_WINDOW: Final = range(100, 10_001)


@dataclass(frozen=True)
class Options:
    """The options of `volumes.render`, which describes them.

    Raises
    ------
    DataError
        If neither PyVista nor matplotlib can draw with one, naming it and what it may be.
    """

    variable: str | None = None
    style: Style = "volume"
    components: Sequence[str | int] | None = None
    colors: Sequence[str] | None = None
    overlay: xr.Dataset | None = None
    alpha: float = 0.7
    contours: bool = False
    fade: bool = False
    exaggeration: float | None = None
    in_frame: bool = False
    cmap: str = "gray"
    opacity: float = 0.5
    off_screen: bool | None = None
    scale_bar: bool = True
    axes: bool = True
    window_size: tuple[int, int] = (1200, 900)

    def __post_init__(self) -> None:
        from matplotlib import colormaps

        if self.style not in get_args(Style):
            raise DataError(f"style is one of {', '.join(get_args(Style))}; received {self.style!r}")
        if self.cmap not in colormaps:
            raise DataError(
                f"cmap is the name of a colour map of matplotlib, e.g. 'gray' or 'viridis'; received {self.cmap!r}"
            )
        for name in ("opacity", "alpha"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise DataError(f"{name} lies between 0 and 1; received {getattr(self, name)!r}")
        if self.exaggeration is not None and not 0.0 < self.exaggeration < np.inf:
            raise DataError(f"exaggeration is a positive factor of the heights; received {self.exaggeration!r}")
        sizes = [size for size in self.window_size if isinstance(size, (int, np.integer)) and size in _WINDOW]
        if len(sizes) != 2 or len(self.window_size) != 2:
            limits = f"{_WINDOW.start} to {_WINDOW.stop - 1}"
            raise DataError(f"window_size is a width and a height of {limits} pixels; received {self.window_size!r}")


class Chosen(NamedTuple):
    """What is drawn: one array by itself on a colour map, or layers that are mixed over what lies behind them."""

    grey: xr.DataArray | None
    layers: list[Layer]
    behind: list[Layer]
    left_out: int = 0
    """How many components there are beyond those that have a colour."""

    def all_layers(self, alpha: float) -> list[Layer]:
        """Return the layers to mix, those behind dimmed by the others."""
        return [*layers.beneath(self.behind, self.layers, alpha), *self.layers]


def drawable(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset as it is drawn: judged, of a size that can be drawn at once.

    Raises
    ------
    DataError
        If it has no two spatial dims, is a single pixel, or holds points.
    """
    ds = check(unlinked(ds))
    refuse_points(ds)
    sizes = {dim: ds.sizes[dim] for dim in spatial_dims(ds)}
    if len(sizes) < 2:
        raise DataError(f"two or three spatial dims can be drawn; the dataset has {spatial_dims(ds)}")
    if max(sizes.values()) < 2:
        raise DataError(f"two pixels or more can be drawn; the dataset has the sizes {sizes}")
    return thinned(ds)


def chosen(ds: xr.Dataset, options: Options) -> Chosen:
    """Return what of a dataset is drawn.

    A grey image or a colour photograph that `variable` names, with components named as well, lies behind these.

    Raises
    ------
    DataError
        If a name is unknown, there is nothing to draw, or colours without a standard error are to fade.
    """
    drawn = _chosen(ds, options)
    if not options.fade:
        return drawn
    if drawn.grey is not None:
        raise DataError("colours fade, and this is one array in grey; name it in components= to draw it in colour")
    return drawn._replace(layers=[layers.faded(layer, ds) for layer in drawn.layers])


def _chosen(ds: xr.Dataset, options: Options) -> Chosen:
    variable, components, colors = options.variable, options.components, options.colors
    if variable is not None and variable not in ds.data_vars:
        raise DataError(f"no variable {variable!r} to draw; the dataset has {list(ds.data_vars)}")
    image_named = variable in ds and set(ds[variable].dims) == set(spatial_dims(ds))
    if components is None:
        if image_named or not layers.has_layers(ds, variable):
            array = layers.scalar(ds, variable)
            named = layers.label_layers(array, colors)
            return Chosen(None if named else array, named, [])
        drawn = layers.layers(ds, variable, None, colors)
        return Chosen(None, drawn, [], 0 if drawn[0].role == "photograph" else layers.left_out(ds, variable))
    if image_named:
        behind = [layers.grey_layer(layers.scalar(ds, variable))]
        return Chosen(None, layers.layers(ds, None, components, colors), behind)
    behind = layers.photograph(ds, variable) if variable is not None else []
    if behind and not set(map(str, components)) <= set(map(str, ds[variable]["channel"].values)):
        return Chosen(None, layers.layers(ds.drop_vars(str(variable)), None, components, colors), behind)
    return Chosen(None, layers.layers(ds, variable, components, colors), [])


def thinned(ds: xr.Dataset) -> xr.Dataset:
    """Leave out every second voxel until the rest can be drawn at once; the attribute ``thinned`` says what is left."""
    strides = dict.fromkeys(spatial_dims(ds), 1)
    while np.prod([float(-(-ds.sizes[dim] // stride)) for dim, stride in strides.items()]) > LARGEST:
        longest = max(strides, key=lambda dim: ds.sizes[dim] / strides[dim])
        strides[longest] *= 2
    if max(strides.values()) == 1:
        return ds
    ways = ", ".join(f"one in {stride} along {dim}" for dim, stride in strides.items() if stride > 1)
    return ds.isel({dim: slice(None, None, stride) for dim, stride in strides.items()}).assign_attrs({THINNED: ways})
