"""What a probe sees of a specimen along its beam: how its signal is spread over depth, and where the surface lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.errors import DataError

Vector = npt.NDArray[np.float64]
_LAYERS: Final = 24
"""Layers that a smooth profile is cut into."""


@dataclass(frozen=True)
class Response:
    """How the signal of a pixel is spread along the beam; see `flat`, `profile`, `electrons`, `xrays`, `confocal`.

    Attributes
    ----------
    edges : array (n + 1,)
        Depths in um between layers, ascending: 0 at the surface, or at the focus, and positive along the beam.
    shares : array (n,)
        Share of the signal that comes from each layer; they add up to 1.
    direction : {1, -1}
        Sign of z of the map along which the beam goes: 1 where z runs into the specimen, as in images whose y runs
        down; -1 where it points to the source, as in the frame of a stage.
    surface : DataArray (y, x), optional
        Where the surface lies, as z in um in the frame of the map; left out, in the plane of the map.

    Raises
    ------
    DataError
        If depths do not ascend or shares are negative or not finite.

    Examples
    --------
    >>> Response.flat(0.06).mean_depth
    0.03
    >>> silicon = Response.xrays(beam=15.0, line=1.839, density=2.33)
    >>> round(float(silicon.edges[-1]), 2), round(silicon.mean_depth, 2)
    (2.52, 1.04)
    """

    edges: Vector
    shares: Vector
    direction: int = 1
    surface: xr.DataArray | None = None

    def __post_init__(self) -> None:
        """Refuse what is no profile."""
        steps = np.diff(self.edges)
        ascending = bool(np.isfinite(self.edges).all() and (steps > 0).all())
        if not len(steps) or len(self.shares) != len(steps) or not ascending:
            raise DataError("a response has finite depths that ascend, and a share for each layer between two of them")
        if not np.isfinite(self.shares).all() or (self.shares < 0).any() or abs(self.shares.sum() - 1) > 1e-9:
            raise DataError("the shares of a response are not negative and add up to 1")
        if self.direction not in (1, -1):
            raise DataError(f"direction is 1 or -1; received {self.direction!r}")

    @classmethod
    def flat(cls, depth: float, *, direction: int = 1) -> Response:
        """Return a signal that comes evenly from the surface down to a depth in um."""
        _require_positive(depth=depth)
        return cls(np.array([0.0, depth]), np.ones(1), direction)

    @classmethod
    def profile(cls, depths: npt.ArrayLike, values: npt.ArrayLike, *, direction: int = 1) -> Response:
        """Return a signal with a known profile.

        Parameters
        ----------
        depths : (n,) array_like
            In um, ascending.
        values : (n,) array_like
            Signal per depth there, in any unit; linear between them, and normalised.
        direction : {1, -1}
        """
        at, height = np.asarray(depths, dtype=float), np.asarray(values, dtype=float)
        if at.ndim != 1 or at.shape != height.shape or at.size < 2:
            raise DataError(f"a profile is two depths or more, each with a value; received {at.shape}, {height.shape}")
        if not np.isfinite(height).all() or (height < 0).any() or not height.any():
            raise DataError("the values of a profile are finite, not negative and not all zero")
        # Trapezoids: the values are linear between the depths.
        areas = np.diff(at) * (height[1:] + height[:-1]) / 2
        return cls(at, areas / areas.sum(), direction)

    @classmethod
    def electrons(cls, beam: float, density: float, *, direction: int = 1) -> Response:
        """Return where electrons leave their energy: cathodoluminescence, and other signals that follow it.

        Parameters
        ----------
        beam : float
            Energy of the beam in keV, 5 to 25.
        density : float
            In g/cm³, of elements around silicon.
        direction : {1, -1}

        Notes
        -----
        Range R = 0.0398 E^1.75 / ρ um and depth-dose 0.60 + 6.21 y - 12.40 y² + 5.69 y³ with y = z / R: Everhart and
        Hoff, J. Appl. Phys. 42, 5837 (1971).
        """
        _require_positive(beam=beam, density=density)
        return cls._smooth(_dose, 0.0398 * beam**1.75 / density, direction)

    @classmethod
    def xrays(cls, beam: float, line: float, density: float, *, direction: int = 1) -> Response:
        """Return where the X-rays of a line arise in a solid; their absorption on the way out is left out.

        Parameters
        ----------
        beam, line : float
            Energy of the beam and of the absorption edge of the line in keV.
        density : float
            In g/cm³.
        direction : {1, -1}

        Notes
        -----
        Range R = 0.064 (E^1.68 - Ec^1.68) / ρ um: Anderson and Hasler, Proc. 4th Int. Congr. X-ray Optics and
        Microanalysis, Paris (1966). The shape within it is taken as that of `electrons`.
        """
        _require_positive(beam=beam, line=line, density=density)
        if line >= beam:
            raise DataError(f"a beam of {beam} keV excites no line with an edge at {line} keV")
        # X-rays of a line arise as long as electrons have more than the energy of its edge: the range ends there.
        return cls._smooth(_dose, 0.064 * (beam**1.68 - line**1.68) / density, direction)

    @classmethod
    def confocal(cls, wavelength: float, aperture: float, index: float = 1.0, *, direction: int = 1) -> Response:
        """Return the axial response of a confocal microscope about its focus, to the first zero on either side.

        Parameters
        ----------
        wavelength : float
            In um.
        aperture : float
            Numerical aperture of the objective.
        index : float
            Refractive index of what the focus lies in.
        direction : {1, -1}

        Notes
        -----
        I(z) = sinc⁴(u / 4) on the axis, for a point and a small pinhole, with u = 8 π n z sin²(α / 2) / λ and
        sin α = NA / n: Wilson and Sheppard, Theory and Practice of Scanning Optical Microscopy (1984), chapter 3.
        """
        _require_positive(wavelength=wavelength, aperture=aperture, index=index)
        if aperture >= index:
            raise DataError(f"an aperture of {aperture} needs an index above it; received {index}")
        # u = slope · z; sinc(u / 4) is first zero at u = ±4π. numpy's sinc(t) is sin(πt) / πt, so t runs from -1 to 1.
        slope = 8 * np.pi * index * np.sin(np.arcsin(aperture / index) / 2) ** 2 / wavelength
        zero = 4 * np.pi / slope
        return cls._smooth(lambda y: np.sinc(2 * y - 1) ** 4, 2 * zero, direction, start=-zero)

    @classmethod
    def _smooth(
        cls, shape: Callable[[Vector], Vector], extent: float, direction: int, *, start: float = 0.0
    ) -> Response:
        """Return a profile over an extent, a function of the share of it that is passed, in layers."""
        # 16 points to a layer, by the midpoint rule; a polynomial that dips below 0 at its end counts as 0.
        fine = (np.arange(16 * _LAYERS) + 0.5) / (16 * _LAYERS)
        areas = np.maximum(shape(fine), 0.0).reshape(_LAYERS, 16).sum(axis=1)
        return cls(start + extent * np.arange(_LAYERS + 1) / _LAYERS, areas / areas.sum(), direction)

    def on(self, surface: xr.DataArray) -> Response:
        """Return the response below a surface: z in um over y and x, in the frame of the map."""
        if set(surface.dims) != {"y", "x"}:
            raise DataError(f"a surface lies over y and x; its dims are {dict(surface.sizes)}")
        return replace(self, surface=surface.transpose("y", "x"))

    @property
    def mean_depth(self) -> float:
        """Mean depth in um that the signal comes from."""
        return float(self.shares @ (self.edges[1:] + self.edges[:-1]) / 2)

    def described(self) -> dict[str, object]:
        """Return the numbers of the response for the record of a step."""
        return {
            "edges": self.edges,
            "shares": self.shares,
            "direction": self.direction,
            "surface": self.surface,
        }

    def heights(self, ds: xr.Dataset) -> Vector:
        """Return z (pixels,) of the surface under the middles of the pixels of a map, row by row.

        Raises
        ------
        DataError
            If the surface ends before the map does, or has gaps under it.
        """
        plane = float(np.atleast_1d(ds["z"].values)[0]) if "z" in ds.coords else 0.0
        if self.surface is None:
            return np.full(ds.sizes["y"] * ds.sizes["x"], plane)
        under = self.surface.interp(y=ds["y"].values, x=ds["x"].values).values
        if not np.isfinite(under).all():
            raise DataError(
                f"the surface is not known under {int((~np.isfinite(under)).sum())} of {under.size} pixels of the map; "
                "fill its gaps, or crop the map"
            )
        return np.asarray(under, dtype=float).ravel()


# Energy that electrons leave at depth z = y R, per depth, relative: it rises to y = 0.3 as they scatter and falls to a
# tenth at the end of the range. A polynomial that was fitted between y = 0 and 1.
def _dose(y: Vector) -> Vector:
    return np.asarray(0.60 + 6.21 * y - 12.40 * y**2 + 5.69 * y**3)


def _require_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not (np.isfinite(number) and number > 0):
            raise DataError(f"{name} is a positive number; received {number!r}")
