"""What a registration returns: the transform, its residuals and the error expected at any position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.affine import Affine
from fusion.errors import RegistrationError
from fusion.warp import Warp

Model = Literal["rigid", "similarity", "affine"]
Outliers = Literal["refuse", "drop", "keep"]
Found = TypeVar("Found", Affine, Warp)
Array = npt.NDArray[np.float64]


class ExpectedErrors(Generic[Found]):
    """What the covariance of a transform says of any position; the part that all registrations share."""

    transform: Found
    dof: float
    columns: int

    def tre(self, points: npt.ArrayLike, *, level: float | None = None) -> xr.DataArray:
        """Return the expected target registration error at `points` of the moving dataset.

        Parameters
        ----------
        points : array_like (..., 3) or, for landmarks within a plane, (..., 2)
            In um, z, y, x or y, x, as the landmarks.
        level : float, optional
            Between 0 and 1: the radius within which the true position lies with at least this probability, from the
            F distribution with `dof`. Left out, the root mean square distance between where a point lands and where
            it belongs.

        Returns
        -------
        DataArray
            In um. For isotropic, equal landmark errors and a rigid model the root mean square is eq. 46 of
            Fitzpatrick, West and Maurer, IEEE Trans. Med. Imaging 17, 694 (1998), to first order.

        Raises
        ------
        FrameError
            If the error is not known.
        """
        covariance = self.transform.covariance_at(self._raised(points))
        if level is None:
            size = np.sqrt(np.trace(covariance, axis1=-2, axis2=-1))
        else:
            # the ellipsoid r' C^-1 r < d F(d, dof) lies within the sphere of its longest half-axis
            size = np.sqrt(np.linalg.eigvalsh(covariance)[..., -1] * self._dim * self._f(level))
        dims = ("point",) if size.ndim == 1 else tuple(f"dim_{i}" for i in range(size.ndim))
        meaning = "expected target registration error" if level is None else f"target registration error, {level:.0%}"
        return xr.DataArray(size, dims=dims, name="tre", attrs={"units": "um", "long_name": meaning})

    def interval(self, points: npt.ArrayLike, *, level: float = 0.95) -> xr.DataArray:
        """Return half the width (..., axis) in um of the interval along z, y, x that holds the truth.

        At probability `level`, by Student's t with `dof`; the normal distribution where sigma was given.
        """
        from scipy.special import ndtri, stdtrit

        variance = np.diagonal(self.transform.covariance_at(self._raised(points)), axis1=-2, axis2=-1)
        tail = (1.0 + level) / 2.0
        # A variance estimated with few degrees of freedom is itself uncertain: at 3 of them 95 % need 3.18 standard
        # errors.
        quantile = float(stdtrit(self.dof, tail) if np.isfinite(self.dof) else ndtri(tail))
        half: Array = np.asarray(np.sqrt(variance) * quantile)
        dims = ("point", "axis") if half.ndim == 2 else (*(f"dim_{i}" for i in range(half.ndim - 1)), "axis")
        attrs = {"units": "um", "long_name": f"half of the {level:.0%} interval"}
        return xr.DataArray(half, dims=dims, coords={"axis": list("zyx")}, name="interval", attrs=attrs)

    def holds(self, points: npt.ArrayLike, truth: npt.ArrayLike, *, level: float = 0.95) -> npt.NDArray[np.bool_]:
        """Whether `truth` (..., 3) lies in the region that holds it with probability `level`: r' C⁺ r < d F(d, dof)."""
        start = self._raised(points)
        miss = (self._raised(truth) - self.transform(start))[..., -self._dim :]
        covariance = self.transform.covariance_at(start)[..., -self._dim :, -self._dim :]
        # Hotelling's T² with dof of the one variance that was estimated, hence F(d, dof) and not F(d, dof - d + 1).
        # r' C⁻¹ r is chi-squared where sigma was given
        square = (miss * np.linalg.solve(covariance, miss[..., None])[..., 0]).sum(axis=-1)
        return np.asarray(square <= self._dim * self._f(level))

    @property
    def _dim(self) -> int:
        flat = isinstance(self.transform, Warp) or not self.transform.matrix[0, 1:].any()
        return 2 if self.columns == 2 and flat else 3

    def _f(self, level: float) -> float:
        """Return the quantile of F(d, dof); of chi-squared over d where sigma was given."""
        from scipy.special import chdtri, fdtri

        dim = self._dim
        return float(fdtri(dim, self.dof, level) if np.isfinite(self.dof) else chdtri(dim, 1.0 - level) / dim)

    def _raised(self, points: npt.ArrayLike) -> Array:
        """Return points of two columns in the plane z = 0, others as they are."""
        array = np.asarray(points, dtype=float)
        if array.ndim and array.shape[-1] == 2:
            if self.columns != 2:
                raise RegistrationError("points have two columns, the landmarks had three (z, y, x); give z as well")
            return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(1, 0)])
        return array


@dataclass(frozen=True)
class Registration(ExpectedErrors[Found]):
    """A fitted transform with what says how well it is known.

    Attributes
    ----------
    transform : Affine or Warp
        Maps moving to fixed, with its covariance where it can be known, and the degrees of freedom behind it.
    residuals : DataArray, dims (point, axis)
        Fixed minus mapped moving landmarks, in um, along z, y, x; of all pairs, also those that were dropped.
    model : str
        The model that was fitted.
    sigma : float or None
        Standard deviation of one landmark coordinate in um: as given (root mean square, in the fixed frame), or
        estimated from the residuals. None where the landmarks are just enough to solve the model and say nothing of
        their own error.
    chi2 : float
        Sum of the squares of the residuals over their standard deviations; NaN where these were not given, and for a
        warp, which bends towards any landmark.
    dof : float
        Degrees of freedom of an estimated sigma; infinite where sigma was given.
    p : float
        Probability of a larger chi2 if model and sigma are right; NaN where there is no chi2.
    left_out : Dataset, dim point
        ``distance`` in um of each pair from where the other pairs place it, and ``p``, the probability of a larger
        one by chance; NaN where the other pairs are too few to tell.
    kept : DataArray, dim point
        Whether the pair takes part in the fit.
    columns : int
        How many numbers a moving landmark has: 2 within a plane.
    """

    transform: Found
    residuals: xr.DataArray
    model: Model | Literal["warp"]
    sigma: float | None
    chi2: float
    dof: float
    p: float
    left_out: xr.Dataset
    kept: xr.DataArray
    columns: int = 3

    @property
    def rms(self) -> float:
        """Root mean square length of the residuals in um of the pairs kept (the fiducial registration error)."""
        return float(np.sqrt((self.residuals.values[self.kept.values] ** 2).sum(axis=1).mean()))


def as_residuals(values: Array) -> xr.DataArray:
    """Return the residuals (landmark, 3) of a fit, labelled."""
    attrs = {"units": "um", "long_name": "fixed minus mapped moving landmark"}
    coords = {"axis": list("zyx")}
    return xr.DataArray(values, dims=("point", "axis"), coords=coords, name="residual", attrs=attrs)


def as_kept(kept: npt.NDArray[np.bool_]) -> xr.DataArray:
    """Return which pairs take part in a fit, labelled."""
    return xr.DataArray(kept, dims="point", name="kept", attrs={"long_name": "pair takes part in the fit"})


def as_left_out(distance: Array, p: Array, kept: npt.NDArray[np.bool_]) -> xr.Dataset:
    """Return the comparison of each pair with the others, labelled; NaN for those that were dropped."""
    columns = {}
    for name, unit, array in (("distance", "um", distance), ("p", "1", p)):
        full = np.full(len(kept), np.nan)
        full[kept] = array
        columns[name] = ("point", full, {"units": unit})
    return xr.Dataset(columns)
