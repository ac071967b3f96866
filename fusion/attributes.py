"""Attributes in a file: as NetCDF holds them, and what is needed beside that to bring back the very same value.

NetCDF knows text, arrays of numbers and arrays of text; Python's 3, numpy's int64(3) and the list [3] are one and the
same there. What is lost on the way is kept in a tagged form that JSON holds.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

Native: TypeAlias = "str | list[str] | np.ndarray[Any, Any]"
INTERNAL: Final = frozenset(
    {
        "CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS", "_Netcdf4Dimid", "_Netcdf4Coordinates",
        "_NCProperties", "_nc3_strict", "_NCCOPY",
    }
)  # fmt: skip
"""Attributes by which HDF5 and NetCDF keep their own records."""
OWN: Final = frozenset({"conspectus_manifest", "widened_from", "_Encoding", "_Unsigned", "_FillValue"})
"""Attributes that change how a file is read."""


def faults(key: Any, value: Any) -> Iterator[str]:
    """Say why an attribute cannot be stored and read back the same."""
    if key in INTERNAL or key in OWN:
        yield "this name is in use by the file format"
    try:
        if _is_text(value):
            native(value)
        elif exact(value) is None:
            yield f"{type(value).__name__} cannot be stored; use text, numbers or a flat sequence of one of them"
        else:
            native(value)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        yield f"{type(value).__name__} cannot be stored ({error})"


def native(value: Any) -> Native:
    """Return the form in which NetCDF holds a value: text, a list of texts, or a one-dimensional array.

    Examples
    --------
    >>> native(3), native(("a", "b")), native(np.float16(0.5))
    (array([3]), ['a', 'b'], array([0.5], dtype=float32))
    """
    if _is_text(value):
        return _checked(str(value))
    array = np.asarray(value)
    if array.dtype.kind == "U":
        return [_checked(str(item)) for item in array.ravel()]
    if array.dtype.kind == "f" and array.dtype.itemsize == 2:
        array = array.astype(np.float32)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise TypeError(f"numbers of type {array.dtype}")
    return np.atleast_1d(array).astype(array.dtype.newbyteorder("<"))


def exact(value: Any) -> Any:
    """Return what JSON must hold to bring a value back, or None where its native form is enough.

    Examples
    --------
    >>> exact("text"), exact(3), exact([1, 2.5]), exact(np.int16(7))
    (None, ['int', 3], ['list', [['int', 1], ['float', '0x1.4000000000000p+1']]], ['scalar', '<i2', '0700'])
    """
    kind = type(value)
    if kind is str:
        return None
    if kind is np.str_:
        return ["np.str_", str(value)]
    if kind is int:
        return ["int", value]
    if kind is float:
        # float.hex() forgets the sign and the payload of NaN
        return ["float", value.hex()] if value == value else ["nan", struct.pack("<d", value).hex()]
    if kind in (list, tuple):
        return [kind.__name__, [["str", item] if type(item) is str else exact(item) for item in value]]
    if kind is np.ndarray and value.dtype.kind == "U":
        return ["texts", value.dtype.str, list(value.shape), value.ravel().tolist()]
    if kind is np.ndarray:
        return ["array", value.dtype.str, list(value.shape), value.tobytes().hex()]
    if isinstance(value, np.generic) and value.dtype.kind in "iuf":
        return ["scalar", value.dtype.str, value.tobytes().hex()]
    return None


def restored(tagged: Any) -> Any:
    """Return the value that `exact` described."""
    tag, content, *rest = tagged
    if tag in ("str", "int"):
        return content
    if tag == "float":
        return float.fromhex(content)
    if tag == "nan":
        return struct.unpack("<d", bytes.fromhex(content))[0]
    if tag == "np.str_":
        return np.str_(content)
    if tag in ("list", "tuple"):
        return (list if tag == "list" else tuple)(map(restored, content))
    if tag == "texts":
        return np.array(rest[1], dtype=content).reshape(rest[0])
    if tag == "array":
        return np.frombuffer(bytes.fromhex(rest[1]), content).reshape(rest[0]).copy()
    return np.frombuffer(bytes.fromhex(rest[0]), content)[0]


def same(value: Any, other: Any) -> bool:
    """Whether two values have one native form, whatever library handed them over."""
    return bool(_canonical(value) == _canonical(other))


def sha256(attrs: Mapping[str, Any]) -> str:
    """Return the sha256 of attributes in their native form, independent of their order."""
    entries = {key: _canonical(value) for key, value in attrs.items() if key not in INTERNAL}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Return one form for all that a value is called: libraries return one number for [7], one text for ['a']."""
    import h5py

    if isinstance(value, h5py.Empty):
        value = ""
    if isinstance(value, bytes):
        return ["text", [value.decode("utf-8", "surrogateescape")]]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        value = [
            item.decode("utf-8", "surrogateescape") if isinstance(item, bytes) else str(item) for item in value.flat
        ]
        return ["text", value] if value else ["empty"]
    form = native(value)
    if not isinstance(form, str) and not len(form):
        return ["empty"]  # no library tells an empty list of texts from one of numbers
    if isinstance(form, np.ndarray):
        return ["numbers", form.dtype.str, form.tobytes().hex()]
    return ["text", [form] if isinstance(form, str) else form]


def _is_text(value: Any) -> bool:
    return type(value) in (str, np.str_)


def _checked(text: str) -> str:
    if "\0" in text:
        raise ValueError("text with a NUL character")
    text.encode("utf-8")
    return text
