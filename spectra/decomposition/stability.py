"""Whether a decomposition finds the same components from other starts."""

from __future__ import annotations

import numpy as np
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import with_links
from fusion.errors import DataError
from fusion.progress import counted
from fusion.variables import real_variable
from spectra.decomposition.decompose import decompose, labelled_solution
from spectra.decomposition.unfolding import problem
from spectra.factorisation.engines import ENGINES, Method, Request
from spectra.factorisation.sparse import Array
from spectra.factorisation.weighting import Weighting


def stability(
    ds: xr.Dataset,
    components: int,
    *,
    method: Method = "nmf",
    weighting: Weighting | None = "poisson",
    seeds: int = 10,
) -> xr.Dataset:
    """Decompose a map from several starts and compare the endmembers.

    Parameters
    ----------
    ds : Dataset
        A map with one spectral variable, dims (z, y, x, signal).
    components : int
        How many.
    method : str
        As for `decompose`. All but the first run of ``"nmf"`` start at random, since its usual start hardly depends
        on the seed.
    weighting : {"poisson", None}
        As for `decompose`.
    seeds : int
        How many starts, at least 2: the seeds are 0, 1, ...

    Returns
    -------
    Dataset
        ``similarity(component)``: the mean cosine between an endmember of the first start and its match in each
        other one, matched so that the sum of the cosines is largest; ``lowest_similarity(component)``, the worst of
        them; ``endmember(component, signal)`` of the first start. A component with less than about 0.95 is
        not reproducible: ask for fewer, or do not interpret it.

    Raises
    ------
    DataError
        As `decompose`, and if there are fewer than two seeds.
    ConventionError
        If the dataset breaks the conventions.

    Examples
    --------
    >>> from fusion import Axis
    >>> counts = np.random.default_rng(0).poisson(np.kron(np.eye(2), np.full((5, 4), 50.0)))
    >>> ds = fusion.dataset({"counts": (("x", "energy"), counts)}, {"x": Axis("um", 1.0), "energy": Axis("keV", 1.0)},
    ...                     name="map", cell_methods="sum")
    >>> stability(ds, 2, seeds=3)["similarity"].round(2).values
    array([1., 1.])
    """
    if isinstance(seeds, bool) or not isinstance(seeds, (int, np.integer)) or seeds < 2:
        raise DataError(f"seeds is a whole number of at least 2; received {seeds!r}")
    runs = [_run(ds, components, method, weighting, seed) for seed in counted(range(seeds), "stability", "runs")]
    first = runs[0]["endmember"]
    cosines = np.array([similarity(first.values, run["endmember"].values) for run in runs[1:]])
    result = runs[0][["endmember"]].assign(
        similarity=("component", cosines.mean(axis=0), {"units": "1", "long_name": "similarity"}),
        lowest_similarity=("component", cosines.min(axis=0), {"units": "1", "long_name": "lowest similarity"}),
    )
    result["endmember"] = with_links(result["endmember"], [])
    result.attrs = {**ds.attrs, "decomposition": method, "weighting": weighting or "none"}
    parameters = {"components": components, "method": method, "weighting": weighting, "seeds": seeds}
    return provenance.record(fusion.check(result), "spectra.stability", parameters)


# NMF returns components in no fixed order, so starts are compared after matching: the assignment that maximises the
# sum of cosines (Kuhn, Nav. Res. Logist. Q. 2, 83 (1955)). Each component's own best match instead would let two of
# them claim the same partner and hide a component that was lost.
def similarity(first: Array, second: Array) -> Array:
    """Return for each row of the first the cosine with its match in the second, so that their sum is largest.

    Examples
    --------
    >>> similarity(np.eye(3), np.array([[0.0, 0.0, 2.0], [1.0, 1.0, 0.0], [0.0, 5.0, 0.0]])).round(3)
    array([0.707, 1.   , 1.   ])
    """
    from scipy.optimize import linear_sum_assignment

    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    cosines = first @ second.T / np.where(lengths > 0, lengths, 1.0)
    return np.asarray(cosines[linear_sum_assignment(-cosines)])


def _run(ds: xr.Dataset, components: int, method: Method, weighting: Weighting | None, seed: int) -> xr.Dataset:
    if seed == 0:
        return decompose(ds, components, method=method, weighting=weighting, seed=seed)
    engine = ENGINES[method]
    matrix = problem(real_variable(ds), weighting, stream=engine.streamed)
    solution = engine.find(matrix, Request(components, seed, random=True))
    return labelled_solution(solution, engine, matrix, ds)
