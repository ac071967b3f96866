"""How things are shown to people: the colours of components, lengths and units in text, the edges of pixels."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import units
from fusion.frames import POSE, get_pose

Array = npt.NDArray[np.float64]
# Okabe and Ito, Color Universal Design (2008), without the blue: the closest two of these six are 16 units of CIELAB
# apart for normal sight, protanopes, deuteranopes and tritanopes alike (simulated after Machado et al., IEEE Trans.
# Vis. Comput. Graph. 15, 1291, 2009). Yellow is the last one, because it is pale on white paper.
PALETTE: Final = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#f0e442")
"""The colour of component k wherever it is drawn: orange, sky blue, green, purple, vermilion, yellow."""
_SPELLED: Final = {"um": "µm", "1/cm": "cm⁻¹", "1/um^2": "µm⁻²", "degree": "°"}
_LENGTHS: Final = ((1e4, 1e5, "cm"), (1e3, 1e3, "mm"), (1.0, 1.0, "µm"), (1e-3, -np.inf, "nm"))
"""Size of a unit in um, the shortest length that is written in it, and its name."""


def color(index: int) -> str:
    """Return the colour of component `index`; beyond six they begin anew.

    Examples
    --------
    >>> color(0), color(6)
    ('#e69f00', '#e69f00')
    """
    return PALETTE[index % len(PALETTE)]


def length_unit(um: float) -> tuple[float, str]:
    """Return the factor and the name of the unit in which lengths up to `um` read well.

    Examples
    --------
    >>> length_unit(0.3), length_unit(25.0), length_unit(6000)
    ((1000.0, 'nm'), (1.0, 'µm'), (0.001, 'mm'))
    """
    return next((1.0 / size, name) for size, least, name in _LENGTHS if um >= least)


def length(um: float, unit: str = units.LENGTH) -> str:
    """Return a length with the unit in which it reads well.

    Parameters
    ----------
    um : float
        The length in `unit`.
    unit : str, optional
        ``um``, or ``px`` for a number of pixels.

    Returns
    -------
    str

    Examples
    --------
    >>> length(4.7e-5), length(0.3), length(25.0), length(6000), length(100.0, "px")
    ('0.047 nm', '300 nm', '25 µm', '6 mm', '100 px')
    """
    if unit == units.PIXEL:
        return f"{um:.3g} px"
    factor, name = length_unit(um)
    return f"{um * factor:.3g} {name}"


def axis_unit(unit: str, reach: float) -> tuple[float, str]:
    """Return the factor and the name of the unit in which an axis that spans `reach` reads well.

    Examples
    --------
    >>> axis_unit("um", 0.3), axis_unit("px", 300.0), axis_unit("1/cm", 3000.0)
    ((1000.0, 'nm'), (1.0, 'px'), (1.0, 'cm⁻¹'))
    """
    return length_unit(reach) if unit == units.LENGTH else (1.0, spelled(unit))


def spelled(unit: str) -> str:
    """Return a unit as it is printed.

    Examples
    --------
    >>> spelled("um"), spelled("1/cm"), spelled("keV")
    ('µm', 'cm⁻¹', 'keV')
    """
    return _SPELLED.get(unit, unit)


def with_unit(name: str, unit: str) -> str:
    """Return a name with its unit in parentheses; alone, where the unit is 1 or not known.

    Examples
    --------
    >>> with_unit("raman shift", "1/cm"), with_unit("fraction", "1")
    ('raman shift (cm⁻¹)', 'fraction')
    """
    return name if unit in ("1", "") else f"{name} ({spelled(unit)})"


def y_upwards(ds: xr.Dataset | xr.DataArray) -> bool:
    """Whether y points up where a dataset is drawn face-on in its own axes; otherwise it runs down, as rows do.

    The attribute ``direction`` of the coordinate y, "up" or "down", decides. Without it y points up in scans and maps
    that have the axes of their stage, seen from the source (z of the dataset is z of the stage, whatever the scan
    angle), and in Raman maps. An image of an electron microscope is turned over by its pose: its y runs down.

    Examples
    --------
    >>> y_upwards(xr.Dataset(coords={"y": ("y", [0.0, 1.0], {"direction": "up"})}))
    True
    """
    direction = str(ds["y"].attrs.get("direction", "")) if "y" in ds.coords else ""
    if direction or POSE not in ds.coords:
        return direction == "up"
    pose, frame = get_pose(ds)
    fused = "coverage" in ds.coords or (isinstance(ds, xr.Dataset) and "coverage" in ds.data_vars)
    return bool(frame.on_stage and pose.jacobian(np.zeros(3))[0, 0] > 0) or ("raman_shift" in ds.dims and not fused)


def edges(centres: npt.ArrayLike, *, width: float = 1.0) -> Array:
    """Return the n + 1 edges of n pixels: half-way between neighbours, and as far beyond the outermost centres.

    Parameters
    ----------
    centres : (n,) array_like
        Ascending positions, uniform or not.
    width : float, optional
        Of a single pixel, which has no neighbour to tell its size.

    Returns
    -------
    (n + 1,) array

    Examples
    --------
    >>> edges([0.0, 1.0, 3.0]).tolist(), edges([2.0], width=0.5).tolist()
    ([-0.5, 0.5, 2.0, 4.0], [1.75, 2.25])
    """
    at = np.asarray(centres, dtype=np.float64)
    if at.size == 1:
        return np.asarray(at + width * np.array([-0.5, 0.5]))
    middle = (at[1:] + at[:-1]) / 2.0
    return np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])


def extent(array: xr.DataArray | xr.Dataset, row: str, column: str) -> tuple[float, float, float, float]:
    """Return the left, right, lowest and highest edge of an image's pixels, in the unit of its axes.

    A single row is as high as its pixels are wide, a single column as wide as they are high.

    Examples
    --------
    >>> extent(xr.Dataset(coords={"y": [0.0], "x": [0.0, 0.5]}), "y", "x")
    (-0.25, 0.75, -0.25, 0.25)
    """
    steps = [float(np.ptp(array[dim].values)) / (array[dim].size - 1) for dim in (row, column) if array[dim].size > 1]
    x, y = (edges(array[dim].values, width=min(steps, default=1.0)) for dim in (column, row))
    return float(x[0]), float(x[-1]), float(y[0]), float(y[-1])
