"""The affine of a napari layer: a matrix from data to world, in the order of the layer's axes, which is ours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fusion.affine import Affine
from fusion.errors import FrameError

Array = npt.NDArray[np.float64]


def to_napari(transform: Affine, *, dims: int = 3) -> Array:
    """Return a transform as the ``affine`` of a napari layer.

    Parameters
    ----------
    transform : Affine
        From the coordinates of a dataset in um. A layer whose ``scale`` and ``translate`` are the step and the first
        pixel centre of the dataset has these coordinates before the affine.
    dims : {2, 3}
        Axes of the layer: z, y, x or y, x.

    Returns
    -------
    ndarray (dims + 1, dims + 1)

    Raises
    ------
    FrameError
        If the transform leaves the plane of a layer with two axes.

    Examples
    --------
    >>> to_napari(Affine.translation(y=2.0, x=3.0), dims=2).tolist()
    [[1.0, 0.0, 2.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]]
    """
    if dims not in (2, 3):
        raise FrameError(f"a layer has 2 or 3 spatial axes; received {dims!r}")
    matrix = transform.matrix
    if dims == 2 and not (np.allclose(matrix[0], [1, 0, 0, 0]) and np.allclose(matrix[1:, 0], 0.0)):
        raise FrameError("the transform leaves the plane y, x; give dims=3")
    return np.array(matrix[3 - dims :, 3 - dims :])


def from_napari(matrix: npt.ArrayLike) -> Affine:
    """Return the ``affine`` of a napari layer as a transform; its error is unknown.

    Parameters
    ----------
    matrix : array_like (4, 4) or (3, 3)
        Such as ``layer.affine.affine_matrix`` of a layer with axes z, y, x or y, x, in um.

    Returns
    -------
    Affine

    Raises
    ------
    FrameError
        If the matrix has another shape, or is not affine.

    Examples
    --------
    >>> from_napari([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]])([0.0, 0.0, 0.0])
    array([0., 2., 3.])
    """
    inner = np.asarray(matrix, dtype=float)
    if inner.shape not in ((3, 3), (4, 4)):
        raise FrameError(f"the affine of a layer is 3 x 3 or 4 x 4; received shape {inner.shape}")
    full = np.eye(4)
    full[4 - len(inner) :, 4 - len(inner) :] = inner
    return Affine(full)
