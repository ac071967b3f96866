"""Maps of JEOL (pts) that were stopped by hand, of which RosettaSciIO reads the complete sweeps without a word."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final

from fusion.errors import FileReadError
from spectra.attributes import lookup

Raw = dict[str, Any]
_LENGTH_AT: Final = 32
_MAP: Final = ("PTTD Data", "AnalyzableMap MeasData", "Doc")


def is_stopped(path: Path) -> bool:
    """Whether the field for the length of the events holds that of the file, as it does in a map that was stopped."""
    with path.open("rb") as stream:
        stream.seek(_LENGTH_AT)
        field = stream.read(4)
    return len(field) == 4 and struct.unpack("<I", field)[0] == path.stat().st_size


def complete_sweeps(raws: list[Raw], path: Path) -> list[Raw]:
    """Return the items of a file, those of a stopped map with the attribute ``truncated``.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them: the sum of the complete sweeps.
    path : Path

    Raises
    ------
    FileReadError
        If it was stopped within its first sweep.
    """
    if path.suffix.lower() != ".pts" or not is_stopped(path):
        return raws
    document = lookup(raws[0].get("original_metadata"), *_MAP) or {}
    sweeps, lines = int(document.get("Sweep", 0)), int(document.get("ScanLine", 0))
    height = max((int(axis["size"]) for raw in raws for axis in raw["axes"] if axis["name"] == "y"), default=0)
    complete = sweeps if lines >= height else sweeps - 1
    if complete < 1:
        reason = f"its map was stopped in line {lines} of {height} of the first sweep, and holds no complete one"
        raise FileReadError(path, reason, hint="measure at least one sweep")
    rest = f"; the {lines} of {height} lines of the next one are left out" if complete < sweeps else ""
    return [{**raw, "attrs": {"truncated": f"complete sweeps: {complete}{rest}"}} for raw in raws]
