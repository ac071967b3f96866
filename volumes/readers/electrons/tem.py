"""Pixel sizes that programs of transmission electron microscopes write into tags of TIFF: DigitalMicrograph, Olympus.

DigitalMicrograph has a unit, an origin and a step for each axis, x first; its third axis may be one of time. Olympus
(Soft Imaging Solutions, now EMSIS) has the size of a pixel in m.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fusion import units
from fusion.model import Axis
from volumes.readers import planes
from volumes.readers.arrays.tiff_description import Description
from volumes.readers.unit_spelling import doubt, spelled

_GATAN: Final = {"x": (65003, 65006, 65009), "y": (65004, 65007, 65010), "z": (65005, 65008, 65011)}
"""Tags of unit, origin and step."""
_OLYMPUS: Final = 33560


def described(page: Any, dims: tuple[str, ...]) -> Description | None:
    """Return what such a program wrote about an image; None where none did.

    Parameters
    ----------
    page : TiffPage
        The first of the image.
    dims : tuple of str
        Of the image.
    """
    if _GATAN["x"][2] in page.tags:
        return _gatan(page, dims)
    sizes = page.tags.valueof(_OLYMPUS)
    return _olympus(sizes) if isinstance(sizes, Mapping) else None


def _gatan(page: Any, dims: tuple[str, ...]) -> Description:
    axes, doubts, metadata = {}, {}, {}
    for dim, tags in _GATAN.items():
        unit, origin, step = (page.tags.valueof(tag) for tag in tags)
        number = planes.number(step)
        if dim not in dims or not number:
            continue
        metadata[dim] = {"unit": unit, "origin": origin, "step": step}
        known = spelled(unit, units.LENGTH)
        if dim == "z" and known is None and (seconds := spelled(unit, "s")):
            axes["time"] = Axis(seconds, step=number, offset=planes.number(origin) or 0.0)
        elif known:
            axes[dim] = Axis(known, step=number, offset=planes.number(origin) or 0.0)
        elif unit and (reason := doubt(dim, unit, number)):
            doubts[dim] = reason
    pages = "time" if "time" in axes else "z"
    return Description(axes, metadata={"DigitalMicrograph": metadata}, doubts=doubts, pages=pages)


def _olympus(entries: Mapping[str, Any]) -> Description:
    sizes = {dim: planes.number(entries.get(f"pixelsize{dim}")) for dim in ("y", "x")}
    axes = {dim: Axis("m", step=size) for dim, size in sizes.items() if size and size > 0}
    return Description(axes, metadata={"OlympusSIS": {key: str(value) for key, value in entries.items()}})
