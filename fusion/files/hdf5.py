"""HDF5 files that other people wrote: damage is told as what it is, and values that lie in other files are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fusion.errors import ConspectusError, FileReadError

if TYPE_CHECKING:
    import h5py

Names = Iterable[str]
DAMAGE: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError, SystemError)
"""What h5py, and the decoders of its blocks, raise where a file is damaged."""


@contextmanager
def opened(path: str | PathLike[str], *, arrays: Names | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; what it keeps in other files is refused, or is not touched.

    A link to another file, external storage and a virtual dataset make HDF5 pass any file of this machine off as
    pixels, so that nobody else opens a file with h5py.

    Parameters
    ----------
    path : path-like
    arrays : iterable of str, optional
        The arrays whose values the block reads, and none if it is empty: those alone must lie in this file. Left out,
        the block may read all, and all must.

    Raises
    ------
    FileReadError
        If the values lie in another file, or the file cannot be read, now or within the block: h5py tells of damage by
        errors of many classes.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            refuse_foreign(file, arrays)
            yield file
    except ConspectusError:
        raise
    except DAMAGE as error:
        reason = f"not a readable HDF5 file, damaged or cut short ({error})"
        raise FileReadError(path, reason, hint="copy it again") from error


def groups(group: h5py.Group) -> Iterator[str]:
    """Yield the path of a group, and those of all groups in it, in the order of the file."""
    import h5py

    yield group.name
    for item in group.values():
        if isinstance(item, h5py.Group):
            yield from groups(item)


def refuse_foreign(file: h5py.File, arrays: Names | None = None) -> None:
    """Refuse a file whose values lie in another one, or just these arrays of it; see `opened`.

    Raises
    ------
    FileReadError
        If a link leads to another file, or the values of an array are kept in one.
    """
    import h5py

    def leads_out(name: str, link: object) -> str | None:
        return name if isinstance(link, h5py.ExternalLink) or _lies_outside(file, name) else None

    outside = (
        file.visititems_links(leads_out)
        if arrays is None
        else next((name for name in arrays if _lies_outside(file, name)), None)
    )
    if outside:
        hint = f"copy them into this one, in h5py by file['copy'] = file[{outside!r}][()]"
        raise FileReadError(file.filename, f"the values of {outside!r} lie in another file", hint=hint)


@dataclass(frozen=True)
class LazyArray:
    """An array of a file that is open only while a block of it is read, for `dask.array.from_array`."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: Any

    @property
    def ndim(self) -> int:
        """Return the number of axes, as dask asks for it."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> Any:
        with opened(self.path, arrays=[self.name]) as file:
            return file[self.name][index]


def is_foreign(entry: Any) -> bool:
    """Whether an entry of a file is an array whose values are kept in other files."""
    import h5py

    return isinstance(entry, h5py.Dataset) and bool(entry.external or entry.is_virtual)


def _lies_outside(file: h5py.File, name: str) -> bool:
    """Whether a name leads to another file, or to an array whose values are kept in one."""
    entry = file.get(name)
    return entry is not None and (entry.file.filename != file.filename or is_foreign(entry))
