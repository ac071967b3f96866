"""Draw a dataset in three dimensions with PyVista."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, check, spatial_dims
from fusion.errors import DataError
from volumes import blend, furniture, opengl
from volumes.mesh import to_pyvista

if TYPE_CHECKING:
    import pyvista as pv

Style = Literal["volume", "slices", "both"]
BACKGROUND: Final = "#0e1116"
INK: Final = "#e8eaed"
_LARGEST: Final = 24e6
_PERCENTILES: Final = (2.0, 99.8)


def render(
    ds: xr.Dataset,
    *,
    variable: str | None = None,
    style: Style = "volume",
    components: Sequence[str | int] | None = None,
    colors: Sequence[str] | None = None,
    cmap: str = "gray",
    opacity: float = 0.5,
    off_screen: bool | None = None,
    scale_bar: bool = True,
    axes: bool = True,
    window_size: tuple[int, int] = (1200, 900),
) -> pv.Plotter:
    """Draw a volume, a map or a stack, seen from its first slice and its last row.

    Parameters
    ----------
    ds : Dataset
        Two or three spatial dims. Where a variable ``coverage`` is 0 or a value is NaN, nothing is drawn.
    variable : str, optional
        What to draw: an array on the spatial dims in grey, or one with a ``component`` or ``channel`` dim in colours.
        Left out, the components are drawn if there are any, else the first array.
    style : {"volume", "slices", "both"}
        A cloud, the three planes through the middle, or both. A 2-D dataset is always a plane.
    components : sequence of str or int, optional
        Names (or positions) of components, or of whole variables, to draw in colour, six at most. With a grey
        `variable` named as well, they are drawn over it.
    colors : sequence of str, optional
        One colour for each component.
    cmap : str, optional
        Colour map of the array that is drawn without components.
    opacity : float, optional
        Opacity of the brightest voxels, from 0 to 1.
    off_screen : bool, optional
        Without a window. Left out, this depends on whether there is a display.
    scale_bar, axes : bool, optional
        A bar of round length, true in the plane of the screen; and a box with labelled ticks.
    window_size : (int, int)
        Width and height in pixels.

    Returns
    -------
    pyvista.Plotter
        Call ``show()`` or ``screenshot(path)``. More than 24 million voxels are thinned out for drawing.

    Raises
    ------
    DataError
        If there is nothing to draw, or no OpenGL on this machine.
    """
    ds = _thinned(check(ds))
    if len(spatial_dims(ds)) < 2:
        raise DataError(f"two or three spatial dims can be drawn; the dataset has {spatial_dims(ds)}")
    opengl.require()
    import pyvista as pv

    plotter = pv.Plotter(off_screen=_no_display() if off_screen is None else off_screen, window_size=list(window_size))
    plotter.set_background(BACKGROUND)
    grey, found = selected(ds, variable, components, colors)
    if grey is not None:
        _draw_grey(plotter, ds, grey, style, cmap, opacity if not found else 0.4 * opacity, legend=not found)
    if found:
        _draw_layers(plotter, ds, found, style, opacity)
    _finish(plotter, ds, scale_bar, axes)
    return plotter


def selected(
    ds: xr.Dataset, variable: str | None, components: Sequence[str | int] | None, colors: Sequence[str] | None
) -> tuple[xr.DataArray | None, list[blend.Layer]]:
    """Return what is drawn in grey and what in colour."""
    grey_named = variable in ds and set(ds[variable].dims) == set(spatial_dims(ds))
    if components is None and (grey_named or not blend.has_layers(ds, variable)):
        return blend.scalar(ds, variable), []
    found = blend.layers(ds, None if grey_named else variable, components, colors)
    return (blend.scalar(ds, variable) if grey_named else None), found


def _draw_grey(
    plotter: pv.Plotter, ds: xr.Dataset, array: xr.DataArray, style: Style, cmap: str, opacity: float, *, legend: bool
) -> None:
    values = array.astype(np.float32)
    low, high = blend.window(values.values, *_PERCENTILES)
    shown = ds.drop_vars(list(ds.data_vars)).assign(shown=values.assign_attrs(array.attrs))
    title = f"{array.attrs.get('long_name', array.name)}" + _unit_text(array.attrs.get("units", "1"))
    bar: dict[str, Any] = {
        "title": title, "color": INK, "vertical": True, "height": 0.5, "width": 0.06, "position_x": 0.88,
        "position_y": 0.25, "n_labels": 3, "label_font_size": 18, "title_font_size": 20, "fmt": "%.4g",
    }  # fmt: skip
    for plane in _planes(shown, style):
        plotter.add_mesh(
            to_pyvista(plane), scalars="shown", cmap=cmap, clim=(low, high), lighting=False, nan_opacity=0.0,
            show_scalar_bar=legend, scalar_bar_args=bar,
        )  # fmt: skip
    if _is_cloud(shown, style):
        filled = shown.assign(shown=shown["shown"].fillna(low))
        plotter.add_volume(
            to_pyvista(filled), scalars="shown", cmap=cmap, clim=(low, high), opacity=_ramp(opacity), shade=False,
            show_scalar_bar=legend, scalar_bar_args=bar,
        )  # fmt: skip


def _draw_layers(plotter: pv.Plotter, ds: xr.Dataset, found: list[blend.Layer], style: Style, opacity: float) -> None:
    rgba = blend.mixed(found)
    dims = (*spatial_dims(ds), "channel")
    shown = ds.drop_vars(list(ds.data_vars)).drop_vars("channel", errors="ignore")
    shown = shown.assign(shown=(dims, rgba, {"cell_methods": "point"})).assign_coords(channel=list("rgba"))
    for plane in _planes(shown, style):
        grid = to_pyvista(plane)
        solid = grid["shown"].copy()
        solid[:, 3] = np.where(solid[:, 3] > 0, 255, 0)
        grid["shown"] = solid
        plotter.add_mesh(grid, scalars="shown", rgba=True, lighting=False)
    if _is_cloud(shown, style):
        grid = to_pyvista(shown)
        cloud = grid["shown"].copy()
        cloud[:, 3] = (_ramp(opacity)[cloud[:, 3]]).astype(np.uint8)
        grid["shown"] = cloud
        plotter.add_volume(grid, scalars="shown", shade=False)
    _add_legend(plotter, found)


def _ramp(opacity: float) -> Any:
    """Return 256 opacities (0-255): nothing in the lowest quarter, then rising to `opacity`."""
    level = np.clip((np.linspace(0.0, 1.0, 256) - 0.25) / 0.75, 0.0, 1.0)
    return 255.0 * opacity * level**1.5


def _is_cloud(ds: xr.Dataset, style: Style) -> bool:
    return style != "slices" and all(ds.sizes.get(dim, 1) > 1 for dim in SPATIAL)


def _planes(ds: xr.Dataset, style: Style) -> list[xr.Dataset]:
    """Return the three planes through the middle, or the one plane of a 2-D dataset."""
    dims = [dim for dim in spatial_dims(ds) if ds.sizes[dim] > 1]
    if len(dims) < 3:
        return [ds.squeeze(drop=False)]
    return [ds.isel({dim: ds.sizes[dim] // 2}) for dim in dims] if style != "volume" else []


def _finish(plotter: pv.Plotter, ds: xr.Dataset, scale_bar: bool, axes: bool) -> None:
    unit = str(ds[spatial_dims(ds)[-1]].attrs["units"])
    bounds = np.reshape(plotter.bounds, (3, 2))
    if axes:
        furniture.add_box(plotter, bounds, unit, INK)
    flat = bounds[2, 0] == bounds[2, 1]
    plotter.camera_position = [(0, 0, -1) if flat else (0.55, 1.0, -0.7), (0, 0, 0), (0, -1, 0) if flat else (0, 0, -1)]
    plotter.enable_parallel_projection()
    plotter.reset_camera(bounds=bounds.ravel())
    plotter.camera.zoom(1.15 if flat else 0.95)
    if scale_bar:
        furniture.add_scale_bar(plotter, unit, INK)


def _add_legend(plotter: pv.Plotter, found: list[blend.Layer]) -> None:
    """Name each colour and the value at which it is brightest."""
    for i, layer in enumerate(found):
        text = f"■ {layer.name}  0 – {layer.top:.3g}{_unit_text(layer.units)}"
        plotter.add_text(text, position=(0.04, 0.94 - 0.042 * i), viewport=True, color=layer.color, font_size=13)


def _unit_text(unit: str) -> str:
    return "" if unit == "1" else f" / {unit}"


def _thinned(ds: xr.Dataset) -> xr.Dataset:
    """Leave out every second voxel until the rest can be drawn at once."""
    while np.prod([float(ds.sizes[dim]) for dim in spatial_dims(ds)]) > _LARGEST:
        longest = max(spatial_dims(ds), key=lambda dim: ds.sizes[dim])
        ds = ds.isel({longest: slice(None, None, 2)})
    return ds


def _no_display() -> bool:
    return sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
