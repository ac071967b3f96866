"""Whether a file is still what was saved, and if not, which variable is damaged or was changed by another program."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusion import attributes
from fusion.errors import FileReadError
from fusion.files import hdf5, manifest
from fusion.files.blocks import Digest, Region, decoded, each, padded, regions
from fusion.files.sealing import Seal, state
from fusion.isolation import sandbox

if TYPE_CHECKING:
    import h5py


class Verification(NamedTuple):
    """What `verify` found.

    Parameters
    ----------
    path : str
    intact : bool
        Every byte is as it was written.
    damaged : tuple of str
        Variables that cannot be read, by the path of their group, ``/fused/abundance``; ``/`` if the file cannot.
    changed : tuple of str
        What can be read and is not as it was saved: another program wrote to the file.
    """

    path: str
    intact: bool
    damaged: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.intact:
            return f"{self.path}: every byte is as it was saved"
        if self.damaged:
            return f"{self.path}: damaged: {', '.join(self.damaged)}; copy it again from where it is intact"
        if self.changed:
            return f"{self.path}: changed by another program since it was saved: {', '.join(self.changed)}"
        return f"{self.path}: another program wrote to it, and all values and attributes are as they were saved"


def verify(path: str | PathLike[str]) -> Verification:
    """Compare a file with the checksums that `fusion.save` put into it.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Verification
        Its text is a sentence.

    Raises
    ------
    FileReadError
        If the file is missing, or holds no checksums: it was saved by version 0.1 or by another program.

    Notes
    -----
    The sha256 of the whole file comes first. Where it does not agree, each variable is read in a process of its own and
    compared with its sha256, because HDF5 can crash or hang on a damaged file. Checksums reveal damage, not forgery.

    Examples
    --------
    >>> import tempfile
    >>> from fusion import Axis, dataset, save
    >>> ds = dataset({"image": (("y", "x"), np.eye(2))}, {d: Axis("nm", 5.0) for d in "yx"},
    ...              name="sem", cell_methods="mean")
    >>> verify(save(ds, f"{tempfile.mkdtemp()}/sem.nc")).intact
    True
    """
    source = Path(path)
    if not source.is_file():
        raise FileReadError(source, "no such file")
    seal = state(source)
    if seal is Seal.INTACT:
        return Verification(str(source), True)
    try:
        result = sandbox.run(_read_and_compared, source, file=source)
    except FileReadError:
        if seal is Seal.MISSING:
            raise
        return Verification(str(source), False, ("/",))
    if result is None and seal is Seal.MISSING:
        raise FileReadError(source, "it holds no checksums", hint="save it again with fusion.save")
    if result is None:
        return Verification(str(source), False, ("/",))
    damaged, changed = map(tuple, result)
    if seal is Seal.BROKEN:  # a program that writes through HDF5 cuts the seal off
        return Verification(str(source), False, (*damaged, *changed))
    return Verification(str(source), False, damaged, changed)


def _read_and_compared(path: Path) -> list[list[str]] | None:
    with hdf5.opened(path) as file:
        return compared(file)


def compared(file: h5py.File) -> list[list[str]] | None:
    """Return what of a file is damaged and what is changed; None if it has no manifest."""
    known = manifest.loaded(file.attrs.get(manifest.ATTRIBUTE))
    if known is None:
        return None
    verdicts = [verdict for group in known["groups"].items() for verdict in _group(file, *group)]
    return [[name for name, damaged in verdicts if damaged], [name for name, damaged in verdicts if not damaged]]


def changed_attributes(file: h5py.File, known: manifest.Manifest) -> Iterator[str]:
    """Yield whose attributes, or single values, are not as they were saved; no blocks are read."""
    for path, group in known["groups"].items():
        if path not in file:
            continue
        if _attrs_sha256(file[path]) != group["attrs"]["sha256"]:
            yield f"{path}.attrs"
        for name, entry in group["variables"].items():
            if name not in file[path]:
                continue
            dataset, where = file[path][name], f"{path.rstrip('/')}/{name}"
            if _attrs_sha256(dataset) != entry["attrs"]["sha256"]:
                yield f"{where}.attrs"
            # a single value has no block whose checksum HDF5 would compare when it is read
            if not entry["block"] and values_sha256(dataset, ()) != entry["sha256"]:
                yield where


def _group(file: Any, path: str, group: manifest.Group) -> Iterator[tuple[str, bool]]:
    """Yield what is not as it was saved, and whether it is damaged."""
    try:
        members = file[path]
        if _attrs_sha256(members) != group["attrs"]["sha256"]:
            yield f"{path}.attrs", False
        new = {name for name, item in members.items() if _is_variable(item)} - set(group["variables"])
        yield from ((f"{path.rstrip('/')}/{name}", False) for name in sorted(new))
    except hdf5.DAMAGE:
        yield path, True
        return
    for name, entry in group["variables"].items():
        where = f"{path.rstrip('/')}/{name}"
        try:
            yield from ((f"{where}{suffix}", False) for suffix in _changes(members, name, entry))
        except hdf5.DAMAGE:
            yield where, True


def _changes(members: Any, name: str, entry: manifest.Variable) -> Iterator[str]:
    if name not in members:
        yield ""
        return
    dataset = members[name]
    if _attrs_sha256(dataset) != entry["attrs"]["sha256"]:
        yield ".attrs"
    if values_sha256(dataset, tuple(entry["block"])) != entry["sha256"]:
        yield ""


def values_sha256(dataset: Any, block: tuple[int, ...]) -> str:
    """Return the sha256 of the values of a dataset, cut into blocks of this shape; the blocks are read as stored."""
    if not block:
        values = np.ascontiguousarray(dataset[()]) if dataset.size else np.empty(0)
        return hashlib.sha256(values.data if values.size else b"").hexdigest()
    digest = Digest()

    def add(region: Region) -> None:
        start = tuple(part.start for part in region)
        digest.add(start, _block(dataset, region, start, block))

    each(add, regions(dataset.shape, block), "verify")
    return digest.hexdigest()


def _block(dataset: Any, region: Region, start: tuple[int, ...], block: tuple[int, ...]) -> Any:
    if dataset.chunks != block or not dataset.fletcher32:  # another program stored it in its own way
        return padded(np.ascontiguousarray(dataset[region]), block)
    _, content = dataset.id.read_direct_chunk(start)
    return decoded(content, dataset.dtype, block)


def _attrs_sha256(owner: Any) -> str:
    return attributes.sha256({key: value for key, value in owner.attrs.items() if key != manifest.ATTRIBUTE})


def _is_variable(item: Any) -> bool:
    import h5py

    if not isinstance(item, h5py.Dataset):
        return False
    return not bytes(item.attrs.get("NAME", b"")).startswith(b"This is a netCDF dimension but not a netCDF variable")
