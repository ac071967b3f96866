"""The items of a file: which wing opens it, and all of them as one tree."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import xarray as xr

import fusion
import spectra
import volumes
from fusion.errors import ConspectusError, FileReadError, UnknownFormatError
from fusion.files import netcdf
from fusion.files.aside import refuse_suffix
from fusion.files.export import WRITERS as NETCDF_AND_TABLES
from fusion.reading.contents import UNREADABLE, Content, unique
from fusion.reading.paths import existing
from spectra.bridge.export import SUFFIXES as SIGNALS
from volumes.exports.export import WRITERS as IMAGES


class Opener(NamedTuple):
    """The package that opens a file, and the items that it lists."""

    wing: ModuleType
    contents: list[Content]


def opener(path: Path) -> Opener:
    """Return what opens a file: `spectra` where it finds spectra there, else `volumes` where that reads the file.

    Raises
    ------
    FileReadError
        If neither does; the message has the reasons of both.
    """
    openers: list[Opener] = []
    refusals: list[FileReadError] = []
    for wing in (spectra, volumes):
        try:
            openers.append(Opener(wing, wing.contents(path)))
        except FileReadError as error:
            refusals.append(error)
        if openers and any(content.technique != "image" for content in openers[0].contents):
            return openers[0]
    if not openers:
        raise _neither(path, refusals)
    readable = [one for one in openers if any(content.technique != UNREADABLE for content in one.contents)]
    return (readable or openers)[-1]


def tree(path: str | PathLike[str]) -> xr.DataTree:
    """Return every item of a file as a node; ``left_out`` has the name of each that does not open, and why."""
    source = existing(path)
    saved = _saved(source)
    if saved:
        return xr.DataTree.from_dict(saved)
    wing, contents = opener(source)
    nodes, left_out = {}, []
    for node, content in zip(_node_names(contents), contents, strict=True):
        try:
            nodes[node] = _open(wing, source, content)
        except ConspectusError as error:
            left_out.append(f"{content.name}: {reason(error)}")
    if not nodes:
        raise FileReadError(source, "; ".join(left_out) or "it holds no item")
    opened = xr.DataTree.from_dict(nodes)
    if left_out:
        opened.attrs["left_out"] = "\n".join(left_out)
    return opened


def one(path: str | PathLike[str], name: str) -> xr.Dataset:
    """Return one item of a file, by the name of its node or the name in the file."""
    source = existing(path)
    saved = _saved(source)
    if name in saved:
        return saved[name]
    wing, contents = (fusion, []) if saved else opener(source)
    for node, content in zip(_node_names(contents), contents, strict=True):
        if name in (node, content.name):
            return _open(wing, source, content)
    names = ", ".join(map(repr, [*saved, *(content.name for content in contents)]))
    raise FileReadError(source, f"it holds no item {name!r}", hint=f"name one of {names}")


def export(ds: xr.Dataset, path: str | PathLike[str]) -> Path:
    """Write one dataset by the package that knows the ending of the name."""
    target = Path(path)
    known = {fusion: tuple(NETCDF_AND_TABLES), volumes: tuple(IMAGES), spectra: SIGNALS}
    refuse_suffix(target, tuple(suffix for suffixes in known.values() for suffix in suffixes))
    wing = next(wing for wing, suffixes in known.items() if target.name.endswith(suffixes))
    written: Path = wing.export(ds, target)
    return written


def export_node(path: Path, node: str, variable: str | None, out: Path) -> Path:
    """Write one dataset of a saved file, or one variable of it, for another program.

    `node` may be empty where there is only one dataset.

    Raises
    ------
    FileReadError
        If the file has no such node or variable, or several nodes and none is named.
    """
    saved = netcdf.saved(existing(path))
    name = next(iter(saved)) if len(saved) == 1 and not node else node.strip("/")
    if name not in saved:
        names = ", ".join(filter(None, saved))
        hint = f"name one of {names} with --node" if names else "leave --node out: it holds a single dataset"
        reason = f"there is no node {name!r}" if saved else "fusion.save did not write it"
        raise FileReadError(path, reason, hint=hint if saved else "open it and save it first")
    ds = saved[name]
    if variable is None:
        return export(ds, out)
    if variable not in ds.data_vars:
        known = ", ".join(map(str, ds.data_vars))
        raise FileReadError(path, f"{name or 'it'} has no variable {variable!r}", hint=f"name one of {known}")
    return export(ds[[variable]], out)


def reason(error: ConspectusError) -> str:
    """Return what an error says, without the path that a table or a list has already."""
    if isinstance(error, FileReadError):
        return "; ".join(filter(None, (error.reason, error.hint)))
    return str(error)


def _saved(path: Path) -> dict[str, xr.Dataset]:
    """Return the datasets of a project that `fusion.save` wrote, by node; a single one by its title."""
    if path.suffix != ".nc":
        return {}
    return {name or str(ds.attrs.get("title", "dataset")): ds for name, ds in netcdf.saved(path).items()}


def _node_names(contents: list[Content]) -> list[str]:
    """Return a name for the node of each item: a slash would make a node within a node."""
    return unique(content.name.replace("/", "_") or "item" for content in contents)


def _open(wing: ModuleType, path: Path, content: Content) -> xr.Dataset:
    ds: xr.Dataset = wing.open(path, name=content.name)
    return ds


def _neither(path: Path, refusals: list[FileReadError]) -> FileReadError:
    """Say why neither wing opens a file; that a format is unknown to one matters only where the other says the same."""
    known = [error for error in refusals if not isinstance(error, UnknownFormatError)]
    return FileReadError(path, "; ".join(dict.fromkeys(map(reason, known or refusals))))
