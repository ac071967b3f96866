"""Which points of two sets are the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import SPATIAL, check, stderr_name, title
from fusion.errors import ConventionError, DataError
from fusion.model import length, require_lengths

Array = npt.NDArray[np.float64]


def match_particles(points: xr.Dataset, reference: xr.Dataset, within: str | float) -> xr.Dataset:
    """Pair the points of two sets that lie close to each other, and say how well they agree.

    Parameters
    ----------
    points, reference : Dataset (point)
        With coordinates z, y, x in um, in one frame. NaN is a point without a position, which has no partner.
    within : str or float
        Largest distance of a pair, such as ``"0.3 um"``; a bare number means um.

    Returns
    -------
    Dataset
        Along ``pair``: ``first`` and ``second``, the numbers of the points in either set, and their ``distance`` in um.
        ``precision``, the share of `points` with a partner, and ``recall``, that of `reference`, with the standard
        errors of binomial shares; ``rms`` (axis) of the differences along z, y, x in um; ``chi2`` (axis), their mean
        squares over what the errors of both sets say, 1 where these are right, NaN without errors.

    Raises
    ------
    ConventionError
        If these are no points.
    DataError
        If a set is empty, or `within` is not positive.
    UnitError
        If positions are in px.

    Notes
    -----
    The pairs are those of the smallest sum of squared distances in which a point without partner counts as `within`:
    H. W. Kuhn, Nav. Res. Logist. Q. 2, 83 (1955), as in SciPy.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> axes = {dim: Axis("um", values=[0.0, 3.0]) for dim in "zyx"}
    >>> a = dataset({"n": ("point", [1.0, 2.0])}, axes, name="a")
    >>> b = dataset({"n": ("point", [1.0])}, {dim: Axis("um", values=[2.9]) for dim in "zyx"}, name="b")
    >>> found = match_particles(a, b, "1 um")
    >>> found["first"].values, found["distance"].values.round(2), float(found["precision"])
    (array([1]), array([0.17]), 0.5)
    """
    positions = [places(each) for each in (points, reference)]
    reach = length(within)
    if not all(len(each) for each in positions):
        raise DataError(f"{title(points)} and {title(reference)}: a set has no point")
    first, second = _pairs(positions[0], positions[1], reach)
    # Differences have the variance of both sets, so that chi2 compares what is seen with what the errors promise,
    # axis by axis; a share k / n has the binomial error √(p (1 - p) / n).
    off = positions[0][first] - positions[1][second]
    variance = _variance(points)[first] + _variance(reference)[second]
    with np.errstate(invalid="ignore", divide="ignore"):
        chi2 = (off**2 / variance).mean(axis=0) if len(off) else np.full(3, np.nan)
    rms = np.sqrt((off**2).mean(axis=0)) if len(off) else np.full(3, np.nan)
    um = {"units": "um"}
    variables: dict[str, object] = {
        "first": ("pair", first), "second": ("pair", second),
        "distance": ("pair", np.linalg.norm(off, axis=1), um),
        "rms": ("axis", rms, um), "chi2": ("axis", chi2),
    }  # fmt: skip
    for name, each in (("precision", positions[0]), ("recall", positions[1])):
        share = len(first) / len(each)
        variables |= {name: ((), share), stderr_name(name): ((), np.sqrt(share * (1.0 - share) / len(each)))}
    result = xr.Dataset(variables, {"axis": list(SPATIAL)}, {"title": title(points)})
    return provenance.record(check(result), "volumes.match_particles", {"within": within}, parents=[points, reference])


def places(points: xr.Dataset) -> Array:
    """Return the positions (n, 3) in um of points; refuse what are none.

    Raises
    ------
    ConventionError, UnitError
    """
    check(points)
    missing = [dim for dim in SPATIAL if dim not in points.coords or points[dim].dims != ("point",)]
    if missing:
        raise ConventionError([f"{title(points)}: points with z, y, x along 'point' are needed; {missing} are not"])
    require_lengths(points, "measured from point to point")
    return np.column_stack([points[dim].values for dim in SPATIAL]).astype(float)


def _variance(points: xr.Dataset) -> Array:
    """Return the variance (n, 3) of the positions in um², NaN where no error is known."""
    names = [stderr_name(dim) for dim in SPATIAL]
    unknown = np.full(points.sizes["point"], np.nan)
    return np.column_stack([points[name].values ** 2 if name in points else unknown for name in names])


def _pairs(first: Array, second: Array, within: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the numbers of the points of either set that are paired."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    known = [np.flatnonzero(np.isfinite(each).all(axis=1)) for each in (first, second)]
    trees = [cKDTree(each[use]) for each, use in zip((first, second), known, strict=True)]
    near = trees[0].sparse_distance_matrix(trees[1], within, output_type="ndarray")
    if not near.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # What is left without a partner costs within², so that a pair gains within² - d²; pairs further apart gain nothing.
    # Points that are within reach of each other fall apart into small groups, each of which is solved on its own.
    left, right = len(known[0]), len(known[1])
    graph = coo_array((np.ones(near.size), (near["i"], left + near["j"])), shape=(left + right, left + right))
    group = connected_components(graph, directed=False)[1][near["i"]]
    order = np.argsort(group, kind="stable")
    chosen = [_assigned(near[part], within) for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1)]
    pairs = np.concatenate(chosen)
    return known[0][pairs["i"]], known[1][pairs["j"]]


def _assigned(near: npt.NDArray[np.void], within: float) -> npt.NDArray[np.void]:
    """Return the pairs of a group with the smallest sum of squares, of those that are near."""
    from scipy.optimize import linear_sum_assignment

    rows, i = np.unique(near["i"], return_inverse=True)
    columns, j = np.unique(near["j"], return_inverse=True)
    gain = np.zeros((rows.size, columns.size))
    gain[i, j] = within**2 - near["v"] ** 2 + 1e-12 * within**2
    number = np.full(gain.shape, -1)
    number[i, j] = np.arange(near.size)
    best = number[linear_sum_assignment(gain, maximize=True)]
    return np.asarray(near[best[best >= 0]])
