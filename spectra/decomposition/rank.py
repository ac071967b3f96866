"""How many components a map of counts has above its own noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import signal_dim, stderr_name
from fusion.errors import DataError
from fusion.variables import real_variable
from spectra.factorisation.factors import Factors, singular
from spectra.factorisation.sparse import Array, divided, entries, live, pixel_matrix

_FOLDS: Final = 5
_CLEAR: Final = 2.0
"""Standard errors that a component must stand above zero."""
_FILL: Final = 0.3
"""Share of the mean sum that is added to each sum: else one count in a channel of one count is far above noise."""
_LARGEST: Final = 2.0**53
"""From here on floating-point numbers are no longer all the whole ones."""


class _Weighted(NamedTuple):
    factors: Factors
    by_pixel: Array
    by_channel: Array


def count_components(ds: xr.Dataset, most: int = 12, seed: int = 0) -> xr.Dataset:
    """Count the components of a map of X-ray or other counts by cross-validation.

    Each count goes at random into one of five parts; parts of Poisson counts have independent noise. The singular
    vectors of four parts under Poisson weights are compared with the fifth, five times in turn: a component of the
    specimen is reproduced there, a pattern of noise averages to zero, however uneven the noise is. A
    component is counted while that exceeds twice its standard error, which is that of Poisson. The first
    component, the mean spectrum, is always counted. The weights are those of `decompose` for 0.3 of the mean more
    counts in each pixel and channel: else a few counts in a nearly empty channel hide real components.

    Parameters
    ----------
    ds : Dataset
        A map with one spectral variable of whole counts, in memory or lazy.
    most : int
        How many singular values are computed.
    seed : int
        Of the parts and the start vectors.

    Returns
    -------
    Dataset
        ``singular_value(component)``, descending, over the first; ``cross_validated(component)``, how much of it
        is reproduced in counts that it was not fitted to, with ``cross_validated_stderr``; ``components``, the number
        to give to `decompose`. All are dimensionless.

    Raises
    ------
    DataError
        If values are not whole counts, or `most` does not fit the map.
    ConventionError
        If the dataset breaks the conventions.

    Notes
    -----
    A component too weak for its dose is not counted: the number is a lower bound that grows with the counts, and not
    the number of phases. No method sees one whose singular value, without noise, is below σ (pixels · channels)^¼, σ² =
    1 / counts of the map; this one sees those of 1.6 times that and more (`benchmarks/spectra/rank.py`). Dead time,
    drift and shifting lines are structure and are counted. Counting ends at the first component that is not clear;
    where pixels are so empty that counts lie isolated, noise may come before what is real: coarsen. The five standard
    errors are added as they are, not their squares, since the parts share their counts.

    References
    ----------
    A. Neufeld, L. L. Gao, J. Popp, A. Battle and D. Witten, Biostatistics 25, 270 (2024): counts in parts.
    A. B. Owen and P. O. Perry, Ann. Appl. Stat. 3, 564 (2009): cross-validation of singular vectors.
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
    array = real_variable(fusion.check(ds))
    matrix = _counts(array, most)
    values = np.linalg.norm(_weighted(matrix, most, seed).factors.scores, axis=0)
    kept, error = (one / values[0] for one in _cross_validated(matrix, most, seed))
    clear = np.append(kept[1:] > _CLEAR * error[1:], False)
    variables = {
        "singular_value": (("component",), values / values[0]),
        "cross_validated": (("component",), kept),
        stderr_name("cross_validated"): (("component",), error),
        "components": ((), np.int64(1 + clear.argmin())),
    }
    title = str(ds.attrs.get("title", "map"))
    result = fusion.dataset(variables, {"component": np.arange(values.size)}, name=title, cell_methods=None)
    return provenance.record(result, "spectra.count_components", {"most": most, "seed": seed})


def _counts(array: xr.DataArray, most: int) -> Any:
    """Return live pixels by live channels as a sparse matrix, once all values are known to be counts."""
    from scipy.sparse import csr_array

    matrix = csr_array(pixel_matrix(array, signal_dim(array)))
    values = entries(matrix)
    if not (((values >= 0) & (values < _LARGEST)).all() and (values % 1 == 0).all()):
        raise DataError(f"{array.name}: values are not all whole counts; give the map as it was measured")
    pixels, channels = live(matrix)
    matrix = matrix[pixels][:, channels]
    if isinstance(most, bool) or not isinstance(most, (int, np.integer)) or not 2 <= most <= min(matrix.shape):
        raise DataError(
            f"most is a whole number from 2 to the smaller of {matrix.shape[0]} pixels and {matrix.shape[1]} channels "
            f"with signal; received {most!r}"
        )
    return matrix


def _weighted(matrix: Any, most: int, seed: int) -> _Weighted:
    """Return the singular vectors of a matrix under Poisson weights, with the weights."""
    by_pixel, by_channel = (np.sqrt(sums + _FILL * sums.mean()) for sums in (matrix.sum(axis=1), matrix.sum(axis=0)))
    return _Weighted(singular(divided(matrix, by_pixel, by_channel), most, seed), by_pixel, by_channel)


def _cross_validated(matrix: Any, most: int, seed: int) -> tuple[Array, Array]:
    """Return what each part shows of the singular vectors of the others, summed, and its standard error."""
    # With u, v of four fifths of the counts, uᵀ P v of the fifth P estimates what the true matrix has along u and v
    # without bias, since the noise of P is independent of both. Its variance is Σ u² v² P, that of Poisson.
    kept, error = np.zeros((2, most))
    for part in _parts(matrix, np.random.default_rng(seed)):
        others = _weighted(matrix - part, most, seed)
        lengths = np.linalg.norm(others.factors.scores, axis=0)
        pixel = others.factors.scores / np.where(lengths > 0, lengths, 1.0) / others.by_pixel[:, None]
        channel = (others.factors.factors / others.by_channel).T
        kept += ((part.T @ pixel) * channel).sum(axis=0)
        error += np.sqrt(((part.T @ pixel**2) * channel**2).sum(axis=0))
    # the weights are those of four parts, so that the sum is too small
    scale = (_FOLDS - 1) / _FOLDS
    return scale * kept, scale * error


def _parts(matrix: Any, random: np.random.Generator) -> Iterator[Any]:
    """Yield matrices that add up to the given one, each count in one of them at random."""
    # thinning: a binomial share of a Poisson count is Poisson, and independent of what remains
    left: npt.NDArray[np.int64] = matrix.data.astype(np.int64)
    for others in range(_FOLDS, 0, -1):
        taken = random.binomial(left, 1 / others)
        left = left - taken
        yield type(matrix)((taken.astype(np.float64), matrix.indices, matrix.indptr), shape=matrix.shape)
