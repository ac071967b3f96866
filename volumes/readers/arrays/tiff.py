"""TIFF files: plain stacks, ImageJ, OME, and images of electron microscopes (`volumes.readers.electrons.sem`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fusion import units
from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.lazy import by_rows
from fusion.reading.stage import STAGE
from fusion.reading.stored_array import StoredArray
from volumes.readers import planes
from volumes.readers.electrons import sem
from volumes.readers.light import ome

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

_AXES: Final = {"X": "x", "Y": "y", "Z": "z", "I": "z", "Q": "z", "C": "channel", "S": "channel", "T": "time"}
_FAULTS: Final = ("corrupt", "invalid page", "invalid value offset")
_PRINT: Final = ("inch", "inches", "in")
"""What ImageJ calls the unit where it took a print size, 72 dpi, from another program's file."""
_RGB: Final = ("red", "green", "blue", "alpha")


def arrays(path: Path) -> list[StoredArray]:
    """List the series of a TIFF file.

    Pages without a name are taken as z. A resolution tag alone is not believed, because most programs write the
    print size there; it counts in ImageJ files and beside a stated unit.
    """
    with opened(path) as tif:
        return [_part(path, tif, index) for index in range(len(tif.series))]


@contextmanager
def opened(path: Path) -> Iterator[TiffFile]:
    """Open a TIFF file and refuse one that is cut short or points to other files."""
    import tifffile

    complaints = _Complaints()
    tifffile.logger().addFilter(complaints)
    try:
        with tifffile.TiffFile(path, _multifile=False) as tif:
            _require_whole(path, tif)
            if complaints.faults:
                raise FileReadError(path, f"damaged TIFF ({complaints.faults[0]})", hint="copy or export it again")
            yield tif
    finally:
        tifffile.logger().removeFilter(complaints)


class _Complaints(logging.Filter):
    """Collects what tifffile only logs, because it goes on with part of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if any(words in message for words in _FAULTS):
            self.faults.append(message)
        return False


def _require_whole(path: Path, tif: TiffFile) -> None:
    if tif.is_ome and any(series.kind != "ome" for series in tif.series):
        reason = "its OME-XML points to other files, or is damaged"
        raise FileReadError(path, reason, hint="export it as one file")
    size = tif.filehandle.size
    for series in tif.series:
        pages: list[Any] = list(series.pages)
        if None in pages:
            reason = "some of its planes are not in it: it is one of several files, or the measurement was stopped"
            raise FileReadError(path, reason, hint="export what there is as one file")
        if series.dataoffset is None and sum(page.size for page in pages) < series.size:
            reason = f"it names {series.axes} {series.shape}, and holds {len(pages)} pages of {pages[0].shape}"
            raise FileReadError(path, reason, hint="copy it again, or export what there is")
        ends = [
            start + count for page in pages for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ]
        if series.dataoffset is not None:
            ends.append(series.dataoffset + series.nbytes)
        if max(ends, default=0) > size:
            raise FileReadError(path, "the file is cut short", hint="copy it again from the microscope")


def _part(path: Path, tif: TiffFile, index: int) -> StoredArray:
    series = tif.series[index]
    dims = _dims(path, series)
    said = _described(tif, index, dims)
    labels = said.labels
    sizes = dict(zip(dims, series.shape, strict=True))
    if "channel" in dims and "S" in series.axes and tif.pages.first.photometric == 2:
        labels = {"channel": _RGB[: sizes["channel"]]}
    part = StoredArray(
        name=_name(tif, index),
        dims=dims,
        shape=series.shape,
        dtype=series.dtype,
        load=partial(_load, path, index, series.shape, series.dtype),
        axes={dim: axis for dim, axis in said.axes.items() if dim in dims},
        labels={dim: names for dim, names in labels.items() if len(names) == sizes.get(dim)},
        dataset_attrs=said.about,
        pose=said.pose,
        frame=STAGE if said.pose else "",
        metadata=said.metadata,
    )
    if tif.ome_metadata or tif.imagej_metadata or not {"y", "x"} <= sizes.keys():
        return part
    found = sem.described(tif, path, sizes["y"], sizes["x"])
    return part if found is None else _measured(part, found)


def _measured(part: StoredArray, found: sem.Field) -> StoredArray:
    """Return a part with what the microscope wrote about it."""
    frame = STAGE if found.pose else ""
    return replace(
        part,
        axes=found.axes,
        dataset_attrs=found.about,
        pose=found.pose,
        frame=frame,
        doubts=found.doubts,
        metadata=found.metadata,
    )


def _name(tif: TiffFile, index: int) -> str:
    """Return the name of a series if there are several; its number where they share one."""
    names = [series.name for series in tif.series]
    return "" if len(names) < 2 else names[index] if planes.distinct(names) else f"series {index}"


def _dims(path: Path, series: TiffPageSeries) -> tuple[str, ...]:
    dims = tuple(_AXES.get(letter, "") for letter in series.axes)
    if "" in dims or len(set(dims)) < len(dims):
        reason = f"axes {series.axes!r} of shape {series.shape} cannot be told apart; one each of T, Z, C, Y, X is read"
        raise FileReadError(path, reason, hint="export one series or one channel at a time")
    return dims


def _load(path: Path, index: int, shape: tuple[int, ...], dtype: Any) -> Any:
    with opened(path) as tif:
        series = tif.series[index]
        in_rows = series.dataoffset is not None or len(series.pages) % shape[0] == 0
        if not (planes.is_large(shape, dtype) and len(shape) > 2 and in_rows):
            return series.asarray()
    return by_rows(partial(_load_one, path, index), shape[0], shape[1:], dtype)


def _load_one(path: Path, index: int, first: int) -> Any:
    """Read one plane, or one block of planes; the file is closed again, so that no handle outlives the dataset."""
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tif:
        series = tif.series[index]
        shape = series.shape[1:]
        if series.dataoffset is None:
            count = len(series.pages) // series.shape[0]
            return tif.asarray(key=slice(first * count, (first + 1) * count), series=index).reshape(shape)
        # values without gaps: an ImageJ file of more than 4 GB has but one page
        size = prod(shape)
        start = series.dataoffset + first * size * series.dtype.itemsize
        return tif.filehandle.read_array(f"{tif.byteorder}{series.dtype.char}", size, start).reshape(shape)


def _described(tif: TiffFile, index: int, dims: tuple[str, ...]) -> ome.Described:
    """Return axes, channel names and raw metadata from whichever program wrote the file."""
    if tif.ome_metadata:
        return ome.described(tif.ome_metadata, index)
    if tif.imagej_metadata:
        labels = {"channel": _imagej_channels(tif.imagej_metadata)}
        return ome.Described(_imagej(tif), labels, dict(tif.imagej_metadata))
    said = dict((tif.shaped_metadata or ({},))[0])
    return ome.Described(_spaced(tif, said, dims), {}, {**_resolution_tags(tif), **said})


def _imagej(tif: TiffFile) -> dict[str, Axis]:
    """Resolution tags hold pixels per unit; origins are in pixels; ``spacing`` is the distance of planes."""
    said = tif.imagej_metadata or {}
    z = planes.number(said.get("spacing"))
    steps = {**_resolution(tif), "z": abs(z) if z else None}
    axes = {dim: _imagej_axis(said, dim, step) for dim, step in steps.items() if step}
    interval = planes.number(said.get("finterval"))
    if interval and interval > 0:
        axes["time"] = Axis("s", step=interval)
    return {dim: axis for dim, axis in axes.items() if axis is not None}


def _imagej_channels(said: Mapping[str, Any]) -> Sequence[str]:
    """Return the labels of slices, channels first, if they name channels: one name for each, the same in all planes."""
    labels, channels = list(said.get("Labels", ())), int(said.get("channels", 1))
    names = labels[:channels]
    repeated = len(labels) % channels == 0 and labels == names * (len(labels) // channels)
    return (planes.distinct(names) or ()) if repeated else ()


def _imagej_axis(said: Mapping[str, Any], dim: str, step: float) -> Axis | None:
    unit = str(said.get(f"{dim}unit", said.get("unit", "pixel"))).replace("\\u00B5", "µ")
    if unit in _PRINT or not units.is_compatible(unit, units.LENGTH):
        return None
    return Axis(unit, step=step, offset=-(planes.number(said.get(f"{dim}origin")) or 0.0) * step)


def _spaced(tif: TiffFile, said: Mapping[str, Any], dims: tuple[str, ...]) -> dict[str, Axis]:
    """Read the description that tifffile writes, where it names a spacing and its unit."""
    if "spacing" not in said or not units.is_compatible(said.get("unit"), units.LENGTH):
        return {}
    per_unit = {1: said["unit"], 2: "inch", 3: "cm"}[int(tif.pages.first.resolutionunit)]
    flat = {dim: Axis(per_unit, step=step) for dim, step in _resolution(tif).items()}
    return {**flat, "z": Axis(said["unit"], step=float(said["spacing"]))} if "z" in dims else flat


def _resolution(tif: TiffFile) -> dict[str, float]:
    tags = tif.pages.first.tags
    found = {}
    for dim, key in (("y", "YResolution"), ("x", "XResolution")):
        pixels, length = tags.valueof(key, default=(0, 0))
        if pixels and length:
            found[dim] = length / pixels
    return found


def _resolution_tags(tif: TiffFile) -> dict[str, Any]:
    tags = tif.pages.first.tags
    return {key: tags.valueof(key) for key in ("XResolution", "YResolution", "ResolutionUnit") if key in tags}
