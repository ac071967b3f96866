"""Registration by landmarks: the transform that brings one dataset onto another, and how well it is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, get_args, overload

import numpy as np
import numpy.typing as npt

from fusion.affine import Affine
from fusion.errors import FrameError, RegistrationError
from fusion.registration.bending import register_warp
from fusion.registration.fit import Fit, fewest, fit
from fusion.registration.outliers import (
    ACCUSED,
    agreeing,
    explained,
    fit_residuals,
    is_mirrored,
    left_out,
    refuse_unordered,
)
from fusion.registration.pairs import Landmarks, Pairs, read_pairs
from fusion.registration.result import Model, Outliers, Registration, as_kept, as_left_out, as_residuals
from fusion.registration.spread import is_flat
from fusion.warp import Warp

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_LOOSE: Final = 0.5
"""Standard deviation of a turn (rad) or a relative stretch beyond which the error is no longer linear in it."""
_UNLIKELY: Final = 1e-3
_FREEDOM: Final = 5


@overload
def register_landmarks(
    moving: Landmarks,
    fixed: Landmarks,
    *,
    model: Model,
    sigma: npt.ArrayLike | None = None,
    sigma_moving: npt.ArrayLike | None = None,
    sigma_fixed: npt.ArrayLike | None = None,
    absolute_sigma: bool = True,
    outliers: Outliers = "refuse",
) -> Registration[Affine]: ...


@overload
def register_landmarks(
    moving: Landmarks,
    fixed: Landmarks,
    *,
    model: Literal["warp"],
    sigma: npt.ArrayLike | None = None,
    sigma_moving: npt.ArrayLike | None = None,
    sigma_fixed: npt.ArrayLike | None = None,
    absolute_sigma: bool = True,
    outliers: Outliers = "refuse",
) -> Registration[Warp]: ...


def register_landmarks(
    moving: Landmarks,
    fixed: Landmarks,
    *,
    model: Model | Literal["warp"],
    sigma: npt.ArrayLike | None = None,
    sigma_moving: npt.ArrayLike | None = None,
    sigma_fixed: npt.ArrayLike | None = None,
    absolute_sigma: bool = True,
    outliers: Outliers = "refuse",
) -> Registration[Affine] | Registration[Warp]:
    """Fit a transform to pairs of landmarks by maximum likelihood.

    Parameters
    ----------
    moving, fixed : array_like (n, 3) or (n, 2), or Dataset with coordinates z, y, x along ``point``
        The same points in both datasets, in um, z, y, x. Two columns (y, x) fit a transform within the plane; two
        columns of `moving` and three of `fixed` place a section in a volume.
    model : {"rigid", "similarity", "affine", "warp"}
        Rotation and shift; with one scale; any linear map and shift; or that and smooth bending, as a Gaussian process
        whose size and length are those that the landmarks allow.
    sigma : float or array_like (n,), (1, 3), (n, 3), (1, 3, 3) or (n, 3, 3), optional
        Standard deviation in um of a pair in the fixed frame: how far off fixed minus moving may be along one axis;
        or covariances in um². Left out with the two below, all pairs are equal and their error is estimated from the
        residuals, with the degrees of freedom that they have.
    sigma_moving, sigma_fixed : likewise, optional
        Of the landmarks of either side, in the coordinates of that side.
    absolute_sigma : bool
        Whether the errors are what they say. Where it is False they are known up to a factor, as those of
        `fusion.tie_points`, which is estimated from the residuals, as by `scipy.optimize.curve_fit`.
    outliers : {"refuse", "drop", "keep"}
        What to do with pairs that do not fit the others: refuse the set and name them, leave them out of the fit, or
        fit all pairs.

    Returns
    -------
    Registration
        With the covariance of the transform, to first order: the inverse of the Fisher information. That of a warp
        is NaN outside the hull of the landmarks (`fusion.Warp.covariance_at` states it on demand).

    Raises
    ------
    RegistrationError
        If the landmarks are too few, coincide, repeat one another, are mirrored, lie so near to a line or plane that
        sigma leaves the model open, or scatter by more than sigma; if a warp folds; under "refuse" also if pairs do not
        fit the others.

    Notes
    -----
    Minimises the sum of r' S⁻¹ r with S = C_fixed + A C_moving Aᵀ, which changes with the transform A, from the closed
    form of Umeyama, IEEE Trans. Pattern Anal. 13, 376 (1991). A warp is universal kriging with a Matérn 5/2
    covariance, averaged over its restricted likelihood (`fusion.registration.bending`).

    Examples
    --------
    >>> moving = np.array([[0.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0], [2.0, 1.0, 3.0]])
    >>> result = register_landmarks(moving, moving + [0.0, 1.0, 2.0], model="rigid", sigma=0.1)
    >>> result.transform([0.0, 0.0, 0.0]).round(6) + 0.0
    array([0., 1., 2.])
    >>> round(float(result.tre([[0.0, 0.0, 0.0]])[0]), 3)
    0.121
    """
    for name, value, accepted in (
        ("model", model, (*get_args(Model), "warp")), ("outliers", outliers, get_args(Outliers))
    ):  # fmt: skip
        if value not in accepted:
            raise RegistrationError(f"unknown {name} {value!r}; accepted are {', '.join(accepted)}")
    pairs = read_pairs(moving, fixed, sigma, sigma_moving, sigma_fixed, absolute_sigma)
    return register_warp(pairs, outliers) if model == "warp" else _register_affine(pairs, model, outliers)


def _register_affine(pairs: Pairs, model: Model, outliers: Outliers) -> Registration[Affine]:
    needed = fewest(model, pairs.dim, pairs.columns)
    if len(pairs) < needed:
        raise RegistrationError(f"{model} needs at least {needed} pairs of landmarks; received {len(pairs)}")
    if model != "affine":
        _refuse_mirrored(pairs, model)
    # Fitted about the centroids: there shift and turn are nearly uncorrelated and the numbers are of the size of the
    # scatter, where stage coordinates of 10⁵ µm would cost half the digits of a turn.
    centre, onto = pairs.moving.mean(axis=0), pairs.fixed.mean(axis=0)
    centred = replace(pairs, moving=pairs.moving - centre, fixed=pairs.fixed - onto)
    result = fit(centred, model)
    kept = np.ones(len(pairs), bool)
    if outliers != "keep":
        kept = _judged(centred, result, model, outliers)
        result = result if kept.all() else fit(centred.take(kept), model)
        _refuse_flat(centred.take(kept), result, model)
    if model == "affine":
        _refuse_mirrored(pairs.take(kept), model)
    scale = _scale(result, pairs)
    return _registration(centred, result, kept, scale, model, (centre, onto))


def _refuse_mirrored(pairs: Pairs, model: Model) -> None:
    if is_mirrored(pairs, model):
        raise RegistrationError("the landmarks are mirrored: one axis of moving or fixed runs the other way; turn it")


def _judged(pairs: Pairs, result: Fit, model: Model, outliers: Outliers) -> Mask:
    """Return which pairs belong together; refuse the set if there is no doubt that some do not, or none do."""
    everything = np.ones(len(pairs), bool)
    # Every pair is compared with the fit of the others (deleted residual, F or χ²), at a level divided by their number
    # (Bonferroni), so that a right set is accused as rarely whether it has five pairs or thirty.
    accused = (left_out(result, pairs).p < ACCUSED / len(pairs)).any()
    if pairs.known and not accused and not _is_unlikely(result):
        return everything
    kept = agreeing(pairs, model)
    enough = len(pairs) > fewest(model, pairs.dim, pairs.columns) + 1
    # several pairs are not taken for false on the word of a fit with hardly any freedom
    lost = int((~kept).sum())
    few = lost >= len(pairs) / 2 or (lost > 1 and fit(pairs.take(kept), model).dof < _FREEDOM)
    if (few or kept.all()) and enough:
        refuse_unordered(pairs, model)
    if few:
        raise RegistrationError("no majority of the pairs agrees on one transform; measure them anew")
    if not kept.all() and outliers == "refuse":
        raise RegistrationError(f"{explained(pairs, model, kept)}; or pass outliers='drop' or 'keep'")
    if kept.all() and pairs.known and _is_unlikely(result):
        raise RegistrationError(
            f"the landmarks scatter {np.sqrt(result.chi2 / result.dof):.3g} times as far as sigma says, and no few "
            "pairs are to blame: sigma is too small, or the model too narrow"
        )
    return kept


def _is_unlikely(result: Fit) -> bool:
    from scipy.special import chdtrc

    return bool(result.dof > 0 and chdtrc(result.dof, result.chi2) < _UNLIKELY)


def _scale(result: Fit, pairs: Pairs) -> float | None:
    """Return the factor of the variances: 1 where they are known, else estimated; None where it cannot be."""
    if pairs.known:
        return 1.0
    if result.dof <= 0:
        return None
    # s² = χ² / (n d - k), unbiased for errors that are right up to a factor. Landmarks that fit perfectly are not
    # perfect: their coordinates are rounded.
    return max(result.chi2 / result.dof, pairs.rounding)


def _refuse_flat(pairs: Pairs, result: Fit, model: Model) -> None:
    """Refuse landmarks whose spread across a line or plane is that of their error, or leaves a turn almost open."""
    scale = _scale(result, pairs)
    if scale is None:
        return
    # The covariance is first order in the parameters. A turn known to half a radian moves a point along a bow and not
    # along its tangent, so no finite ellipse is true: the set is refused instead. An affine map is linear in its
    # parameters, so that its error holds at any size.
    turns = np.sqrt(scale * np.diag(result.parameters))[: -pairs.dim]
    loose = model != "affine" and turns.max(initial=0.0) > _LOOSE
    if loose or is_flat(pairs, model, scale, np.inf if pairs.known else result.dof):
        raise RegistrationError(
            f"the landmarks lie too near to one line or plane for their error, which leaves the {model} model open; "
            "add landmarks off it, or use a model with fewer parameters"
        )


def _registration(
    pairs: Pairs, result: Fit, kept: Mask, scale: float | None, model: Model, centres: tuple[Array, Array]
) -> Registration[Affine]:
    from scipy.special import chdtrc

    matrix, spread = _embedded(result.matrix, None if scale is None else scale * result.covariance)
    dof = np.inf if pairs.known else float(result.dof)
    first, last = (np.pad(centre, (3 - len(centre), 0)) for centre in centres)
    try:
        middle = Affine(matrix, covariance=spread, dof=dof if spread is not None else np.inf)
        # Back to the user's coordinates by exact shifts: composing them carries the covariance of turn and scale into
        # that of the shift, which grows with the distance of the origin from the landmarks.
        transform = Affine.translation(*last) @ middle @ Affine.translation(*-first)
    except FrameError as error:
        raise RegistrationError(f"the landmarks do not give a usable {model} transform: {error}") from error
    total = pairs.fixed_covariance + pairs.moving_covariance
    given = float(np.sqrt(np.trace(total, axis1=1, axis2=2).mean() / pairs.dim))
    residuals = np.pad(fit_residuals(pairs, result.matrix), ((0, 0), (3 - pairs.dim, 0)))
    return Registration(
        transform=transform,
        residuals=as_residuals(residuals),
        model=model,
        sigma=None if scale is None else given * float(np.sqrt(scale)),
        chi2=result.chi2 if pairs.known else np.nan,
        dof=dof,
        p=float(chdtrc(result.dof, result.chi2)) if pairs.known and result.dof > 0 else np.nan,
        left_out=as_left_out(*left_out(result, pairs), kept),
        kept=as_kept(kept),
        columns=pairs.columns,
    )


def _embedded(matrix: Array, covariance: Array | None) -> tuple[Array, Array | None]:
    """Return matrix and covariance in three dimensions; a transform within the plane leaves z as it is, exactly."""
    dim = len(matrix) - 1
    inner = slice(3 - dim, None)
    full = np.eye(4)
    full[inner, inner] = matrix
    if covariance is None:
        return full, None
    spread = np.zeros((3, 4, 3, 4))
    spread[inner, inner, inner, inner] = covariance.reshape(dim, dim + 1, dim, dim + 1)
    return full, spread.reshape(12, 12)
