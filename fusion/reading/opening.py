"""What both wings do when they open a file: damage is reported as damage, and an item is listed without its values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from fusion.errors import ConspectusError, FileReadError
from fusion.reading.stored_array import StoredArray, Unreadable


@contextmanager
def damage_reported(path: Path, *, requested: bool = False) -> Iterator[None]:
    """Turn whatever is raised for a damaged file, from struct.error to AxisError, into one readable error.

    Parameters
    ----------
    path : Path
    requested : bool
        Whether the user requested something, such as a voxel size: an error of this project may be about that and
        stays as it is.
    """
    try:
        yield
    except FileReadError:
        raise
    except ConspectusError as error:
        if requested:
            raise
        raise FileReadError(path, f"what it says makes no sense ({error})", hint="copy or export it again") from error
    except MemoryError:
        raise
    except Exception as error:
        raise FileReadError(path, f"the file is damaged or cut short ({error})", hint="copy it again") from error


def readable(path: Path, name: str, describe: Callable[[], StoredArray]) -> StoredArray | Unreadable:
    """Return the array that `describe` returns, or the reason why there is none: one array does not block its file.

    Parameters
    ----------
    path : Path
    name : str
        Of the array.
    describe : callable

    Examples
    --------
    >>> def describe():
    ...     raise UnitError("axis 'q' in 'furlong' is none of the known axes")
    >>> from fusion.errors import UnitError
    >>> readable(Path("map.h5"), "detector 2", describe).error.reason
    "item 'detector 2': axis 'q' in 'furlong' is none of the known axes"
    """
    try:
        return describe()
    except FileReadError as error:
        return Unreadable(name, error)
    except (ConspectusError, KeyError, ValueError, TypeError, IndexError, OSError) as error:
        return Unreadable(name, FileReadError(path, f"item {name!r}: {error}"))


def without_values(array: StoredArray) -> StoredArray:
    """Return an array whose values are zeros that take neither memory nor time, for what needs its labels alone."""
    return replace(array, load=lambda: np.broadcast_to(np.zeros((), array.dtype), array.shape))


def grouped(arrays: Iterable[StoredArray | Unreadable]) -> dict[str, list[StoredArray | Unreadable]]:
    """Return the arrays by name: those of one name are variables of one dataset."""
    groups: dict[str, list[StoredArray | Unreadable]] = {}
    for array in arrays:
        groups.setdefault(array.name, []).append(array)
    return groups
