"""The labelled dataset: the one builder, and pixel sizes given by the user."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance, units
from fusion.affine import Affine
from fusion.axes import Axis as Axis
from fusion.axes import coordinate
from fusion.axes import length as length
from fusion.conventions import (
    CELL_METHODS,
    SPATIAL,
    cell_methods,
    check,
    linked,
    spatial_dims,
    stderr_name,
    title,
    with_links,
)
from fusion.errors import ConventionError, DataError, UnitError
from fusion.frames import OWN, POSE, get_pose, with_pose
from fusion.plain import Plain, taken_apart
from fusion.warp import Transform

Array = npt.NDArray[np.float64]
VariableLike: TypeAlias = tuple[Any, ...] | xr.DataArray | xr.Variable


def dataset(
    variables: Mapping[str, VariableLike] | xr.Dataset | xr.DataArray,
    axes: Mapping[str, Axis | npt.ArrayLike] | None = None,
    *,
    name: str | None = None,
    cell_methods: str | Mapping[str, str] | None = None,
    pose: Transform | None = None,
    frame: str | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Build a labelled dataset, from arrays and axes or from a plain xarray object; the only place where one is made.

    Parameters
    ----------
    variables : mapping, Dataset or DataArray
        Name to ``(dims, array)`` or ``(dims, array, attrs)`` as in xarray, or to a DataArray. Any order of the
        dims is accepted and turned into z, y, x, then the signal axes. Dask arrays stay lazy. A Dataset or DataArray
        has ``units`` on its coordinates; it keeps its pose, its attributes and its further coordinates.
    axes : mapping
        One `Axis` for each dim; a plain sequence for the dims that have no unit (component, channel, point, axis).
        Lengths become um and signal axes their standard unit. Beside a Dataset, for the dims that it does not
        describe itself.
    name : str
        Name of the modality, and of its frame where `frame` is left out. A Dataset may go without: it then lies in
        a frame of its own until it is placed.
    cell_methods : str or mapping, optional
        What a value is: ``"sum"`` for counts that are conserved, ``"mean"`` or ``"point"`` for intensities.
        Needed for spectra and counts that carry neither ``cell_methods`` nor ``flag_values``; it is never guessed.
    pose : Affine or Warp, optional
        Maps the dataset's coordinates into `frame`. Identity if left out.
    frame : str, optional
        The frame that `pose` leads to.
    attrs : mapping, optional
        Attributes of the dataset: text, numbers, or flat sequences of these.

    Returns
    -------
    Dataset
        Coordinates are float64 pixel centres, ascending; it has passed `check`.

    Raises
    ------
    ConventionError
        Listing every fault.
    UnitError
        If an axis has a unit of the wrong kind.

    Examples
    --------
    >>> counts = np.zeros((2, 3, 4), dtype=np.uint16)
    >>> ds = dataset(
    ...     {"counts": (("y", "x", "energy"), counts)},
    ...     {"y": Axis("nm", step=50.0), "x": Axis("nm", step=50.0), "energy": Axis("eV", step=10.0)},
    ...     name="map",
    ...     cell_methods="sum",
    ... )
    >>> ds["x"].values, ds["x"].attrs["units"], ds["energy"].attrs["units"]
    (array([0.  , 0.05, 0.1 ]), 'um', 'keV')

    >>> plain = xr.DataArray(np.ones((3, 2)), {"x": ("x", [0, 50, 100], {"units": "nm"})}, ("x", "Energy"), name="map")
    >>> dataset(plain, {"energy": Axis("eV", step=10.0)}, cell_methods="sum")["map"].dims
    ('x', 'energy')
    """
    plain = _plain(variables, axes or {}, name)
    axes = {**plain.axes, **(axes or {})}
    sizes = _sizes(plain.variables)
    if misfits := [fault for key, axis in axes.items() for fault in _misfits(key, axis, sizes)]:
        raise ConventionError(misfits)
    built = xr.Dataset(
        {key: _ordered(variable) for key, variable in plain.variables.items()},
        coords={**plain.coords, **dict(coordinate(key, axis, sizes) for key, axis in axes.items())},
        attrs={"Conventions": "CF-1.11", **plain.attrs, **({"title": name} if name else {}), **(attrs or {})},
    )
    for key, variable in built.data_vars.items():
        _describe(str(key), variable, cell_methods)
    built = built.assign({key: _with_error_linked(variable, built) for key, variable in built.data_vars.items()})
    return check(_ascending(_placed(built, variables, pose, frame or name)))


def with_error(ds: xr.Dataset, name: str, error: xr.DataArray | None, *, long_name: str = "") -> xr.Dataset:
    """Return the dataset with the standard error of one of its variables, which then names it.

    Parameters
    ----------
    ds : Dataset
    name : str
        The variable.
    error : DataArray or None
        In the unit of the variable; it takes the other attributes of the variable too. None takes away the error that
        the variable has.
    long_name : str, optional
        ``"standard error of"`` the variable if left out.

    Returns
    -------
    Dataset

    Examples
    --------
    >>> ds = dataset({"a": ("x", [4.0])}, {"x": Axis("um", 1.0)}, name="line", cell_methods="sum")
    >>> with_error(ds, "a", ds["a"] ** 0.5)["a_stderr"].attrs["long_name"]
    'standard error of a'
    """
    array, other = ds[name], stderr_name(name)
    links = [key for key in linked(array) if key != other]
    bare = with_links(array, [])
    if error is None:
        return ds.drop_vars(other, errors="ignore").assign({name: with_links(bare, links)})
    attrs = {**bare.attrs, "long_name": long_name or f"standard error of {array.attrs.get('long_name', name)}"}
    added = error.copy(deep=False)
    added.attrs = attrs
    return ds.assign({name: with_links(bare, [*links, other]), other: added})


def like(ds: xr.Dataset, variables: Mapping[str, VariableLike]) -> xr.Dataset:
    """Return a dataset of other variables with the positions, the pose and the attributes of `ds`.

    Parameters
    ----------
    ds : Dataset
    variables : mapping
        Name to ``(dims, array, attrs)`` or to a DataArray. A variable ``a`` names ``a_stderr`` where both are there.

    Returns
    -------
    Dataset
        With those coordinates of `ds` whose dims the variables have. It has passed `check`.

    Raises
    ------
    ConventionError
        Listing every fault.

    Examples
    --------
    >>> ds = dataset({"a": ("x", [4.0])}, {"x": Axis("um", 1.0)}, name="line", cell_methods="sum")
    >>> list(like(ds, {"b": ds["a"] / 2}).data_vars)
    ['b']
    """
    arrays = {key: _as_variable(key, value) for key, value in variables.items()}
    dims = {dim for variable in arrays.values() for dim in variable.dims}
    kept = {key: c.variable for key, c in ds.coords.items() if set(c.dims) <= dims}
    added = {
        key: c.variable
        for value in variables.values()
        if isinstance(value, xr.DataArray)
        for key, c in value.coords.items()
        if key not in ds.coords
    }
    result = xr.Dataset(arrays, coords={**added, **kept}, attrs=ds.attrs)
    for variable in result.data_vars.values():
        variable.attrs["grid_mapping"] = POSE
    return check(result.assign({key: _with_error_linked(array, result) for key, array in result.data_vars.items()}))


def require_lengths(ds: xr.Dataset, purpose: str) -> None:
    """Refuse a dataset whose pixel size is not known.

    Raises
    ------
    UnitError
        Naming the axes in px and how to give them a size.
    """
    unknown = [dim for dim in SPATIAL if dim in ds.coords and ds[dim].attrs.get("units") == units.PIXEL]
    if unknown:
        raise UnitError(
            f"{title(ds)}: the pixel size along {', '.join(unknown)} is not known (units 'px'), "
            f"so it cannot be {purpose}; give it, e.g. fusion.set_pixel_size(ds, x='0.5 um', y='0.5 um')"
        )


def set_pixel_size(ds: xr.Dataset, **sizes: str | float) -> xr.Dataset:
    """Return the dataset with a pixel size for axes that had none.

    Parameters
    ----------
    ds : Dataset
        With spatial axes in ``px``.
    **sizes : str or float
        For each axis a text with a unit (``x="62 nm"``); a bare number means um.

    Returns
    -------
    Dataset
        The same values on coordinates in um.

    Raises
    ------
    UnitError
        If an axis is not in px already, or the size is not a positive length.

    Examples
    --------
    >>> ds = dataset({"image": (("y", "x"), np.ones((2, 2)))}, {"y": Axis("px", 1.0), "x": Axis("px", 1.0)},
    ...              name="sem", cell_methods="mean")
    >>> set_pixel_size(ds, y="62 nm", x="62 nm")["x"].values
    array([0.   , 0.062])
    """
    coords = {}
    for dim, size in sizes.items():
        if dim not in ds.coords or ds[dim].attrs.get("units") != units.PIXEL:
            known = {key: ds[key].attrs.get("units") for key in SPATIAL if key in ds.coords}
            raise UnitError(f"a pixel size is given for {dim!r}, but only axes in px can take one; axes are {known}")
        step = length(size)
        values = ds[dim].values * step
        coords[dim] = xr.DataArray(values, dims=ds[dim].dims, attrs={**ds[dim].attrs, "units": units.LENGTH})
    return provenance.record(check(ds.assign_coords(coords)), "fusion.set_pixel_size", sizes)


def require_data(array: xr.DataArray, *, smallest: int = 2) -> None:
    """Refuse an eager array without any finite value, or with fewer than `smallest` pixels along a spatial axis.

    Raises
    ------
    DataError
        Naming the variable and the axis.
    """
    for dim in spatial_dims(array):
        if array.sizes[dim] < smallest:
            raise DataError(f"{array.name}: {array.sizes[dim]} pixel along {dim}; at least {smallest} are needed")
    if array.chunks is None and array.dtype.kind == "f" and not np.isfinite(array.values).any():
        raise DataError(f"{array.name}: no finite value in {array.sizes}; the map is empty")


def _plain(
    variables: Mapping[str, VariableLike] | xr.Dataset | xr.DataArray,
    axes: Mapping[str, Axis | npt.ArrayLike],
    name: str | None,
) -> Plain:
    if isinstance(variables, xr.Dataset | xr.DataArray):
        plain = taken_apart(variables, axes)
        return plain._replace(variables={key: value.copy(deep=False) for key, value in plain.variables.items()})
    if not name:
        raise ConventionError(["name: what the dataset is called is needed, e.g. name='map'"])
    return Plain({key: _as_variable(key, value) for key, value in variables.items()}, {}, {}, {})


def _placed(built: xr.Dataset, source: object, pose: Transform | None, frame: str | None) -> xr.Dataset:
    """Return the dataset with the pose that the caller or the source says; else its name alone is its frame."""
    if pose is None and isinstance(source, xr.Dataset | xr.DataArray):
        known, own = get_pose(source)
        return with_pose(built, known, frame if frame and own == OWN else own)
    return with_pose(built, pose or Affine.identity(), frame or "")


def _as_variable(name: str, value: VariableLike) -> xr.Variable:
    if isinstance(value, xr.DataArray):
        return value.variable.copy(deep=False)
    if isinstance(value, xr.Variable):
        return value.copy(deep=False)
    try:
        return xr.Variable(*value)
    except (TypeError, ValueError) as error:
        raise ConventionError([f"{name}: give (dims, array) or (dims, array, attrs); {error}"]) from error


def _sizes(arrays: Mapping[str, xr.Variable]) -> dict[Hashable, int]:
    sizes: dict[Hashable, int] = {}
    for name, variable in arrays.items():
        for dim, size in variable.sizes.items():
            if sizes.setdefault(dim, size) != size:
                raise ConventionError([f"{name}: {size} pixels along {dim}, but another variable has {sizes[dim]}"])
    return sizes


def _misfits(name: str, axis: Axis | npt.ArrayLike, sizes: Mapping[Hashable, int]) -> Iterator[str]:
    """Tell an axis that has not one position for each pixel, or that no variable has."""
    if isinstance(axis, Axis) and axis.values is None:
        if name not in sizes:
            yield f"{name}: no variable has this dim; a map in a plane takes Axis(unit, values=position)"
        return
    shape: tuple[int, ...] = np.asarray(axis.values if isinstance(axis, Axis) else axis).shape
    if name in sizes and shape != (sizes[name],):
        yield f"{name}: positions of shape {shape} for {sizes[name]} pixels"
    elif name not in sizes and isinstance(axis, Axis) and shape not in [(), (sizes.get("point", -1),)]:
        yield f"{name}: positions of shape {shape}, but no variable has this dim, and they are not one for each point"


def _ordered(variable: xr.Variable) -> xr.Variable:
    spatial = spatial_dims(variable)
    return variable.transpose(*spatial, *(dim for dim in variable.dims if dim not in spatial))


def _describe(name: str, variable: xr.DataArray, methods: str | Mapping[str, str] | None) -> None:
    spatial = spatial_dims(variable)
    method = methods if isinstance(methods, str) else (methods or {}).get(name)
    if method and not {"flag_values", CELL_METHODS} & set(variable.attrs):
        variable.attrs.update(cell_methods(spatial, method))
    variable.attrs["units"] = units.parse(variable.attrs.get("units", "1"))
    variable.attrs.setdefault("long_name", name.replace("_", " "))


def _with_error_linked(variable: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    error = stderr_name(str(variable.name))
    return with_links(variable, [*linked(variable), error]) if error in ds.data_vars else variable


def _ascending(ds: xr.Dataset) -> xr.Dataset:
    falling = [
        dim
        for dim, index in ds.coords.items()
        if dim in ds.dims and index.size > 1 and index.dtype.kind == "f" and index.values[0] > index.values[-1]
    ]
    return ds.isel({dim: slice(None, None, -1) for dim in falling}) if falling else ds
