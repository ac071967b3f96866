"""Files and folders that other libraries write by their name: written aside, then moved to where they belong."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from fusion.errors import ConventionError, StoreError


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """Yield a path to write to, in a folder of its own beside the target; at the end it takes the place of the target.

    Parameters
    ----------
    target : Path
        What it replaces is a file, or a folder of the same suffix.

    Raises
    ------
    StoreError
        If it cannot be written; an older file is then as it was.
    """
    if target.is_dir() and not target.suffix:
        raise StoreError(f"{target} is a folder; name a file in it")
    try:
        with tempfile.TemporaryDirectory(prefix=".conspectus-", dir=target.parent) as folder:
            written = Path(folder) / target.name
            yield written
            _flush(written)
            if target.is_dir():  # a folder that is not empty cannot be replaced in one step
                target.rename(Path(folder) / "older")
            written.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"{target}: could not be written ({reason}); an older file is left as it was") from error


def refuse_suffix(target: Path, known: Iterator[str] | tuple[str, ...], hint: str = "") -> None:
    """Refuse a name whose ending is not one of `known`.

    Raises
    ------
    StoreError
        Naming what is known.
    """
    if not target.name.endswith(tuple(known)):
        raise StoreError(f"{target}: the name ends in none of {', '.join(known)}{hint}")


def require_dataset(ds: object) -> None:
    """Refuse a tree: other programs' files hold one dataset.

    Raises
    ------
    ConventionError
    """
    if not isinstance(ds, xr.Dataset):
        raise ConventionError([f"a Dataset is needed; received {type(ds).__name__}; export one node of a tree"])


def _flush(written: Path) -> None:
    """Force what was written to the disk."""
    if written.is_dir() or os.name == "nt":
        return
    with written.open("rb") as file:
        os.fsync(file.fileno())
