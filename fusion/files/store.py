"""Save and load: one NetCDF file is the project.

In a file the root group holds the fused dataset, which is what a plain NetCDF program shows; the modalities are its
child groups. In memory the fused dataset is the node ``fused``, because a tree hands the coordinates of its root down
to its children, and those lie on other grids.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, check
from fusion.errors import ConventionError, FileReadError, StoreError
from fusion.files import hdf5
from fusion.frames import POSE

ROOT: Final = "fused"
_ENGINE: Final = "h5netcdf"
_FULL: Final = 1 << 20
_POSITIONS: Final = {dim: f"{dim}_position" for dim in SPATIAL}
_PLAIN: Final[Mapping[str, Any]] = {"decode_times": False, "decode_timedelta": False, "mask_and_scale": False}


def save(data: xr.Dataset | xr.DataTree, path: str | PathLike[str]) -> Path:
    """Write a dataset or a tree to one NetCDF file, whole or not at all.

    The file is written beside its place under another name, flushed to the disk, opened again and compared, and only
    then takes its name; an interrupt, a crash or a full disk leaves an older file of that name as it was.

    Parameters
    ----------
    data : Dataset or DataTree
        Passes `fusion.check`. Of a tree, the node ``fused`` becomes the root group, the others groups.
    path : path-like
        Ends in ``.nc``.

    Returns
    -------
    Path

    Raises
    ------
    ConventionError
        If the data break the conventions.
    StoreError
        If the place cannot be written or what was written does not read back the same.

    Examples
    --------
    >>> import tempfile
    >>> from fusion import Axis, dataset
    >>> ds = dataset({"image": (("y", "x"), np.eye(2))}, {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0)},
    ...              name="sem", cell_methods="mean")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(ds, f"{folder}/sem.nc")).identical(ds)
    True
    """
    target = Path(path)
    if target.suffix != ".nc" or "\0" in str(target):
        raise StoreError(f"{target}: datasets are saved as NetCDF; the name must end in '.nc'")
    groups = _groups(check(data))
    if not any(ds.variables for ds in groups.values()):
        raise StoreError(f"{target}: there is nothing to save; the dataset is empty")
    _require_room(target, sum(ds.nbytes for ds in groups.values()))
    with _beside(target) as temporary:
        for index, (group, ds) in enumerate(groups.items()):
            _write(ds, temporary, group, "w" if index == 0 else "a")
        _flush(temporary)
        for group, ds in groups.items():
            _compare(ds, temporary, group)
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
        A tree if the file has groups; its root group is then the node ``fused``.

    Raises
    ------
    FileReadError
        If the file is missing or is no NetCDF file.
    ConventionError
        If its contents break the conventions.
    """
    import h5py

    source = Path(path)
    if not source.is_file():
        raise FileReadError(source, "no such file")
    try:
        with h5py.File(source) as file:
            hdf5.refuse_foreign(file)
        groups = xr.open_groups(source, engine=_ENGINE, chunks=chunks, **_PLAIN)
        read = {_node(name): ds if chunks is not None else _read_and_close(ds) for name, ds in groups.items()}
    except FileReadError:
        raise
    except Exception as error:  # a damaged file makes HDF5, h5netcdf and xarray raise errors of many classes
        raise FileReadError(
            source, f"not a readable NetCDF file ({error})", hint="files of this project end in .nc"
        ) from error
    found = {name: _inward(ds) for name, ds in read.items()}
    nodes = {name: ds for name, ds in found.items() if ds.variables or name != ROOT}
    if not nodes:
        raise FileReadError(source, "the file holds no dataset")
    return check(nodes[ROOT] if set(nodes) == {ROOT} else xr.DataTree.from_dict(nodes))


def wrote(path: str | PathLike[str]) -> bool:
    """Whether a file looks like one that `save` wrote: HDF5 with a pose in its root or in a group."""
    import h5py

    if not Path(path).is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path) as file:
            groups = [file, *(item for item in file.values() if isinstance(item, h5py.Group))]
            return any(POSE in group for group in groups)
    except (OSError, KeyError, RuntimeError):  # damaged; the reader that comes next says how
        return False


def _node(group: str) -> str:
    return group.strip("/") or ROOT


def _read_and_close(ds: xr.Dataset) -> xr.Dataset:
    with ds:
        return ds.load()


def _groups(data: xr.Dataset | xr.DataTree) -> dict[str, xr.Dataset]:
    """Return the datasets by group name; the root group comes first, empty if nothing is fused."""
    if isinstance(data, xr.Dataset):
        return {"/": _outward(data)}
    nodes = {node.path.strip("/"): node.to_dataset() for node in data.subtree if node.has_data}
    if faults := list(_tree_faults(data)):
        raise ConventionError(faults)
    root = nodes.pop(ROOT, xr.Dataset())
    clashes = sorted(set(nodes) & set(map(str, root.variables)))
    if clashes:
        raise ConventionError([f"{ROOT}: {name} is also the name of a node; rename one of them" for name in clashes])
    return {"/": _outward(root), **{f"/{name}": _outward(ds) for name, ds in nodes.items()}}


def _tree_faults(tree: xr.DataTree) -> Iterator[str]:
    """Tell what a file of groups would lose."""
    if tree.has_data:
        yield f"/: the root of a tree holds no variables; call the fused dataset {ROOT!r}"
    for node in tree.subtree:
        if node.attrs and not node.has_data:
            yield f"{node.path}: a node without variables keeps no attributes"
        if node.path.startswith(f"/{ROOT}/"):
            yield f"{node.path}: {ROOT!r} becomes the root of the file and has no nodes of its own"


def _outward(ds: xr.Dataset) -> xr.Dataset:
    """Rename the position of a plane: in a group, h5netcdf takes a single z for the dim z of the root."""
    return ds.rename({dim: name for dim, name in _POSITIONS.items() if dim in ds.coords and ds[dim].ndim == 0})


def _inward(ds: xr.Dataset) -> xr.Dataset:
    return ds.rename({name: dim for dim, name in _POSITIONS.items() if name in ds.coords})


def _require_room(target: Path, size: int) -> None:
    """Refuse before anything is written: a disk that fills up half-way leaves HDF5 unfit for further use."""
    folder = target.parent
    free = _free(folder) if folder.is_dir() else size
    if free < size:
        raise StoreError(f"{target}: up to {size / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free; make room")


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a temporary name beside the target; take the target's name on success, vanish otherwise."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=".nc", dir=target.parent)
    except OSError as error:
        raise StoreError(f"{target}: cannot write there ({error.strerror}); choose a folder that exists") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
        _flush(target.parent)
    except (OSError, RuntimeError) as error:
        # h5py says RuntimeError where the disk is full; from elsewhere it is not ours to explain
        if isinstance(error, StoreError) or (isinstance(error, RuntimeError) and _free(target.parent) > _FULL):
            raise
        raise StoreError(f"{target}: could not be written ({error}); an older file is left as it was") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    """Force a file or folder to the disk; a folder where the system allows it."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(ds: xr.Dataset, path: Path, group: str, mode: Any) -> None:
    encoding = {name: _encoding(variable) for name, variable in ds.variables.items()}
    plain = ds.drop_encoding().assign_attrs(_plain_text(ds.attrs))
    for variable in plain.variables.values():
        variable.attrs = _plain_text(variable.attrs)
    plain.to_netcdf(path, mode=mode, group=group, engine=_ENGINE, encoding=encoding)


def _plain_text(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Turn numpy's text, which h5netcdf refuses, into Python's."""
    return {key: np.asarray(v).tolist() if np.asarray(v).dtype.kind == "U" else v for key, v in attrs.items()}


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    """Compress what is large; never let a fill value appear that was not there."""
    encoding: dict[str, Any] = {} if variable.dtype.kind in "SUO" else {"_FillValue": None}
    if variable.dtype.kind in "iufb" and variable.nbytes > 1 << 16:
        encoding |= {"compression": "gzip", "compression_opts": 1, "shuffle": True, "chunksizes": _chunks(variable)}
    return encoding


def _chunks(variable: xr.Variable) -> tuple[int, ...]:
    """Return chunks of about 1 MB, halving the longest axis until they fit; those of dask if they are small enough."""
    shape = list(variable.shape if variable.chunks is None else (max(sizes) for sizes in variable.chunks))
    while np.prod(shape) * variable.dtype.itemsize > 1 << 20:
        longest = int(np.argmax(shape))
        shape[longest] = -(-shape[longest] // 2)
    return tuple(shape)


def _compare(ds: xr.Dataset, path: Path, group: str) -> None:
    """Open what was written: eager values must be the same, and of lazy ones no block may be missing."""
    with xr.open_dataset(path, engine=_ENGINE, group=group, **_PLAIN) as written:
        for name, variable in ds.variables.items():
            if name not in written.variables or written.variables[name].shape != variable.shape:
                raise StoreError(f"{path}: {name} of {group} was not written whole; is the disk full?")
            if variable.chunks is None and not _same(variable.values, written.variables[name].values):
                raise StoreError(f"{path}: {name} of {group} reads back with other values; is the disk failing?")
    _refuse_missing_chunks(ds, path, group)


def _same(ours: Any, theirs: Any) -> bool:
    numeric = ours.dtype.kind in "fc"
    return bool(np.array_equal(ours, theirs, equal_nan=numeric))


def _refuse_missing_chunks(ds: xr.Dataset, path: Path, group: str) -> None:
    import h5py

    with h5py.File(path) as file:
        for name in ds.variables:
            stored = file[f"{group}/{name}"]
            if stored.chunks and stored.id.get_num_chunks() < np.prod(-(-np.array(stored.shape) // stored.chunks)):
                raise StoreError(f"{path}: blocks of {name} in {group} are missing; is the disk full?")
