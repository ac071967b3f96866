"""How a dataset travels between two processes: a description in JSON, and the values in one file beside it.

Nothing that arrives can be code: JSON has numbers and text only, and values are bytes of a stated type.
"""

from __future__ import annotations

import builtins
import math
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import errors

Array: TypeAlias = npt.NDArray[Any]
LazyFactory: TypeAlias = Callable[[str, Mapping[str, Any]], Any]
_VALUES: Final = "values"
_ALIGNED: Final = 64
_DTYPES: Final = "biufcSUmM"


def pack(value: Any, folder: Path, lazy: dict[str, Any]) -> Any:
    """Return a value as JSON takes it; arrays go to a file in `folder`.

    Parameters
    ----------
    value : Dataset, array, or any nesting of lists, tuples, mappings, numbers and text
    folder : Path
    lazy : dict
        Takes the dask arrays of a dataset by the name of their variable.

    Returns
    -------
    object
        For `unpack`.
    """
    with (folder / _VALUES).open("wb") as stream:
        return _packed(value, stream, lazy)


def unpack(value: Any, folder: Path, lazy: LazyFactory) -> Any:
    """Return what `pack` was given; arrays are private copies in memory that is mapped, not read.

    Parameters
    ----------
    value : object
    folder : Path
        Its values are unlinked: they live as long as an array does.
    lazy : callable
        Makes a lazy array from the name of its variable and its description (``dtype``, ``shape``, ``chunks``).
    """
    with (folder / _VALUES).open("rb") as stream:
        size = stream.seek(0, 2)
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY) if size else b""
    # the next block must be another file: this one stays mapped
    (folder / _VALUES).unlink()
    return _unpacked(value, mapped, lazy)


def pack_error(error: errors.ConspectusError) -> list[Any]:
    """Return an error of this project as JSON takes it."""
    if isinstance(error, errors.FileReadError):
        return [type(error).__name__, str(error.path), error.reason, error.hint]
    if isinstance(error, errors.ConventionError):
        return ["ConventionError", *error.faults]
    return [type(error).__name__, str(error)]


def unpack_error(packed: list[Any]) -> errors.ConspectusError:
    """Return the error that `pack_error` was given.

    Examples
    --------
    >>> unpack_error(pack_error(errors.FileReadError("map.bcf", "the file is empty", hint="copy it again")))
    FileReadError('map.bcf: the file is empty; copy it again')
    """
    name, *arguments = map(str, packed)
    kind = getattr(errors, name, errors.ConspectusError)
    if isinstance(kind, type) and issubclass(kind, errors.FileReadError):
        path, reason, hint = arguments
        return kind(path, reason, hint=hint)
    if kind is errors.ConventionError:
        return errors.ConventionError(arguments)
    return kind(*arguments) if issubclass(kind, errors.ConspectusError) else errors.ConspectusError(*arguments)


def pack_warning(message: Warning | str) -> list[str]:
    """Return a warning as JSON takes it."""
    return [type(message).__name__, str(message)]


def warning_class(name: str) -> type[Warning]:
    """Return the class of a warning by its name: one of this project or of Python, else UserWarning."""
    kind = getattr(errors, name, getattr(builtins, name, None))
    return kind if isinstance(kind, type) and issubclass(kind, Warning) else UserWarning


def _packed(value: Any, stream: Any, lazy: dict[str, Any]) -> Any:
    if isinstance(value, xr.Dataset):
        variables = {
            str(name): _packed_variable(str(name), value[name].variable, stream, lazy) for name in value.variables
        }
        return {
            "dataset": variables,
            "coords": list(map(str, value.coords)),
            "attrs": _packed(value.attrs, stream, lazy),
        }
    if isinstance(value, Mapping):
        return {"mapping": [[_packed(key, stream, lazy), _packed(item, stream, lazy)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(item, stream, lazy) for item in value]
    if isinstance(value, np.ndarray):
        return _packed_array(value, stream)
    return value.item() if isinstance(value, np.generic) else value


def _packed_variable(name: str, variable: xr.Variable, stream: Any, lazy: dict[str, Any]) -> dict[str, Any]:
    if variable.chunks is None:
        values = _packed_array(np.asarray(variable.values), stream)
    else:
        lazy[name] = variable.data
        values = {"dtype": variable.dtype.str, "shape": variable.shape, "chunks": variable.chunks}
    return {"dims": list(map(str, variable.dims)), "values": values, "attrs": _packed(variable.attrs, stream, lazy)}


def _packed_array(array: Array, stream: Any) -> dict[str, Any]:
    if array.dtype.kind == "O":
        array = array.astype(str)
    stream.write(bytes(-stream.tell() % _ALIGNED))
    start = stream.tell()
    stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b"")
    return {"dtype": array.dtype.str, "shape": array.shape, "start": start}


def _unpacked(value: Any, mapped: Any, lazy: LazyFactory) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, mapped, lazy) for item in value]
    if not isinstance(value, dict):
        return value
    if "dataset" in value:
        return _unpacked_dataset(value, mapped, lazy)
    if "mapping" in value:
        return {_unpacked(key, mapped, lazy): _unpacked(item, mapped, lazy) for key, item in value["mapping"]}
    return _unpacked_array(value, mapped)


def _unpacked_dataset(value: dict[str, Any], mapped: Any, lazy: LazyFactory) -> xr.Dataset:
    def variable(name: str, packed: dict[str, Any]) -> xr.Variable:
        values = packed["values"]
        data = lazy(name, values) if "chunks" in values else _unpacked_array(values, mapped)
        return xr.Variable(packed["dims"], data, _unpacked(packed["attrs"], mapped, lazy))

    variables = {name: variable(name, packed) for name, packed in value["dataset"].items()}
    coords = {name: variables.pop(name) for name in value["coords"]}
    return xr.Dataset(variables, coords, _unpacked(value["attrs"], mapped, lazy))


def _unpacked_array(packed: dict[str, Any], mapped: Any) -> Array:
    dtype, shape = np.dtype(packed["dtype"]), tuple(map(int, packed["shape"]))
    if dtype.kind not in _DTYPES or dtype.hasobject:
        raise TypeError(f"an array of {dtype} cannot travel")
    count = math.prod(shape)
    if not count:
        return np.empty(shape, dtype)
    return np.frombuffer(mapped, dtype, count, int(packed["start"])).reshape(shape)
