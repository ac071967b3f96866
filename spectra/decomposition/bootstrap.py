"""Standard errors of a decomposition from new draws of its noise."""

from __future__ import annotations

import numpy as np
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import signal_dim, stderr_name
from fusion.errors import DataError
from fusion.progress import counted
from spectra.factorisation.least_squares import alternating
from spectra.factorisation.sparse import Array, divided

_ERRORS = (stderr_name("abundance"), stderr_name("endmember"))


def bootstrap(decomposed: xr.Dataset, *, draws: int = 100, seed: int = 0) -> xr.Dataset:
    """Estimate the standard errors of a decomposition of counts by drawing the noise anew and refitting.

    Each draw takes Poisson counts from the model, abundance · endmember, and refits it by alternating non-negative
    least squares that begin at the endmembers. The error is the root mean square deviation of the refits; so
    the bias from the bounds counts in it as well as the noise. What the
    bounds leave free is not in it: refits begin at the endmembers and stay near them, while the errors of `decompose`
    have the range in which components can be mixed.

    Parameters
    ----------
    decomposed : Dataset
        As `decompose` returns it for ``"nmf"`` or ``"mcr"`` with ``"poisson"``, in counts and without closure.
    draws : int
        How many, at least 2. An error is known to 1 / √(2 draws) of itself.
    seed : int
        Of the draws.

    Returns
    -------
    Dataset
        The same with these ``abundance_stderr`` and ``endmember_stderr``. Where a bound holds a value at zero,
        refits lie on one side only, and the error is smaller than that of `decompose`, which leaves the bound out.

    Raises
    ------
    DataError
        If the decomposition is not one of counts, or there are fewer than two draws.
    ConventionError
        If the dataset breaks the conventions or is no decomposition.

    References
    ----------
    B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (Chapman & Hall, 1993), chapter 6.

    Examples
    --------
    >>> from fusion import Axis
    >>> from spectra.decomposition.decompose import decompose
    >>> counts = np.random.default_rng(0).poisson(np.kron(np.eye(2), np.full((5, 4), 50.0)))
    >>> ds = fusion.dataset({"counts": (("x", "energy"), counts)}, {"x": Axis("um", 1.0), "energy": Axis("keV", 1.0)},
    ...                     name="map", cell_methods="sum")
    >>> decomposed = decompose(ds, 2)
    >>> bool((bootstrap(decomposed, draws=20)["endmember_stderr"].max() < 0.1))
    True
    """
    _require_model(decomposed, draws)
    signal = signal_dim(decomposed["endmember"].isel(component=0, drop=True))
    abundance = decomposed["abundance"].values.reshape(-1, decomposed.sizes["component"])
    endmember = decomposed["endmember"].transpose("component", signal).values
    # The parametric bootstrap: deviations of refits from the model that they were drawn from stand for those of the
    # model from the truth. The mean square is taken about the model and not about the mean of the refits, so that the
    # bias is part of it. Refits begin at the endmembers, which keeps the order of the components.
    random = np.random.default_rng(seed)
    squares = np.zeros(abundance.shape), np.zeros(endmember.shape)
    for _ in counted(range(draws), "bootstrap", "draws"):
        again = _refit(abundance, endmember, random)
        for square, value, drawn in zip(squares, (abundance, endmember), again, strict=True):
            square += (drawn - value) ** 2
    errors = {
        name: decomposed[name].copy(data=np.sqrt(square / draws).reshape(decomposed[name].shape))
        for name, square in zip(_ERRORS, squares, strict=True)
    }
    result = decomposed.assign(errors)
    return provenance.record(fusion.check(result), "spectra.bootstrap", {"draws": draws, "seed": seed})


def _refit(abundance: Array, endmember: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Return both factors of one draw, endmembers with unit sum."""
    counts = random.poisson(abundance @ endmember).astype(np.float64)
    pixels, channels = counts.any(axis=1), counts.any(axis=0)
    live = counts[np.ix_(pixels, channels)]
    by_pixel, by_channel = np.sqrt(live.sum(axis=1)), np.sqrt(live.sum(axis=0))
    factors = alternating(divided(live, by_pixel, by_channel), endmember[:, channels] / by_channel)
    scores, spectra = np.zeros(abundance.shape), np.zeros(endmember.shape)
    scores[pixels], spectra[:, channels] = factors.scores * by_pixel[:, None], factors.factors * by_channel
    sums = spectra.sum(axis=1)
    return scores * sums, spectra / np.where(sums > 0, sums, 1.0)[:, None]


def _require_model(decomposed: xr.Dataset, draws: int) -> None:
    fusion.check(decomposed)
    method = decomposed.attrs.get("decomposition")
    if method not in ("nmf", "mcr") or not set(_ERRORS) <= set(decomposed.data_vars):
        raise DataError(
            "a decomposition of counts is needed: spectra.decompose with method 'nmf' or 'mcr', weighting 'poisson' "
            f"and without closure; received {method!r} with {sorted(map(str, decomposed.data_vars))}"
        )
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 2:
        raise DataError(f"draws is a whole number of at least 2; received {draws!r}")
