"""What an uncertain position does to an interpolated value: bare arrays in, bare arrays out."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Number = Any

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def _index(axis: Array, position: Number) -> Number:
    """Return the continuous index of a position among pixel centres; beyond the outermost ones it stays there."""
    n = axis.size
    if n == 1:
        return 0.0
    cell: Number = min(max(np.searchsorted(axis, position, side="right") - 1, 0), n - 2)
    return min(max(cell + (position - axis[cell]) / (axis[cell + 1] - axis[cell]), 0.0), n - 1.0)


@_jit
def _corner(index: Array, corner: int, shape: Number, pixel: Array) -> Number:
    """Write the pixel at one of the eight corners around an index, and return its weight; 0 where there is none."""
    weight = 1.0
    for a in range(3):
        cell = min(int(np.floor(index[a])), max(shape[a] - 2, 0))
        upper = corner >> a & 1
        fraction = index[a] - cell
        pixel[a] = cell + upper
        weight *= fraction if upper else 1 - fraction
        if pixel[a] >= shape[a]:
            return 0.0
    return weight


@_jit
def _hats(index: Array, pixel: Array) -> Number:
    """Return the weight that a pixel has in the value at an index."""
    return (
        max(0.0, 1 - abs(index[0] - pixel[0]))
        * max(0.0, 1 - abs(index[1] - pixel[1]))
        * max(0.0, 1 - abs(index[2] - pixel[2]))
    )


@_jit
def _root(covariance: Array, voxel: Array, shape: Any, root: Array) -> None:
    """Write a Cholesky factor (3, 3) of the covariance of where a voxel lies in the source, in um².

    An axis of a single pixel is left out: a step along it changes no value.
    """
    spread = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for a in range(4 if shape[i] > 1 and shape[j] > 1 else 0):
                for b in range(4):
                    spread[i, j] += voxel[a] * voxel[b] * covariance[4 * i + a, 4 * j + b]
    root[:] = 0.0
    for i in range(3):
        for j in range(i + 1):
            rest = spread[i, j]
            for c in range(j):
                rest -= root[i, c] * root[j, c]
            if i == j:
                root[i, i] = np.sqrt(max(rest, 0.0))
            elif root[j, j] > 0:
                root[i, j] = rest / root[j, j]


# Second moment, about the value at the voxel's own position, of the values at the nodes of a Gauss-Hermite rule over
# the uncertain position: E (a(p + δ) - a(p))². To first order that is gradient · covariance · gradient; at an edge,
# where the gradient may be 0 on either side, it is what a shift by a pixel does. Noise of the map is in each difference
# too and is counted elsewhere: its variance, Σ (w_q - w_0)² s² over the pixels of both, is taken off, and never below
# zero. On coarse voxels a is the mean over `offsets` in the voxel; there the noise is small and left in.
@_jit
def position_variance(source: Any, pose: Any, grid: Any, rule: Any, out: Array, rows: Any) -> None:
    """Write the variance (z, y, x, k) that an uncertain position gives to interpolated values.

    `source` is (values, variances or empty, axes). `pose` is (matrix, covariance) of where a voxel lies in the source,
    and the (3, 2) bounds of the middles of voxels that meet it. `rule` is (standard normal nodes (q, 3), their weights
    (q,), offsets (s, 3) within a voxel in um).
    """
    (values, noise, axes), (matrix, covariance, bounds), (nodes, weights, offsets) = source, pose, rule
    k = values.shape[3]
    voxel, root, step = np.ones(4), np.zeros((3, 3)), np.zeros(3)
    centre, moved, own, counted = np.zeros(k), np.zeros(k), np.zeros(k), np.zeros(k)
    for z in range(rows[0], rows[1]):
        for y in range(rows[2], rows[3]):
            for x in range(grid[2].size):
                voxel[0], voxel[1], voxel[2] = grid[0][z], grid[1][y], grid[2][x]
                total = out[z, y, x]
                if not _within(matrix, voxel, bounds):
                    total[:] = np.nan
                    continue
                _root(covariance, voxel, values.shape, root)
                step[:] = 0.0
                here = _mean(values, axes, matrix, voxel, offsets, step, 1, centre)
                if noise.size:
                    _mean(noise, axes, matrix, voxel, offsets, step, 2, own)
                total[:], counted[:] = 0.0, 0.0
                for q in range(nodes.shape[0]):
                    for a in range(3):
                        step[a] = root[a, 0] * nodes[q, 0] + root[a, 1] * nodes[q, 1] + root[a, 2] * nodes[q, 2]
                    there = _mean(values, axes, matrix, voxel, offsets, step, 1, moved)
                    # a node that reads a bad pixel does not count: the error spreads no further than the value
                    for c in range(k):
                        if np.isfinite(moved[c]):
                            counted[c] += weights[q]
                            total[c] += weights[q] * (moved[c] - centre[c]) ** 2
                    if noise.size:
                        _subtract(noise, here, there, own, weights[q], total)
                for c in range(k):
                    total[c] = max(total[c], 0.0) / counted[c] if np.isfinite(centre[c]) else np.nan


@_jit
def _within(matrix: Array, voxel: Array, bounds: Array) -> bool:
    for a in range(3):
        middle = matrix[a, 0] * voxel[0] + matrix[a, 1] * voxel[1] + matrix[a, 2] * voxel[2] + matrix[a, 3]
        if not bounds[a, 0] <= middle <= bounds[a, 1]:
            return False
    return True


@_jit
def _mean(
    values: Array, axes: Any, matrix: Array, voxel: Array, offsets: Array, step: Array, power: int, out: Array
) -> Array:
    """Write the mean over the offsets of interpolated values a step away, weights to a power; return the last index."""
    out[:] = 0.0
    pixel, index = np.zeros(3, np.int64), np.zeros(3)
    for s in range(offsets.shape[0]):
        for a in range(3):
            position = matrix[a, 3] + step[a]
            for b in range(3):
                position += matrix[a, b] * (voxel[b] + offsets[s, b])
            index[a] = _index(axes[a], position)
        for corner in range(8):
            weight = _corner(index, corner, values.shape, pixel)
            if weight > 0:
                for c in range(out.size):
                    out[c] += weight**power / offsets.shape[0] * values[pixel[0], pixel[1], pixel[2], c]
    return index


@_jit
def _subtract(noise: Array, here: Array, there: Array, own: Array, share: Number, total: Array) -> None:
    """Take the variances of the differences of the values at two indices off; `own` are those of the first value."""
    pixel = np.zeros(3, np.int64)
    for c in range(total.size):
        total[c] -= share * own[c] if np.isfinite(own[c]) else 0.0
    for corner in range(8):
        weight = _corner(there, corner, noise.shape, pixel)
        if weight > 0:
            first = _hats(here, pixel)
            for c in range(total.size):
                variance = noise[pixel[0], pixel[1], pixel[2], c]
                if np.isfinite(variance) and np.isfinite(own[c]):
                    # E (w n - w₀ n₀)² over the pixels of both, less the pixels of the first alone, which `own` has
                    # taken off already.
                    total[c] -= share * ((weight - first) ** 2 - first**2) * variance
