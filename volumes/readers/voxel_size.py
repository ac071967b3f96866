"""Pixel sizes and positions that the user gives, as axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Final, TypeAlias

from fusion import units
from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import FileReadError, UnitError
from fusion.model import Axis, length
from fusion.reading.stored_array import StoredArray

_COUNTED: Final = ("channel", "component")
Size: TypeAlias = str | float
Voxel: TypeAlias = Size | Mapping[str, Size | Sequence[Size]]


def measured(path: Path, array: StoredArray, voxel: Voxel | None, unit: str | None) -> StoredArray:
    """Return an array with the axes that the user gives, `voxel` and `units` of `volumes.open`, else those of the file.

    The attribute ``voxel_given`` tells which axes of the file the user overrode.

    Raises
    ------
    UnitError
        If a size is not a positive length, a step no number with a unit, or positions are not one for each slice, or
        do not rise or fall throughout.
    FileReadError
        If neither gives the step of an axis that needs one, or a size is known along some of the spatial axes only, or
        the file contradicts itself.
    """
    own = array.axes
    axes = {dim: _centred(array, dim, axis) for dim, axis in _user_axes(array, voxel, unit).items()}
    dims = array.dims or ()
    if doubtful := [dim for dim in dims if dim in array.doubts and dim not in axes]:
        example = {dim: "62 nm" if dim in SPATIAL else f"2 {SIGNAL[dim]}" for dim in doubtful}
        raise FileReadError(path, array.doubts[doubtful[0]], hint=f"give the right one, e.g. voxel={example}")
    for dim in dims:
        if dim in SIGNAL and dim not in (*_COUNTED, *own, *axes):
            reason = f"it does not give the step along {dim!r}"
            hint = f"give it, e.g. voxel={{{dim!r}: '2 {SIGNAL[dim]}'}}, or name the axis 'channel'"
            raise FileReadError(path, reason, hint=hint)
    _require_all_sizes(path, array.dims or (), {**own, **axes})
    attrs = dict(array.dataset_attrs)
    if overridden := [dim for dim in axes if dim in own]:
        attrs["voxel_given"] = f"the sizes along {', '.join(overridden)} were given by the user; the file has others"
    return replace(array, axes={**own, **axes}, dataset_attrs=attrs)


def _require_all_sizes(path: Path, dims: Sequence[str], axes: Mapping[str, Axis]) -> None:
    known = {
        dim: dim in axes and units.parse(axes[dim].units) != units.PIXEL for dim in SPATIAL if dim in {*dims, *axes}
    }
    missing = [dim for dim in known if not known[dim]]
    if missing and any(known.values()):
        present = ", ".join(dim for dim in known if known[dim])
        example = ", ".join(f"{dim!r}: '5 nm'" for dim in missing)
        reason = f"a pixel size is known along {present} but not along {', '.join(missing)}"
        raise FileReadError(path, reason, hint=f"give it, e.g. voxel={{{example}}}")


def _user_axes(array: StoredArray, voxel: Voxel | None, unit: str | None) -> dict[str, Axis]:
    if voxel is None:
        return {}
    dims = array.dims or ()
    sizes = voxel if isinstance(voxel, Mapping) else {dim: voxel for dim in SPATIAL if dim in dims}
    unknown = sorted(set(sizes) - set(dims))
    if unknown:
        raise UnitError(f"voxel gives a size for {', '.join(unknown)}, but the axes are {', '.join(dims)}")
    counts = dict(zip(dims, array.shape, strict=True))
    return {dim: _axis(dim, size, unit, counts[dim]) for dim, size in sizes.items()}


def _centred(array: StoredArray, dim: str, axis: Axis) -> Axis:
    """Return an axis of the user with its zero in the pixel in which the file has it: a pose starts from there."""
    own = array.axes.get(dim)
    if array.pose is None or own is None or own.step is None or axis.step is None:
        return axis
    return replace(axis, offset=axis.step * own.offset / own.step)


def _axis(dim: str, size: Size | Sequence[Size], unit: str | None, count: int) -> Axis:
    """Return an axis from its step, or from the positions of its pixel centres."""
    return _step(dim, size, unit) if isinstance(size, (str, float, int, Real)) else _positions(dim, size, unit, count)


def _step(dim: str, size: Size, unit: str | None) -> Axis:
    text = size if isinstance(size, str) else f"{size!r} {unit or units.LENGTH}"
    if dim in SPATIAL:
        return Axis(units.LENGTH, step=length(text))
    number, _, unit_text = text.strip().partition(" ")
    try:
        step = float(number)
    except ValueError:
        step = math.nan
    # an axis may descend, so that a negative step is one
    if not math.isfinite(step) or step == 0:
        unit = SIGNAL.get(dim, "1")
        raise UnitError(f"the step along {dim} is a number and a unit such as '2 {unit}'; received {size!r}")
    return Axis(unit_text or SIGNAL.get(dim, "1"), step=step)


def _positions(dim: str, positions: Sequence[Size], unit: str | None, count: int) -> Axis:
    """Return an axis from the positions of its pixel centres."""
    own = (unit or units.LENGTH) if dim in SPATIAL else SIGNAL.get(dim, "1")
    target = units.LENGTH if dim in SPATIAL else own
    values = [_position(dim, item, own, target) for item in positions]
    steps = [after - before for before, after in pairwise(values)]
    if len(values) != count:
        raise UnitError(f"{dim}: {len(values)} positions for {count} pixels; give the centre of each")
    if not all(map(math.isfinite, values)) or not (all(s > 0 for s in steps) or all(s < 0 for s in steps)):
        raise UnitError(
            f"{dim}: positions of centres rise or fall throughout, none is there twice; received {positions!r}"
        )
    return Axis(target, values=values)


def _position(dim: str, item: Size, own: str, target: str) -> float:
    number, _, unit_text = item.strip().partition(" ") if isinstance(item, str) else (item, "", "")
    try:
        return float(number) * units.convert_factor(unit_text or own, target)
    except (ValueError, TypeError) as error:
        if isinstance(error, UnitError):
            raise
        raise UnitError(f"{dim}: a position is a number, or one with a unit as '10 nm'; received {item!r}") from error
