"""Folders that hold a stack: one slice per file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.affine import Affine
from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.lazy import by_rows
from fusion.reading.stored_array import IMAGE, StoredArray, Unreadable
from fusion.units import LENGTH
from volumes.readers.arrays import flat, tiff

_STILL: Final = 1e-6
_MISSING: Final = 1.9
_SAME: Final = 0.01
Array = npt.NDArray[np.float64]
_SUFFIXES: Final = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")


def folder(path: Path) -> list[StoredArray]:
    """List the one stack of a folder that holds a slice per file, in the order of the numbers in their names.

    The stack is lazy, a chunk per slice. Slices of different shape or type, and a number left out, are refused. Where
    the slices give the stage (`volumes.readers.electrons.sem`) and it went along their normal only, these
    are their z, uneven as they are; two slices at one z, a step as if one were missing, or pixels of other sizes are
    doubted.
    """
    files = _slices(path)
    stamps, slices = [], []
    for file in files:
        with _named(file):
            stamps.append(_stamp(file))
            slices.append(_slice(file))
    first = slices[0]
    for file, other in zip(files, slices, strict=True):
        if (other.shape, other.dtype, other.dims) != (first.shape, first.dtype, first.dims):
            reason = f"{other.shape} {other.dtype} where {files[0].name} is {first.shape} {first.dtype}"
            raise FileReadError(file, reason, hint="a stack needs slices of one shape and type")
    pose, z, doubts = _placed(slices)
    return [
        StoredArray(
            name="",
            dims=("z", *(first.dims or ())),
            shape=(len(files), *first.shape),
            dtype=first.dtype,
            load=partial(_stack, files, slices, stamps),
            axes={**first.axes, **z},
            labels=first.labels,
            dataset_attrs=first.dataset_attrs,
            pose=pose,
            frame=first.frame if pose else "",
            doubts={**first.doubts, **doubts, **_resized(files, slices)},
            metadata={"slices": [file.name for file in files], "first slice": first.metadata},
        )
    ]


def natural(path: Path) -> list[Any]:
    """Return a sort key by which ``slice 10`` comes after ``slice 9``."""
    return [int(piece) if piece.isdigit() else piece.lower() for piece in re.split(r"(\d+)", path.name)]


def _slices(path: Path) -> list[Path]:
    files = [file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")]
    kinds = sorted({file.suffix.lower() for file in files})
    if len(kinds) != 1:
        content = f"it holds {', '.join(kinds)}" if kinds else "it holds no image"
        accepted = f"a stack is a folder of {', '.join(_SUFFIXES)} files of one kind"
        raise FileReadError(path, f"{content}; {accepted}", hint="move the other files away")
    files.sort(key=natural)
    _require_unbroken(path, files)
    return files


def _require_unbroken(path: Path, files: list[Path]) -> None:
    """Refuse a series 1, 2, 4; numbers that mean something else (times, heights) rarely step by one."""
    numbers = [int((re.findall(r"\d+", file.stem) or [-1])[-1]) for file in files]
    steps = np.diff(numbers)
    gaps = np.flatnonzero(steps > 1)
    if gaps.size and np.median(steps) == 1 and steps.min() == 1:
        before, after = files[gaps[0]].name, files[gaps[0] + 1].name
        raise FileReadError(
            path, f"a slice is missing between {before} and {after}", hint="add it, or number the files without a gap"
        )


def _placed(slices: list[StoredArray]) -> tuple[Affine | None, dict[str, Axis], dict[str, str]]:
    """Return the pose of the first slice, the z of all in its coordinates, and why these are not to be believed."""
    poses = [array.pose for array in slices if array.pose is not None]
    if len(poses) < len(slices):
        return None, {}, {}
    moves = np.array([(poses[0].inverse() @ pose).matrix for pose in poses])
    depths = moves[:, 0, 3].copy()
    moves[:, 0, 3] = 0.0
    if not np.allclose(moves, np.eye(4), atol=_STILL):
        return None, {}, {}
    if np.ptp(depths) <= _STILL:
        return poses[0], {}, {}
    return poses[0], {"z": Axis(LENGTH, values=depths)}, _uneven(depths)


def _resized(files: list[Path], slices: list[StoredArray]) -> dict[str, str]:
    """Return why a pixel size is not to be believed: another slice has another one."""
    doubts = {}
    for dim in IMAGE:
        sized = [(file.name, array.axes[dim].centres(2, LENGTH)) for file, array in zip(files, slices, strict=True)
                 if dim in array.axes]  # fmt: skip
        steps = [float(abs(np.diff(centres)[0])) for _, centres in sized]
        if steps and max(steps) > (1 + _SAME) * min(steps):
            least, most = int(np.argmin(steps)), int(np.argmax(steps))
            doubts[dim] = (
                f"its slices differ in pixel size along {dim}: {sized[least][0]} has {steps[least]:g} um, "
                f"{sized[most][0]} has {steps[most]:g} um"
            )
    return doubts


def _uneven(depths: Array) -> dict[str, str]:
    steps = np.diff(depths) * np.sign(depths[-1] - depths[0])
    if steps.min() <= _STILL:
        at = int(steps.argmin())
        return {"z": f"its slices {at} and {at + 1} were taken at one stage z, or in another order than their numbers"}
    if steps.max() > _MISSING * np.median(steps):
        at = int(steps.argmax())
        return {"z": f"a slice seems to be missing between {at} and {at + 1}: the stage went {steps[at]:g} um"}
    return {}


def _slice(path: Path) -> StoredArray:
    pages = tiff.arrays(path) if path.suffix.lower().startswith(".tif") else flat.arrays(path)
    first = pages[0]
    if isinstance(first, Unreadable):
        raise first.error
    if len(pages) != 1 or "z" in (first.dims or ()):
        raise FileReadError(path, "a slice of a stack holds more than one page", hint="open the file by itself")
    return first


def _stack(files: list[Path], slices: list[StoredArray], stamps: list[tuple[int, int]]) -> Any:
    first = slices[0]
    return by_rows(lambda row: _checked(files[row], slices[row], stamps[row]), len(files), first.shape, first.dtype)


def _stamp(path: Path) -> tuple[int, int]:
    """Return what differs if a slice was written again."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say in an error which slice it was."""
    try:
        yield
    except FileReadError:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> FileReadError:
    """Return the error of a slice that is damaged, or a link that leads nowhere or out of the folder."""
    if path.is_symlink() and isinstance(error, PermissionError):
        reason = "the slice is a link to a file outside the folder, and such links are not followed"
        return FileReadError(path, reason, hint="if you made the links, allow them: with fusion.limits(links=True)")
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        reason = "the slice cannot be read: it is a link to a file that is not there"
        return FileReadError(path, reason, hint="fetch that file, e.g. with 'git annex get' or 'datalad get'")
    if isinstance(error, IsADirectoryError):
        return FileReadError(path, "the slice cannot be read: it is a folder", hint="move it away")
    return FileReadError(path, f"the slice cannot be read ({error})", hint="copy it again")


def _checked(path: Path, array: StoredArray, stamp: tuple[int, int]) -> Any:
    with _named(path):
        if _stamp(path) != stamp:
            raise FileReadError(path, "the slice has changed since the stack was opened", hint="open the stack again")
        values = array.load()
    if values.shape != array.shape:
        raise FileReadError(path, f"shape {values.shape} where {array.shape} was seen before", hint="open it again")
    return values
