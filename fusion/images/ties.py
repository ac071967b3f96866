"""Tie points: where the parts of one image lie on another, for a specimen that bends between the two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import xarray as xr

from fusion import provenance
from fusion.errors import RegistrationError
from fusion.images.measures import Edges, measure
from fusion.images.parts import interleaved
from fusion.images.pictures import Array, at, finest_step, in_plane, moved, read, sampled
from fusion.images.verdict import CLEAR
from fusion.model import dataset
from fusion.progress import counted
from fusion.warp import Transform, as_parameters

_MOST: Final = 240_000
"""Pixels of the smaller image that are compared, about 500 across."""
_ACROSS: Final = 8
"""Tie points along the shorter side of the smaller image, where no spacing is given."""
_FULL: Final = 0.5
"""Share of a part that must lie in both images."""
_BESIDE: Final = 3
"""Steps about the best shift that belong to it, and to no other answer."""
_SURE: Final = 5.0
"""Standard deviations of the measure beside a peak, by which it must stand out."""
_FEWEST: Final = 6
"""Tie points, as a warp within a plane needs them."""


_NINE: Final = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], indexing="ij"), axis=-1).reshape(-1, 2)
_QUADRATIC: Final = np.linalg.pinv([[1.0, y, x, y * y / 2.0, y * x, x * x / 2.0] for y, x in _NINE])
"""From values at nine shifts to the coefficients of a paraboloid: constant, slopes, and curvatures yy, yx, xx."""


class _Tie(NamedTuple):
    """A point (y, x) of both images in um, its error along one axis, and how well the edges about it agree."""

    moving: Array
    fixed: Array
    sigma: float
    score: float


def tie_points(
    moving: xr.Dataset | xr.DataArray,
    fixed: xr.Dataset | xr.DataArray,
    transform: Transform,
    *,
    spacing: float | None = None,
    reach: float | None = None,
    variable_moving: str | None = None,
    variable_fixed: str | None = None,
    mask_moving: xr.DataArray | None = None,
    mask_fixed: xr.DataArray | None = None,
) -> xr.Dataset:
    """Find pairs of landmarks all over two images that `transform` brings nearly together.

    The images are divided into squares, and each is shifted on its own until the directions of its edges agree. A
    square without edges, or that fits in another place nearly as well, gives no pair. What bends between the two images
    (drift, a specimen that shrank, a lens) is then `fusion.register_landmarks` with ``model="warp"`` and
    ``absolute_sigma=False``.

    Parameters
    ----------
    moving, fixed : Dataset or DataArray, dims (y, x)
        As for `fusion.register_images`.
    transform : Affine or Warp
        From moving to fixed, within the plane, as of `fusion.register_images`. A square follows its slope, so that the
        warp of a first call makes a second one, with a smaller `spacing` and `reach`, more exact.
    spacing : float, optional
        Side of the squares in um; an eighth of the shorter side of the smaller image, if left out.
    reach : float, optional
        How far a square may lie from where `transform` brings it, in um; a quarter of `spacing`, and five
        pixels at least, if left out.
    variable_moving, variable_fixed : str, optional
        The image of a dataset that has several.
    mask_moving, mask_fixed : DataArray of bool, optional
        True where the image is to be used, on its own y and x.

    Returns
    -------
    Dataset (point, axis)
        ``moving`` and ``fixed``, y and x in um; ``sigma(point)``, the standard deviation of a pair along one axis in
        um, from the scatter of sixteen parts of its square, and true up to a factor that all share;
        ``score(point)``, the agreement in units of chance.

    Raises
    ------
    RegistrationError
        If `transform` leaves the plane or mirrors it, `spacing` or `reach` is out of range, or fewer than six squares
        have an answer.
    ConventionError, DataError, UnitError
        As for `fusion.register_images`.

    Notes
    -----
    A square is shifted as one: what bends within it is in no error. Of simulated pairs whose shifts are smooth over two
    and more squares, 95 % regions of the warp hold 96 to 97 %; over little more than one square they hold 84 to 89 %
    (``benchmarks/fusion/ties.py --length 0.085``), and a smaller `spacing` is needed.

    Examples
    --------
    >>> from fusion import Affine, Axis, dataset
    >>> from scipy.ndimage import gaussian_filter, shift
    >>> values = gaussian_filter(np.random.default_rng(0).normal(size=(128, 160)), 1.5)
    >>> axes = {"y": Axis("um", 0.5), "x": Axis("um", 0.5)}
    >>> fixed, off = (dataset({"image": (("y", "x"), v)}, axes, name="a", cell_methods="mean")
    ...               for v in (values, shift(-values, (0.0, 3.0))))
    >>> ties = tie_points(off, fixed, Affine.identity())
    >>> (ties["fixed"] - ties["moving"]).mean("point").values.round(1) + 0.0
    array([ 0. , -1.5])
    """
    ours = read(moving, variable_moving, mask_moving, "moving")
    theirs = read(fixed, variable_fixed, mask_fixed, "fixed")
    scale = float(np.sqrt(np.linalg.det(_tangent(transform, theirs.centre)[:2, :2])))
    shorter = min(float(ours.extent.min()) * scale, float(theirs.extent.min()))
    step = finest_step(ours, theirs, _MOST, scale)
    side = shorter / _ACROSS if spacing is None else float(spacing)
    far = max(side / 4.0, 5.0 * step) if reach is None else float(reach)
    if not (10.0 * step <= side <= shorter / 2.0 and 5.0 * step <= far <= side):
        raise RegistrationError(
            f"spacing is {10.0 * step:.3g} um (ten pixels) to {shorter / 2.0:.3g} um (half of the image), and reach "
            f"{5.0 * step:.3g} um to spacing; received spacing={side:.3g}, reach={far:.3g}"
        )
    edges = measure("orientation", sampled(ours, step / scale), sampled(theirs, step))
    assert isinstance(edges, Edges)
    squares = list(_squares(edges, transform, side, step))
    found = [_tie(square, far, step) for square in counted(squares, "tie points", "squares")]
    ties = [tie for tie in found if tie is not None]
    if len(ties) < _FEWEST:
        raise RegistrationError(
            f"{len(ties)} of {len(squares)} squares of {side:.3g} um have an answer of their own and {_FEWEST} are "
            "needed: see whether the transform brings the images together (volumes.plot_alignment), make spacing "
            "larger, or pick landmarks by hand (volumes.pick)"
        )
    call = {"spacing": spacing, "reach": reach, **as_parameters(transform)}
    return provenance.record(_labelled(ties), "fusion.tie_points", call)


def _tangent(transform: Transform, point: Array) -> Array:
    """Return the matrix (3, 3) on (y, x, 1) of a transform about the point that it brings to `point` (y, x)."""
    source = transform.inverse()(np.pad(point, (1, 0)))
    linear = in_plane(transform.jacobian(source), "the transform")
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, point - linear @ source[1:]
    return matrix


class _Square(NamedTuple):
    """The measure in a square of the fixed image, and the matrix (3, 3) that brings it nearly onto the moving one."""

    edges: Edges
    matrix: Array


def _squares(edges: Edges, transform: Transform, side: float, step: float) -> Iterator[_Square]:
    """Yield the squares that lie in both images far enough."""
    first = edges.points.min(axis=0)
    cells, owner = np.unique(((edges.points - first) / side).astype(np.intp), axis=0, return_inverse=True)
    picture = edges.moving.picture
    for number, cell in enumerate(cells):
        rows = np.flatnonzero(owner.ravel() == number)
        matrix = _tangent(transform, first + (cell + 0.5) * side)
        own = rows[at(picture, picture.weight, matrix, edges.points[rows]) > 0.5]
        if len(own) > _FULL * (side / step) ** 2:
            yield _Square(edges.part(own), matrix)


def _tie(square: _Square, reach: float, step: float) -> _Tie | None:
    """Return where a square lies; None where it has no answer of its own."""
    # The measure is S / sqrt(V), as in `fusion.images.search`, over all shifts in whole steps. What it is beside the
    # peak is what chance does: a peak within five standard deviations of that, or hardly above the highest of it, or at
    # the end of the search, tells nothing.
    (part, matrix), most = square, int(np.ceil(reach / step))
    offsets = np.arange(-most, most + 1)
    scores = np.array([[part(_shifted(matrix, step * np.array([i, j]))) for j in offsets] for i in offsets])
    best = np.unravel_index(int(scores.argmax()), scores.shape)
    within = [np.abs(offsets - offsets[index]) <= _BESIDE for index in best]
    beside = scores[~np.logical_and.outer(*within)]
    least = max(CLEAR * beside.max(), beside.mean() + _SURE * beside.std())
    shift = step * offsets[list(best)]
    if np.abs(shift).max() > (most - 0.5) * step or scores[best] < least:
        return None
    near_peak = _peak(part, matrix, shift, step)
    peak = near_peak and _peak(part, matrix, near_peak.shift, step)
    if peak is None:
        return None
    # what is known is the shift of the edges, which need not lie in the middle of the square
    answer = _shifted(matrix, peak.shift)
    fixed = np.average(part.points, axis=0, weights=part.energy(answer))
    sigma = float(np.sqrt(np.trace(peak.covariance) / 2.0))
    return _Tie(moved(np.linalg.inv(answer), fixed[None])[0], fixed, sigma, part(answer))


class _Peak(NamedTuple):
    """The shift (2,) in um at which a measure is largest, and its covariance."""

    shift: Array
    covariance: Array


def _peak(part: Edges, matrix: Array, shift: Array, step: float) -> _Peak | None:
    """Return the maximum near a shift of a matrix; None where it lies further off than a step."""
    # A paraboloid through nine shifts one step apart, in least squares, has its top at u = -H⁻¹ g. The measure is a sum
    # over sixteen interleaved parts of equal energy, f = Σ f_k / √K, so that g = Σ g_k / √K has the covariance of the
    # g_k, and u has H⁻¹ cov(g_k) H⁻¹: one linear estimator, and the same product squared. Edges are a few pixels wide
    # and reach from one part into the next: in small squares of noisy images it is up to two times too small.
    labels = interleaved(part.points, part.energy(_shifted(matrix, shift)))
    parts = [part.part(np.flatnonzero(labels == label)) for label in range(labels.max() + 1)]
    shifted = [_shifted(matrix, shift + step * offset) for offset in _NINE]
    (_, *slope, yy, yx, xx) = _QUADRATIC @ [part(each) for each in shifted]
    bend = np.array([[yy, yx], [yx, xx]])
    if np.linalg.eigvalsh(bend).max() >= 0.0:
        return None
    back = -np.linalg.inv(bend)
    off = back @ slope
    if np.abs(off).max() > 1.0:
        return None
    slopes = np.array([(_QUADRATIC @ [each(one) for one in shifted])[1:3] for each in parts])
    covariance = back @ np.cov(slopes.T) @ back
    return _Peak(shift + step * off, step**2 * (covariance + 1e-4 * np.eye(2)))


def _shifted(matrix: Array, shift: Array) -> Array:
    result = matrix.copy()
    result[:2, 2] += shift
    return result


def _labelled(ties: list[_Tie]) -> xr.Dataset:
    um = {"units": "um"}
    moving, fixed, sigma, score = (np.array(values) for values in zip(*ties, strict=True))
    variables = {
        "moving": (("point", "axis"), moving, um),
        "fixed": (("point", "axis"), fixed, um),
        "sigma": ("point", sigma, um),
        "score": ("point", score, {"units": "1"}),
    }
    return dataset(variables, {"axis": list("yx")}, name="tie points")
