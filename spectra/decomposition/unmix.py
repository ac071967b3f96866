"""The abundances of spectra that are known, with their errors."""

from __future__ import annotations

import xarray as xr

import fusion
from fusion import provenance, units
from fusion.conventions import kind, signal_dim, stderr_name
from fusion.errors import DataError
from fusion.variables import real_variable
from spectra.decomposition.unfolding import labelled, on_axis, problem, restored
from spectra.factorisation.least_squares import nnls
from spectra.factorisation.uncertainty import fit_errors
from spectra.factorisation.weighting import Weighting


def unmix(
    ds: xr.Dataset, endmember: xr.DataArray, *, weighting: Weighting | None = "poisson", closure: bool = False
) -> xr.Dataset:
    """Fit the spectra of a map by known endmembers: non-negative least squares, with the errors of Poisson noise.

    Parameters
    ----------
    ds : Dataset
        A map with one spectral variable, dims (z, y, x, signal), in memory or lazy.
    endmember : DataArray, (component, signal)
        On the signal axis of the map, not negative. Dimensionless, so that abundances carry the units of the map (in
        counts, if the endmembers have unit sum), or in the units of the map, so that abundances are numbers.
    weighting : {"poisson", None}
        ``"poisson"`` divides by the square roots of the mean image and the mean spectrum.
    closure : bool
        Whether the abundances of each pixel sum to one (fully constrained least squares).

    Returns
    -------
    Dataset
        Like that of `decompose`, the components in the order that was given: ``abundance``, ``endmember``,
        ``explained_variance``, and of counts (``cell_methods`` sum), with ``"poisson"`` and without `closure`,
        ``abundance_stderr``. 1.96 of it cover 95 % of what the endmembers as they were given amount to; at a bound
        it is that of the fit without.

    Raises
    ------
    DataError
        If the endmembers do not fit the map, or its values are not finite, or negative under ``"poisson"``.
    ConventionError
        If the dataset breaks the conventions.

    References
    ----------
    D. C. Heinz and C.-I. Chang, IEEE Trans. Geosci. Remote Sens. 39, 529 (2001).

    Examples
    --------
    >>> from fusion import Axis
    >>> pure = xr.DataArray([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]], {"energy": [0.0, 1.0, 2.0]}, ("component", "energy"))
    >>> ds = fusion.dataset({"counts": (("x", "energy"), [[50, 50, 0], [10, 20, 10]])},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 1.0)}, name="map", cell_methods="sum")
    >>> unmix(ds, pure)["abundance"].round(6).values
    array([[100.,   0.],
           [ 20.,  20.]])
    """
    array = real_variable(fusion.check(ds))
    spectra = on_axis(endmember, array)
    unit = _unit(endmember, array)
    matrix = problem(array, weighting, stream=True)
    # Minimises Σ_j (d_j - Σ_k a_k e_kj)² / (r c_j) over a ≥ 0 in each pixel, r c_j the rank-one approximation of the
    # Poisson variance. Only E W Eᵀ and D W Eᵀ are needed, so the map itself is read once.
    known = spectra[:, matrix.channels] / matrix.by_channel
    if not known.any(axis=1).all():
        raise DataError(f"{array.name}: a spectrum has nothing in the channels where the map has counts")
    # The weighted scores are a / √r: a sum of one becomes a sum of 1 / √r.
    total = 1.0 / matrix.by_pixel if closure else None
    scores = nnls(known @ known.T, matrix.matrix @ known.T, total)
    abundance = scores * matrix.by_pixel[:, None]
    attrs = {"units": unit}
    variables = {
        "abundance": (("pixel", "component"), restored(abundance, matrix.pixels, axis=0), attrs),
        "endmember": (("component", signal_dim(array)), spectra, {"units": endmember.attrs.get("units", "1")}),
        "explained_variance": (("component",), matrix.shares(scores, known), {}),
    }
    if matrix.weights.counts and kind(array) == "sum" and not closure:
        error = fit_errors(abundance, spectra[:, matrix.channels], matrix.by_channel**2)
        variables[stderr_name("abundance")] = (("pixel", "component"), restored(error, matrix.pixels, axis=0), attrs)
    how = {"decomposition": "unmix", "weighting": matrix.weights.name}
    result = labelled(variables, ds, array, len(spectra), how)
    return provenance.record(
        result, "spectra.unmix", {"endmember": endmember, "weighting": weighting, "closure": closure}
    )


def _unit(endmember: xr.DataArray, array: xr.DataArray) -> str:
    """Return the units of the abundances."""
    own, of_map = (units.parse(one.attrs.get("units", "1")) for one in (endmember, array))
    if own not in ("1", of_map):
        raise DataError(f"spectra in {own!r} cannot make up a map in {of_map!r}; give them in its units or in '1'")
    return "1" if own == of_map else of_map
