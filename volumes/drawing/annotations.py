"""What stands around a scene: a box with ticks at round numbers, and a scale bar that stays true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fusion import display

if TYPE_CHECKING:
    import pyvista as pv

Array = npt.NDArray[np.float64]
Side = Literal["left", "center", "right"]
Edge = tuple[tuple[float, float, float], tuple[float, float, float], Side]
_FONT: Final = 18
_HEIGHT: Final = 900
_TICK_ROOM: Final = 60
_ROOM: Final = {"center": 62, "left": 80, "right": 80}
_BAR_SHARE: Final = 0.22


def round_length(longest: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above `longest`.

    Examples
    --------
    >>> round_length(7.3), round_length(0.049)
    (5.0, 0.02)
    """
    power = 10.0 ** np.floor(np.log10(longest))
    factor = max(step for step in (1.0, 2.0, 5.0) if step * power <= longest * (1 + 1e-9))
    return float(f"{factor * power:.12g}")


def ticks(limits: npt.ArrayLike, most: int = 5) -> Array:
    """Return round positions between two limits, at least two, and `most` of them at the most where that leaves two.

    Examples
    --------
    >>> ticks((0.0, 56.3)).tolist()
    [0.0, 20.0, 40.0]
    """
    low, high = np.asarray(limits, dtype=float)
    rows = [row for step in _steps(high - low) if (row := _multiples(low, high, step)).size > 1]
    return next((row for row in rows if row.size <= most), rows[-1])


def _multiples(low: float, high: float, step: float) -> Array:
    slack = 1e-9 * (high - low) / step
    positions: Array = step * np.arange(np.ceil(low / step - slack), np.floor(high / step + slack) + 1) + 0.0
    return positions


def _steps(span: float) -> list[float]:
    power = 10.0 ** np.floor(np.log10(span) - 1)
    return [factor * power * scale for scale in (1.0, 10.0) for factor in (1.0, 2.0, 5.0)]


def add_box(plotter: pv.Plotter, bounds: Array, unit: str, color: str, stretch: float = 1.0) -> None:
    """Draw the box of (3, 2) bounds in x, y, z, with ticks and names on edges of its outline.

    The camera must stand already: distances to the box, sizes and numbers of ticks are those of the screen. `stretch`
    is the factor by which z is drawn; the ticks say what z is.
    """
    import pyvista as pv

    spans = bounds[:, 1] - bounds[:, 0]
    scales = [display.axis_unit(unit, float(spans.max()))] * 3
    if stretch != 1.0:
        factor, name = display.axis_unit(unit, float(spans[2] / abs(stretch)))
        scales[2] = factor / stretch, name
    point = 2.0 * plotter.camera.parallel_scale / _HEIGHT
    away = np.asarray(plotter.camera.direction)
    if (spans > 0).all():
        plotter.add_mesh(pv.Box(bounds.ravel()).outline(), color=color, opacity=0.6, line_width=1.5)
    for axis in np.flatnonzero(spans > 0):
        start, outward, side = _edge(bounds, int(axis), upwards=plotter.camera.up[1] > 0)
        factor, name = scales[axis]
        long = spans[axis] * np.sqrt(1.0 - away[axis] ** 2) / point
        at = ticks(np.sort(bounds[axis] * factor), most=int(np.clip(long / _TICK_ROOM, 2, 5)))
        points = np.repeat(start[None], at.size, axis=0)
        points[:, axis] = at / factor
        middle = np.where(np.arange(3) == axis, bounds.mean(axis=1), start)
        texts = [f"{value:.6g}" for value in at]
        title = f"{'xyz'[axis]} ({name})"
        plotter.add_lines(np.hstack([points, points + 9 * point * outward]).reshape(-1, 3), color=color, width=2)
        _add_texts(plotter, points + 15 * point * outward, texts, color, _font(plotter), side)
        _add_texts(plotter, middle + _ROOM[side] * point * outward, [title], color, _font(plotter, 4), side)


def _font(plotter: pv.Plotter, more: int = 0) -> int:
    """Return a font size in pixels that is the same share of every window."""
    return max(9, round((_FONT + more) * plotter.window_size[1] / _HEIGHT))


def _edge(bounds: Array, axis: int, *, upwards: bool) -> tuple[Array, Array, Side]:
    """Return a point on the edge that carries the ticks of an axis, the way out of the box, and the text's side.

    Of the four edges it is the one on the outline as the camera of `volumes.render` sees it.
    """
    # seen with y upwards, a scene is turned by half a turn about x, and so are its edges
    turned = np.array([1.0, -1.0, -1.0] if upwards else [1.0, 1.0, 1.0])
    low, high = np.sort(bounds * turned[:, None]).T
    flat_edges: dict[int, Edge] = {
        0: ((low[0], high[1], high[2]), (0.0, 1.0, 0.0), "center"),
        1: ((low[0], low[1], low[2]), (-1.0, 0.0, 0.0), "right"),
    }
    deep_edges: dict[int, Edge] = {
        0: ((low[0], high[1], high[2]), (0.0, 1.0, 0.5), "center"),
        1: ((high[0], low[1], high[2]), (1.0, 0.0, 0.5), "left"),
        2: ((low[0], high[1], low[2]), (-1.0, 0.0, 0.0), "right"),
    }
    start, outward, side = (flat_edges if low[2] == high[2] else deep_edges)[axis]
    return turned * start, turned * outward, side


def _add_texts(plotter: pv.Plotter, points: Any, texts: list[str], color: str, size: int, side: Side) -> None:
    plotter.add_point_labels(
        np.reshape(points, (-1, 3)), texts, font_size=size, text_color=color, bold=False, shape=None, show_points=False,
        always_visible=True, justification_horizontal=side,
        justification_vertical="top" if side == "center" else "center",
    )  # fmt: skip


def add_color_bar(plotter: pv.Plotter, title: str, cmap: str, limits: tuple[float, float], color: str) -> None:
    """Draw the colours of a scalar at the right, opaque even where the volume itself is not."""
    import pyvista as pv

    mapper = pv.DataSetMapper(dataset=pv.PolyData([[0.0, 0.0, 0.0]]))
    mapper.lookup_table = pv.LookupTable(cmap, scalar_range=limits)
    appearance: dict[str, Any] = {
        "title": title, "mapper": mapper, "color": color, "vertical": True, "height": 0.42, "width": 0.055,
        "position_x": 0.885, "position_y": 0.3, "n_labels": 3, "fmt": "%.4g",
        "label_font_size": _font(plotter), "title_font_size": _font(plotter, 2),
    }  # fmt: skip
    bar = plotter.add_scalar_bar(**appearance)
    bar.SetVerticalTitleSeparation(_font(plotter))


def add_scale_bar(plotter: pv.Plotter, unit: str, color: str) -> None:
    """Draw a bar of round length in the lower left corner and keep it true while the user zooms.

    It holds for all lines in the plane of the screen, because the projection is parallel.
    """
    bar = _ScaleBar(plotter, unit, color)
    plotter.add_on_render_callback(bar.update)
    bar.update()


class _ScaleBar:
    """A line and a text on the screen whose length follows the camera."""

    def __init__(self, plotter: pv.Plotter, unit: str, color: str) -> None:
        from pyvista import Text
        from vtkmodules.vtkRenderingCore import vtkActor2D, vtkCoordinate, vtkPolyDataMapper2D

        self.plotter, self.unit = plotter, unit
        viewport = vtkCoordinate()
        viewport.SetCoordinateSystemToNormalizedViewport()
        self.mapper = vtkPolyDataMapper2D()
        self.mapper.SetTransformCoordinate(viewport)
        line = vtkActor2D()
        line.SetMapper(self.mapper)
        self.text = Text("")
        self.text.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
        self.text.SetPosition(0.04, 0.06)
        self.text.prop.color, self.text.prop.font_size = color, _font(plotter, 4)
        line.GetProperty().SetColor(self.text.prop.color.float_rgb)
        for actor in (line, self.text):
            plotter.renderer.AddViewProp(actor)

    def update(self, *_: Any) -> None:
        """Set length and text from the height of the view."""
        import pyvista as pv

        width, height = self.plotter.window_size
        seen = 2.0 * self.plotter.camera.parallel_scale * width / height
        length = round_length(_BAR_SHARE * seen)
        left, bottom, thick = 0.04, 0.045, 0.008
        right = left + length / seen
        corners = [(left, bottom, 0), (right, bottom, 0), (right, bottom + thick, 0), (left, bottom + thick, 0)]
        self.mapper.SetInputDataObject(pv.PolyData(np.array(corners), faces=[4, 0, 1, 2, 3]))
        self.text.input = display.length(length, self.unit)
