"""What an uncertain position does to an interpolated value: bare arrays in, bare arrays out.

Scratch arrays come from the caller: Numba takes long to compile what allocates or slices.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion._kernels import kernel, part
from fusion.grids._axis_kernels import count_up_to

Array = NDArray[Any]
Number = Any

LARGEST = 4.0
"""Expected largest square of ten standard normal numbers: as many of the changes around a voxel are independent."""


@part
def _index(axis: Array, position: Number) -> Number:
    """Return the continuous index of a position among pixel centres; beyond the outermost ones it stays there."""
    n = axis.size
    if n == 1:
        return 0.0
    cell: Number = min(max(count_up_to(axis, position) - 1, 0), n - 2)
    return min(max(cell + (position - axis[cell]) / (axis[cell + 1] - axis[cell]), 0.0), n - 1.0)


# A pixel at one of the eight corners around an index weighs 1 - |distance| along each axis. An axis of a single pixel
# has no upper corner.
@part
def _corner(index: Array, corner: int, shape: Number, pixel: Array) -> Number:
    """Write the pixel at a corner around an index, and return its weight; 0 where there is none."""
    weight = 1.0
    for a in range(3):
        cell = min(int(index[a]), max(shape[a] - 2, 0))
        pixel[a] = cell + (corner >> a & 1)
        weight *= 0.0 if pixel[a] >= shape[a] else 1.0 - abs(index[a] - pixel[a])
    return weight


# Second moment, about the value at the voxel's own position, of the values at the nodes of a Gauss-Hermite rule over
# the uncertain position: E (a(p + δ) - a(p))². To first order that is gradient · covariance · gradient; at an edge,
# where the gradient may be 0 on either side, it is what a shift by a pixel does. Noise of the map is in each difference
# too and is counted elsewhere: its variance, Σ (w_q - w_0)² s² over the pixels of both, is taken off, and never below
# zero. Beside an edge the changes are none or all of its height and far from normal: with a tenth of the positions
# beyond the edge, 1.96 roots of the second moment end at 0.6 of the height. There the largest change at the nodes
# within 1.96 standard deviations counts, as 1.96 standard errors; on a slope it is no more than the second moment says.
# The largest of many noisy changes is noise to a larger part: `LARGEST` times their variance is taken off.
# On coarse voxels a is the mean over points of the voxel, `shifts` apart; there the noise is small and left in.
@kernel
def position_variance(
    source: Any, seen: Array, roots: Array, rule: Any, reach: Number, out: Array, scratch: Any
) -> None:
    """Write the variance (n, k) that an uncertain position gives to interpolated values.

    `source` is (values, variances or empty, axes). Voxels lie at `seen` (n, 3) in the source, with the Cholesky factors
    `roots` (n, 3, 3) of the covariances of where they lie. `rule` is (standard normal nodes (q, 3), the first of them
    0; their weights (q,); 1 for those within `reach` standard deviations, else 0; shifts (s, 3) in um). `scratch` holds
    vectors of 3 floats, 3, 3, (7, k) and of 3 integers.
    """
    (values, noise, axes), (nodes, weights, near, shifts), (step, here, there, sums, pixel) = source, rule, scratch
    for v in range(seen.shape[0]):
        sums[:] = 0.0
        for q in range(nodes.shape[0]):  # the first is the voxel's own position
            index = there if q else here
            for a in range(3):
                step[a] = seen[v, a]
                for b in range(3):
                    step[a] += roots[v, a, b] * nodes[q, b]
            _mean(values, axes, step, shifts, index, pixel, sums, min(q, 1))
            _noise(noise, here, index, q == 0, pixel, sums)
            # a node that reads a bad pixel does not count: the error spreads no further than the value
            for c in range(out.shape[1]):
                change = (sums[1, c] - sums[0, c]) ** 2 - sums[5, c] - sums[6, c]
                if q and np.isfinite(change):
                    sums[3, c] += weights[q]
                    sums[2, c] += weights[q] * change
                    largest = change - (LARGEST - 1.0) * (sums[5, c] + sums[6, c])
                    sums[4, c] = max(sums[4, c], near[q] * largest)
        for c in range(out.shape[1]):
            variance = max(max(sums[2, c], 0.0) / sums[3, c], sums[4, c] / reach**2)
            out[v, c] = variance if np.isfinite(sums[0, c]) else np.nan


@part
def _mean(
    values: Array, axes: Any, at: Array, shifts: Array, index: Array, pixel: Array, sums: Array, row: int
) -> None:
    """Write into a row of `sums` the mean over shifts of the interpolated values; `index` is that of the last."""
    for c in range(values.shape[3]):
        sums[row, c] = 0.0
    for s in range(shifts.shape[0]):
        for a in range(3):
            index[a] = _index(axes[a], at[a] + shifts[s, a])
        for corner in range(8):
            weight = _corner(index, corner, values.shape, pixel) / shifts.shape[0]
            if weight > 0:
                for c in range(values.shape[3]):
                    sums[row, c] += weight * values[pixel[0], pixel[1], pixel[2], c]


@part
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
