"""How labelled data lie in a file: a tree's nodes are groups of the same names, a dataset is the root itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

import xarray as xr

from fusion import attributes
from fusion.errors import ConventionError

_NAME: Final = re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff]([^\x00-\x1f/\x7f]*[^\x00-\x20/\x7f])?")
"""NetCDF's rule: a letter, digit or underscore first, no control character or slash, no space at the end."""
_LONGEST: Final = 255
_RESERVED: Final = re.compile(r"_nc4_non_coord_.*|_Netcdf4.*|string\d+|real_imaginary")


def groups(data: xr.Dataset | xr.DataTree) -> dict[str, xr.Dataset]:
    """Return the datasets of a file by the path of their group, the root first.

    Raises
    ------
    ConventionError
        Naming everything that a file cannot hold and give back the same.
    """
    if isinstance(data, xr.Dataset):
        nodes = {"/": data}
    else:
        nodes = {node.path: node.to_dataset(inherit=False) for node in data.subtree}
    faults = list(_tree_faults(data)) if isinstance(data, xr.DataTree) else []
    faults += [f"{path}: {fault}" if len(nodes) > 1 else fault for path, ds in nodes.items() for fault in _faults(ds)]
    if faults:
        raise ConventionError(faults)
    return nodes


def _tree_faults(tree: xr.DataTree) -> Iterator[str]:
    if tree.has_data or tree.variables:
        yield "/: the root of a tree holds no variables; put them into a node, such as 'fused'"
    for node in tree.subtree:
        yield from (f"{child.path}: {fault}" for child in node.children.values() for fault in _name_faults(child.name))
        taken = sorted({str(name) for name in node.children} & {str(dim) for dim in node.dims})
        yield from (f"{node.path}/{name}: a dim of {node.path} has this name; rename the node" for name in taken)
        inherited = set(node.parent.dims) - set(node.dims) if node.parent else set()
        for name in sorted({str(dim) for dim in inherited} & {str(key) for key in node.variables}):
            yield f"{node.path}/{name}: a dim of the node above has this name; rename the variable"


def _faults(ds: xr.Dataset) -> Iterator[str]:
    for name, variable in ds.variables.items():
        yield from (f"{name}: {fault}" for fault in _name_faults(name))
        yield from (f"{name}: {fault}" for fault in _values_faults(variable))
        if name in ds.dims and variable.dims != (name,):
            yield f"{name}: a dim has this name, and the variable lies along {variable.dims}; rename one of them"
        if name in ds.coords and name not in ds.dims and any(character.isspace() for character in str(name)):
            yield f"{name}: a coordinate with a space in its name cannot be listed in a file; use an underscore"
    yield from (f"{dim}: {fault}" for dim in ds.dims if dim not in ds.variables for fault in _name_faults(dim))
    for place, attrs in [("attrs", ds.attrs), *((f"{name}.attrs", v.attrs) for name, v in ds.variables.items())]:
        yield from _attrs_faults(place, attrs)


def _attrs_faults(where: str, attrs: Mapping[Any, Any]) -> Iterator[str]:
    for key, value in attrs.items():
        yield from (f"{where}[{key!r}]: {fault}" for fault in _name_faults(key, reserved=False))
        yield from (f"{where}[{key!r}]: {fault}" for fault in attributes.faults(key, value))


def _name_faults(name: Any, *, reserved: bool = True) -> Iterator[str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield (
            "a name in a file begins with a letter, a digit or an underscore, has no slash or control character, "
            "and does not end in a space"
        )
    elif any(0xD800 <= ord(character) <= 0xDFFF for character in name):
        yield "the name is not valid Unicode"
    elif len(name.encode()) > _LONGEST:
        yield f"the name has {len(name.encode())} bytes; a file holds {_LONGEST}"
    elif unicodedata.normalize("NFC", name) != name:
        yield "the name has accents as separate characters; write it in the normal form NFC"
    elif reserved and _RESERVED.fullmatch(name):
        yield "this name is in use by the file format"


def _values_faults(variable: xr.Variable) -> Iterator[str]:
    dtype = variable.dtype
    known = dtype.kind in "biuSU" or dtype.itemsize <= {"f": 8, "c": 16}.get(dtype.kind, 0)
    if dtype.kind in "OU":
        yield from _text_faults(variable)
    elif not known or dtype.itemsize == 0:
        yield f"values of type {dtype} cannot be stored"


def _text_faults(variable: xr.Variable) -> Iterator[str]:
    if variable.dtype.kind == "O" and variable.chunks is not None:
        yield "lazy values of type object cannot be stored; compute them"
        return
    for text in variable.values.flat:
        if not isinstance(text, str):
            yield f"values of type {type(text).__name__} cannot be stored among text"
            return
        if "\0" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            yield f"{text!r} holds characters that a file cannot hold"
            return
