"""Metadata of a manufacturer's file as flat attributes: what is known by name, and all of it as JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np

from fusion import units
from fusion.errors import UnitError
from fusion.reading.metadata import as_json, plain, text
from spectra.axes import number

_TECHNIQUES: Final[Mapping[str, str]] = {
    "EDS_TEM": "EDX", "EDS_SEM": "EDX", "WDS": "WDS", "XRF": "XRF", "EELS": "EELS",
    "CL": "CL", "CL_SEM": "CL", "CL_STEM": "CL",
    "LumiTransient": "time-resolved luminescence", "LumiTransientSpectrum": "time-resolved luminescence",
    "Transient": "time-resolved luminescence", "TransientSpectrum": "time-resolved luminescence",
}  # fmt: skip
_HIGHEST: Final = 1e4  # keV
_BY_DIM: Final[Mapping[str, str]] = {
    "energy": "X-ray spectroscopy",
    "energy_loss": "EELS",
    "raman_shift": "Raman",
    "wavelength": "optical spectroscopy",
    "potential": "voltammetry",
    "time": "time-resolved",
    "mass_to_charge": "mass spectrometry",
    "channel": "spectroscopy",
    "tilt": "tilt series",
}


def flat_attrs(
    metadata: Mapping[str, Any], original: Mapping[str, Any], dims: tuple[str, ...], *, colour: bool = False
) -> dict[str, Any]:
    """Return the attributes of a dataset from HyperSpy's metadata tree and the vendor's own.

    Parameters
    ----------
    metadata : mapping
        HyperSpy's tree: General, Signal, Sample, Acquisition_instrument.
    original : mapping
        Everything the file says.
    dims : tuple of str
    colour : bool
        Whether a channel is a colour of an image.

    Returns
    -------
    dict
        ``technique``, and where known ``signal_type``, ``instrument``, ``beam_energy`` (keV), ``elements``,
        ``acquisition_time``; ``metadata`` and ``original_metadata`` as JSON text.
    """
    signal_type = str(lookup(metadata, "Signal", "signal_type") or "")
    attrs: dict[str, Any] = {
        "technique": "image" if colour else technique(signal_type, dims),
        "signal_type": signal_type,
        "instrument": _instrument(metadata, original),
        "beam_energy": _beam_energy(metadata),
        "elements": [str(element) for element in lookup(metadata, "Sample", "elements") or ()],
        "acquisition_time": _acquisition_time(metadata),
        "metadata": as_json({key: value for key, value in metadata.items() if key not in ("_HyperSpy", "Markers")}),
        "original_metadata": as_json(original),
    }
    return {key: value for key, value in attrs.items() if value not in (None, "", [], "{}")}


def technique(signal_type: str, dims: tuple[str, ...]) -> str:
    """Return the name of the technique, from HyperSpy's signal type or else from the signal axis.

    Examples
    --------
    >>> technique("EDS_TEM", ("y", "x", "energy")), technique("", ("y", "x", "raman_shift")), technique("", ("y", "x"))
    ('EDX', 'Raman', 'image')
    """
    if signal_type in _TECHNIQUES:
        return _TECHNIQUES[signal_type]
    return next((_BY_DIM[dim] for dim in reversed(dims) if dim in _BY_DIM), "image")


def mapped(metadata: Mapping[str, Any], original: Mapping[str, Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return HyperSpy's tree with the entries that RosettaSciIO leaves to be copied over from the original tree.

    Parameters
    ----------
    metadata, original : mapping
    mapping : mapping
        Dotted path in `original` to a dotted path in the tree and a function or None.
    """
    tree: dict[str, Any] = json.loads(as_json(metadata))
    for source, (target, convert) in mapping.items():
        value = lookup(original, *source.split("."))
        if value is not None:
            _put(tree, target.split("."), _converted(value, convert))
    return tree


def lookup(tree: Any, *keys: str) -> Any:
    """Return the entry of a nested mapping, or None."""
    for key in keys:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def _converted(value: Any, convert: Callable[[Any], Any] | None) -> Any:
    try:
        return plain(convert(value) if convert else value)
    except Exception:  # a vendor's odd entry must not hide the data
        return None


def _put(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    branch: Any = tree
    for key in keys[:-1]:
        branch = branch.setdefault(key, {}) if isinstance(branch, dict) else None
    if value is not None and isinstance(branch, dict):
        branch[keys[-1]] = value


def _beam_energy(metadata: Mapping[str, Any]) -> float | None:
    """Return the beam energy in keV; without a unit it is one where it can be: no microscope reaches 10 MeV."""
    for microscope in ("TEM", "SEM"):
        value = lookup(metadata, "Acquisition_instrument", microscope, "beam_energy")
        unit = str(lookup(metadata, "Acquisition_instrument", microscope, "beam_energy_units") or "")
        with suppress(ValueError, UnitError):
            energy = number(value) * _kiloelectronvolts(unit) if value else 0.0
            if 0.0 < energy < _HIGHEST:
                return energy
    return None


def _kiloelectronvolts(unit: str) -> float:
    """Return the factor to keV; an acceleration voltage is the energy of one electron."""
    if not unit:
        return 1.0
    return units.convert_factor(unit, "kV" if units.is_compatible(unit, "V") else "keV")


def _instrument(metadata: Mapping[str, Any], original: Mapping[str, Any]) -> str | None:
    entries = (
        (metadata, ("Acquisition_instrument", "TEM", "microscope")),
        (metadata, ("Acquisition_instrument", "SEM", "microscope")),
        (metadata, ("Acquisition_instrument", "Detector", "model")),
        (original, ("Instrument", "Name")),
        (original, ("Instrument", "InstrumentClass")),
    )
    return next((text(value) for value in (lookup(tree, *keys) for tree, keys in entries) if value), None)


def _acquisition_time(metadata: Mapping[str, Any]) -> str | None:
    general = metadata.get("General", {})
    moments = [str(general[key]) for key in ("date", "time") if general.get(key)]
    return "T".join(moments) if len(moments) == 2 else None


def variable_of(dims: tuple[str, ...], dtype: np.dtype[Any], *, counted: bool) -> tuple[str, str]:
    """Return the name of the variable and what its values are: counts are summed, intensities averaged.

    Parameters
    ----------
    dims : tuple of str
    dtype : dtype
    counted : bool
        Whether the file gives a reason to take whole numbers for counts: it is one of an X-ray detector, or its unit
        is counts.

    Examples
    --------
    >>> dims = ("y", "x", "energy")
    >>> variable_of(dims, np.dtype("uint8"), counted=True), variable_of(dims, np.dtype("uint8"), counted=False)
    (('counts', 'sum'), ('intensity', 'mean'))
    >>> variable_of(("y", "x"), np.dtype("uint8"), counted=True)
    ('image', 'mean')
    """
    if technique("", dims) in ("image", "tilt series"):
        return "image", "mean"
    return ("counts", "sum") if counted and "energy" in dims and dtype.kind in "iu" else ("intensity", "mean")
