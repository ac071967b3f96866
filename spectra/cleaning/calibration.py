"""Calibration of a signal axis: by lines of known position, or from the laser line of a Raman microscope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import LONG_NAMES, SIGNAL
from fusion.errors import DataError
from fusion.units import convert_factor
from fusion.variables import main_variable
from spectra.attributes import technique

Pairs: TypeAlias = Mapping[float, float] | Sequence[Sequence[float]]
Array = npt.NDArray[np.float64]
_SHORTEST, _LONGEST = 150.0, 2000.0
"""Of laser lines, in nm."""
_FARTHEST = 5000.0
"""Raman shift in 1/cm beyond which nothing vibrates; hydrogen does at 4161."""
_PER_CM = 1e7
"""nm in a cm."""


def calibrate(
    ds: xr.Dataset, lines: Pairs, *, dim: str | None = None, to: str | None = None, units: str | None = None
) -> xr.Dataset:
    """Bring a signal axis to true positions: one known line shifts it, two or more also set the gain.

    Parameters
    ----------
    ds : Dataset
    lines : mapping or sequence of pairs
        Measured position, in the unit of the axis or as a channel number, to the true one. From three on, a straight
        line is fitted by least squares. A known gain and offset are the two lines ``{0: offset, 1: offset + gain}``.
    dim : str, optional
        Which signal axis; left out, that of the one spectral variable.
    to : str, optional
        What the axis measures from now on, ``"energy"`` for a detector's ``channel``; left out, what it did.
    units : str, optional
        Of the true positions; left out, the standard unit of the axis.

    Returns
    -------
    Dataset
        The same values on the new coordinate, lazy if they were. Its attribute ``calibration`` says gain, offset,
        number of lines and the root mean square of what the fit leaves over.

    Raises
    ------
    DataError
        If there is no such axis, no line, one line for a channel, or the gain is not positive.
    UnitError
        If the unit is none of the new axis.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"intensity": (("x", "channel"), np.ones((2, 4)))},
    ...                     {"x": Axis("um", 1.0), "channel": np.arange(4)}, name="map", cell_methods="mean")
    >>> calibrate(ds, {0: -95.0, 1: -85.0}, to="energy", units="eV")["energy"].values
    array([-0.095, -0.085, -0.075, -0.065])
    """
    old = _axis(ds, dim)
    new = to or old
    if new not in SIGNAL or new == "component" or (new != old and new in ds.dims):
        accepted = ", ".join(key for key in SIGNAL if key not in ("component", *map(str, ds.dims)))
        raise DataError(f"an axis cannot become {new!r}; accepted are {accepted}")
    measured, true = _pairs(lines)
    if measured.size == 1 and new != old:
        raise DataError(f"one line sets the offset only; two are needed to turn {old} into {new}")
    if new == "channel":
        raise DataError("channels are numbers without a unit; say what they become, e.g. to='energy'")
    unit = SIGNAL[new]
    meant = true * convert_factor(units or unit, unit)
    gain, offset = _fit(measured, meant)
    # Of the lines used, not an error of the axis: two lines always fit.
    rms = float(np.sqrt(np.mean((meant - gain * measured - offset) ** 2)))
    text = f"gain {gain:.9g}, offset {offset:.9g} {unit}, lines {measured.size}, rms {rms:.3g} {unit}"
    result = _on_axis(ds, old, new, gain * ds[old].values.astype(np.float64) + offset, text)
    pairs = np.stack([measured, true], axis=1).tolist()
    parameters = {"lines": pairs, "dim": old, "to": new, "units": units or unit}
    return provenance.record(result, "spectra.calibrate", parameters)


def to_raman_shift(ds: xr.Dataset, laser: float) -> xr.Dataset:
    """Turn a wavelength axis into Raman shift, from the wavelength of the laser line.

    Parameters
    ----------
    ds : Dataset
        With a ``wavelength`` axis, in nm.
    laser : float
        Wavelength of the laser line in nm, in the same medium as the axis (air or vacuum): 532.0, 632.8, 785.0.

    Returns
    -------
    Dataset
        The same values and errors, channel by channel, on the coordinate ``raman_shift`` in 1/cm, which is not uniform;
        anti-Stokes lines are negative. Its attribute ``calibration`` has the laser line. Lazy if it was.

    Raises
    ------
    DataError
        If there is no such axis, the laser line is not between 150 and 2000 nm, or no channel lies within 5000 1/cm of
        it.
    ConventionError
        If the dataset breaks the conventions.

    Notes
    -----
    shift = 10⁷ (1/λ₀ − 1/λ), with λ in nm. An error σ of the laser line shifts all channels by 10⁷ σ / λ₀²: 3.5 1/cm
    for 0.1 nm at 532 nm. `calibrate` takes that out with a known band, silicon at 520.5 1/cm.

    References
    ----------
    R. L. McCreery, Raman Spectroscopy for Chemical Analysis (Wiley, 2000), chapter 1.

    Examples
    --------
    >>> from fusion import Axis
    >>> ds = fusion.dataset({"counts": (("x", "wavelength"), np.ones((1, 2)))},
    ...                     {"x": Axis("um", 1.0), "wavelength": Axis("nm", values=[532.0, 547.14])},
    ...                     name="map", cell_methods="sum")
    >>> to_raman_shift(ds, 532.0)["raman_shift"].values.round(1)
    array([  0. , 520.1])
    """
    if "wavelength" not in fusion.check(ds).dims or "raman_shift" in ds.dims:
        raise DataError(f"a wavelength axis is needed; the dims are {', '.join(map(str, ds.dims))}")
    if not (isinstance(laser, (int, float, np.number)) and _SHORTEST <= laser <= _LONGEST):
        raise DataError(f"a laser line is from {_SHORTEST:g} to {_LONGEST:g} nm; received {laser!r}")
    wavelength = ds["wavelength"].values.astype(np.float64)
    if not (wavelength > 0).all():
        raise DataError(f"wavelengths are positive; the axis begins at {wavelength.min():g} nm")
    # Stokes shift in wavenumbers: 1/λ_laser - 1/λ, both in cm⁻¹. The axis becomes uneven, and the values are not
    # divided by the width of the new channels: counts stay counts of a channel.
    shift = _PER_CM * (1.0 / float(laser) - 1.0 / wavelength)
    if np.abs(shift).min() > _FARTHEST:
        raise DataError(
            f"no channel lies within {_FARTHEST:g} 1/cm of a laser line at {laser:g} nm; the axis runs from "
            f"{wavelength[0]:g} to {wavelength[-1]:g} nm"
        )
    result = _on_axis(ds, "wavelength", "raman_shift", shift, f"laser line {laser:.9g} nm")
    return provenance.record(result, "spectra.to_raman_shift", {"laser": float(laser)})


def _axis(ds: xr.Dataset, dim: str | None) -> str:
    array = fusion.check(ds) if dim is not None else main_variable(fusion.check(ds))
    axes = [str(key) for key in array.dims if key in SIGNAL and key != "component"]
    chosen = [dim] if dim in axes else axes if dim is None else []
    if len(chosen) != 1 or ds[chosen[0]].dtype.kind not in "iuf":
        raise DataError(f"one signal axis with numbers is needed, dim={dim!r}; the dataset has {axes or 'none'}")
    return str(chosen[0])


def _pairs(lines: Pairs) -> tuple[Array, Array]:
    try:
        pairs = np.array(list(lines.items() if isinstance(lines, Mapping) else lines), dtype=np.float64)
    except (TypeError, ValueError):
        pairs = np.empty(0)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
        raise DataError(f"lines are pairs of a measured and a true position; received {lines!r}")
    if np.unique(pairs[:, 0]).size != len(pairs):
        raise DataError(f"two lines were measured at the same position: {lines!r}")
    return pairs[:, 0], pairs[:, 1]


def _fit(measured: Array, true: Array) -> tuple[float, float]:
    if measured.size == 1:
        return 1.0, float(true[0] - measured[0])
    # Minimises Σ (true - gain · measured - offset)²: the true positions are tabulated, the error is that of reading a
    # line, the same for all, so no weights. About the means gain and offset are uncorrelated and nothing cancels.
    centre = measured.mean()
    gain = float(((measured - centre) @ (true - true.mean())) / ((measured - centre) @ (measured - centre)))
    if not gain > 0:
        raise DataError(f"the lines give a gain of {gain:g}; true positions must ascend with the measured ones")
    return gain, float(true.mean() - gain * centre)


def _on_axis(ds: xr.Dataset, old: str, new: str, values: Array, text: str) -> xr.Dataset:
    attrs: dict[str, Any] = {**ds[old].attrs, "units": SIGNAL[new], "calibration": text}
    if new != old:
        attrs["long_name"] = LONG_NAMES.get(new, new)
    result = ds.drop_vars(old).rename({old: new}) if new != old else ds
    result = result.assign_coords({new: xr.Variable(new, values, attrs)})
    if new != old and result.attrs.get("technique") == technique("", (old,)):
        result = result.assign_attrs(technique=technique("", (new,)))
    return fusion.check(result)
