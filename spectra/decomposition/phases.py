"""The spectrum of each phase of a map, from fractions of the phases that a segmentation gives."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import numpy as np
import xarray as xr

import fusion
from fusion import provenance, units
from fusion.affine import Affine
from fusion.conventions import error_of, signal_dim, spatial_dims, stderr_name, title
from fusion.display import edges
from fusion.errors import DataError, FrameError
from fusion.frames import affine_between
from fusion.model import require_data
from fusion.variables import real_variable
from fusion.warp import as_parameters
from spectra.decomposition.unfolding import labelled
from spectra.factorisation.phase_fit import MOST, Fit, Pixels, coarse_shift, fit
from spectra.factorisation.problem import Mask
from spectra.factorisation.shifted import Fractions
from spectra.factorisation.sparse import Array, entries, pixel_matrix
from spectra.factorisation.weighting import Weighting, weights_of

WORST: Final = 1e3
"""Condition number of the fractions from which two phases are not told apart."""


def phase_spectra(
    ds: xr.Dataset,
    fractions: xr.Dataset,
    *,
    transform: Affine | None = None,
    position: float | None = None,
    weighting: Weighting | None = "poisson",
) -> xr.Dataset:
    """Fit one spectrum for each phase to all pixels of a map, each of which may hold several phases.

    The mean spectrum under the mask of a phase has in it what the pixels at its border see of others; here each pixel
    is the sum of its phases by their fractions.

    Parameters
    ----------
    ds : Dataset
        A map with one spectral variable, dims (z, y, x, signal).
    fractions : Dataset
        One variable over the same spatial dims and ``component``, the phases, from 0 to 1. On the grid of the map,
        or on a finer one that is not turned against it, which may reach beyond the map. They are expected shares, as
        the mean probabilities of a segmentation are. If the variable has a standard error, the true shares scatter
        so much about them: they sum to one in each pixel, and pixels are independent. Pixels where a fraction is NaN
        are left out.
    transform : Affine, optional
        Maps coordinates of `ds` to coordinates of `fractions`; left out, it is what the two poses say.
    position : float, optional
        Standard error in um, along each axis, of where the fractions lie on the map. Left out, it is what the
        covariance of the transform says in the middle of the map.
    weighting : {"poisson", None}
        Whether values are counts, whose variance is their mean; else one variance in each channel, from the residuals.

    Returns
    -------
    Dataset
        ``endmember`` (component, signal), the spectrum of a pixel that one phase fills, in the unit of the map, with
        ``endmember_stderr`` and ``covariance`` (component, other_component, signal) between the phases. It is not kept
        from falling below zero, which it does within its error: so it has no bias where a phase has no counts.
        ``fraction_of_counts`` (component). Where the position has an error, ``shift`` (axis) in um with its error: the
        fractions are found at the map's coordinates plus this. Attributes: ``condition``, the condition number of
        the fractions; ``excess``, the median over channels of the scatter of the residuals over that of the model, by
        which errors are widened where it is above 1: a phase that is not uniform has such an excess.
        Where the error of the position or of a fraction is not known, errors are NaN.

    Raises
    ------
    DataError
        If the fractions do not fit the map, are not from 0 to 1, reach over too few pixels, or two phases always come
        together; or if values of the map are not finite, or negative under ``"poisson"``.
    FrameError
        If fractions and map lie turned against each other, or in different frames.

    Notes
    -----
    Minimises Σ (d - F(δ) E)² / v + Σ (δ / σ)² over the spectra E and the shift δ, with v = F E for counts. Fractions
    that are expectations: J. Berkson, J. Am. Stat. Assoc. 45, 164 (1950). Scatter beyond the model: P. McCullagh and
    J. A. Nelder, Generalized Linear Models (Chapman and Hall, 1989), section 9.2.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> um, energy = Axis("um", 1.0), Axis("keV", 1.0)
    >>> share = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5], [0.0, 1.0]])
    >>> pure = np.array([[80.0, 0.0, 40.0], [0.0, 60.0, 20.0]])
    >>> ds = dataset({"counts": (("x", "energy"), share @ pure)}, {"x": um, "energy": energy}, name="map",
    ...              cell_methods="sum")
    >>> phases = dataset({"fraction": (("x", "component"), share)}, {"x": um, "component": ["oxide", "metal"]},
    ...                  name="phases", cell_methods="mean", frame="map")
    >>> phase_spectra(ds, phases)["endmember"].sel(component="metal").values.round(6) + 0.0
    array([ 0., 60., 20.])
    """
    array, shares = real_variable(fusion.check(ds)), real_variable(fusion.check(fractions))
    require_data(array, smallest=1)
    scene, sigma = _scene(ds, array, fractions, shares, affine_between(ds, fractions, transform))
    sigma = sigma if position is None else np.full_like(sigma, _checked(position))
    known = np.nan_to_num(sigma)
    pixels = _pixels(array, fractions, shares, scene, known, weights_of(weighting).counts)
    condition = _condition(scene.at(np.zeros(known.size))[pixels.used], shares)
    found = fit(pixels, scene, known, _start(pixels, scene, known) if known.any() else known)
    unsure = np.isnan(sigma).any() or _is_unknown(fractions, shares)
    variables = _variables(array, found, scene, pixels, np.nan if unsure else 1.0)
    attrs = {"condition": condition, "excess": float(np.median(found.excess)), "weighting": str(weighting or "none")}
    result = labelled(variables, ds, array, shares.sizes["component"], attrs)
    if "component" in shares.coords:
        result = result.assign_coords(component=shares["component"].values)
    parameters = {**as_parameters(transform), "position": position, "weighting": weighting}
    return provenance.record(result, "spectra.phase_spectra", parameters, parents=[fractions])


def _scene(
    ds: xr.Dataset, array: xr.DataArray, fractions: xr.Dataset, shares: xr.DataArray, transform: Affine
) -> tuple[Fractions, Array]:
    """Return the fractions in the coordinates of the map, and the error of the position; NaN where it is not known."""
    spatial = spatial_dims(array)
    if set(shares.dims) != {*spatial, "component"}:
        raise DataError(
            f"fractions lie over {(*spatial, 'component')}, as the map does; received {shares.dims}; bring a volume "
            "onto the map first, e.g. by fusion.resample"
        )
    values = shares.transpose(*spatial, "component").values.astype(np.float64)
    if (values < -1e-9).any() or (values > 1 + 1e-9).any() or not np.isfinite(values).any():
        raise DataError(f"{title(fractions)}: fractions run from 0 to 1; received {np.nanmin(values):.3g} to "
                        f"{np.nanmax(values):.3g}")  # fmt: skip
    offset, sigma = _offset(ds, fractions, spatial, transform)
    pixels = tuple(edges(array[dim].values) + step for dim, step in zip(spatial, offset, strict=True))
    return Fractions(values, tuple(edges(shares[dim].values) for dim in spatial), pixels), sigma


def _checked(position: float) -> float:
    if not (np.isfinite(position) and position >= 0):
        raise DataError(f"position is a standard error in um, 0 where it is known; received {position!r}")
    return float(position)


def _offset(ds: xr.Dataset, fractions: xr.Dataset, spatial: tuple[str, ...], transform: Affine) -> tuple[Array, Array]:
    """Return what is added to positions of the map to find them in the fractions, and its standard error."""
    axes = ["zyx".index(dim) for dim in spatial]
    if not np.allclose(transform.matrix[np.ix_(axes, axes)], np.eye(len(axes)), atol=1e-6):
        raise FrameError(
            f"{title(fractions)} lies turned or stretched against {title(ds)}; bring it onto the map with "
            "fusion.resample, and give the error of the registration as position="
        )
    if transform.covariance is None:
        return transform.matrix[axes, 3], np.full(len(axes), np.nan)
    # a shift alone, of the size that the registration's error has in the middle of the map: its turn is much smaller
    # there than at the corners of what is registered
    middle = [float(ds[dim].mean()) if dim in ds.coords else 0.0 for dim in "zyx"]
    return transform.matrix[axes, 3], np.sqrt(np.diag(transform.covariance_at(middle))[axes])


def _pixels(
    array: xr.DataArray, fractions: xr.Dataset, shares: xr.DataArray, scene: Fractions, sigma: Array, counts: bool
) -> Pixels:
    matrix = pixel_matrix(array, signal_dim(array))
    lowest = float(matrix.min())
    if not np.isfinite(entries(matrix)).all():
        raise DataError(f"{array.name}: NaN or infinite values; crop the map, or set masked channels to zero")
    if counts and lowest < 0:
        raise DataError(f"{array.name}: negative values, which counts never have; give weighting=None")
    used = _covered(scene, sigma)
    least = shares.sizes["component"] + 2
    if used.sum() < least:
        raise DataError(
            f"{title(fractions)}: fractions are known in {int(used.sum())} of {used.size} pixels of the map, for each "
            f"shift up to {MOST:g} standard errors; at least {least} are needed, from fractions that reach further"
        )
    return Pixels(matrix, used, _noise(fractions, shares, scene), counts)


def _covered(scene: Fractions, sigma: Array) -> Mask:
    """Return the pixels whose fractions are known wherever the position may be."""
    # a corner of the range covers what lies between, but for a NaN amid the cells, which halves of the way find
    reach = MOST * sigma + np.where(sigma > 0, [float(np.diff(cells).min()) for cells in scene.cells], 0.0)
    ways = product(*([-1.0, -0.5, 0.0, 0.5, 1.0] if far > 0 else [0.0] for far in reach))
    return np.asarray(np.all([np.isfinite(scene.at(reach * np.array(way))).all(axis=1) for way in ways], axis=0))


# Shares of one pixel sum to one, so that their errors sum to zero: of two phases e and -e. For more phases only the
# variances are known; equal correlations of -1 / (k - 1) make the sum zero where the variances are alike. Errors of the
# cells in a pixel are independent, so that their covariances average with the square of each cell's share.
def _noise(fractions: xr.Dataset, shares: xr.DataArray, scene: Fractions) -> Array | None:
    """Return the covariance (pixel, phase, phase) of the fractions of each pixel of the map."""
    name = error_of(shares)
    if name is None or _is_unknown(fractions, shares):
        return None
    error = fractions[name].transpose(*spatial_dims(shares), "component").values.astype(np.float64)
    size = error.shape[-1]
    alike = np.eye(size) if size == 1 else (size * np.eye(size) - 1.0) / (size - 1.0)
    pairs = (error[..., :, None] * error[..., None, :] * alike).reshape(*error.shape[:-1], size * size)
    whole = Fractions(pairs, scene.cells, scene.pixels)
    return whole.at(np.zeros(len(scene.cells)), power=2).reshape(-1, size, size)


def _is_unknown(fractions: xr.Dataset, shares: xr.DataArray) -> bool:
    """Whether fractions that are known have an error that is not."""
    name = error_of(shares)
    return name is not None and bool((fractions[name].isnull() & shares.notnull()).any())


# The ratio of the largest to the smallest singular value of F with columns of unit length: by how much an error of the
# counts may grow in the spectra because phases go together, whatever the amount of each. The smallest singular vector
# is the mixture of phases that the pixels hardly tell from nothing.
def _condition(known: Array, shares: xr.DataArray) -> float:
    scaled = known / np.maximum(np.linalg.norm(known, axis=0), np.finfo(float).tiny)
    _, values, vectors = np.linalg.svd(scaled, full_matrices=False)
    condition = float(values[0] / max(values[-1], 1e-15))
    if condition > WORST:
        names = shares["component"].values if "component" in shares.coords else np.arange(len(values))
        first, second = np.argsort(-np.abs(vectors[-1]))[:2] if len(values) > 1 else (0, 0)
        raise DataError(
            f"the fractions of {names[first]} and {names[second]} go together in all pixels, or one has none "
            f"(condition number {condition:.2g}, at most {WORST:g}); make one phase of the two, or take smaller pixels"
        )
    return condition


def _start(pixels: Pixels, scene: Fractions, sigma: Array) -> Array:
    """Return the shift from which the fit goes on."""
    weights = weights_of("poisson" if pixels.counts else None)
    sums = (pixels.matrix.sum(axis=axis) for axis in (1, 0))
    # next to no counts are as little sure as a hundredth of the mean
    by_pixel, by_channel = (np.maximum(each, max(0.01 * each.mean(), np.finfo(float).tiny)) for each in sums)
    return coarse_shift(pixels, weights.by_pixel(by_pixel), weights.by_channel(by_channel), scene, sigma)


def _variables(array: xr.DataArray, found: Fit, scene: Fractions, pixels: Pixels, known: float) -> dict[str, Any]:
    signal, unit = signal_dim(array), str(array.attrs.get("units", "1"))
    variances = np.diagonal(found.covariance, axis1=1, axis2=2).T
    counts = scene.at(found.shift)[pixels.used].sum(axis=0) * found.spectra.sum(axis=1)
    square = {"units": unit if unit == "1" else units.parse(f"({unit})**2"), "long_name": "covariance of endmembers"}
    variables = {
        "endmember": (("component", signal), found.spectra, {"units": unit}),
        stderr_name("endmember"): (("component", signal), np.sqrt(variances) * known, {"units": unit}),
        "covariance": (("component", "other_component", signal), np.moveaxis(found.covariance, 0, 2) * known, square),
        "fraction_of_counts": (("component",), counts / counts.sum(), {"units": "1"}),
    }
    if found.shift_covariance.any():
        variables["shift"] = (("axis",), found.shift, {"units": "um"})
        variables[stderr_name("shift")] = (("axis",), np.sqrt(np.diag(found.shift_covariance)), {"units": "um"})
    return variables
