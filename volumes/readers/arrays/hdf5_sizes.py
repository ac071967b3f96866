"""Sizes of voxels that programs write into the attributes of an HDF5 array, or of the groups around it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

import numpy as np

from fusion import units
from fusion.files import hdf5
from fusion.reading.metadata import text
from volumes.readers.unit_spelling import spelled

# ilastik, Fiji and elf write element_size_um, COSEM and N5 resolution beside units, others pixelSize with
# pixelSizeUnit, and programs of microscopes a size for each axis, PixelSizeX, voxel_x or dx
_SIZE: Final = re.compile(
    r"(?:physical[_ ]?)?(?:element|voxel|pixel)[_ ]?(?:size|spacing|resolution)s?|physical[_ ]?size|spacing|resolution"
    r"|(?:step(?:[_ ]?size)?|increment|sampling|scale|voxel|pixel)s?|d(?=[xyz](?:_|$))",
    re.IGNORECASE,
)
_AXIS_FIRST: Final = re.compile(r"^([xyz])[_ ](.+)$", re.IGNORECASE)
_OF_AXES: Final = re.compile(r"(?:step(?:[_ ]?size)?|increment|sampling|scale|voxel|pixel)s?|d", re.IGNORECASE)
"""Words that are a size only of a named axis, or of several: alone, a scale may be one of the values."""
_FEW: Final = 5
"""Most numbers that sizes are."""
_WORDS: Final = re.compile(r"[A-ZÅ]?[^\W\d_A-ZÅ]+|[A-ZÅ]+")
_ORDERS: Final = ("x", "y", "z", "xy", "yx", "xyz", "zyx")
_NUMBERS: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_BETWEEN: Final = " ,;:x×*[]()"
_PIXELS_PER: Final = re.compile(r"(?:pixels?|px|voxels?) ?(?:/|per) ?", re.IGNORECASE)
_PER_LENGTH: Final = f"1/{units.LENGTH}"


class VoxelSizes(NamedTuple):
    """Sizes in um, one for each axis of an array or one for all, and the attributes of the sizes and of their unit."""

    um: tuple[float, ...]
    attribute: str
    unit_attribute: str
    dims: tuple[str, ...] = ()
    """The axes of the sizes where the attributes name them; else they are in the order of the array."""


class _Name(NamedTuple):
    """An attribute of a size: what it is called without axes and unit, and these."""

    base: str
    dims: tuple[str, ...]
    unit: str


def voxel_sizes(dataset: Any) -> VoxelSizes | None:
    """Return the sizes that say their unit, from the array itself or the nearest group around it; None without any.

    Of a group its attributes count, and the arrays of few numbers in it with theirs.

    Parameters
    ----------
    dataset : h5py.Dataset
    """
    holders = (dict(dataset.attrs), *map(_entries, _groups(dataset)))
    return next((sizes for entries in holders if (sizes := _in_attributes(entries))), None)


def _entries(group: Any) -> dict[str, Any]:
    """Return the attributes of a group, and of the arrays of few numbers in it values and units."""
    import h5py

    entries = dict(group.attrs)
    for name in group:
        linked = isinstance(group.get(name, getlink=True), h5py.HardLink)
        item = group[name] if linked and _parsed(name) else None
        if isinstance(item, h5py.Dataset) and 0 < (item.size or 0) <= _FEW and not hdf5.is_foreign(item):
            units_of = {f"{name}_unit": unit for key, unit in item.attrs.items() if key.lower() in ("unit", "units")}
            entries |= {name: item[()], **units_of}
    return entries


def _groups(dataset: Any) -> Iterator[Any]:
    group = dataset.parent
    while True:
        yield group
        if group.name == "/":
            return
        group = group.parent


def _in_attributes(attrs: Mapping[str, Any]) -> VoxelSizes | None:
    """Return the first sizes of all axes, else those that attributes name for one axis each."""
    found = [sizes for name in attrs if (sizes := _of_attribute(attrs, name))]
    single = {sizes.dims[0]: sizes for sizes in found if len(sizes.dims) == 1}
    together = [sizes for sizes in found if len(sizes.dims) != 1]
    if together or not single:
        return next(iter(together), None)
    last = list(single.values())[-1]
    return VoxelSizes(tuple(one.um[0] for one in single.values()), last.attribute, last.unit_attribute, tuple(single))


def _of_attribute(attrs: Mapping[str, Any], key: str) -> VoxelSizes | None:
    name = _parsed(key)
    if name is None:
        return None
    numbers, (unit, unit_attribute) = _numbers(attrs[key]), _unit(attrs, key, name)
    if not unit or not numbers or not all(isfinite(number) and number > 0 for number in numbers):
        return None
    if name.dims and len(name.dims) != len(numbers):
        return None
    if _OF_AXES.fullmatch(name.base) and len(name.dims) + len(numbers) < 2:
        return None
    if units.is_compatible(unit, units.LENGTH):
        factor = units.convert_factor(unit, units.LENGTH)
        um = tuple(number * factor for number in numbers)
    else:
        factor = units.convert_factor(unit, _PER_LENGTH)
        um = tuple(1.0 / (number * factor) for number in numbers)
    return VoxelSizes(um, key, unit_attribute, name.dims)


def _parsed(key: str) -> _Name | None:
    """Return the parts of the name of a size; None if it is another quantity, as ``resolution_level`` is.

    Examples
    --------
    >>> _parsed("element_size_um"), _parsed("PixelSizeX")
    (_Name(base='element_size', dims=(), unit='um'), _Name(base='PixelSize', dims=('x',), unit=''))
    >>> _parsed("dx"), _parsed("x_step_nm")
    (_Name(base='d', dims=('x',), unit=''), _Name(base='step', dims=('x',), unit='nm'))
    """
    key = _AXIS_FIRST.sub(r"\2_\1", key)
    match = _SIZE.match(key)
    words = _WORDS.findall(key[match.end() :]) if match else []
    words = [word for word in words if word.lower() != "in"]
    orders = [word.lower() for word in words if word.lower() in _ORDERS]
    others = [word for word in words if word.lower() not in _ORDERS]
    spelled_units = [unit for word in others if (unit := _length_unit(word))]
    if match is None or len(orders) > 1 or len(others) > 1 or len(spelled_units) < len(others):
        return None
    return _Name(match[0].rstrip("_ "), tuple("".join(orders)), "".join(spelled_units))


def _numbers(value: Any) -> list[float]:
    if isinstance(value, (bytes, str)):
        written = text(value)
        if "." not in written and ";" in written:  # "0,5; 0,2"
            written = written.replace(",", ".")
        return [float(number) for number in _NUMBERS.findall(written)]
    array = np.atleast_1d(np.asarray(value))
    return [float(number) for number in array.ravel()] if array.dtype.kind in "iuf" and array.size <= _FEW else []


def _unit(attrs: Mapping[str, Any], key: str, name: _Name) -> tuple[str, str]:
    """Return the unit of sizes and the attribute that says it: the name of the sizes, their text, or another one."""
    if name.unit:
        return name.unit, key
    if isinstance(attrs[key], (bytes, str)) and (unit := _length_unit(_without_numbers(text(attrs[key])))):
        return unit, key
    bases = key, name.base, re.sub(r"[_ ]?sizes?$", "", name.base, flags=re.IGNORECASE)
    endings = "unit", "units", "_unit", "_units", " unit", " units"
    beside = [f"{base}{ending}".lower() for base in bases for ending in endings]
    named = {attribute.lower(): attribute for attribute in attrs}
    for attribute in (*beside, "units", "unit"):
        if attribute in named and (unit := _length_unit(_one_text(attrs[named[attribute]]))):
            return unit, named[attribute]
    return "", key


def _without_numbers(written: str) -> str:
    """Return the one word that stands behind each number of a text; nothing where words differ or there are none."""
    words = {word.strip(_BETWEEN) for word in re.split(_NUMBERS, written)} - {""}
    return words.pop() if len(words) == 1 else ""


def _length_unit(written: str) -> str:
    """Return a unit of length, or of pixels per length; nothing if it is neither."""
    plain = re.sub(_PIXELS_PER, "1/", written)
    return next((unit for kind in (units.LENGTH, _PER_LENGTH) if (unit := spelled(plain, kind))), "")


def _one_text(value: Any) -> str:
    """Return the one unit that an attribute names, for one axis or alike for all."""
    if isinstance(value, (bytes, str)):
        return text(value)
    words = {text(word) for word in np.asarray(value).ravel()} if np.asarray(value).dtype.kind in "SUO" else set()
    return words.pop() if len(words) == 1 else ""
