"""Axes as vendors write them, brought to the names and units used here; the name decides, never the position."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from fusion import units
from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import UnitError
from fusion.model import Axis

_NAMES: Final[Mapping[str, str]] = {
    "x": "x", "width": "x", "scan x": "x", "x axis": "x",
    "y": "y", "height": "y", "scan y": "y", "y axis": "y",
    "z": "z", "depth": "z",
    "sample x": "x", "sample y": "y", "sample z": "z",
    "energy": "energy", "x-ray energy": "energy", "incident energy": "energy",
    "energy loss": "energy_loss", "electron energy loss": "energy_loss", "energy-loss": "energy_loss",
    "raman shift": "raman_shift", "rel. wavenumber": "raman_shift",
    "wavelength": "wavelength",
    "potential": "potential", "voltage": "potential", "bias": "potential", "bias voltage": "potential",
    "time": "time", "delay": "time",
    "mass to charge": "mass_to_charge", "m/z": "mass_to_charge", "mass/charge": "mass_to_charge",
    "tilt": "tilt", "tilts": "tilt", "tilt angle": "tilt", "projections": "tilt",
    "channel": "channel", "channels": "channel", "detector": "channel",
    "component": "component",
}  # fmt: skip
_ENERGY_LOSS: Final = ("EELS", "DielectricFunction")
_BY_UNIT: Final[Mapping[str, str]] = {"V": "potential", "s": "time", "degree": "tilt"}


def dim_name(name: str | None, unit: str | None, signal_type: str = "") -> str:
    """Return the dimension that an axis of a vendor's file stands for.

    Parameters
    ----------
    name, unit : str or None
        As they are in the file.
    signal_type : str, optional
        HyperSpy's word for the technique (``"EELS"``, ``"EDS_TEM"``); it tells an X-ray energy from an energy loss.

    Returns
    -------
    str
        One of ``z y x`` or of the signal axes in `fusion.conventions.SIGNAL`.

    Raises
    ------
    UnitError
        If neither the name nor the unit says what the axis is.

    Examples
    --------
    >>> [dim_name("width", "µm"), dim_name("X-ray energy", "keV"), dim_name("Energy", "eV", "EELS")]
    ['x', 'energy', 'energy_loss']
    """
    plain = re.sub(r"[\s_]+", " ", str(name or "")).strip().lower()
    unit = parse_unit(unit)
    dim = _NAMES.get(plain) or _by_unit(unit, signal_type)
    if dim is None:
        accepted = ", ".join([*SPATIAL, *SIGNAL])
        given = "without a unit" if unit == units.PIXEL else f"in {unit!r}"
        raise UnitError(f"axis {str(name or '')!r} {given} is none of the known axes ({accepted}); rename it")
    if dim == "energy" and signal_type in _ENERGY_LOSS:
        return "energy_loss"
    if dim in SIGNAL and dim != "channel" and unit == units.PIXEL:
        return "channel"
    return dim


def parse_unit(unit: Any) -> str:
    """Return the unit in the one spelling used here; ``"px"`` where the file gives none.

    Examples
    --------
    >>> [parse_unit(u) for u in ("μm", None, "", "<undefined>")]
    ['um', 'px', 'px', 'px']
    """
    text = str(unit) if unit is not None else ""
    parsed = "1" if text == "<undefined>" else units.parse(text)
    return units.PIXEL if parsed == "1" else parsed


def as_axis(dim: str, record: Mapping[str, Any]) -> Axis | list[str] | np.ndarray[Any, Any]:
    """Return an axis of RosettaSciIO (scale and offset, or the positions themselves) as it is labelled here.

    Parameters
    ----------
    dim : str
        What `dim_name` said.
    record : mapping
        ``name``, ``units``, ``size`` and either ``scale`` and ``offset`` or ``axis``.

    Returns
    -------
    Axis or sequence
        A plain sequence for the dims that have no unit.

    Raises
    ------
    UnitError
        If the axis is one that HyperSpy computes from an expression, which is code from the file.
    """
    if "expression" in record or record.get("_type") == "FunctionalDataAxis":
        raise UnitError(
            f"axis {record.get('name')!r} is a formula stored in the file, and code from files is not run; "
            "convert it in HyperSpy with axes_manager[...].convert_to_non_uniform_axis() and save again"
        )
    if dim in ("channel", "component"):
        return np.arange(int(record["size"] if "size" in record else len(record["axis"])))
    unit = parse_unit(record.get("units"))
    if unit == units.PIXEL and dim in SIGNAL:
        unit = "1"
    if "axis" in record:
        return Axis(unit, values=np.asarray(record["axis"], dtype=np.float64))
    if unit == units.PIXEL:
        return Axis(unit, step=1.0)
    return Axis(unit, step=number(record.get("scale", 1.0)), offset=number(record.get("offset", 0.0)))


def number(value: Any) -> float:
    """Return a number as the decimal that was meant: a float32 2.6 is 2.6, not 2.5999999.

    Examples
    --------
    >>> number(np.float32(2.6))
    2.6
    """
    return float(str(value)) if isinstance(value, np.floating) else float(value)


def _by_unit(unit: str, signal_type: str) -> str | None:
    if units.is_compatible(unit, "eV"):
        if signal_type in _ENERGY_LOSS:
            return "energy_loss"
        return "energy" if signal_type.startswith("EDS") else None
    if unit == "1/cm":  # other inverse lengths are those of diffraction
        return "raman_shift"
    for known, dim in _BY_UNIT.items():
        if unit != units.PIXEL and units.is_compatible(unit, known):
            return dim
    return None
