"""The parameters of a step on record: JSON, and beside it the long arrays, which the JSON names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

PREFIX: Final = "provenance_"
"""The names of attributes that hold an array begin so, and end in its sha256."""
_SHORT: Final = 16
"""Numbers up to which an array stays in the JSON: those of a matrix."""
_NO_JSON: Final = ("Infinity", "-Infinity", "NaN")


def described(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    """Return parameters as JSON holds them, and the arrays that they refer to.

    A long array becomes ``{"array": name, "shape": [...], "dtype": "<f8"}``, a variable ``{"variable": {...}}``, a
    number that JSON does not know its name, and what else JSON does not know its text.

    Examples
    --------
    >>> kept, arrays = described({"weights": np.ones(20), "limits": (0.0, np.inf)})
    >>> kept["weights"]["shape"], kept["limits"], [*arrays] == [kept["weights"]["array"]]
    ([20], [0.0, 'Infinity'], True)
    """
    arrays: Arrays = {}
    kept = _described(parameters, arrays)
    # JSON has no infinity: parse_constant keeps it as text
    return json.loads(json.dumps(kept, default=str), parse_constant=str), arrays


def restored(kept: Any, arrays: Mapping[Any, Any]) -> Any:
    """Return what `described` was called with; `arrays` are the attributes of the dataset.

    Raises
    ------
    KeyError
        If an array is not there.

    Examples
    --------
    >>> kept, arrays = described({"weights": np.arange(20.0), "most": np.inf})
    >>> restored(kept, arrays)["weights"][-1], restored(kept, arrays)["most"]
    (np.float64(19.0), inf)
    """
    if isinstance(kept, str) and kept in _NO_JSON:
        return float(kept)
    if isinstance(kept, list):
        return [restored(item, arrays) for item in kept]
    if not isinstance(kept, Mapping):
        return kept
    if set(kept) == {"array", "shape", "dtype"}:
        return np.asarray(arrays[kept["array"]]).astype(kept["dtype"]).reshape(kept["shape"])
    values = {key: restored(item, arrays) for key, item in kept.items()}
    return xr.DataArray.from_dict(values["variable"]) if set(values) == {"variable"} else values


def _described(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, xr.DataArray):
        return {"variable": _described(value.compute().to_dict(data="array"), arrays)}
    if isinstance(value, np.ndarray) and value.size > _SHORT and value.dtype.kind in "biuf":
        return _reference(value, arrays)
    if isinstance(value, np.ndarray | np.generic):
        return _described(value.tolist(), arrays)
    if isinstance(value, Mapping):
        return {str(key): _described(item, arrays) for key, item in value.items()}
    return [_described(item, arrays) for item in value] if isinstance(value, list | tuple) else value


def _reference(value: npt.NDArray[Any], arrays: Arrays) -> dict[str, Any]:
    # an attribute holds numbers in a row: shape and type, and truth values as bytes, are stated beside it
    row = np.ascontiguousarray(value).ravel()
    row = row.astype(np.uint8) if row.dtype.kind == "b" else row
    name = PREFIX + hashlib.sha256(f"{row.dtype.str} ".encode() + row.tobytes()).hexdigest()[:16]
    arrays[name] = row
    return {"array": name, "shape": list(value.shape), "dtype": value.dtype.str}
