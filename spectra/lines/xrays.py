"""X-ray lines as a detector sees them: energies, relative weights and widths."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import kind, spatial_dims
from fusion.errors import DataError
from spectra.attributes import lookup

FANO: Final = 2.5
"""Slope of the squared width over energy, eV (Fiori and Newbury)."""
SIGMA: Final = 2.0 * np.sqrt(2.0 * np.log(2.0))
"""Full width at half maximum of a Gaussian over its standard deviation."""
FAMILIES: Final = ("K", "L", "M")


class XrayLine(NamedTuple):
    """One line of an element."""

    name: str
    """As ``"Fe_Ka"``."""
    energy: float
    """In keV."""
    weight: float
    """Relative to the strongest line of its family."""
    weight_stderr: float = 0.0
    """Standard error of the weight; see `weight_error`."""

    @property
    def element(self) -> str:
        """Return the symbol, ``"Fe"``."""
        return self.name.partition("_")[0]

    @property
    def family(self) -> str:
        """Return the shell that the line comes from, ``"K"``."""
        return self.name.partition("_")[2][0]


@cache
def xray_lines() -> dict[str, XrayLine]:
    """Return all lines of all elements by name, as eXspy tabulates them.

    Examples
    --------
    >>> xray_lines()["Fe_Ka"].energy
    6.4039
    """
    lines = {}
    for element, properties in _elements().items():
        for line, values in (lookup(properties, "Atomic_properties", "Xray_lines") or {}).items():
            name = f"{element}_{line}"
            energy, weight = float(values["energy (keV)"]), float(values["weight"])
            lines[name] = XrayLine(name, energy, weight, weight_error(line[0], energy, weight))
    return lines


# `exspy.material.elements` is this table; importing it brings all components and signals of HyperSpy, which takes
# seconds. The file is a literal and is read as one.
@cache
def _elements() -> Mapping[str, Any]:
    """Return what eXspy knows of each element."""
    package = Path(str(cast(ModuleSpec, find_spec("exspy")).origin)).parent
    statements = ast.parse((package / "_misc" / "elements.py").read_text(encoding="utf-8")).body
    table = next(
        node.value for node in statements if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "elements"
    )
    return cast(Mapping[str, Any], ast.literal_eval(table))


def weight_error(shell: str, energy: float, weight: float) -> float:
    """Return the standard error of a tabulated weight, 0 for the line that the others are relative to.

    Tables agree on the ratio of Kβ to Kα within 5 %. Those of L and M lines start in several subshells, whose shares
    change with the excitation: 15 % and 25 %. Below 1 keV specimen and window absorb each line differently: 30 %.

    Examples
    --------
    >>> [weight_error(*line).__round__(4) for line in (("K", 7.058, 0.1272), ("L", 2.3948, 0.3274), ("L", 0.7, 1.0))]
    [0.0064, 0.0491, 0.0]
    """
    relative = {"K": 0.05, "L": 0.15, "M": 0.25}[shell] if energy > 1.0 else 0.3
    return 0.0 if weight == 1.0 else relative * weight


def xray_line(name: str) -> XrayLine:
    """Return one line.

    Raises
    ------
    DataError
        If there is none of this name.
    """
    if name not in xray_lines():
        known = ", ".join(line for line in xray_lines() if line.startswith(f"{name.partition('_')[0]}_"))
        raise DataError(f"there is no X-ray line {name!r}; {f'known are {known}' if known else 'name one as Fe_Ka'}")
    return xray_lines()[name]


@cache
def family(element: str, shell: str) -> tuple[XrayLine, ...]:
    """Return the lines of an element from one shell, strongest first; none where it has none.

    Examples
    --------
    >>> [line.name for line in family("Fe", "K")]
    ['Fe_Ka', 'Fe_Kb']
    """
    lines = (line for line in xray_lines().values() if line.element == element and line.family == shell)
    return tuple(sorted(lines, key=lambda line: -line.weight))


@cache
def atomic_weight(element: str) -> float:
    """Return the atomic weight of an element in g/mol.

    Raises
    ------
    DataError
        If there is no such element.
    """
    value = lookup(_elements(), element, "General_properties", "atomic_weight")
    if value is None:
        raise DataError(f"there is no element {element!r}; give its symbol, as 'Fe'")
    return float(value)


def width(energy: npt.ArrayLike, resolution: float) -> npt.NDArray[np.float64]:
    """Return the full width at half maximum of an X-ray line.

    The square of the width grows linearly with energy, from electronic noise and the statistics of charge carriers:
    FWHM² = 2.5 eV · (E − E(Mn Kα)) + FWHM²(Mn Kα).

    Parameters
    ----------
    energy : array_like
        In keV.
    resolution : float
        FWHM at Mn Kα, in eV.

    Returns
    -------
    array
        In keV.

    References
    ----------
    C. E. Fiori and D. E. Newbury, Scanning Electron Microscopy 1978/I, 401.

    Examples
    --------
    >>> width([5.8987, 0.5249], 130.0).round(4)
    array([0.13  , 0.0589])
    """
    # Two independent noises add in quadrature: that of the electronics does not depend on energy, that of the number of
    # charge carriers has the variance F E / ε, so FWHM² is a straight line over energy. Its slope is that of silicon,
    # and one width fixes the rest. Far below Mn Kα a resolution near the limit leaves no noise, so it stops at zero.
    steps = FANO * 1e3 * (np.asarray(energy, dtype=np.float64) - xray_lines()["Mn_Ka"].energy)
    return np.asarray(np.sqrt(np.maximum(steps + resolution**2, 0.0)) / 1e3)


def is_counts(array: xr.DataArray) -> bool:
    """Whether values are counts of X-rays: of a map by its cell_methods, of a single spectrum by its unit."""
    return kind(array) == "sum" or (not spatial_dims(array) and array.attrs.get("units") == "count")


def profile(line: XrayLine, edges: npt.NDArray[np.float64], resolution: float) -> npt.NDArray[np.float64]:
    """Return the share of a line that falls into each channel: a Gaussian, integrated over the channel.

    Parameters
    ----------
    line : XrayLine
    edges : array, (channel + 1,)
        Of the channels, in keV.
    resolution : float
        FWHM at Mn Kα, in eV.

    Returns
    -------
    array, (channel,)
        Sums to 1 where all of the line lies on the axis.
    """
    from scipy.special import ndtr

    # Integrated, not sampled at the centres of channels: at 10 eV a channel and C Kα the two differ by a percent, and
    # the integral conserves the counts for channels of any width.
    sigma = float(width(line.energy, resolution)) / SIGMA
    return np.asarray(np.diff(ndtr((edges - line.energy) / sigma)))


def channel_edges(energy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the edges of channels: half-way between their centres, one more than there are channels.

    Examples
    --------
    >>> channel_edges(np.array([0.0, 1.0, 3.0]))
    array([-0.5,  0.5,  2. ,  4. ])
    """
    if energy.size < 2:
        raise DataError(f"{energy.size} channel has no width; at least 2 are needed")
    half = np.diff(energy) / 2.0
    return np.concatenate([energy[:1] - half[:1], energy[:-1] + half, energy[-1:] + half[-1:]])
