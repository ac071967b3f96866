"""The conventions of a labelled dataset, and the one judge of them; CONVENTIONS.md says the same in prose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeVar

import numpy as np
import xarray as xr

from fusion import units
from fusion.errors import ConventionError, UnitError
from fusion.frames import POSE, pose_faults

SPATIAL: Final = ("z", "y", "x")
SIGNAL: Final[Mapping[str, str]] = {
    "energy": "keV",
    "energy_loss": "eV",
    "raman_shift": "1/cm",
    "wavelength": "nm",
    "potential": "V",
    "time": "s",
    "mass_to_charge": "1",
    "tilt": "degree",
    "spatial_frequency": "1/um",
    "distance": "um",
    "channel": "1",
    "component": "1",
}
LABELS: Final = ("point", "pair", "axis", "other_component")
LONG_NAMES: Final[Mapping[str, str]] = {
    "energy": "X-ray energy",
    "energy_loss": "energy loss",
    "raman_shift": "Raman shift",
    "mass_to_charge": "mass-to-charge ratio",
    "tilt": "tilt angle",
    "spatial_frequency": "spatial frequency",
}
LINKS: Final = "ancillary_variables"
CELL_METHODS: Final = "cell_methods"
RESERVED: Final = ("_FillValue", "missing_value", "scale_factor", "add_offset", "dtype", "coordinates")
Kind = Literal["sum", "mean", "point", "label", "none"]
Labelled = TypeVar("Labelled", bound=xr.Dataset | xr.DataTree)


def check(ds: Labelled) -> Labelled:
    """Judge a dataset, or every node of a tree, by what of the conventions changes a result; change nothing.

    A missing ``long_name`` is no fault, nor is a missing pose: the dataset then lies in a frame of its own.

    Parameters
    ----------
    ds : Dataset or DataTree

    Returns
    -------
    Dataset or DataTree
        The argument itself, so that a function can begin with ``ds = check(ds)``.

    Raises
    ------
    ConventionError
        Listing every fault and the variable or attribute that it is in.

    Examples
    --------
    >>> check(xr.Dataset({"image": (("row", "column"), np.zeros((2, 2)))}))
    Traceback (most recent call last):
        ...
    fusion.errors.ConventionError: 2 faults: image: unknown dim 'row'; image: unknown dim 'column'
    """
    received: object = ds
    if isinstance(received, xr.DataTree):
        nodes = [node for node in received.subtree if node.has_data]
        faults = [f"{node.path}/{fault}" for node in nodes for fault in _faults(node.to_dataset())]
    elif isinstance(received, xr.Dataset):
        faults = list(_faults(received))
    else:
        faults = [f"a Dataset or DataTree is needed; received {type(received).__name__}"]
    if faults:
        raise ConventionError(faults)
    return ds


def spatial_dims(array: xr.Dataset | xr.DataArray | xr.Variable) -> tuple[str, ...]:
    """Return the spatial dims that exist, in the order z, y, x."""
    return tuple(dim for dim in SPATIAL if dim in array.dims)


def signal_dim(array: xr.DataArray) -> str:
    """Return the one signal axis of a variable.

    Raises
    ------
    ConventionError
        If it has none or more than one.
    """
    dims = [str(dim) for dim in array.dims if dim not in SPATIAL and dim not in LABELS]
    if len(dims) != 1:
        raise ConventionError([f"{array.name}: one signal axis is needed; its dims are {array.dims}"])
    return dims[0]


def kind(array: xr.DataArray | xr.Variable) -> Kind:
    """Return what a value is: ``sum``, ``mean``, ``point`` (CF cell_methods), ``label`` (flag_values) or ``none``."""
    if "flag_values" in array.attrs:
        return "label"
    method = str(array.attrs.get(CELL_METHODS, "")).rpartition(":")[2].strip()
    return method if method in ("sum", "mean", "point") else "none"  # type: ignore[return-value]


def label_names(array: xr.DataArray) -> dict[int, str]:
    """Return what each label is called, by ``flag_meanings``; ``label_<value>`` where these do not name all of them."""
    flags = [int(flag) for flag in np.atleast_1d(array.attrs["flag_values"])]
    names = str(array.attrs.get("flag_meanings", "")).split()
    return dict(zip(flags, names if len(names) == len(flags) else [f"label_{flag}" for flag in flags], strict=True))


def cell_methods(dims: Iterable[str], method: str) -> dict[str, str]:
    """Return the attribute that says what a value is along spatial dims; empty where there are none.

    Examples
    --------
    >>> cell_methods(("y", "x"), "sum")
    {'cell_methods': 'y: x: sum'}
    """
    over = "".join(f"{dim}: " for dim in dims if dim in SPATIAL)
    return {CELL_METHODS: f"{over}{method}"} if over else {}


def linked(array: xr.DataArray | xr.Variable) -> list[str]:
    """Return the names of the variables that describe this one: its standard error, its coverage."""
    return str(array.attrs.get(LINKS, "")).split()


def with_links(array: xr.DataArray, names: Iterable[str]) -> xr.DataArray:
    """Return a variable that names these, and no others, as describing it."""
    attrs = {key: value for key, value in array.attrs.items() if key != LINKS}
    names = " ".join(dict.fromkeys(names))
    result = array.copy(deep=False)
    result.attrs = {**attrs, LINKS: names} if names else attrs
    return result


def describing(ds: xr.Dataset) -> set[str]:
    """Return the names of the variables that describe others: standard errors and coverage."""
    return {name for array in ds.data_vars.values() for name in linked(array)}


def stderr_name(name: str) -> str:
    """Return what the standard error of a variable is called."""
    return f"{name}_stderr"


def error_of(array: xr.DataArray) -> str | None:
    """Return the name of the variable that holds the standard error of this one, or None if it names none."""
    name = stderr_name(str(array.name))
    return name if name in linked(array) else None


def title(ds: xr.Dataset) -> str:
    """Return what a dataset is called, for messages."""
    return str(ds.attrs.get("title", "dataset"))


def spacing(coordinate: xr.DataArray) -> float | None:
    """Return the step of a uniform axis, or None if it is not uniform or has a single value.

    Uniform means within 1e-4 of a step, the rounding that stage positions in files come with.
    """
    values = coordinate.values
    if values.ndim != 1 or values.size < 2:
        return None
    step = float(values[-1] - values[0]) / (values.size - 1)
    drift = np.abs(values - (values[0] + step * np.arange(values.size)))
    return step if drift.max() <= 1e-4 * abs(step) else None


def _faults(ds: xr.Dataset) -> Iterator[str]:
    for name, variable in ds.data_vars.items():
        yield from _variable_faults(str(name), variable, ds)
    for dim in ds.dims:
        yield from _dim_faults(str(dim), ds)
    yield from (f"{key}: the name of a variable is text without '/'" for key in ds.variables if not _is_name(key))
    yield from _plane_faults(ds)
    yield from _mixed_faults(ds)
    for owner, attrs in [("attrs", ds.attrs), *((f"{key}.attrs", ds[key].attrs) for key in ds.variables)]:
        yield from _attribute_faults(owner, attrs)
    if ds.data_vars:
        yield from (f"{POSE}: {fault}" for fault in pose_faults(ds))


def _variable_faults(name: str, variable: xr.DataArray, ds: xr.Dataset) -> Iterator[str]:
    known = {*SPATIAL, *SIGNAL, *LABELS}
    yield from (f"{name}: unknown dim {dim!r}" for dim in variable.dims if dim not in known)
    spatial = spatial_dims(variable)
    if tuple(variable.dims[: len(spatial)]) != spatial:
        order = "in the order z, y, x, then the signal axis; fusion.dataset(ds) turns them"
        yield f"{name}: dims {variable.dims} are not {order}"
    if spatial and kind(variable) == "none" and _needs_kind(variable):
        yield (
            f"{name}: nothing says whether its values are counts; say so, e.g. fusion.dataset(ds, cell_methods='sum'), "
            "or 'mean' or 'point' for intensities, or flag_values for labels"
        )
    if variable.dtype.kind not in "iufcbSU" or (variable.dtype.kind == "O"):
        yield f"{name}: dtype {variable.dtype} is neither number nor text"
    if "units" in variable.attrs:
        yield from _unit_faults(f"{name}.attrs['units']", variable.attrs["units"])
    for other in linked(variable):
        if other not in ds.variables:
            yield f"{name}.attrs[{LINKS!r}]: {other!r} is not in the dataset"
    if variable.attrs.get("grid_mapping", POSE) not in (*ds.variables, POSE):
        yield f"{name}.attrs['grid_mapping']: {variable.attrs['grid_mapping']!r} is not in the dataset"


def _needs_kind(variable: xr.DataArray) -> bool:
    """Whether values may be counts, which are conserved and weighted otherwise than intensities, or say an unknown."""
    spectral = any(dim in SIGNAL and dim != "channel" for dim in variable.dims)
    return (
        CELL_METHODS in variable.attrs
        or spectral
        or str(variable.attrs.get("units", "")).casefold() in ("count", "counts")
    )


def _dim_faults(dim: str, ds: xr.Dataset) -> Iterator[str]:
    if dim not in ds.coords:
        if dim in SPATIAL or dim in SIGNAL:
            yield f"{dim}: no coordinate"
        return
    coordinate = ds[dim]
    values = coordinate.values
    if dim in (*LABELS, "component", "channel"):
        return
    if values.dtype.kind not in "iuf":
        yield f"{dim}: coordinates are numbers; received {values.dtype}"
        return
    if not np.isfinite(values).all():
        yield f"{dim}: coordinates are not all finite"
    elif values.size > 1 and not (np.diff(values) > 0).all():
        yield f"{dim}: coordinates do not ascend; fusion.dataset(ds) turns those that descend"
    yield from _axis_attr_faults(dim, coordinate)


def _plane_faults(ds: xr.Dataset) -> Iterator[str]:
    """Coordinates z, y, x that are no dims: the plane of a map, or the positions of points."""
    for dim in SPATIAL:
        if dim in ds.coords and dim not in ds.dims:
            if ds[dim].dims not in ((), ("point",)):
                yield f"{dim}: a coordinate that is no dim is a single number or lies along 'point'"
            yield from _axis_attr_faults(dim, ds[dim])


def _axis_attr_faults(dim: str, coordinate: xr.DataArray) -> Iterator[str]:
    expected = (units.LENGTH, units.PIXEL) if dim in SPATIAL else (SIGNAL.get(dim, "1"),)
    if coordinate.attrs.get("units") not in expected:
        needed = f"{' or '.join(map(repr, expected))} is expected; fusion.dataset(ds) converts"
        yield f"{dim}.attrs['units']: {coordinate.attrs.get('units')!r} where {needed}"
    if dim in SPATIAL and coordinate.attrs.get("axis", dim.upper()) != dim.upper():
        yield f"{dim}.attrs['axis']: {coordinate.attrs.get('axis')!r} where {dim.upper()!r} is expected"


def _mixed_faults(ds: xr.Dataset) -> Iterator[str]:
    axes = {dim: ds[dim].attrs.get("units") for dim in SPATIAL if dim in ds.dims}
    if len(set(axes.values()) & {units.LENGTH, units.PIXEL}) > 1:
        yield f"spatial axes mix um and px ({axes}); a pixel size is known for all axes or for none"


def _attribute_faults(owner: str, attrs: Mapping[Any, Any]) -> Iterator[str]:
    for key, value in attrs.items():
        if not isinstance(key, str) or not key:
            yield f"{owner}[{key!r}]: the name of an attribute is text"
        if key in RESERVED:
            yield f"{owner}[{key!r}]: this name changes the values when a file is read"
        if isinstance(value, (bool, np.bool_, dict)) or value is None or not _is_flat(value):
            yield f"{owner}[{key!r}]: {type(value).__name__} cannot be stored; use text, numbers or a flat sequence"


def _is_flat(value: Any) -> bool:
    """Whether a value reads back as it was: text, a number, or a sequence of nothing but one of them."""
    if isinstance(value, (str, bytes)):
        return isinstance(value, str) and "\0" not in value
    try:
        array = np.asarray(value)
    except ValueError:
        return False
    if array.dtype.kind == "U":
        return array.ndim == 1 and all(isinstance(item, str) and "\0" not in item for item in value)
    return array.ndim <= 1 and array.dtype.kind in "iuf"


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and bool(key) and "/" not in key


def _unit_faults(owner: str, unit: Any) -> Iterator[str]:
    try:
        units.parse(unit)
    except UnitError as error:
        yield f"{owner}: {error}"
