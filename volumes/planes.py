"""What the formats of light microscopes have in common: files of planes, read by optional libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from fusion.errors import FileReadError

LAZY_ABOVE: Final = 256 * 2**20
_TECHNIQUES: Final = {
    "LaserScanningConfocalMicroscopy": "confocal", "SpinningDiskConfocal": "confocal", "SlitScanConfocal": "confocal",
    "SweptFieldConfocal": "confocal", "WideField": "widefield", "STED": "STED", "TIRF": "TIRF",
    "TotalInternalReflection": "TIRF", "StructuredIllumination": "SIM", "MultiPhotonMicroscopy": "multiphoton",
    "SPIM": "light sheet", "BrightField": "brightfield", "PALM": "SMLM", "STORM": "SMLM",
}  # fmt: skip
Index = tuple[int, ...]
Planes = Callable[[Sequence[Index]], Sequence[Any]]


def missing(path: Path, library: str) -> FileReadError:
    """Return the error that says which optional library reads a file."""
    hint = "pip install conspectus[lm]"
    return FileReadError(path, f"this format is read by {library}, which is not installed", hint=hint)


def stacked(read: Planes, outer: Index, plane: Index, dtype: Any) -> Any:
    """Return planes as one array of shape ``outer + plane``: read at once, or lazily above 256 MB, a chunk for each.

    `read` takes the indices of planes, opens the file, and closes it again.
    """
    indices = list(np.ndindex(*outer))
    if prod(outer + plane) * np.dtype(dtype).itemsize <= LAZY_ABOVE:
        return np.stack([np.asarray(values) for values in read(indices)]).reshape(outer + plane)
    import dask.array as da
    from dask.delayed import delayed

    def one(index: Index) -> Any:
        return np.asarray(read([index])[0])

    lazy = [da.from_delayed(delayed(one)(index), plane, dtype) for index in indices]
    return da.stack(lazy).reshape(outer + plane)


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
    found = {_TECHNIQUES.get(mode or "") for mode in modes}
    only = found.pop() if len(found) == 1 else None
    return {"technique": only} if only else {}
