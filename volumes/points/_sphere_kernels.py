"""Blurred spheres on a grid of voxels, and the normal equations of their joint fit: bare arrays in, bare arrays out.

Lengths are in um, from the centre of the first voxel. A sphere is a row (z, y, x, brightness, radius).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Table = Any
"""A table of profiles (radius, z, distance from the axis), its first radius and its three steps."""
Number = Any

_jit = njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
NODES = 3
"""Nodes of the background along each axis that a sphere may touch."""


@_jit
def _profile(table: Table, z: Number, rho: Number, radius: Number, out: Array) -> None:
    """Write the value of a blurred sphere of brightness 1 and its derivatives by z, rho and radius."""
    # trilinear, so that the value is continuous and the derivatives are those of the very same function
    # and are zero outside the ellipsoid of the table's reach, where less than a thousandth of the light is left
    values, first, step_radius, step_z, step_rho = table
    a = (radius - first) / step_radius
    b, c = abs(z) / step_z, rho / step_rho
    k = min(max(int(a), 0), values.shape[0] - 2)
    i, j = int(b), int(c)
    if (b / (values.shape[1] - 2)) ** 2 + (c / (values.shape[2] - 2)) ** 2 >= 1.0:
        out[:4] = 0.0
        return
    a, b, c = a - k, b - i, c - j
    v000, v001 = values[k, i, j], values[k, i, j + 1]
    v010, v011 = values[k, i + 1, j], values[k, i + 1, j + 1]
    v100, v101 = values[k + 1, i, j], values[k + 1, i, j + 1]
    v110, v111 = values[k + 1, i + 1, j], values[k + 1, i + 1, j + 1]
    lower0, upper0 = v000 + c * (v001 - v000), v010 + c * (v011 - v010)
    lower1, upper1 = v100 + c * (v101 - v100), v110 + c * (v111 - v110)
    plane0, plane1 = lower0 + b * (upper0 - lower0), lower1 + b * (upper1 - lower1)
    out[0] = plane0 + a * (plane1 - plane0)
    slope = ((upper0 - lower0) * (1.0 - a) + (upper1 - lower1) * a) / step_z
    out[1] = slope if z >= 0 else -slope
    near = (v001 - v000) * (1.0 - b) + (v011 - v010) * b
    far = (v101 - v100) * (1.0 - b) + (v111 - v110) * b
    out[2] = (near * (1.0 - a) + far * a) / step_rho
    out[3] = (plane1 - plane0) / step_radius


@_jit
def _jacobian(table: Table, sphere: Array, z: Number, y: Number, x: Number, out: Array) -> None:
    """Write the derivatives of a voxel at z, y, x by the five numbers of a sphere; out[3] is its profile."""
    # model = A S(|z - c_z|, ρ; R) with ρ² = (y - c_y)² + (x - c_x)²; by the chain rule dS/dc = -dS/dρ (y - c_y) / ρ
    dz, dy, dx = z - sphere[0], y - sphere[1], x - sphere[2]
    rho = np.sqrt(dy * dy + dx * dx)
    _profile(table, dz, rho, sphere[4], out)
    value, by_z, by_rho, by_radius = out[0], out[1], out[2], out[3]
    ratio = by_rho / rho if rho > 1e-12 else 0.0
    out[0] = -sphere[3] * by_z
    out[1] = -sphere[3] * ratio * dy
    out[2] = -sphere[3] * ratio * dx
    out[3] = value
    out[4] = sphere[3] * by_radius


@_jit
def box_of(sphere: Array, table: Table, step: Array, shape: Array, box: Array) -> None:
    """Write the first voxel and the one after the last (axis, 2) that a sphere reaches."""
    # lengths over steps are places among voxels; a sphere beyond the border has a part of its box, or none
    values, _, _, step_z, step_rho = table
    reach_z, reach = (values.shape[1] - 2) * step_z, (values.shape[2] - 2) * step_rho
    for axis in range(3):
        far = reach_z if axis == 0 else reach
        box[axis, 0] = max(int(np.ceil((sphere[axis] - far) / step[axis])), 0)
        box[axis, 1] = min(int(np.floor((sphere[axis] + far) / step[axis])) + 1, shape[axis])
        box[axis, 1] = max(box[axis, 1], box[axis, 0])


@_jit
def draw(spheres: Array, table: Table, step: Array, image: Array) -> None:
    """Add spheres to an image (z, y, x)."""
    box, line = np.empty((3, 2), np.int64), np.empty(5)
    shape = np.array(image.shape)
    for n in range(spheres.shape[0]):
        sphere = spheres[n]
        box_of(sphere, table, step, shape, box)
        for i in range(box[0, 0], box[0, 1]):
            for j in range(box[1, 0], box[1, 1]):
                dy = j * step[1] - sphere[1]
                for k in range(box[2, 0], box[2, 1]):
                    dx = k * step[2] - sphere[2]
                    _profile(table, i * step[0] - sphere[0], np.sqrt(dy * dy + dx * dx), sphere[4], line)
                    image[i, j, k] += sphere[3] * line[0]


@_jit
def normal_equations(
    spheres: Array, table: Table, step: Array, residual: Array, weight: Array, starts: Array, others: Array,
    nodes: Array, gradient: Array, own: Array, pairs: Array, mixed: Array, slices: Array, first: Array,
) -> None:  # fmt: skip
    """Write the gradient and the blocks of J'W J of a joint fit.

    Parameters
    ----------
    spheres : (n, 5) array
    table : tuple
    step : (3,) array
    residual, weight : (z, y, x) arrays
    starts, others : (n + 1,), (m,) int arrays
        The spheres that overlap with sphere n and have a larger number are ``others[starts[n]:starts[n + 1]]``.
    nodes : (3,) array
        Distance of the nodes of the background along each axis, in voxels; node 0 lies at voxel 0.
    gradient : (n, 5) array
        J'W r.
    own, pairs : (n, 5, 5), (m, 5, 5) arrays
        Blocks of a sphere with itself, and with another.
    mixed, slices : (n, 5, 27), (n, 5, depth) arrays
        Blocks with the nodes of the background that it touches, and with the slices.
    first : (n, 4) array
        The first of these nodes along each axis, and the first slice.
    """
    # One pass over the voxels of a sphere gives its own block, its gradient and its products with the background, and
    # keeps its derivatives for the pairs that follow; the weight goes in once, with the first of two factors.
    shape = np.array(residual.shape)
    box, other, line, row = np.empty((3, 2), np.int64), np.empty((3, 2), np.int64), np.empty(5), np.empty((5, NODES))
    for n in range(spheres.shape[0]):
        sphere = spheres[n]
        box_of(sphere, table, step, shape, box)
        sides = box[:, 1] - box[:, 0]
        kept = np.zeros((sides[0], sides[1], sides[2], 5))
        for axis in range(3):
            first[n, axis] = int(box[axis, 0] / nodes[axis])
        first[n, 3] = box[0, 0]
        for i in range(sides[0]):
            for j in range(sides[1]):
                z, y = i + box[0, 0], j + box[1, 0]
                row[:] = 0.0
                for k in range(sides[2]):
                    x = k + box[2, 0]
                    _jacobian(table, sphere, z * step[0], y * step[1], x * step[2], line)
                    if line[3] == 0.0:
                        continue
                    w, r = weight[z, y, x], residual[z, y, x]
                    node = int(x / nodes[2])
                    share, node = x / nodes[2] - node, node - first[n, 2]
                    for a in range(5):
                        value = w * line[a]
                        kept[i, j, k, a] = value
                        gradient[n, a] += value * r
                        row[a, node] += value * (1.0 - share)
                        row[a, node + 1] += value * share
                        for b in range(a + 1):
                            own[n, a, b] += value * line[b]
                for a in range(5):
                    slices[n, a, i] += row[a].sum()
                _spread(row, z / nodes[0], y / nodes[1], first[n], mixed[n])
        for a in range(5):
            for b in range(a):
                own[n, b, a] = own[n, a, b]
        for m in range(starts[n], starts[n + 1]):
            box_of(spheres[others[m]], table, step, shape, other)
            _add_products(kept, box, spheres[others[m]], other, table, step, line, pairs[m])


@_jit
def _add_products(
    kept: Array, box: Array, second: Array, other: Array, table: Table, step: Array, line: Array, out: Array
) -> None:
    """Add the products of the derivatives of two spheres over the voxels that both reach."""
    # `kept` holds those of the first sphere in its box, times the weight; those of the second are worked out anew, as
    # keeping them for all spheres would take 40 bytes for each voxel of each sphere's box: gigabytes for ten thousand
    for z in range(max(other[0, 0], box[0, 0]), min(other[0, 1], box[0, 1])):
        for y in range(max(other[1, 0], box[1, 0]), min(other[1, 1], box[1, 1])):
            for x in range(max(other[2, 0], box[2, 0]), min(other[2, 1], box[2, 1])):
                at = kept[z - box[0, 0], y - box[1, 0], x - box[2, 0]]
                if at[3] == 0.0:
                    continue
                _jacobian(table, second, z * step[0], y * step[1], x * step[2], line)
                for a in range(5):
                    for b in range(5):
                        out[a, b] += at[a] * line[b]


# The nodes' weights are products along the axes: a row of voxels is summed for the nodes along x first, and the sums go
# to the four rows of nodes about it, a fifth of the work of eight nodes for each voxel.
@_jit
def _spread(row: Array, z: Number, y: Number, first: Array, mixed: Array) -> None:
    """Add the sums (number, x node) of a row of voxels to those of the nodes of a sphere."""
    i, j = int(z), int(y)
    for u in range(2):
        for v in range(2):
            share = (z - i if u else 1.0 - z + i) * (y - j if v else 1.0 - y + j)
            at = ((i - first[0] + u) * NODES + j - first[1] + v) * NODES
            for a in range(5):
                for k in range(NODES):
                    mixed[a, at + k] += share * row[a, k]
