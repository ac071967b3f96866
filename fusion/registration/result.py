"""What a registration returns: the transform, its residuals and the error expected at any place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.affine import Affine

Model = Literal["rigid", "similarity", "affine"]


@dataclass(frozen=True)
class Registration:
    """What a registration found.

    Attributes
    ----------
    transform : Affine
        Maps moving to fixed, with the covariance of its parameters where it can be known.
    residuals : DataArray, dims (point, axis)
        Fixed minus mapped moving landmarks, in um, along z, y, x.
    model : str
        The model that was fitted.
    sigma : float or None
        Standard deviation of one landmark coordinate in um: given, or estimated from the residuals. None where the
        landmarks are just enough to solve the model and say nothing of their own error.
    """

    transform: Affine
    residuals: xr.DataArray
    model: Model
    sigma: float | None

    @property
    def rms(self) -> float:
        """Root mean square length of the residuals in um (the fiducial registration error)."""
        return float(np.sqrt((self.residuals.values**2).sum(axis=1).mean()))

    def tre(self, points: npt.ArrayLike) -> xr.DataArray:
        """Return the expected target registration error at `points` (..., 3) of the moving dataset.

        Root mean square distance in um between where a point lands and where it belongs. For isotropic, equal
        landmark errors and a rigid model it is eq. 46 of Fitzpatrick, West and Maurer, IEEE Trans. Med. Imaging
        17, 694 (1998), to first order.

        Raises
        ------
        FrameError
            If the landmarks could not tell their own error.
        """
        variance = np.trace(self.transform.covariance_at(points), axis1=-2, axis2=-1)
        dims = ("point",) if variance.ndim == 1 else tuple(f"dim_{i}" for i in range(variance.ndim))
        attrs = {"units": "um", "long_name": "expected target registration error"}
        return xr.DataArray(np.sqrt(variance), dims=dims, name="tre", attrs=attrs)


def as_residuals(values: npt.NDArray[np.float64]) -> xr.DataArray:
    """Return the residuals (landmark, 3) of a fit, labelled."""
    attrs = {"units": "um", "long_name": "fixed minus mapped moving landmark"}
    coords = {"axis": list("zyx")}
    return xr.DataArray(values, dims=("point", "axis"), coords=coords, name="residual", attrs=attrs)
