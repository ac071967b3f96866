"""Pictures as PNG files: rendered in three dimensions, or drawn flat where there is no OpenGL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import display
from fusion.conventions import spacing, spatial_dims
from fusion.errors import StoreError
from fusion.reading.paths import PathArg
from volumes.drawing import layers, opengl
from volumes.drawing.annotations import round_length, ticks
from volumes.drawing.options import BACKGROUND, INK, LINE, Look, drawable, selected
from volumes.drawing.render import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI: Final = 100
Plane = tuple[str, str]


class Picture(NamedTuple):
    """A picture that was written: where, whether it is a 3D rendering, and if not, why."""

    path: Path
    rendered: bool
    note: str


def picture(ds: xr.Dataset, path: PathArg, **options: Any) -> Picture:
    """Write a PNG picture of a dataset.

    Parameters
    ----------
    ds : Dataset
        As for `volumes.render`.
    path : path-like
        A name ending in ``.png``; an existing file is replaced.
    **options
        Those of `volumes.render`.

    Returns
    -------
    Picture
        ``rendered`` is False where this machine has no OpenGL; the picture then shows the planes through the middle,
        and ``note`` says what to install.

    Raises
    ------
    DataError
        If there is nothing to draw.
    StoreError
        If the file cannot be written.
    """
    place = Path(path)
    if place.suffix.lower() != ".png" or not place.parent.is_dir():
        raise StoreError(f"{place}: a picture is a .png file in a folder that exists")
    if opengl.available():
        plotter = render(ds, **{**options, "off_screen": True})
        try:
            plotter.screenshot(place)
        finally:
            plotter.close()
        return Picture(place, True, "")
    flat(ds, **options).savefig(place, dpi=_DPI)
    return Picture(place, False, f"drawn flat: {opengl.ADVICE}")


def flat(ds: xr.Dataset, **options: Any) -> Figure:
    """Draw three planes of a dataset without OpenGL.

    Parameters
    ----------
    ds : Dataset
    **options
        Those of `volumes.render`; ``style``, ``opacity`` and ``off_screen`` have no meaning here.

    Raises
    ------
    DataError
        If there is nothing to draw.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    look, ds = Look(**options), drawable(ds)
    grey, found = selected(ds, look.variable, look.components, look.colors)
    legend = _legend(grey, found)
    layout = ConstrainedLayoutEngine(compress=True, rect=(0.01, 0.01, 0.98, 0.96 - LINE * len(legend)))
    size = look.window_size[0] / _DPI, look.window_size[1] / _DPI
    figure = Figure(figsize=size, facecolor=BACKGROUND, layout=layout)
    panels = _panels(figure, ds)
    middle = {dim: ds.sizes[dim] // 2 for dim in spatial_dims(ds)} | (layers.focus(found) if found else {})
    for pair, panel in panels.items():
        _draw(panel, ds, grey, found, pair, look.cmap, middle)
        _label(panel, ds, pair, look.axes)
    if look.scale_bar:
        _add_scale_bar(next(iter(panels.values())), ds)
    for i, (text, color) in enumerate(legend):
        figure.text(0.02, 0.98 - LINE * i, text, color=color, fontsize=15, va="top")
    return figure


def _panels(figure: Figure, ds: xr.Dataset) -> dict[Plane, Axes]:
    """Return one panel per plane, each as wide and high as it is in the specimen: below and beside the image."""
    dims = spatial_dims(ds)
    if len(dims) < 3 or min(ds.sizes[dim] for dim in dims) < 2:
        # a row or a column has a second dim all the same, one pixel wide
        row, column = sorted(sorted(dims, key=lambda dim: ds.sizes[dim] < 2)[:2], key=dims.index)
        return {(row, column): figure.add_subplot()}
    long = {dim: float(np.ptp(ds[dim].values)) for dim in dims}
    grid = figure.add_gridspec(2, 2, width_ratios=[long["x"], long["z"]], height_ratios=[long["y"], long["z"]])
    places = {("y", "x"): grid[0, 0], ("z", "x"): grid[1, 0], ("y", "z"): grid[0, 1]}
    return {pair: figure.add_subplot(place) for pair, place in places.items()}


def _draw(
    panel: Axes,
    ds: xr.Dataset,
    grey: xr.DataArray | None,
    found: Sequence[layers.Layer],
    pair: Plane,
    cmap: str,
    middle: Mapping[str, int],
) -> None:
    extent = _extent(ds, pair)
    if grey is not None:
        low, high = layers.window(np.asarray(grey.values, dtype=float), *layers.PERCENTILES)
        panel.imshow(_cut(grey, pair, middle).values, cmap=cmap, vmin=low, vmax=high, extent=extent)
    else:
        cuts = [layer._replace(values=_cut(layer.values, pair, middle)) for layer in found]
        rgba = layers.mixed(cuts)
        rgba[..., 3] = 255 * layers.covered(cuts)
        panel.imshow(rgba, extent=extent)
    panel.set_facecolor(BACKGROUND)


def _cut(array: xr.DataArray, pair: Plane, middle: Mapping[str, int]) -> xr.DataArray:
    """Return the plane through the middle on even steps, because a picture has square pixels."""
    rest = {dim: middle[str(dim)] for dim in array.dims if dim not in pair}
    plane = array.isel(rest).transpose(*pair)
    uneven = [dim for dim in pair if plane.sizes[dim] > 1 and spacing(plane[dim]) is None]
    for dim in uneven:
        even = np.linspace(float(plane[dim][0]), float(plane[dim][-1]), plane.sizes[dim])
        plane = plane.sel({dim: even}, method="nearest")
    return plane


def _extent(ds: xr.Dataset, pair: Plane) -> tuple[float, float, float, float]:
    """Return left, right, bottom, top edges, rows downwards."""
    left, right, low, high = display.extent(ds, *pair)
    return left, right, high, low


def _label(panel: Axes, ds: xr.Dataset, pair: Plane, shown: bool) -> None:
    if not shown:
        panel.set_axis_off()
        return
    reach = max(float(np.ptp(ds[dim].values)) for dim in spatial_dims(ds))
    factor, name = display.axis_unit(str(ds[pair[0]].attrs["units"]), reach)
    row, column = pair
    for axis, dim in ((panel.xaxis, column), (panel.yaxis, row)):
        ends = ds[dim].values[[0, -1]] * factor
        at: npt.NDArray[np.float64] = ticks(ends, most=4) if ends[0] < ends[1] else ends[:1]
        axis.set_ticks(list(at / factor), [f"{value:.6g}" for value in at])
        axis.set_label_text(f"{dim} / {name}", color=INK, fontsize=15)
    panel.tick_params(colors=INK, labelsize=13)
    for spine in panel.spines.values():
        spine.set_color(INK)


def _add_scale_bar(panel: Axes, ds: xr.Dataset) -> None:
    left, right = panel.get_xlim()
    bottom, top = panel.get_ylim()
    length = round_length(0.25 * (right - left))
    x, y = left + 0.04 * (right - left), bottom + 0.05 * (top - bottom)
    panel.plot([x, x + length], [y, y], color=INK, linewidth=5, solid_capstyle="butt")
    text = display.length(length, str(ds[spatial_dims(ds)[-1]].attrs["units"]))
    panel.text(x, y + 0.02 * (top - bottom), text, color=INK, va="bottom", fontsize=15)


def _legend(grey: xr.DataArray | None, found: Sequence[layers.Layer]) -> list[tuple[str, str]]:
    """Return text and colour of each line: what is drawn, from which value to which."""
    if grey is None:
        return layers.legend(found, INK)
    low, high = layers.window(np.asarray(grey.values, dtype=float), *layers.PERCENTILES)
    high_text = layers.value_text(high, str(grey.attrs.get("units", "1")))
    return [(f"{grey.attrs.get('long_name', grey.name)}  {low:.3g} – {high_text}", INK)]
