"""Open images, stacks and volumes as labelled datasets."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import xarray as xr

from fusion import provenance, units
from fusion.conventions import SPATIAL
from fusion.errors import ConspectusError, FileReadError
from fusion.isolation import sandbox
from fusion.reading.assembly import assembled
from fusion.reading.contents import Content, listed
from fusion.reading.frame_of_file import from_file
from fusion.reading.paths import PathArg, existing
from fusion.reading.stored_array import POINT, StoredArray
from volumes.readers import formats
from volumes.readers.arrays import netcdf
from volumes.readers.labels import as_labels
from volumes.readers.light import localisations
from volumes.readers.voxel_size import Voxel, measured

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
        Name, technique, dims, shape, dtype and units of each array.

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
    place = existing(path)
    return listed(sandbox.run(_described, place, file=place, prepare=_prepare))


def open(
    path: PathArg,
    *,
    name: str | None = None,
    voxel: Voxel | None = None,
    units: str | None = None,
    dims: Sequence[str] | None = None,
    labels: bool | Mapping[str, int] = False,
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
        Which array to read, as `contents` lists them; left out, all are read if they have one shape. Of a project of
        `fusion.save` also the name of a dataset.
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

    Returns
    -------
    Dataset
        ``image`` or ``labels``; the file's own names where it holds several arrays or is NetCDF, and of a probe
        ``height`` (um), ``phase``, ``current``, ..., those of the way back with ``_retrace``. Coordinates are pixel
        centres in um, or in px where no size is known. The file's other metadata is JSON in
        ``attrs["original_metadata"]``. Folders, NetCDF and, above 256 MB, TIFF, MRC, HDF5, CZI, ND2 and LIF
        files stay lazy. Localisations have the dim ``point``, along which lie their coordinates and all else.
        All that one file holds leads to one frame, "stage" where it tells its place on one (`fusion.reading.stage`).
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

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> path = Path(tempfile.mkdtemp()) / "sem.tif"
    >>> tifffile.imwrite(path, np.zeros((3, 4), np.uint8))
    >>> ds = open(path, voxel="62 nm")
    >>> ds["image"].dims, ds["x"].values
    (('y', 'x'), array([0.   , 0.062, 0.124, 0.186]))
    """
    place = existing(path)
    given = {"name": name, "voxel": voxel, "units": units, "dims": dims, "labels": labels}
    said = {key: value for key, value in given.items() if value is not None and value is not False}
    return sandbox.run(_opened, place, said, file=place, prepare=_prepare)


@cache
def _prepare() -> None:
    """Import what most files need, once for all readers."""
    import PIL.Image

    for module in _SLOW:
        importlib.import_module(module)
    PIL.Image.init()
    provenance.prepare()


def _described(path: Path) -> list[Content]:
    return [_content(path, part) for part in _parts(path)]


def _content(path: Path, part: StoredArray) -> Content:
    technique = str(part.dataset_attrs.get("technique", "image"))
    dims, units = part.dims or (), _axis_units(part)
    return Content(_listed(path, part), technique, dims, part.shape, str(part.dtype), units)


def _opened(place: Path, said: Mapping[str, Any]) -> xr.Dataset:
    """Open a file in the process that `sandbox` started for it; `said` is what the user gave to `open`."""
    own = _own(place, said.get("name"))
    if own is not None:
        _refuse_more(place, said)
        return own
    chosen = _chosen(place, _parts(place), said.get("name"))
    if chosen[0].dims == POINT:
        chosen = localisations.sized(place, chosen, said)
        _require_one_shape(place, chosen)
    else:
        chosen = _as_requested(place, chosen, said)
    with _damage_reported(place, requested=bool(said.keys() - {"name"})):
        variable = "labels" if said.get("labels") else "image"
        ds = assembled(place, chosen, said.get("name") or place.stem, variable=variable)
    return from_file(ds, "volumes.open", said, place)


def _as_requested(path: Path, arrays: list[StoredArray], options: Mapping[str, Any]) -> list[StoredArray]:
    """Return arrays with the names and sizes of the axes, and the labels, that the user gave to `open`."""
    arrays = [_renamed(path, array, options.get("dims")) for array in arrays]
    _require_one_shape(path, arrays)
    arrays = [measured(path, array, options.get("voxel"), options.get("units")) for array in arrays]
    with _damage_reported(path, requested=bool(options.keys() - {"name"})):
        labels = options.get("labels", False)
        return [as_labels(path, array, labels) for array in arrays] if labels else arrays


def _own(path: Path, name: str | None) -> xr.Dataset | None:
    if path.suffix.lower() not in (".nc", ".nc4") or not path.is_file() or not path.stat().st_size:
        return None
    with _damage_reported(path):
        return netcdf.own(path, name)


def _refuse_more(path: Path, said: Mapping[str, Any]) -> None:
    needless = [key for key in said if key != "name"]
    if needless:
        reason = f"a dataset that fusion.save wrote says all of itself; {', '.join(needless)} cannot apply to it"
        raise FileReadError(path, reason, hint="leave that out")


def _parts(path: Path) -> list[StoredArray]:
    with _damage_reported(path):
        found = formats.reader(path)(path)
    if not found:
        raise FileReadError(path, "it holds no image and no volume of numbers", hint=f"accepted: {formats.ACCEPTED}")
    return found


@contextmanager
def _damage_reported(path: Path, *, requested: bool = False) -> Iterator[None]:
    """Turn whatever is raised for a damaged file, from struct.error to AxisError, into one readable error.

    Where the user requested something, such as a voxel size, an error of this project may be about that and stays.
    """
    try:
        yield
    except FileReadError:
        raise
    except ConspectusError as error:
        if requested:
            raise
        raise FileReadError(path, f"what it says makes no sense ({error})", hint="copy or export it again") from error
    except MemoryError:
        raise
    except Exception as error:
        raise FileReadError(path, f"the file is damaged or cut short ({error})", hint="copy it again") from error


def _chosen(path: Path, found: list[StoredArray], name: str | None) -> list[StoredArray]:
    if name is None:
        return found
    named = [part for part in found if _listed(path, part) == name]
    if not named:
        available = ", ".join(repr(_listed(path, part)) for part in found)
        hint = f"name one of {available}" if any(part.name for part in found) else f"leave name= out for {available}"
        raise FileReadError(path, f"it holds no array {name!r}", hint=hint)
    return named


def _listed(path: Path, part: StoredArray) -> str:
    """Return the name by which `contents` lists an array: that of the file where it has none."""
    return part.name or path.stem


def _renamed(path: Path, part: StoredArray, dims: Sequence[str] | None) -> StoredArray:
    if dims is None:
        if part.dims is None:
            reason = f"it does not name the axes of {part.name or 'the array'} {part.shape}"
            hint = "name them in order, e.g. dims=('z', 'y', 'x') or dims=('y', 'x', 'tilt')"
            raise FileReadError(path, reason, hint=hint)
        return part
    names = tuple(dims)
    if len(names) != len(part.shape) or len(set(names)) != len(names):
        reason = f"dims={names} does not fit an array of shape {part.shape}"
        raise FileReadError(path, reason, hint="give one name for each axis, in order")
    known = dict(zip(names, part.dims or names, strict=True))
    axes = {dim: part.axes[old] for dim, old in known.items() if old in part.axes}
    return replace(part, dims=names, axes=axes if part.dims else {})


def _require_one_shape(path: Path, chosen: list[StoredArray]) -> None:
    if len({(part.dims, part.shape) for part in chosen}) > 1:
        shapes = "; ".join(f"{part.name!r} {part.shape}" for part in chosen)
        raise FileReadError(path, f"it holds arrays of several shapes: {shapes}", hint="choose one by name=")
    if len({(part.frame, str(part.pose), str(part.axes)) for part in chosen}) > 1:
        names = ", ".join(repr(part.name) for part in chosen)
        raise FileReadError(path, f"its arrays lie in several places: {names}", hint="choose one by name=")


def _axis_units(part: StoredArray) -> tuple[str, ...]:
    found = {dim: units.parse(axis.units) for dim, axis in part.axes.items()}
    unknown = dict.fromkeys(SPATIAL, units.PIXEL)
    return tuple(found.get(dim, unknown.get(dim, "1")) for dim in part.dims or ())
