"""Families of X-ray lines fitted to every pixel of a map by linear least squares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import cell_methods, kind, spatial_dims, stderr_name
from fusion.errors import DataError
from fusion.model import like, require_data
from fusion.variables import real_variable
from spectra.factorisation.sparse import Matrix, entries, pixel_matrix
from spectra.factorisation.uncertainty import abundance_error
from spectra.lines.settings import require_beam_energy, require_resolution
from spectra.lines.xrays import (
    FAMILIES,
    XrayLine,
    atomic_weight,
    channel_edges,
    continuum,
    family,
    is_counts,
    profile,
    width,
)

Array = npt.NDArray[np.float64]
_SOFTEST_KEV: Final = 0.15
_SAME: Final = 0.995
"""Cosine of two shapes from which a fit cannot share counts between them."""
_ROUNDS: Final = 4
_REACH: Final = 4.0
_CONTINUUM_ERROR: Final = 0.2
"""Relative standard error of the continuum below a line, measured by `benchmarks/line_weights.py`."""
"""Half window of the continuum in FWHM: below groups of lines; the polynomial corrects the rest."""


class _Design(NamedTuple):
    """The shapes that are fitted, lines first, then background; (shape, channel)."""

    names: list[str]
    shapes: Array
    doubts: list[Array]
    """Of each shape of lines, its lines times the standard errors of their weights, (line, channel)."""
    bumps: Array
    """By which the continuum may be off, (bump, channel)."""


def fit_lines(
    ds: xr.Dataset,
    elements: Iterable[str],
    *,
    resolution: float | None = None,
    beam_energy: float | None = None,
    background: int = 2,
    nonnegative: bool = True,
) -> xr.Dataset:
    """Fit the X-ray lines of elements and a background to every pixel: overlapping lines are separated.

    Parameters
    ----------
    ds : Dataset
        Counts along energy, dims (z, y, x, energy), not corrected for a background; excited by electrons or X-rays.
        Counts of which less than 30 % are not zero stay sparse; a lazy map is read block by block. Crop it to the
        range that matters.
    elements : iterable of str
        All that are there, ``["Fe", "Ni"]``: what is left out goes to those that overlap it. Each shell (K, L, M)
        with its strongest line on the axis and below the beam energy is fitted on its own.
    resolution : float, optional
        Full width at half maximum at Mn Kα, in eV; left out, what the file states.
    beam_energy : float, optional
        Of the electrons or photons that excite, in keV; left out, the attribute of that name.
    background : int
        Degree of the polynomial by which the continuum of the total spectrum is multiplied in each pixel.
    nonnegative : bool
        Whether no amount may be negative. Where counts are few, this makes weak lines too strong on average; for sums
        over many pixels set it to False.

    Returns
    -------
    Dataset
        For each shell a variable named by its strongest line, ``Fe_Ka(z, y, x)``: the counts of that line alone, like
        those of `line_map`; and ``Fe_Ka_stderr``. ``model(energy)`` and ``background(energy)`` are the fit to the
        total spectrum, and the attribute ``reduced_chi_square`` says how well it fits.

    Raises
    ------
    DataError
        If the values are no counts, negative or not finite, resolution or beam energy are not known, an element has
        no line on the axis, or two shells have the same shape and cannot be separated.

    Notes
    -----
    Model of a pixel: d = Σ a_k s_k. A shape s_k is the sum of the lines of a shell, Gaussians with the widths of
    Fiori and Newbury (`spectra.lines.xrays.width`) and the weights that eXspy tabulates, integrated over each channel;
    those of the background are the continuum of the total spectrum by SNIP times Bernstein polynomials of energy. The
    weights of the fit are 1 / m, with m the fit to the total spectrum, iterated from the data: they are those of
    Poisson counts whose spectrum is everywhere that of the mean. All pixels share them, so that the fit is one matrix
    product; pixels with a negative amount are solved again under the bound. Errors are those of `abundance_error`, and
    those of the weights of lines within a shell, which are known to 5 % (K), 15 % (L), 25 % (M) and 30 % (below 1 keV,
    `spectra.lines.xrays.weight_error`), and of the shape of the continuum below lines, 20 %. These two are the same in
    all pixels and do not shrink in a sum over them. Where L or M shells overlap other lines and counting is far more
    precise than their weights, 95 % intervals hold 78 to 90 % (`benchmarks/line_weights.py`). At the bound errors are
    those of the fit without it. Incomplete charge collection, escape and sum peaks are not modelled.

    References
    ----------
    C. G. Ryan et al., Nucl. Instrum. Methods B 77, 381 (1993): maps by one matrix product. C. L. Lawson and R. J.
    Hanson, Solving Least Squares Problems (SIAM, 1995), ch. 23: the bound.

    Examples
    --------
    >>> from fusion import Axis
    >>> energy = 0.01 * np.arange(100, 900)
    >>> pair = ((6.404, 100.0), (7.058, 12.7))
    >>> shape = sum(weight * np.exp(-0.5 * ((energy - at) / 0.0575) ** 2) for at, weight in pair)
    >>> ds = fusion.dataset({"counts": (("x", "energy"), np.stack([shape, 2.0 * shape]) + 3.0)},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.01, 1.0)}, name="map", cell_methods="sum")
    >>> iron = fit_lines(ds, ["Fe"], resolution=130.0, beam_energy=20.0)["Fe_Ka"].values
    >>> bool(abs(iron / iron[0] - [1.0, 2.0]).max() < 0.02)
    True
    """
    array, matrix = _counts(fusion.check(ds))
    fwhm, beam = require_resolution(ds, resolution), require_beam_energy(ds, beam_energy)
    wanted = list(dict.fromkeys([elements] if isinstance(elements, str) else elements))
    energy = array["energy"].values
    total = np.asarray(matrix.sum(axis=0))
    design = _design(wanted, energy, total, fwhm, beam, background)
    live = energy >= _SOFTEST_KEV
    sums, weight = _fit_total(design.shapes[:, live], total[live])
    amounts = _fit_pixels(design.shapes[:, live], matrix[:, live], weight, nonnegative)
    positive = np.maximum(amounts, 0.0)
    counting = abundance_error(positive, design.shapes[:, live], weight)
    weights = _weight_error(positive, design.shapes[:, live], [doubt[:, live] for doubt in design.doubts], weight)
    under = _continuum_error(positive, design.shapes[:, live], len(design.names), design.bumps[:, live], weight)
    errors = np.sqrt(counting**2 + weights**2 + under**2)
    model = sums @ design.shapes
    lines = len(design.names)
    spectra = {
        "model": model,
        "background": sums[lines:] @ design.shapes[lines:],
    }
    result = _labelled(ds, array, design.names, amounts[:, :lines], errors[:, :lines], spectra)
    excess = ((total - model)[live] ** 2 / np.maximum(model[live], 1.0)).sum() / max(1, live.sum() - sums.size)
    parameters = {
        "elements": wanted, "resolution": fwhm, "beam_energy": beam, "background": background,
        "nonnegative": nonnegative,
    }  # fmt: skip
    return provenance.record(result.assign_attrs(reduced_chi_square=float(excess)), "spectra.fit_lines", parameters)


def _counts(ds: xr.Dataset) -> tuple[xr.DataArray, Matrix]:
    array = real_variable(ds)
    if "energy" not in array.dims:
        raise DataError(f"X-ray lines lie along energy; {array.name} has the dims {array.dims}")
    if not is_counts(array):
        raise DataError(f"{array.name}: counts (cell_methods 'sum') are needed, as they weigh the fit")
    require_data(array, smallest=1)
    matrix = pixel_matrix(array, "energy")
    values = entries(matrix)
    if not np.isfinite(values).all():
        raise DataError(f"{array.name}: some pixels have NaN or infinite values; crop the map or fill them first")
    if not values.any() or (values < 0).any():
        raise DataError(f"{array.name}: {'negative values, which counts never have' if values.any() else 'no counts'}")
    return array, matrix


def _design(elements: list[str], energy: Array, total: Array, resolution: float, beam: float, degree: int) -> _Design:
    if not isinstance(degree, int) or degree < 0:
        raise DataError(f"background is the degree of a polynomial, 0 or more; received {degree!r}")
    shells = [lines for element in elements for lines in _shells(element, energy, beam)]
    if not shells:
        raise DataError("name at least one element")
    edges = channel_edges(energy)
    profiles = [np.array([profile(line, edges, resolution) for line in shell]) for shell in shells]
    lines = [_weights(shell) @ each for shell, each in zip(shells, profiles, strict=True)]
    errors = [np.array([[line.weight_stderr] for line in shell]) for shell in shells]
    names = [shell[0].name for shell in shells]
    _require_apart(names, np.array(lines))
    under = np.maximum(continuum(energy, total, resolution, reach=_REACH), 1e-3)
    under /= under.sum()
    doubts = [error * each for error, each in zip(errors, profiles, strict=True)]
    shapes = np.array([*lines, *(under * one for one in _bernstein(energy, degree))])
    return _Design(names, shapes, doubts, _bumps(energy, resolution))


def _weights(shell: tuple[XrayLine, ...]) -> Array:
    return np.array([line.weight for line in shell])


def _shells(element: str, energy: Array, beam: float) -> list[tuple[XrayLine, ...]]:
    """Return the shells of an element that the beam excites and the axis holds."""
    atomic_weight(element)
    low = max(_SOFTEST_KEV, energy[0])
    shells = [
        tuple(line for line in lines if line.energy < beam)
        for shell in FAMILIES
        if (lines := family(element, shell)) and low <= lines[0].energy <= energy[-1] and lines[0].energy < beam
    ]
    if not shells:
        raise DataError(
            f"{element} has no strong line between {low:.3g} and {min(energy[-1], beam):.4g} keV; leave it out"
        )
    return shells


def _require_apart(names: list[str], shapes: Array) -> None:
    # the cosine of two shapes, 1 where they are the same but for their height
    unit = shapes / np.linalg.norm(shapes, axis=1)[:, None]
    same = np.argwhere(np.triu(unit @ unit.T, 1) > _SAME)
    if same.size:
        pairs = ", ".join(f"{names[first]} and {names[second]}" for first, second in same)
        raise DataError(f"{pairs} have the same shape at this resolution and cannot be separated; leave one out")


def _bernstein(energy: Array, degree: int) -> list[Array]:
    """Return the polynomials that are positive on the axis and sum to 1."""
    # Bernstein polynomials C(n, k) t^k (1 − t)^(n − k): non-negative amounts of them make a non-negative background,
    # which amounts of powers of energy would not, and they are far better conditioned.
    from scipy.special import comb

    share = (energy - energy[0]) / (energy[-1] - energy[0])
    return [comb(degree, k) * share**k * (1.0 - share) ** (degree - k) for k in range(degree + 1)]


def _fit_total(shapes: Array, total: Array) -> tuple[Array, Array]:
    """Return the amounts in the total spectrum, and the fit to it, which weighs the pixels."""
    # Minimises Σ (d − m)² / m over non-negative amounts, m = a · s in counts, with m of the round before in the
    # denominator: at the fixed point the derivative is that of the Poisson likelihood. Weights 1 / d of the data would
    # favour channels that are low by chance and lose about one count in each. One count at least keeps empty channels
    # finite.
    from scipy.optimize import nnls

    weight = np.maximum(total, 1.0)
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        amounts, _ = nnls((shapes / root).T, total / root)
        weight = np.maximum(amounts @ shapes, 1.0)
    return amounts, weight


def _fit_pixels(shapes: Array, matrix: Matrix, weight: Array, nonnegative: bool) -> Array:
    """Return the amounts in each pixel, (pixel, shape): one product, and again where the bound is broken."""
    # With S W Sᵀ = Rᵀ R, the weighted sum of squares of a pixel is |R a − R⁻ᵀ S W d|² and a constant: as many rows as
    # there are shapes instead of channels, the same R for all pixels. So the bound costs a problem of that small size,
    # and only in pixels where the free solution breaks it. Fast non-negative least squares on S W Sᵀ would square the
    # condition.
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import nnls

    weighted = shapes / weight
    try:
        upper = cholesky(weighted @ shapes.T)
    except np.linalg.LinAlgError as error:
        raise DataError("the lines and the background cannot be separated; name fewer elements") from error
    targets = solve_triangular(upper, np.asarray(matrix @ weighted.T).T, trans="T")
    amounts = solve_triangular(upper, targets).T
    if nonnegative:
        for pixel in np.flatnonzero((amounts < 0).any(axis=1)):
            amounts[pixel] = nnls(upper, targets[:, pixel])[0]
    return np.asarray(amounts)


def _weight_error(amounts: Array, shapes: Array, doubts: list[Array], weight: Array) -> Array:
    """Return the standard error of the amounts from the weights of lines within their shells, (pixel, shape)."""
    # The estimator is linear, a = A d with A = (S W Sᵀ)⁻¹ S W: a weight that is off by its standard error u adds
    # a_f u g to the counts d, g the line and a_f the amount of its shell, and a_f A u g to the amounts. Weights are
    # independent. Unlike that of counting this error is the same in all pixels, relative to a_f: a sum over pixels
    # does not make it smaller.
    weighted = shapes / weight
    estimator = np.linalg.pinv(weighted @ shapes.T, hermitian=True) @ weighted
    squares = np.array([((estimator @ doubt.T) ** 2).sum(axis=1) for doubt in doubts])
    return np.asarray(np.sqrt(amounts[:, : len(doubts)] ** 2 @ squares))


def _bumps(energy: Array, resolution: float) -> Array:
    """Return hats as far apart as the window of SNIP is wide, (bump, channel)."""
    positions = [float(energy[0])]
    while positions[-1] < energy[-1]:
        positions.append(positions[-1] + _REACH * float(width(max(positions[-1], _SOFTEST_KEV), resolution)))
    return np.array([np.interp(energy, positions, row) for row in np.eye(len(positions))])


def _continuum_error(amounts: Array, shapes: Array, lines: int, bumps: Array, weight: Array) -> Array:
    """Return the standard error of the amounts from the shape of the continuum below the lines, (pixel, shape)."""
    # SNIP knows the continuum between lines and draws it as it likes below them: it is off by a share of itself there,
    # in each bump as wide as its window. A bump g adds b_k A g u_k to the amounts, u_k a shape of the background and
    # b_k its amount; the variance is the sum over bumps, a quadratic form in b for each shape, which needs no array of
    # pixels times bumps.
    weighted = shapes / weight
    estimator = np.linalg.pinv(weighted @ shapes.T, hermitian=True) @ weighted
    response = _CONTINUUM_ERROR * np.einsum("sc,jc,kc->sjk", estimator, bumps, shapes[lines:], optimize=True)
    form = np.einsum("sjk,sjl->skl", response, response)
    below = amounts[:, lines:]
    variance = np.einsum("pk,skl,pl->ps", below, form, below, optimize=True)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _labelled(
    ds: xr.Dataset, array: xr.DataArray, names: list[str], amounts: Array, errors: Array, spectra: dict[str, Array]
) -> xr.Dataset:
    spatial = spatial_dims(array)
    shape = tuple(array.sizes[dim] for dim in spatial)
    attrs = {"units": "count", **cell_methods(spatial, kind(array))}
    variables: dict[str, Any] = {}
    for index, name in enumerate(names):
        variables[name] = (spatial, amounts[:, index].reshape(shape), {**attrs, "long_name": f"counts of {name}"})
        error = {**attrs, "long_name": f"standard error of the counts of {name}"}
        variables[stderr_name(name)] = (spatial, errors[:, index].reshape(shape), error)
    for name, values in spectra.items():
        variables[name] = (("energy",), values, {"units": "count", "long_name": f"{name} of the total spectrum"})
    return like(ds, variables)
