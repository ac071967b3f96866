"""A smooth warp from landmarks: a Gaussian process whose size and length are those that the landmarks allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.errors import RegistrationError
from fusion.kriging import Kernel, Kriging, System, matern
from fusion.registration.fit import fit
from fusion.registration.outliers import ACCUSED, LeftOut, is_mirrored, refuse_unordered
from fusion.registration.pairs import Pairs
from fusion.registration.result import Outliers, Registration, as_kept, as_left_out, as_residuals
from fusion.warp import Bend, Warp

Array = npt.NDArray[np.float64]
_LENGTHS: Final = np.geomspace(0.2, 6.0, 9)
"""Of the kernels, over the extent of the landmarks."""
_AMPLITUDES: Final = 16
_SMALLEST: Final = 0.03
"""Amplitude over the error of the landmarks below which bending is not seen."""
_LARGEST: Final = 30.0
"""Amplitude over what an affine transform leaves, which no bending exceeds."""
_NEGLIGIBLE: Final = 1e-3
"""Share of the probability that kernels left out of the mixture may have together."""
_MOST: Final = 500
_LATTICE: Final = 15
_SUSPECTS: Final = 4
"""Pairs that are compared with a process through all others, which takes a fit each."""


def register_warp(pairs: Pairs, outliers: Outliers) -> Registration[Warp]:
    """Fit a smooth warp to pairs of landmarks, see `fusion.register_landmarks`.

    Raises
    ------
    RegistrationError
        If the landmarks are too few or too many, leave an affine transform open or are mirrored, do not fit one
        another, or the warp folds.
    """
    fewest = 2 * (pairs.dim + 1)
    if pairs.columns < pairs.dim:
        raise RegistrationError("a warp of a section in a volume is not offered; use model='rigid' or 'affine'")
    if not fewest <= len(pairs) <= _MOST:
        raise RegistrationError(f"warp takes {fewest} to {_MOST} pairs of landmarks; received {len(pairs)}")
    if is_mirrored(pairs, "affine"):
        raise RegistrationError("the landmarks are mirrored: one axis of moving or fixed runs the other way; turn it")
    kept = np.ones(len(pairs), bool)
    process = _through(pairs)
    if outliers != "keep":
        refuse_unordered(pairs, "affine")
        kept = _agreeing(process, pairs, fewest)
        process = process if kept.all() else _through(pairs.take(kept))
    if outliers == "refuse" and not kept.all():
        wrong = ", ".join(map(str, np.flatnonzero(~kept)))
        raise RegistrationError(
            f"pairs that lie too far from where the others place them: {wrong}; or pass outliers='drop' or 'keep'"
        )
    _refuse_folded(process)
    return _registration(pairs, process, kept)


def _through(pairs: Pairs) -> Kriging:
    """Return the process through landmarks; the errors of the moving side turn and stretch with the map itself."""
    linear = fit(pairs, "affine").matrix[:-1, :-1]
    slopes = np.broadcast_to(linear, (len(pairs), *linear.shape))
    process = krige(pairs, slopes)
    return krige(pairs, process.jacobian(pairs.moving)) if pairs.moving_covariance.any() else process


def krige(pairs: Pairs, slopes: Array) -> Kriging:
    """Return the process through landmarks, averaged over the kernels that their likelihood allows.

    Parameters
    ----------
    pairs : Pairs
    slopes : ndarray (n, d, d)
        Derivatives of the map at the landmarks.
    """
    # S = Cf + J Cm J' in um², as for the affine models; a bent map has its own derivative J at each landmark
    covariance = pairs.fixed_covariance + slopes @ pairs.moving_covariance @ slopes.swapaxes(1, 2)
    table = np.array([row for length in _lengths(pairs) for row in _likelihoods(pairs, covariance, length)])
    table[:, 0] = np.exp(table[:, 0] - table[:, 0].max())
    table = table[np.argsort(-table[:, 0])]
    shares = np.cumsum(table[:, 0]) / table[:, 0].sum()
    table = table[: int(np.searchsorted(shares, 1.0 - _NEGLIGIBLE)) + 1]
    table[:, 0] /= table[:, 0].sum()
    kernels = tuple(Kernel(*map(float, row)) for row in table)
    return Kriging(pairs.moving, pairs.fixed, covariance, kernels)


def _lengths(pairs: Pairs) -> Array:
    return np.asarray(np.ptp(pairs.moving, axis=0).max() * _LENGTHS)


class _White(NamedTuple):
    """Landmarks over their errors: values (n d,), drift (n d, k), and the covariance (n d, n d) of unit bending."""

    values: Array
    design: Array
    bending: Array


def _likelihoods(pairs: Pairs, covariance: Array, length: float) -> Iterator[list[float]]:
    """Yield the logarithm of the likelihood of each amplitude of one length, with the numbers of its kernel."""
    # The restricted likelihood of a kernel, |K|^-1/2 |F' K⁻¹ F|^-1/2 exp(-Q/2) with Q = y' P y, integrates over the
    # affine part (Patterson and Thompson, Biometrika 58, 545 (1971)); an unknown factor of K, with the prior 1/s²,
    # leaves Q^(-ν/2) instead of the exponential. One kernel of maximal likelihood would be too sure of itself: the
    # weights are likelihoods on a grid, uniform in the logarithms of amplitude and length. In units of the noise
    # K = a² U D U' + I: one eigendecomposition serves all amplitudes.
    white = _whitened(pairs, covariance, length)
    values, vectors = np.linalg.eigh(white.bending)
    turned, drift = vectors.T @ white.values, vectors.T @ white.design
    free = len(turned) - drift.shape[1]
    for amplitude in _amplitudes(pairs, covariance, white):
        spread = amplitude**2 * values.clip(min=0.0) + 1.0
        normal = drift.T @ (drift / spread[:, None])
        rest = turned - drift @ np.linalg.solve(normal, drift.T @ (turned / spread))
        square = float((rest**2 / spread).sum())
        noise = 1.0 if pairs.known else max(square / free, pairs.rounding)
        misfit = square if pairs.known else free * np.log(noise)
        logarithms = np.log(spread).sum() + np.linalg.slogdet(normal)[1] + misfit
        yield [-0.5 * logarithms, amplitude * noise**0.5, length, noise]


def _whitened(pairs: Pairs, covariance: Array, length: float) -> _White:
    count, dim = pairs.moving.shape
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    values = (inverse @ (pairs.fixed - pairs.fixed.mean(axis=0))[..., None]).ravel()
    homogeneous = np.concatenate([pairs.moving - pairs.moving.mean(axis=0), np.ones((count, 1))], axis=1)
    design = inverse @ np.kron(homogeneous, np.eye(dim)).reshape(count, dim, -1)
    apart = np.linalg.norm(pairs.moving[:, None] - pairs.moving, axis=2)
    bending = inverse[:, None] @ (matern(apart, length)[..., None, None] * inverse.swapaxes(1, 2))
    size = count * dim
    return _White(values, design.reshape(size, -1), bending.swapaxes(1, 2).reshape(size, size))


def _amplitudes(pairs: Pairs, covariance: Array, white: _White) -> Array:
    """Return amplitudes from one that the error hides to one beyond what an affine transform leaves."""
    residual = white.values - white.design @ np.linalg.lstsq(white.design, white.values, rcond=None)[0]
    size = float(np.sqrt((residual**2).mean()))
    unit = float(np.sqrt(np.trace(covariance, axis1=1, axis2=2).mean() / pairs.dim))
    if not pairs.known:
        # amplitude over error, which is estimated for each
        return unit * np.geomspace(_SMALLEST, _LARGEST, _AMPLITUDES)
    return unit * np.geomspace(_SMALLEST, _LARGEST * max(size, 1.0), _AMPLITUDES)


def _free(count: int, dim: int) -> int:
    """Return how many numbers of landmarks are left when an affine map is fitted to them."""
    return count * dim - dim * (dim + 1)


def _noise(process: Kriging) -> float:
    return sum(kernel.weight * kernel.noise for kernel in process.kernels)


def _left_out(process: Kriging, pairs: Pairs) -> LeftOut:
    """Compare each pair with where the others place it under the likeliest kernel."""
    from scipy.special import chdtrc, fdtrc

    count, dim = pairs.moving.shape
    off, square = System(process, process.kernels[0]).left_out()
    distance = np.linalg.norm(off, axis=1)
    if pairs.known:
        return LeftOut(distance, chdtrc(dim, square))
    # the error is estimated without the pair: the factor of the kernel times Q / ν is 1
    free = _free(count, dim)
    others = np.maximum(free - square, 1e-9 * free) / (free - dim)
    return LeftOut(distance, fdtrc(dim, free - dim, square / dim / others))


def _agreeing(process: Kriging, pairs: Pairs, fewest: int) -> npt.NDArray[np.bool_]:
    """Return which pairs are left when the worst one is deleted while it is beyond chance."""
    kept = np.ones(len(pairs), bool)
    while len(rest := pairs.take(kept)) > fewest:
        suspects = np.argsort(_left_out(process, rest).p)[:_SUSPECTS]
        worst = max((_compared(rest, int(row)) for row in suspects), key=lambda one: one.square)
        if not worst.p < ACCUSED / len(pairs):
            return kept
        process = worst.others
        kept[np.flatnonzero(kept)[worst.row]] = False
        if kept.sum() < len(pairs) / 2:
            raise RegistrationError("no majority of the pairs agrees on one smooth warp; measure them anew")
    return kept


class _Comparison(NamedTuple):
    """A pair against the process through all others: its distance over its error, squared, and its probability."""

    row: int
    square: float
    p: float
    others: Kriging


def _compared(pairs: Pairs, row: int) -> _Comparison:
    """Compare a pair with where the process through the others places it."""
    # A pair that is far off makes a short kernel likely, under which no pair is far off: the kernels, too, are those
    # that the others allow. F(d, ν) takes the place of chi-squared where the error is estimated.
    from scipy.special import chdtrc, fdtrc

    kept = np.arange(len(pairs)) != row
    process = _through(pairs.take(kept))
    there = pairs.moving[[row]]
    miss, slope = (pairs.fixed[[row]] - process(there))[0], process.jacobian(there)[0]
    own = pairs.fixed_covariance[row] + slope @ pairs.moving_covariance[row] @ slope.T
    error = process.covariance_at(there)[0] + _noise(process) * own
    # beyond the hull of the others the error is understated, up to twofold
    error *= 1.0 if Bend(process).within(there)[0] else 4.0
    square = float(miss @ np.linalg.solve(error, miss))
    free = _free(len(pairs) - 1, pairs.dim)
    p = chdtrc(pairs.dim, square) if pairs.known else fdtrc(pairs.dim, free, square / pairs.dim)
    return _Comparison(row, square, float(p), process)


def _refuse_folded(process: Kriging) -> None:
    """Refuse a map that turns space inside out anywhere between its landmarks: no specimen does."""
    ends = [
        np.linspace(*axis, _LATTICE)
        for axis in zip(process.moving.min(axis=0), process.moving.max(axis=0), strict=True)
    ]
    lattice = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, process.dim)
    points = np.concatenate([process.moving, lattice[Bend(process).within(lattice)]])
    # the determinant of the derivative is the volume that a unit of volume becomes; it is positive unless turned over
    volume = np.linalg.det(process.jacobian(points))
    if volume.min() <= 0.0:
        where = ", ".join(f"{value:.4g}" for value in points[np.argmin(volume)])
        raise RegistrationError(
            f"the warp folds near ({where}) um of the moving side: landmarks there are exchanged or too far off, or "
            "sigma is too small"
        )


def _registration(pairs: Pairs, process: Kriging, kept: npt.NDArray[np.bool_]) -> Registration[Warp]:
    raised = ((0, 0), (3 - pairs.dim, 0))
    free = _free(int(kept.sum()), pairs.dim)
    dof = np.inf if pairs.known else float(free)
    total = np.trace(process.covariance, axis1=1, axis2=2).mean() / pairs.dim
    return Registration(
        transform=Warp(Bend(process, dof=dof)),
        residuals=as_residuals(np.pad(pairs.fixed - process(pairs.moving), raised)),
        model="warp",
        sigma=float(np.sqrt(total * _noise(process))),
        chi2=np.nan,
        dof=dof,
        p=np.nan,
        left_out=as_left_out(*_left_out(process, pairs.take(kept)), kept),
        kept=as_kept(kept),
        columns=pairs.columns,
    )
