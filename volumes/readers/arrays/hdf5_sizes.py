"""Sizes of voxels that programs write into the attributes of an HDF5 array, or of the groups around it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

import numpy as np

from fusion import units
from fusion.reading.metadata import text
from volumes.readers.unit_spelling import spelled

# ilastik, Fiji and elf write element_size_um, COSEM and N5 resolution beside units, others pixelSize with pixelSizeUnit
_SIZE: Final = re.compile(r"(?:element|voxel|pixel)[_ ]?(?:size|spacing)s?|spacing|resolution", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"[\s_]*(?:\[|\(|_|\bin_)?\s*([^\W\d_]+)\s*[\])]?$")
_NUMBERS: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_PER_LENGTH: Final = f"1/{units.LENGTH}"


class VoxelSizes(NamedTuple):
    """Sizes in um, one for each axis of an array or one for all, and the attributes of the sizes and of their unit."""

    um: tuple[float, ...]
    attribute: str
    unit_attribute: str


def voxel_sizes(dataset: Any) -> VoxelSizes | None:
    """Return the sizes that say their unit, from the array itself or the nearest group around it; None without any.

    Parameters
    ----------
    dataset : h5py.Dataset
    """
    holders = [dataset, *_groups(dataset)]
    return next((sizes for holder in holders for sizes in _in_attributes(dict(holder.attrs))), None)


def _groups(dataset: Any) -> Iterator[Any]:
    group = dataset.parent
    while True:
        yield group
        if group.name == "/":
            return
        group = group.parent


def _in_attributes(attrs: Mapping[str, Any]) -> Iterator[VoxelSizes]:
    for name, value in attrs.items():
        match = _SIZE.match(name)
        if match is None:
            continue
        numbers, (unit, key) = _numbers(value), _unit(attrs, name, match.end())
        if not unit or not numbers or not all(isfinite(number) and number > 0 for number in numbers):
            continue
        if units.is_compatible(unit, units.LENGTH):
            factor = units.convert_factor(unit, units.LENGTH)
            yield VoxelSizes(tuple(number * factor for number in numbers), name, key)
        else:
            factor = units.convert_factor(unit, _PER_LENGTH)
            yield VoxelSizes(tuple(1.0 / (number * factor) for number in numbers), name, key)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, (bytes, str)):
        return [float(number) for number in _NUMBERS.findall(text(value))]
    array = np.atleast_1d(np.asarray(value))
    return [float(number) for number in array.ravel()] if array.dtype.kind in "iuf" and array.size <= 5 else []


def _unit(attrs: Mapping[str, Any], name: str, end: int) -> tuple[str, str]:
    """Return the unit of sizes and the attribute that says it: the end of its name, its text, or another attribute.

    A name that goes on with anything but a unit is another quantity: ``resolution_level``.
    """
    if name[end:]:
        ending = _SUFFIX.fullmatch(name[end:])
        return (_length_unit(ending[1]) if ending else "", name)
    if isinstance(attrs[name], (bytes, str)):
        return _length_unit(re.sub(_NUMBERS, "", text(attrs[name])).strip(" ,;[]()")), name
    keys = [f"{name}{join}{word}".lower() for join in ("", "_", " ") for word in ("unit", "units")]
    named = {key.lower(): key for key in attrs}
    for key in (*keys, "units", "unit"):
        if key in named and (unit := _length_unit(_one_text(attrs[named[key]]))):
            return unit, named[key]
    return "", name


def _length_unit(written: str) -> str:
    """Return a unit of length, or of pixels per length; nothing if it is neither."""
    return next((unit for kind in (units.LENGTH, _PER_LENGTH) if (unit := spelled(written, kind))), "")


def _one_text(value: Any) -> str:
    """Return the one unit that an attribute names, for one axis or alike for all."""
    if isinstance(value, (bytes, str)):
        return text(value)
    words = {text(word) for word in np.asarray(value).ravel()} if np.asarray(value).dtype.kind in "SUO" else set()
    return words.pop() if len(words) == 1 else ""
