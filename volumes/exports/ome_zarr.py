"""OME-Zarr 0.4: one image at several sizes, with scale and translation in micrometres.

https://ngff.openmicroscopy.org/0.4/
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import spacing, title
from fusion.errors import DataError, FrameError
from fusion.files.aside import aside
from fusion.frames import affine_pose
from fusion.units import PIXEL
from volumes.exports.single import single

Array = npt.NDArray[Any]
_TYPES: Final = {"time": "time", "channel": "channel", "component": "channel", **dict.fromkeys("zyx", "space")}
_NAMES: Final = {"time": "t", "channel": "c", "component": "c", "z": "z", "y": "y", "x": "x"}
_ORDER: Final = "tczyx"
_SMALLEST: Final = 128
"""A level is halved while its longest axis of space is larger."""
_BLOCK: Final = 64
_KEYS: Final = {"name": "v2", "separator": "/"}


def write_ome_zarr(ds: xr.Dataset, target: Path) -> None:
    """Write the one variable of a dataset.

    Each level is the mean over blocks of two pixels along the axes of space, of the pixels that are not NaN, so that it
    is NaN only where all are; labels are taken from the first pixel. A shift and a stretch along the axes that the pose
    holds are part of translation and scale.

    Raises
    ------
    DataError
        If the format has no such axis, an axis is not uniform, or zarr is missing.
    FrameError
        If the pose turns: the format has no rotation.
    """
    array = single(ds, _TYPES)
    array = array.transpose(*sorted(array.dims, key=lambda dim: _ORDER.index(_NAMES[str(dim)])))
    zarr = _library()
    levels = _levels(array)
    with aside(target) as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr 3 warns of its own format 2
        group = zarr.open_group(path, mode="w", zarr_format=2)
        for number, (values, _) in enumerate(levels):
            options = {"chunks": _chunks(array.dims, values.shape), "chunk_key_encoding": _KEYS, "fill_value": 0}
            stored = group.create_array(str(number), shape=values.shape, dtype=values.dtype, **options)
            stored[...] = values
        group.attrs["multiscales"] = [_description(ds, array, [steps for _, steps in levels])]


def _levels(array: xr.DataArray) -> list[tuple[Array, npt.NDArray[np.int64]]]:
    """Return the values of each size, and how many pixels along each axis one of its pixels spans."""
    space = [axis for axis, dim in enumerate(array.dims) if dim in ("z", "y", "x")]
    values, steps = np.asarray(array.values), np.ones(array.ndim, dtype=np.int64)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    labels = "flag_values" in array.attrs
    levels = [(values, steps)]
    while max(values.shape[axis] for axis in space) > _SMALLEST:
        axes = [axis for axis in space if values.shape[axis] > 1]
        values = _halved(values, axes, labels)
        steps = steps * np.array([2 if axis in axes else 1 for axis in range(values.ndim)])
        levels.append((values, steps))
    return levels


def _halved(values: Array, axes: list[int], labels: bool) -> Array:
    """Return the mean of blocks of two pixels along the axes; an odd one at the end stands alone.

    The sum over what is not NaN is divided by how many there are, both in double precision: sums of whole numbers stay
    exact, and the rounding back to them is to the nearest.
    """
    if labels:
        return values[tuple(slice(None, None, 2) if axis in axes else slice(None) for axis in range(values.ndim))]
    present = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    sums, counts = np.where(present, values, 0).astype(np.float64), present.astype(np.float64)
    for axis in axes:
        starts = np.arange(0, values.shape[axis], 2)
        sums, counts = (np.add.reduceat(part, starts, axis=axis) for part in (sums, counts))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
    return (np.rint(means) if values.dtype.kind in "iu" else means).astype(values.dtype)


def _description(ds: xr.Dataset, array: xr.DataArray, levels: list[npt.NDArray[np.int64]]) -> dict[str, Any]:
    scale, origin = _placement(ds, array)
    unit = None if any(array[d].attrs.get("units") == PIXEL for d in ("y", "x")) else "micrometer"
    axes = [{"name": _NAMES[str(dim)], "type": _TYPES[str(dim)]} for dim in array.dims]
    for axis in axes:
        if axis["type"] == "space" and unit:
            axis["unit"] = unit
        if axis["type"] == "time":
            axis["unit"] = "second"
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": (scale * steps).tolist()},
                # the centre of a block of pixels lies half a block, less half a pixel, beyond that of its first one
                {"type": "translation", "translation": (origin + scale * (steps - 1) / 2).tolist()},
            ],
        }
        for number, steps in enumerate(levels)
    ]
    method = (
        "first pixel of each block" if "flag_values" in array.attrs else "mean of blocks of two pixels, without NaN"
    )
    return {"version": "0.4", "name": title(ds), "axes": axes, "datasets": datasets, "type": method}


def _placement(ds: xr.Dataset, array: xr.DataArray) -> tuple[Array, Array]:
    """Return scale and translation of each axis, with what the pose adds to those of space."""
    matrix = affine_pose(ds)[0].matrix
    linear = matrix[:3, :3]
    if not np.allclose(linear, np.diag(np.diag(linear)), atol=1e-12) or (np.diag(linear) <= 0).any():
        raise FrameError(
            "the pose turns, and OME-Zarr 0.4 has no rotation; resample it onto a grid of the frame with "
            "fusion.resample, or export to .vti"
        )
    scale, origin = np.ones(array.ndim), np.zeros(array.ndim)
    for axis, dim in enumerate(array.dims):
        if dim not in array.coords or _TYPES[str(dim)] == "channel":
            continue
        step = spacing(array[dim]) if array.sizes[dim] > 1 else 1.0
        if step is None:
            raise DataError(f"{dim} is not uniform, and OME-Zarr is; resample it, or export to .nc")
        place = "zyx".find(str(dim))
        stretch, shift = (linear[place, place], matrix[place, 3]) if place >= 0 else (1.0, 0.0)
        scale[axis], origin[axis] = step * stretch, float(array[dim][0]) * stretch + shift
    return scale, origin


def _library() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise DataError("OME-Zarr needs zarr; install it with: pip install 'conspectus[zarr]'") from error
    return zarr


def _chunks(dims: tuple[Hashable, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(size, _BLOCK) if dim in ("z", "y", "x") else 1 for dim, size in zip(dims, shape, strict=True))
