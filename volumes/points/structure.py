"""How particles lie to each other: pair correlation, contacts with their probability, coordination."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.axes import Axis
from fusion.conventions import SPATIAL, check, stderr_name, title
from fusion.errors import ConventionError, DataError
from fusion.model import dataset, length
from volumes.points.matching import places

Array = npt.NDArray[np.float64]


def pair_correlation(
    points: xr.Dataset, *, step: str | float, largest: str | float, volume: npt.ArrayLike | None = None
) -> xr.Dataset:
    """Return the pair correlation g(r): the density of particles at a distance from another, over the mean density.

    Parameters
    ----------
    points : Dataset (point)
        With coordinates z, y, x in um.
    step, largest : str or float
        Width of the shells, and the largest distance; a bare number means um.
    volume : array_like (6,), optional
        The edges of the box in which particles were looked for, (z0, z1, y0, y1, x0, x1) in um. Left out, the attribute
        ``volume`` that `volumes.find_particles` gives. Points outside are left out.

    Returns
    -------
    Dataset (distance)
        ``pair_correlation`` at the middles of the shells, with an error from the scatter of the octants of the box:
        neighbouring particles are not independent, and counting pairs as if they were makes it too small.

    Raises
    ------
    DataError
        If there are fewer than ten points in the box, the box is not known, or a distance is out of range.

    Notes
    -----
    Each pair counts 1 / (V̂(r) n), where V̂ is the volume of the box's overlap with itself shifted by the pair's very
    vector: the translation correction, exact for a box (J. Ohser, Math. Operationsforsch. Stat. 14, 63 (1983)).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> axes = {dim: Axis("um", values=rng.uniform(0.0, 10.0, 2000)) for dim in "zyx"}
    >>> gas = dataset({"n": ("point", np.ones(2000))}, axes, name="gas")
    >>> g = pair_correlation(gas, step=0.5, largest=3.0, volume=[0, 10, 0, 10, 0, 10])
    >>> bool((abs(g["pair_correlation"][2:] - 1.0) < 0.1).all())
    True
    """
    from scipy.spatial import cKDTree

    at, low, high = _in_box(points, volume)
    width, far = length(step), length(largest)
    if not 0 < width < far < (high - low).min():
        raise DataError(
            f"distances run from step to largest, which is below the box's shortest side; received {far} um"
        )
    edges = width * np.arange(int(far / width + 1e-9) + 1)
    pairs = cKDTree(at).query_pairs(edges[-1] - 1e-12, output_type="ndarray")
    apart = np.abs(at[pairs[:, 0]] - at[pairs[:, 1]])
    shell = np.digitize(np.linalg.norm(apart, axis=1), edges) - 1
    # A pair is seen from both its ends, hence the factor 2:
    # g = Σ 2 / V̂(r) over the pairs of a shell, over its volume and the squared density
    weight = 2.0 / np.prod(high - low - apart, axis=1) / (4.0 / 3.0 * np.pi * np.diff(edges**3))[shell]
    weight *= np.prod(high - low) ** 2 / (len(at) * (len(at) - 1.0))
    value = np.asarray(np.bincount(shell, weight, minlength=edges.size - 1), dtype=float)
    axes = {"distance": Axis("um", step=width, offset=width / 2.0)}
    error = _octant_error(at > (low + high) / 2.0, pairs, shell, weight, value)
    variables = {"pair_correlation": ("distance", value), stderr_name("pair_correlation"): ("distance", error)}
    density = len(at) / float(np.prod(high - low))
    result = dataset(variables, axes, name=title(points), attrs={"number_density": density})
    parameters = {"step": step, "largest": largest, "volume": np.column_stack([low, high]).ravel()}
    return provenance.record(result, "volumes.pair_correlation", parameters, parents=[points])


# Each octant of the box is a sample of its own: a pair counts half for either of its points, and the sum over all is
# that of eight parts, whose scatter is known. Particles are as little independent within an octant as they are.
def _octant_error(upper: npt.NDArray[np.bool_], pairs: Any, shell: Any, weight: Any, value: Array) -> Array:
    octant = upper @ np.array([4, 2, 1])
    parts = np.zeros((8, value.size))
    for side in (0, 1):
        np.add.at(parts, (octant[pairs[:, side]], shell), weight / 2.0)
    return np.asarray(np.sqrt(((8.0 * parts - value) ** 2).sum(axis=0) / (8.0 * 7.0)))


def contacts(points: xr.Dataset, within: str | float) -> xr.Dataset:
    """Return the pairs of particles whose surfaces are close, with the probability that they are in contact.

    Parameters
    ----------
    points : Dataset (point)
        With z, y, x and ``radius`` in um, and their standard errors, as `volumes.find_particles` gives them.
    within : str or float
        The gap between two surfaces up to which they are in contact; a bare number means um.

    Returns
    -------
    Dataset (pair)
        ``first`` and ``second``, the numbers of the two points; ``gap`` between their surfaces in um, negative where
        they overlap, with its error; ``probability`` that the true gap is at most `within`. Pairs of which it is below
        0.001 are left out. NaN where no error is known.

    Raises
    ------
    ConventionError
        If these are no points, or have no radius.

    Notes
    -----
    The gap is d - R₁ - R₂; its variance is that of the positions along the line of centres and of the radii, taken as
    independent, or as one where all radii are equal: a common radius counts twice. Probability: Φ((within - gap) / σ).

    Examples
    --------
    >>> axes = {dim: Axis("um", values=at) for dim, at in {"z": [0.0, 0.0], "y": [0.0, 0.0], "x": [0.0, 1.1]}.items()}
    >>> variables = {"radius": ("point", [0.5, 0.5], {"units": "um"})}
    >>> variables |= {f"{name}_stderr": ("point", [0.03, 0.03], {"units": "um"}) for name in ("z", "y", "x")}
    >>> variables["radius_stderr"] = ("point", [0.0, 0.0], {"units": "um"})
    >>> found = contacts(dataset(variables, axes, name="two"), within=0.1)
    >>> found["gap"].values.round(2), found["probability"].values.round(2)
    (array([0.1]), array([0.5]))
    """
    from scipy.special import ndtr

    first, second, gap, error = _gaps(points, length(within))
    probability = ndtr((length(within) - gap) / np.where(error > 0, error, 1e-12))
    kept = ~(probability < 1e-3)
    um = {"units": "um"}
    variables = {
        "first": ("pair", first[kept]), "second": ("pair", second[kept]), "gap": ("pair", gap[kept], um),
        stderr_name("gap"): ("pair", error[kept], um), "probability": ("pair", probability[kept]),
    }  # fmt: skip
    result = check(xr.Dataset(variables, attrs={"title": title(points)}))
    return provenance.record(result, "volumes.contacts", {"within": within}, parents=[points])


def coordination(points: xr.Dataset, within: str | float, *, volume: npt.ArrayLike | None = None) -> xr.Dataset:
    """Return how many particles each one touches, and the mean of those whose neighbours must all have been seen.

    Parameters
    ----------
    points : Dataset (point)
        As for `contacts`.
    within : str or float
        The gap between two surfaces up to which they are in contact; a bare number means um.
    volume : array_like (6,), optional
        The box in which particles were looked for, as for `pair_correlation`.

    Returns
    -------
    Dataset (point)
        ``coordination``, the sum of the probabilities of contact, with its error √Σ p (1 - p). It is NaN for a particle
        nearer to the border than a partner's centre may be. ``mean`` and its error: over all others.

    Raises
    ------
    ConventionError, DataError
        As `contacts`, or if the box is not known.

    Notes
    -----
    Leaving out what the border may have robbed of partners is minus-sampling: B. D. Ripley, Spatial Statistics (Wiley,
    1981), section 3.1. A mean over all particles counts those at the border, and comes out too small.
    """
    # A partner's centre lies at most R + R_max + within away: a particle as far from the border misses none of them.
    # The sum of probabilities is the expected number, and independent contacts add the variance p (1 - p) each.
    edges = contacts(points, within)
    at, count = places(points), points.sizes["point"]
    low, high = _box(points, volume)
    reach = points["radius"].values + np.nanmax(points["radius"].values) + length(within)
    seen = ((at - low >= reach[:, None]) & (high - at >= reach[:, None])).all(axis=1)
    p = edges["probability"].values
    ends = np.concatenate([edges["first"].values, edges["second"].values])
    number, variance = (np.bincount(ends, np.tile(each, 2), minlength=count) for each in (p, p * (1.0 - p)))
    value = np.where(seen, number, np.nan)
    kept = number[seen]
    error = kept.std(ddof=1) / np.sqrt(kept.size) if kept.size > 1 else np.nan
    coords = {dim: points[dim] for dim in SPATIAL}
    result = xr.Dataset(
        {
            "coordination": ("point", value),
            stderr_name("coordination"): ("point", np.where(seen, np.sqrt(variance), np.nan)),
            "mean": ((), kept.mean() if kept.size else np.nan),
            stderr_name("mean"): ((), error),
        },
        coords,
        {"title": title(points)},
    )
    return provenance.record(check(result), "volumes.coordination", {"within": within}, parents=[points])


def _gaps(points: xr.Dataset, within: float) -> tuple[Any, Any, Array, Array]:
    """Return pairs whose gap may be within reach, their gaps and the errors of these."""
    from scipy.spatial import cKDTree

    at = places(points)
    if "radius" not in points:
        raise ConventionError([f"{title(points)}: no variable 'radius'; volumes.find_particles gives it"])
    radius = points["radius"].values
    names = [stderr_name(name) for name in (*SPATIAL, "radius")]
    unknown = np.full(len(at), np.nan)
    errors = np.column_stack([points[name].values if name in points else unknown for name in names])
    finite = errors[np.isfinite(errors)]
    most = 2.0 * np.nanmax(radius) + within + (5.0 * float(finite.max()) if finite.size else 0.0)
    pairs = cKDTree(at).query_pairs(most, output_type="ndarray") if len(at) else np.zeros((0, 2), np.int64)
    first, second = pairs[:, 0], pairs[:, 1]
    apart = at[first] - at[second]
    distance = np.linalg.norm(apart, axis=1)
    along = apart / np.maximum(distance, np.finfo(float).tiny)[:, None]
    of_places = (along**2 * (errors[first, :3] ** 2 + errors[second, :3] ** 2)).sum(axis=1)
    # one radius of all is one number with one error, which shifts both surfaces together
    together = np.ptp(radius) == 0.0
    of_radii = (
        (errors[first, 3] + errors[second, 3]) ** 2 if together else errors[first, 3] ** 2 + errors[second, 3] ** 2
    )
    return first, second, distance - radius[first] - radius[second], np.sqrt(of_places + of_radii)


def _in_box(points: xr.Dataset, volume: npt.ArrayLike | None) -> tuple[Array, Array, Array]:
    """Return the points within the box, and its lower and upper corner."""
    low, high = _box(points, volume)
    at = places(points)
    at = at[np.all((at >= low) & (at <= high), axis=1)]
    if len(at) < 10:
        raise DataError(f"{title(points)}: {len(at)} points in the box; at least 10 are needed")
    return at, low, high


def _box(points: xr.Dataset, volume: npt.ArrayLike | None) -> tuple[Array, Array]:
    known = points.attrs.get("volume") if volume is None else volume
    edges = np.asarray([] if known is None else known, dtype=float)
    if edges.shape != (6,) or not (edges[1::2] > edges[::2]).all():
        raise DataError(
            f"{title(points)}: the box is six numbers in um, volume=[z0, z1, y0, y1, x0, x1]; received {edges.tolist()}"
        )
    return edges[::2], edges[1::2]
