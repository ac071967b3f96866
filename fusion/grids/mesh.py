"""A smooth function over a grid, such as where its points lie in another one: computed at nodes, trilinear between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.grids.cells import Cells, Vector

Array = npt.NDArray[Any]
Knots = tuple[Vector, Vector, Vector]
_COARSEST: Final = 8
"""Steps of the first mesh along an axis."""


@dataclass(frozen=True)
class Mesh:
    """A function of z, y, x that is trilinear between nodes.

    Attributes
    ----------
    knots : three vectors
        Where the nodes lie along z, y and x, in um; they reach over the grid.
    values : array (a, b, c, k)
        At the nodes; NaN where the function has no value.
    """

    knots: Knots
    values: Array

    def at(self, axes: Sequence[Vector]) -> Array:
        """Return the values (len z, len y, len x, k) at the crossings of coordinates along z, y and x."""
        values = self.values
        for axis, (knots, wanted) in enumerate(zip(self.knots, axes, strict=True)):
            if knots.size == 1:
                values = np.take(values, np.zeros(wanted.size, np.intp), axis=axis)
                continue
            cell = np.clip(np.searchsorted(knots, wanted, side="right") - 1, 0, knots.size - 2)
            # the fraction of the cell, along this axis only; three passes make the interpolation trilinear
            part = ((wanted - knots[cell]) / np.diff(knots)[cell]).reshape(-1, *[1] * (3 - axis))
            low, high = (np.take(values, cell + step, axis=axis) for step in (0, 1))
            values = low * (1.0 - part) + high * part
        return values

    def around(self, ends: Sequence[tuple[float, float]]) -> Array:
        """Return the values (n, k) at the nodes that those within a box lie between; finite ones only."""
        nodes = self.values
        for axis, (knots, (first, last)) in enumerate(zip(self.knots, ends, strict=True)):
            low = max(int(np.searchsorted(knots, first, side="right")) - 1, 0)
            high = int(np.searchsorted(knots, last))
            nodes = np.take(nodes, np.arange(min(low, knots.size - 1), min(high + 1, knots.size)), axis=axis)
        flat: Array = nodes.reshape(-1, nodes.shape[3])
        return flat[np.isfinite(flat).all(axis=1)]

    def slopes(self) -> list[Array]:
        """Return the derivatives by z, y and x at the nodes, by central differences; 0 by an axis of one node."""
        return [
            np.gradient(self.values, knots, axis=axis) if knots.size > 1 else np.zeros_like(self.values)
            for axis, knots in enumerate(self.knots)
        ]


# A mesh is halved until its nodes lie, to four times what is asked for, where the mesh before had interpolated them:
# the error of trilinear interpolation falls with the square of the step, so that the new mesh is good to what is asked.
def meshed(function: Callable[[Array], Array], target: Cells, off: Callable[[Array, Array], float]) -> Mesh:
    """Return a function over the cells of a grid as a mesh, no finer than the cells.

    Parameters
    ----------
    function : callable
        Takes points (..., 3) in um to values (..., k).
    target : Cells
    off : callable
        Takes interpolated and true values to the error of the former, in units of what is tolerated.
    """
    counts = [min(_COARSEST, size) for size in target.shape]
    mesh = _computed(function, target, counts)
    while any(count < size for count, size in zip(counts, target.shape, strict=True)):
        counts = [min(2 * count, size) for count, size in zip(counts, target.shape, strict=True)]
        finer = _computed(function, target, counts)
        guessed, mesh = mesh.at(finer.knots), finer
        if not off(guessed, finer.values) > 4.0:
            break
    return mesh


def _computed(function: Callable[[Array], Array], target: Cells, counts: list[int]) -> Mesh:
    knots = even_knots([(axis[0], axis[-1]) for axis in target.edges], counts)
    return Mesh(knots, function(np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1)))


def even_knots(ends: Sequence[tuple[float, float]], counts: Sequence[int]) -> Knots:
    """Return nodes between two ends along z, y and x, in even steps; one node across a plane without thickness."""
    z, y, x = (
        np.linspace(low, high, n + 1) if high > low else np.array([low])
        for (low, high), n in zip(ends, counts, strict=True)
    )
    return z, y, x
