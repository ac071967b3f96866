"""What RosettaSciIO leaves aside in Ripple files (rpl beside raw): that an axis without a zero is no energy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Raw = dict[str, Any]
_NEEDED = ("depth-scale", "depth-origin", "depth-units")


def channels(raws: list[Raw], path: Path) -> list[Raw]:
    """Let the depth of a map run along the channels of the detector, unless the file says scale, zero and unit.

    What other programs write has no more than ``ev-per-chan``: the energy of the first channel is not known, and
    `spectra.calibrate` takes it from the user.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them.
    path : Path
    """
    return [raw if all(key in raw["original_metadata"] for key in _NEEDED) else _plain(raw) for raw in raws]


def _plain(raw: Raw) -> Raw:
    plain = {"name": "channel", "units": "", "scale": 1.0, "offset": 0.0}
    return {**raw, "axes": [{**axis, **plain} if axis["name"] == "depth" else axis for axis in raw["axes"]]}
