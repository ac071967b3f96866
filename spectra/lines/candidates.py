"""What the peaks of a spectrum could be: X-ray lines or Raman bands near them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion.errors import DataError
from spectra.lines.bands import raman_bands
from spectra.lines.elements import can_share, share_counts
from spectra.lines.search import Outcome
from spectra.lines.settings import find_resolution, require_resolution
from spectra.lines.totals import spectra_of
from spectra.lines.xrays import width, xray_lines

_STRONGEST: Final = ("Ka", "La", "Ma")
_TOLERANCE_KEV: Final = 0.04
_TOLERANCE_RAMAN: Final = 8.0
_STROBE_KEV: Final = 0.1
"""Below it the peak at zero energy stands, which is the clock of the detector."""


class Candidate(NamedTuple):
    """A peak and an X-ray line or a Raman band near it."""

    component: int
    position: float
    """Of the peak, in the unit of the signal axis."""
    height: float
    """Of the peak, relative to the highest of its spectrum."""
    name: str
    """As ``"Fe_Ka"`` or ``"diamond: F2g optical phonon"``."""
    distance: float
    """Position of the line or band less that of the peak."""
    reference: str = ""
    """The work that the position of a Raman band was read from."""
    counts: float = np.nan
    """Of an X-ray line by the fit of all elements; 0 where another explains the peak, NaN without a fit."""


class _Entry(NamedTuple):
    """A line or band of a table."""

    name: str
    position: float
    reference: str = ""
    counts: float = np.nan


def identify(
    ds: xr.Dataset,
    *,
    elements: Collection[str] | None = None,
    materials: Collection[str] | None = None,
    resolution: float | None = None,
    tolerance: float | None = None,
    prominence: float = 0.03,
) -> list[Candidate]:
    """Name what lies near the peaks of a map or of each of its endmembers: X-ray lines (Kα, Lα, Mα) or Raman bands.

    For counts whose resolution and beam energy are known, all elements share the spectrum in the fit of
    `find_elements`: lines of elements that it needs come first for each peak, then those that could be meant instead.
    Without such a fit the nearest line comes first, which is no proof that its element is there.

    Parameters
    ----------
    ds : Dataset
        A map along energy or Raman shift, whose total spectrum is taken, or what `spectra.decompose` returned. Take
        the baseline off Raman spectra first.
    elements : collection of str, optional
        Only X-ray lines of these, e.g. ``("Fe", "O")``; all that lie near a peak are listed, with 0 counts where
        another of them explains it.
    materials : collection of str, optional
        Only Raman bands of these, e.g. ``("calcite",)``.
    resolution : float, optional
        Full width at half maximum of the detector at Mn Kα, in eV; left out, what the file states.
    tolerance : float, optional
        Farthest distance of a line or band from its peak, in keV or 1/cm. Left out, half the width of an X-ray line
        at that energy, so that all lines are listed that overlap so far that one peak remains; 0.04 keV where the
        resolution is not known; 8 1/cm for Raman bands.
    prominence : float
        How far a peak stands out, relative to the highest.

    Returns
    -------
    list of Candidate
        By component, then by falling height, falling counts and distance; a peak without anything near it is left out.

    Raises
    ------
    DataError
        If the dataset has neither an energy axis nor one of Raman shifts, an option belongs to the other, or values are
        infinite.

    Examples
    --------
    >>> from fusion import Axis
    >>> energy = np.arange(0.0, 10.0, 0.01)
    >>> spectrum = np.exp(-(((energy - 6.4) / 0.06) ** 2)) + 0.3 * np.exp(-(((energy - 0.52) / 0.04) ** 2))
    >>> ds = fusion.dataset({"counts": (("x", "energy"), [spectrum, spectrum])},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.01)}, name="map", cell_methods="sum")
    >>> [(line.name, round(line.position, 2)) for line in identify(ds, elements=("Fe", "O"))]
    [('Fe_Ka', 6.4), ('O_Ka', 0.52)]
    """
    spectra = spectra_of(fusion.check(ds)).compute()
    dim = str(spectra.dims[-1])
    if dim == "energy":
        _refuse(materials is not None, "materials are for Raman bands; X-ray lines take elements")
        fwhm = find_resolution(ds) if resolution is None else require_resolution(ds, resolution)
    else:
        _refuse(elements is not None or resolution is not None, "elements and resolution are for X-ray lines")
        fwhm = None
    if not np.isfinite(spectra.values).all():
        raise DataError(f"{spectra.name}: values that are not finite have no peaks; mask or crop them first")
    fits = _fits(ds, spectra, elements, fwhm) if dim == "energy" else {}
    axis, values = spectra[dim].values, np.atleast_2d(spectra.values)
    every = _bands(materials) if dim != "energy" else _lines(elements)
    tables = [_fitted(every, fits[index], elements) if index in fits else every for index in range(len(values))]
    return [
        Candidate(index, peak, height, entry.name, entry.position - peak, entry.reference, entry.counts)
        for index, (spectrum, table) in enumerate(zip(values, tables, strict=True))
        for peak, height in _peaks(axis, spectrum, prominence, dim)
        for entry in _near(table, peak, _reach(peak, tolerance, fwhm, dim))
    ]


def _fits(
    ds: xr.Dataset, spectra: xr.DataArray, elements: Collection[str] | None, resolution: float | None
) -> dict[int, Outcome]:
    """Return the shared fit of each spectrum; none where the values are no counts or the file does not state enough."""
    if resolution is None or not can_share(ds, spectra):
        return {}
    return dict(share_counts(ds, resolution=resolution, beam_energy=None, among=elements))


def _fitted(table: list[_Entry], outcome: Outcome, elements: Collection[str] | None) -> list[_Entry]:
    """Return the lines with their counts; leave out elements that the fit neither needs nor could need."""
    fit = outcome.fit
    counts = {
        line.name: float(amount * profile.sum())
        for amount, shell in zip(fit.per_shell, fit.shells, strict=True)
        for line, profile in zip(shell.lines, shell.profiles, strict=True)
    }
    possible = {other.element for others in outcome.alternatives.values() for other in others}
    return [
        entry._replace(counts=counts.get(entry.name, 0.0))
        for entry in table
        if elements is not None or entry.name in counts or entry.name.partition("_")[0] in possible
    ]


def _reach(peak: float, tolerance: float | None, resolution: float | None, dim: str) -> float:
    if tolerance is not None:
        return tolerance
    if dim != "energy":
        return _TOLERANCE_RAMAN
    return _TOLERANCE_KEV if resolution is None else float(width(peak, resolution)) / 2.0


def _peaks(
    axis: npt.NDArray[np.float64], spectrum: npt.NDArray[np.float64], prominence: float, dim: str
) -> Iterator[tuple[float, float]]:
    """Yield position and height of the peaks, highest first."""
    from scipy.signal import find_peaks

    real = axis > _STROBE_KEV if dim == "energy" else np.ones(axis.size, dtype=bool)
    if not (spectrum[real] > 0).any():
        return
    relative = spectrum[real] / spectrum[real].max()
    tops, _ = find_peaks(relative, prominence=prominence)
    for top in sorted(tops, key=lambda index: -relative[index]):
        yield float(axis[real][top]), float(relative[top])


def _near(table: list[_Entry], peak: float, reach: float) -> list[_Entry]:
    near = (entry for entry in table if abs(entry.position - peak) <= reach)
    return sorted(near, key=lambda entry: (-np.nan_to_num(entry.counts), abs(entry.position - peak)))


def _lines(elements: Collection[str] | None) -> list[_Entry]:
    alpha = (line for line in xray_lines().values() if line.name.partition("_")[2] in _STRONGEST)
    return [_Entry(line.name, line.energy) for line in alpha if elements is None or line.element in elements]


def _bands(materials: Collection[str] | None) -> list[_Entry]:
    bands = (band for band in raman_bands() if materials is None or band.material in materials)
    return [_Entry(band.name, band.raman_shift, band.reference) for band in bands]


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise DataError(message)
