"""A spectral map as a few endmembers and their abundances: Poisson-weighted NMF, principal components, pure pixels.

The engines are in `spectra/factorisation`, on a sparse matrix where most counts are zero. What is added: labels, a
fixed order and sign, physical scaling, shares of the total, exact treatment of dead pixels and channels, standard
errors.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import kind, signal_dim, spatial_dims, stderr_name
from fusion.errors import DataError, IncompleteResultWarning, StrayCountsWarning
from fusion.variables import real_variable
from spectra.decomposition.unfolding import labelled, negative, on_axis, problem, require_components, restored
from spectra.factorisation.engines import ENGINES, Engine, Method, Request, Solution
from spectra.factorisation.problem import Problem
from spectra.factorisation.pure_pixels import Indices
from spectra.factorisation.sparse import Array
from spectra.factorisation.uncertainty import Errors
from spectra.factorisation.weighting import Weighting

_FEWEST: Final = 10
"""Counts of which the variance is known at all."""
_EMPTY: Final = 1e-16
"""Share of the largest component below which another is rounding."""
_SAME: Final = 1.0 - 1e-6
"""Cosine from which two spectra are one."""


def decompose(
    ds: xr.Dataset,
    components: int,
    *,
    method: Method = "nmf",
    weighting: Weighting | None = "poisson",
    seed: int = 0,
    closure: bool = False,
    initial: xr.DataArray | None = None,
) -> xr.Dataset:
    """Split a spectral map into endmember spectra and the abundance of each.

    Parameters
    ----------
    ds : Dataset
        A map with one spectral variable, dims (z, y, x, signal). A lazy one is read block by block; counts of which
        less than 30 % are not zero stay sparse throughout, so that no dense array of the size of the map is made. A
        lazy map that is dense and larger than 1 GiB is never gathered by ``"pca"``, ``"ica"``, ``"nfindr"`` and
        ``"vca"``: it is read twice or more.
    components : int
        How many.
    method : {"nmf", "pca", "ica", "mcr", "nfindr", "vca"}
        ``"nmf"``: non-negative factors, endmembers with unit sum, so that abundances are in counts.
        ``"pca"``: singular vectors *without* centring (the mean spectrum is the first component, nothing is
        subtracted), endmembers with unit Euclidean norm. Both run on sparse counts and are exact.
        ``"ica"``: the model of ``"pca"``, rotated so that the abundances are as independent as can be (FastICA).
        ``"mcr"``: non-negative factors by alternating least squares (MCR-ALS), from `initial` spectra or from the
        pixels of ``"vca"``.
        ``"nfindr"``, ``"vca"``: endmembers are the spectra of pixels, those that span the largest simplex or lie
        farthest out; abundances are fitted and not negative. Pixels with few counts are noise: coarsen first.
        The algorithms of HyperSpy are reached by its own names, on the map made dense: ``"SVD"``, ``"NMF"``,
        ``"RPCA"``, ``"MLPCA"`` (with ``weighting=None``), ``"ORPCA"``, ``"ORNMF"``, ``"sklearn_pca"``,
        ``"sparse_pca"``, ``"mini_batch_sparse_pca"``, and its separation of the sources that SVD mixes,
        ``"sklearn_fastica"``, ``"orthomax"``. Those that are not negative are scaled like ``"nmf"``, the others
        like ``"pca"``; what subtracts the mean has it as one of the components.
    weighting : {"poisson", None}
        ``"poisson"`` divides by the square roots of the mean image and the mean spectrum before the factors are
        sought, and undoes it afterwards; for counts, and for intensities whose noise grows with the signal.
    seed : int
        Of the start values; the same seed gives the same result.
    closure : bool
        Whether the abundances of each pixel are fractions that sum to one, for ``"mcr"``, ``"nfindr"`` and
        ``"vca"``: the endmembers then carry the units and the scale of the map, and no errors are given.
    initial : DataArray, optional
        Spectra that ``"mcr"`` begins with, dims (component, signal), on the signal axis of the map.

    Returns
    -------
    Dataset
        ``abundance(z, y, x, component)`` in the units of the map; ``endmember(component, signal)``, dimensionless;
        their product is the model of the map. ``explained_variance(component)``: the sum of squares of the
        component over that of the data, both weighted and not centred; it is what the fit loses if the component
        is left out. For ``"pca"`` the shares add up, for ``"nmf"`` they overlap. Components are in descending
        share; the largest entry of each endmember is positive. Attribute ``converged`` is ``"no"`` where an
        iteration was stopped, for NMF after 2000 rounds, or a component is empty; an `IncompleteResultWarning` then
        says what to do.
        Of counts (``cell_methods`` sum) under ``"poisson"``, for ``"nmf"``, ``"mcr"``, ``"nfindr"`` and ``"vca"``
        also ``abundance_stderr`` and ``endmember_stderr``, see Notes. For ``"nfindr"`` and ``"vca"`` also
        ``pure_pixel(component, axis)``, the position of the pixel that is the endmember.

    Raises
    ------
    DataError
        If the map has values that are not finite, is empty, has negative values where none are allowed, or
        is too small for `components`; if the method takes no `closure` or no `initial`.
    ConventionError
        If the dataset breaks the conventions.

    Notes
    -----
    Under ``"poisson"`` a few counts that share neither pixel nor channel with others make a component of their own,
    with as much weight as any; a `fusion.StrayCountsWarning` names them. Crop the range of a very sparse map, or make
    its pixels larger by `fusion.coarsen`, first.

    The errors are those of the Poisson noise, of both factors jointly, and of how far two components can be mixed
    before an abundance or a spectrum turns negative, which a common continuum and overlapping lines leave open. On maps
    with 3 to 7 components, continua of 0 to 30 % and 100 to 5000 counts a pixel 1.96 of them cover 94 % of abundances
    and 95 % of endmembers on average, and 90 % in the worst map of ten (`benchmarks/spectra/intervals.py`). Below about
    six counts a pixel those of endmembers are too small. Where half of one component could as well be another the
    errors of both are infinite, and the attribute ``undetermined`` names the components. `bootstrap` estimates errors
    by refitting, `unmix` fits spectra that are known. Intensities have no errors, since how much noise they have is not
    known.

    References
    ----------
    M. R. Keenan and P. G. Kotula, Surf. Interface Anal. 36, 203 (2004): the weighting.
    D. D. Lee and H. S. Seung, Nature 401, 788 (1999): non-negative factors.
    D. Donoho and V. Stodden, Adv. Neural Inf. Process. Syst. 16, 1141 (2003): when they are unique.
    O. S. Borgen and B. R. Kowalski, Anal. Chim. Acta 174, 1 (1985): by how much they are not.
    R. Tauler, Chemom. Intell. Lab. Syst. 30, 133 (1995): MCR-ALS.
    M. E. Winter, Proc. SPIE 3753, 266 (1999): N-FINDR.
    J. M. P. Nascimento and J. M. Bioucas Dias, IEEE Trans. Geosci. Remote Sens. 43, 898 (2005): VCA.

    Examples
    --------
    >>> from fusion import Axis
    >>> rng = np.random.default_rng(1)
    >>> pure = np.array([[8.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 7.0]])
    >>> share = rng.uniform(0.0, 1.0, (6, 5, 2))
    >>> share[0, :2] = np.eye(2)
    >>> ds = fusion.dataset(
    ...     {"counts": (("y", "x", "energy"), share @ pure * 100.0)},
    ...     {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)},
    ...     name="map", cell_methods="sum")
    >>> decompose(ds, 2)["endmember"].round(2).values
    array([[0. , 0. , 0.3, 0.7],
           [0.8, 0.2, 0. , 0. ]])
    """
    array = real_variable(fusion.check(ds))
    engine = _engine(method, weighting, closure, initial)
    start = None if initial is None else _initial(initial, array, components)
    matrix = problem(array, weighting, stream=engine.streamed)
    require_components(components, matrix.matrix, engine.fewest)
    if engine.nonnegative and matrix.lowest < 0:
        raise negative(array, matrix.lowest)
    start = None if start is None else start[:, matrix.channels] / matrix.by_channel
    solution = engine.find(matrix, Request(components, seed, closure, start))
    result = labelled_solution(solution, engine, matrix, ds, closure=closure)
    parameters: dict[str, Any] = {"components": components, "method": method, "weighting": weighting, "seed": seed}
    options = {"closure": closure or None, "initial": initial}
    parameters |= {key: value for key, value in options.items() if value is not None}
    return provenance.record(result, "spectra.decompose", parameters)


def labelled_solution(
    solution: Solution, engine: Engine, matrix: Problem, ds: xr.Dataset, *, closure: bool = False
) -> xr.Dataset:
    """Return the factors of a divided matrix as a dataset: scaled, ordered, with their errors, on the axes of `ds`."""
    array = real_variable(ds)
    factors, pixels = solution.factors, solution.pixels
    # Shares are taken before the scale is undone: in the divided matrix equal shares mean equal signal over noise.
    share = matrix.shares(factors.scores, factors.factors)
    # The factors are those of D_p⁻¹ X D_c⁻¹, in which noise is alike everywhere (Keenan and Kotula, Surf. Interface
    # Anal. 36, 203 (2004)); multiplied by both divisors they are those of X again, in its units.
    scores, spectra = factors.scores * matrix.by_pixel[:, None], factors.factors * matrix.by_channel
    if not closure:
        scores, spectra = _scaled(scores, spectra, unit_sum=engine.unit_sum)
    # Largest share first: neither the start nor the method orders components in a way that means something.
    order = np.argsort(-share, kind="stable")
    scores, spectra = scores[:, order], spectra[order]
    pixels = None if pixels is None else pixels[order]
    errors = None
    if matrix.weights.counts and kind(array) == "sum":
        _warn_of_stray_counts(spectra, matrix.by_channel**2, str(array.name))
        if engine.errors is not None and not closure:
            errors = engine.errors(matrix, scores, spectra, pixels)
    variables = _variables(scores, spectra, share[order], errors, matrix, array, closure)
    if pixels is not None:
        variables["pure_pixel"] = _positions(pixels, matrix, array)
    empty = np.flatnonzero(share[order] <= _EMPTY * share.max())
    _warn_of_shortfall(engine, str(array.name), empty, _equal(spectra), converged=factors.converged)
    converged = "yes" if factors.converged and not empty.size else "no"
    how = {"decomposition": engine.name, "weighting": matrix.weights.name, "converged": converged}
    if errors is not None and not all(np.isfinite(one).all() for one in errors):
        how["undetermined"] = _undetermined(errors)
    return labelled(variables, ds, array, len(spectra), how)


def _engine(method: str, weighting: str | None, closure: bool, initial: Any) -> Engine:
    """Return the engine of a method, once it is known to take the options."""
    if method not in ENGINES:
        raise DataError(
            f"unknown method {method!r}; accepted are {', '.join(map(repr, ENGINES))}; "
            "what else HyperSpy offers is reached by spectra.to_hyperspy"
        )
    engine = ENGINES[method]
    if weighting is not None and not engine.weighted:
        raise DataError(f"method {method!r} weighs each count by its own variance; use weighting=None with it")
    if closure and not engine.closed:
        closed = ", ".join(repr(one.name) for one in ENGINES.values() if one.closed)
        raise DataError(f"method {method!r} takes no closure; those that do are {closed}")
    if initial is not None and not engine.takes_initial:
        accepted = ", ".join(repr(one.name) for one in ENGINES.values() if one.takes_initial)
        raise DataError(f"method {method!r} takes no initial spectra; {accepted} does")
    return engine


def _initial(initial: xr.DataArray, array: xr.DataArray, components: int) -> Array:
    """Return the spectra to begin with, (component, channel), once they are known to lie on the axis of the map."""
    values = on_axis(initial, array)
    if len(values) != components:
        raise DataError(f"{len(values)} initial spectra for {components} components; give one for each")
    return values


def _undetermined(errors: Errors) -> str:
    """Return the numbers of the components of which something is not determined."""
    # An infinite error is how a rotation shows that neither the counts nor non-negativity hold in place.
    free = np.isinf(errors.abundance).any(axis=0) | np.isinf(errors.endmember).any(axis=1)
    return ", ".join(map(str, np.flatnonzero(free)))


# The errors of a component rest on the variance of the counts that it was fitted to. Its mean count per channel,
# weighted by the squares of its own spectrum, says how many these are.
def _warn_of_stray_counts(spectra: Array, counts: Array, name: str) -> None:
    """Warn of components that lie in channels with few counts of the whole map."""
    squares = spectra**2
    # Σ e² n / Σ e²;
    around = squares @ counts / np.maximum(squares.sum(axis=1), np.finfo(float).tiny)
    stray = np.flatnonzero((around < _FEWEST) & squares.any(axis=1))
    if stray.size:
        message = (
            f"{name}: components {', '.join(map(str, stray))} are stray counts, in channels that have fewer than "
            f"{_FEWEST} in the whole map; crop the range, make larger pixels by "
            "fusion.coarsen, or ask for no more components than spectra.count_components finds"
        )
        warnings.warn(StrayCountsWarning(message), stacklevel=4)


def _equal(spectra: Array) -> Indices:
    """Return the components whose spectrum is that of one before them, but for its size."""
    # the cosine of two spectra is 1 - a²/2 for an angle a: 1e-6 below one is an angle of 0.1°
    length = np.linalg.norm(spectra, axis=1)
    cosine = spectra @ spectra.T / np.maximum(np.outer(length, length), np.finfo(float).tiny)
    return np.flatnonzero((np.tril(cosine, -1) > _SAME).any(axis=1))


def _warn_of_shortfall(engine: Engine, name: str, empty: Indices, equal: Indices, *, converged: bool) -> None:
    """Warn where an iteration was stopped, or nothing new of the map was left for a component."""
    reasons = []
    if empty.size:
        reasons.append(f"components {', '.join(map(str, empty))} are empty; ask for fewer, or use another method")
    if equal.size:
        listed = ", ".join(map(str, equal))
        reasons.append(
            f"components {listed} have the spectrum of one before them; ask for fewer, or use another method"
        )
    if not converged:
        reasons.append(
            "the iteration was stopped while the fit still improved, as the data hardly determine so many components; "
            "ask for fewer (spectra.stability shows which are reproducible), crop the axis to the bands of interest, "
            "or use method='mcr'"
        )
    if reasons:
        message = f"{name}, method {engine.name!r}: {'; '.join(reasons)}"
        warnings.warn(IncompleteResultWarning(message), stacklevel=4)


def _scaled(scores: Array, factors: Array, *, unit_sum: bool) -> tuple[Array, Array]:
    """Give the endmembers unit sum, or unit norm and a positive largest entry; scores take the scale."""
    if unit_sum:
        # a e = (a c)(e / c): a unit sum makes an abundance the counts of its component in the pixel.
        scale = factors.sum(axis=1)
    else:
        largest = np.take_along_axis(factors, np.abs(factors).argmax(axis=1)[:, None], axis=1)[:, 0]
        # Signed factors may sum to zero, so these have unit length; the sign is free and set by their largest entry.
        scale = np.linalg.norm(factors, axis=1) * np.sign(largest)
    scale = np.where(scale == 0.0, 1.0, scale)
    return scores * scale, factors / scale[:, None]


def _variables(
    scores: Array, spectra: Array, share: Array, errors: Errors | None, matrix: Problem, array: xr.DataArray,
    closure: bool,
) -> dict[str, Any]:  # fmt: skip
    unit = {"units": array.attrs.get("units", "1")}
    units = ({}, unit) if closure else (unit, {})
    signal = signal_dim(array)
    variables: dict[str, Any] = {
        "abundance": (("pixel", "component"), restored(scores, matrix.pixels, axis=0), units[0]),
        "endmember": (("component", signal), restored(spectra, matrix.channels, axis=1), units[1]),
        "explained_variance": (("component",), share, {}),
    }
    if errors:
        abundance, endmember = restored(errors[0], matrix.pixels, axis=0), restored(errors[1], matrix.channels, axis=1)
        variables[stderr_name("abundance")] = (("pixel", "component"), abundance, unit)
        variables[stderr_name("endmember")] = (("component", signal), endmember, {})
    return variables


def _positions(pixels: Indices, matrix: Problem, array: xr.DataArray) -> tuple[tuple[str, ...], Array, dict[str, Any]]:
    """Return where the pixels are that became endmembers."""
    spatial = spatial_dims(array)
    numbers = np.unravel_index(np.flatnonzero(matrix.pixels)[pixels], [array.sizes[dim] for dim in spatial])
    positions = [array[dim].values[index] for dim, index in zip(spatial, numbers, strict=True)]
    return ("component", "axis"), np.stack(positions, axis=1), {"units": array[spatial[0]].attrs["units"]}
