"""The shift between two volumes of one specimen."""

from __future__ import annotations

import numpy as np
import xarray as xr

from fusion.affine import Affine
from fusion.conventions import spacing
from fusion.errors import DataError


def shift_between(moving: xr.DataArray, fixed: xr.DataArray) -> Affine:
    """Find the translation of one volume onto another on the same step, to a tenth of a voxel.

    Parameters
    ----------
    moving, fixed : DataArray (z, y, x)
        With equal, uniform steps in um; sizes may differ.

    Returns
    -------
    Affine
        Maps coordinates of `moving` to those of `fixed`.

    Notes
    -----
    Cross-correlation refined by a matrix Fourier transform: Guizar-Sicairos, Thurman and Fienup, Opt. Lett. 33, 156
    (2008), as in scikit-image.
    """
    from skimage.registration import phase_cross_correlation

    sizes = np.maximum(moving.shape, fixed.shape)
    a, b = (
        np.pad(v.values.astype(float), [(0, n - m) for n, m in zip(sizes, v.shape, strict=True)])
        for v in (fixed, moving)
    )
    # Without normalisation, i.e. plain cross-correlation: whitening the spectrum (phase correlation) gives noise at
    # high frequencies the weight of the specimen. The result says by how many voxels `moving` has to be moved.
    shift, *_ = phase_cross_correlation(a, b, upsample_factor=10, normalization=None)
    start = [float(fixed[dim][0] - moving[dim][0]) for dim in ("z", "y", "x")]
    steps = [step_along(fixed, dim) for dim in ("z", "y", "x")]
    return Affine.translation(*(s * d + o for s, d, o in zip(shift, steps, start, strict=True)))


def step_along(array: xr.DataArray, dim: str) -> float:
    """Return the step of an axis that has to be uniform."""
    step = spacing(array[dim])
    if step is None:
        raise DataError(f"{array.name}: {dim} is not uniform")
    return step
