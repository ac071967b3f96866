"""Images of points, such as the localisations of single molecules."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import cell_methods, check, stderr_name, title
from fusion.errors import ConventionError, DataError
from fusion.frames import get_pose
from fusion.model import Axis, dataset, length, require_lengths

Array = npt.NDArray[np.float64]
Positions = list[tuple[Array, float]]
"""Along y and x: the positions in pixels, and the number of the first pixel."""
Method = Literal["histogram", "gaussian"]
_LARGEST: Final = 2**28


def density(points: xr.Dataset, pixel: str | float, *, method: Method = "histogram") -> xr.Dataset:
    """Draw points as an image of their density in the plane y, x.

    Parameters
    ----------
    points : Dataset
        With dim ``point`` and coordinates y, x in um. Points without a finite position are left out. ``z`` is not
        looked at: the image is a projection.
    pixel : str or float
        Side of a pixel, such as ``"10 nm"``; a bare number means um.
    method : {"histogram", "gaussian"}
        How many points lie in each pixel; or each point as a Gaussian of the width of its own standard errors
        ``y_stderr`` and ``x_stderr``, integrated over the pixel (Baddeley et al., Microsc. Microanal. 16, 64, 2010).

    Returns
    -------
    Dataset
        ``density`` (y, x) and ``density_stderr``, in the frame of the points. Pixel edges are integer multiples of
        `pixel`, so that two images with one pixel size lie on one grid; the outermost pixels hold the outermost points.

        Of a histogram it is counts (``sum``), which add up to the number of points, with the standard error √n of
        Poisson's law. Of Gaussians it is 1/um² (``mean``): Σ g with the standard error √Σ g², where g is the share of
        a point that falls into a pixel, over the area of the pixel. What lies outside the image is lost.

    Raises
    ------
    ConventionError
        If these are no points.
    DataError
        If there is no point to draw, no standard error, or the image would be larger than 2²⁸ pixels.
    UnitError
        If the positions are in px, or `pixel` is no length.

    Examples
    --------
    >>> points = dataset({"photons": ("point", [900.0, 800.0, 500.0])},
    ...                  {"y": Axis("nm", values=[2, 14, 5]), "x": Axis("nm", values=[2, 3, 4])}, name="dna")
    >>> density(points, "10 nm")["density"].values
    array([[2],
           [1]])
    """
    step = _checked_pixel(points, pixel, method)
    kept = points.isel(point=np.isfinite(points["y"].values) & np.isfinite(points["x"].values))
    if not kept.sizes["point"]:
        raise DataError(f"{title(points)}: no point with a finite position among {points.sizes['point']}")
    position = {dim: kept[dim].values / step for dim in ("y", "x")}
    first = {dim: np.floor(at.min()) for dim, at in position.items()}
    shape = tuple(np.floor(at.max()) - first[dim] + 1 for dim, at in position.items())
    if np.prod(shape) > _LARGEST:
        size = " x ".join(f"{number:.0f}" for number in shape)
        raise DataError(
            f"{title(points)}: an image of {size} pixels is too large; take a larger pixel, or fewer points"
        )
    drawn = {"histogram": _histogram, "gaussian": _gaussian}[method]
    variables = drawn(kept, step, [(position[dim], first[dim]) for dim in ("y", "x")], (int(shape[0]), int(shape[1])))
    axes = {dim: Axis("um", step=step, offset=(low + 0.5) * step) for dim, low in first.items()}
    pose, frame = get_pose(points)
    ds = dataset(variables, axes, name=title(points), pose=pose, frame=frame, attrs=_kept(points.attrs))
    return provenance.record(ds, "volumes.density", {"pixel": pixel, "method": method})


def _checked_pixel(points: xr.Dataset, pixel: str | float, method: str) -> float:
    placed = check(points).coords
    if not all(dim in placed and placed[dim].dims == ("point",) for dim in ("y", "x")):
        dims = tuple(map(str, points.sizes))
        raise ConventionError([f"{title(points)}: points with y and x along 'point' are needed; its dims are {dims}"])
    require_lengths(points, "drawn")
    if method not in get_args(Method):
        raise DataError(f"method is one of {', '.join(get_args(Method))}; received {method!r}")
    return length(pixel)


def _kept(attrs: Any) -> dict[str, Any]:
    """Return the attributes that hold for the image too; `dataset` writes the others."""
    return {key: value for key, value in attrs.items() if key not in ("Conventions", "title")}


def _histogram(points: xr.Dataset, step: float, positions: Positions, shape: tuple[int, int]) -> dict[str, Any]:
    # Poisson: the variance of a number of points is the number itself, so the error of n is sqrt(n); an empty pixel
    # has error 0, as CF counts have it, although its expectation is not known to be 0.
    y, x = ((np.floor(at) - first).astype(np.int64) for at, first in positions)
    counts = np.bincount(y * shape[1] + x, minlength=shape[0] * shape[1]).reshape(shape)
    attrs = {"units": "count", "long_name": "points per pixel", **cell_methods("yx", "sum")}
    return _with_error(counts, np.sqrt(counts), attrs)


def _gaussian(points: xr.Dataset, step: float, positions: Positions, shape: tuple[int, int]) -> dict[str, Any]:
    from volumes.points._kernels import gaussians

    # Each localisation falls into a pixel with the probability g of its own Gaussian. The number of points is Poisson,
    # so the density sum(g) is a compound Poisson variable with variance sum(g^2): points that are spread wide add
    # less noise than points that lie within one pixel, where it becomes the sqrt(n) of the histogram.
    total, squares = np.zeros(shape), np.zeros(shape)
    (rows, row_sigma), (columns, column_sigma) = (
        (at - first, _widths(points, stderr_name(dim)) / step) for dim, (at, first) in zip("yx", positions, strict=True)
    )
    gaussians(rows, columns, row_sigma, column_sigma, total, squares)
    attrs = {"units": "1/um^2", "long_name": "density of points", **cell_methods("yx", "mean")}
    return _with_error(total / step**2, np.sqrt(squares) / step**2, attrs)


def _with_error(values: npt.NDArray[Any], errors: Array, attrs: dict[str, str]) -> dict[str, Any]:
    dims = ("y", "x")
    error = {**attrs, **cell_methods(dims, "mean"), "long_name": f"standard error of {attrs['long_name']}"}
    return {"density": (dims, values, attrs), stderr_name("density"): (dims, errors, error)}


def _widths(points: xr.Dataset, name: str) -> Array:
    if name not in points:
        raise DataError(f"{title(points)}: no variable {name!r}; draw it with method='histogram'")
    if points[name].attrs.get("units") != "um":
        raise DataError(f"{title(points)}: {name} is in {points[name].attrs.get('units')!r} where um is needed")
    widths = np.asarray(points[name].values, dtype=np.float64)
    wrong = int(np.count_nonzero(~((widths > 0) & np.isfinite(widths))))
    if wrong:
        reason = f"{wrong} of {widths.size} points have no positive {name}"
        raise DataError(
            f"{title(points)}: {reason}; leave them out, e.g. points.isel(point=points['{name}'].values > 0)"
        )
    return widths
