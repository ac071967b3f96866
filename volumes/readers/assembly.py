"""Arrays of one file, put together as one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from fusion import units
from fusion.conventions import CELL_METHODS, SIGNAL, SPATIAL
from fusion.errors import FileReadError
from fusion.model import Axis, dataset
from fusion.reading.metadata import as_json
from volumes.readers import labels as label_images
from volumes.readers.stored_array import POINT, Part


def assembled(
    path: Path, chosen: list[Part], steps: Mapping[str, Axis], title: str, labels: bool | Mapping[str, int]
) -> xr.Dataset:
    """Return arrays of one shape as variables of one dataset.

    Parameters
    ----------
    path : Path
    chosen : list of Part
    steps : mapping
        Dim to the axis that the user gives; see `volumes.readers.voxel_size`.
    title : str
    labels : bool or mapping
        As for `volumes.open`.

    Raises
    ------
    FileReadError
        If nobody tells the step of an axis that needs one, or values are no labels.
    """
    first = chosen[0]
    named = len(chosen) > 1 or path.suffix.lower() == ".nc" or first.dims == POINT
    variables = {_key(part, named, bool(labels)): _variable(path, part, labels) for part in chosen}
    taken = {"technique": "tilt series"} if "tilt" in (first.dims or ()) else {}
    attrs: dict[str, Any] = {**taken, **first.about, "original_metadata": _said(chosen)}
    overridden = [dim for dim in steps if dim in first.axes]
    if overridden:
        attrs["voxel_given"] = f"the sizes along {', '.join(overridden)} were given by the user; the file has others"
    axes = _complete(path, first, steps)
    methods = None if labels else "mean"
    frame = first.frame or path.stem
    return dataset(variables, axes, name=title, pose=first.pose, frame=frame, cell_methods=methods, attrs=attrs)


def _key(part: Part, named: bool, labels: bool) -> str:
    if part.variable and not labels:
        return part.variable
    if named:
        return part.name.rpartition("/")[2]
    if labels:
        return "labels"
    return "image"


def _variable(path: Path, part: Part, labels: bool | Mapping[str, int]) -> tuple[Any, ...]:
    attrs = dict(part.attrs)
    if part.name:
        attrs.setdefault("long_name", part.name)
    if not labels:
        return part.dims, part.load(), attrs
    values, flags = label_images.labelled(path, part.load(), labels)
    attrs.pop(CELL_METHODS, None)
    return part.dims, values, {**attrs, **flags}


def _complete(path: Path, part: Part, steps: Mapping[str, Axis]) -> dict[str, Any]:
    """Return an axis for each dim: the user's, else the file's, else pixels; and the positions that are no dims."""
    dims = part.dims or ()
    _refuse_doubts(path, part, steps)
    known = {**part.axes, **{dim: _centred(part, dim, axis) for dim, axis in steps.items()}}
    beside = {dim: axis for dim, axis in part.axes.items() if dim not in dims}
    along = {dim: known[dim] if dim in known else _counted(path, part, dim) for dim in dims}
    axes = {**beside, **{dim: axis for dim, axis in along.items() if axis is not None}}
    _require_all_sizes(path, axes)
    return axes


def _refuse_doubts(path: Path, part: Part, steps: Mapping[str, Axis]) -> None:
    for dim in part.dims or ():
        if dim in part.doubts and dim not in steps:
            raise FileReadError(path, part.doubts[dim], hint=f"give the right one, e.g. voxel={{{dim!r}: '62 nm'}}")


def _counted(path: Path, part: Part, dim: str) -> Any:
    """Return the axis of a dim whose step nobody tells: pixels, channels by name or number; None for points."""
    if dim in SPATIAL:
        return Axis(units.PIXEL, step=1.0)
    if dim in ("channel", "component"):
        return list(part.labels.get(dim, range(part.shape[(part.dims or ()).index(dim)])))
    if dim in SIGNAL:
        reason = f"it does not give the step along {dim!r}"
        hint = f"give it, e.g. voxel={{{dim!r}: '2 {SIGNAL[dim]}'}}, or name the axis 'channel'"
        raise FileReadError(path, reason, hint=hint)
    return None


def _centred(part: Part, dim: str, given: Axis) -> Axis:
    """Return an axis of the user with its zero in the pixel in which the file has it: a pose starts from there."""
    own = part.axes.get(dim)
    if part.pose is None or own is None or own.step is None or given.step is None:
        return given
    return replace(given, offset=given.step * own.offset / own.step)


def _require_all_sizes(path: Path, axes: Mapping[str, Any]) -> None:
    spatial = {dim: units.parse(axes[dim].units) for dim in SPATIAL if dim in axes}
    missing = [dim for dim, unit in spatial.items() if unit == units.PIXEL]
    if missing and len(missing) < len(spatial):
        present = ", ".join(dim for dim in spatial if dim not in missing)
        example = ", ".join(f"{dim!r}: '5 nm'" for dim in missing)
        reason = f"a pixel size is known along {present} but not along {', '.join(missing)}"
        raise FileReadError(path, reason, hint=f"give it, e.g. voxel={{{example}}}")


def _said(chosen: list[Part]) -> str:
    """Return what the file says of each array, once where it says the same of all."""
    texts = [as_json(part.metadata, longest=None) for part in chosen]
    return texts[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"
