"""What an uncertain position does to an interpolated value: bare arrays in, bare arrays out.

Scratch arrays come from the caller: Numba takes long to compile what allocates or slices.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion.resampling._axis_kernels import count_up_to

Array = NDArray[Any]
Number = Any

REACH = 1.96
"""Standard deviations of the position, and standard errors of the value, that hold 95 %."""

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def _index(axis: Array, position: Number) -> Number:
    """Return the continuous index of a position among pixel centres; beyond the outermost ones it stays there."""
    n = axis.size
    if n == 1:
        return 0.0
    cell: Number = min(max(count_up_to(axis, position) - 1, 0), n - 2)
    return min(max(cell + (position - axis[cell]) / (axis[cell + 1] - axis[cell]), 0.0), n - 1.0)


# A pixel at one of the eight corners around an index weighs 1 - |distance| along each axis. An axis of a single pixel
# has no upper corner.
@_jit
def _corner(index: Array, corner: int, shape: Number, pixel: Array) -> Number:
    """Write the pixel at a corner around an index, and return its weight; 0 where there is none."""
    weight = 1.0
    for a in range(3):
        cell = min(int(index[a]), max(shape[a] - 2, 0))
        pixel[a] = cell + (corner >> a & 1)
        weight *= 0.0 if pixel[a] >= shape[a] else 1.0 - abs(index[a] - pixel[a])
    return weight


@_jit
def _root(covariance: Array, voxel: Array, shape: Any, root: Array) -> None:
    """Write a Cholesky factor (3, 3) of the covariance of where a voxel lies in the source, in um².

    An axis of a single pixel is left out: a step along it changes no value.
    """
    for i in range(3):
        for j in range(3):
            root[i, j] = 0.0
        for j in range(i + 1):
            rest = 0.0
            for a in range(4 if shape[i] > 1 and shape[j] > 1 else 0):
                for b in range(4):
                    rest += voxel[a] * voxel[b] * covariance[4 * i + a, 4 * j + b]
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
# zero. Beside an edge the changes are none or all of its height and far from normal: with a tenth of the positions
# beyond the edge, 1.96 roots of the second moment end at 0.6 of the height. There the largest change at the nodes
# within 1.96 standard deviations counts, as 1.96 standard errors; on a slope it is no more than the second moment says.
# On coarse voxels a is the mean over `offsets` in the voxel; there the noise is small and left in.
@_jit
def position_variance(source: Any, pose: Any, grid: Any, rule: Any, out: Array, rows: Any, scratch: Any) -> None:
    """Write the variance (z, y, x, k) that an uncertain position gives to interpolated values.

    `source` is (values, variances or empty, axes). `pose` is (matrix, covariance) of where a voxel lies in the source,
    and the (3, 2) bounds of the middles of voxels that meet it. `rule` is (standard normal nodes (q, 3), their weights
    (q,), offsets (s, 3) within a voxel in um). `scratch` holds vectors of 4 (ones), 3, 3, 3, (3, 3) and (7, k) floats
    and of 3 integers.
    """
    (values, noise, axes), (matrix, covariance, bounds), (nodes, weights, offsets) = source, pose, rule
    voxel, step, here, there, root, sums, pixel = scratch
    shape, k = values.shape, values.shape[3]
    for z in range(rows[0], rows[1]):
        for y in range(rows[2], rows[3]):
            for x in range(grid[2].size):
                voxel[0], voxel[1], voxel[2] = grid[0][z], grid[1][y], grid[2][x]
                if not _within(matrix, voxel, bounds):
                    for c in range(k):
                        out[z, y, x, c] = np.nan
                    continue
                _root(covariance, voxel, shape, root)
                for c in range(k):
                    sums[2, c] = sums[3, c] = sums[4, c] = 0.0
                for q in range(-1, nodes.shape[0]):  # -1 is the voxel's own position
                    own = q < 0
                    for a in range(3):
                        step[a] = 0.0
                        for b in range(0 if own else 3):
                            step[a] += root[a, b] * nodes[q, b]
                    index, row, share = (here, 0, 1.0) if own else (there, 1, weights[q])
                    _mean(values, axes, matrix, voxel, offsets, step, index, pixel, sums, row)
                    _noise(noise, here, index, own, pixel, sums)
                    near = own or nodes[q, 0] ** 2 + nodes[q, 1] ** 2 + nodes[q, 2] ** 2 <= REACH**2
                    # a node that reads a bad pixel does not count: the error spreads no further than the value
                    for c in range(0 if own else k):
                        if np.isfinite(sums[1, c]):
                            change = (sums[1, c] - sums[0, c]) ** 2 - sums[5, c] - sums[6, c]
                            sums[3, c] += share
                            sums[2, c] += share * change
                            sums[4, c] = max(sums[4, c], change if near else 0.0)
                for c in range(k):
                    known = np.isfinite(sums[0, c])
                    variance = max(max(sums[2, c], 0.0) / sums[3, c], sums[4, c] / REACH**2)
                    out[z, y, x, c] = variance if known else np.nan


@_jit
def _within(matrix: Array, voxel: Array, bounds: Array) -> bool:
    for a in range(3):
        middle = matrix[a, 0] * voxel[0] + matrix[a, 1] * voxel[1] + matrix[a, 2] * voxel[2] + matrix[a, 3]
        if not bounds[a, 0] <= middle <= bounds[a, 1]:
            return False
    return True


@_jit
def _mean(
    values: Array,
    axes: Any,
    matrix: Array,
    voxel: Array,
    offsets: Array,
    step: Array,
    index: Array,
    pixel: Array,
    sums: Array,
    row: int,
) -> None:
    """Write into a row of `sums` the mean over the offsets of interpolated values a step away; `index` is the last."""
    for c in range(values.shape[3]):
        sums[row, c] = 0.0
    for s in range(offsets.shape[0]):
        for a in range(3):
            position = matrix[a, 3] + step[a]
            for b in range(3):
                position += matrix[a, b] * (voxel[b] + offsets[s, b])
            index[a] = _index(axes[a], position)
        for corner in range(8):
            weight = _corner(index, corner, values.shape, pixel) / offsets.shape[0]
            if weight > 0:
                for c in range(values.shape[3]):
                    sums[row, c] += weight * values[pixel[0], pixel[1], pixel[2], c]


@_jit
def _noise(noise: Array, here: Array, there: Array, own: bool, pixel: Array, sums: Array) -> None:
    """Write the variance of the voxel's `own` value, or what else that of the difference of two values has."""
    row = 5 if own else 6
    for c in range(sums.shape[1]):
        sums[row, c] = 0.0
    for corner in range(8 if noise.size else 0):
        weight = _corner(there, corner, noise.shape, pixel)
        if weight > 0:
            first = 0.0 if own else 1.0
            for a in range(3):
                first *= max(0.0, 1.0 - abs(here[a] - pixel[a]))
            for c in range(sums.shape[1]):
                variance = noise[pixel[0], pixel[1], pixel[2], c]
                if np.isfinite(variance):
                    # E (w n - w₀ n₀)² over the pixels of both, less the pixels of the first alone, which are those of
                    # the voxel's `own` value.
                    sums[row, c] += ((weight - first) ** 2 - first**2) * variance
