"""The profile of a sphere blurred by a point spread that is longer along the beam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_FINE = 10.0
"""Points of the table in a standard deviation of the narrower blur."""
_FAR = 3.0
"""Standard deviations of the blur beyond the surface at which a sphere ends."""


class Table(NamedTuple):
    """Profiles (radius, z, distance from the axis), the first radius, and the steps of the three axes in um."""

    values: Array
    first: float
    step_radius: float
    step_z: float
    step_rho: float

    @property
    def blur(self) -> Array:
        """Standard deviations of the blur along z, y and x, in um."""
        return _FINE * np.array([self.step_z, self.step_rho, self.step_rho])

    @property
    def reach(self) -> Array:
        """How far along z, y and x a sphere is seen from its centre, in um."""
        _, z, rho = self.values.shape
        return np.array([(z - 2) * self.step_z, *2 * [(rho - 2) * self.step_rho]])


def profile_table(smallest: float, largest: float, axial: float, lateral: float) -> Table:
    """Return the profiles of spheres of brightness 1 blurred by a Gaussian.

    Parameters
    ----------
    smallest, largest : float
        Radii in um; those between are interpolated.
    axial, lateral : float
        Standard deviations in um along z, and across it; `axial` is the larger one.
    """
    step_radius = lateral / 4.0
    radii = smallest + step_radius * np.arange(int(np.ceil((largest - smallest) / step_radius)) + 2)
    step_z, step_rho = float(axial / _FINE), float(lateral / _FINE)
    z, rho = (
        np.asarray(step * np.arange(int((largest + _FAR * blur) / step) + 3), dtype=float)
        for step, blur in ((step_z, axial), (step_rho, lateral))
    )
    values = np.array([_blurred(radius, z, rho, axial, lateral) for radius in radii.tolist()])
    return Table(values, float(radii[0]), step_radius, step_z, step_rho)


# A Gaussian of (axial, lateral, lateral) is an isotropic one of the lateral width followed by one along z of the width
# √(axial² - lateral²): the first has a closed form, the second is a sum over a fine grid.
def _blurred(radius: float, z: Array, rho: Array, axial: float, lateral: float) -> Array:
    rest = np.sqrt(max(axial**2 - lateral**2, 0.0))
    if rest < 0.05 * lateral:
        return sphere_profile(np.hypot(z[:, None], rho), radius, lateral)
    step = lateral / _FINE
    shifts = step * np.arange(-int(4.0 * rest / step) - 1, int(4.0 * rest / step) + 2)
    weights = np.exp(-0.5 * (shifts / rest) ** 2)
    # on one fine line of z, of which the rows wanted are read by interpolation
    line = step * np.arange(-shifts.size // 2 - 2, int(z[-1] / step) + shifts.size // 2 + 3)
    sharp = sphere_profile(np.hypot(line[:, None], rho), radius, lateral)
    from scipy.ndimage import convolve1d

    blurred = convolve1d(sharp, weights / weights.sum(), axis=0, mode="nearest")
    return np.stack([np.interp(z, line, column) for column in blurred.T], axis=1)


def sphere_profile(distance: npt.ArrayLike, radius: float, sigma: float) -> Array:
    """Return a sphere of brightness 1 convolved with an isotropic Gaussian, at distances from its centre.

    Examples
    --------
    >>> sphere_profile([0.0, 5.0, 20.0], radius=5.0, sigma=0.5).round(2) + 0.0
    array([1.  , 0.46, 0.  ])
    """
    # ½ [erf(u₊) + erf(u₋)] - σ / (r √2π) [exp(-u₋²) - exp(-u₊²)] with u± = (R ± r) / (√2 σ): the integral of the
    # Gaussian over the ball, by shells around the point.
    from scipy.special import erf

    r = np.maximum(np.asarray(distance, dtype=float), 1e-6 * sigma)
    plus, minus = (radius + r) / (np.sqrt(2.0) * sigma), (radius - r) / (np.sqrt(2.0) * sigma)
    edge = sigma / (r * np.sqrt(2.0 * np.pi)) * (np.exp(-(minus**2)) - np.exp(-(plus**2)))
    return np.asarray(0.5 * (erf(plus) + erf(minus)) - edge)
