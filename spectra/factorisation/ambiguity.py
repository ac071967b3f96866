"""How far the components of a non-negative decomposition can be mixed before an abundance or a spectrum turns negative.

The product A E stays the same where a share Δ of component l goes into the spectrum of k, e_k + Δ (e_l − e_k), and
leaves the abundance of l, a_l − Δ a_k. Nothing but the bounds holds Δ: abundances of l that are zero where k is present
from above, channels of k that are zero where l has signal from below. Where all components share a continuum, no
spectrum reaches zero, and Δ is free in a range (Borgen and Kowalski, Anal. Chim. Acta 174, 1 (1985)).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from spectra.factorisation.problem import Problem
from spectra.factorisation.sparse import Array

_GRID: Final = np.concatenate([[0.0], np.geomspace(1e-5, 0.5, 40)])
"""Shares at which a range is probed; beyond the last one component is as much the other as itself."""
_HALVINGS: Final = 6
_PIXELS: Final = 1 << 14
"""As many are enough to tell where a range ends."""
_MOMENT: Final = 0.8
"""Mean square of what a decomposition is off, over the square of the range, measured on maps with known truth."""


class Mixing(NamedTuple):
    """How far a share of component l (second axis) may go from the spectrum of k (first) or into it, both positive."""

    out: Array
    into: Array

    @property
    def variance(self) -> Array:
        """Mean square of Δ about the estimate, zero on the diagonal; infinite where no bound holds it."""
        # Least squares move the components to one end of the range, since every bound that is loosened lets more noise
        # be fitted; the truth is near the other end wherever components are truly absent from some pixels. The share of
        # r² that its mean square then is was measured (benchmarks/spectra/intervals.py); a uniform density has a third.
        # Each of the two sides counts by its length.
        total = self.out + self.into
        mean = _MOMENT * (self.out**3 + self.into**3) / np.where(total > 0, total, 1.0)
        return np.where(np.maximum(self.out, self.into) >= _GRID[-1], np.inf, mean)


def mixing(problem: Problem, abundance: Array, endmember: Array, errors: tuple[Array, Array]) -> Mixing:
    """Return how far the noise lets each pair of components be mixed.

    Parameters
    ----------
    problem : Problem
    abundance : array, (pixel, component)
    endmember : array, (component, channel)
        The factors, in the scale of the map.
    errors : (array, array)
        Their standard errors, each with the other factor held fixed.

    Returns
    -------
    Mixing
        (component, component).
    """
    weighted = endmember / problem.by_channel
    scores = problem.matrix @ weighted.T * problem.by_pixel[:, None]
    free_abundance = scores @ np.linalg.pinv(weighted @ weighted.T, hermitian=True)
    weighted = abundance / problem.by_pixel[:, None]
    scores = problem.transposed_times(weighted) * problem.by_channel[:, None]
    free_endmember = (scores @ np.linalg.pinv(weighted.T @ weighted, hermitian=True)).T
    rows = slice(None, None, max(1, len(abundance) // _PIXELS))
    count = len(endmember)
    out, into = np.zeros((2, count, count))
    for k, other in np.argwhere(~np.eye(count, dtype=bool)):
        into[k, other] = _reach(free_abundance[rows, other], abundance[rows, k], errors[0][rows, other])
        out[k, other] = _reach(free_endmember[k], endmember[other] - endmember[k], errors[1][k])
    return Mixing(out, into)


# Values that are truly zero scatter about zero once the bound is taken off; those below it have a mean square of σ².
# Taking away Δ times another component is allowed while what falls below zero scatters no more than that. Each value
# counts by the square of what is taken from it in σ. A test of the likelihood would not do: it falls by half a unit
# for each pixel whose bound is loosened (the incidental parameters of Neyman and Scott, Econometrica 16, 1 (1948)), and
# would exclude the truth.
def _reach(values: Array, taken: Array, sigma: Array) -> float:
    """Return the largest share of `taken` that leaves no more below zero of `values` than noise explains."""
    used = (taken > 0) & (sigma > 0)
    scaled, push = values[used] / sigma[used], taken[used] / sigma[used]

    def exceeds(share: float) -> bool:
        z = scaled - share * push
        below = z < 0
        return bool(below.any() and (push**2 * (z**2 - 1.0))[below].sum() >= 0.0)

    beyond = next((index for index, share in enumerate(_GRID) if exceeds(share)), None)
    if beyond is None or beyond == 0:
        return 0.0 if beyond == 0 else float(_GRID[-1])
    low, high = _GRID[beyond - 1 : beyond + 1]
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if exceeds(middle) else (middle, high)
    return float(0.5 * (low + high))
