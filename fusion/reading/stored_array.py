"""One array of a file and what the file says about it; every reader of a format returns a list of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fusion.affine import Affine
from fusion.errors import FileReadError
from fusion.model import Axis

IMAGE = ("y", "x")
POINT = ("point",)


@dataclass(frozen=True)
class StoredArray:
    """One array of a file, not yet read.

    Parameters
    ----------
    name : str
        What the file calls it; empty where the file does not name its arrays.
    dims : tuple of str or None
        Names of the array's axes in the order they are stored; None where the file does not say.
    shape, dtype
        Of the stored array.
    load : callable
        Reads the array (or returns a dask array).
    axes : mapping
        Dim to `Axis`, for every axis whose step or positions the file gives; for points their coordinates z, y, x,
        for an image perhaps the single z at which it lies.
    labels : mapping
        Dim to the names along it (channels).
    coords : mapping
        Further coordinates, already read: name to ``(dims, values, attrs)``.
    attrs : mapping
        Attributes of the variable: units, long_name; cell_methods or flag_values where the file gives them.
    cell_method : str
        Otherwise, what a value of a pixel is: ``"sum"`` of counts, ``"mean"`` or ``"point"`` of intensities.
    dataset_attrs : mapping
        Attributes of the dataset of which the file is sure: ``technique``, ``instrument``, ``beam_energy`` (keV),
        ``imaging_mode`` of a probe.
    pose : Affine, optional
        From the axes to `frame`, where the file gives a position, a tilt or a rotation.
    frame : str
        Where `pose` leads to, by its name within the file, e.g. ``"stage"``; the file itself if left empty.
    doubts : mapping
        Dim to the reason why its axis is not to be believed, where the file contradicts itself; the user gives it.
    metadata : mapping
        Everything else the file says, kept as JSON.
    variable : str
        What its variable is called where the file says what was measured: ``"height"``, ``"current"``.
    """

    name: str
    dims: tuple[str, ...] | None
    shape: tuple[int, ...]
    dtype: Any
    load: Callable[[], Any]
    axes: Mapping[str, Axis] = field(default_factory=dict)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    coords: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    cell_method: str = "mean"
    dataset_attrs: Mapping[str, Any] = field(default_factory=dict)
    pose: Affine | None = None
    frame: str = ""
    doubts: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    variable: str = ""


class Unreadable(NamedTuple):
    """An array of a file that cannot be labelled, and why; the others of the file open all the same."""

    name: str
    error: FileReadError


def image_dims(ndim: int) -> tuple[str, ...] | None:
    """Return the axes of an array that comes without names: y, x for an image, unknown for anything else."""
    return IMAGE if ndim == 2 else None


def missing(path: Path, library: str, extra: str) -> FileReadError:
    """Return the error that says which optional library reads a file, and with which extra it comes."""
    reason = f"this format is read by {library}, which is not installed"
    return FileReadError(path, reason, hint=f"pip install conspectus[{extra}]")
