"""Particles in a volume: positions, radii and brightness with errors, from a fit of all of them together."""

from __future__ import annotations

import warnings
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import SPATIAL, check, describing, spacing, stderr_name, title
from fusion.errors import DataError
from fusion.frames import get_pose
from fusion.model import Axis, dataset, length, require_lengths
from fusion.progress import Progress, bar
from volumes.points.growth import Optics, found_spheres
from volumes.points.sphere_fit import Solution

Array = npt.NDArray[np.float64]
Polarity = Literal["bright", "dark"]
_LEAST: Final = 1.5
"""Voxels across a radius along y and x below which a sphere has no shape to fit."""
_NUMBERS: Final = ("z", "y", "x", "brightness", "radius")


def find_particles(
    ds: xr.Dataset,
    radius: str | float,
    *,
    variable: str | None = None,
    psf: tuple[str | float, str | float] | None = None,
    polydisperse: bool = False,
    polarity: Polarity = "bright",
    progress: Progress | None = None,
) -> xr.Dataset:
    """Find the spheres in a volume and fit them all at once: position, brightness and radius, with their errors.

    Seeds are maxima of the image filtered for blobs of the radius. All spheres and a smooth background are then fitted
    together, those that the residual shows are added, also beyond the border, and those too faint or within another
    are taken out, until nothing changes. Light and noise may vary over the volume.

    Parameters
    ----------
    ds : Dataset (z, y, x)
        With uniform axes in um. NaN is a voxel without a value.
    radius : str or float
        Of the particles, such as ``"0.5 um"``, to a tenth; a bare number means um. The mean radius is fitted.
    variable : str, optional
        The variable, where the dataset has several.
    psf : (str or float, str or float), optional
        Standard deviations of the point spread along z, and across it, the first one not smaller. Left out, they are
        fitted.
    polydisperse : bool
        Whether each particle has a radius of its own; else all have that which they agree on.
    polarity : {"bright", "dark"}
        Whether particles are brighter or darker than what is around them.
    progress : callable, optional
        Called with the share that is done, from 0 to 1.

    Returns
    -------
    Dataset (point)
        Coordinates z, y, x in um with ``z_stderr``, ``y_stderr``, ``x_stderr``; ``brightness`` above the background in
        the unit of the image, ``radius`` in um, each with its error; ``log_odds``, the logarithm of how much likelier
        the image is with the particle than without, above 0; ``at_edge``, 1 for a sphere that the border cuts. No
        point for an image without particles. Attributes: ``chi2`` per voxel; ``residual_correlation`` of neighbouring
        voxels, which is 0 where the model is complete; ``psf_axial`` and ``psf_lateral`` in um; ``volume``, the edges
        of the image along z, y and x, as six numbers.

    Raises
    ------
    DataError
        If the axes are not three or not uniform, the radius is 1.5 voxels or less, values are missing throughout, or a
        parameter is out of range.
    UnitError
        If the voxel size is not known.

    Notes
    -----
    The generative fit follows M. Bierbaum et al., Phys. Rev. X 7, 041007 (2017); seeds T. Lindeberg, Int. J. Comput.
    Vis. 30, 79 (1998) and M. Leocmach and H. Tanaka, Soft Matter 9, 1447 (2013). The log-odds are those of G. Schwarz,
    Ann. Stat. 6, 461 (1978): half of the χ² that the particle saves, less half the logarithm of the number of voxels
    for each of its numbers. Errors come from the normal equations of a particle, its neighbours and the background.

    Examples
    --------
    >>> at = np.stack(np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij"))
    >>> ball = 1.0 / (1.0 + np.exp(2.0 * (np.linalg.norm(at - [[[[11.0]]], [[[12.5]]], [[[10.0]]]], axis=0) - 4.0)))
    >>> image = ball + np.random.default_rng(0).normal(scale=0.1, size=ball.shape)
    >>> ds = dataset({"image": (("z", "y", "x"), image)}, {d: Axis("um", 0.1) for d in "zyx"}, name="c",
    ...              cell_methods="mean")
    >>> found = find_particles(ds, "0.4 um", psf=("0.1 um", "0.1 um"))
    >>> found.sizes["point"], found["y"].values.round(2), found["radius"].values.round(1)
    (1, array([1.25]), array([0.4]))
    """
    array, step, size = _volume(ds, radius, variable, polarity)
    blur = _blur(psf, step, size)
    sign = 1.0 if polarity == "bright" else -1.0
    values, weight = _weighted(array, sign)
    with bar("find particles", "%", 100.0, progress) as to:
        scene, solution, optics = found_spheres(
            values, weight, step, Optics(size, *blur), known_blur=psf is not None, polydisperse=polydisperse,
            progress=lambda share: to(100.0 * share),
        )  # fmt: skip
    shape = np.array(values.shape)
    points = _points(solution, optics, float((weight > 0).sum()), step, shape, sign)
    origin = np.array([float(array[dim][0]) for dim in SPATIAL])
    pose, frame = get_pose(ds)
    lengths = {dim: Axis("um", values=points.pop(dim)[1] + at) for dim, at in zip(SPATIAL, origin, strict=True)}
    bounds = np.stack([origin - step / 2, origin + (shape - 0.5) * step]).T.ravel()
    attrs = {**ds.attrs, **_quality(scene.weight, solution), "volume": bounds}
    attrs |= {"psf_axial": optics.axial, "psf_lateral": optics.lateral}
    attrs = {key: value for key, value in attrs.items() if key not in ("Conventions", "title")}
    result = dataset(points, lengths, name=title(ds), pose=pose, frame=frame, attrs=attrs)
    parameters = {"radius": radius, "variable": variable, "psf": psf, "polydisperse": polydisperse}
    return provenance.record(result, "volumes.find_particles", {**parameters, "polarity": polarity})


def _volume(
    ds: xr.Dataset, radius: str | float, variable: str | None, polarity: str
) -> tuple[xr.DataArray, Array, float]:
    """Return the image, the steps of its axes in um and the radius."""
    check(ds)
    names = [str(name) for name in ds.data_vars if name not in describing(ds) and set(ds[name].dims) == set(SPATIAL)]
    names = names if variable is None else [name for name in names if name == variable]
    if len(names) != 1:
        raise DataError(
            f"{title(ds)}: one variable over z, y, x is needed; there are {names or 'none'}; give variable="
        )
    if polarity not in get_args(Polarity):
        raise DataError(f"polarity is one of {', '.join(get_args(Polarity))}; received {polarity!r}")
    require_lengths(ds, "searched for particles of a radius")
    steps = [spacing(ds[dim]) for dim in SPATIAL]
    if any(step is None for step in steps):
        raise DataError(f"{title(ds)}: an axis is not uniform; resample the volume first")
    step, size = np.array(steps, dtype=float), length(radius)
    across = size / step[1:].max()
    if across <= _LEAST:
        raise DataError(
            f"a radius of {across:.2g} voxels is too small for a fit of spheres; more than {_LEAST} are needed"
        )
    if across < _LEAST + 1.0:
        warnings.warn(f"a radius of {across:.2g} voxels: positions and radii may be biased", stacklevel=3)
    return ds[names[0]], step, size


def _blur(psf: tuple[str | float, str | float] | None, step: Array, radius: float) -> tuple[float, float]:
    """Return the standard deviations of the blur, those from which the fit begins where they are not known."""
    if psf is None:
        return max(0.5 * radius, step[0]), max(0.3 * radius, step[1])
    axial, lateral = (length(each) for each in psf)
    if axial < lateral:
        raise DataError(f"the point spread is longer along z, psf=(along z, across); received {psf!r}")
    return axial, lateral


def _weighted(array: xr.DataArray, sign: float) -> tuple[Array, Array]:
    """Return the image, bright particles up, and one over the variance of its noise, 0 where there is no value."""
    values = sign * array.transpose(*SPATIAL).values.astype(np.float64)
    seen = np.isfinite(values)
    if not seen.any():
        raise DataError(f"{array.name}: no finite value")
    values = np.where(seen, values, np.mean(values[seen]))
    # Differences across two mixed second derivatives along x and y: what is smooth over three voxels cancels, and the
    # noise has the weights 1, -2, 4, whose squares add up to 36 (Immerkær, Comput. Vis. Image Underst. 64, 300 (1996)).
    mixed = np.diff(np.diff(values, 2, axis=1), 2, axis=2)
    variance = float(np.median(np.abs(mixed)) / 0.6745) ** 2 / 36.0
    floor = (1e-3 * np.ptp(values)) ** 2 or 1.0
    return values, np.where(seen, 1.0 / max(variance, floor), 0.0)


def _points(
    solution: Solution, optics: Optics, voxels: float, step: Array, shape: Array, sign: float
) -> dict[str, Any]:
    """Return what is known of each sphere, by name, along ``point``."""
    # Errors are roots of the covariance's diagonal, in the units of the numbers themselves.
    # Brightness A is linear, so that leaving a particle out costs (A / σ)² of χ² once all others are fitted again: the
    # likelihood ratio needs no second fit.
    spheres = solution.state.spheres
    # residuals that scatter more than the noise tell that the errors do, too
    covariance = solution.equations.covariances() * max(solution.misfit / voxels, 1.0)
    variance = np.full((len(spheres), 5), np.nan)
    variance[:, : covariance.shape[1]] = np.diagonal(covariance, axis1=1, axis2=2)
    if covariance.shape[1] == 4:
        variance[:, 4] = optics.radius_error**2
    error = np.sqrt(np.where(variance > 0, variance, np.nan))
    saved = 0.5 * (spheres[:, 3] / error[:, 3]) ** 2
    last = (shape - 1) * step
    edge = np.any((spheres[:, :3] < spheres[:, 4:]) | (spheres[:, :3] > last - spheres[:, 4:]), axis=1)
    odds = saved - 0.5 * covariance.shape[1] * np.log(voxels)
    kept = np.flatnonzero(odds > 0)
    scale = np.array([1.0, 1.0, 1.0, sign, 1.0])
    points: dict[str, Any] = {}
    for column, name in enumerate(_NUMBERS):
        unit = {} if name == "brightness" else {"units": "um"}
        points[name] = ("point", scale[column] * spheres[kept, column], unit)
        points[stderr_name(name)] = ("point", error[kept, column], unit)
    points["log_odds"] = ("point", odds[kept], {})
    points["at_edge"] = ("point", edge[kept].astype(np.int8), {"flag_values": [0, 1], "flag_meanings": "inside cut"})
    return points


# Independent noise leaves residuals without correlation; what a model misses leaves blobs as wide as the blur.
def _quality(weight: Array, solution: Solution) -> dict[str, float]:
    """Return χ² per voxel, and the mean correlation of the residuals of neighbouring voxels."""
    scaled = solution.residual * np.sqrt(weight)
    pairs = [(np.delete(scaled, -1, axis) * np.delete(scaled, 0, axis)).mean() for axis in range(3)]
    chi2 = solution.misfit / float((weight > 0).sum())
    return {"chi2": chi2, "residual_correlation": float(np.mean(pairs) / max((scaled**2).mean(), 1e-300))}
