"""Positions in files of Velox (emd), which start at the edge of the first pixel and not at its centre."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from spectra.attributes import lookup

Raw = dict[str, Any]
_SPATIAL: Final = ("x", "y")


def centred(raws: list[Raw], path: Path) -> list[Raw]:
    """Return the items of a Velox file with the offsets of their pixel centres: half a pixel on.

    ``BinaryResult/Offset`` counts from the middle of the field of view: of n pixels of the size s it is -n s / 2 where
    the whole field was scanned, which is the edge of the first one. All items of a file count from that same middle.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them; those of other emd files (Berkeley) stay as they are.
    path : Path
    """
    return [_centred(raw) if lookup(raw.get("original_metadata"), "BinaryResult") else raw for raw in raws]


def _centred(raw: Raw) -> Raw:
    axes = [
        {**axis, "offset": axis["offset"] + axis["scale"] / 2.0} if axis["name"] in _SPATIAL and axis["units"] else axis
        for axis in raw["axes"]
    ]
    return {**raw, "axes": axes, "central": True}
