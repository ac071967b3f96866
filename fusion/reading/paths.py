"""The file or folder that a user names: there, readable, and one whose values can be read twice."""

from __future__ import annotations

import os
import stat
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from fusion.errors import FileReadError


def existing(path: str | PathLike[str]) -> Path:
    """Return the path of a file or folder that can be read.

    Raises
    ------
    FileReadError
        If nothing is there, it may not be read, or it is a pipe or a device.

    Examples
    --------
    >>> existing("/missing.bcf")
    Traceback (most recent call last):
        ...
    fusion.errors.FileReadError: /missing.bcf: there is no such file; check the path
    """
    place = Path(path)
    try:
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileReadError(place, "there is no such file", hint=f"check the path{_seen_from(place)}") from None
    except (OSError, ValueError) as error:
        reason = f"the system does not show it ({getattr(error, 'strerror', None) or error})"
        raise FileReadError(place, reason, hint="check the path, and who may read its folder") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileReadError(place, "this is a pipe or a device", hint="write what it gives to a file, and open that")
    if not os.access(place, os.R_OK):
        raise FileReadError(place, "you may not read it", hint="ask its owner for the right to")
    return place


def _seen_from(place: Path) -> str:
    """Return where a relative path starts; the working directory may be gone."""
    if place.is_absolute():
        return ""
    try:
        return f", seen from {Path.cwd()}"
    except FileNotFoundError:
        return "; the working directory is gone"


PathArg: TypeAlias = str | PathLike[str]
