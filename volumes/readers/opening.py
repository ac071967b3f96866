"""Open images, stacks and volumes as labelled datasets."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from fusion import provenance, units
from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import FileReadError
from fusion.isolation import sandbox
from fusion.reading.assembly import assembled
from fusion.reading.contents import UNREADABLE, Content, listed
from fusion.reading.frame_of_file import from_file
from fusion.reading.opening import damage_reported
from fusion.reading.paths import PathArg, existing
from fusion.reading.stored_array import POINT, StoredArray, Unreadable
from fusion.techniques import find
from volumes.readers import formats
from volumes.readers.arrays import netcdf
from volumes.readers.labels import as_labels
from volumes.readers.light import localisations
from volumes.readers.voxel_size import Voxel, measured

_KNOWN: Final = {*SPATIAL, *SIGNAL}
_SLOW: Final = ("dask.array", "h5netcdf.legacyapi", "mrcfile", "tifffile")


def contents(path: PathArg) -> list[Content]:
    """List what a file holds, without reading the values.

    Parameters
    ----------
    path : path-like
        A file, or a folder with one slice per file.

    Returns
    -------
    list of Content
        Name, technique, dims, shape, dtype and units of each array; of a table of localisations one row, called as
        the file.

    Raises
    ------
    FileReadError
        If it is missing, damaged, or of an unknown format.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> path = Path(tempfile.mkdtemp()) / "sem.tif"
    >>> tifffile.imwrite(path, np.zeros((3, 4), np.uint8))
    >>> contents(path)
    [sem: image, y 3 (px), x 4 (px), uint8]
    """
    source = existing(path)
    return listed(sandbox.run(_described, source, file=source, prepare=_prepare))


def open(
    path: PathArg,
    *,
    name: str | None = None,
    voxel: Voxel | None = None,
    units: str | None = None,
    dims: Sequence[str] | None = None,
    labels: bool | Mapping[str, int] = False,
    technique: str | None = None,
) -> xr.Dataset:
    """Open an image, a stack or a volume as a labelled dataset.

    Parameters
    ----------
    path : path-like
        TIFF (plain, ImageJ, OME; SEM of FEI, Zeiss, Tescan and JEOL), CZI, ND2, LIF, MRC, PNG, NetCDF, HDF5, MATLAB,
        or a folder with one slice per file; scans of a probe: NanoScope, Asylum (ibw), Nanosurf (nid), JPK, Gwyddion,
        a text map of currents; localisations of ThunderSTORM, SMAP and Picasso. The content decides on the format,
        not the name.
    name : str, optional
        Which array to read, as `contents` lists them, or one column of a table of localisations; left out, all are
        read if they have one shape. Of a project of `fusion.save` also the name of a dataset.
    voxel : str, float or mapping, optional
        Distance between pixel centres where the file does not give it, or where it is wrong there: ``"3.36 nm"`` for
        all spatial axes or ``{"z": "45 nm", "y": "4.6 nm", "x": "4.6 nm"}``. A mapping may also hold the step of
        another axis, ``{"tilt": "2 degree"}``. Where the steps are uneven, as those of a FIB often are, it holds the
        positions themselves, one for the *centre* of each slice and in the order of the slices:
        ``{"z": [0.0, 0.010, 0.023], ...}`` in um, or in `units`. Slices of thicknesses t that lie on each other have
        their centres at ``np.cumsum(t) - t / 2``.
    units : str, optional
        Unit of the sizes in `voxel` that are bare numbers; um if left out.
    dims : sequence of str, optional
        Names of the axes in the order of the array, where the file does not name them or calls them wrongly.
    labels : bool or mapping, optional
        True if the values are labels and not intensities; or the values of the labels by name,
        ``{"background": 0, "mitochondria": 255}``: each pixel then takes the nearest of these.
    technique : str, optional
        What took it, where the file does not say (a TIFF from a confocal microscope) or is wrong: a word that
        `fusion.techniques.find` knows. It becomes the attribute ``technique``.

    Returns
    -------
    Dataset
        ``image`` or ``labels``; the file's own names where it holds several arrays or is NetCDF, and of a probe
        ``height`` (um), ``phase``, ``current``, ..., those of the way back with ``_retrace``. Coordinates are pixel
        centres in um, or in px where no size is known. The file's other metadata is JSON in
        ``attrs["original_metadata"]``. Folders, NetCDF and, above 256 MB, TIFF, MRC, HDF5, CZI, ND2 and LIF
        files stay lazy. Localisations have the dim ``point``, along which lie their coordinates and all else.
        All items of a file lead to one frame, "stage" where the file states its position (`fusion.reading.stage`).
        What `fusion.save` wrote comes back as it was; `voxel`, `units`, `dims` and `labels` are refused for it.

    Raises
    ------
    FileReadError
        If the file is missing, damaged, of an unknown format, has no array of that name, or does not say what is
        needed.
    UnitError
        If a size in `voxel` is not a positive length, a step of another axis is no number with a unit, or positions
        are not one for each slice, or do not rise or fall throughout.
    ConventionError
        If `dims` has names that are not in use here.
    DataError
        If `technique` is a word for none.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> path = Path(tempfile.mkdtemp()) / "sem.tif"
    >>> tifffile.imwrite(path, np.zeros((3, 4), np.uint8))
    >>> ds = open(path, voxel="62 nm")
    >>> ds["image"].dims, ds["x"].values
    (('y', 'x'), array([0.   , 0.062, 0.124, 0.186]))
    """
    source = existing(path)
    arguments = {"name": name, "voxel": voxel, "units": units, "dims": dims, "labels": labels}
    if technique is not None:
        find(technique)
        arguments["technique"] = technique
    options = {key: value for key, value in arguments.items() if value is not None and value is not False}
    return sandbox.run(_opened, source, options, file=source, prepare=_prepare)


@cache
def _prepare() -> None:
    """Import what most files need, once for all readers."""
    import PIL.Image

    for module in _SLOW:
        importlib.import_module(module)
    PIL.Image.init()
    provenance.prepare()


def _described(path: Path) -> list[Content]:
    arrays = _arrays(path)
    contents = [_content(path, array) for array in arrays]
    if not _is_table(arrays):
        return contents
    columns = [content for content in contents if content.dims == POINT]
    dtype = str(np.result_type(*(column.dtype for column in columns)))
    return [columns[0]._replace(name=path.stem, dtype=dtype), *(one for one in contents if one.dims != POINT)]


def _is_table(arrays: Sequence[StoredArray | Unreadable]) -> bool:
    """Whether the arrays are the columns of one table of points."""
    return isinstance(arrays[0], StoredArray) and arrays[0].dims == POINT


def _content(path: Path, array: StoredArray | Unreadable) -> Content:
    if isinstance(array, Unreadable):
        return Content(array.name, UNREADABLE, fault=str(array.error))
    technique = str(array.dataset_attrs.get("technique", "image"))
    return Content(_name(path, array), technique, array.dims or (), array.shape, str(array.dtype), _axis_units(array))


def _opened(path: Path, options: Mapping[str, Any]) -> xr.Dataset:
    """Open a file in the process that `sandbox` started for it; `options` is what the user gave to `open`."""
    saved = _saved(path, options.get("name"))
    if saved is not None:
        _refuse_options(path, options)
        return saved
    stored, name = _arrays(path), options.get("name")
    arrays, left_out = _chosen(path, stored, None if _is_table(stored) and name == path.stem else name)
    requested = bool(options.keys() - {"name"})
    arrays = _distinguished(_as_requested(path, arrays, options))
    with damage_reported(path, requested=requested):
        variable = "labels" if options.get("labels") else "image"
        ds = assembled(arrays, title=name or path.stem, frame=path.stem, variable=variable)
    return from_file(ds.assign_attrs({**left_out, **_technique(ds, options)}), "volumes.open", options, path)


def _technique(ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the technique that the user gives, and what the file says if it says another."""
    if "technique" not in options:
        return {}
    other = ds.attrs.get("technique", options["technique"])
    note = {"technique_given": f"by the user; the file says {other!r}"} if other != options["technique"] else {}
    return {"technique": options["technique"], **note}


def _as_requested(path: Path, arrays: list[StoredArray], options: Mapping[str, Any]) -> list[StoredArray]:
    """Return arrays with the names and sizes of the axes, and the labels, that the user gave to `open`."""
    if _is_table(arrays):
        arrays = localisations.sized(path, arrays, options)
        _require_one_shape(path, arrays)
        return arrays
    if "dims" not in options:
        _require_one_shape(path, arrays)
    arrays = [_renamed(path, array, options.get("dims")) for array in arrays]
    _require_one_shape(path, arrays)
    arrays = [measured(path, array, options.get("voxel"), options.get("units")) for array in arrays]
    labels = options.get("labels", False)
    if not labels:
        return arrays
    with damage_reported(path, requested=True):
        return [as_labels(path, array, labels) for array in arrays]


def _saved(path: Path, name: str | None) -> xr.Dataset | None:
    """Return a dataset that `fusion.save` wrote; None if the file is another's."""
    if path.suffix.lower() not in (".nc", ".nc4") or not path.is_file() or not path.stat().st_size:
        return None
    with damage_reported(path):
        return netcdf.own(path, name)


def _refuse_options(path: Path, options: Mapping[str, Any]) -> None:
    needless = [key for key in options if key != "name"]
    if needless:
        reason = f"a dataset that fusion.save wrote says all of itself; {', '.join(needless)} cannot apply to it"
        raise FileReadError(path, reason, hint="leave that out")


def _arrays(path: Path) -> list[StoredArray | Unreadable]:
    with damage_reported(path):
        arrays = [*formats.reader(path)(path)]
    if not arrays:
        raise FileReadError(path, "it holds no image and no volume of numbers", hint=f"accepted: {formats.ACCEPTED}")
    return arrays


def _chosen(
    path: Path, arrays: list[StoredArray | Unreadable], name: str | None
) -> tuple[list[StoredArray], dict[str, Any]]:
    """Return the arrays of that name, or all that are readable; and the attribute that lists those that are not."""
    unreadable = [array for array in arrays if isinstance(array, Unreadable) and name in (None, array.name)]
    readable = [array for array in arrays if isinstance(array, StoredArray) and name in (None, _name(path, array))]
    if readable:
        left_out = [f"{array.name}: {array.error.reason}" for array in unreadable]
        return readable, {"left_out": "\n".join(left_out)} if left_out else {}
    if unreadable:
        raise unreadable[0].error
    named = [array.name for array in arrays if array.name]
    hint = f"name one of {', '.join(map(repr, named))}" if named else f"leave name= out for {path.stem!r}"
    raise FileReadError(path, f"it holds no array {name!r}", hint=hint)


def _distinguished(arrays: list[StoredArray]) -> list[StoredArray]:
    """Return arrays whose variables have different names: with that of their group, where two are called alike."""
    names = [array.variable for array in arrays if array.variable]
    if len(set(names)) == len(names):
        return arrays
    return [replace(array, variable=array.name.replace("/", "_")) for array in arrays]


def _name(path: Path, array: StoredArray) -> str:
    """Return the name by which `contents` lists an array: that of the file where it has none."""
    return array.name or path.stem


def _renamed(path: Path, array: StoredArray, dims: Sequence[str] | None) -> StoredArray:
    if dims is None:
        if array.dims is None or not _KNOWN.issuperset(array.dims):
            what = f"the axes of {array.name or 'the array'} {array.shape}"
            called = ", ".join(map(repr, array.dims or ()))
            reason = f"{called} do not say what {what} measure" if called else f"it does not name {what}"
            hint = "name them in order, e.g. dims=('z', 'y', 'x') or dims=('y', 'x', 'tilt')"
            raise FileReadError(path, reason, hint=hint)
        return array
    names = tuple(dims)
    if len(names) != len(array.shape) or len(set(names)) != len(names):
        reason = f"dims={names} does not fit an array of shape {array.shape}"
        raise FileReadError(path, reason, hint="give one name for each axis, in order")
    known = dict(zip(names, array.dims or names, strict=True))
    axes = {dim: array.axes[old] for dim, old in known.items() if old in array.axes} if array.dims else {}
    return replace(array, dims=names, axes={dim: axis for dim, axis in axes.items() if _fits(axis.units, dim)})


def _fits(unit: str, dim: str) -> bool:
    """Whether an axis of this unit may be called so."""
    return unit == units.PIXEL or units.is_compatible(unit, SIGNAL.get(dim, units.LENGTH))


def _require_one_shape(path: Path, arrays: list[StoredArray]) -> None:
    if len({(array.dims, array.shape) for array in arrays}) > 1:
        shapes = "; ".join(f"{array.name!r} {array.shape}" for array in arrays)
        raise FileReadError(path, f"it holds arrays of several shapes: {shapes}", hint="choose one by name=")
    if len({(array.frame, str(array.pose), str(array.axes)) for array in arrays}) > 1:
        names = ", ".join(repr(array.name) for array in arrays)
        raise FileReadError(path, f"its arrays lie in several places: {names}", hint="choose one by name=")


def _axis_units(array: StoredArray) -> tuple[str, ...]:
    known = {dim: units.parse(axis.units) for dim, axis in array.axes.items()}
    unknown = dict.fromkeys(SPATIAL, units.PIXEL)
    return tuple(known.get(dim, unknown.get(dim, "1")) for dim in array.dims or ())
