"""One spectrum for each phase, from pixels that hold several of them: bare arrays in, bare arrays out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from spectra.factorisation.factors import singular
from spectra.factorisation.problem import Mask
from spectra.factorisation.shifted import Fractions
from spectra.factorisation.sparse import Array, divided, entries

_BLOCK: Final = 2**21
"""Values of a block of channels."""
_ROUNDS: Final = 5
"""Rounds of weights at most."""
_SETTLED: Final = 0.01
"""Share of its standard error by which a spectrum may change in the last round."""
MOST: Final = 4.0
"""Standard errors of the position that a shift may reach."""
_STEPS: Final = 25
_LONGEST: Final = 4.0
"""Of a step, in those of Gauss and Newton."""
_STILL: Final = 0.02
"""Share of its standard error by which a shift may move in the last step."""
_FLOOR: Final = 0.02
"""Least expected count of a pixel, as a share of the mean of its channel."""


@dataclass(frozen=True)
class Pixels:
    """What is fitted.

    Parameters
    ----------
    matrix : array or sparse array, (pixel, channel)
    used : array of bool, (pixel,)
        The pixels that count.
    noise : array, (pixel, phase, phase), optional
        The covariance with which the true fractions of each pixel scatter about the known ones.
    counts : bool
        Whether the values are counts, whose variance is their mean.
    """

    matrix: Any
    used: Mask
    noise: Array | None
    counts: bool

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Yield blocks of channels, dense, of the pixels that count."""
        columns = self.matrix if isinstance(self.matrix, np.ndarray) else self.matrix.tocsc()
        width = max(_BLOCK // columns.shape[0], 1)
        for start in range(0, columns.shape[1], width):
            block = columns[:, start : start + width]
            values = block if isinstance(block, np.ndarray) else block.toarray()
            yield slice(start, start + width), np.asarray(values[self.used])


class Fit(NamedTuple):
    """The spectra of phases, and where the fractions lie.

    Parameters
    ----------
    spectra : array, (phase, channel)
    covariance : array, (channel, phase, phase)
    excess : array, (channel,)
        Scatter of the residuals over that of the model, at least 1; `covariance` holds it.
    shift : array, (axis,)
    shift_covariance : array, (axis, axis)
    """

    spectra: Array
    covariance: Array
    excess: Array
    shift: Array
    shift_covariance: Array


class _Trial(NamedTuple):
    """A fit at one shift, and how its likelihood changes along the axes that are free."""

    fit: Fit
    gradient: Array
    curvature: Array
    mixed: Array


def fit(pixels: Pixels, fractions: Fractions, sigma: Array, start: Array) -> Fit:
    """Return the spectra of phases, and the shift of the fractions where its standard error is not zero.

    Parameters
    ----------
    pixels : Pixels
    fractions : Fractions
    sigma : array, (axis,)
        Standard error of the shift along each axis, in um; zero where it is known.
    start : array, (axis,)
        The shift to begin with.
    """
    # Minimises Σ (d - F(δ) E)² / v + Σ (δ / σ)² over the spectra E and the shift δ: the position is a parameter with
    # the prior that the registration gives, which the counts themselves sharpen. Taken as noise of F instead, it would
    # leave the spectra drawn towards each other by however much the shift mixes the phases. Gauss-Newton steps, as long
    # as the secant of the gradient says: the fractions are piecewise linear in δ and no model is exact, so that a full
    # step may pass the minimum or fall short of it. The variances v follow the fit: no sum of squares falls, but a
    # quasi-likelihood, the integral of the gradient (R. W. M. Wedderburn, Biometrika 61, 439 (1974)): a step is good if
    # the mean of the gradients at its ends leads down.
    free = sigma > 0
    precision = np.diag(1.0 / sigma[free] ** 2)
    trial = _trial(pixels, fractions, start, free, None)
    length = 1.0
    for _ in range(_STEPS if free.any() else 0):
        total = trial.curvature + precision
        step = -length * np.linalg.solve(total, trial.gradient + precision @ trial.fit.shift[free])
        shift = trial.fit.shift.copy()
        shift[free] = np.clip(shift[free] + step, -MOST * sigma[free], MOST * sigma[free])
        moved = (shift - trial.fit.shift)[free]
        if (np.abs(moved) * np.sqrt(np.diag(total)) < _STILL).all():
            break
        new = _trial(pixels, fractions, shift, free, trial.fit.spectra)
        before, after = (float((each.gradient + precision @ each.fit.shift[free]) @ moved) for each in (trial, new))
        length = min(length / max(1.0 - after / before, 0.25), _LONGEST)
        trial = new if before + after < 0 else trial
    return _with_position(trial, free, np.asarray(np.linalg.inv(trial.curvature + precision), dtype=float))


def coarse_shift(pixels: Pixels, by_pixel: Array, by_channel: Array, fractions: Fractions, sigma: Array) -> Array:
    """Return the shift, to half a pixel, at which fractions explain a map best; up to three standard errors are tried.

    Parameters
    ----------
    pixels : Pixels
    by_pixel, by_channel : array
        What pixels and channels are divided by, so that their noise is alike.
    fractions : Fractions
    sigma : array, (axis,)
        Of the shift in um.
    """
    # χ²(δ) = (‖S‖² - tr((F'F)⁻¹ F'S S'F)) / s² + Σ (δ / σ)²: the spectra are eliminated, and as many leading components
    # S as there are phases, and two, stand for all channels: a shift costs next to nothing and none need be missed. The
    # variance s² is that of what the best shift leaves, over all values.
    matrix = divided(pixels.matrix, by_pixel, by_channel)
    kept = min(fractions.values.shape[-1] + 2, *(max(size - 1, 1) for size in matrix.shape))
    scores = singular(matrix, kept, 0).scores[pixels.used]
    shifts, explained = [], []
    for shift, means in fractions.lattice(3.0 * sigma):
        known = means[pixels.used] / by_pixel[pixels.used][:, None]
        right = known.T @ scores
        explained.append(float((right * (np.linalg.pinv(known.T @ known, hermitian=True) @ right)).sum()))
        shifts.append(shift)
    variance = (float((entries(matrix) ** 2).sum()) - max(explained)) / np.prod(matrix.shape)
    free = sigma > 0
    prior = ((np.array(shifts)[:, free] / sigma[free]) ** 2).sum(axis=1)
    return shifts[int(np.argmin(prior - np.array(explained) / variance))]


# With H = F'W F the information on the spectrum of a channel, and C = F'W G the mixed one, G = (dF/dδ) E, the curvature
# along δ with all spectra free is Σ G'W G - C'H⁻¹ C over the channels (a Schur complement): the shift costs as many
# numbers as there are axes, and no system of equations is larger than the number of phases.
def _trial(pixels: Pixels, fractions: Fractions, shift: Array, free: Mask, spectra: Array | None) -> _Trial:
    """Return the spectra at one shift."""
    known = fractions.at(shift)[pixels.used]
    axes = np.flatnonzero(free)
    slopes = [fractions.slope(shift, int(axis))[pixels.used] for axis in axes]
    noise = None if pixels.noise is None else pixels.noise[pixels.used]
    own, spread, excess, mixed = [], [], [], []
    gradient, curvature = np.zeros(axes.size), np.zeros((axes.size, axes.size))
    for channels, values in pixels.blocks():
        block = _solved(values, known, noise, pixels.counts, None if spectra is None else spectra[:, channels])
        residual, weight = values - known @ block.spectra, block.weight
        squares = (weight * residual**2).sum(axis=0)
        own.append(block.spectra)
        excess.append(np.maximum(squares / max(len(known) - known.shape[1], 1), 1.0))
        spread.append(block.covariance * excess[-1][:, None, None])
        moved = [slope @ block.spectra for slope in slopes]
        cross = np.array([known.T @ (weight * each) for each in moved]).reshape(axes.size, *block.spectra.shape).T
        mixed.append(block.covariance @ cross)
        gradient -= [float((weight * each * residual).sum()) for each in moved]
        curvature += np.array([[float((weight * a * b).sum()) for b in moved] for a in moved]).reshape(curvature.shape)
        curvature -= np.einsum("eka,ekb->ab", cross, mixed[-1])
    found = Fit(np.hstack(own), np.concatenate(spread), np.concatenate(excess), shift, np.zeros((shift.size,) * 2))
    return _Trial(found, gradient, curvature, np.concatenate(mixed))


# E at the best shift moves by -H⁻¹ C per unit of δ, so that an error of the position with the covariance P adds
# (H⁻¹ C) P (H⁻¹ C)' to the covariance of each channel's spectra.
def _with_position(trial: _Trial, free: Mask, covariance: Array) -> Fit:
    full = np.zeros((free.size, free.size))
    full[np.ix_(free, free)] = covariance
    moved = np.einsum("eka,ab,elb->ekl", trial.mixed, covariance, trial.mixed)
    return trial.fit._replace(covariance=trial.fit.covariance + moved, shift_covariance=full)


class _Block(NamedTuple):
    """The spectra (phase, channel) of a block of channels, their covariance, and the weights (pixel, channel)."""

    spectra: Array
    covariance: Array
    weight: Array


# Counts have the variance of their mean, which the fit itself knows: iterated weights 1 / (F E) end at the maximum of
# Poisson's likelihood, while weights from the counts would favour what noise made small. True fractions that scatter
# about F with the covariance S add E'S E to the variance of each channel and no bias, since F is their expectation
# (J. Berkson, J. Am. Stat. Assoc. 45, 164 (1950)); were F the truth plus noise, F'W F would be too large by Σ w S.
def _solved(values: Array, known: Array, noise: Array | None, counts: bool, start: Array | None) -> _Block:
    count, phases = known.shape
    pairs = (known[:, :, None] * known[:, None, :]).reshape(count, -1)
    before = start
    for _ in range(_ROUNDS):
        weight = np.ones_like(values) if before is None else 1.0 / _variance(values, known, noise, counts, before)
        inverse = np.linalg.inv((pairs.T @ weight).T.reshape(-1, phases, phases))
        spectra = np.einsum("ekl,le->ke", inverse, known.T @ (weight * values))
        error = np.sqrt(np.diagonal(inverse, axis1=1, axis2=2)).T
        if before is not None and (np.abs(spectra - before) <= _SETTLED * error).all():
            break
        before = spectra
    return _Block(spectra, np.asarray(inverse, dtype=float), weight)


# A model that expects next to no count in a pixel would give that pixel all weight; no expectation is taken below a
# fiftieth of the channel's mean, nor below one count in all pixels together. Intensities have one variance in a
# channel, that of their residuals.
def _variance(values: Array, known: Array, noise: Array | None, counts: bool, spectra: Array) -> Array:
    """Return the variance (pixel, channel) of values of which these spectra are the model."""
    model = known @ spectra
    if counts:
        variance = np.maximum(model, np.maximum(_FLOOR * values.mean(axis=0), 1.0 / len(values)))
    else:
        variance = ((values - model) ** 2).sum(axis=0) / len(values)
        variance = np.broadcast_to(np.maximum(variance, np.finfo(float).tiny), values.shape)
    if noise is None:
        return np.asarray(variance)
    return np.asarray(variance + np.einsum("ke,pkl,le->pe", spectra, noise, spectra, optimize=True))
