"""What a file says of itself: how its contents were in memory, and a sha256 for every variable and its attributes.

It is a sha256 and JSON, in the attribute `conspectus_manifest` of the root group. A program that knows nothing of it
loses nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final, TypedDict

import xarray as xr

from fusion import attributes
from fusion.files.stored import restored

ATTRIBUTE: Final = "conspectus_manifest"
VERSION: Final = 1


class Attrs(TypedDict):
    """Attributes: their order, the tagged values that NetCDF alone does not bring back, and the sha256 of all."""

    order: list[str]
    exact: dict[str, Any]
    sha256: str


class Variable(TypedDict):
    """A variable: its type in memory, its dims and the blocks in the file, and the sha256 of its values."""

    dtype: str
    dims: list[str]
    block: list[int]
    sha256: str
    attrs: Attrs


class Group(TypedDict):
    """A group: its attributes, its variables in order, and those of them that are coordinates."""

    attrs: Attrs
    variables: dict[str, Variable]
    coordinates: list[str]


class About(TypedDict):
    """Whether a file holds a tree, and its name."""

    tree: bool
    name: str | None


class Manifest(About):
    """All groups of a file by their path."""

    version: int
    groups: dict[str, Group]


def described(attrs: Mapping[Hashable, Any], in_file: Mapping[str, Any]) -> Attrs:
    """Describe attributes as they are in memory, with the sha256 of those that the file holds."""
    exact = {str(key): attributes.exact(value) for key, value in attrs.items()}
    return Attrs(
        order=[str(key) for key in attrs],
        exact={key: tagged for key, tagged in exact.items() if tagged is not None},
        sha256=attributes.sha256(in_file),
    )


def dumped(about: About, groups: dict[str, Group]) -> str:
    """Return a manifest as text: its own sha256, a space, and JSON."""
    manifest = Manifest(version=VERSION, groups=groups, **about)
    text = json.dumps(manifest, separators=(",", ":"), ensure_ascii=True)
    return f"{hashlib.sha256(text.encode()).hexdigest()} {text}"


def loaded(text: Any) -> Manifest | None:
    """Return the manifest that a file holds, or None if it holds none that is undamaged."""
    content = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text or "")
    digest, _, body = content.partition(" ")
    if digest != hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest():
        return None
    try:
        manifest: Manifest = json.loads(body)
        return manifest if manifest["version"] == VERSION else None
    except (TypeError, ValueError, KeyError):
        return None


def restored_dataset(ds: xr.Dataset, group: Group) -> xr.Dataset:
    """Return a dataset as it was in memory; what another program changed since stays as it is in the file."""
    known = [name for name in group["variables"] if name in ds.variables]
    variables = {name: _restored_variable(ds.variables[name], group["variables"][name]) for name in known}
    variables |= {str(name): variable for name, variable in ds.variables.items() if name not in variables}
    coordinates = {*group["coordinates"], *map(str, ds.coords)} - (set(known) - set(group["coordinates"]))
    # the coordinates are set afterwards, which keeps the order of the variables
    attrs = _restored_attrs(ds.attrs, group["attrs"])
    return xr.Dataset(variables, attrs=attrs).set_coords(sorted(coordinates & set(variables)))


def differences(ds: xr.Dataset, group: Group) -> Iterator[str]:
    """Say what of a dataset is not as its manifest says; values are not compared."""
    for name, entry in group["variables"].items():
        if name not in ds.variables:
            yield f"{name} is missing"
        elif [str(dim) for dim in ds.variables[name].dims] != entry["dims"]:
            yield f"{name} lies along {ds.variables[name].dims} and not along {tuple(entry['dims'])}"
    yield from (f"{name} is new" for name in ds.variables if name not in group["variables"])


def _restored_variable(variable: xr.Variable, entry: Variable) -> xr.Variable:
    result = restored(variable, entry["dtype"])
    result.attrs = _restored_attrs(variable.attrs, entry["attrs"])
    return result


def _restored_attrs(attrs: Mapping[Any, Any], entry: Attrs) -> dict[str, Any]:
    """Return attributes in their old order and with their old types, where the file still holds the same value."""
    values = {str(key): value for key, value in attrs.items() if key not in attributes.OWN}
    for key, tagged in entry["exact"].items():
        exact = attributes.restored(tagged)
        if key in values and attributes.same(values[key], exact):
            values[key] = exact
    order = [key for key in entry["order"] if key in values]
    return {key: values[key] for key in dict.fromkeys([*order, *values])}
