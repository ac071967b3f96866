"""An image or volume as segmentation sees it: one variable of real numbers on axes in um, and blocks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import check, describing, kind, spacing, spatial_dims, title
from fusion.errors import ConventionError, DataError
from fusion.model import require_lengths
from fusion.progress import Progress, watched

Array = npt.NDArray[Any]
_SIDES = {1: 2**18, 2: 512, 3: 128}
"""Voxels along a side of a block, by the number of axes that its neighbourhoods extend along."""


def image_of(ds: xr.Dataset, variable: str | None) -> xr.DataArray:
    """Return the one image of a dataset.

    Raises
    ------
    ConventionError
        If there is no image, or several could be meant.
    DataError
        If its values are no real numbers, or it has further axes.
    UnitError
        If its pixel size is not known.
    """
    require_lengths(check(ds), "segmented")
    images = [str(name) for name, array in ds.data_vars.items() if spatial_dims(array) and kind(array) != "label"]
    names = [name for name in images if name not in describing(ds)]
    if variable is None and len(names) != 1:
        raise ConventionError([f"{title(ds)} has the images {names}; name one with variable="])
    name = names[0] if variable is None else variable
    if name not in ds.data_vars:
        raise ConventionError([f"{title(ds)} has no variable {name!r}; it has {names}"])
    array = ds[name]
    if set(array.dims) != set(spatial_dims(array)):
        raise DataError(f"{name} has the dims {array.dims}; take one channel, e.g. ds.isel(channel=0)")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} has {array.dtype} values, and real numbers are needed")
    return array


def steps_of(array: xr.DataArray) -> dict[str, float]:
    """Return the distance between voxels in um along each axis with more than one of them.

    Raises
    ------
    DataError
        If an axis is not uniform.
    """
    steps = {}
    for dim in spatial_dims(array):
        if array.sizes[dim] > 1:
            step = spacing(array[dim])
            if step is None:
                raise DataError(f"{array.name}: {dim} is not uniform; fusion.resample it to a uniform grid first")
            steps[dim] = step
    return steps


# Every block carries a rim of `halo` voxels, beyond the image those of its edge, and loses it again in `function`: a
# value does not depend on how the image is cut, and lazy and eager results are equal to the last bit. dask's own
# map_overlap refuses a rim that is wider than the image, as that of a large scale may be.
def blockwise(
    data: Any, dims: tuple[str, ...], halo: Mapping[str, int], function: Callable[[Array], Array], channels: int
) -> Any:
    """Return what a function makes of each block, lazily.

    Parameters
    ----------
    data : array (spatial..., further)
        NumPy or dask.
    dims : tuple of str
        The spatial ones, in order.
    halo : mapping of str to int
        Voxels by which a block reaches beyond itself, for each axis that has neighbours.
    function : callable
        Takes a block with its rim, and returns the block without it and with `channels` along the last axis.
    channels : int

    Returns
    -------
    dask array (spatial..., channels)
    """
    import dask.array as da
    from dask.delayed import delayed

    task = delayed(function, pure=True)
    sides = tuple(_SIDES[len(halo)] if dim in halo else 1 for dim in dims)
    rims = tuple(halo.get(dim, 0) for dim in dims)
    further = data.ndim - len(dims)
    array = data if isinstance(data, da.Array) else da.from_array(data, chunks=(*sides, *(-1,) * further))
    padded = da.pad(array, [*((rim, rim) for rim in rims), *((0, 0),) * further], mode="edge")
    starts = [range(0, size, side) for size, side in zip(data.shape, sides, strict=False)]
    blocks = np.empty(tuple(len(each) for each in starts), dtype=object)
    for number in np.ndindex(blocks.shape):
        first = tuple(each[i] for each, i in zip(starts, number, strict=True))
        last = tuple(min(at + side, size) for at, side, size in zip(first, sides, data.shape, strict=False))
        cut = padded[tuple(slice(at, end + 2 * rim) for at, end, rim in zip(first, last, rims, strict=True))]
        shape = (*(end - at for at, end in zip(first, last, strict=True)), channels)
        blocks[number] = da.from_delayed(task(cut), shape, dtype=np.float32)
    return da.block(np.reshape(blocks, (*blocks.shape, 1)).tolist())


def inner(block: Array, halo: tuple[int, ...]) -> Array:
    """Return a block without its rim."""
    return block[tuple(slice(rim, size - rim) for rim, size in zip(halo, block.shape, strict=False))]


def computed(lazy: Any, name: str, progress: Progress | None) -> Any:
    """Return dask arrays as NumPy arrays, telling the share of the work that is done."""
    import dask.array as da

    with watched(name, progress):
        return da.compute(*lazy)
