"""One fit of lines and continuum to one spectrum: shapes that overlap share the counts, and none is trusted blindly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from spectra.lines.response import ABSORBED_KEV, SOFTEST_KEV, TRANSPARENT_KEV, Shell, sum_peaks
from spectra.lines.xrays import channel_edges, width

Array = npt.NDArray[np.float64]

_BINS: Final = 5.0
"""Bins for one FWHM, to which channels are summed."""
_FLOOR: Final = 0.2
"""Least variance of a bin, in counts²."""
_KNOTS, _BUMPS = 8.0, 1.5
"""Distance of the knots of the continuum, and of the bumps that it may have between them, in FWHM."""
_BUMP: Final = 0.03
"""Standard error of the continuum over the width of a line."""
_PAIRS: Final = 0.01
"""Share of the counts that sum peaks may have."""
_NEGLIGIBLE: Final = 0.02
"""Square of a doubt over the noise below which it is left out."""
_ABSORBED_OVER_HARD, _SOFT_OVER_HARD, _EQUALLY_EXCITED = 3.0, 15.0, 5.0
"""Most counts of a shell over those of a harder one that the beam excites well: of a shell below 1 keV, of others, and
of others where the beam is far above both, by the factor `_FAR_ABOVE`."""
_FAR_ABOVE: Final = 5.0
_WELL_EXCITED: Final = 2.0
"""Energy of the beam over that of a line from which its shell must be seen."""


class Spectrum(NamedTuple):
    """Counts of one spectrum in bins of a fifth of a FWHM."""

    edges: Array
    counts: Array
    extra: Array
    """Variance beyond that of counting, in counts²: of an endmember."""
    beam: float


class Continuum(NamedTuple):
    """What makes up the continuum."""

    shapes: Array
    """Smooth, (shape, bin)."""
    bumps: Array
    """Relative to their sum, as large as one standard error, (bump, bin)."""


class Precision(NamedTuple):
    """The inverse of V = diag(variance) + Uᵀ U, with a row of U for each doubt; never formed."""

    variance: Array
    doubts: Array
    factor: Array

    @classmethod
    def of(cls, variance: Array, doubts: Array) -> Precision:
        """Factorise, without the doubts that are far below the noise."""
        doubts = doubts[(doubts**2 / variance).sum(axis=1) > _NEGLIGIBLE]
        inner: Array = np.eye(len(doubts)) + (doubts / variance) @ doubts.T
        return cls(variance, doubts, np.asarray(np.linalg.cholesky(inner), dtype=np.float64))

    @property
    def log_determinant(self) -> float:
        """Return the logarithm of the determinant of V."""
        return float(np.log(self.variance).sum() + 2.0 * np.log(np.diagonal(self.factor)).sum())

    def __call__(self, rows: Array) -> Array:
        """Return rows (row, bin) times the inverse of V."""
        from scipy.linalg import cho_solve

        # Woodbury: V⁻¹ = D⁻¹ − D⁻¹ Uᵀ (1 + U D⁻¹ Uᵀ)⁻¹ U D⁻¹, a system as large as there are doubts, not bins
        scaled = rows / self.variance
        inner = cho_solve((self.factor, True), self.doubts @ scaled.T)
        return np.asarray(scaled - inner.T @ (self.doubts / self.variance))


class Fit(NamedTuple):
    """Amounts of shapes that share the counts of a spectrum."""

    shells: tuple[Shell, ...]
    shapes: Array
    """Those of the shells first, then of the continuum; (shape, bin)."""
    mixing: Array
    """Counts of each shell in each of the first shapes, (shape, shell)."""
    amounts: Array
    covariance: Array
    """Of the amounts; zero for those at the bound."""
    model: Array
    residual: Array
    precision: Precision
    misfit: float
    """−2 log likelihood but for a constant: chi-square and the logarithm of the determinant of V."""

    @property
    def per_shell(self) -> Array:
        """Return the counts of each shell."""
        return np.asarray(self.amounts[: len(self.shells)] @ self.mixing)

    def error(self, chosen: npt.NDArray[np.bool_]) -> float:
        """Return the standard error of the sum of the counts of some shells."""
        weights = self.mixing @ chosen
        used = len(self.shells)
        return float(np.sqrt(np.maximum(weights @ self.covariance[:used, :used] @ weights, 0.0)))


def binned(energy: Array, counts: Array, extra: Array, resolution: float, beam: float) -> Spectrum:
    """Return a spectrum from 0.15 keV to the energy of the beam, in bins of a fifth of a FWHM.

    Parameters
    ----------
    energy, counts, extra : array, (channel,)
        In keV, counts and counts².
    resolution : float
        FWHM at Mn Kα, in eV.
    beam : float
        In keV.
    """
    live = (energy >= SOFTEST_KEV) & (energy <= beam)
    edges = channel_edges(energy[live])
    widths = width(np.maximum(edges, SOFTEST_KEV), resolution) / _BINS
    starts = [0]
    for index in range(1, edges.size):
        if edges[index] - edges[starts[-1]] >= 0.999 * widths[index]:
            starts.append(index)
    kept = np.array(starts)
    summed, variance = (np.add.reduceat(values[live][: kept[-1]], kept[:-1]) for values in (counts, extra))
    return Spectrum(edges[kept], summed, variance, beam)


def continuum_shapes(edges: Array, resolution: float) -> Continuum:
    """Return cubic B-splines too broad to take the place of a line, and the bumps that absorption edges may add."""
    centres, widths = (edges[:-1] + edges[1:]) / 2.0, np.diff(edges)
    bumps = _spaced(edges, resolution, _BUMPS)
    return Continuum(
        _splines(centres, _spaced(edges, resolution, _KNOTS)) * widths / widths.mean(),
        _BUMP * np.array([np.interp(centres, bumps, row) for row in np.eye(bumps.size)]),
    )


def share(
    spectrum: Spectrum, shells: Sequence[Shell], under: Continuum, start: Array, *, rounds: int = 2, linked: bool = True
) -> Fit:
    """Share the counts of a spectrum between the lines of shells and the continuum.

    Parameters
    ----------
    spectrum : Spectrum
    shells : sequence of Shell
    under : Continuum
    start : array, (bin,)
        Expected counts to begin with.
    rounds : int
        Of variances and doubts from the fit before.
    linked : bool
        Whether a soft shell brings the least counts of the harder ones with it; if not, each is free.

    Returns
    -------
    Fit
    """
    # Generalised least squares: (d − a S) V⁻¹ (d − a S)ᵀ is minimal over a ≥ 0. V holds the variance of counting, which
    # is that of the fit and not of the data, and a term u uᵀ for each way in which the shapes may be off by one
    # standard error: weights, energies and widths of lines, escape and sum peaks, the continuum. This is the same as to
    # let each of these vary with a Gaussian prior and to average over it. As u grows with the amounts, the fit is
    # iterated.
    mixing = _mixing(shells, spectrum.beam) if linked else np.eye(len(shells))
    lines = np.array([shell.shape for shell in shells]).reshape(len(shells), spectrum.counts.size)
    shapes = np.concatenate([mixing @ lines, under.shapes])
    model = start
    amounts = solve(shapes, spectrum.counts, Precision.of(_variance(model, spectrum), shapes[:0]))[0]
    for _ in range(rounds):
        doubts = _doubts(spectrum, shells, under, amounts, mixing)
        precision = Precision.of(_variance(model, spectrum), doubts)
        amounts, hessian = solve(shapes, spectrum.counts, precision)
        model = amounts @ shapes
    residual, free = spectrum.counts - model, np.flatnonzero(amounts > 0)
    covariance = np.zeros_like(hessian)
    covariance[np.ix_(free, free)] = np.linalg.pinv(hessian[np.ix_(free, free)], hermitian=True)
    misfit = float(residual @ precision(residual[None])[0]) + precision.log_determinant
    return Fit(tuple(shells), shapes, mixing, amounts, covariance, model, residual, precision, misfit)


def _variance(model: Array, spectrum: Spectrum) -> Array:
    return np.asarray(np.maximum(model, _FLOOR) + spectrum.extra)


def _doubts(spectrum: Spectrum, shells: Sequence[Shell], under: Continuum, amounts: Array, mixing: Array) -> Array:
    """Return by what the model may be off, one standard error in each row, in counts."""
    counts = amounts[: len(shells)] @ mixing
    bumps = under.bumps * (amounts[len(shells) :] @ under.shapes)
    if not counts.any():
        return bumps
    lines = sum(count * shell.shape for count, shell in zip(counts, shells, strict=True))
    off = [count * shell.doubts for count, shell in zip(counts, shells, strict=True)]
    return np.concatenate([bumps, _PAIRS * sum_peaks(np.asarray(lines), spectrum.edges)[None], *off])


def _mixing(shells: Sequence[Shell], beam: float) -> Array:
    """Return the least counts of other shells that come with one of each, as a soft shell is never alone."""
    mixing = np.eye(len(shells))
    for row, soft in enumerate(shells):
        for column, hard in enumerate(shells[:row]):
            if soft.element == hard.element and is_telling(hard, beam):
                mixing[row, column] = least_ratio(soft, hard, beam)
    return mixing


def least_ratio(soft: Shell, hard: Shell, beam: float) -> float:
    """Return the least counts of a harder shell for one of a softer."""
    # Counts go as n ω ln(U) / E (Bethe): n electrons in the shell, ω its fluorescence yield, U the beam over the edge
    # E. L over K of As is 1.2 at 200 keV, and 3 at 20 keV, where ln(U) of the K shell is small; each most is four or
    # five times that.
    if soft.lines[0].energy < ABSORBED_KEV:
        return 1.0 / _ABSORBED_OVER_HARD
    return 1.0 / (_EQUALLY_EXCITED if beam > _FAR_ABOVE * hard.lines[0].energy else _SOFT_OVER_HARD)


def is_telling(shell: Shell, beam: float) -> bool:
    """Whether a shell must be seen where its element is: excited well, not absorbed, not too hard for the detector."""
    return ABSORBED_KEV < shell.lines[0].energy < min(TRANSPARENT_KEV, beam / _WELL_EXCITED)


def solve(shapes: Array, counts: Array, precision: Precision) -> tuple[Array, Array]:
    """Return the non-negative amounts and the curvature S V⁻¹ Sᵀ."""
    from scipy.linalg import solve_triangular
    from scipy.optimize import nnls

    weighted = precision(shapes)
    hessian = weighted @ shapes.T
    scale = 1.0 / np.sqrt(np.diagonal(hessian))
    # With H = L Lᵀ the sum of squares is |Lᵀ a − L⁻¹ S V⁻¹ d|² and a constant: a problem as small as there are shapes.
    lower = np.linalg.cholesky(hessian * scale[:, None] * scale + 1e-9 * np.eye(len(scale)))
    target = solve_triangular(lower, (weighted @ counts) * scale, lower=True)
    return nnls(lower.T, target, maxiter=100 * len(scale))[0] * scale, hessian


def _spaced(edges: Array, resolution: float, apart: float) -> Array:
    """Return positions on an axis that are some FWHM apart."""
    positions = [float(edges[0])]
    while positions[-1] < edges[-1]:
        positions.append(positions[-1] + apart * float(width(max(positions[-1], SOFTEST_KEV), resolution)))
    return np.array(positions)


def _splines(centres: Array, knots: Array) -> Array:
    from scipy.interpolate import BSpline

    # Non-negative cubic B-splines: a smooth continuum with a curvature set by the distance of its knots, which is wide
    # enough that no line can be bent into it.
    degree = min(3, knots.size - 1)
    ends = np.repeat(knots[[0, -1]], degree)
    design = BSpline.design_matrix(centres, np.concatenate([ends[:degree], knots, ends[degree:]]), degree)
    shapes = np.asarray(design.toarray().T)
    return np.asarray(shapes[shapes.sum(axis=1) > 0])
