"""A spectral map as a few endmembers and their abundances: Poisson-weighted NMF and principal components.

The engines are ARPACK and scikit-learn, on a sparse matrix where most counts are zero. What is added: labels, a fixed
order and sign, physical scaling, shares of the total, exact treatment of dead pixels and channels, standard errors.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import SPATIAL, signal_dim, spatial_dims
from fusion.errors import DataError
from fusion.frames import get_pose
from fusion.model import Axis, require_data
from spectra.factors import HYPERSPY, Factors, by_hyperspy, nonnegative, singular
from spectra.sparse import Array, Matrix, divided, entries, live, pixel_matrix
from spectra.variables import main_variable

Method: TypeAlias = Literal["nmf", "pca", "SVD", "NMF", "RPCA"]
Weighting: TypeAlias = Literal["poisson"]
_METHODS: Final = ("nmf", "pca", *HYPERSPY)
_NON_NEGATIVE: Final = ("nmf", "NMF")


def decompose(
    ds: xr.Dataset,
    components: int,
    *,
    method: Method = "nmf",
    weighting: Weighting | None = "poisson",
    seed: int = 0,
) -> xr.Dataset:
    """Split a spectral map into endmember spectra and the abundance of each.

    Parameters
    ----------
    ds : Dataset
        A map with one spectral variable, dims (z, y, x, signal). A lazy one is read block by block; counts of which
        less than 30 % are not zero stay sparse throughout, so that no dense array of the size of the map is made.
    components : int
        How many.
    method : {"nmf", "pca"}
        ``"nmf"``: non-negative factors, endmembers with unit sum, so that abundances are in counts.
        ``"pca"``: singular vectors *without* centring (the mean spectrum is the first component, nothing is
        subtracted), endmembers with unit Euclidean norm. Both run on sparse counts and are exact. The algorithms of
        HyperSpy are reached by its own names, ``"SVD"``, ``"NMF"`` and ``"RPCA"``, on the map made dense; ``"NMF"`` is
        scaled like ``"nmf"``, the others like ``"pca"``.
    weighting : {"poisson", None}
        ``"poisson"`` divides by the square roots of the mean image and the mean spectrum before the factors are
        sought, and undoes it afterwards; for counts, and for intensities whose noise grows with the signal.
    seed : int
        Of the start values; the same seed gives the same result.

    Returns
    -------
    Dataset
        ``abundance(z, y, x, component)`` in the units of the map; ``endmember(component, signal)``, dimensionless;
        their product is the model of the map. ``explained_variance(component)``: the sum of squares of the
        component over that of the data, both weighted and not centred; it is what the fit loses if the component
        is left out. For ``"pca"`` the shares add up, for ``"nmf"`` they overlap. Components are in descending
        share; the largest entry of each endmember is positive. Attribute ``converged`` is ``"no"`` where NMF was
        stopped after 2000 rounds, as happens on a strong baseline. For ``"nmf"`` with ``"poisson"`` also
        ``abundance_stderr``, see `abundance_error`.

    Raises
    ------
    DataError
        If the map has values that are not finite, is empty, has negative values where none are allowed, or
        is too small for `components`.
    ConventionError
        If the dataset breaks the conventions.

    Notes
    -----
    Under ``"poisson"`` a few counts that share neither pixel nor channel with others make a component of their own,
    with as much weight as any. Crop the range and coarsen a very sparse map first.

    References
    ----------
    M. R. Keenan and P. G. Kotula, Surf. Interface Anal. 36, 203 (2004): the weighting.
    D. D. Lee and H. S. Seung, Nature 401, 788 (1999): non-negative factors.

    Examples
    --------
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
    array = main_variable(fusion.check(ds))
    signal = signal_dim(array)
    matrix, live_pixels, live_channels = _matrix(array, signal)
    _require_sizes(array, matrix, components, method, weighting)
    by_pixel, by_channel = _roots(matrix, weighting)
    scaled = divided(matrix, by_pixel, by_channel)
    scores, factors, converged = _factors(scaled, components, method, seed)
    shares = _shares(scaled, scores, factors)
    scores, factors = _scaled(scores * by_pixel[:, None], factors * by_channel, method)
    scores, factors, shares = _ordered(scores, factors, shares)
    found = {
        "abundance": _restored(scores, live_pixels, axis=0),
        "endmember": _restored(factors, live_channels, axis=1),
        "explained_variance": shares,
    }
    if method in _NON_NEGATIVE and weighting == "poisson":
        error = abundance_error(scores, factors, matrix.sum(axis=0))
        found["abundance_stderr"] = _restored(error, live_pixels, axis=0)
    how = {"decomposition": method, "weighting": weighting or "none", "converged": "yes" if converged else "no"}
    result = _labelled(found, ds, array, signal, how)
    parameters = {"components": components, "method": method, "weighting": weighting, "seed": seed}
    return provenance.record(result, "spectra.decompose", parameters)


def _factors(matrix: Matrix, components: int, method: str, seed: int) -> Factors:
    if method in HYPERSPY:
        # the tolerances of its algorithms are made for values of about 1
        unit = float(np.sqrt((entries(matrix) ** 2).sum() / np.prod(matrix.shape)))
        found = by_hyperspy(matrix / unit, components, method, seed)
        return found._replace(scores=found.scores * unit)
    return (nonnegative if method == "nmf" else singular)(matrix, components, seed)


def abundance_error(abundance: Array, endmember: Array, weight: Array) -> Array:
    """Return the standard error of abundances that were fitted to counts by weighted least squares.

    The weighted fit of one pixel is linear in its counts d: a = A d with A = (E W Eᵀ)⁻¹ E W and W = diag(1/weight).
    Counts are independent and their variance is their mean, aE at the fit, so cov(a) = A diag(aE) Aᵀ. The
    endmembers are held fixed; errors of the components of one pixel are correlated, and only their square roots of
    the diagonal are returned. Where an abundance is held at zero the value is that of the fit without the bound.

    Parameters
    ----------
    abundance : array, (pixel, component)
        In counts.
    endmember : array, (component, channel)
    weight : array, (channel,)
        Mean spectrum up to a factor, as the Poisson weighting divides by it.

    Returns
    -------
    array, (pixel, component)
        In counts.

    Examples
    --------
    >>> abundance_error(np.array([[100.0]]), np.array([[0.5, 0.5]]), np.ones(2))
    array([[10.]])
    """
    weighted = endmember / weight
    estimator = np.linalg.pinv(weighted @ endmember.T) @ weighted
    variance = abundance @ (endmember @ (estimator**2).T)
    return np.sqrt(np.maximum(variance, 0.0))


def _matrix(array: xr.DataArray, signal: str) -> tuple[Matrix, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return live pixels by live channels; channels and pixels without any signal carry no information."""
    require_data(array, smallest=1)
    matrix = pixel_matrix(array, signal)
    if not np.isfinite(entries(matrix)).all():
        broken = int((~np.isfinite(matrix.sum(axis=1))).sum())
        raise DataError(f"{array.name}: {broken} of {matrix.shape[0]} pixels have NaN; crop the map or fill them first")
    pixels, channels = live(matrix)
    if not pixels.all():
        matrix = matrix[pixels]
    return matrix if channels.all() else matrix[:, channels], pixels, channels


def _require_sizes(array: xr.DataArray, matrix: Matrix, components: int, method: str, weighting: str | None) -> None:
    if method not in _METHODS:
        raise DataError(f"unknown method {method!r}; accepted are {', '.join(map(repr, _METHODS))}")
    if weighting not in ("poisson", None):
        raise DataError(f"unknown weighting {weighting!r}; accepted are 'poisson' and None")
    if min(matrix.shape) < 2:
        pixels, channels = matrix.shape
        raise DataError(f"{array.name}: {pixels} pixels and {channels} channels with signal; at least 2 are needed")
    if isinstance(components, bool) or not isinstance(components, (int, np.integer)) or components < 1:
        raise DataError(f"components is a whole number of at least 1; received {components!r}")
    if components > min(matrix.shape):
        raise DataError(
            f"{components} components asked of {matrix.shape[0]} pixels and {matrix.shape[1]} channels with signal; "
            f"at most {min(matrix.shape)} are possible"
        )
    if (method in _NON_NEGATIVE or weighting == "poisson") and matrix.min() < 0:
        raise DataError(
            f"{array.name}: negative values (down to {matrix.min():.4g}), which counts never have; "
            "use method='pca' with weighting=None, or clip them at zero first"
        )


def _roots(matrix: Matrix, weighting: str | None) -> tuple[Array, Array]:
    """Return what the rows and the columns are divided by before the factors are sought."""
    if weighting is None:
        return np.ones(matrix.shape[0]), np.ones(matrix.shape[1])
    return np.sqrt(matrix.sum(axis=1)), np.sqrt(matrix.sum(axis=0))


def _shares(scaled: Matrix, scores: Array, factors: Array) -> Array:
    """Return the weighted sum of squares of each component over that of the data."""
    parts = (scores**2).sum(axis=0) * (factors**2).sum(axis=1)
    return np.asarray(parts / (entries(scaled) ** 2).sum())


def _scaled(scores: Array, factors: Array, method: str) -> tuple[Array, Array]:
    """Give the endmembers unit sum (NMF) or unit norm, and a positive largest entry; scores take up the scale."""
    if method in _NON_NEGATIVE:
        scale = factors.sum(axis=1)
    else:
        largest = np.take_along_axis(factors, np.abs(factors).argmax(axis=1)[:, None], axis=1)[:, 0]
        scale = np.linalg.norm(factors, axis=1) * np.sign(largest)
    scale = np.where(scale == 0.0, 1.0, scale)
    return scores * scale, factors / scale[:, None]


def _ordered(scores: Array, factors: Array, shares: Array) -> tuple[Array, Array, Array]:
    order = np.argsort(-shares, kind="stable")
    return scores[:, order], factors[order], shares[order]


def _restored(values: Array, live: npt.NDArray[np.bool_], *, axis: int) -> Array:
    """Put zeros back where pixels or channels had no signal."""
    shape = list(values.shape)
    shape[axis] = live.size
    full = np.zeros(shape)
    full[live if axis == 0 else (slice(None), live)] = values
    return full


def _labelled(
    found: dict[str, Array], ds: xr.Dataset, array: xr.DataArray, signal: str, how: dict[str, str]
) -> xr.Dataset:
    spatial = spatial_dims(array)
    shape = tuple(array.sizes[dim] for dim in spatial)
    unit = {"units": array.attrs.get("units", "1")}
    linked = {"ancillary_variables": "abundance_stderr"} if "abundance_stderr" in found else {}
    variables: dict[str, Any] = {
        "abundance": ((*spatial, "component"), found["abundance"].reshape(*shape, -1), {**unit, **linked}),
        "endmember": (("component", signal), found["endmember"]),
        "explained_variance": (("component",), found["explained_variance"]),
    }
    if linked:
        error = found["abundance_stderr"].reshape(*shape, -1)
        variables["abundance_stderr"] = ((*spatial, "component"), error, unit)
    pose, frame = get_pose(ds)
    axes: dict[str, Any] = {dim: Axis(ds[dim].attrs["units"], values=ds[dim].values) for dim in (*spatial, signal)}
    result = fusion.dataset(
        variables,
        {**axes, "component": np.arange(found["explained_variance"].size)},
        name=str(ds.attrs.get("title", "map")),
        cell_methods="mean",
        pose=pose,
        frame=frame,
        attrs={**ds.attrs, **how},
    )
    kept = {dim: ds[dim] for dim in (*SPATIAL, signal) if dim in ds.coords}
    return fusion.check(result.assign_coords(kept))
