"""What ImageJ and tifffile write beside the values of a TIFF file: pixel sizes, times of frames, names of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fusion import units
from fusion.affine import Affine
from fusion.model import Axis
from volumes.readers import planes
from volumes.readers.unit_spelling import spelled

if TYPE_CHECKING:
    from tifffile import TiffFile

_PRINT: Final = ("inch", "inches", "in")
"""What ImageJ calls the unit where it took a print size, 72 dpi, from another program's file."""
_TAG_UNITS: Final = {2: "inch", 3: "cm"}


class Description(NamedTuple):
    """What a program wrote about one image of a file; see `fusion.reading.stored_array.StoredArray`."""

    axes: Mapping[str, Axis] = {}
    labels: Mapping[str, Sequence[str]] = {}
    metadata: Mapping[str, Any] = {}
    dataset_attrs: Mapping[str, Any] = {}
    pose: Affine | None = None
    doubts: Mapping[str, str] = {}


def imagej(tif: TiffFile) -> Description:
    """Read what ImageJ writes: resolution tags in pixels per unit, origins in pixels, ``spacing`` between planes.

    Lengths are in ``unit``, or ``yunit`` and ``zunit`` along these axes; ``finterval`` is in ``tunit``, s if left out.
    """
    header = tif.imagej_metadata or {}
    spacing = planes.number(header.get("spacing"))
    steps = {**_resolution(tif), "z": abs(spacing) if spacing else None}
    lengths = {dim: _imagej_axis(header, dim, step) for dim, step in steps.items() if step}
    time, doubts = _frame_interval(header)
    axes = {**{dim: axis for dim, axis in lengths.items() if axis is not None}, **time}
    return Description(axes, {"channel": _imagej_channels(header)}, dict(header), doubts=doubts)


def _imagej_axis(header: Mapping[str, Any], dim: str, step: float) -> Axis | None:
    written = header.get(f"{dim}unit", header.get("unit", "pixel"))
    unit = None if written in _PRINT else spelled(written, units.LENGTH)
    if unit is None:
        return None
    return Axis(unit, step=step, offset=-(planes.number(header.get(f"{dim}origin")) or 0.0) * step)


def _frame_interval(header: Mapping[str, Any]) -> tuple[dict[str, Axis], dict[str, str]]:
    """Return the axis of time, or why it is in doubt: its unit is not known."""
    interval = planes.number(header.get("finterval"))
    if not interval or interval < 0:
        return {}, {}
    written = header.get("tunit", "s")
    unit = spelled(written, "s")
    if unit is None:
        return {}, {"time": f"its frame interval is {interval:g} {written!r}, which is no unit of time"}
    return {"time": Axis(unit, step=interval)}, {}


def _imagej_channels(header: Mapping[str, Any]) -> Sequence[str]:
    """Return the labels of slices, channels first, if they name channels: one name for each, the same in all planes."""
    labels, channels = list(header.get("Labels", ())), int(header.get("channels", 1))
    names = labels[:channels]
    repeated = len(labels) % channels == 0 and labels == names * (len(labels) // channels)
    return (planes.distinct(names) or ()) if repeated else ()


def shaped(tif: TiffFile, dims: tuple[str, ...]) -> Description:
    """Read the JSON that tifffile writes: ``spacing`` between planes in ``unit``, and the resolution tags.

    The tags have a unit of their own, inch unless the writer asked for another. They count beside a spacing, or where
    they have none and the JSON names one.
    """
    header = dict((tif.shaped_metadata or ({},))[0])
    unit, tagged = spelled(header.get("unit"), units.LENGTH), _TAG_UNITS.get(int(tif.pages.first.resolutionunit))
    spacing, steps = planes.number(header.get("spacing")), _resolution(tif)
    time, doubts = _frame_interval(header)
    metadata = {**_resolution_tags(tif), **header}
    if unit is None or (spacing is None and tagged):
        return Description(time, metadata=metadata, doubts=doubts)
    flat = {dim: Axis(tagged or unit, step=step) for dim, step in steps.items()}
    depth = {"z": Axis(unit, step=abs(spacing))} if spacing and "z" in dims else {}
    if spacing and tagged:
        doubts = {**doubts, **_misread(steps, tagged, unit, abs(spacing))}
    return Description({**flat, **depth, **time}, metadata=metadata, doubts=doubts)


def _misread(steps: Mapping[str, float], tagged: str, unit: str, spacing: float) -> dict[str, str]:
    """Return why pixel sizes are in doubt: in the unit of the spacing they would fit the spacing better.

    A writer who gives pixels per um and forgets to say so leaves the tag at its default, inch: pixels 25,400 times too
    large. Voxels are rarely far from cubes: of the two readings the one whose ratio to the spacing is nearer to one
    is the likelier, and a file that has the other one is not believed.
    """
    tag, stated = (units.convert_factor(name, units.LENGTH) for name in (tagged, unit))
    doubts = {}
    for dim, step in steps.items():
        if abs(log(step / spacing)) < abs(log(step * tag / (spacing * stated))):
            doubts[dim] = (
                f"its pixels are {step * tag:g} um along {dim} by the resolution tag ({1 / step:g} per {tagged}) and "
                f"its planes {spacing * stated:g} um apart; perhaps {1 / step:g} per {unit} is meant"
            )
    return doubts


def _resolution(tif: TiffFile) -> dict[str, float]:
    """Return the length of a pixel along y and x, in the unit of the resolution tags."""
    tags = tif.pages.first.tags
    steps = {}
    for dim, key in (("y", "YResolution"), ("x", "XResolution")):
        pixels, length = tags.valueof(key, default=(0, 0))
        if pixels and length:
            steps[dim] = length / pixels
    return steps


def _resolution_tags(tif: TiffFile) -> dict[str, Any]:
    tags = tif.pages.first.tags
    return {key: tags.valueof(key) for key in ("XResolution", "YResolution", "ResolutionUnit") if key in tags}
