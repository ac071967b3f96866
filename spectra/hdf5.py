"""HDF5 files that other people wrote: opened so that damage is told as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from fusion.errors import ConspectusError, FileReadError


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If it cannot be read, now or within the block: h5py tells of damage by errors of many classes.
    """
    try:
        with h5py.File(path) as file:
            yield file
    except ConspectusError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, SystemError) as error:
        raise FileReadError(path, f"not a readable HDF5 file ({error})", hint="copy it again") from error
