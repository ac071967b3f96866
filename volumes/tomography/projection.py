"""Parallel projections of a volume, turned about one of its axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def cube_of(values: Array) -> Array:
    """Return a volume padded with zeros to a cube."""
    size = max(values.shape)
    return np.pad(values, [(0, size - n) for n in values.shape])


def projector(angle: float, size: int) -> Any:
    """Return the sparse matrix (size, size²) that sums a plane (p, q) onto s = q cos + p sin, linearly shared."""
    from scipy.sparse import csr_matrix

    # The Radon transform of a pixel, approximated: its value is shared between the two detector pixels that its centre
    # falls between, in proportion to the distance. Columns sum to 1, so that a projection conserves the total; one
    # matrix serves every slice along the tilt axis.
    centre = (size - 1) / 2.0
    p, q = np.mgrid[:size, :size] - centre
    position = (q * np.cos(np.deg2rad(angle)) + p * np.sin(np.deg2rad(angle))).ravel() + centre
    low = np.floor(position).astype(np.intp)
    inside = (low >= 0) & (low < size - 1)
    column, low, share = np.nonzero(inside)[0], low[inside], (position - low)[inside]
    rows = np.concatenate([low, low + 1])
    weights = np.concatenate([1.0 - share, share]).astype(np.float32)
    return csr_matrix((weights, (rows, np.concatenate([column, column]))), (size, size * size))


def project(cube: Array, axis: int, angles: npt.ArrayLike) -> Array:
    """Return projections (row along the tilt axis, column, angle) of a cube turned about one of its axes."""
    size = cube.shape[0]
    planes = np.moveaxis(cube, axis, 2).reshape(size * size, size)
    return np.stack([(projector(angle, size) @ planes).T for angle in np.atleast_1d(angles)], axis=-1)


def all_projections(cube: Array, axis: int, half: Array) -> Array:
    """Project over half a turn; the other half is its mirror image."""
    # At 180 degrees more the beam is reversed, s = q cos + p sin changes its sign, and the projection is mirrored.
    projections = project(cube, axis, half)
    return np.concatenate([projections, projections[:, ::-1]], axis=-1)
