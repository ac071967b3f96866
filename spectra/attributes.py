"""Metadata of a vendor's file as flat attributes: what is known by name, and the whole as JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from fusion.reading.metadata import as_json, plain, text

_TECHNIQUES: Final[Mapping[str, str]] = {
    "EDS_TEM": "EDX", "EDS_SEM": "EDX", "EELS": "EELS", "CL": "CL", "CL_SEM": "CL", "CL_STEM": "CL",
    "LumiTransient": "time-resolved luminescence", "LumiTransientSpectrum": "time-resolved luminescence",
    "Transient": "time-resolved luminescence", "TransientSpectrum": "time-resolved luminescence",
}  # fmt: skip
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
    found: dict[str, Any] = {
        "technique": "image" if colour else technique(signal_type, dims),
        "signal_type": signal_type,
        "instrument": _instrument(metadata, original),
        "beam_energy": _beam_energy(metadata),
        "elements": [str(element) for element in lookup(metadata, "Sample", "elements") or ()],
        "acquisition_time": _acquisition_time(metadata),
        "metadata": as_json({key: value for key, value in metadata.items() if key not in ("_HyperSpy", "Markers")}),
        "original_metadata": as_json(original),
    }
    return {key: value for key, value in found.items() if value not in (None, "", [], "{}")}


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
        Dotted place in `original` to a dotted place in the tree and a function or None.
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
    for microscope in ("TEM", "SEM"):
        value = lookup(metadata, "Acquisition_instrument", microscope, "beam_energy")
        if value:
            return float(str(value))
    return None


def _instrument(metadata: Mapping[str, Any], original: Mapping[str, Any]) -> str | None:
    places = (
        (metadata, ("Acquisition_instrument", "TEM", "microscope")),
        (metadata, ("Acquisition_instrument", "SEM", "microscope")),
        (metadata, ("Acquisition_instrument", "Detector", "model")),
        (original, ("Instrument", "Name")),
        (original, ("Instrument", "InstrumentClass")),
    )
    return next((text(value) for value in (lookup(tree, *keys) for tree, keys in places) if value), None)


def _acquisition_time(metadata: Mapping[str, Any]) -> str | None:
    general = metadata.get("General", {})
    parts = [str(general[key]) for key in ("date", "time") if general.get(key)]
    return "T".join(parts) if len(parts) == 2 else None


def variable_of(dims: tuple[str, ...], dtype: np.dtype[Any]) -> tuple[str, str]:
    """Return the name of the variable and what its values are: counts are summed, intensities averaged.

    Examples
    --------
    >>> variable_of(("y", "x", "energy"), np.dtype("uint8")), variable_of(("y", "x"), np.dtype("uint8"))
    (('counts', 'sum'), ('image', 'mean'))
    """
    if technique("", dims) in ("image", "tilt series"):
        return "image", "mean"
    return ("counts", "sum") if "energy" in dims and dtype.kind in "iu" else ("intensity", "mean")
