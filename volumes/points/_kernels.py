"""Rendering of points: bare arrays in, bare arrays out."""

from math import erf, sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
REACH = 6.0
"""Standard deviations beyond which a Gaussian is taken as zero: 2e-9 of it lies there."""


@njit(cache=True, nogil=True, error_model="numpy")
def gaussians(rows: Array, columns: Array, row_sigma: Array, column_sigma: Array, out: Array, squares: Array) -> None:
    """Add to each pixel the integral over it of a unit Gaussian for each point, and the squares of these integrals.

    Parameters
    ----------
    rows, columns : (n,) float64 arrays
        Positions in pixels; pixel i reaches from i to i + 1.
    row_sigma, column_sigma : (n,) float64 arrays
        Standard deviations in pixels, positive.
    out, squares : (ny, nx) float64 arrays
        Are added to.
    """
    # The integral of a Gaussian over a rectangle is the product of two integrals along its sides, so that a point costs
    # ny + nx error functions instead of ny * nx.
    ny, nx = out.shape
    down, across = np.empty(ny), np.empty(nx)
    for k in range(rows.size):
        top, bottom = _weights(rows[k], row_sigma[k], down)
        left, right = _weights(columns[k], column_sigma[k], across)
        for i in range(top, bottom):
            for j in range(left, right):
                share = down[i] * across[j]
                out[i, j] += share
                squares[i, j] += share * share


@njit(cache=True, nogil=True, error_model="numpy")
def _weights(centre: float, sigma: float, out: Array) -> tuple[int, int]:
    """Write the integral over each pixel of a row; return the first pixel within reach and the one after the last."""
    start = int(min(max(np.floor(centre - REACH * sigma), 0.0), out.size))
    stop = int(min(max(np.ceil(centre + REACH * sigma), 0.0), out.size))
    # P(i <= t < i + 1) = (erf((i + 1 - c) / (sqrt(2) sigma)) - erf((i - c) / (sqrt(2) sigma))) / 2, in pixels.
    # Neighbours share an edge, so that the weights add up to the integral over the row, however narrow the Gaussian is.
    scale = 1.0 / (sqrt(2.0) * sigma)
    low = erf((start - centre) * scale)
    for i in range(start, stop):
        high = erf((i + 1 - centre) * scale)
        out[i] = 0.5 * (high - low)
        low = high
    return start, stop
