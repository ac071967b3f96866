"""Resolution of the detector and energy of the beam: what the caller sets, or else what the file states."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from fusion.errors import DataError
from spectra.attributes import lookup
from spectra.lines.xrays import FANO, SIGMA, xray_lines


def find_resolution(ds: xr.Dataset) -> float | None:
    """Return the FWHM at Mn Kα that the file states, in eV, or None.

    It is read from HyperSpy's metadata, from the calibration of a Bruker file, or from the electronic noise of a Velox
    file.

    Examples
    --------
    >>> header = {"Spectrum": {"SigmaAbs": 0.000229, "SigmaLin": 0.000447}}
    >>> round(find_resolution(xr.Dataset(attrs={"original_metadata": json.dumps(header)})), 1)
    126.1
    """
    readers: tuple[tuple[str, Callable[[Any], float | None]], ...] = (
        ("metadata", _of_hyperspy), ("original_metadata", _of_bruker), ("original_metadata", _of_velox),
    )  # fmt: skip
    values = (read(json.loads(ds.attrs.get(name, "{}"))) for name, read in readers)
    return next((value for value in values if value), None)


def _of_hyperspy(metadata: Any) -> float | None:
    instrument = lookup(metadata, "Acquisition_instrument")
    values = (lookup(instrument, kind, "Detector", "EDS", "energy_resolution_MnKa") for kind in ("TEM", "SEM"))
    return next((value for value in map(_number, values) if value), None)


def _of_bruker(header: Any) -> float | None:
    # The calibration states the variance of a line in keV²: SigmaAbs + SigmaLin · E. That this is a variance shows in
    # SigmaLin, 0.00045 keV, which is the slope of Fiori and Newbury for silicon, 2.5 eV / (8 ln 2).
    constant, slope = (_number(lookup(header, "Spectrum", name)) for name in ("SigmaAbs", "SigmaLin"))
    if constant is None or slope is None:
        return None
    variance = constant + slope * xray_lines()["Mn_Ka"].energy
    return float(SIGMA * np.sqrt(variance) * 1e3) if variance > 0 else None


def _of_velox(header: Any) -> float | None:
    detectors = lookup(header, "Detectors")
    values = detectors.values() if isinstance(detectors, Mapping) else ()
    noises = [noise for one in values if (noise := _number(lookup(one, "ElectronicsNoise")))]
    # FWHM² of electronic noise and of the Fano statistics of charge add, both in eV².
    return float(np.sqrt(np.mean(noises) ** 2 + FANO * 1e3 * xray_lines()["Mn_Ka"].energy)) if noises else None


def _number(value: Any) -> float | None:
    """Return a finite number, also one that is written as text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def require_resolution(ds: xr.Dataset, resolution: float | None) -> float:
    """Return the FWHM at Mn Kα in eV: the argument, or what the file states where it is None.

    Raises
    ------
    DataError
        If neither is known, or it is narrower than the statistics of the charge carriers allow at zero energy.
    """
    value = find_resolution(ds) if resolution is None else resolution
    if value is None:
        raise DataError("the file does not state the energy resolution; give it in eV at Mn Kα, e.g. resolution=130.0")
    least = np.sqrt(FANO * 1e3 * xray_lines()["Mn_Ka"].energy)
    if not (isinstance(value, (int, float)) and least < value < 1000.0):
        raise DataError(f"a resolution at Mn Kα lies between {least:.0f} and 1000 eV; received {value!r}")
    return float(value)


def require_beam_energy(ds: xr.Dataset, beam_energy: float | None) -> float:
    """Return the beam energy in keV: the argument, or the attribute ``beam_energy`` where it is None.

    Raises
    ------
    DataError
        If neither is known, or it is not positive.
    """
    value = ds.attrs.get("beam_energy") if beam_energy is None else beam_energy
    if value is None:
        raise DataError("the file does not state the beam energy; give it in keV, e.g. beam_energy=20.0")
    if not (isinstance(value, (int, float)) and 0 < value < np.inf):
        raise DataError(f"a beam energy is a positive number of keV; received {value!r}")
    return float(value)
