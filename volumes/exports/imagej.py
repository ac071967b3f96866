"""TIFF files as ImageJ reads them: up to time, slices and channels, with the size of a pixel and its unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import spacing
from fusion.errors import DataError
from fusion.files.aside import aside
from fusion.units import PIXEL
from volumes.exports.single import single

_AXES: Final = {"time": "T", "z": "Z", "channel": "C", "component": "C", "y": "Y", "x": "X"}
_ORDER: Final = "TZCYX"
_EXACT: Final = 1 << 24
"""Whole numbers up to this one are exact in single precision."""


def write_tiff(ds: xr.Dataset, target: Path) -> None:
    """Write the one variable of a dataset.

    ImageJ knows bytes, 16-bit whole numbers without sign and single precision: other whole numbers become single
    precision where that is exact and are refused where not; double precision is rounded to single.

    Raises
    ------
    DataError
        If ImageJ has no such axis or number.
    """
    import tifffile

    array = single(ds, _AXES)
    letters = "".join(_AXES[str(dim)] for dim in array.dims)
    order = [letters.index(letter) for letter in _ORDER if letter in letters]
    values = _numbers(array.values).transpose(order)
    unit = str(array["x"].attrs["units"])
    steps = {dim: _step(array, dim) for dim in ("z", "y", "x") if dim in array.dims}
    metadata: dict[str, Any] = {"axes": "".join(letters[index] for index in order)}
    metadata["unit"] = "pixel" if unit == PIXEL else unit
    if "z" in steps:
        metadata["spacing"] = steps["z"]
    with aside(target) as path:
        tifffile.imwrite(path, values, imagej=True, resolution=(1 / steps["x"], 1 / steps["y"]), metadata=metadata)


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    dtype = values.dtype.newbyteorder("=")
    if dtype in (np.uint8, np.uint16, np.float32):
        return values.astype(dtype)
    if dtype.kind == "b":
        return values.astype(np.uint8)
    if dtype.kind in "iu" and values.size and max(abs(int(values.max())), abs(int(values.min()))) > _EXACT:
        raise DataError(
            f"ImageJ has no {dtype}, and values beyond {_EXACT} would be rounded; export to .nc or .ome.zarr"
        )
    if dtype.kind not in "iuf":
        raise DataError(f"ImageJ has no {dtype}; export to .nc")
    return values.astype(np.float32)


def _step(array: xr.DataArray, dim: str) -> float:
    step = spacing(array[dim]) if array.sizes[dim] > 1 else 1.0
    if step is None:
        raise DataError(f"{dim} is not uniform, and pixels of ImageJ are; resample it, or export to .nc")
    return float(step)
