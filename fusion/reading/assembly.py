"""Stored arrays of one file, put together as one labelled dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import xarray as xr

from fusion import units
from fusion.conventions import SPATIAL
from fusion.errors import FileReadError
from fusion.model import Axis, dataset
from fusion.reading.metadata import as_json
from fusion.reading.stored_array import POINT, StoredArray

_COUNTED: Final = ("channel", "component")


def assembled(path: Path, arrays: Sequence[StoredArray], title: str, *, variable: str = "image") -> xr.Dataset:
    """Return arrays of one shape as variables of one dataset.

    The axes, the pose and the attributes are those of the first one. A spatial axis of which nothing is known counts
    pixels, one of channels has their names or numbers.

    Parameters
    ----------
    path : Path
    arrays : sequence of StoredArray
        With the names of their axes.
    title : str
    variable : str
        What the variable of a single array is called that says nothing else.

    Raises
    ------
    FileReadError
        If a size is known along some of the spatial axes only.
    """
    first = arrays[0]
    named = len(arrays) > 1 or path.suffix.lower() == ".nc" or first.dims == POINT
    keys = [array.variable or (array.name.rpartition("/")[2] if named else variable) for array in arrays]
    variables = {key: _variable(array) for key, array in zip(keys, arrays, strict=True)}
    methods = {key: array.cell_method for key, array in zip(keys, arrays, strict=True)}
    axes = _axes(first)
    _require_all_sizes(path, axes)
    tilted = {"technique": "tilt series"} if "tilt" in (first.dims or ()) else {}
    attrs = {**tilted, **first.dataset_attrs, "original_metadata": _metadata(arrays)}
    frame = first.frame or path.stem
    return dataset(variables, axes, name=title, pose=first.pose, frame=frame, cell_methods=methods, attrs=attrs)


def _variable(array: StoredArray) -> tuple[Any, ...]:
    names = {"long_name": array.name} if array.name else {}
    return array.dims, array.load(), {**names, **array.attrs}


def _axes(array: StoredArray) -> dict[str, Any]:
    """Return the axes of the file, and pixels or channels for the dims of which it gives no positions."""
    sizes = dict(zip(array.dims or (), array.shape, strict=True))
    pixels = {dim: Axis(units.PIXEL, step=1.0) for dim in sizes if dim in SPATIAL}
    channels: dict[str, Any] = {dim: list(array.labels.get(dim, range(sizes[dim]))) for dim in _COUNTED if dim in sizes}
    return {**channels, **pixels, **array.axes}


def _require_all_sizes(path: Path, axes: dict[str, Any]) -> None:
    spatial = {dim: units.parse(axes[dim].units) for dim in SPATIAL if dim in axes}
    missing = [dim for dim, unit in spatial.items() if unit == units.PIXEL]
    if missing and len(missing) < len(spatial):
        present = ", ".join(dim for dim in spatial if dim not in missing)
        example = ", ".join(f"{dim!r}: '5 nm'" for dim in missing)
        reason = f"a pixel size is known along {present} but not along {', '.join(missing)}"
        raise FileReadError(path, reason, hint=f"give it, e.g. voxel={{{example}}}")


def _metadata(arrays: Sequence[StoredArray]) -> str:
    """Return what the file says of each array, once where it says the same of all."""
    texts = [as_json(array.metadata, longest=None) for array in arrays]
    return texts[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"
