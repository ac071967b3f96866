"""Units as files spell them: with escapes, capitals, or in another language."""

from __future__ import annotations

import re
from typing import Any, Final

from fusion import units

_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")
_MINUTES: Final = ("min", "mins", "mn")
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
