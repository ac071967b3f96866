"""Spectra of TIA (emi, ser), of which RosettaSciIO does not say whether they are X-rays or energy losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from fusion import units
from spectra.attributes import lookup

Raw = dict[str, Any]
_WIDE: Final = 4.0
"""keV"""


def typed(raws: list[Raw], path: Path) -> list[Raw]:
    """Return the items of a file with the signal type that the span of their energies tells.

    An X-ray detector covers 5 keV and more, an energy-loss spectrometer less, so that the span of the axis tells. The
    mode of the energy filter does not: it stays "Spectroscopy" while X-rays are measured.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them.
    path : Path
    """
    return [_typed(raw) for raw in raws]


def _typed(raw: Raw) -> Raw:
    axis = next((axis for axis in raw["axes"] if axis["name"] == "Energy"), None)
    metadata = raw.get("metadata") or {}
    if axis is None or lookup(metadata, "Signal", "signal_type"):
        return raw
    span = float(np.abs(axis["scale"])) * int(axis["size"]) * units.convert_factor(axis["units"] or "eV", "keV")
    signal_type = "EELS" if span < _WIDE else "EDS_TEM"
    return {**raw, "metadata": {**metadata, "Signal": {**metadata.get("Signal", {}), "signal_type": signal_type}}}
