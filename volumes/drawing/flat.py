"""Flat pictures with Matplotlib: an image face-on in its own axes, or three planes of a volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import display
from fusion.conventions import spacing, spatial_dims, title
from fusion.errors import DataError
from volumes.drawing import layers, legend
from volumes.drawing.annotations import round_length, ticks
from volumes.drawing.lines import DPI, is_line, plot_lines
from volumes.drawing.mixing import covered, focus, mixed, window
from volumes.drawing.options import BACKGROUND, INK, LINE, THINNED, Chosen, Options, chosen, drawable
from volumes.drawing.overlay import POINT_COLOR, Points, with_overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect

_LEVELS: Final = (0.25, 0.5, 0.75)
"""Heights of contours, as shares of the brightest value of a layer."""
Plane = tuple[str, str]


class Theme(NamedTuple):
    """Colours of a figure: its paper, and what is written on it."""

    paper: str
    ink: str


DARK: Final = Theme(BACKGROUND, INK)
LIGHT: Final = Theme("#ffffff", "#1c2733")


class Scene(NamedTuple):
    """What is drawn, and how: the same for every panel of a figure."""

    ds: xr.Dataset
    chosen: Chosen
    points: Points | None
    options: Options
    theme: Theme

    @property
    def middle(self) -> dict[str, int]:
        """Where planes cut a volume: through the middle of what is drawn in colour, or of the volume."""
        coloured = focus(self.chosen.layers) if self.chosen.layers else {}
        return {dim: self.ds.sizes[dim] // 2 for dim in spatial_dims(self.ds)} | coloured

    @property
    def lines(self) -> list[legend.Line]:
        """The lines of the legend."""
        over = [legend.of_points(self.points)] if self.points is not None else []
        over += legend.of_thinned(self.ds.attrs.get(THINNED), self.theme.ink)
        if self.chosen.grey is not None:
            return legend.of_grey(self.chosen.grey, self.theme.ink) + over
        lines = legend.of_layers([*self.chosen.behind, *self.chosen.layers], self.theme.ink)
        return lines + legend.of_left_out(self.chosen.left_out, self.theme.ink) + over


def plot(ds: xr.Dataset | xr.DataTree, *, ax: Axes | None = None, light: bool | None = None, **options: Any) -> Figure:
    """Draw an image face-on in its own axes, three planes through a volume, or profiles along a line.

    Parameters
    ----------
    ds : Dataset or DataTree
        As for `volumes.render`; or what `volumes.profile` returns, of which each variable has a panel, with a band of
        one standard error to each side.
    ax : matplotlib.axes.Axes, optional
        Where to draw an image; left out, in a figure of its own.
    light : bool, optional
        Dark text on white paper. Left out, only where `ax` is given.
    **options
        Those of `volumes.render`; ``style``, ``opacity`` and ``off_screen`` have no meaning here.

    Returns
    -------
    matplotlib.figure.Figure
        y points up in scans and maps that have the axes of their stage and in Raman maps, and down in images.

    Raises
    ------
    DataError
        If there is nothing to draw, or a volume or profile for one pair of axes.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> from fusion.reading.stage import STAGE
    >>> ds = dataset({"height": (("y", "x"), np.eye(3))}, {"y": Axis("um", 1.0), "x": Axis("um", 1.0)},
    ...              name="scan", cell_methods="point", frame=STAGE)
    >>> bool(plot(ds).axes[0].yaxis_inverted())
    False
    """
    from matplotlib.figure import Figure, SubFigure

    if is_line(ds):
        if ax is not None:
            raise DataError("profiles need a figure of their own, for a panel each; leave out ax=")
        return plot_lines(ds, Options(**options), light=bool(light))
    if isinstance(ds, xr.DataTree):
        raise DataError("a tree is drawn where all of it lies on a line, as volumes.profile gives; name one dataset")
    theme = LIGHT if (light if light is not None else ax is not None) else DARK
    scene = _scene(ds, Options(**options), theme)
    if ax is not None:
        _draw_on(ax, scene)
        host = ax.figure
        return host.figure if isinstance(host, SubFigure) else host
    settings = scene.options
    figure = Figure(figsize=(settings.window_size[0] / DPI, settings.window_size[1] / DPI), facecolor=theme.paper)
    panels = _panels(figure, scene.ds)
    for pair, panel in panels.items():
        _draw(panel, scene, pair)
        _label(panel, scene, pair)
    if settings.scale_bar:
        _add_scale_bar(next(iter(panels.values())), scene)
    if scene.chosen.grey is not None:
        _add_color_bar(figure, panels, scene)
    _add_legend(figure, scene)
    return figure


def _scene(ds: xr.Dataset, options: Options, theme: Theme) -> Scene:
    if options.in_frame:
        raise DataError("in_frame= is a view in three dimensions: use volumes.render, which needs OpenGL")
    ds, options, points = with_overlay(drawable(ds), options)
    return Scene(ds, chosen(ds, options), points, options, theme)


def _draw_on(ax: Axes, scene: Scene) -> None:
    """Draw an image on axes of the user, whose figure keeps its layout and colours."""
    from matplotlib.patches import Patch

    pair = _only_plane(scene.ds)
    if pair is None:
        raise DataError("a volume has three planes and needs a figure of its own; take a plane, e.g. ds.isel(z=0)")
    _draw(ax, scene, pair)
    _label(ax, scene, pair)
    ax.set_title(title(scene.ds), color=scene.theme.ink)
    if scene.options.scale_bar:
        _add_scale_bar(ax, scene)
    if scene.chosen.grey is not None:
        ax.figure.colorbar(ax.get_images()[0], ax=ax, label=_value_label(scene.chosen.grey))
    else:
        ax.legend(handles=[Patch(color=color, label=text) for text, color in scene.lines], fontsize="small")


def _only_plane(ds: xr.Dataset) -> Plane | None:
    """Return row and column of an image, or None for a volume."""
    dims = spatial_dims(ds)
    if len(dims) == 3 and min(ds.sizes[dim] for dim in dims) > 1:
        return None
    # a row or a column has a second dim all the same, one pixel wide
    row, column = sorted(sorted(dims, key=lambda dim: ds.sizes[dim] < 2)[:2], key=dims.index)
    return row, column


def _panels(figure: Figure, ds: xr.Dataset) -> dict[Plane, Axes]:
    """Return one panel per plane, each as wide and high as it is in the specimen: below and beside the image."""
    pair = _only_plane(ds)
    if pair is not None:
        return {pair: figure.add_subplot()}
    long = {dim: float(np.ptp(ds[dim].values)) for dim in spatial_dims(ds)}
    grid = figure.add_gridspec(2, 2, width_ratios=[long["x"], long["z"]], height_ratios=[long["y"], long["z"]])
    cells = {("y", "x"): grid[0, 0], ("z", "x"): grid[1, 0], ("y", "z"): grid[0, 1]}
    return {pair: figure.add_subplot(cell) for pair, cell in cells.items()}


def _draw(panel: Axes, scene: Scene, pair: Plane) -> None:
    """Draw one plane: a grey array on its colour map, or layers mixed; contours and points over it."""
    upwards = pair[0] == "y" and display.y_upwards(scene.ds)
    left, right, low, high = display.extent(scene.ds, *pair)
    where: dict[str, Any] = (
        {"origin": "lower", "extent": (left, right, low, high)}
        if upwards
        else {"origin": "upper", "extent": (left, right, high, low)}
    )
    if (grey := scene.chosen.grey) is not None:
        bottom, top = window(np.asarray(grey.values, dtype=float), *layers.PERCENTILES)
        panel.imshow(_cut(grey, scene, pair).values, cmap=scene.options.cmap, vmin=bottom, vmax=top, **where)
    else:
        flat = scene.chosen.behind if scene.options.contours else scene.chosen.all_layers(scene.options.alpha)
        cuts = [layer._replace(values=_cut(layer.values, scene, pair)) for layer in flat or scene.chosen.layers]
        rgba = mixed(cuts)
        rgba[..., 3] = 255 * covered(cuts)
        panel.imshow(rgba, **where)
    panel.set_facecolor(scene.theme.paper)
    if scene.options.contours:
        _add_contours(panel, scene, pair)
    if scene.points is not None:
        _add_points(panel, scene.points, scene, pair)


def _add_contours(panel: Axes, scene: Scene, pair: Plane) -> None:
    for layer in scene.chosen.layers:
        values = _cut(layer.values, scene, pair)
        levels = [layer.bottom + share * (layer.top - layer.bottom) for share in _LEVELS]
        if min(values.shape) > 1 and float(values.min()) < levels[-1] and float(values.max()) > levels[0]:
            column, row = values[pair[1]].values, values[pair[0]].values
            panel.contour(column, row, values.values, levels=levels, colors=[layer.color], linewidths=1.2)


def _add_points(panel: Axes, points: Points, scene: Scene, pair: Plane) -> None:
    from matplotlib.patches import Circle

    row, column = (points.at[:, "zyx".index(dim)] for dim in pair)
    alpha = scene.options.alpha
    limits = panel.get_xlim(), panel.get_ylim()
    if points.radius is None:
        panel.scatter(column, row, s=6.0, color=POINT_COLOR, alpha=alpha, linewidths=0)
    else:
        for x, y, reach in zip(column, row, _cut_radii(points, points.radius, scene, pair), strict=True):
            panel.add_patch(Circle((x, y), reach, fill=False, edgecolor=POINT_COLOR, alpha=alpha))
    panel.set(xlim=limits[0], ylim=limits[1])


def _cut_radii(points: Points, radius: npt.NDArray[np.float64], scene: Scene, pair: Plane) -> npt.NDArray[np.float64]:
    """Return the radii of the circles in which a plane through a volume cuts the particles; 0 where it misses one."""
    across = [dim for dim in spatial_dims(scene.ds) if dim not in pair]
    if not across:
        return radius
    level = float(scene.ds[across[0]][scene.middle[across[0]]])
    away = points.at[:, "zyx".index(across[0])] - level
    return np.sqrt(np.maximum(radius**2 - away**2, 0.0))


def _cut(array: xr.DataArray, scene: Scene, pair: Plane) -> xr.DataArray:
    """Return the plane through the middle on even steps, because a picture has square pixels."""
    rest = {dim: scene.middle[str(dim)] for dim in array.dims if dim not in pair}
    plane = array.isel(rest).transpose(*pair)
    uneven = [dim for dim in pair if plane.sizes[dim] > 1 and spacing(plane[dim]) is None]
    for dim in uneven:
        even = np.linspace(float(plane[dim][0]), float(plane[dim][-1]), plane.sizes[dim])
        plane = plane.sel({dim: even}, method="nearest")
    return plane


def _label(panel: Axes, scene: Scene, pair: Plane) -> None:
    if not scene.options.axes:
        panel.set_axis_off()
        return
    ds, ink, size = scene.ds, scene.theme.ink, _font(scene)
    reach = max(float(np.ptp(ds[dim].values)) for dim in spatial_dims(ds))
    factor, name = display.axis_unit(str(ds[pair[0]].attrs["units"]), reach)
    for axis, dim in ((panel.xaxis, pair[1]), (panel.yaxis, pair[0])):
        ends = ds[dim].values[[0, -1]] * factor
        at: npt.NDArray[np.float64] = ticks(ends, most=4) if ends[0] < ends[1] else ends[:1]
        axis.set_ticks(list(at / factor), [f"{value:.6g}" for value in at])
        axis.set_label_text(f"{dim} ({name})", color=ink, fontsize=size)
    panel.tick_params(colors=ink, labelsize=0.85 * size)
    for spine in panel.spines.values():
        spine.set_color(ink)


def _font(scene: Scene) -> float:
    """Return the size of letters in points, the same share of every figure."""
    return max(6.0, 15.0 * scene.options.window_size[1] / 900)


def _add_scale_bar(panel: Axes, scene: Scene) -> None:
    from matplotlib.patheffects import withStroke

    left, right = panel.get_xlim()
    bottom, top = panel.get_ylim()
    length = round_length(0.25 * (right - left))
    x, y = left + 0.04 * (right - left), bottom + 0.05 * (top - bottom)
    # with a dark rim, to be read on bright images as well
    rim: list[AbstractPathEffect] = [withStroke(linewidth=_font(scene) / 3 + 2, foreground=BACKGROUND)]
    (bar,) = panel.plot([x, x + length], [y, y], color=INK, linewidth=_font(scene) / 3, solid_capstyle="butt")
    bar.set_path_effects(rim)
    text = display.length(length, str(scene.ds[spatial_dims(scene.ds)[-1]].attrs["units"]))
    panel.text(x, y + 0.02 * (top - bottom), text, color=INK, va="bottom", fontsize=_font(scene), path_effects=rim)


def _value_label(array: xr.DataArray) -> str:
    return display.with_unit(legend.name_of(array), str(array.attrs.get("units", "1")))


def _add_color_bar(figure: Figure, panels: Mapping[Plane, Axes], scene: Scene) -> None:
    image = next(iter(panels.values())).get_images()[0]
    bar = figure.colorbar(image, ax=list(panels.values()), fraction=0.05, pad=0.02)
    bar.ax.tick_params(colors=scene.theme.ink, labelsize=0.85 * _font(scene))
    unit = display.spelled(str(scene.chosen.grey.attrs.get("units", "1"))) if scene.chosen.grey is not None else "1"
    bar.ax.set_title("" if unit == "1" else unit, color=scene.theme.ink, fontsize=0.85 * _font(scene))
    bar.outline.set_edgecolor(scene.theme.ink)


def _add_legend(figure: Figure, scene: Scene) -> None:
    """Write the title and the legend at the top, and leave the panels the rest of the figure."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width, height = scene.options.window_size
    size = _font(scene)
    head = [(title(scene.ds), scene.theme.ink)]
    lines = legend.wrapped([*head, *scene.lines], 0.96 * width * 72 / DPI, size)
    line = max(LINE, 1.3 * size * DPI / 72 / height)
    for i, (text, color) in enumerate(lines):
        figure.text(0.02, 0.98 - line * i, text, color=color, fontsize=size, va="top")
    figure.set_layout_engine(ConstrainedLayoutEngine(compress=True, rect=(0.01, 0.01, 0.98, 0.96 - line * len(lines))))
