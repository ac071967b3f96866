"""What stands around a scene: a box with ticks at round numbers, and a scale bar that stays true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fusion import units

if TYPE_CHECKING:
    import pyvista as pv

Array = npt.NDArray[np.float64]
_FONT: Final = 18
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


def length_text(length: float, unit: str) -> str:
    """Return a length in um as a text with a fitting unit, or a number of pixels.

    Examples
    --------
    >>> length_text(0.05, "um"), length_text(20.0, "um"), length_text(100.0, "px")
    ('50 nm', '20 µm', '100 px')
    """
    factor, name = display_unit(length, unit)
    return f"{length * factor:.4g} {name}"


def display_unit(length: float, unit: str) -> tuple[float, str]:
    """Return the factor and the name of the unit in which lengths up to `length` (um) are best read."""
    if unit == units.PIXEL:
        return 1.0, "px"
    return (1000.0, "nm") if length < 1.0 else (0.001, "mm") if length >= 5000.0 else (1.0, "µm")


def ticks(low: float, high: float, most: int = 5) -> Array:
    """Return round positions between two values, `most` of them at the most and at least two.

    Examples
    --------
    >>> ticks(0.0, 56.3).tolist()
    [0.0, 20.0, 40.0]
    """
    span = high - low
    step = next(s for s in _steps(span) if np.floor(high / s) - np.ceil(low / s) + 1 <= most)
    found: Array = step * np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1)
    return found if found.size > 1 else np.array([low, high])


def _steps(span: float) -> list[float]:
    power = 10.0 ** np.floor(np.log10(span) - 1)
    return [factor * power * scale for scale in (1.0, 10.0) for factor in (1.0, 2.0, 5.0)]


def add_box(plotter: pv.Plotter, bounds: Array, unit: str, color: str) -> None:
    """Draw the box of (3, 2) bounds in x, y, z, with ticks and names on the edges that face the viewer."""
    import pyvista as pv

    spans = bounds[:, 1] - bounds[:, 0]
    if (spans > 0).all():
        plotter.add_mesh(pv.Box(bounds.ravel()).outline(), color=color, opacity=0.6, line_width=1.5)
    factor, name = display_unit(float(spans.max()), unit)
    for axis in np.flatnonzero(spans > 0):
        start, outward = _edge(bounds, int(axis))
        at = ticks(*(bounds[axis] * factor))
        at = at[(at / factor - bounds[axis, 0] >= -1e-9 * spans.max())] / factor
        points = np.repeat(start[None], at.size, axis=0)
        points[:, axis] = at
        texts = [f"{value * factor:.6g}" for value in at]
        middle = start.copy()
        middle[axis] = bounds[axis].mean()
        reach = spans.max()
        _add_lines(plotter, points, points + 0.015 * reach * outward, color)
        _add_texts(plotter, points + 0.05 * reach * outward, texts, color, _FONT)
        _add_texts(plotter, [middle + 0.13 * reach * outward], [f"{'xyz'[axis]} / {name}"], color, _FONT + 4)


def _edge(bounds: Array, axis: int) -> tuple[Array, Array]:
    """Return a point on the edge that carries the ticks of an axis and the direction away from the box.

    Of the four edges it is the one on the outline as the camera of `volumes.render` sees it.
    """
    low, high = bounds[:, 0], bounds[:, 1]
    flat = high[2] == low[2]
    start = {
        0: (low[0], high[1], high[2]),
        1: (low[0] if flat else high[0], low[1], high[2]),
        2: (low[0], high[1], low[2]),
    }[axis]
    outward = {0: (0, 1, 0 if flat else 0.5), 1: (-1, 0, 0) if flat else (1, 0, 0.5), 2: (-1, 0.4, 0)}[axis]
    return np.array(start, dtype=float), np.array(outward, dtype=float)


def _add_lines(plotter: pv.Plotter, starts: Array, ends: Array, color: str) -> None:
    plotter.add_lines(np.stack([starts, ends], axis=1).reshape(-1, 3), color=color, width=2)


def _add_texts(plotter: pv.Plotter, points: Any, texts: list[str], color: str, size: int) -> None:
    plotter.add_point_labels(
        np.asarray(points), texts, font_size=size, text_color=color, bold=False, shape=None, show_points=False,
        always_visible=True, justification_horizontal="center", justification_vertical="center",
    )  # fmt: skip


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
        place = vtkCoordinate()
        place.SetCoordinateSystemToNormalizedViewport()
        self.mapper = vtkPolyDataMapper2D()
        self.mapper.SetTransformCoordinate(place)
        line = vtkActor2D()
        line.SetMapper(self.mapper)
        self.text = Text("", position=(0.04, 0.06))
        self.text.prop.color, self.text.prop.font_size = color, _FONT + 4
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
        self.text.input = length_text(length, self.unit)
