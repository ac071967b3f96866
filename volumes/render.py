"""Draw a dataset in three dimensions with PyVista."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, check, spatial_dims
from fusion.errors import DataError
from volumes import blend, furniture, opengl
from volumes.mesh import refuse_points, to_pyvista, unlinked

if TYPE_CHECKING:
    import pyvista as pv

Style = Literal["volume", "slices", "both", "faces"]
BACKGROUND: Final = "#0e1116"
INK: Final = "#e8eaed"
_LARGEST: Final = 24e6
_LINE: Final = 0.042
_WINDOW: Final = range(100, 10_001)


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
        Two or three spatial dims. Nothing is drawn where a value is NaN, or where ``coverage`` is 0 for an array that
        names it in ``ancillary_variables``.
    variable : str, optional
        What to draw: an array on the spatial dims in grey, labels in one colour each (without what is called
        ``background`` or ``outside``), or an array with a ``component`` or ``channel`` dim in colours, a photograph
        in its own. Left out, the components are drawn if there are any, else the channels, else the first array.
    style : {"volume", "slices", "both", "faces"}
        A cloud; three planes through the middle (of what the coloured arrays cover, if there are any); both; or the
        outer faces, opaque. A 2-D dataset is always a plane.
    components : sequence of str or int, optional
        Names (or positions) of components, or of whole variables, to draw in colour, six at most. With a grey
        `variable` named as well, they are mixed with it.
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
    ds = drawable(ds)
    refuse_options(style, cmap, opacity, window_size)
    grey, found = selected(ds, variable, components, colors)
    opengl.require()
    import pyvista as pv

    plotter = pv.Plotter(off_screen=_no_display() if off_screen is None else off_screen, window_size=list(window_size))
    plotter.background_color = pv.Color(BACKGROUND)
    if grey is not None:
        _draw_grey(plotter, ds, grey, style, cmap, opacity)
    else:
        _draw_layers(plotter, ds, found, style, opacity)
    _finish(plotter, ds, len(blend.legend(found, INK)), scale_bar, axes)
    return plotter


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


def refuse_options(style: str, cmap: str, opacity: float, window_size: tuple[int, int]) -> None:
    """Refuse options that neither PyVista nor matplotlib can draw with.

    Raises
    ------
    DataError
        Naming the option and what it may be.
    """
    from matplotlib import colormaps

    if style not in get_args(Style):
        raise DataError(f"style is one of {', '.join(get_args(Style))}; received {style!r}")
    if cmap not in colormaps:
        raise DataError(f"cmap is the name of a colour map of matplotlib, e.g. 'gray' or 'viridis'; received {cmap!r}")
    if not 0.0 <= opacity <= 1.0:
        raise DataError(f"opacity lies between 0 and 1; received {opacity!r}")
    whole = [size for size in window_size if isinstance(size, (int, np.integer)) and size in _WINDOW]
    if len(whole) != 2 or len(window_size) != 2:
        limits = f"{_WINDOW.start} to {_WINDOW.stop - 1}"
        raise DataError(f"window_size is a width and a height of {limits} pixels; received {window_size!r}")


def selected(
    ds: xr.Dataset, variable: str | None, components: Sequence[str | int] | None, colors: Sequence[str] | None
) -> tuple[xr.DataArray | None, list[blend.Layer]]:
    """Return either the array that is drawn by itself, or the layers that are mixed."""
    if variable is not None and variable not in ds.data_vars:
        raise DataError(f"no variable {variable!r} to draw; the dataset has {list(ds.data_vars)}")
    grey_named = variable in ds and set(ds[variable].dims) == set(spatial_dims(ds))
    if components is None and (grey_named or not blend.has_layers(ds, variable)):
        array = blend.scalar(ds, variable)
        named = blend.label_layers(array, colors)
        return (None, named) if named else (array, [])
    found = blend.layers(ds, None if grey_named else variable, components, colors)
    return None, [blend.grey_layer(blend.scalar(ds, variable), found), *found] if grey_named else found


def _draw_grey(
    plotter: pv.Plotter, ds: xr.Dataset, array: xr.DataArray, style: Style, cmap: str, opacity: float
) -> None:
    values = array.astype(np.float32)
    low, high = blend.window(values.values, *blend.PERCENTILES)
    shown = ds.drop_vars(list(ds.data_vars)).assign(shown=values.assign_attrs(array.attrs))
    title, unit = str(array.attrs.get("long_name", array.name)), str(array.attrs.get("units", "1"))
    furniture.add_color_bar(plotter, title if unit == "1" else f"{title} / {unit}", cmap, (low, high), INK)
    look: dict[str, Any] = {"scalars": "shown", "cmap": cmap, "clim": (low, high), "show_scalar_bar": False}
    for plane in _planes(shown, style, {}):
        plotter.add_mesh(to_pyvista(plane), lighting=False, nan_opacity=0.0, **look)
    if _is_cloud(shown, style):
        filled = shown.assign(shown=shown["shown"].fillna(low))
        grid = to_pyvista(filled)
        plotter.add_volume(grid, opacity=_ramp(opacity), opacity_unit_distance=_depth(grid), **look)


def _draw_layers(plotter: pv.Plotter, ds: xr.Dataset, found: list[blend.Layer], style: Style, opacity: float) -> None:
    rgba, covered = blend.mixed(found), blend.covered(found)
    solid, cloud = rgba.copy(), rgba
    solid[..., 3] = 255 * covered
    cloud[..., 3] = _ramp(opacity).astype(np.uint8)[cloud[..., 3]]
    for plane in _planes(_with_rgba(ds, solid), style, blend.focus(found)):
        plotter.add_mesh(to_pyvista(plane), scalars="shown", rgba=True, lighting=False)
    if _is_cloud(ds, style):
        grid = to_pyvista(_with_rgba(ds, cloud))
        drawn: Any = plotter.add_volume(grid, scalars="shown")
        # VTK takes the depth for the opacity of RGBA from its fourth component, which PyVista leaves at 1 um
        drawn.prop.SetScalarOpacityUnitDistance(3, _depth(grid))
    _add_legend(plotter, found)


def _with_rgba(ds: xr.Dataset, rgba: Any) -> xr.Dataset:
    bare = ds.drop_vars(list(ds.data_vars)).drop_vars("channel", errors="ignore")
    shown = (*spatial_dims(ds), "channel"), rgba, {"cell_methods": "point", "grid_mapping": "pose"}
    return bare.assign(shown=shown).assign_coords(channel=list("rgba"))


def _ramp(opacity: float) -> Any:
    """Return 256 opacities (0-255): nothing in the lowest quarter, then rising to `opacity`."""
    level = np.clip((np.linspace(0.0, 1.0, 256) - 0.25) / 0.75, 0.0, 1.0)
    return 255.0 * opacity * level**1.5


def _depth(grid: pv.DataSet) -> float:
    """Return the way through which an opacity counts once: a voxel's diagonal, in the units of the grid."""
    return float(grid.length / np.mean(grid.dimensions))


def _is_cloud(ds: xr.Dataset, style: Style) -> bool:
    return style in ("volume", "both") and all(ds.sizes.get(dim, 1) > 1 for dim in SPATIAL)


def _planes(ds: xr.Dataset, style: Style, focus: Mapping[str, int]) -> list[xr.Dataset]:
    """Return three planes through the focus or the middle, the three faces that are seen, or the one plane of a map."""
    dims = [dim for dim in spatial_dims(ds) if ds.sizes[dim] > 1]
    if len(dims) < 3:
        return [ds.squeeze(drop=False)]
    if style == "faces":
        return [ds.isel(z=0), ds.isel(y=-1), ds.isel(x=-1)]
    return [ds.isel({dim: focus.get(dim, ds.sizes[dim] // 2)}) for dim in dims] if style != "volume" else []


def _finish(plotter: pv.Plotter, ds: xr.Dataset, lines: int, scale_bar: bool, axes: bool) -> None:
    unit = str(ds[spatial_dims(ds)[-1]].attrs["units"])
    bounds = np.reshape(plotter.bounds, (3, 2))
    _aim(plotter, bounds, lines)
    if axes:
        furniture.add_box(plotter, bounds, unit, INK)
        plotter.renderer.ResetCameraClippingRange()
    if scale_bar:
        furniture.add_scale_bar(plotter, unit, INK)


def _aim(plotter: pv.Plotter, bounds: Any, lines: int) -> None:
    """Look with x to the right, a plane as an image is shown, a volume with its first slice on top.

    Around the scene stays room for labels, colour bar, scale bar and the lines of the legend.
    """
    flat = bounds[2, 0] == bounds[2, 1]
    towards = np.array([0.0, 0.0, -1.0] if flat else [0.45, 0.8, -0.55])
    towards /= np.linalg.norm(towards)
    up = np.array([0.0, -1.0, 0.0] if flat else [0.0, 0.0, -1.0])
    right = np.cross(up, towards) / np.linalg.norm(np.cross(up, towards))
    above = np.cross(towards, right)
    half = (bounds[:, 1] - bounds[:, 0]) / 2
    left_room, right_room = (0.16, 0.15) if flat else (0.13, 0.21)
    low_room, high_room = 0.2, min(0.07 + _LINE * lines, 0.24)
    free = 1.0 - left_room - right_room, 1.0 - low_room - high_room
    aspect = plotter.window_size[0] / plotter.window_size[1]
    scale = max(np.abs(right) @ half / (free[0] * aspect), np.abs(above) @ half / free[1])
    aside = (right_room - left_room) * aspect * right + (high_room - low_room) * above
    camera = plotter.camera
    camera.focal_point, camera.up = bounds.mean(axis=1) + scale * aside, above
    camera.position = np.asarray(camera.focal_point) + 4.0 * np.linalg.norm(half) * towards
    camera.parallel_projection = True
    camera.parallel_scale = scale
    plotter.renderer.ResetCameraClippingRange()


def _add_legend(plotter: pv.Plotter, found: list[blend.Layer]) -> None:
    """Name each colour and the value at which it is brightest."""
    size = max(6, round(13 * plotter.window_size[1] / 900))
    for i, (text, color) in enumerate(blend.legend(found, INK)):
        plotter.add_text(text, position=(0.04, 0.94 - _LINE * i), viewport=True, color=color, font_size=size)


def thinned(ds: xr.Dataset) -> xr.Dataset:
    """Leave out every second voxel until the rest can be drawn at once."""
    while np.prod([float(ds.sizes[dim]) for dim in spatial_dims(ds)]) > _LARGEST:
        longest = max(spatial_dims(ds), key=lambda dim: ds.sizes[dim])
        ds = ds.isel({longest: slice(None, None, 2)})
    return ds


def _no_display() -> bool:
    return sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
