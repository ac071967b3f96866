"""How many components a map of counts has above its own noise."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import signal_dim
from fusion.errors import DataError
from spectra.factors import singular
from spectra.sparse import Array, divided, entries, live, pixel_matrix
from spectra.variables import main_variable

_DRAWS: Final = 19
"""The largest of 19 draws is exceeded by a twentieth of the same kind in one case of twenty."""

_MOST_COUNTS: Final = 10**8
"""Above it the shuffles need more than 4 GB."""
_FILL: Final = 0.3
"""Share of the mean sum that is added to each sum: else one count in a channel of one count is far above noise."""


def count_components(ds: xr.Dataset, most: int = 12, seed: int = 0) -> xr.Dataset:
    """Count the components of a map of X-ray or other counts by parallel analysis.

    The singular values of the Poisson-weighted map are compared with those of 19 maps that have the same counts in
    every pixel and the same in every channel, but no other structure: the channels of all counts are shuffled. A
    component is counted while its value exceeds the largest of the 19 after their first, that is at the 5 % level.
    The first component, the mean spectrum, is always counted. The weights are those of `decompose` for 0.3 of the
    mean more counts in each pixel and channel: else a few counts in a nearly empty channel hide real components.

    Parameters
    ----------
    ds : Dataset
        A map with one spectral variable of whole counts, in memory or lazy.
    most : int
        How many singular values are looked at.
    seed : int
        Of the shuffles and the start vectors.

    Returns
    -------
    Dataset
        ``singular_value(component)``, descending, over the first; ``threshold``, the value that noise reaches;
        ``components``, the number to give to `decompose`. All are dimensionless.

    Raises
    ------
    DataError
        If values are not whole counts, there are more than 10⁸ of them, or `most` does not fit the map.
    ConventionError
        If the dataset breaks the conventions.

    Notes
    -----
    A component too weak for its dose is not counted: the number is a lower bound that grows with the counts, and
    not the number of phases. No method sees one whose singular value, without noise, is below σ (pixels ·
    channels)^¼, σ² = 1 / counts of the map; this one sees those of 1.6 times that and more (`benchmarks/rank.py`).
    Dead time, drift and shifting lines are structure and are counted. Where pixels or channels are so empty that
    counts lie isolated, only the mean is found: crop and coarsen. The memory is that of a few numbers for each single
    count.

    References
    ----------
    J. L. Horn, Psychometrika 30, 179 (1965).
    F. Benaych-Georges and R. R. Nadakuditi, J. Multivar. Anal. 111, 120 (2012), section 3.1: what noise hides.

    Examples
    --------
    >>> from fusion import Axis
    >>> counts = np.zeros((4, 6, 8), int)
    >>> counts[:2, :, :4], counts[2:, :, 4:] = 20, 20
    >>> axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    >>> ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    >>> int(count_components(ds, most=3)["components"])
    2
    """
    array = main_variable(fusion.check(ds))
    matrix = _counts(array, most)
    values = _values(matrix, most, seed)
    random = np.random.default_rng(seed)
    threshold = max(_values(_shuffled(matrix, random), 2, seed)[1] for _ in range(_DRAWS))
    above = np.append(values[1:] > threshold, False)
    found = {
        "singular_value": (("component",), values),
        "threshold": ((), np.float64(threshold)),
        "components": ((), np.int64(1 + above.argmin())),
    }
    title = str(ds.attrs.get("title", "map"))
    result = fusion.dataset(found, {"component": np.arange(values.size)}, name=title, cell_methods=None)
    return provenance.record(result, "spectra.count_components", {"most": most, "seed": seed})


def _counts(array: xr.DataArray, most: int) -> Any:
    """Return live pixels by live channels as a sparse matrix, once all values are known to be counts."""
    from scipy.sparse import csr_array

    matrix = csr_array(pixel_matrix(array, signal_dim(array)))
    values = entries(matrix)
    if not (np.isfinite(values).all() and (values >= 0).all() and (values % 1 == 0).all()):
        raise DataError(f"{array.name}: values are not all whole counts; give the map as it was measured")
    if values.sum() > _MOST_COUNTS:
        raise DataError(
            f"{array.name}: {values.sum():.3g} counts, each of which is shuffled; at most {_MOST_COUNTS:.0e} are "
            "possible: crop the map or take fewer of its pixels"
        )
    pixels, channels = live(matrix)
    matrix = matrix[pixels][:, channels]
    if isinstance(most, bool) or not isinstance(most, (int, np.integer)) or not 2 <= most <= min(matrix.shape):
        raise DataError(
            f"most is a whole number from 2 to the smaller of {matrix.shape[0]} pixels and {matrix.shape[1]} channels "
            f"with signal; received {most!r}"
        )
    return matrix


def _values(matrix: Any, most: int, seed: int) -> Array:
    """Return the largest singular values under Poisson weights, over the first."""
    by_pixel, by_channel = (np.sqrt(sums + _FILL * sums.mean()) for sums in (matrix.sum(axis=1), matrix.sum(axis=0)))
    values = np.linalg.norm(singular(divided(matrix, by_pixel, by_channel), most, seed).scores, axis=0)
    return np.asarray(values / values[0])


def _shuffled(matrix: Any, random: np.random.Generator) -> Any:
    """Return a matrix with the same sums of rows and of columns, each single count in a channel drawn at random."""
    counts: npt.NDArray[np.int64] = matrix.data.astype(np.int64)
    rows = np.repeat(np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), counts)
    channels = random.permutation(np.repeat(matrix.indices, counts))
    return type(matrix)((np.ones(rows.size), (rows, channels)), shape=matrix.shape)
