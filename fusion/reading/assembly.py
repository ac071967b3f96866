"""Stored arrays of one file, put together as one labelled dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import xarray as xr

from fusion import units
from fusion.conventions import SPATIAL, check
from fusion.model import Axis, dataset
from fusion.reading.metadata import as_json
from fusion.reading.stored_array import StoredArray

_COUNTED: Final = ("channel", "component")


def assembled(arrays: Sequence[StoredArray], *, title: str, frame: str, variable: str = "image") -> xr.Dataset:
    """Return the arrays of one item as variables of one dataset.

    Pose and attributes are those of the first one. A spatial axis of which nothing is known counts pixels, one of
    channels has their names or numbers.

    Parameters
    ----------
    arrays : sequence of StoredArray
        With the names of their axes.
    title, frame : str
        Of the dataset; the frame is that of the arrays where they name one.
    variable : str
        What a single array is called that says nothing else.

    Raises
    ------
    ConventionError
        If the labels are at fault, e.g. a size is known along some of the spatial axes only.
    """
    first = arrays[0]
    keys = [array.variable or (array.name.rpartition("/")[2] if arrays[1:] else variable) for array in arrays]
    named = list(zip(keys, arrays, strict=True))
    tilted = {"technique": "tilt series"} if "tilt" in (first.dims or ()) else {}
    metadata = {"original_metadata": _metadata(arrays)} if any(array.metadata for array in arrays) else {}
    ds = dataset(
        {key: _variable(array) for key, array in named},
        {dim: axis for array in reversed(arrays) for dim, axis in _axes(array).items()},
        name=title,
        pose=first.pose,
        frame=first.frame or frame,
        cell_methods={key: array.cell_method for key, array in named},
        attrs={**tilted, **first.dataset_attrs, **metadata},
    )
    return check(ds.assign_coords(first.coords)) if first.coords else ds


def _variable(array: StoredArray) -> tuple[Any, ...]:
    long_name = {"long_name": array.name} if array.name else {}
    return array.dims, array.load(), {**long_name, **array.attrs}


def _axes(array: StoredArray) -> dict[str, Any]:
    """Return the axes of the file, and pixels or channels for the dims of which it gives no positions."""
    sizes = dict(zip(array.dims or (), array.shape, strict=True))
    pixels = {dim: Axis(units.PIXEL, step=1.0) for dim in sizes if dim in SPATIAL}
    channels: dict[str, Any] = {dim: list(range(sizes[dim])) for dim in _COUNTED if dim in sizes}
    return {**channels, **{dim: list(names) for dim, names in array.labels.items()}, **pixels, **array.axes}


def _metadata(arrays: Sequence[StoredArray]) -> str:
    """Return what the file says of each array, once where it says the same of all."""
    texts = [as_json(array.metadata, longest=None) for array in arrays]
    return texts[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"
