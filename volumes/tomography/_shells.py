"""Sums over shells of the Fourier transforms of two volumes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Shells(NamedTuple):
    """What two transforms share in each shell of frequencies, and how many coefficients are independent.

    Attributes
    ----------
    correlation, stderr : (shells,) arrays
    independent : (shells,) array
        Number of independent complex coefficients.
    """

    correlation: Array
    stderr: Array
    independent: Array


# FSC(f) = Re sum F1 F2* / sqrt(sum |F1|² sum |F2|²) over the shell (Harauz and van Heel, Optik 73, 146 (1986)). With n
# independent complex coefficients its standard error is (1 - FSC²) / sqrt(2 n), as for a correlation of 2 n real pairs
# (R. A. Fisher, Biometrika 10, 507 (1915)).
def shells(first: Array, second: Array, shell: Array, weight: Array, count: int, share: float) -> Shells:
    """Correlate two transforms over shells.

    Parameters
    ----------
    first, second : arrays
        Half of the transforms, as `numpy.fft.rfftn` gives them.
    shell : int array of the same shape
        Number of the shell; what is `count` or more is not used.
    weight : array
        How often each coefficient stands for itself and its mirror image: 2, or 1 on the planes that hold both. 0
        leaves it out.
    count : int
    share : float
        Of the coefficients that are independent, below 1 where a window was laid over the volumes.
    """
    index = np.minimum(shell, count).ravel()

    def total(values: Array) -> Array:
        sums: Array = np.bincount(index, (values * weight).ravel(), count + 1)[:count]
        return sums

    cross = total((first * second.conj()).real)
    powers = total(np.abs(first) ** 2), total(np.abs(second) ** 2)
    independent = share * total(np.ones(shell.shape)) / 2.0
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = cross / np.sqrt(powers[0] * powers[1])
        stderr = (1.0 - correlation**2) / np.sqrt(2.0 * independent)
    correlation[independent < 1.0] = np.nan
    stderr[independent < 1.0] = np.nan
    return Shells(correlation, stderr, independent)


# van Heel and Schatz, J. Struct. Biol. 151, 250 (2005), eq. 17: the correlation at which the sum of both volumes holds
# half a bit for each voxel, i.e. a ratio of signal to noise of sqrt(2) - 1, raised by what n coefficients can give by
# chance.
def half_bit(independent: Array) -> Array:
    """Return the half-bit curve for shells of so many independent coefficients."""
    root = 1.0 / np.sqrt(np.maximum(independent, 1e-12))
    curve: Array = (0.2071 + 1.9102 * root) / (1.2071 + 0.9102 * root)
    return np.minimum(curve, 1.0)
