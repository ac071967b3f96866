"""Files that RosettaSciIO reads: its dictionaries, turned into labelled datasets."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

import fusion
from fusion import units
from fusion.conventions import SPATIAL
from fusion.errors import ConventionError, FileReadError, UnitError
from fusion.model import Axis
from fusion.reading.assembly import assembled
from fusion.reading.contents import unique
from fusion.reading.opening import readable
from fusion.reading.stage import STAGE, stage_pose
from fusion.reading.stored_array import StoredArray, Unreadable
from spectra.attributes import flat_attrs, lookup, mapped, variable_of
from spectra.axes import as_axis, dim_name, require_x_rays
from spectra.quiet import quiet
from spectra.readers.rosettasciio import bruker, jeol, msa, renishaw, ripple, stage_readout, tia, velox
from spectra.readers.rosettasciio.labspec_trivista import labspec, trivista
from spectra.readers.rosettasciio.truncation import require_complete
from spectra.readers.rosettasciio.xml_entities import refuse_entities

Raw = dict[str, Any]
_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {"jeol": {"SI_dtype": np.uint16}}
_OF_X_RAYS: Final = ("bruker", "edax", "jeol", "phenom")
_COUNTERS: Final = ("", "<undefined>", "i", "vertical ccd position")
_NO_UNITS: Final = ("", "<undefined>", "points", "px", "pixel", "pixels")
"""Names and units of axes that only count: images of a stack, points of a line, rows of a camera."""
_COUNTED: Final = ("EDS", "WDS", "XRF")
"""How HyperSpy's words for spectra of X-rays begin, whose whole numbers are counts."""
_READERS: Final[Mapping[str, Callable[..., list[Raw]]]] = {"renishaw": renishaw.read}
"""In the place of those of RosettaSciIO."""
_CORRECTED: Final[Mapping[str, Callable[[list[Raw], Path], list[Raw]]]] = {
    "bruker": bruker.measured, "emd": velox.centred, "jeol": jeol.complete_sweeps, "jobinyvon": labspec,
    "renishaw": renishaw.timed,
    "ripple": ripple.corrected, "tia": tia.typed, "trivista": trivista,
}  # fmt: skip


def arrays(path: Path, plugin: str) -> list[StoredArray | Unreadable]:
    """Return the items of a file by name.

    Parameters
    ----------
    path : Path
    plugin : str
        Module of RosettaSciIO, e.g. ``"bruker"``.

    Raises
    ------
    FileReadError
        If the file is cut short, holds nothing, or the plugin cannot read it.
    """
    require_complete(path, plugin)
    refuse_entities(path)
    raws = [raw for raw in _read(path, plugin) if "data" in raw and raw.get("axes")]
    if not raws:
        reason = f"the {plugin} reader found no data in it"
        raise FileReadError(path, reason, hint="copy it again, or see whether volumes.open knows it")
    names = unique([_name(raw, path, plugin) for raw in raws])
    main = next((raw for raw in raws if len(raw["axes"]) > 2), None)
    describe = (
        partial(_on_stage, raws[0], path) if plugin == "renishaw" else partial(_in_frame, main, plugin, path.stem)
    )
    return [readable(path, name, partial(describe, raw, name)) for name, raw in zip(names, raws, strict=True)]


def labelled(raw: Raw, name: str) -> xr.Dataset:
    """Return a dictionary of RosettaSciIO as a labelled dataset, in a frame of its own name.

    Raises
    ------
    UnitError, ConventionError
        If an axis, or the dataset, cannot be labelled.
    """
    return require_x_rays(assembled([described(raw, name, frame=name)], title=name, frame=name))


def described(
    raw: Raw,
    name: str,
    *,
    frame: str,
    pose: fusion.Affine | None = None,
    fixed: Mapping[str, Axis] | None = None,
    x_rays: bool = False,
) -> StoredArray:
    """Return a dictionary of RosettaSciIO as a stored array.

    Parameters
    ----------
    raw : dict
        ``data`` and ``axes``, and perhaps ``metadata``, ``original_metadata``, ``mapping``, and ``attrs`` of the
        dataset that RosettaSciIO has no place for.
    name, frame : str
    pose : Affine, optional
    fixed : mapping, optional
        Position along the spatial dims that the data has not.
    x_rays : bool
        Whether spectra of this format are of X-rays, even where the file does not say so.

    Raises
    ------
    UnitError, ConventionError
        If an axis cannot be labelled.
    """
    original = raw.get("original_metadata") or {}
    metadata = mapped(raw.get("metadata") or {}, original, raw.get("mapping") or {})
    signal_type = str(lookup(metadata, "Signal", "signal_type") or "")
    axis_names = [axis.get("name") for axis in raw["axes"]]
    raw = {**raw, "axes": _with_counted_axis(raw["axes"], signal_type)}
    dims = tuple(dim_name(axis.get("name"), axis.get("units"), signal_type) for axis in raw["axes"])
    repeated = sorted({dim for dim in dims if dims.count(dim) > 1})
    if repeated:
        raise ConventionError([f"{dim}: more than one axis of the file is called so" for dim in repeated])
    axes = {dim: as_axis(dim, axis) for dim, axis in zip(dims, raw["axes"], strict=True)}
    if _counts_frames(axes):
        dims = tuple("channel" if dim == "z" else dim for dim in dims)
        axes = {dim: as_axis(dim, axis) for dim, axis in zip(dims, raw["axes"], strict=True)}
    data = raw["data"]
    colours = list(data.dtype.names or ())
    dims = (*dims, "channel") if colours else dims
    dtype = data.dtype[0] if colours else data.dtype
    quantity = _quantity_unit(metadata)
    counted = x_rays or quantity == "count" or signal_type.startswith(_COUNTED)
    of_images = bool(colours) or (dims == ("channel", "y", "x") and "channel" not in axis_names)
    variable, method = ("image", "mean") if of_images else variable_of(dims, dtype, counted=counted)
    return StoredArray(
        name=name,
        dims=dims,
        shape=(*data.shape, len(colours)) if colours else data.shape,
        dtype=dtype,
        load=partial(_plain, data, colours),
        axes={**{dim: axis for dim, axis in axes.items() if isinstance(axis, Axis)}, **(fixed or {})},
        labels={"channel": colours} if colours else {},
        attrs={"units": "count" if variable == "counts" else quantity, "long_name": variable},
        cell_method=method,
        dataset_attrs={**flat_attrs(metadata, original, dims, colour=of_images), **raw.get("attrs", {})},
        pose=pose,
        frame=frame,
        variable=variable,
    )


def _with_counted_axis(axes: list[Raw], signal_type: str) -> list[Raw]:
    """Return axes of which one without a name or a unit is called ``channel``: it counts images, spectra or rows."""
    counted = [axis for axis in axes if _is_counted(axis) and not _is_known(axis, signal_type)]
    if len(counted) != 1 or len(axes) == 1:
        return axes
    return [{**axis, "name": "channel", "units": ""} if axis is counted[0] else axis for axis in axes]


def _is_counted(axis: Raw) -> bool:
    return str(axis.get("name") or "").lower() in _COUNTERS and str(axis.get("units") or "").lower() in _NO_UNITS


def _is_known(axis: Raw, signal_type: str) -> bool:
    try:
        dim_name(axis.get("name"), axis.get("units"), signal_type)
    except UnitError:
        return False
    return True


def _counts_frames(axes: Mapping[str, Any]) -> bool:
    """Whether z has no scale where y and x have one: it counts the images of a stack, and is no depth."""
    plane = [axis for dim, axis in axes.items() if dim in ("y", "x") and isinstance(axis, Axis)]
    depth = axes.get("z")
    unscaled = isinstance(depth, Axis) and depth.units == units.PIXEL and "channel" not in axes
    return unscaled and bool(plane) and all(axis.units != units.PIXEL for axis in plane)


def _in_frame(main: Raw | None, plugin: str, stem: str, raw: Raw, name: str) -> StoredArray:
    frame, pose = _pose(raw, main, plugin, stem, name)
    return described(raw, name, frame=frame, pose=pose, x_rays=plugin in _OF_X_RAYS)


def _on_stage(main: Raw, path: Path, raw: Raw, name: str) -> StoredArray:
    placed = renishaw.placed(raw, main, path)
    array = described(placed.raw, name, frame=STAGE, pose=placed.pose, fixed=placed.fixed)
    # WiRE shows y downwards: the photograph in the file begins with its lowest y, and upwards it would be mirrored
    axes = {dim: replace(axis, direction="down") if dim == "y" else axis for dim, axis in array.axes.items()}
    return replace(array, axes=axes)


def _read(path: Path, plugin: str) -> list[Raw]:
    if plugin == "msa":
        return msa.read(path)
    reader = _READERS.get(plugin) or importlib.import_module(f"rsciio.{plugin}").file_reader
    options, corrected = _OPTIONS.get(plugin, {}), _CORRECTED.get(plugin, _as_they_are)
    with quiet("rsciio"):
        try:
            return corrected(list(reader(str(path), lazy=True, **options)), path)
        except Exception:  # many plugins cannot read lazily, each says so in its own way
            pass
        try:
            return corrected(list(reader(str(path), **options)), path)
        except (FileReadError, MemoryError):
            raise
        except FileNotFoundError as error:
            hint = "copy it with the files and folders beside it that it lists"
            raise FileReadError(path, f"a file that it lists is missing ({error.filename})", hint=hint) from error
        except Exception as error:  # plugins fail with errors of every class on damaged files
            hint = "copy it again, or correct its extension if it is of another format"
            raise FileReadError(path, f"the {plugin} reader failed ({error})", hint=hint) from error


def _as_they_are(raws: list[Raw], path: Path) -> list[Raw]:
    return raws


def _name(raw: Raw, path: Path, plugin: str) -> str:
    title = str(lookup(raw.get("metadata"), "General", "title") or "")
    if title:
        return title
    return "white light" if plugin == "renishaw" and raw["data"].dtype.names else path.stem


def _pose(raw: Raw, main: Raw | None, plugin: str, stem: str, name: str) -> tuple[str, fusion.Affine | None]:
    """Return frame and pose: on the stage where the file has its readout, else in the frame of the map.

    An image of the very field of the map lies with it; of another field it is not known where, unless the file counts
    coordinates from the centre of one field for all.
    """
    readout = stage_readout.read(raw.get("original_metadata") or {}, plugin)
    field = _field(raw)
    measured = all(axis.units != units.PIXEL for axis in field.values())
    central = measured and (raw.get("central", False) or (readout is not None and readout.central))
    if central and readout:
        return STAGE, stage_pose(readout.stage, scan_rotation=readout.scan_rotation)
    if central:
        return stem, None
    if main is not None and raw is not main and not _same_field(raw, main):
        return f"{stem} {name}", None
    if readout and measured:
        return STAGE, stage_pose(readout.stage, scan_rotation=readout.scan_rotation, **_centre(raw))
    if main is None or raw is main:
        return stem, None
    corner = {dim: (_step(field[dim]) - _step(_field(main)[dim])) / 2.0 * _um(field[dim]) for dim in field}
    return stem, fusion.Affine.translation(**corner)


def _same_field(raw: Raw, main: Raw) -> bool:
    own, other = _field(raw), _field(main)
    if not own or own.keys() != other.keys() or any(own[dim].units != other[dim].units for dim in own):
        return False
    sizes, spans = _sizes(raw), _sizes(main)
    return all(
        np.isclose(own[dim].offset, other[dim].offset)
        and np.isclose(_step(own[dim]) * sizes[dim], _step(other[dim]) * spans[dim])
        for dim in own
    )


def _centre(raw: Raw) -> dict[str, float]:
    """Return the middle of the field in um."""
    sizes, field = _sizes(raw), _field(raw)
    ends = {dim: field[dim].centres(sizes[dim], units.LENGTH)[[0, -1]] for dim in "yx" if dim in field}
    return {dim: float(values.mean()) for dim, values in ends.items()}


def _field(raw: Raw) -> dict[str, Axis]:
    named = ((_spatial(axis), axis) for axis in raw["axes"])
    return {dim: axis for dim, record in named if dim and isinstance(axis := as_axis(dim, record), Axis)}


def _sizes(raw: Raw) -> dict[str, int]:
    return {_spatial(axis): int(axis["size"]) for axis in raw["axes"] if _spatial(axis)}


def _spatial(record: Mapping[str, Any]) -> str:
    try:
        dim = dim_name(record.get("name"), record.get("units"))
    except UnitError:
        return ""
    return dim if dim in SPATIAL else ""


def _step(axis: Axis) -> float:
    return axis.step if axis.step is not None else float("nan")


def _um(axis: Axis) -> float:
    return 1.0 if axis.units == units.PIXEL else units.convert_factor(axis.units, units.LENGTH)


def _plain(data: Any, colours: list[str]) -> Any:
    """Return values as they are, those of an RGB record array with the colours last."""
    return np.stack([data[name] for name in colours], axis=-1) if colours else data


def _quantity_unit(metadata: Mapping[str, Any]) -> str:
    """Return ``count`` where a quantity such as ``X-rays (Counts)`` names it, else 1."""
    quantity = str(lookup(metadata, "Signal", "quantity") or "")
    text = quantity.rpartition("(")[2].rstrip(")").strip() if "(" in quantity else quantity
    return "count" if text.lower() in ("counts", "count") else "1"
