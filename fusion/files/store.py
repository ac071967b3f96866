"""Save and load: one NetCDF file is the project.

A tree is saved as groups of the names of its nodes, and the root group holds attributes only; a single dataset lies in
the root. Any program that reads NetCDF reads both; what NetCDF cannot express, the manifest keeps.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

import xarray as xr

from fusion.conventions import SPATIAL, check
from fusion.errors import ChangedFileWarning, FileReadError, StoreError
from fusion.files import budget, hdf5, kept_blocks, layout, manifest, sealing, verification, writer
from fusion.files.filters import FILTERS, Compression, find_zstd, uses_zstd
from fusion.files.replacing import PartialFile, replacing
from fusion.frames import POSE
from fusion.progress import Progress

FUSED: Final = "fused"
"""The node that a file of version 0.1 holds in its root group."""
_ENGINE: Final = "h5netcdf"
_POSITIONS: Final = {f"{dim}_position": dim for dim in SPATIAL}
"""Names of single positions in files of version 0.1."""
_SMALL: Final = 1 << 28
"""Lazy files up to this size, 0.2 s to hash, are compared with their seal when they are opened."""
_PLAIN: Final[Mapping[str, Any]] = {"decode_times": False, "decode_timedelta": False, "mask_and_scale": False}


def save(
    data: xr.Dataset | xr.DataTree,
    path: str | PathLike[str],
    *,
    blocks: str | PathLike[str] | None = None,
    progress: Progress | None = None,
    compression: Compression = "zlib",
    memory: str | float | None = None,
) -> Path:
    """Write a dataset or a tree to one NetCDF file, complete or not at all.

    The file is written beside the target under another name, read back and compared, flushed to the disk, and only then
    takes its name; an interrupt, a crash or a full disk leaves an older file as it was. Mode, owner and symbolic links
    of an older file are kept; another hard link to it goes on naming the older contents, as a backup made so needs.

    Parameters
    ----------
    data : Dataset or DataTree
        Passes `fusion.check`. The nodes of a tree become groups of the same names, a dataset lies in the root.
    path : path-like
        Ends in ``.nc``.
    blocks : path-like, optional
        Folder that keeps finished blocks of lazy values until the file is complete. A later call, also of another
        process after this one was killed, takes from there what was computed from the same data in the same way.
        Where a `distributed.Client` is open its workers compute, and hand their blocks over in such a folder: this one,
        or one beside the file that vanishes with the call.
    progress : callable, optional
        Called with the share of the work on lazy values that is done, from 0 to 1; on a cluster its dashboard tells.
    compression : {"zlib", "zstd"}
        ``"zlib"`` is read wherever there is NetCDF. ``"zstd"`` is written faster, and read only where HDF5 finds that
        filter: with the Python packages netCDF4 or hdf5plugin, and with netCDF-C 4.9 if it was built with it.
    memory : str or float, optional
        What blocks of lazy values, and those that they are computed from, may take at a time: ``"1 GB"``, or bytes.
        The less it is, the more often a block of a source is read anew. Left out, dask decides.

    Returns
    -------
    Path

    Raises
    ------
    ConventionError
        If the data break the conventions, or hold what a file cannot give back the same.
    StoreError
        If the file cannot be written or does not read back the same, HDF5 has no zstd, or `memory` is less than one
        block needs.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from fusion import Axis, dataset
    >>> ds = dataset({"image": (("y", "x"), np.eye(2))}, {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0)},
    ...              name="sem", cell_methods="mean")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(ds, f"{folder}/sem.nc")).identical(ds)
    True
    """
    target = Path(path)
    groups = layout.groups(check(data))
    if not any(ds.variables or ds.attrs for ds in groups.values()) and len(groups) == 1:
        raise StoreError(f"{target}: there is nothing to save; the dataset is empty")
    if compression not in FILTERS:
        raise StoreError(f"{target}: compression is one of {', '.join(FILTERS)}; received {compression!r}")
    if compression == "zstd" and not find_zstd():
        raise StoreError(
            f"{target}: HDF5 has no zstd here; install netCDF4, or import hdf5plugin, or use compression='zlib'"
        )
    folder = None if blocks is None else Path(blocks)
    limit = None if memory is None else budget.parsed(memory)
    with replacing(target) as file:
        writer.write(groups, file, _about(data), folder, progress, compression, limit)
        _require_same(target, file)
        sealing.seal(file)
    if folder is not None:
        kept_blocks.discard(folder)
    return target


def load(path: str | PathLike[str], *, chunks: Any = None) -> Any:
    """Read what `save` wrote.

    Parameters
    ----------
    path : path-like
    chunks : optional
        As in `xarray.open_dataset`; with ``{}`` the arrays stay on disk until they are needed. Left out, everything
        is read and the file closed.

    Returns
    -------
    Dataset or DataTree
        As it was saved: types, order and attributes. Of a file of version 0.1 the root group is the node ``fused``.

    Raises
    ------
    FileReadError
        If the file is missing, damaged or no NetCDF file. Lazy values of a damaged block raise an OSError where they
        are computed.
    ConventionError
        If its contents break the conventions.

    Warns
    -----
    ChangedFileWarning
        If another program changed values or attributes since the file was saved.
    """
    source = Path(path)
    if not source.is_file():
        raise FileReadError(source, "no such file")
    compared = chunks is None or source.stat().st_size < _SMALL
    if compared:
        _notice_changes(source)
    groups = _read(source, chunks)
    text = groups["/"].attrs.pop(manifest.ATTRIBUTE, None) if "/" in groups else None
    known = manifest.loaded(text)
    if text is not None and known is None:
        raise FileReadError(source, "damaged: the record of its contents", hint="copy it again from where it is intact")
    if known is None:
        return check(_version_01(source, groups))
    if not compared:
        _notice_differences(source, groups, known)
    return check(_as_saved(groups, known))


def wrote(path: str | PathLike[str]) -> bool:
    """Whether a file looks like one that `save` wrote: HDF5 with a manifest, or with a pose in the root or a group."""
    import h5py

    if not Path(path).is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path) as file:
            groups = [file, *(item for item in file.values() if isinstance(item, h5py.Group))]
            return manifest.ATTRIBUTE in file.attrs or any(POSE in group for group in groups)
    except (OSError, KeyError, RuntimeError):  # damaged; the reader that comes next says how
        return False


def _about(data: xr.Dataset | xr.DataTree) -> manifest.About:
    if isinstance(data, xr.DataTree):
        return manifest.About(tree=True, name=data.name)
    return manifest.About(tree=False, name=None)


def _require_same(target: Path, file: PartialFile) -> None:
    """Read back what was written, block by block, and compare it with what was meant."""
    import h5py

    if file.error is not None:
        raise file.error
    with h5py.File(file) as hdf5_file:
        verdict = verification.compared(hdf5_file)
    if verdict is None or any(verdict):
        names = ", ".join(name for names in verdict or [["the file"]] for name in names)
        raise StoreError(f"{target}: {names} did not read back as written; is the disk failing?")


def _notice_changes(source: Path) -> None:
    """Refuse a damaged file before HDF5 reads it; warn of one that another program changed."""
    if sealing.state(source) is sealing.Seal.INTACT:
        return
    try:
        result = verification.verify(source)
    except FileReadError:  # no checksums: an older file, or one of another program
        return
    if result.damaged:
        raise FileReadError(
            source, f"damaged: {', '.join(result.damaged)}", hint="copy it again from where it is intact"
        )
    if result.changed:
        warnings.warn(str(result), ChangedFileWarning, stacklevel=3)


def _read(source: Path, chunks: Any) -> dict[str, xr.Dataset]:
    """Return the datasets of all groups, as xarray sees them."""
    import h5py

    try:
        with h5py.File(source) as file:
            hdf5.refuse_foreign(file)
            paths = list(hdf5.groups(file))
            if uses_zstd(file) and not find_zstd():
                raise FileReadError(source, "compressed by zstd", hint="install netCDF4, or import hdf5plugin first")
        # one by one: xarray.open_groups names the lazy arrays of two groups alike, and dask computes one for both
        groups = {path: xr.open_dataset(source, group=path, engine=_ENGINE, chunks=chunks, **_PLAIN) for path in paths}
        return {path: ds if chunks is not None else _read_and_close(ds) for path, ds in groups.items()}
    except FileReadError:
        raise
    except Exception as error:  # a damaged file makes HDF5, h5netcdf and xarray raise errors of many classes
        raise FileReadError(
            source, f"not a readable NetCDF file ({error})", hint="files of this project end in .nc"
        ) from error


def _read_and_close(ds: xr.Dataset) -> xr.Dataset:
    with ds:
        return ds.load()


def _notice_differences(source: Path, groups: dict[str, xr.Dataset], known: manifest.Manifest) -> None:
    """Warn of a file whose variables, single values or attributes are not those of its manifest; read no blocks."""
    with hdf5.opened(source) as file:
        changed = list(verification.changed_attributes(file, known))
    changes = [
        f"{path}: {change}"
        for path, group in known["groups"].items()
        for change in manifest.differences(groups.get(path, xr.Dataset()), group)
    ]
    if changes or changed:
        message = f"{source}: changed by another program since it was saved: {'; '.join([*changed, *changes])}"
        warnings.warn(message, ChangedFileWarning, stacklevel=3)


def _as_saved(groups: dict[str, xr.Dataset], known: manifest.Manifest) -> Any:
    described = known["groups"]
    nodes = {p: manifest.restored_dataset(ds, described[p]) if p in described else ds for p, ds in groups.items()}
    if known["tree"]:
        return xr.DataTree.from_dict(nodes, name=known["name"])
    return nodes["/"]


def _version_01(source: Path, groups: dict[str, xr.Dataset]) -> Any:
    """Return what a file without a manifest holds: its root is the node ``fused``, or the only dataset."""
    inward = {
        path.strip("/") or FUSED: ds.rename({name: dim for name, dim in _POSITIONS.items() if name in ds.coords})
        for path, ds in groups.items()
    }
    nodes = {name: ds for name, ds in inward.items() if ds.variables or name != FUSED}
    if not nodes:
        raise FileReadError(source, "the file holds no dataset")
    return nodes[FUSED] if set(nodes) == {FUSED} else xr.DataTree.from_dict(nodes)
