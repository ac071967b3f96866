"""Which X-ray lines the peaks of a spectrum could be."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion.conventions import spatial_dims
from fusion.errors import DataError
from spectra.bridge import register_exspy
from spectra.metadata import lookup
from spectra.variables import main_variable

_STRONGEST: Final = ("Ka", "La", "Ma")


class Line(NamedTuple):
    """A peak and an X-ray line near it."""

    component: int
    energy: float
    """Position of the peak in keV."""
    height: float
    """Of the peak, relative to the highest of its spectrum."""
    line: str
    """As ``"Fe_Ka"``."""
    distance: float
    """Energy of the line less that of the peak in keV."""


def identify(
    ds: xr.Dataset,
    *,
    elements: Collection[str] | None = None,
    tolerance: float = 0.04,
    prominence: float = 0.03,
) -> list[Line]:
    """Name the strongest X-ray lines (Kα, Lα, Mα) near the peaks of a map or of each of its endmembers.

    These are candidates for a table, nearest first for each peak; they are no proof that an element is there.

    Parameters
    ----------
    ds : Dataset
        A map with counts along energy, whose total spectrum is taken, or what `spectra.decompose` returned.
    elements : collection of str, optional
        Only lines of these, e.g. ``("Fe", "O")``.
    tolerance : float
        Farthest distance of a line from its peak, in keV.
    prominence : float
        How far a peak stands out, relative to the highest.

    Returns
    -------
    list of Line
        By component, then by falling height; a peak without a line near it is left out.

    Raises
    ------
    DataError
        If the dataset has no energy axis.

    Examples
    --------
    >>> from fusion import Axis
    >>> energy = np.arange(0.0, 10.0, 0.01)
    >>> spectrum = np.exp(-(((energy - 6.4) / 0.06) ** 2)) + 0.3 * np.exp(-(((energy - 0.52) / 0.04) ** 2))
    >>> ds = fusion.dataset({"counts": (("x", "energy"), [spectrum, spectrum])},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.01)}, name="map", cell_methods="sum")
    >>> [(line.line, round(line.energy, 2)) for line in identify(ds, elements=("Fe", "O"))]
    [('Fe_Ka', 6.4), ('O_Ka', 0.52)]
    """
    found = _endmembers(fusion.check(ds))
    energy = found["energy"].values
    rows = enumerate(np.atleast_2d(found.values))
    return [
        Line(component, peak, height, name, distance)
        for component, spectrum in rows
        for peak, height in _peaks(energy, spectrum, prominence)
        for name, distance in _near(peak, tolerance, elements)
    ]


def _endmembers(ds: xr.Dataset) -> xr.DataArray:
    array = ds["endmember"] if "endmember" in ds else main_variable(ds)
    if "energy" not in array.dims:
        raise DataError(f"X-ray lines need an energy axis in keV; {array.name} has the dims {array.dims}")
    return array if array.name == "endmember" else array.sum(spatial_dims(array))


def _peaks(
    energy: npt.NDArray[np.float64], spectrum: npt.NDArray[np.float64], prominence: float
) -> Iterator[tuple[float, float]]:
    """Yield position and height of the peaks above the strobe of the detector at zero energy, highest first."""
    from scipy.signal import find_peaks

    real = energy > 0.1
    if not (spectrum[real] > 0).any():
        return
    relative = spectrum[real] / spectrum[real].max()
    places, _ = find_peaks(relative, prominence=prominence)
    for place in sorted(places, key=lambda index: -relative[index]):
        yield float(energy[real][place]), float(relative[place])


def _near(energy: float, tolerance: float, elements: Collection[str] | None) -> list[tuple[str, float]]:
    near = [
        (name, position - energy)
        for name, position in _table().items()
        if abs(position - energy) <= tolerance and (elements is None or name.partition("_")[0] in elements)
    ]
    return sorted(near, key=lambda pair: abs(pair[1]))


@cache
def _table() -> dict[str, float]:
    register_exspy()
    from exspy.material import elements

    table = {}
    for element, properties in elements.as_dictionary().items():
        lines = lookup(properties, "Atomic_properties", "Xray_lines") or {}
        table.update({f"{element}_{line}": float(lines[line]["energy (keV)"]) for line in _STRONGEST if line in lines})
    return table
