"""Maps of JEOL (pts) that were stopped by hand, of which RosettaSciIO reads the complete sweeps without a word.

A map that was stopped in its first sweep is read as far as it goes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final

import numpy as np

from spectra.attributes import lookup

Raw = dict[str, Any]
_LENGTH_AT: Final = 32
_WITH_SWEEPS: Final = 4
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
    """
    return [one for raw in raws for one in _as_measured(raw, _map_file(raw, path))]


def _map_file(raw: Raw, path: Path) -> Path | None:
    """Return the file of a map: this one, or the one beside a project (asw) that lists it."""
    if path.suffix.lower() == ".pts":
        return path
    name = str(lookup(raw.get("metadata"), "General", "original_filename") or "")
    return next(path.parent.glob(f"*/*/{name}"), None) if name.lower().endswith(".pts") else None


def _as_measured(raw: Raw, path: Path | None) -> list[Raw]:
    document = lookup(raw.get("original_metadata"), *_MAP) or {}
    if path is None or not document or not is_stopped(path):
        return [raw]
    sweeps, lines = int(document.get("Sweep", 0)), int(document.get("ScanLine", 0))
    height = max((int(axis["size"]) for axis in raw["axes"] if axis["name"] == "y"), default=0)
    complete = sweeps if lines >= height else sweeps - 1
    if complete < 1:
        stopped = f"the first sweep ended in line {lines} of {height}; what lies below has no counts"
        return [{**one, "attrs": {"truncated": stopped}} for one in _first_sweep(path)]
    rest = f"; the {lines} of {height} lines of the next one are left out" if complete < sweeps else ""
    return [{**raw, "attrs": {"truncated": f"complete sweeps: {complete}{rest}"}}]


def _first_sweep(path: Path) -> list[Raw]:
    """Return the items of a map that holds no complete sweep, without the axis of sweeps."""
    from rsciio.jeol import file_reader

    raws = file_reader(str(path), lazy=True, SI_dtype=np.uint16, sum_frames=False, only_valid_data=False)
    return [_of_one_sweep(raw) if raw["data"].ndim == _WITH_SWEEPS else raw for raw in raws]


def _of_one_sweep(raw: Raw) -> Raw:
    axes = [{**axis, "index_in_array": index} for index, axis in enumerate(raw["axes"][1:])]
    return {**raw, "data": raw["data"][0], "axes": axes}
