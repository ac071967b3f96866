"""Fractions of phases as the pixels of a map see them, at any shift between the two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from spectra.factorisation.sparse import Array


@dataclass(frozen=True)
class Fractions:
    """Fractions on cells of their own, which are means over the pixels of a map once a shift is known.

    Parameters
    ----------
    values : array, (..., phase)
        Over the cells.
    cells : tuple of array
        The edges of the cells along each axis, ascending, in um.
    pixels : tuple of array
        The edges of the pixels along each axis, ascending, in um, where no shift is.
    """

    values: Array
    cells: tuple[Array, ...]
    pixels: tuple[Array, ...]

    def at(self, shift: Array, power: int = 1) -> Array:
        """Return the sums (pixel, phase) over cells times their share of each pixel, to a power.

        The pixels are moved by `shift` (axis,) in um over the cells. A pixel that reaches beyond the cells, or onto one
        that is NaN, is NaN.
        """
        result = self.values
        for axis, (edges, cells, step) in enumerate(zip(self.pixels, self.cells, shift, strict=True)):
            moved = edges + step
            result = _averaged(result, _shares(cells, moved[:-1], moved[1:]) ** power, axis)
        return result.reshape(-1, self.values.shape[-1])

    def slope(self, shift: Array, axis: int) -> Array:
        """Return the derivative (pixel, phase) by the shift along an axis, per um."""
        # Means over pixels are piecewise linear in the shift, with a kink where an edge of a pixel passes one of a
        # cell. The central difference over half a cell to each side is the mean of both slopes there.
        step = np.zeros(shift.size)
        step[axis] = float(np.diff(self.cells[axis]).min()) / 2.0
        rise = self.at(shift + step) - self.at(shift - step)
        return np.asarray(rise / (2.0 * step[axis]))

    def lattice(self, reach: Array) -> Iterator[tuple[Array, Array]]:
        """Yield each shift in steps of half a pixel up to `reach` (axis,) in um, with the fractions there.

        The pixels are taken as even; all shifts are read from one table of means at half pixels.
        """
        steps = [float(edges[1] - edges[0]) / 2.0 for edges in self.pixels]
        most = [int(far / step) for far, step in zip(reach, steps, strict=True)]
        table = self._half_pixels(most, steps)
        for offset in product(*(range(-n, n + 1) for n in most)):
            rows = (slice(n + o, n + o + 2 * e.size - 2, 2) for n, o, e in zip(most, offset, self.pixels, strict=True))
            yield np.array(offset) * np.array(steps), table[tuple(rows)].reshape(-1, self.values.shape[-1])

    def _half_pixels(self, most: list[int], steps: list[float]) -> Array:
        """Return the means over pixels whose lower edges lie half a pixel apart, `most` of them beyond each end."""
        result = self.values
        for axis, (n, step, edges, cells) in enumerate(zip(most, steps, self.pixels, self.cells, strict=True)):
            low = edges[0] + step * np.arange(-n, 2 * edges.size - 3 + n)
            result = _averaged(result, _shares(cells, low, low + 2.0 * step), axis)
        return result


def _shares(cells: Array, low: Array, high: Array) -> Array:
    """Return which share of each interval (row) lies in each cell (column); NaN where it reaches beyond them all."""
    length = np.minimum(high[:, None], cells[1:]) - np.maximum(low[:, None], cells[:-1])
    shares = np.clip(length, 0.0, None) / (high - low)[:, None]
    slack = 1e-6 * (high - low)
    shares[(low < cells[0] - slack) | (high > cells[-1] + slack)] = np.nan
    return np.asarray(shares)


def _averaged(values: Array, shares: Array, axis: int) -> Array:
    from scipy.sparse import csr_array

    # a sparse product, so that a NaN spoils only the pixels whose share of it is not zero
    lines = np.moveaxis(values, axis, 0)
    product_ = csr_array(shares) @ lines.reshape(lines.shape[0], -1)
    return np.moveaxis(np.asarray(product_).reshape(-1, *lines.shape[1:]), 0, axis)
