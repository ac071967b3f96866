"""What the peaks of a spectrum could be: X-ray lines or Raman bands near them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion.conventions import spatial_dims
from fusion.errors import DataError
from fusion.variables import real_variable
from spectra.lines.bands import raman_bands
from spectra.lines.xrays import find_resolution, require_resolution, width, xray_lines

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


class _Place(NamedTuple):
    name: str
    position: float
    reference: str = ""


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

    These are candidates for a table, nearest first for each peak; they are no proof that something is there. For
    elements whose other lines are asked too, see `find_elements`.

    Parameters
    ----------
    ds : Dataset
        A map along energy or Raman shift, whose total spectrum is taken, or what `spectra.decompose` returned. Take
        the baseline off Raman spectra first.
    elements : collection of str, optional
        Only X-ray lines of these, e.g. ``("Fe", "O")``.
    materials : collection of str, optional
        Only Raman bands of these, e.g. ``("calcite",)``.
    resolution : float, optional
        Full width at half maximum of the detector at Mn Kα, in eV; left out, what the metadata state.
    tolerance : float, optional
        Farthest distance of a line or band from its peak, in keV or 1/cm. Left out, half the width of an X-ray line
        at that energy, so that all lines are listed that overlap so far that one peak remains; 0.04 keV where the
        resolution is not known; 8 1/cm for Raman bands.
    prominence : float
        How far a peak stands out, relative to the highest.

    Returns
    -------
    list of Candidate
        By component, then by falling height, then by distance; a peak without anything near it is left out.

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
    found = spectra_of(fusion.check(ds)).compute()
    dim = str(found.dims[-1])
    if dim == "energy":
        _refuse(materials is not None, "materials are for Raman bands; X-ray lines take elements")
        width_known = find_resolution(ds) if resolution is None else require_resolution(ds, resolution)
        table = _lines(elements)
    else:
        _refuse(elements is not None or resolution is not None, "elements and resolution are for X-ray lines")
        width_known = None
        table = _bands(materials)
    if not np.isfinite(found.values).all():
        raise DataError(f"{found.name}: values that are not finite have no peaks; mask or crop them first")
    axis = found[dim].values
    return [
        Candidate(component, peak, height, place.name, place.position - peak, place.reference)
        for component, spectrum in enumerate(np.atleast_2d(found.values))
        for peak, height in _peaks(axis, spectrum, prominence, dim)
        for place in _near(table, peak, _reach(peak, tolerance, width_known, dim))
    ]


def spectra_of(ds: xr.Dataset) -> xr.DataArray:
    """Return the endmembers of a decomposition or the total spectrum of a map, the signal axis last.

    Raises
    ------
    DataError
        If the axis is neither energy nor Raman shift.
    """
    array = ds["endmember"] if "endmember" in ds else real_variable(ds)
    if not {"energy", "raman_shift"} & set(array.dims):
        raise DataError(
            f"X-ray lines need an energy axis in keV, Raman bands one of raman_shift in 1/cm; "
            f"{array.name} has the dims {array.dims}"
        )
    return array if array.name == "endmember" else array.sum(spatial_dims(array))


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
    places, _ = find_peaks(relative, prominence=prominence)
    for place in sorted(places, key=lambda index: -relative[index]):
        yield float(axis[real][place]), float(relative[place])


def _near(table: list[_Place], peak: float, reach: float) -> list[_Place]:
    near = (place for place in table if abs(place.position - peak) <= reach)
    return sorted(near, key=lambda place: abs(place.position - peak))


def _lines(elements: Collection[str] | None) -> list[_Place]:
    alpha = (line for line in xray_lines().values() if line.name.partition("_")[2] in _STRONGEST)
    return [_Place(line.name, line.energy) for line in alpha if elements is None or line.element in elements]


def _bands(materials: Collection[str] | None) -> list[_Place]:
    bands = (band for band in raman_bands() if materials is None or band.material in materials)
    return [_Place(band.name, band.raman_shift, band.reference) for band in bands]


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise DataError(message)
