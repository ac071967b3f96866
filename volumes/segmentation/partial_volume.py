"""The share of each class in the cells of a coarser grid, such as that of a spectral map."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance, resample
from fusion.conventions import cell_methods, spacing, spatial_dims
from fusion.model import like, with_error
from fusion.warp import Transform, as_parameters
from volumes.segmentation.points import require_result

Array = npt.NDArray[Any]


def partial_volume(
    result: xr.Dataset, grid: xr.Dataset, *, transform: Transform | None = None, depth: float | None = None
) -> xr.Dataset:
    """Bring a segmentation onto a coarser grid, as the share of each cell's volume that each class fills.

    Parameters
    ----------
    result : Dataset
        Of `volumes.segment`, or of `volumes.calibrate_probability`.
    grid : Dataset
        Such as a map of spectra; its cells are those of the result.
    transform, depth
        As for `fusion.resample`.

    Returns
    -------
    Dataset
        ``fraction`` (.., component) with ``fraction_stderr``, on the spatial dims of `grid`, as
        `spectra.phase_spectra` takes it: the mean probability over the part of the cell that the segmentation covers,
        each voxel by the exact share of it that lies in the cell; and ``coverage``, that part of the cell. NaN where
        there is none.

        The error is that of a sum of uncertain voxels which are right or wrong together over the distance that shapes
        of the class extend. It is NaN where the probabilities are not calibrated, because nothing is then known of
        their bias, and where an axis is not uniform.

    Raises
    ------
    ConventionError
        If this is no result of `volumes.segment`.
    DataError, FrameError, UnitError
        As `fusion.resample`.

    Notes
    -----
    Voxels that are right or wrong together: Matheron's integral range; C. Lantuéjoul, J. Microsc. 161, 387 (1991).

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> axes = {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0), "component": ["resin", "cell"]}
    >>> share = np.zeros((4, 4)); share[:, :3] = 1.0
    >>> flags = {"flag_values": [1, 2], "flag_meanings": "resin cell"}
    >>> result = dataset({"label": (("y", "x"), (share > 0.5) + 1, flags), "probability": (("y", "x", "component"),
    ...                   np.stack([1 - share, share], axis=-1))}, axes, name="cells", cell_methods="mean", frame="s")
    >>> coarse = {"y": Axis("nm", 10.0, offset=2.5), "x": Axis("nm", 10.0, offset=2.5)}
    >>> grid = dataset({"map": (("y", "x"), np.ones((2, 2)))}, coarse, name="map", cell_methods="mean", frame="s")
    >>> partial_volume(result, grid)["fraction"].sel(component="cell").values
    array([[1. , 0.5],
           [1. , 0.5]])
    """
    require_result(result)
    shares = result["probability"].transpose(*spatial_dims(result["label"]), "component").astype(np.float64)
    measured = shares.notnull().all("component")
    whole = shares.fillna(0.0)
    variance = (whole * (1.0 - whole)).drop_attrs()
    sums = {"share": whole.drop_attrs(), "variance": variance, "measured": measured.astype(np.float64)}
    dims = spatial_dims(result["label"])
    parts = like(result, {name: each.assign_attrs(cell_methods(dims, "sum")) for name, each in sums.items()})
    # counts keep their sum exactly, so that the quotient of two of them is the mean over exact shares of voxels
    moved = resample(parts, grid, transform=transform, method="counts", depth=depth)
    count = moved["measured"].where(moved["measured"] > 1e-9)
    fraction = (moved["share"] / count).clip(0.0, 1.0)
    independent = (count / _integral_range(shares)).clip(1.0)
    error = (moved["variance"] / count / independent) ** 0.5
    on_grid = spatial_dims(fraction)
    attrs = {"units": "1", "long_name": "share of the cell", **cell_methods(on_grid, "mean")}
    coverage = moved["coverage"].assign_attrs(cell_methods(on_grid, "mean"))
    made = like(
        moved.drop_vars(list(moved.data_vars)), {"fraction": fraction.assign_attrs(attrs), "coverage": coverage}
    )
    made = with_error(made, "fraction", error)
    parameters = {"depth": depth, **as_parameters(transform)}
    return provenance.record(made, "volumes.partial_volume", parameters, parents=[grid], source=result)


# The variance of the mean over n voxels is that of one times A / n, where A, the integral range, is the sum of the
# correlation over all distances. Whole objects are missed or made up, not voxels: the correlation of what is wrong is
# taken to be that of the label itself, summed to the first distance at which it falls below zero along each axis, where
# noise begins; and shapes are taken to be as long as that along each axis, so that A is the product over axes.
def _integral_range(shares: xr.DataArray) -> xr.DataArray:
    """Return in voxels, for each class, how many of them are right or wrong together; NaN where nothing says so."""
    dims = spatial_dims(shares)
    even = all(spacing(shares[dim]) is not None for dim in dims if shares.sizes[dim] > 1)
    number = shares.sizes["component"]
    ranges = np.full(number, np.nan)
    if even and shares.attrs.get("calibration", "uncalibrated") != "uncalibrated":
        winner = shares.fillna(0.0).argmax("component").values
        ranges = np.array([_range(winner == k) for k in range(number)])
    return xr.DataArray(ranges, dims="component", coords={"component": shares["component"]})


def _range(member: Array) -> float:
    """Return the integral range of an indicator in voxels."""
    if member.all() or not member.any():
        return float(member.size)
    centred = member - member.mean()
    return float(np.prod([_range_along(centred, axis) for axis in range(member.ndim)]))


def _range_along(centred: Array, axis: int) -> float:
    size = centred.shape[axis]
    power = np.abs(np.fft.rfft(centred, 2 * size, axis=axis)) ** 2
    others = tuple(k for k in range(centred.ndim) if k != axis)
    lags = np.fft.irfft(power.sum(axis=others))[:size]
    correlation = lags / np.arange(size, 0, -1)
    correlation = correlation / correlation[0]
    below = np.flatnonzero(correlation <= 0.0)
    return float(2.0 * correlation[: below[0] if below.size else size].sum() - 1.0)
