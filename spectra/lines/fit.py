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
from spectra.lines.doubts import Doubts, adjusted
from spectra.lines.response import SOFTEST_KEV
from spectra.lines.settings import require_beam_energy, require_resolution
from spectra.lines.sharing import Continuum, continuum_shapes
from spectra.lines.xrays import (
    FAMILIES,
    XrayLine,
    atomic_weight,
    channel_edges,
    family,
    is_counts,
    profile,
)

Array = npt.NDArray[np.float64]
_SAME: Final = 0.995
"""Cosine of two shapes from which a fit cannot share counts between them."""
_FEWEST_CHANNELS: Final = 10
_LEAST: Final = 1e-9
"""What a shape is divided by where it vanishes."""


class _Lines(NamedTuple):
    """The shells that are fitted."""

    names: list[str]
    """Of the strongest line of each."""
    shapes: Array
    """(shell, channel)."""
    doubts: Doubts
    """One parameter for the weight of each line that is not the strongest of its shell."""


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
        total spectrum, NaN below 0.15 keV and above the beam, where nothing is fitted; the attribute
        ``reduced_chi_square`` says how well it fits.

    Raises
    ------
    DataError
        If the values are no counts, negative or not finite, resolution or beam energy are not known, an element has
        no line on the axis, or two shells have the same shape and cannot be separated.

    Notes
    -----
    Model of a pixel: d = Σ a_k s_k. A shape s_k is the sum of the lines of a shell, Gaussians with the widths of Fiori
    and Newbury (`spectra.lines.xrays.width`) and the weights that eXspy tabulates, integrated over each channel; those
    of the background are the continuum of the total spectrum times Bernstein polynomials of energy. Weights of lines
    within a shell are known to 5 % (K), 15 % (L), 25 % (M) and 30 % (below 1 keV, `weight_error`), and the continuum to
    3 % over the width of a line; the total spectrum, which has the counts to do so, corrects them within these errors
    (`spectra.lines.doubts`). The weights of the fit of a pixel are 1 / m, with m the fit to the total spectrum: they
    are those of Poisson counts whose spectrum is everywhere that of the mean. All pixels share them, so that the fit is
    one matrix product; pixels with a negative amount are solved again under the bound. Errors are those of
    `abundance_error`, and what the total spectrum leaves of the errors of weights and continuum, which is the same in
    all pixels and does not shrink in a sum over them. `benchmarks/spectra/line_weights.py` measures how often the
    intervals hold. At the bound errors are those of the fit without it. Incomplete charge collection, escape and sum
    peaks are not modelled.

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
    live = (energy >= SOFTEST_KEV) & (energy <= beam)
    edges, total = _edges(energy[live]), np.asarray(matrix.sum(axis=0))[live]
    lines, under = _lines(wanted, edges, fwhm, beam), continuum_shapes(edges, fwhm)
    whole = adjusted(np.concatenate([lines.shapes, under.shapes]), total, _in_total(lines, under))
    count = len(lines.names)
    expected, doubts = _in_pixels(lines, under, whole.amounts[count:], _bernstein(energy[live], background))
    deviates = np.concatenate([np.zeros(len(under.shapes)), whole.parameters])
    shapes, weight = doubts.applied(expected, deviates), np.maximum(whole.model, 1.0)
    amounts = _fit_pixels(shapes, matrix[:, live], weight, nonnegative)
    # The law of total variance: that of counting with the shapes held, and that of the amounts which follow from the
    # shapes that the total spectrum leaves possible. It is right for a single pixel, too, which is the total itself.
    positive = np.maximum(amounts, 0.0)
    counting = abundance_error(positive, shapes, weight)
    off = doubts.error(positive, expected, deviates, whole.covariance[count:, count:], weight)
    spectra = {"model": whole.model, "background": whole.model - whole.amounts[:count] @ shapes[:count]}
    spectra = {name: _on_axis(values, live) for name, values in spectra.items()}
    result = _labelled(ds, array, lines.names, amounts[:, :count], np.hypot(counting, off)[:, :count], spectra)
    excess = ((total - whole.model) ** 2 / weight).sum() / max(1, total.size - (whole.amounts > 0).sum())
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


def _edges(energy: Array) -> Array:
    if energy.size < _FEWEST_CHANNELS:
        raise DataError(f"{energy.size} channels show no continuum; at least {_FEWEST_CHANNELS} are needed")
    return channel_edges(energy)


def _lines(elements: list[str], edges: Array, resolution: float, beam: float) -> _Lines:
    shells = [lines for element in elements for lines in _shells(element, edges, beam)]
    if not shells:
        raise DataError("name at least one element")
    profiles = [np.array([profile(line, edges, resolution) for line in shell]) for shell in shells]
    shapes = np.array([_weights(shell) @ each for shell, each in zip(shells, profiles, strict=True)])
    names = [shell[0].name for shell in shells]
    _require_apart(names, shapes)
    errors = np.array([line.weight_stderr for shell in shells for line in shell])
    concerns = np.repeat(np.eye(len(shells)), [len(shell) for shell in shells], axis=0)
    relative = errors[:, None] * np.concatenate(profiles) / np.maximum(concerns @ shapes, _LEAST)
    return _Lines(names, shapes, Doubts(relative[errors > 0], concerns[errors > 0]))


def _in_total(lines: _Lines, under: Continuum) -> Doubts:
    """Return the doubts about the shapes of the total spectrum: lines first, then continuum."""
    from scipy.linalg import block_diag

    concerns = block_diag(lines.doubts.concerns, np.ones((len(under.bumps), len(under.shapes))))
    return Doubts(np.concatenate([lines.doubts.relative, under.bumps]), concerns)


def _in_pixels(lines: _Lines, under: Continuum, amounts: Array, polynomials: Array) -> tuple[Array, Doubts]:
    """Return the shapes of a pixel, lines first, then the continuum by each polynomial; and their doubts."""
    from scipy.linalg import block_diag

    # A few counts cannot fit the splines of the continuum c = Σ b_j u_j again. A pixel has c times a polynomial, and
    # doubts about c in place of amounts: one for each b_j, by which c changes by u_j / c relative to itself. These
    # come first, as their covariance does in that of the fit to the total.
    continuum = np.maximum(amounts @ under.shapes, _LEAST)
    shapes = np.concatenate([lines.shapes, polynomials * continuum / continuum.sum()])
    relative = np.concatenate([under.shapes / continuum, lines.doubts.relative, under.bumps])
    smooth, bumps = (np.ones((len(each), len(polynomials))) for each in under)
    concerns = block_diag(np.zeros((len(smooth), 0)), lines.doubts.concerns, bumps)
    concerns[: len(smooth), len(lines.names) :] = 1.0
    return shapes, Doubts(relative, concerns)


def _weights(shell: tuple[XrayLine, ...]) -> Array:
    return np.array([line.weight for line in shell])


def _shells(element: str, edges: Array, beam: float) -> list[tuple[XrayLine, ...]]:
    """Return the shells of an element that the beam excites and the axis holds."""
    atomic_weight(element)
    shells = [
        tuple(line for line in lines if line.energy < beam)
        for shell in FAMILIES
        if (lines := family(element, shell)) and edges[0] <= lines[0].energy <= min(edges[-1], beam)
    ]
    if not shells:
        raise DataError(
            f"{element} has no strong line between {edges[0]:.3g} and {min(edges[-1], beam):.4g} keV; leave it out"
        )
    return shells


def _require_apart(names: list[str], shapes: Array) -> None:
    # the cosine of two shapes, 1 where they are the same but for their height
    unit = shapes / np.linalg.norm(shapes, axis=1)[:, None]
    same = np.argwhere(np.triu(unit @ unit.T, 1) > _SAME)
    if same.size:
        pairs = ", ".join(f"{names[first]} and {names[second]}" for first, second in same)
        raise DataError(f"{pairs} have the same shape at this resolution and cannot be separated; leave one out")


def _bernstein(energy: Array, degree: int) -> Array:
    """Return the polynomials that are positive on the axis and sum to 1, (degree + 1, channel)."""
    if not isinstance(degree, int) or degree < 0:
        raise DataError(f"background is the degree of a polynomial, 0 or more; received {degree!r}")
    # Bernstein polynomials C(n, k) t^k (1 − t)^(n − k): non-negative amounts of them make a non-negative background,
    # which amounts of powers of energy would not, and they are far better conditioned.
    from scipy.special import comb

    share = (energy - energy[0]) / (energy[-1] - energy[0])
    return np.array([comb(degree, k) * share**k * (1.0 - share) ** (degree - k) for k in range(degree + 1)])


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


def _on_axis(values: Array, live: npt.NDArray[np.bool_]) -> Array:
    """Return a spectrum on the axis of the map, NaN where nothing is fitted."""
    placed = np.full(live.size, np.nan)
    placed[live] = values
    return placed


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
