"""The legend of a picture: what is drawn in which colour, from which value to which."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np
import xarray as xr

from fusion.display import spelled
from volumes.drawing.layers import PERCENTILES, Layer
from volumes.drawing.mixing import window
from volumes.drawing.overlay import POINT_COLOR, Points

Line = tuple[str, str]
_MOST_LINES: Final = 10
_LETTER: Final = 0.6
"""Width of a letter, as a share of the size of its font."""


def of_layers(layers: Sequence[Layer], ink: str) -> list[Line]:
    """Return text and colour of each line; of labels the names, of a photograph one line for its three colours."""
    photograph = [layer for layer in layers if layer.role == "photograph"]
    lines = [(f"red, green, blue  {_range(layer)}", ink) for layer in photograph[:1]]
    lines += [(_text(layer), layer.color) for layer in layers if layer.role != "photograph"]
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[: _MOST_LINES - 1], (f"and {len(lines) - _MOST_LINES + 1} more", ink)]


def of_grey(array: xr.DataArray, ink: str) -> list[Line]:
    """Return the line of an array that is drawn by itself on a colour map."""
    values = np.asarray(array.values, dtype=float)
    layer = Layer(name_of(array), array, ink, *window(values, *PERCENTILES), str(array.attrs.get("units", "1")))
    return [(_text(layer), ink)]


def of_points(points: Points) -> Line:
    """Return the line of the points that lie over a picture."""
    return f"{points.name}  {len(points.at)} points", POINT_COLOR


def name_of(array: xr.DataArray) -> str:
    """Return what an array is called in a picture."""
    return str(array.attrs.get("long_name", array.name))


def wrapped(lines: Sequence[Line], width: float, size: float) -> list[Line]:
    """Break lines that are longer than `width` at a font of `size`, both in one unit, so that none is cut off.

    Examples
    --------
    >>> wrapped([("iron oxide of the upper layer", "red")], width=120.0, size=10.0)
    [('iron oxide of the', 'red'), ('upper layer', 'red')]
    """
    longest = max(8, int(width / (_LETTER * size)))
    return [(row, color) for text, color in lines for row in textwrap.wrap(text, longest) or [""]]


def value_text(value: float, unit: str) -> str:
    """Return a value with its unit, as a legend shows it."""
    return f"{value:.3g}" if unit == "1" else f"{value:.3g} {spelled(unit)}"


def _text(layer: Layer) -> str:
    if layer.role == "label":
        return layer.name
    constant = layer.constant
    shown = _range(layer) if constant is None else f"{value_text(constant, layer.units)} everywhere"
    return f"{layer.name}  {shown}"


def _range(layer: Layer) -> str:
    return f"{layer.bottom:.3g} – {value_text(layer.top, layer.units)}"


def of_left_out(count: int, ink: str) -> list[Line]:
    """Return the line that says how many components have no colour and are not drawn."""
    return [(f"{count} further component{'s' if count > 1 else ''} not drawn; name them", ink)] if count else []


def of_thinned(ways: object, ink: str) -> list[Line]:
    """Return the line that says which voxels of a large volume are drawn; none where all are."""
    return [(f"drawn from voxels: {ways}", ink)] if ways else []
