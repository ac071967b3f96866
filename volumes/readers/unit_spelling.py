"""Units as files spell them: with escapes, capitals, or in another language."""

from __future__ import annotations

import re
from typing import Any, Final

from fusion import units
from fusion.conventions import SPATIAL

_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")
_MINUTES: Final = ("min", "mins", "mn")
_COUNTED: Final = ("1", units.PIXEL, "voxel", "voxels", "reference frame")
"""What is written where no size is known: the last by OME."""
_ANGSTROM: Final = "A"
"""A length of files of electron microscopy, where the SI has the ampere."""


def spelled(unit: Any, wanted: str) -> str | None:
    r"""Return a unit of the kind of `wanted` as a file spells it, else None.

    Examples
    --------
    >>> spelled(r"\u00B5m", "um"), spelled("A", "um"), spelled("Sec", "s"), spelled("Min", "s"), spelled("pixel", "um")
    ('µm', 'angstrom', 'sec', 'min', None)
    """
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), str(unit)).strip()
    if wanted == "s" and text.lower() in _MINUTES:
        return "min"
    if wanted == units.LENGTH and text == _ANGSTROM:
        return "angstrom"
    return next((spelling for spelling in (text, text.lower()) if units.is_compatible(spelling, wanted)), None)


def doubt(dim: str, unit: Any, step: float | None = None) -> str:
    """Return why an axis in a unit that is not known is in doubt; nothing where the unit says that no size is known.

    Examples
    --------
    >>> doubt("x", "furlong-ish", 0.5)
    "it gives a size of 0.5 along x in 'furlong-ish', which is no known unit of length"
    >>> doubt("x", "pixels")
    ''
    """
    text = str(unit).strip()
    if text.lower() in _COUNTED or units.is_compatible(text, units.PIXEL):
        return ""
    kind = "length" if dim in SPATIAL else dim
    amount = "positions" if step is None else f"a size of {step:g}"
    return f"it gives {amount} along {dim} in {text!r}, which is no known unit of {kind}"
