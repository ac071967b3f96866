"""OME-XML (data model 2016-06) inside TIFF files: sizes, channels, technique, and where the stage stood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from fusion import units
from fusion.affine import Affine
from fusion.model import Axis
from volumes.readers import planes
from volumes.readers.arrays.tiff_description import Description
from volumes.readers.unit_spelling import doubt

if TYPE_CHECKING:
    from tifffile import TiffPageSeries

_STEPS: Final = {"z": "PhysicalSizeZ", "y": "PhysicalSizeY", "x": "PhysicalSizeX", "time": "TimeIncrement"}
_OF_AN_INCH: Final = {"li": (12.0, "inch"), "pt": (72.0, "inch")}
"""OME's line and point, of which an inch has so many; elsewhere ``li`` is a surveyor's link."""


def described(xml: str, series: Sequence[TiffPageSeries], index: int) -> Description:
    """Read what an OME-XML text says of one of the images of a file.

    A size without a unit is in um, a time in s; one that is not above zero is none, and one in a unit that is not known
    is in doubt.

    Parameters
    ----------
    xml : str
    series : sequence of TiffPageSeries
        The images that hold planes, as tifffile lists them.
    index : int
        Which of them.

    Raises
    ------
    ValueError
        If it cannot be told which image of the text that is.
    """
    import tifffile

    document = tifffile.xml2dict(xml)["OME"]
    pixels = _pixels(document, series, index)
    channels = _many(pixels.get("Channel", []))
    steps = {dim: axis for dim, key in _STEPS.items() if (axis := _axis(pixels, dim, key)) is not None}
    axes = {**_times(pixels), **steps}
    names = [str(channel.get("Name", i)) for i, channel in enumerate(channels)]
    attrs = {**planes.technique([channel.get("AcquisitionMode") for channel in channels]), **_instrument(document)}
    labels = {"channel": planes.distinct(names) or ()}
    return Description(axes, labels, document, attrs, _pose(pixels, axes), _doubts(pixels, axes))


def _pixels(document: Mapping[str, Any], series: Sequence[TiffPageSeries], index: int) -> Mapping[str, Any]:
    """Return the entry of an image: by its first page, since an image without planes is no series."""
    entries = [
        pixels for image in _many(document["Image"]) for pixels in _many(image["Pixels"]) if "TiffData" in pixels
    ]
    first = [min(int(data.get("IFD", 0)) for data in map(_attributes, _many(pixels["TiffData"]))) for pixels in entries]
    pages = [min(page.index for page in one.pages if page is not None) for one in series]
    candidates = [pixels for pixels, page in zip(entries, first, strict=True) if page == pages[index]]
    if len(candidates) != 1 and len(entries) == len(series):
        return cast("Mapping[str, Any]", entries[index])
    if len(candidates) != 1:
        raise ValueError(f"{len(candidates)} images of its OME-XML begin at page {pages[index]}")
    return cast("Mapping[str, Any]", candidates[0])


def _attributes(data: Any) -> Mapping[str, Any]:
    """Return the attributes of an element; one without any is no mapping."""
    return data if isinstance(data, Mapping) else {}


def _axis(pixels: Mapping[str, Any], dim: str, key: str) -> Axis | None:
    wanted, (unit, step) = "s" if dim == "time" else units.LENGTH, _size(pixels, dim, key)
    if step is None or not units.is_compatible(unit, wanted):
        return None
    return Axis(unit, step=step, direction="down" if dim == "y" else "")


def _size(pixels: Mapping[str, Any], dim: str, key: str) -> tuple[str, float | None]:
    """Return the unit and the size of a step, None where the file has none above zero."""
    unit = str(pixels.get(f"{key}Unit", "s" if dim == "time" else units.LENGTH))
    parts, unit = _OF_AN_INCH.get(unit, (1.0, unit))
    step = planes.number(pixels.get(key))
    return unit, step / parts if step is not None and step > 0 else None


def _doubts(pixels: Mapping[str, Any], axes: Mapping[str, Axis]) -> dict[str, str]:
    """Return why the sizes whose unit is not known are in doubt."""
    sizes = {dim: _size(pixels, dim, key) for dim, key in _STEPS.items() if dim not in axes}
    reasons = {dim: doubt(dim, unit, step) for dim, (unit, step) in sizes.items() if step is not None}
    return {dim: reason for dim, reason in reasons.items() if reason}


def _times(pixels: Mapping[str, Any]) -> dict[str, Axis]:
    """Return the time of each frame, which is that of its first plane, if each has one and they rise."""
    frames = int(pixels["SizeT"])
    first = {int(plane["TheT"]): plane for plane in reversed(_many(pixels.get("Plane", []))) if "DeltaT" in plane}
    if frames < 2 or set(first) != set(range(frames)):
        return {}
    unit, *others = dict.fromkeys(str(plane.get("DeltaTUnit", "s")) for plane in first.values())
    times = np.array([planes.number(first[frame]["DeltaT"]) for frame in range(frames)], float)
    known = not others and units.is_compatible(unit, "s") and bool((np.diff(times) > 0).all())
    return {"time": Axis(unit, values=times)} if known else {}


def _instrument(document: Mapping[str, Any]) -> dict[str, str]:
    instruments = _many(document.get("Instrument", []))
    scope = instruments[0].get("Microscope", {}) if len(instruments) == 1 else {}
    name = " ".join(str(scope[key]) for key in ("Manufacturer", "Model") if scope.get(key))
    return {"instrument": name} if name else {}


def _pose(pixels: Mapping[str, Any], axes: Mapping[str, Axis]) -> Affine | None:
    """Return the shift that takes the middle of the image, which lies on the optical axis, to where the stage stood.

    The stage is taken as parallel to the image. None where the planes lie apart, or in the "reference frame" without
    a unit, which is no position that another file shares.
    """
    held = _many(pixels.get("Plane", []))
    positions = np.array([[_position(plane, dim) for dim in "zyx"] for plane in held]).reshape(-1, 3)
    flat = positions[:, 1:]
    if not flat.size or not np.isfinite(flat).all() or np.ptp(flat, axis=0).any() or not {"y", "x"} <= set(axes):
        return None
    middle = [axes[dim].centres(int(pixels[f"Size{dim.upper()}"]), units.LENGTH).mean() for dim in ("y", "x")]
    y, x = flat[0] - middle
    if np.isnan(positions[:, 0]).all():
        return Affine.translation(y=y, x=x)
    step = axes["z"].centres(2, units.LENGTH)[1] if "z" in axes else 0.0
    heights = positions[:, 0] - step * np.array([int(plane["TheZ"]) for plane in held])
    even = np.ptp(heights) <= 0.01 * step  # also where a height is missing: NaN is not below
    return Affine.translation(z=heights[0], y=y, x=x) if even else None


def _position(plane: Mapping[str, Any], dim: str) -> float:
    key = f"Position{dim.upper()}"
    unit = plane.get(f"{key}Unit")
    known = key in plane and units.is_compatible(unit, units.LENGTH)
    return float(plane[key]) * units.convert_factor(unit, units.LENGTH) if known else np.nan


def _many(entry: Any) -> list[Any]:
    return list(entry) if isinstance(entry, (list, tuple)) else [entry]
