"""The sha256 of what a dataset says, by which two results are told apart: values, labels, and attributes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import attributes
from fusion.parameters import PREFIX

_BYTES: Final = 1 << 26
_DIARY: Final = ("history", "provenance", "title")
"""Attributes of the dataset that hold times and versions, or the name under which it is kept; arrays of the record
begin with `PREFIX`."""


def fingerprint(ds: xr.Dataset) -> str:
    """Return the sha256 of a dataset; its history, which holds times and versions, does not count.

    Parameters
    ----------
    ds : Dataset
        Lazy values are computed, block by block.

    Examples
    --------
    >>> ds = xr.Dataset({"a": ("x", [1.0, 2.0])})
    >>> fingerprint(ds) == fingerprint(ds.assign_attrs(history="today"))
    True
    >>> fingerprint(ds) == fingerprint(ds.astype("float32"))
    False
    """
    attrs = {str(key): value for key, value in ds.attrs.items()}
    parts = [attributes.sha256({key: attrs[key] for key in attrs if key not in _DIARY and not key.startswith(PREFIX)})]
    parts += [
        f"{name} {name in ds.coords} {_of_variable(ds.variables[name])}" for name in sorted(ds.variables, key=str)
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _of_variable(variable: xr.Variable) -> str:
    digest = hashlib.sha256(f"{variable.dims} {variable.shape} {variable.dtype.str}".encode())
    digest.update(attributes.sha256({str(key): value for key, value in variable.attrs.items()}).encode())
    if variable.dtype.kind in "OU":
        digest.update("\0".join(map(str, variable.values.flat)).encode("utf-8", "surrogatepass"))
    else:
        for block in _rows(variable):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _rows(variable: xr.Variable) -> Iterator[npt.NDArray[Any]]:
    """Yield values some rows of the first axis at a time, so that their order is the same however they are divided."""
    if not variable.ndim or not variable.size:
        yield variable.values
        return
    rows = max(1, variable.shape[0] * _BYTES // variable.nbytes)
    for first in range(0, variable.shape[0], rows):
        yield variable[first : first + rows].values
