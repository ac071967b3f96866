"""Pixels with like spectra: a map of labels, and the mean spectrum of each."""

from __future__ import annotations

import warnings
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import signal_dim
from fusion.errors import DataError, IncompleteResultWarning
from fusion.variables import real_variable
from spectra.decomposition.unfolding import labelled, problem, require_components, restored
from spectra.factorisation.factors import singular
from spectra.factorisation.problem import Problem
from spectra.factorisation.sparse import Array
from spectra.factorisation.weighting import Weighting

Labels: TypeAlias = npt.NDArray[np.int64]
Clustering: TypeAlias = Literal["kmeans", "mixture"]
_METHODS: Final = ("kmeans", "mixture")
_STARTS: Final = 10
_ROUNDS: Final = 500


def cluster(
    ds: xr.Dataset,
    clusters: int,
    *,
    method: Clustering = "kmeans",
    components: int | None = None,
    weighting: Weighting | None = "poisson",
    seed: int = 0,
) -> xr.Dataset:
    """Sort the pixels of a spectral map by their spectra.

    Parameters
    ----------
    ds : Dataset
        A map with one spectral variable, dims (z, y, x, signal), in memory or lazy, of any size.
    clusters : int
        How many, at least 2.
    method : {"kmeans", "mixture"}
        ``"kmeans"``: nearest mean. ``"mixture"``: most probable of as many normal distributions, each with a
        covariance of its own. Both see the scores of the principal components, which under ``"poisson"`` have equal
        noise; brightness counts as well as shape. The best of 10 starts is kept.
    components : int, optional
        How many principal components; as many as clusters if left out, since so many hold the means of all.
    weighting : {"poisson", None}
        As for `decompose`.
    seed : int
        Of the starts.

    Returns
    -------
    Dataset
        ``cluster(z, y, x)``: labels 0, 1, ... from the largest cluster to the smallest, with ``flag_values`` and
        ``flag_meanings``; the number after the last, ``empty``, where a pixel has no signal.
        ``mean_spectrum(component, signal)`` in the units of the map and ``pixels(component)``, one for each cluster.
        Attribute ``converged``.

    Raises
    ------
    DataError
        If the number of clusters or components does not fit the map, or its values are not finite, or negative under
        ``"poisson"``.
    ConventionError
        If the dataset breaks the conventions.

    References
    ----------
    D. Arthur and S. Vassilvitskii, Proc. 18th ACM-SIAM Symp. Discrete Algorithms, 1027 (2007): the starts.

    Examples
    --------
    >>> from fusion import Axis
    >>> counts = np.array([[9, 1, 0], [0, 2, 8], [0, 0, 0], [8, 1, 0], [9, 2, 0]])
    >>> ds = fusion.dataset({"counts": (("x", "energy"), counts)}, {"x": Axis("um", 1.0), "energy": Axis("keV", 1.0)},
    ...                     name="map", cell_methods="sum")
    >>> clustered = cluster(ds, 2)
    >>> clustered["cluster"].values, clustered["mean_spectrum"].values[1]
    (array([0, 1, 2, 0, 0]), array([0., 2., 8.]))
    """
    array = real_variable(fusion.check(ds))
    if method not in _METHODS:
        raise DataError(f"unknown method {method!r}; accepted are {', '.join(map(repr, _METHODS))}")
    matrix = problem(array, weighting, stream=True)
    scores = _scores(matrix, clusters, components, seed)
    labels, converged = (_kmeans if method == "kmeans" else _mixture)(scores, int(clusters), seed)
    occupied = np.unique(labels).size
    if occupied < clusters:
        message = f"{array.name}: the spectra fall into {occupied} clusters, not {clusters}; ask for fewer"
        warnings.warn(IncompleteResultWarning(message), stacklevel=2)
    variables = _variables(_by_size(labels), matrix, array, int(clusters))
    how = {"clustering": method, "weighting": matrix.weights.name, "converged": "yes" if converged else "no"}
    result = labelled(variables, ds, array, clusters, how)
    parameters = {
        "clusters": clusters, "method": method, "components": components, "weighting": weighting, "seed": seed
    }  # fmt: skip
    return provenance.record(result, "spectra.cluster", parameters)


# Distances between pixels are those between their scores: singular vectors keep them (an orthogonal rotation) and leave
# out the noise of all further components. The subspace of K cluster means has at most K dimensions (C. Ding and
# X. He, Proc. ICML 2004, 29).
def _scores(matrix: Problem, clusters: int, components: int | None, seed: int) -> Array:
    """Return what the pixels are sorted by, once the numbers are known to fit the map."""
    pixels = matrix.matrix.shape[0]
    if isinstance(clusters, bool) or not isinstance(clusters, (int, np.integer)):
        raise DataError(f"clusters is a whole number; received {clusters!r}")
    if not 2 <= clusters <= pixels:
        raise DataError(f"clusters is from 2 to the {pixels} pixels with signal; received {clusters}")
    axes = min(clusters, *matrix.matrix.shape) if components is None else components
    require_components(axes, matrix.matrix)
    return singular(matrix.matrix, axes, seed).scores


def _variables(members: Labels, matrix: Problem, array: xr.DataArray, clusters: int) -> dict[str, Any]:
    """Return the labels with their names, and the mean spectrum and the size of each cluster."""
    sizes = np.bincount(members, minlength=clusters)
    averaging = (members[:, None] == np.arange(clusters)) / np.maximum(sizes, 1)
    means = matrix.transposed_times(averaging * matrix.by_pixel[:, None]).T * matrix.by_channel
    means = restored(means, matrix.channels, axis=1)
    # the number of an empty pixel is not −1, which means outside where a map of labels is resampled
    labels = np.full(matrix.pixels.size, clusters)
    labels[matrix.pixels] = members
    names = [*(f"cluster_{index}" for index in range(clusters)), "empty"]
    flags = {"flag_values": np.arange(clusters + 1), "flag_meanings": " ".join(names)}
    return {
        "cluster": (("pixel",), labels, flags),
        "mean_spectrum": (("component", signal_dim(array)), means, {"units": array.attrs.get("units", "1")}),
        "pixels": (("component",), sizes, {}),
    }


def _kmeans(scores: Array, clusters: int, seed: int) -> tuple[Labels, bool]:
    from sklearn.cluster import KMeans

    engine = KMeans(clusters, n_init=_STARTS, max_iter=_ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        labels = engine.fit_predict(scores)
    return labels, bool(engine.n_iter_ < _ROUNDS)


def _mixture(scores: Array, clusters: int, seed: int) -> tuple[Labels, bool]:
    from sklearn.mixture import GaussianMixture

    # a floor of the variance is made for values of about 1
    unit = scores.std() or 1.0
    engine = GaussianMixture(clusters, n_init=_STARTS, max_iter=_ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(Best performing initialization|Number of distinct clusters)")
        labels = engine.fit_predict(scores / unit)
    return labels, bool(engine.converged_)


def _by_size(labels: Labels) -> Labels:
    """Give the clusters numbers from the largest on; of equal ones the first in the map comes first."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = names[np.lexsort((first, -sizes))]
    rank = np.empty(names.max() + 1, np.int64)
    rank[order] = np.arange(order.size)
    return rank[labels]
