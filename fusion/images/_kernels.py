"""Sums over the points of two images that are compared: bare arrays in, bare arrays out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion._kernels import kernel, part

Array = NDArray[Any]
Number = Any


@part
def _bilinear(image: Array, row: Number, column: Number) -> Number:
    """Return the value between four pixels that all lie in the image."""
    i, j = min(int(row), image.shape[0] - 2), min(int(column), image.shape[1] - 2)
    down, right = row - i, column - j
    upper = image[i, j] * (1.0 - right) + image[i, j + 1] * right
    lower = image[i + 1, j] * (1.0 - right) + image[i + 1, j + 1] * right
    return upper * (1.0 - down) + lower * down


@part
def _is_inside(image: Array, row: Number, column: Number) -> Number:
    return 0.0 <= row <= image.shape[0] - 1.0 and 0.0 <= column <= image.shape[1] - 1.0


@kernel
def edge_sums(moving: Array, back: Array, points: Array, fixed: Array) -> Number:
    """Return sum f* m (complex) and sum |f|² |m|² over points (n, 2); `back` (2, 3) leads to indices of `moving`."""
    agreement, energy = 0.0 + 0.0j, 0.0
    for k in range(points.shape[0]):
        row = back[0, 0] * points[k, 0] + back[0, 1] * points[k, 1] + back[0, 2]
        column = back[1, 0] * points[k, 0] + back[1, 1] * points[k, 1] + back[1, 2]
        if _is_inside(moving, row, column):
            value = _bilinear(moving, row, column)
            agreement += np.conj(fixed[k]) * value
            energy += (fixed[k].real ** 2 + fixed[k].imag ** 2) * (value.real**2 + value.imag**2)
    return agreement, energy


@kernel
def joint_histogram(moving: Array, weight: Array, back: Array, points: Array, bins: Array, table: Array) -> None:
    """Add up the weights of pairs of values in a table (bin of fixed, bin of moving), each between two of moving."""
    last = table.shape[1] - 2
    for k in range(points.shape[0]):
        row = back[0, 0] * points[k, 0] + back[0, 1] * points[k, 1] + back[0, 2]
        column = back[1, 0] * points[k, 0] + back[1, 1] * points[k, 1] + back[1, 2]
        if _is_inside(moving, row, column):
            value = _bilinear(moving, row, column)
            share = _bilinear(weight, row, column)
            lower = min(max(int(value), 0), last)
            upper_share = min(max(value - lower, 0.0), 1.0)
            table[bins[k], lower] += share * (1.0 - upper_share)
            table[bins[k], lower + 1] += share * upper_share


@part
def _cubic(t: Number) -> Number:
    """Return the four weights of a cubic B-spline at 0 <= t < 1 between two samples."""
    s = 1.0 - t
    return s**3 / 6.0, (3.0 * t**3 - 6.0 * t**2 + 4.0) / 6.0, (3.0 * s**3 - 6.0 * s**2 + 4.0) / 6.0, t**3 / 6.0


@part
def _at_point(coefficients: Array, known: Array, back: Array, point: Array) -> Number:
    """Return the value of a volume at one point of a plane, NaN where it is not known."""
    z = back[0, 0] * point[0] + back[0, 1] * point[1] + back[0, 2]
    y = back[1, 0] * point[0] + back[1, 1] * point[1] + back[1, 2]
    x = back[2, 0] * point[0] + back[2, 1] * point[1] + back[2, 2]
    within = 0.0 <= z <= known.shape[0] - 1.0 and 0.0 <= y <= known.shape[1] - 1.0
    if not (within and 0.0 <= x <= known.shape[2] - 1.0 and known[int(z + 0.5), int(y + 0.5), int(x + 0.5)]):
        return np.nan
    z, y, x = z + 2.0, y + 2.0, x + 2.0
    i, j, k = int(z), int(y), int(x)
    above, beside, along = _cubic(z - i), _cubic(y - j), _cubic(x - k)
    total = 0.0
    for a in range(4):
        for b in range(4):
            row = coefficients[i - 1 + a, j - 1 + b]
            line = row[k - 1] * along[0] + row[k] * along[1] + row[k + 1] * along[2] + row[k + 2] * along[3]
            total += above[a] * beside[b] * line
    return total


@kernel
def plane_values(coefficients: Array, known: Array, back: Array, points: Array, values: Array) -> None:
    """Read a volume at points (n, 2) of a plane, NaN where it is not known; `back` (3, 3) leads to its indices.

    The coefficients are those of cubic B-splines, with a margin of two voxels on each side that holds no measurement.
    """
    for n in range(points.shape[0]):
        values[n] = _at_point(coefficients, known, back, points[n])


@kernel
def plane_histogram(coefficients: Array, known: Array, back: Array, points: Array, bins: Array, table: Array) -> None:
    """Count pairs of values in a table (bin of image, bin of plane), each between two bins of the plane."""
    last = table.shape[1] - 2
    for n in range(points.shape[0]):
        value = _at_point(coefficients, known, back, points[n])
        if not np.isnan(value):
            value = min(max(value, 0.0), last + 1.0)
            lower = min(int(value), last)
            table[bins[n], lower] += 1.0 - (value - lower)
            table[bins[n], lower + 1] += value - lower
