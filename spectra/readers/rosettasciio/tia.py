"""Files of TIA (emi, ser), of which RosettaSciIO does not say whether spectra are X-rays or energy losses.

It also takes every number for one of metres: where a ser file without its emi file holds a diffraction pattern they are
those of reciprocal metres, and where spectra were taken at points, or nobody calibrated, the step is 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from fusion import units
from spectra.attributes import lookup

Raw = dict[str, Any]
_WIDE: Final = 4.0
"""keV"""
_LARGEST: Final = 1e3
"""um: no electron microscope has a pixel of a millimetre."""
_UNCALIBRATED: Final = 1e6
"""um: a step of 1 that is taken for a metre."""


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
    return [_typed({**raw, "axes": [_measured(axis) for axis in raw["axes"]]}) for raw in raws]


def _measured(axis: Raw) -> Raw:
    """Return an axis whose unit fits its step."""
    unit = axis.get("units")
    if not units.is_compatible(unit, units.LENGTH) or "scale" not in axis:
        return axis
    step = abs(float(axis["scale"])) * units.convert_factor(unit, units.LENGTH)
    if step < _LARGEST:
        return axis
    if step == _UNCALIBRATED:
        return {**axis, "units": None, "scale": 1.0, "offset": 0.0}
    return {**axis, "units": f"1/{unit}"}


def _typed(raw: Raw) -> Raw:
    axis = next((axis for axis in raw["axes"] if axis["name"] == "Energy"), None)
    metadata = raw.get("metadata") or {}
    if axis is None or lookup(metadata, "Signal", "signal_type"):
        return raw
    span = float(np.abs(axis["scale"])) * int(axis["size"]) * units.convert_factor(axis["units"] or "eV", "keV")
    signal_type = "EELS" if span < _WIDE else "EDS_TEM"
    return {**raw, "metadata": {**metadata, "Signal": {**metadata.get("Signal", {}), "signal_type": signal_type}}}
