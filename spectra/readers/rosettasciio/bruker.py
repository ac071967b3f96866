"""What RosettaSciIO leaves aside in files of Bruker (bcf): the step along x, the outline of the map, the tilt.

The header has a step for each direction (``DX``, ``DY`` in um); RosettaSciIO gives both axes of a map ``DY``, and those
of its images each their own. A file with EBSD patterns has the tilt of the specimen in ``EBSDData/Calibration``.
"""

from __future__ import annotations

import re
from contextlib import suppress
from math import degrees
from pathlib import Path
from typing import Any, Final

from spectra.attributes import lookup

Raw = dict[str, Any]
_STEPS: Final = {"width": "DX", "height": "DY"}
_CALIBRATION: Final = "EBSDData/Calibration"
_TILT: Final = re.compile(rb"<ProbeTilt>\s*([-+0-9.eE]+)\s*</ProbeTilt>")


def measured(raws: list[Raw], path: Path) -> list[Raw]:
    """Return the items of a file with their own steps along x and y, and with attributes for outline and tilt.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them.
    path : Path
    """
    tilt = _specimen_tilt(path)
    return [{**_stepped(raw), "attrs": {**_outline(raw), **tilt}} for raw in raws]


def _stepped(raw: Raw) -> Raw:
    steps = lookup(raw.get("original_metadata"), "Microscope") or {}
    axes = [
        {**axis, "scale": steps[_STEPS[axis["name"]]]} if _STEPS.get(axis["name"]) in steps else axis
        for axis in raw["axes"]
    ]
    return {**raw, "axes": axes}


def _outline(raw: Raw) -> dict[str, list[float]]:
    """Return the rectangle of the map in its overview image, in um: y, x of its first corner, y, x of its last."""
    marker = lookup(raw.get("metadata"), "Markers", "overview")
    if not marker:
        return {}
    (x, y), width, height = marker["offsets"][0], marker["widths"][0], marker["heights"][0]
    return {"map_outline": [float(value) for value in (y - height / 2, x - width / 2, y + height / 2, x + width / 2)]}


def _specimen_tilt(path: Path) -> dict[str, float]:
    """Return the tilt of the specimen in degrees where the file has a calibration of its EBSD camera."""
    if path.suffix.lower() != ".bcf":
        return {}
    from rsciio.bruker._api import SFS_reader

    with suppress(Exception):  # most files have no such entry, and the container may be damaged
        text = SFS_reader(str(path)).get_file(_CALIBRATION).get_as_BytesIO_string().getvalue()
        tilt = _TILT.search(text)
        return {"specimen_tilt": round(degrees(float(tilt[1])), 6)} if tilt else {}
    return {}
