"""Means over shells around an axis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import SPATIAL
from fusion.errors import DataError


def radial_profile(
    array: xr.DataArray, *, axis: str, centre: tuple[float, float], width: float, where: xr.DataArray | None = None
) -> xr.DataArray:
    """Return the mean over shells around an axis.

    Parameters
    ----------
    array : DataArray (z, y, x)
    axis : {"z", "y", "x"}
        The shells are cylinders along this axis.
    centre : (float, float)
        Position of the axis in um along the two other dims, in the order z, y, x.
    width : float
        Thickness of a shell in um.
    where : DataArray of bool, optional
        Voxels to use.

    Returns
    -------
    DataArray (radius,)
        Mean of each shell over the middle radius in um; NaN for a shell without voxels.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> ds = dataset({"v": (("z", "y", "x"), np.ones((2, 5, 5)))}, {d: Axis("um", 1.0) for d in "zyx"},
    ...              name="v", cell_methods="mean")
    >>> radial_profile(ds["v"], axis="z", centre=(2.0, 2.0), width=1.0).values
    array([1., 1., 1.])
    """
    others = [dim for dim in SPATIAL if dim != axis]
    if axis not in SPATIAL or set(array.dims) != set(SPATIAL):
        raise DataError(f"a volume (z, y, x) and one of its axes are needed; received {array.dims} and {axis!r}")
    squares = [(array[dim] - middle) ** 2 for dim, middle in zip(others, centre, strict=True)]
    radius = (squares[0] + squares[1]) ** 0.5
    shell = np.floor(radius.broadcast_like(array).transpose(*array.dims).values / width).astype(np.intp)
    used = np.isfinite(array.values) & (True if where is None else where.values)
    count = np.bincount(shell[used])
    total = np.bincount(shell[used], array.values[used])
    means: npt.NDArray[np.float64] = np.divide(total, count, out=np.full(count.size, np.nan), where=count > 0)
    middles = (np.arange(count.size) + 0.5) * width
    radii = xr.Variable("radius", middles, {"units": "um", "long_name": f"distance from the axis along {axis}"})
    return xr.DataArray(means, dims=("radius",), coords={"radius": radii}, name=array.name, attrs=array.attrs)
