"""OME-XML (data model 2016-06) inside TIFF files: sizes, channels, technique, and where the stage stood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fusion import units
from fusion.affine import Affine
from fusion.model import Axis
from volumes.readers import planes

_STEPS: Final = {"z": "PhysicalSizeZ", "y": "PhysicalSizeY", "x": "PhysicalSizeX", "time": "TimeIncrement"}


class Described(NamedTuple):
    """What a file says about one image; see `fusion.reading.stored_array.StoredArray`."""

    axes: Mapping[str, Axis]
    labels: Mapping[str, Sequence[str]]
    metadata: Mapping[str, Any]
    about: Mapping[str, Any] = {}
    pose: Affine | None = None


def described(xml: str, index: int) -> Described:
    """Read one image of an OME-XML text.

    A size without a unit is in um, a time in s; one that is not above zero is none.
    """
    import tifffile

    said = tifffile.xml2dict(xml)["OME"]
    pixels = _many(said["Image"])[index]["Pixels"]
    channels = _many(pixels.get("Channel", []))
    axes = {dim: axis for dim, key in _STEPS.items() if (axis := _axis(pixels, dim, key)) is not None}
    names = [str(channel.get("Name", i)) for i, channel in enumerate(channels)]
    about = {**planes.technique([channel.get("AcquisitionMode") for channel in channels]), **_instrument(said)}
    return Described(axes, {"channel": planes.distinct(names) or ()}, said, about, _pose(pixels, axes))


def _axis(pixels: Mapping[str, Any], dim: str, key: str) -> Axis | None:
    wanted = "s" if dim == "time" else units.LENGTH
    unit = str(pixels.get(f"{key}Unit", wanted))
    step = planes.number(pixels.get(key))
    known = step is not None and step > 0 and units.is_compatible(unit, wanted)
    return Axis(unit, step=step) if known else None


def _instrument(said: Mapping[str, Any]) -> dict[str, str]:
    found = _many(said.get("Instrument", []))
    scope = found[0].get("Microscope", {}) if len(found) == 1 else {}
    name = " ".join(str(scope[key]) for key in ("Manufacturer", "Model") if scope.get(key))
    return {"instrument": name} if name else {}


def _pose(pixels: Mapping[str, Any], axes: Mapping[str, Axis]) -> Affine | None:
    """Return the shift that takes the middle of the image, which lies on the optical axis, to the place of the stage.

    The stage is taken as parallel to the image. None where a plane lies elsewhere, or in the "reference frame" without
    a unit, which is no place that another file shares.
    """
    held = _many(pixels.get("Plane", []))
    places = np.array([[_place(plane, dim) for dim in "zyx"] for plane in held]).reshape(-1, 3)
    flat = places[:, 1:]
    if not flat.size or not np.isfinite(flat).all() or np.ptp(flat, axis=0).any() or not {"y", "x"} <= set(axes):
        return None
    middle = [axes[dim].centres(int(pixels[f"Size{dim.upper()}"]), units.LENGTH).mean() for dim in ("y", "x")]
    y, x = flat[0] - middle
    if np.isnan(places[:, 0]).all():
        return Affine.translation(y=y, x=x)
    step = axes["z"].centres(2, units.LENGTH)[1] if "z" in axes else 0.0
    heights = places[:, 0] - step * np.array([int(plane["TheZ"]) for plane in held])
    even = np.ptp(heights) <= 0.01 * step  # also where a height is missing: NaN is not below
    return Affine.translation(z=heights[0], y=y, x=x) if even else None


def _place(plane: Mapping[str, Any], dim: str) -> float:
    key = f"Position{dim.upper()}"
    unit = plane.get(f"{key}Unit")
    known = key in plane and units.is_compatible(unit, units.LENGTH)
    return float(plane[key]) * units.convert_factor(unit, units.LENGTH) if known else np.nan


def _many(entry: Any) -> list[Any]:
    return list(entry) if isinstance(entry, (list, tuple)) else [entry]
