"""HDF5 files of other programs: damage becomes one error, and values that lie in other files are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any

from fusion.errors import ConspectusError, FileReadError

if TYPE_CHECKING:
    import h5py


@contextmanager
def opened(path: str | PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    FileReadError
        If it cannot be read, now or within the block: h5py reports damage by errors of many classes.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            yield file
    except ConspectusError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, SystemError) as error:
        raise FileReadError(path, f"not a readable HDF5 file ({error})", hint="copy it again") from error


def refuse_foreign(file: h5py.File) -> None:
    """Refuse a file that points outside: HDF5 would present any file of this computer as pixels.

    Parameters
    ----------
    file : h5py.File

    Raises
    ------
    FileReadError
        If a link leads to another file, or the values of an array are kept in one.
    """
    import h5py

    def leads_out(name: str, link: object) -> str | None:
        return name if isinstance(link, h5py.ExternalLink) or is_borrowed(file.get(name)) else None

    outside = file.visititems_links(leads_out)
    if outside:
        raise FileReadError(
            file.filename, f"{outside!r} lies in another file", hint="only files complete in themselves"
        )


def is_borrowed(entry: Any) -> bool:
    """Whether an entry of a file is an array whose values are kept in other files."""
    import h5py

    return isinstance(entry, h5py.Dataset) and bool(entry.external or entry.is_virtual)
