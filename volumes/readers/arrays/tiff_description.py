"""What ImageJ and tifffile write beside the values of a TIFF file: pixel sizes, times of frames, names of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fusion import units
from fusion.affine import Affine
from fusion.model import Axis
from volumes.readers import planes
from volumes.readers.unit_spelling import doubt, spelled

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
    pages: str = "z"
    """What pages without a name of their own run along."""


def imagej(tif: TiffFile) -> Description:
    """Read what ImageJ writes: resolution tags in pixels per unit, origins in pixels, ``spacing`` between planes.

    Lengths are in ``unit``, or ``yunit`` and ``zunit`` along these axes; ``finterval`` is in ``tunit``, s if left out.
    """
    header = tif.imagej_metadata or {}
    spacing = planes.number(header.get("spacing"))
    flat = _resolution(tif)
    steps = {**flat, "z": abs(spacing) if spacing else None}
    lengths = {dim: _imagej_axis(header, dim, step) for dim, step in steps.items() if step}
    time, doubts = _frame_interval(header)
    tagged, unit = _tagged(tif), spelled(header.get("unit"), units.LENGTH)
    if tagged and unit and spacing and "yunit" not in header and "zunit" not in header:
        doubts = {**doubts, **_misread(flat, unit, tagged, abs(spacing) * units.convert_factor(unit, units.LENGTH))}
    axes = {**{dim: axis for dim, axis in lengths.items() if axis is not None}, **time}
    unknown = {dim: doubt(dim, _imagej_unit(header, dim), steps[dim]) for dim, axis in lengths.items() if axis is None}
    doubts = {**doubts, **{dim: reason for dim, reason in unknown.items() if reason}}
    return Description(axes, {"channel": _imagej_channels(header)}, dict(header), doubts=doubts)


def _imagej_axis(header: Mapping[str, Any], dim: str, step: float) -> Axis | None:
    unit = spelled(_imagej_unit(header, dim), units.LENGTH)
    if unit is None:
        return None
    return Axis(unit, step=step, offset=-(planes.number(header.get(f"{dim}origin")) or 0.0) * step)


def _imagej_unit(header: Mapping[str, Any], dim: str) -> Any:
    """Return the unit along an axis as the file has it; a print size is none."""
    written = header.get(f"{dim}unit", header.get("unit", units.PIXEL))
    return units.PIXEL if written in (*_PRINT, "") else written


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


def calibration(tif: TiffFile) -> dict[str, str]:
    """Return the attribute that tells ImageJ's straight line from stored to calibrated values; these are as stored."""
    header = tif.imagej_metadata or {}
    offset, slope = planes.number(header.get("c0")), planes.number(header.get("c1"))
    if planes.number(header.get("cf")) != 0 or offset is None or slope is None:
        return {}
    unit = str(header.get("vunit", "")).strip()
    return {"calibration": f"value = {offset:g} + {slope:g} · stored{f', {unit}' if unit else ''}"}


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
    unit, tagged = spelled(header.get("unit"), units.LENGTH), _tagged(tif)
    spacing, steps = planes.number(header.get("spacing")), _resolution(tif)
    time, doubts = _frame_interval(header)
    metadata = {**_resolution_tags(tif), **header}
    if unit is None or (spacing is None and tagged):
        return Description(time, metadata=metadata, doubts=doubts)
    flat = {dim: Axis(tagged or unit, step=step) for dim, step in steps.items()}
    depth = {"z": Axis(unit, step=abs(spacing))} if spacing and "z" in dims else {}
    if spacing and tagged:
        doubts = {**doubts, **_misread(steps, tagged, unit, abs(spacing) * units.convert_factor(unit, units.LENGTH))}
    return Description({**flat, **depth, **time}, metadata=metadata, doubts=doubts)


def _misread(steps: Mapping[str, float], believed: str, other: str, spacing: float) -> dict[str, str]:
    """Return why pixel sizes are in doubt: in the other of the two units of a file they would fit the spacing better.

    A writer who gives pixels per um and forgets to say so leaves the tag at its default, inch: pixels 25,400 times too
    large. Voxels are rarely far from cubes: of the two readings the one whose ratio to the spacing, in um, is nearer to
    one is the likelier, and a file that has the other one is not believed.
    """
    factor, otherwise = (units.convert_factor(name, units.LENGTH) for name in (believed, other))
    doubts = {}
    for dim, step in steps.items():
        if abs(log(step * otherwise / spacing)) < abs(log(step * factor / spacing)):
            doubts[dim] = (
                f"its pixels are {step * factor:g} um along {dim} by the resolution tag ({1 / step:g} per {believed}) "
                f"and its planes {spacing:g} um apart; perhaps {1 / step:g} per {other} is meant"
            )
    return doubts


def _tagged(tif: TiffFile) -> str | None:
    """Return the unit of the resolution tags; None where they have none."""
    return _TAG_UNITS.get(int(tif.pages.first.resolutionunit))


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
