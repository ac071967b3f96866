"""Open images, stacks and volumes as labelled datasets."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import xarray as xr

from fusion import provenance, sandbox, units
from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import ConspectusError, FileReadError, UnitError
from fusion.model import Axis, dataset, length
from volumes import (
    czi,
    gwyddion,
    hdf,
    igor,
    jpk,
    lif,
    matlab,
    mrc,
    nanoscope,
    nanosurf,
    nd2,
    netcdf,
    secm,
    slices,
    smlm,
    tiff,
)
from volumes import labels as label_images
from volumes.part import Part, PathArg

_SLOW: Final = ("dask.array", "h5netcdf.legacyapi", "mrcfile", "tifffile", "zarr")
Size: TypeAlias = str | float
Read = TypeVar("Read")
_ACCEPTED: Final = (
    "TIFF, CZI, ND2, LIF, MRC, PNG, NetCDF, HDF5, MATLAB, scans of a probe (NanoScope, Igor, NID, JPK, Gwyddion), "
    "tables of localisations and folders of slices are read here, "
    "spectra by spectra.open"
)


class Content(NamedTuple):
    """One array of a file, as `contents` lists it.

    ``units`` are those of the array's axes as the file gives them, one for each dim: ``"px"`` where the file does
    not say, ``"1"`` for axes without a unit. ``dims`` is empty where the file does not name its axes.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    units: tuple[str, ...]


def contents(path: PathArg) -> list[Content]:
    """List what a file holds, without reading the values.

    Parameters
    ----------
    path : path-like
        A file, or a folder with one slice per file.

    Returns
    -------
    list of Content

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
    [Content(name='sem', dims=('y', 'x'), shape=(3, 4), dtype='uint8', units=('px', 'px'))]
    """
    place = _existing(path)
    rows = sandbox.run(_described, place, file=place, prepare=_prepare)
    return [Content(name, tuple(dims), tuple(shape), dtype, tuple(units)) for name, dims, shape, dtype, units in rows]


def open(
    path: PathArg,
    *,
    name: str | None = None,
    voxel: Size | Mapping[str, Size | Sequence[Size]] | None = None,
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
        ``image`` (two spatial dims), ``volume`` (three) or ``labels``; the file's own names where it holds several
        arrays or is NetCDF, and of a probe ``height`` (um), ``phase``, ``current``, ..., those of the way back with
        ``_retrace``. Coordinates are pixel centres in um, or in px where no size is known. The file's other
        metadata is JSON in ``attrs["original_metadata"]``. Folders, NetCDF and, above 256 MB, TIFF, CZI, ND2 and LIF
        files stay lazy. Localisations have the dim ``point``, along which lie their coordinates and all else.
        All that one file holds leads to one frame, "stage" where it tells its place on one (`fusion.stage`). What
        `fusion.save` wrote comes back as it was; `voxel`, `units`, `dims` and `labels` are refused for it.

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
    place = _existing(path)
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
    return [
        Content(_listed(path, part), part.dims or (), part.shape, str(part.dtype), _axis_units(part))
        for part in _parts(path)
    ]


def _opened(place: Path, said: Mapping[str, Any]) -> xr.Dataset:
    name, labels = said.get("name"), said.get("labels", False)
    own = _own(place, name)
    if own is not None:
        _refuse_more(place, said)
        return own
    voxel = said.get("voxel")
    title, chosen = name or place.stem, _chosen(place, _parts(place), name)
    if chosen[0].dims == smlm.POINT:
        chosen, voxel = smlm.sized(place, chosen, said), None
    chosen = [_renamed(place, part, said.get("dims")) for part in chosen]
    _require_one_shape(place, chosen)
    steps = _steps(voxel, said.get("units"), chosen[0])
    ds = _guarded(place, lambda: _assembled(place, chosen, steps, title, labels), asked=bool(said.keys() - {"name"}))
    return provenance.opened(ds, "volumes.open", said, place)


def _own(path: Path, name: str | None) -> xr.Dataset | None:
    if path.suffix.lower() not in (".nc", ".nc4") or not path.is_file() or not path.stat().st_size:
        return None
    return _guarded(path, lambda: netcdf.own(path, name))


def _refuse_more(path: Path, said: Mapping[str, Any]) -> None:
    needless = [key for key in said if key != "name"]
    if needless:
        reason = f"a dataset that fusion.save wrote says all of itself; {', '.join(needless)} cannot apply to it"
        raise FileReadError(path, reason, hint="leave that out")


def _existing(path: PathArg) -> Path:
    place = Path(path)
    if not place.exists():
        raise FileReadError(place, "there is no such file", hint=f"check the path, seen from {Path.cwd()}")
    return place


def _parts(path: Path) -> list[Part]:
    found = _guarded(path, lambda: _family(path)(path))
    if not found:
        raise FileReadError(path, "it holds no image and no volume of numbers", hint=_ACCEPTED)
    return found


def _family(path: Path) -> Callable[[Path], list[Part]]:
    """Choose the reader by the first bytes of the file."""
    if path.is_dir():
        return slices.folder
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        raise FileReadError(path, "the file is empty", hint="copy it again")
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return jpk.parts if jpk.is_jpk(path) else tiff.parts
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"BM")):
        return slices.parts
    if head.startswith(b"MATLAB 7.3"):
        return smlm.smap_parts if smlm.is_smap(path) else hdf.matlab_parts
    if head.startswith(b"MATLAB 5.0"):
        return matlab.parts
    if head.startswith(b"\x89HDF"):
        if path.suffix.lower() in (".nc", ".nc4"):
            return netcdf.parts
        return smlm.picasso_parts if smlm.is_picasso(path) else hdf.parts
    if head.startswith((b"CDF\1", b"CDF\2")):
        return netcdf.parts
    if head[208:211] == b"MAP":
        return mrc.parts
    if head.startswith(b"ZISRAWFILE"):
        return czi.parts
    if head.startswith(b"\xda\xce\xbe\x0a"):
        return nd2.parts
    if lif.is_leica(head):
        return lif.parts
    if smlm.is_thunderstorm(head):
        return smlm.thunderstorm_parts
    return _probe_family(path, head)


def _probe_family(path: Path, head: bytes) -> Callable[[Path], list[Part]]:
    """Choose the reader of a file from a scanning probe microscope."""
    if head.startswith(nanoscope.HEADS):
        return nanoscope.parts
    if head.startswith(nanosurf.HEAD):
        return nanosurf.parts
    if head.startswith(gwyddion.HEAD):
        return gwyddion.parts
    if igor.is_wave(head):
        return igor.parts
    if head.startswith(b"#") and secm.MARK in head:
        return secm.parts
    raise FileReadError(path, f"unknown format (it begins with {head[:8]!r})", hint=_ACCEPTED)


def _guarded(path: Path, read: Callable[[], Read], *, asked: bool = False) -> Read:
    """Call a reader and turn whatever it raises into one readable error that names the file.

    Where the user asked for something, such as a voxel size, an error of this project may be about that and stays.
    """
    try:
        return read()
    except FileReadError:
        raise
    except ConspectusError as error:
        if asked:
            raise
        raise FileReadError(path, f"what it says makes no sense ({error})", hint="copy or export it again") from error
    except Exception as error:  # the libraries raise anything from struct.error to AxisError for a damaged file
        raise FileReadError(path, f"the file is damaged or cut short ({error})", hint="copy it again") from error


def _chosen(path: Path, found: list[Part], name: str | None) -> list[Part]:
    if name is None:
        return found
    named = [part for part in found if _listed(path, part) == name]
    if not named:
        available = ", ".join(repr(_listed(path, part)) for part in found)
        hint = f"name one of {available}" if any(part.name for part in found) else f"leave name= out for {available}"
        raise FileReadError(path, f"it holds no array {name!r}", hint=hint)
    return named


def _listed(path: Path, part: Part) -> str:
    """Return the name by which `contents` lists an array: that of the file where it has none."""
    return part.name or path.stem


def _renamed(path: Path, part: Part, dims: Sequence[str] | None) -> Part:
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


def _require_one_shape(path: Path, chosen: list[Part]) -> None:
    if len({(part.dims, part.shape) for part in chosen}) > 1:
        listed = "; ".join(f"{part.name!r} {part.shape}" for part in chosen)
        raise FileReadError(path, f"it holds arrays of several shapes: {listed}", hint="choose one by name=")
    if len({(part.frame, str(part.pose), str(part.axes)) for part in chosen}) > 1:
        listed = ", ".join(repr(part.name) for part in chosen)
        raise FileReadError(path, f"its arrays lie in several places: {listed}", hint="choose one by name=")


def _steps(voxel: Size | Mapping[str, Size | Sequence[Size]] | None, unit: str | None, part: Part) -> dict[str, Axis]:
    """Return the axes that the user gives."""
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
    number, _, given = text.strip().partition(" ")
    try:
        step = float(number)
    except ValueError:
        step = math.nan
    # an axis may descend, so that a negative step is one
    if not math.isfinite(step) or step == 0:
        unit = SIGNAL.get(dim, "1")
        raise UnitError(f"the step along {dim} is a number and a unit such as '2 {unit}'; received {size!r}")
    return Axis(given or SIGNAL.get(dim, "1"), step=step)


def _positions(dim: str, given: Sequence[Size], unit: str | None, count: int) -> Axis:
    """Return an axis from the positions of its pixel centres."""
    own = (unit or units.LENGTH) if dim in SPATIAL else SIGNAL.get(dim, "1")
    target = units.LENGTH if dim in SPATIAL else own
    values = [_position(dim, item, own, target) for item in given]
    steps = [after - before for before, after in pairwise(values)]
    if len(values) != count:
        raise UnitError(f"{dim}: {len(values)} positions for {count} pixels; give the centre of each")
    if not all(map(math.isfinite, values)) or not (all(s > 0 for s in steps) or all(s < 0 for s in steps)):
        raise UnitError(f"{dim}: positions of centres rise or fall throughout, none is there twice; received {given!r}")
    return Axis(target, values=values)


def _position(dim: str, item: Size, own: str, target: str) -> float:
    number, _, found = item.strip().partition(" ") if isinstance(item, str) else (item, "", "")
    try:
        return float(number) * units.convert_factor(found or own, target)
    except (ValueError, TypeError) as error:
        if isinstance(error, UnitError):
            raise
        raise UnitError(f"{dim}: a position is a number, or one with a unit as '10 nm'; received {item!r}") from error


def _assembled(
    path: Path, chosen: list[Part], steps: Mapping[str, Axis], title: str, labels: bool | Mapping[str, int]
) -> xr.Dataset:
    first = chosen[0]
    named = len(chosen) > 1 or path.suffix.lower() == ".nc" or first.dims == smlm.POINT
    variables = {_key(part, named, bool(labels)): _variable(path, part, labels) for part in chosen}
    attrs: dict[str, Any] = {**first.about, "original_metadata": _as_json([part.metadata for part in chosen])}
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
    attrs.pop("cell_methods", None)
    return part.dims, values, {**attrs, **flags}


def _complete(path: Path, part: Part, steps: Mapping[str, Axis]) -> dict[str, Any]:
    """Return an axis for each dim: the user's, else the file's, else pixels."""
    axes: dict[str, Any] = {dim: axis for dim, axis in part.axes.items() if dim not in (part.dims or ())}
    dims, sizes = part.dims or (), dict(zip(part.dims or (), part.shape, strict=True))
    for dim in [dim for dim in dims if dim in part.doubts and dim not in steps]:
        raise FileReadError(path, part.doubts[dim], hint=f"give the right one, e.g. voxel={{{dim!r}: '62 nm'}}")
    known = {**part.axes, **{dim: _centred(part, dim, axis) for dim, axis in steps.items()}}
    for dim in dims:
        if dim in known:
            axes[dim] = known[dim]
        elif dim in SPATIAL:
            axes[dim] = Axis(units.PIXEL, step=1.0)
        elif dim in ("channel", "component"):
            axes[dim] = list(part.labels.get(dim, range(sizes[dim])))
        elif dim in SIGNAL:
            reason = f"it does not give the step along {dim!r}"
            hint = f"give it, e.g. voxel={{{dim!r}: '2 {SIGNAL[dim]}'}}, or name the axis 'channel'"
            raise FileReadError(path, reason, hint=hint)
    _require_all_sizes(path, axes)
    return axes


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


def _axis_units(part: Part) -> tuple[str, ...]:
    found = {dim: units.parse(axis.units) for dim, axis in part.axes.items()}
    unknown = dict.fromkeys(SPATIAL, units.PIXEL)
    return tuple(found.get(dim, unknown.get(dim, "1")) for dim in part.dims or ())


def _as_json(metadata: Iterable[Mapping[str, Any]]) -> str:
    found = [dict(item) for item in metadata]
    return json.dumps(found[0] if all(item == found[0] for item in found) else found, default=str)
