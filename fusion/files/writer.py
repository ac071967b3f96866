"""Datasets written as groups of one NetCDF file, with blocks compressed on several threads."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from fusion import attributes
from fusion.files import budget, kept_blocks, manifest
from fusion.files.blocks import BlockWriter, block_shape
from fusion.files.filters import FILTERS, Compression
from fusion.files.replacing import PartialFile
from fusion.files.stored import stored
from fusion.progress import Progress, watched

_LIBRARIES: Final = ("v110", "v110")
"""HDF5 1.10, of 2016, and later: there the structures of a file carry checksums."""


def write(
    groups: Mapping[str, xr.Dataset],
    file: PartialFile,
    about: manifest.About | None = None,
    blocks: Path | None = None,
    progress: Progress | None = None,
    compression: Compression = "zlib",
    memory: float | None = None,
) -> None:
    """Write datasets by the path of their group, and what `fusion.files.manifest` keeps of them.

    Parameters
    ----------
    groups : mapping of str to Dataset
        As `fusion.files.layout.groups` returns them.
    file : PartialFile
        Empty.
    about : About, optional
        Whether the groups are a tree; without it the file has no manifest.
    blocks : Path, optional
        Folder that keeps finished blocks of lazy values.
    progress : callable, optional
        Takes the share of the tasks that are done, as in `fusion.save`.
    compression : str
        Its filter must be there.
    memory : float, optional
        Bytes that blocks of lazy values may take.
    """
    import h5netcdf
    import h5py

    with h5py.File(file, "w", libver=_LIBRARIES, track_order=True) as hdf5:
        writer = _Writer(hdf5, file.path.with_suffix(".blocks"), compression)
        with h5netcdf.File(hdf5, "w") as netcdf:
            for path, ds in groups.items():
                writer.add(netcdf if path == "/" else netcdf.create_group(path), path, ds)
        entries = writer.finish(blocks, progress, memory)
        if about is not None:
            _set_attribute(hdf5, manifest.ATTRIBUTE, manifest.dumped(about, entries))


class _Writer:
    """Writes group by group; lazy values of all groups are computed at the end, together."""

    def __init__(self, hdf5: Any, beside: Path, compression: Compression) -> None:
        self._beside, self._compression = beside, compression
        self._hdf5, self._lock = hdf5, threading.Lock()
        self._groups: dict[str, manifest.Group] = {}
        self._blocks: list[tuple[manifest.Variable, BlockWriter]] = []
        self._lazy: list[tuple[Any, BlockWriter]] = []

    def add(self, group: Any, path: str, ds: xr.Dataset) -> None:
        """Write the attributes and eager values of a dataset."""
        listed, others = _coordinates(ds)
        attrs = {**ds.attrs, **({"coordinates": others} if others else {})}
        self._groups[path] = manifest.Group(
            attrs=self._attributes(path, ds.attrs, attrs), variables={}, coordinates=[str(key) for key in ds.coords]
        )
        for name, variable in ds.variables.items():
            entry = self._variable(group, path, str(name), variable, listed.get(str(name), ""))
            self._groups[path]["variables"][str(name)] = entry

    def finish(self, folder: Path | None, progress: Progress | None, memory: float | None) -> dict[str, manifest.Group]:
        """Compute and write the lazy values; return what is known of all groups."""
        if self._lazy:
            self._compute(folder, progress, memory)
        for entry, blocks in self._blocks:
            entry["sha256"] = blocks.sha256()
        return self._groups

    def _compute(self, folder: Path | None, progress: Progress | None, memory: float | None) -> None:
        import dask.array as da

        sources, targets = zip(*self._lazy, strict=True)
        if folder is not None:
            kept_blocks.compute(sources, targets, folder, memory, progress)
        elif kept_blocks.on_cluster():
            with kept_blocks.vanishing(self._beside) as beside:
                kept_blocks.compute(sources, targets, beside, memory, progress)
        elif memory is not None:
            budget.store(sources, targets, memory, progress)
        else:
            with watched("save", progress):
                da.store(list(sources), list(targets), lock=False)

    def _variable(self, group: Any, path: str, name: str, variable: xr.Variable, listed: str) -> manifest.Variable:
        held = stored(variable)
        for dim, size in held.sizes.items():
            if dim not in group.dimensions.keys():  # noqa: SIM118 (a group also shows the dims of those above)
                group.dimensions[dim] = size
        block = block_shape(held) if held.ndim and held.size else ()
        options = {"chunks": block, **FILTERS[self._compression]} if block else {}
        group.create_variable(name, held.dims, held.dtype, **options)
        dataset = self._hdf5[f"{path}/{name}"]
        in_file = {**variable.attrs, **held.attrs, **({"coordinates": listed} if listed else {})}
        attrs = self._attributes(f"{path}/{name}", variable.attrs, in_file)
        dtype, dims = variable.dtype.str, [str(dim) for dim in held.dims if not str(dim).startswith("string")]
        entry = manifest.Variable(dtype=dtype, dims=dims, block=[*block], sha256="", attrs=attrs)
        self._values(dataset, held, entry)
        return entry

    def _values(self, dataset: Any, held: xr.Variable, entry: manifest.Variable) -> None:
        if not entry["block"]:
            values = np.ascontiguousarray(held.values)
            entry["sha256"] = hashlib.sha256(values.data if values.size else b"").hexdigest()
            if values.size:
                dataset[...] = held.values
            return
        blocks = BlockWriter(dataset, self._lock, self._compression)
        self._blocks.append((entry, blocks))
        if held.chunks is None:
            blocks.write(np.asarray(held.data))
        else:
            self._lazy.append((_aligned(held), blocks))

    def _attributes(self, path: str, attrs: Mapping[Any, Any], in_file: Mapping[Any, Any]) -> manifest.Attrs:
        for key, value in in_file.items():
            _set_attribute(self._hdf5[path], str(key), value)
        return manifest.described(attrs, {str(key): value for key, value in in_file.items()})


def _set_attribute(owner: Any, key: str, value: Any) -> None:
    """Write an attribute: text as characters, which every program reads; only lists of texts as strings."""
    import h5py

    native = attributes.native(value)
    if isinstance(native, str):
        content = native.encode()
        kind = h5py.string_dtype("utf-8", max(1, len(content)))
        owner.attrs.create(key, np.array(content, dtype=kind) if content else h5py.Empty(kind))
    elif isinstance(native, np.ndarray):
        owner.attrs.create(key, native)
    else:
        owner.attrs.create(key, native, dtype=h5py.string_dtype())


def _coordinates(ds: xr.Dataset) -> tuple[dict[str, str], str]:
    """Return the coordinates for the attribute `coordinates` (CF 5) of each variable, and those of no variable."""
    names = [str(name) for name in ds.coords if name not in ds.dims]
    listed = {
        str(key): [name for name in names if set(ds[name].dims) <= set(variable.dims)]
        for key, variable in ds.data_vars.items()
    }
    others = set(names) - {name for row in listed.values() for name in row}
    return {key: " ".join(row) for key, row in listed.items()}, " ".join(sorted(others))


def _aligned(held: xr.Variable) -> Any:
    """Return lazy values in equal blocks, so that no two of them share a block of the file."""
    uniform = [max(sizes) for sizes in held.chunks or ()]
    return held.data.rechunk(tuple(uniform))
