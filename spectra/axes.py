"""Axes as vendors write them, brought to the names and units used here; the name decides, never the position."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from fusion import units
from fusion.conventions import SIGNAL, SPATIAL
from fusion.errors import UnitError
from fusion.model import Axis

_NAMES: Final[Mapping[str, str]] = {
    "x": "x", "width": "x", "scan x": "x", "x axis": "x", "r x": "x",
    "y": "y", "height": "y", "scan y": "y", "y axis": "y", "r y": "y",
    "z": "z", "depth": "z", "r z": "z",
    "sample x": "x", "sample y": "y", "sample z": "z",
    "energy": "energy", "x-ray energy": "energy", "incident energy": "energy", "photon energy": "energy",
    "energy loss": "energy_loss", "electron energy loss": "energy_loss", "energy-loss": "energy_loss",
    "eels": "energy_loss", "eloss": "energy_loss",
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
_X_RAYS: Final = ("EDS", "WDS", "XRF")
_LIGHT: Final = ("CL", "Lumi", "PL", "Transient")
"""How HyperSpy's words for spectra of light begin."""
_BY_UNIT: Final[Mapping[str, str]] = {"V": "potential", "s": "time", "degree": "tilt"}
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_TEX: Final[Mapping[str, str]] = {
    r"\\mu(?![a-z])": "u", r"\\AA": "Å", r"\^?\{?\\circ\}?": "°", r"\\(?:mathrm|text|rm|,)": "", r"[${}\\]": "",
}  # fmt: skip
_MISREAD: Final[Mapping[str, str]] = {"Âµ": "µ", "Î¼": "µ", "Â°": "°", "Ã…": "Å", "â„«": "Å"}
"""UTF-8 that a program took for Latin-1."""
_IN_BRACKETS: Final = re.compile(r"^(?P<label>[^()\[\]]*?)\s*[(\[](?P<unit>[^()\[\]]+)[)\]]\s*$")
_ONLY_BRACKETS: Final = re.compile(r"^\[([^\[\]]*)\]$")
_BEHIND: Final = re.compile(r"^(?P<label>[^/,]+?)(?:\s*[/,]\s*|\s+in\s+)(?P<unit>\S.*)$")
_LIGHTEST: Final = 0.1
"""keV: below lies light, and no X-ray that a spectrometer of X-rays sees."""


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
        If neither the name nor the unit says what the axis is, or it is the energy of light.

    Examples
    --------
    >>> [dim_name("width", "µm"), dim_name("X-ray energy", "keV"), dim_name("Energy", "eV", "EELS")]
    ['x', 'energy', 'energy_loss']
    >>> dim_name("x", "keV", "EDS_TEM"), dim_name("z", "deg"), dim_name("", "Energy Loss (eV)")
    ('energy', 'tilt', 'energy_loss')
    """
    label, _ = split_unit(unit)
    unit = unit_of(name, unit)
    dim = _named(str(name or ""))
    if dim is None or (dim in SPATIAL and _is_no_length(unit)):
        dim = _named(label) or _by_unit(unit, signal_type, spatial=dim)
    if dim is None:
        raise _unknown(str(name or ""), unit)
    if dim == "energy" and signal_type in _ENERGY_LOSS:
        return "energy_loss"
    if dim == "energy" and signal_type.startswith(_LIGHT):
        raise UnitError(f"axis {str(name or '')!r} in {unit!r}: {_OF_LIGHT}")
    if dim in SIGNAL and dim != "channel" and unit == units.PIXEL:
        return "channel"
    return dim


def _unknown(name: str, unit: str) -> UnitError:
    """Return the error that names what an axis may be, with advice for its kind."""
    received = f"axis {name!r} {'without a unit' if unit == units.PIXEL else f'in {unit!r}'}"
    if units.is_compatible(unit, "eV"):
        return UnitError(
            f"{received} is none of the known axes: the file does not say whether these are energies of X-rays or "
            "energy losses; load it in HyperSpy, signal.set_signal_type('EDS_SEM') or 'EELS', and take "
            f"spectra.from_hyperspy(signal). {_OF_LIGHT[0].upper()}{_OF_LIGHT[1:]}"
        )
    if units.is_compatible(unit, f"1/{units.LENGTH}"):
        return UnitError(
            f"{received} is none of the known axes: a reciprocal length is one of a diffraction pattern or a Fourier "
            "transform, and only images and spectra of a specimen are read; HyperSpy opens it"
        )
    accepted = ", ".join([*SPATIAL, *SIGNAL])
    return UnitError(
        f"{received} is none of the known axes ({accepted}); load it in HyperSpy, give the axis one of these names and "
        "its unit (signal.axes_manager[0].name = ..., .units = ...), and take spectra.from_hyperspy(signal)"
    )


_OF_LIGHT: Final = (
    "the energy of light is no dim here, only that of X-rays and energy losses; "
    "give the spectra over the wavelength (nm) or the Raman shift (1/cm)"
)


def require_x_rays(ds: xr.Dataset) -> xr.Dataset:
    """Refuse a dataset whose axis ``energy`` lies below 0.1 keV: those are energies of light, or energy losses.

    Where the file says that its spectra are of X-rays, by its technique or by counts, a short axis is let pass.

    Raises
    ------
    UnitError
    """
    stated = "counts" in ds or ds.attrs.get("technique") not in (None, "X-ray spectroscopy")
    if (
        not stated
        and "energy" in ds.coords
        and ds["energy"].size
        and float(np.abs(ds["energy"].values).max()) < _LIGHTEST
    ):
        ends = " to ".join(f"{1e3 * float(value):.4g}" for value in ds["energy"].values[[0, -1]])
        raise UnitError(
            f"its energy goes from {ends} eV and nothing says that it is one of X-rays: {_OF_LIGHT}; energy losses "
            "have the signal type 'EELS', or an axis called 'Energy loss'"
        )
    return ds


def split_unit(text: Any) -> tuple[str, str]:
    r"""Return the label and the unit of a text that may hold both, with escapes of other programs resolved.

    Examples
    --------
    >>> split_unit("Energy Loss (eV)"), split_unit("Raman shift / cm-1"), split_unit("um")
    (('Energy Loss', 'eV'), ('Raman shift', 'cm-1'), ('', 'um'))
    >>> split_unit(r"$\mu$m"), split_unit(r"\u00b5m"), split_unit("&micro;m"), split_unit("cm$^{-1}$")
    (('', 'um'), ('', 'µm'), ('', 'µm'), ('', 'cm^-1'))
    >>> split_unit("Energy in keV"), split_unit("keV (energy)")
    (('Energy', 'keV'), ('energy', 'keV'))
    """
    plain = _resolved("" if text is None else str(text))
    if bare := _ONLY_BRACKETS.match(plain):  # EMD writes units in brackets: [n_m], and [] for none
        plain = bare[1].replace("_", "")
    if units.is_compatible(plain, plain):
        return "", plain
    bracketed, behind = _IN_BRACKETS.match(plain), _BEHIND.match(plain)
    if bracketed:
        label, unit = bracketed["label"].strip(), bracketed["unit"].strip()
        reversed_order = label and units.is_compatible(label, label) and not units.is_compatible(unit, unit)
        return (unit, label) if reversed_order else (label, unit)
    if behind and _named(behind["label"]):
        return behind["label"], behind["unit"].strip()
    return "", plain


def parse_unit(unit: Any) -> str:
    """Return the unit in the one spelling used here; ``"px"`` where the file gives none.

    Examples
    --------
    >>> [parse_unit(u) for u in ("μm", None, "", "<undefined>", "Energy (keV)")]
    ['um', 'px', 'px', 'px', 'keV']
    """
    _, text = split_unit(unit)
    parsed = "1" if text == "<undefined>" else units.parse(text)
    return units.PIXEL if parsed == "1" else parsed


def unit_of(name: Any, unit: Any) -> str:
    """Return the unit of an axis, which may stand behind its name: ``"Energy (keV)"``."""
    parsed = parse_unit(unit)
    behind = _IN_BRACKETS.match(str(name or ""))
    if parsed == units.PIXEL and behind and units.is_compatible(behind["unit"], behind["unit"]):
        return parse_unit(behind["unit"])
    return parsed


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
    unit = unit_of(record.get("name"), record.get("units"))
    if unit == units.PIXEL and dim in SIGNAL:
        unit = "1"
    if "axis" in record:
        return Axis(unit, values=np.asarray(record["axis"], dtype=np.float64))
    if unit == units.PIXEL:
        return Axis(unit, step=1.0)
    return Axis(unit, step=number(record.get("scale", 1.0)), offset=number(record.get("offset", 0.0)))


def number(value: Any) -> float:
    """Return a number as the decimal that was meant: a float32 2.6 is 2.6, not 2.5999999, and ``"2,6"`` is 2.6.

    Examples
    --------
    >>> number(np.float32(2.6)), number("2,6")
    (2.6, 2.6)
    """
    if isinstance(value, str):
        return float(value.replace(",", "."))
    return float(str(value)) if isinstance(value, np.floating) else float(value)


def _named(name: str) -> str | None:
    """Return the dim of a name, with or without a unit behind it."""
    plain = re.sub(r"[\s_]+", " ", name).strip().lower()
    bracketed = _IN_BRACKETS.match(plain)
    return _NAMES.get(plain) or (_NAMES.get(bracketed["label"].strip()) if bracketed else None)


def _is_no_length(unit: str) -> bool:
    return unit != units.PIXEL and not units.is_compatible(unit, units.LENGTH)


def _by_unit(unit: str, signal_type: str, spatial: str | None = None) -> str | None:
    """Return the dim that a unit alone tells; angles along an axis that is called x or y are those of diffraction."""
    if units.is_compatible(unit, "eV"):
        if signal_type in _ENERGY_LOSS:
            return "energy_loss"
        return "energy" if signal_type.startswith(_X_RAYS) else None
    if spatial is None and signal_type.startswith(_LIGHT) and units.is_compatible(unit, "nm"):
        return "wavelength"
    if unit == "1/cm":  # other inverse lengths are those of diffraction
        return "raman_shift"
    if spatial in ("y", "x") and units.is_compatible(unit, "degree"):
        return None
    for known, dim in _BY_UNIT.items():
        if unit != units.PIXEL and units.is_compatible(unit, known):
            return dim
    return None


def _resolved(text: str) -> str:
    """Return a text without the escapes of JSON, HTML and TeX, and with UTF-8 that was taken for Latin-1 put right."""
    plain = html.unescape(_ESCAPE.sub(lambda code: chr(int(code[1] or code[2], 16)), text))
    for wrong, right in _MISREAD.items():
        plain = plain.replace(wrong, right)
    if "\\" in plain or "$" in plain or "^{" in plain:
        for pattern, replacement in _TEX.items():
            plain = re.sub(pattern, replacement, plain)
    return plain.strip()
