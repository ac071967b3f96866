"""Values in a file: what stands there for truth values, half floats, complex numbers and text, which NetCDF lacks."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

Array = npt.NDArray[Any]
PARTS: Final = "real_imaginary"
"""The dim of a complex variable in a file."""


def stored(variable: xr.Variable) -> xr.Variable:
    """Return a variable as the file holds it; its attributes are those that a reader needs to understand the values.

    Half floats are widened to single precision, which is exact, and the attribute ``widened_from`` says so. Text
    becomes characters in UTF-8, truth values bytes, and complex numbers pairs: what all libraries agree on.

    Examples
    --------
    >>> text = stored(xr.Variable("component", ["Fe", "Cu"]))
    >>> text.dims, text.values.tolist(), text.attrs
    (('component', 'string2'), [[b'F', b'e'], [b'C', b'u']], {'_Encoding': 'utf-8'})
    """
    kind, dims = variable.dtype.kind, variable.dims
    if kind in "OUS":
        return _characters(variable)
    if kind == "b":
        return xr.Variable(dims, variable.data.astype(np.int8), {"dtype": "bool"})
    if kind == "f" and variable.dtype.itemsize == 2:
        return xr.Variable(dims, variable.data.astype(np.float32), {"widened_from": "float16"})
    native = variable.data.astype(variable.dtype.newbyteorder("<"), copy=False)
    if kind == "c":
        return _pairs(dims, native)
    return xr.Variable(dims, native)


def restored(variable: xr.Variable, dtype: str) -> xr.Variable:
    """Return a variable with the type that it had in memory; lazy values stay lazy."""
    wanted = np.dtype(dtype)
    data = variable.data
    if wanted.kind == "c":
        return xr.Variable(variable.dims[:-1], _complex(data, wanted), variable.attrs, variable.encoding)
    if data.dtype == wanted and data.dtype.byteorder == wanted.byteorder:
        return variable
    return xr.Variable(variable.dims, data.astype(wanted), variable.attrs, variable.encoding)


def _characters(variable: xr.Variable) -> xr.Variable:
    values = variable.values
    if values.dtype.kind != "S":
        texts = [str(text).encode() for text in values.flat]
        width = max([1, *map(len, texts)])
        values = np.array(texts, dtype=f"S{width}").reshape(values.shape)
    width = values.dtype.itemsize
    letters = np.ascontiguousarray(values).reshape(-1).view("S1").reshape(*variable.shape, width)
    attrs = {} if variable.dtype.kind == "S" else {"_Encoding": "utf-8"}
    return xr.Variable((*variable.dims, f"string{width}"), letters, attrs)


def _pairs(dims: tuple[Any, ...], data: Any) -> xr.Variable:
    part = np.dtype(f"<f{data.dtype.itemsize // 2}")
    if isinstance(data, np.ndarray):
        values = np.ascontiguousarray(data).reshape(-1).view(part).reshape(*data.shape, 2)
        return xr.Variable((*dims, PARTS), values)
    pairs = data[..., None].map_blocks(lambda block: np.ascontiguousarray(block).view(part), dtype=part,
                                       chunks=(*data.chunks, (2,)))  # fmt: skip
    return xr.Variable((*dims, PARTS), pairs)


def _complex(data: Any, dtype: np.dtype[Any]) -> Any:
    little = dtype.newbyteorder("<")

    def joined(block: Array) -> Array:
        return np.ascontiguousarray(block).reshape(-1).view(little).reshape(block.shape[:-1]).astype(dtype)

    if isinstance(data, np.ndarray):
        return joined(data)
    return data.rechunk({data.ndim - 1: 2}).map_blocks(joined, dtype=dtype, drop_axis=data.ndim - 1)
