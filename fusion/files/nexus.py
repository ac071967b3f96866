"""NeXus files: each variable a plottable NXdata with its axes, units and errors, as NeXus viewers and HyperSpy read it.

https://manual.nexusformat.org/classes/base_classes/NXdata.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from fusion.conventions import stderr_name, title
from fusion.files.aside import aside
from fusion.frames import POSE, affine_pose

_ENTRY: Final = "entry"
_OPTIONS: Final = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "chunks": True}


def write_nexus(ds: xr.Dataset, target: Path) -> None:
    """Write a group ``entry`` with an NXdata for each variable, standard errors as the errors of theirs."""
    import h5py

    names = [str(name) for name in ds.data_vars]
    errors = {stderr_name(name) for name in names} & set(names)
    with aside(target) as path, h5py.File(path, "w") as file:
        shown = [name for name in names if name not in errors]
        file.attrs["default"] = _ENTRY
        entry = _group(file, _ENTRY, "NXentry", default=shown[0] if shown else "")
        entry["title"] = title(ds)
        for name in shown:
            _write_data(_group(entry, name, "NXdata"), ds, name)
        if POSE in ds.variables:
            pose, frame = affine_pose(ds)
            note = _group(entry, "pose", "NXcollection")
            note["matrix"], note["frame"] = pose.matrix, str(frame)


def _write_data(group: Any, ds: xr.Dataset, name: str) -> None:
    array = ds[name]
    group.attrs["signal"] = name
    group.attrs["axes"] = [str(dim) if dim in ds.coords else "." for dim in array.dims]
    _write(group, name, array)
    if stderr_name(name) in ds:
        _write(group, f"{name}_errors", ds[stderr_name(name)])
    for index, dim in enumerate(array.dims):
        if dim in ds.coords:
            _write(group, str(dim), ds[dim])
            group.attrs[f"{dim}_indices"] = index


def _write(group: Any, name: str, array: xr.DataArray) -> None:
    import dask.array as da

    data = array.data
    if data.dtype.kind in "OU":
        group[name] = np.asarray(data, dtype=object)
    else:
        options = _OPTIONS if array.size else {}
        dataset = group.create_dataset(name, array.shape, data.dtype, **(options if array.ndim else {}))
        if array.chunks is not None:
            da.store(data, dataset)
        elif array.size:
            dataset[...] = data
    attrs = {key: array.attrs[key] for key in ("units", "long_name") if key in array.attrs}
    group[name].attrs.update(attrs)


def _group(parent: Any, name: str, kind: str, **attrs: str) -> Any:
    group = parent.create_group(name)
    group.attrs.update({"NX_class": kind, **attrs})
    return group
