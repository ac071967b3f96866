"""Units as files spell them: with escapes, capitals, or in another language."""

from __future__ import annotations

import re
from typing import Any, Final

from fusion import units

_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")
_MINUTES: Final = ("min", "mins", "mn")


def spelled(unit: Any, wanted: str) -> str | None:
    r"""Return a unit of the kind of `wanted` as a file spells it, else None.

    Examples
    --------
    >>> spelled(r"\u00B5m", "um"), spelled("Sec", "s"), spelled("Min", "s"), spelled("pixel", "um")
    ('µm', 'sec', 'min', None)
    """
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), str(unit)).strip()
    if wanted == "s" and text.lower() in _MINUTES:
        return "min"
    return next((spelling for spelling in (text, text.lower()) if units.is_compatible(spelling, wanted)), None)
