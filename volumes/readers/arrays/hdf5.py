"""HDF5 files, MATLAB 7.3 among them: named arrays, with dimension scales where the file has them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fusion import units
from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import FileReadError
from fusion.files import hdf5
from fusion.model import Axis
from fusion.reading.metadata import text
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable, image_dims
from volumes.readers import planes
from volumes.readers.arrays.hdf5_sizes import VoxelSizes, voxel_sizes
from volumes.readers.unit_spelling import doubt

_LETTERS = {"c": "channel", "t": "time"}
_BLOCK = 2**24


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the images and volumes of an HDF5 file; single numbers and lists are left out.

    Links to other files are not followed, and a dataset whose values lie in another file is refused when it is
    opened: either could hand out any file of this computer as pixels.
    """
    import h5py

    listed: list[StoredArray | Unreadable] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iufb" and min(item.shape or (0,)) > 0:
            array = readable(path, name, lambda: _array(path, name, item))
            if isinstance(array, Unreadable) or len(array.shape) > 1:
                listed.append(array)

    with hdf5.opened(path, arrays=()) as file:
        file.visititems(visit)
    return listed


def matlab(path: Path) -> list[StoredArray | Unreadable]:
    """List the numeric arrays of a MATLAB 7.3 file, axes in the order in which MATLAB shows them.

    Such a file stores its axes backwards; fields of structures are not listed.
    """
    listed = [array for array in arrays(path) if "/" not in array.name]
    return [array if isinstance(array, Unreadable) else _matlab(array) for array in listed]


def _matlab(array: StoredArray) -> StoredArray:
    shape = array.shape[::-1]
    return replace(array, dims=image_dims(len(shape)), shape=shape, load=lambda: array.load().T, axes={}, attrs={})


def _array(path: Path, name: str, dataset: Any) -> StoredArray:
    if "XOffset" in dataset.parent:
        reason = f"{name!r} keeps a position on the stage in the way of Delmic's files"
        raise FileReadError(path, reason, hint="open it with spectra.open, which places it")
    labels = [_LETTERS.get(label := _label(dim).lower(), label) for dim in dataset.dims]
    known = all(label in {*SPATIAL, *SIGNAL} for label in labels) and len(set(labels)) == len(labels)
    kept = [i for i, size in enumerate(dataset.shape) if size > 1] if known else list(range(dataset.ndim))
    shape = tuple(dataset.shape[i] for i in kept)
    dims = tuple(labels[i] for i in kept) if known else image_dims(len(shape))
    scales, doubts = _axes([(labels[i], dataset.dims[i]) for i in kept]) if known else ({}, {})
    sizes, attrs = voxel_sizes(dataset), _attrs(dataset)
    if sizes is not None:
        dims, lengths = _sized(tuple(labels) if known else dims, dims, shape, sizes)
        scales = {**lengths, **scales}
        attrs = {} if sizes.unit_attribute == "units" else attrs
    return StoredArray(
        name=name,
        dims=dims,
        shape=shape,
        dtype=dataset.dtype,
        load=partial(_load, path, name, shape),
        axes=scales,
        attrs=attrs,
        doubts={dim: reason for dim, reason in doubts.items() if dim not in scales},
        metadata=dict(dataset.attrs),
    )


def _sized(
    stored: tuple[str, ...] | None, dims: tuple[str, ...] | None, shape: tuple[int, ...], sizes: VoxelSizes
) -> tuple[tuple[str, ...] | None, dict[str, Axis]]:
    """Return the dims, and axes from the sizes of voxels; `stored` are the dims with those of a single element.

    Sizes that do not name their axes are in the order of the array. Three sizes of three axes without names are those
    of z, y and x, and so is the one size of a voxel.
    """
    voxel = len(sizes.um) == 3 or not sizes.attribute.lower().startswith("pixel")
    if dims is None and len(shape) == 3 and voxel:
        stored = dims = SPATIAL
    spatial = [dim for dim in stored or () if dim in SPATIAL]
    um = sizes.um * len(spatial) if len(sizes.um) == 1 else sizes.um
    if sizes.dims:
        steps = dict(zip(sizes.dims, sizes.um, strict=True))
    elif len(um) == len(stored or ()):
        steps = dict(zip(stored or (), um, strict=True))
    else:
        steps = dict(zip(spatial, um, strict=True)) if len(um) == len(spatial) else {}
    return dims, {dim: Axis(units.LENGTH, step=steps[dim]) for dim in dims or () if dim in SPATIAL and dim in steps}


def _attrs(dataset: Any) -> dict[str, str]:
    unit = _text(dataset.attrs.get("units"))
    return {"units": unit} if unit is not None and units.is_compatible(unit, unit) else {}


def _label(dim: Any) -> str:
    """Return what a file calls an axis: its label, else the name of its dimension scale, as NetCDF has it."""
    scale = dim[0] if not dim.label and len(dim) else None
    return str(dim.label) if scale is None or hdf5.is_foreign(scale) else str(scale.name).rpartition("/")[2]


def _axes(scales: list[tuple[str, Any]]) -> tuple[dict[str, Axis], dict[str, str]]:
    """Read the dimension scales that have a usable unit, and why others are in doubt."""
    axes, doubts = {}, {}
    for dim, attached in scales:
        scale = attached[0] if len(attached) and not hdf5.is_foreign(attached[0]) else None
        unit = None if scale is None else _text(scale.attrs.get("units", scale.attrs.get("UNIT")))
        wanted = units.LENGTH if dim in SPATIAL else SIGNAL[dim]
        if scale is not None and dim not in ("channel", "component") and units.is_compatible(unit, wanted):
            values = np.asarray(scale[()], dtype=float)
            axes[dim] = Axis(str(unit), values=values) if values.ndim else Axis(str(unit), step=float(values))
        elif unit and (reason := doubt(dim, unit)):
            doubts[dim] = reason
    return axes, doubts


def _load(path: Path, name: str, shape: tuple[int, ...]) -> Any:
    with hdf5.opened(path, arrays=[name]) as file:
        dataset = file[name]
        if not planes.is_large(shape, dataset.dtype) or len(shape) < 3:
            return np.asarray(dataset[()]).reshape(shape)
        import dask.array as da

        # many chunks of a file make one block: each block is a request to another process
        chunks = da.core.normalize_chunks("auto", dataset.shape, _BLOCK, dataset.dtype, dataset.chunks)
        stored = hdf5.LazyArray(path, name, dataset.shape, dataset.dtype)
    return da.from_array(stored, chunks=chunks, name=False, asarray=False).reshape(shape)


def _text(value: Any) -> str | None:
    return text(value) if isinstance(value, (bytes, str)) else None
