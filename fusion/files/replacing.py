"""A file that takes its name when it is complete: written beside the target, flushed to the disk, then renamed."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from fusion.errors import StoreError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX: Final = ".conspectus-"
_SUFFIX: Final = ".partial.nc"
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_UNPORTABLE: Final = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')


class PartialFile(io.FileIO):
    """A file that goes on without writing once the disk is full.

    HDF5 takes the process down when a write fails while it closes a file. Here it never learns of the failure: the
    first error is kept, what follows is dropped, and `replacing` raises the error once HDF5 is done.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "r+b")
        self.path = path
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data, or keep the error."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while len(left) and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file, or keep the error."""
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0


@contextmanager
def replacing(target: Path) -> Iterator[PartialFile]:
    """Yield an open file beside the target that takes its name at the end; after any error it vanishes.

    A symbolic link is followed, and mode and owner of an older file are kept. What an earlier process left behind when
    it was killed is cleared away.

    Raises
    ------
    StoreError
        If the target cannot be written, or the disk is full; an older file is then as it was.
    """
    real = Path(os.path.realpath(target))
    _require_name(target)
    _require_permission(real)
    _clear(real.parent)
    file = _created(real, target)
    try:
        yield file
        if file.error is not None:
            raise file.error
        os.fsync(file.fileno())
        _inherit(file, real)
        file.path.replace(real)
        _flush_folder(real.parent)
    except Exception as error:
        cause = file.error or error
        if isinstance(cause, StoreError) or not isinstance(cause, OSError):
            raise
        reason = cause.strerror or str(cause)
        raise StoreError(f"{target}: could not be written ({reason}); an older file is left as it was") from error
    finally:
        file.path.unlink(missing_ok=True)
        with suppress(OSError):
            file.close()


def _require_name(target: Path) -> None:
    if target.suffix != ".nc" or "\0" in str(target):
        raise StoreError(f"{target}: datasets are saved as NetCDF; the name must end in '.nc'")
    if _DEVICES.fullmatch(target.stem) or _UNPORTABLE.search(target.name) or target.stem != target.stem.rstrip(" ."):
        raise StoreError(
            f'{target}: not every system can hold a file of this name; avoid <>:"|?*\\, names of devices such as CON, '
            "and a space or a dot at the end"
        )


def _require_permission(real: Path) -> None:
    try:
        read_only = real.exists() and not real.is_dir() and not os.access(real, os.W_OK)
    except OSError as error:  # its folder may not be entered
        raise _closed(real, error) from error
    if read_only:
        raise StoreError(f"{real}: the file is read-only; choose another name, or make it writable")


def _closed(target: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{target}: cannot write there ({error.strerror}); choose a folder that exists and that you may write to"
    )


def _created(real: Path, target: Path) -> PartialFile:
    """Create the partial file and lock it, so that no other process takes it for a leftover."""
    while True:
        try:
            descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=real.parent)
        except OSError as error:
            raise _closed(target, error) from error
        file = PartialFile(descriptor, Path(name))
        # another process may have cleared it between its creation and the lock
        if fcntl is None or (_locked(descriptor) and os.fstat(descriptor).st_nlink):
            return file
        file.path.unlink(missing_ok=True)
        file.close()


def _clear(folder: Path) -> None:
    """Remove partial files that no process holds: the writer of each was killed."""
    if fcntl is None or not folder.is_dir():
        return
    for leftover in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            descriptor = os.open(leftover, os.O_RDWR)
            try:
                if _locked(descriptor):
                    leftover.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _inherit(file: PartialFile, real: Path) -> None:
    """Give the new file the mode and the owner of the older one; without one, those of any new file."""
    if not real.exists():
        file.path.chmod(0o666 & ~_umask())
        return
    older = real.stat()
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only root may give a file away
            os.chown(file.path, older.st_uid, older.st_gid)
    file.path.chmod(older.st_mode & 0o7777)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush_folder(folder: Path) -> None:
    """Force the new name to the disk, where the system allows it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
