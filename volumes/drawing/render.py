"""Draw a dataset in three dimensions with PyVista."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from fusion.affine import Affine
from fusion.conventions import SPATIAL, cell_methods, spatial_dims
from fusion.display import spelled, y_upwards
from fusion.errors import DataError
from fusion.frames import get_pose, with_pose
from volumes.drawing import layers, legend, opengl
from volumes.drawing.annotations import add_box, add_color_bar, add_scale_bar
from volumes.drawing.glyphs import add_points
from volumes.drawing.jupyter import plotter_class
from volumes.drawing.mesh import to_pyvista
from volumes.drawing.mixing import covered, focus, mixed, window
from volumes.drawing.options import BACKGROUND, INK, LINE, THINNED, Chosen, Options, Style, chosen, drawable
from volumes.drawing.overlay import Points, with_overlay
from volumes.drawing.relief import Relief, draped, relief_of

if TYPE_CHECKING:
    import pyvista as pv


def render(
    ds: xr.Dataset,
    *,
    variable: str | None = None,
    style: Style = "volume",
    components: Sequence[str | int] | None = None,
    colors: Sequence[str] | None = None,
    overlay: xr.Dataset | None = None,
    alpha: float = 0.7,
    contours: bool = False,
    fade: bool = False,
    exaggeration: float | None = None,
    in_frame: bool = False,
    cmap: str = "gray",
    opacity: float = 0.5,
    off_screen: bool | None = None,
    scale_bar: bool = True,
    axes: bool = True,
    window_size: tuple[int, int] = (1200, 900),
) -> pv.Plotter:
    """Draw a volume, seen from its first slice and its last row, or an image face-on in its own axes.

    Parameters
    ----------
    ds : Dataset
        Two or three spatial dims. Nothing is drawn where a value is NaN, or where ``coverage`` is 0 for an array that
        names it in ``ancillary_variables``.
    variable : str, optional
        What to draw: an array on the spatial dims in grey, labels in one colour each (without what is called
        ``background`` or ``outside``), or an array with a ``component`` or ``channel`` dim in colours, a photograph
        in its own. Left out, the components are drawn if there are any, else the channels, else the first array.
    style : {"volume", "slices", "both", "faces", "relief"}
        A cloud; three planes through the middle (of what the coloured arrays cover, if there are any); both; or the
        outer faces, opaque. A 2-D dataset is a plane, or with ``"relief"`` a surface of the heights in its variable
        ``height``, over which the array, the components or the overlay are draped.
    components : sequence of str or int, optional
        Names (or positions) of components, or of variables, to draw in colour, six at most. With a grey image or a
        colour photograph as `variable`, they are drawn over it.
    colors : sequence of str, optional
        One colour for each component. Left out, component k has its own colour, the same in all pictures.
    overlay : Dataset, optional
        A map, an image or points to draw over this one, through their poses: each pixel in the colour of the nearest
        one of the overlay; points as spheres of their variable ``radius``, or as small ones of one size.
    alpha : float, optional
        Opacity of components over an image: where they have a value, the image shows with ``1 - alpha``.
    contours : bool, optional
        Components as contours at a quarter, half and three quarters of their range; in flat pictures only.
    fade : bool, optional
        Draw colours with the share v² / (v² + s²) of their strength, v the value and s its standard error. In a fused
        volume, whose errors contain that of the position, this shows where the place of a component is not known.
    exaggeration : float, optional
        Factor by which a relief is drawn higher than it is. Left out, a round one that lets the heights reach a
        quarter of the longer side. The legend says it, and the ticks are those of the heights.
    in_frame : bool, optional
        Show an image where its pose puts it, turned and tilted, with the coordinates of its frame. Volumes always are.
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
        Call ``show()`` or ``screenshot(path)``. In a notebook ``show()`` is PyVista's live view, on loopback and with
        a random key. More than 24 million voxels are thinned out for drawing, and the legend says so.

    Raises
    ------
    DataError
        If there is nothing to draw, or no OpenGL on this machine.
    """
    options = Options(
        variable=variable, style=style, components=components, colors=colors, overlay=overlay, alpha=alpha,
        contours=contours, fade=fade, exaggeration=exaggeration, in_frame=in_frame, cmap=cmap, opacity=opacity,
        off_screen=off_screen, scale_bar=scale_bar, axes=axes, window_size=window_size,
    )  # fmt: skip
    if contours:
        raise DataError("contours are drawn flat; use volumes.plot")
    ds, options, points = with_overlay(drawable(ds), options)
    drawn, relief = chosen(ds, options), relief_of(ds, options)
    if relief is not None and points is not None:
        raise DataError("points are drawn over an image or in a volume, not on a relief; leave out style='relief'")
    opengl.require()
    import pyvista as pv

    hidden = _no_display() if off_screen is None else off_screen
    plotter: pv.Plotter = plotter_class()(off_screen=hidden, window_size=list(window_size))
    plotter.background_color = pv.Color(BACKGROUND)
    upwards = y_upwards(ds) and len(spatial_dims(ds)) < 3 and not in_frame
    ds = ds if in_frame else _in_own_axes(ds)
    if drawn.grey is not None:
        _draw_grey(plotter, ds, drawn.grey, options, relief)
    else:
        _draw_layers(plotter, ds, drawn.all_layers(options.alpha), options, relief)
    if points is not None:
        add_points(plotter, points, ds, alpha)
    lines = _legend_lines(drawn, options, points, relief, ds.attrs.get(THINNED))
    _finish(plotter, ds, len(lines), options, upwards, relief)
    _add_legend(plotter, lines)
    return plotter


def _in_own_axes(ds: xr.Dataset) -> xr.Dataset:
    """Return an image without its pose, so that it is seen face-on; volumes keep theirs."""
    return ds if len(spatial_dims(ds)) > 2 else with_pose(ds, Affine.identity(), get_pose(ds)[1])


def _legend_lines(
    drawn: Chosen, options: Options, points: Points | None, relief: Relief | None, thinned: object
) -> list[legend.Line]:
    if drawn.grey is not None:
        lines = legend.of_grey(drawn.grey, INK)
    else:
        lines = legend.of_layers([*drawn.behind, *drawn.layers], INK) + legend.of_left_out(drawn.left_out, INK)
    lines += [legend.of_points(points)] if points is not None else []
    lines += [(f"heights × {abs(relief.stretch):g}", INK)] if relief is not None else []
    lines += legend.of_thinned(thinned, INK)
    return legend.wrapped(lines, 0.92 * options.window_size[0], _letters(options.window_size[1]))


def _letters(height: float) -> float:
    """Return the height of letters of the legend, in pixels of a picture of that height."""
    return max(9.0, 25.0 * height / 900)


def _draw_grey(
    plotter: pv.Plotter, ds: xr.Dataset, array: xr.DataArray, options: Options, relief: Relief | None
) -> None:
    values = array.astype(np.float32)
    low, high = window(values.values, *layers.PERCENTILES)
    shown = ds.drop_vars(list(ds.data_vars)).assign(shown=values.assign_attrs(array.attrs))
    unit = spelled(str(array.attrs.get("units", "1")))
    add_color_bar(plotter, " " if unit == "1" else unit, options.cmap, (low, high), INK)
    shade: dict[str, Any] = {"scalars": "shown", "cmap": options.cmap, "clim": (low, high), "show_scalar_bar": False}
    for plane in _planes(shown, options.style, {}):
        plotter.add_mesh(**_surface(plane, relief), nan_opacity=0.0, **shade)
    if _is_cloud(shown, options.style):
        filled = shown.assign(shown=shown["shown"].fillna(low))
        grid = to_pyvista(filled)
        plotter.add_volume(grid, opacity=_ramp(options.opacity), opacity_unit_distance=_depth(grid), **shade)


def _draw_layers(
    plotter: pv.Plotter, ds: xr.Dataset, drawn: list[layers.Layer], options: Options, relief: Relief | None
) -> None:
    rgba = mixed(drawn)
    solid, cloud = rgba.copy(), rgba
    solid[..., 3] = 255 * covered(drawn)
    cloud[..., 3] = _ramp(options.opacity).astype(np.uint8)[cloud[..., 3]]
    for plane in _planes(_with_rgba(ds, solid), options.style, focus(drawn)):
        plotter.add_mesh(**_surface(plane, relief), scalars="shown", rgba=True)
    if _is_cloud(ds, options.style):
        grid = to_pyvista(_with_rgba(ds, cloud))
        actor: Any = plotter.add_volume(grid, scalars="shown")
        # VTK takes the depth for the opacity of RGBA from its fourth component, which PyVista leaves at 1 um
        actor.prop.SetScalarOpacityUnitDistance(3, _depth(grid))


def _surface(plane: xr.Dataset, relief: Relief | None) -> dict[str, Any]:
    """Return the mesh of a plane in its own colours, or draped over a relief, whose shape only light shows."""
    if relief is None:
        return {"mesh": to_pyvista(plane), "lighting": False}
    return {"mesh": draped(plane, relief), "smooth_shading": True, "ambient": 0.25, "specular": 0.0}


def _with_rgba(ds: xr.Dataset, rgba: Any) -> xr.Dataset:
    bare = ds.drop_vars(list(ds.data_vars)).drop_vars("channel", errors="ignore")
    shown = (*spatial_dims(ds), "channel"), rgba, {**cell_methods(spatial_dims(ds), "point"), "grid_mapping": "pose"}
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


def _finish(
    plotter: pv.Plotter, ds: xr.Dataset, lines: int, options: Options, upwards: bool, relief: Relief | None
) -> None:
    unit = str(ds[spatial_dims(ds)[-1]].attrs["units"])
    bounds = np.reshape(plotter.bounds, (3, 2))
    _aim(plotter, bounds, lines, upwards)
    if options.axes:
        add_box(plotter, bounds, unit, INK, 1.0 if relief is None else relief.stretch)
        plotter.renderer.ResetCameraClippingRange()
    if options.scale_bar:
        add_scale_bar(plotter, unit, INK)


def _aim(plotter: pv.Plotter, bounds: Any, lines: int, upwards: bool) -> None:
    """Aim the camera with x to the right, y of an image up or down, the first slice of a volume or a hill on top.

    Around the scene stays room for labels, colour bar, scale bar and the lines of the legend.
    """
    flat = bounds[2, 0] == bounds[2, 1]
    turned = np.array([1.0, -1.0, -1.0] if upwards else [1.0, 1.0, 1.0])
    towards = turned * ([0.0, 0.0, -1.0] if flat else [0.45, 0.8, -0.55])
    towards /= np.linalg.norm(towards)
    up = turned * ([0.0, -1.0, 0.0] if flat else [0.0, 0.0, -1.0])
    right = np.cross(up, towards) / np.linalg.norm(np.cross(up, towards))
    above = np.cross(towards, right)
    half = (bounds[:, 1] - bounds[:, 0]) / 2
    left_room, right_room = (0.16, 0.15) if flat else (0.13, 0.21)
    low_room, high_room = 0.2, min(0.07 + LINE * lines, 0.24)
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


def _add_legend(plotter: pv.Plotter, lines: Sequence[legend.Line]) -> None:
    """Name each colour and the value at which it is brightest."""
    size = max(6, round(13 * plotter.window_size[1] / 900))
    for i, (text, color) in enumerate(lines):
        plotter.add_text(text, position=(0.04, 0.94 - LINE * i), viewport=True, color=color, font_size=size)


def _no_display() -> bool:
    return sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
