"""What the formats of light microscopes have in common: files of planes, read by optional libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, prod
from typing import Any, Final

import numpy as np

from fusion.reading.lazy import by_rows

LAZY_ABOVE: Final = 256 * 2**20
_TECHNIQUES: Final = {
    "LaserScanningConfocalMicroscopy": "confocal", "SpinningDiskConfocal": "confocal", "SlitScanConfocal": "confocal",
    "SweptFieldConfocal": "confocal", "WideField": "widefield", "STED": "STED", "TIRF": "TIRF",
    "TotalInternalReflection": "TIRF", "StructuredIllumination": "SIM", "MultiPhotonMicroscopy": "multiphoton",
    "SPIM": "light sheet", "BrightField": "brightfield", "PALM": "SMLM", "STORM": "SMLM",
}  # fmt: skip
Index = tuple[int, ...]
Planes = Callable[[Sequence[Index]], Sequence[Any]]


def is_large(shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether an array stays lazy: above 256 MB."""
    return bool(prod(shape) * np.dtype(dtype).itemsize > LAZY_ABOVE)


def stacked(read: Planes, outer: Index, plane: Index, dtype: Any) -> Any:
    """Return planes as one array of shape ``outer + plane``: read at once, or lazily above 256 MB, a chunk for each.

    `read` takes the indices of planes, opens the file, and closes it again.
    """
    indices = list(np.ndindex(*outer))
    if not is_large(outer + plane, dtype):
        return np.stack([np.asarray(values) for values in read(indices)]).reshape(outer + plane)
    lazy = by_rows(lambda row: np.asarray(read([indices[row]])[0]), len(indices), plane, dtype)
    return lazy.reshape(outer + plane)


def number(value: Any) -> float | None:
    """Return a finite number as a file writes it, else None: NaN, text, nothing.

    Examples
    --------
    >>> number("0.5"), number(float("nan")), number((0, 5)), number(None)
    (0.5, None, None, None)
    """
    try:
        parsed = float(value)
    except (TypeError, ValueError):
        return None
    return parsed if isfinite(parsed) else None


def distinct(names: Sequence[str]) -> Sequence[str] | None:
    """Return the names of channels if each has one of its own, else None: they are then counted."""
    return names if all(names) and len(set(names)) == len(names) else None


def technique(modes: Sequence[str | None]) -> dict[str, str]:
    """Return the technique that all channels share, by their AcquisitionMode (OME data model, 2016-06).

    Examples
    --------
    >>> technique(["WideField", "WideField"]), technique(["WideField", "STED"])
    ({'technique': 'widefield'}, {})
    """
    shared = {_TECHNIQUES.get(mode or "") for mode in modes}
    only = shared.pop() if len(shared) == 1 else None
    return {"technique": only} if only else {}
