"""Parallel projection of planes and its adjoint, and the two steps of a total-variation filter: bare arrays.

Arrays of planes are (z, across, slice) and those of projections (view, across, slice), float32: what is done to a voxel
is done to all slices along the tilt axis at once, with the same weights, so that the innermost loop runs over
neighbours in memory.
"""

from math import sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True, fastmath=True)
def forward(planes: Array, cosines: Array, sines: Array, views: Array) -> None:
    """Write into `views` the sums of `planes` along the beam, in units of a voxel's side."""
    depth, width, slices = planes.shape
    size = views.shape[1]
    weights = np.empty(3, np.float32)
    views[:] = 0.0
    for view in range(cosines.size):
        for i in range(depth):
            for j in range(width):
                first = _footprint(i - (depth - 1) / 2, j - (width - 1) / 2, cosines[view], sines[view], size, weights)
                for k in range(max(first, 0), min(first + 3, size)):
                    weight = weights[k - first]
                    if weight > 0.0:
                        for s in range(slices):
                            views[view, k, s] += weight * planes[i, j, s]


@njit(cache=True, nogil=True, fastmath=True)
def backward(views: Array, cosines: Array, sines: Array, planes: Array) -> None:
    """Write into `planes` what the transpose of `forward` makes of `views`."""
    depth, width, slices = planes.shape
    size = views.shape[1]
    weights = np.empty(3, np.float32)
    planes[:] = 0.0
    for view in range(cosines.size):
        for i in range(depth):
            for j in range(width):
                first = _footprint(i - (depth - 1) / 2, j - (width - 1) / 2, cosines[view], sines[view], size, weights)
                for k in range(max(first, 0), min(first + 3, size)):
                    weight = weights[k - first]
                    if weight > 0.0:
                        for s in range(slices):
                            planes[i, j, s] += weight * views[view, k, s]


# The shadow of a square voxel turned by t is a trapezoid: the convolution of two boxes, |cos t| and |sin t| wide
# (De Man and Basu, Phys. Med. Biol. 49, 2463 (2004)). Its integral over each detector pixel is exact, sums to 1, and
# covers three pixels at most, as the shadow is no wider than the square root of 2. Sharing the voxel linearly between
# two pixels, which ignores the angle, leaves views that were not used 5 % worse on the needle of benchmarks/tomography.
@njit(cache=True, nogil=True, fastmath=True)
def _footprint(z: float, across: float, cosine: float, sine: float, size: int, weights: Array) -> int:
    """Write the shares of a voxel in three detector pixels; return the number of the first of them."""
    position = across * cosine - z * sine + (size - 1) / 2
    first = int(np.floor(position + 0.5)) - 1
    wide, narrow = max(abs(cosine), abs(sine)), min(abs(cosine), abs(sine))
    below = _area(first - 0.5 - position, wide, narrow)
    for k in range(3):
        above = _area(first + k + 0.5 - position, wide, narrow)
        weights[k] = above - below
        below = above
    return first


@njit(cache=True, nogil=True, fastmath=True)
def _area(edge: float, wide: float, narrow: float) -> float:
    """Return the area of the shadow, centred on 0, that lies below `edge`."""
    if narrow < 1e-6:
        return min(max(edge / wide + 0.5, 0.0), 1.0)
    outer, inner = (wide + narrow) / 2, (wide - narrow) / 2
    rising = _square(edge + outer) - _square(edge + inner)
    return (rising - _square(edge - inner) + _square(edge - outer)) / (2.0 * wide * narrow)


@njit(cache=True, nogil=True, fastmath=True)
def _square(value: float) -> float:
    return value * value if value > 0.0 else 0.0


# min_x |x - v|² / 2 + w TV(x), x >= 0, has the dual max over |p| <= 1 and the solution x = max(v + w div p, 0)
# (Chambolle, J. Math. Imaging Vis. 20, 89 (2004); with bounds: Beck and Teboulle, IEEE Trans. Image Process. 18, 2419
# (2009), eq. 4.5). `relax` gives x for a dual field p, `ascend` improves p by one step of size 1 / (8 w).
@njit(cache=True, nogil=True, fastmath=True)
def relax(noisy: Array, dual: Array, weight: float, nonnegative: bool, out: Array) -> None:
    """Write `noisy` + `weight` div `dual`, where needed not below zero."""
    depth, width, slices = noisy.shape
    factor = np.float32(weight)
    for i in range(depth):
        for j in range(width):
            for s in range(slices):
                flow = dual[0, i, j, s] + dual[1, i, j, s]
                if i > 0:
                    flow -= dual[0, i - 1, j, s]
                if j > 0:
                    flow -= dual[1, i, j - 1, s]
                value = noisy[i, j, s] + factor * flow
                out[i, j, s] = max(value, 0.0) if nonnegative else value


@njit(cache=True, nogil=True, fastmath=True)
def ascend(image: Array, step: float, dual: Array) -> None:
    """Move `dual` along the gradient of `image`, and back into the unit disc."""
    depth, width, slices = image.shape
    rate = np.float32(step)
    for i in range(depth):
        for j in range(width):
            for s in range(slices):
                down = image[i + 1, j, s] - image[i, j, s] if i + 1 < depth else 0.0
                right = image[i, j + 1, s] - image[i, j, s] if j + 1 < width else 0.0
                p, q = dual[0, i, j, s] + rate * down, dual[1, i, j, s] + rate * right
                norm = max(sqrt(p * p + q * q), 1.0)
                dual[0, i, j, s], dual[1, i, j, s] = p / norm, q / norm
