"""TIFF files: plain stacks, ImageJ, OME, and images of electron microscopes (`volumes.readers.electrons.sem`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fusion.errors import FileReadError
from fusion.reading.lazy import by_rows
from fusion.reading.opening import readable
from fusion.reading.stage import STAGE
from fusion.reading.stored_array import StoredArray, Unreadable
from volumes.readers import planes
from volumes.readers.arrays import orientation
from volumes.readers.arrays.tiff_description import Description, calibration, imagej, shaped
from volumes.readers.electrons import sem, tem
from volumes.readers.electrons.data_bar import DATA_BAR
from volumes.readers.light import ome

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

_AXES: Final = {"X": "x", "Y": "y", "Z": "z", "I": "z", "Q": "z", "C": "channel", "S": "channel", "T": "time"}
_FAULTS: Final = ("corrupt", "invalid page", "invalid value offset")
_RGB, _YCBCR, _JPEG = 2, 6, (6, 7)
_COLOURS: Final = ("red", "green", "blue", "alpha")
_MEANINGS: Final = {
    0: "white is zero: a large value is dark",
    3: "values are indices of a palette",
    5: "values are amounts of ink: cyan, magenta, yellow, black",
    6: "values are luma and chroma: Y, Cb, Cr",
    8: "values are CIE L*a*b*",
}
"""PhotometricInterpretation (TIFF 6.0, page 37) of images whose values are no amounts of light."""


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the series of a TIFF file.

    Pages without a name are taken as z. A resolution tag alone is not believed, because most programs write the
    print size there; it counts in ImageJ files and beside a stated unit. Values are those stored, in rows and columns
    as the tag of orientation says.
    """
    with opened(path) as tif:
        if len(tif.series) == 1:
            return [_array(path, tif, 0)]
        return [readable(path, _name(tif, i), partial(_array, path, tif, i)) for i in range(len(tif.series))]


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


def _array(path: Path, tif: TiffFile, index: int) -> StoredArray:
    series = tif.series[index]
    dims = _dims(path, series)
    description = _description(tif, index, dims)
    dims = tuple(description.pages if dim == "z" else dim for dim in dims)
    sizes = dict(zip(dims, series.shape, strict=True))
    labels = description.labels
    if "channel" in dims and "S" in series.axes and _is_rgb(series.keyframe):
        labels = {"channel": _COLOURS[: sizes["channel"]]}
    array = StoredArray(
        name=_name(tif, index),
        dims=dims,
        shape=series.shape,
        dtype=series.dtype,
        load=partial(_load, path, index, series.shape, series.dtype),
        axes={dim: axis for dim, axis in description.axes.items() if dim in dims},
        labels={dim: names for dim, names in labels.items() if len(names) == sizes.get(dim)},
        attrs={**_photometric(series), **calibration(tif)},
        dataset_attrs=description.dataset_attrs,
        pose=description.pose,
        frame=STAGE if description.pose else "",
        doubts={dim: reason for dim, reason in description.doubts.items() if dim in dims},
        metadata=description.metadata,
    )
    return _upright(path, series, _with_field(tif, path, array, sizes))


def _description(tif: TiffFile, index: int, dims: tuple[str, ...]) -> Description:
    """Return axes, channel names and metadata from whichever program wrote the file."""
    if tif.ome_metadata:
        return ome.described(tif.ome_metadata, tif.series, index)
    if tif.imagej_metadata:
        return imagej(tif)
    return tem.described(tif.series[index].keyframe, dims) or shaped(tif, dims)


def _is_rgb(page: Any) -> bool:
    """Whether values are red, green and blue; JPEG keeps luma and chroma, which are decoded to these."""
    return page.photometric == _RGB or (page.photometric == _YCBCR and page.compression in _JPEG)


def _photometric(series: TiffPageSeries) -> dict[str, str]:
    """Return the attribute that says what values stand for where they are not the light itself: they are as stored."""
    if _is_rgb(series.keyframe):
        return {}
    meaning = _MEANINGS.get(int(series.keyframe.photometric))
    colours = series.keyframe.colormap
    if meaning and colours is not None and (colours >> 8 == np.arange(colours.shape[1])).all():
        return {}  # each index is the grey that it stands for
    return {"photometric_interpretation": meaning} if meaning else {}


def _with_field(tif: TiffFile, path: Path, array: StoredArray, sizes: Mapping[str, int]) -> StoredArray:
    """Return an array with what an electron microscope wrote about it."""
    if tif.ome_metadata or tif.imagej_metadata or not {"y", "x"} <= sizes.keys():
        return array
    field = sem.described(tif, path, sizes["y"], sizes["x"])
    if field is None:
        return array
    return replace(
        array,
        axes=field.axes,
        dataset_attrs={**field.about, **({DATA_BAR: bar} if (bar := sizes["y"] - field.rows) > 0 else {})},
        pose=field.pose,
        frame=STAGE if field.pose else "",
        doubts=field.doubts,
        metadata=field.metadata,
    )


def _upright(path: Path, series: TiffPageSeries, array: StoredArray) -> StoredArray:
    """Return an array turned as the tag of its first page says; none of the others may say otherwise."""
    pages: list[Any] = [page for page in series.pages if hasattr(page, "tags")]
    first = pages[0].tags.valueof(orientation.TAG, 1)
    tags = {first, *(page.tags.valueof(orientation.TAG, first) for page in pages)}
    if not any(map(orientation.is_turned, tags)):
        return array
    if len(tags) > 1 or array.pose is not None or not {"y", "x"} <= set(array.dims or ()):
        values = ", ".join(map(str, sorted(tags)))
        reason = f"its pages lie in several orientations, or on a stage in one (tag {orientation.TAG} is {values})"
        raise FileReadError(path, reason, hint="turn it upright, e.g. with ImageJ, and save it")
    return orientation.upright(array, first)


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
