"""Pixel sizes and positions that the user gives, as axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import TypeAlias

from fusion import units
from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import UnitError
from fusion.model import Axis, length
from volumes.readers.stored_array import Part

Size: TypeAlias = str | float
Voxel: TypeAlias = Size | Mapping[str, Size | Sequence[Size]]


def steps(voxel: Voxel | None, unit: str | None, part: Part) -> dict[str, Axis]:
    """Return the axes that the user gives: `voxel` and `units` of `volumes.open`.

    Raises
    ------
    UnitError
        If a size is not a positive length, a step no number with a unit, or positions are not one for each slice, or
        do not rise or fall throughout.
    """
    if voxel is None:
        return {}
    dims = part.dims or ()
    sizes = voxel if isinstance(voxel, Mapping) else {dim: voxel for dim in SPATIAL if dim in dims}
    unknown = sorted(set(sizes) - set(dims))
    if unknown:
        raise UnitError(f"voxel gives a size for {', '.join(unknown)}, but the axes are {', '.join(dims)}")
    counts = dict(zip(dims, part.shape, strict=True))
    return {dim: _axis(dim, size, unit, counts[dim]) for dim, size in sizes.items()}


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
