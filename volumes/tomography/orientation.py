"""How the projections of a tilt series lie in a volume, estimated from the data where no file says it."""

from __future__ import annotations

from itertools import product
from typing import Final, NamedTuple

import numpy as np
import xarray as xr

from fusion.affine import Affine
from fusion.conventions import spatial_dims
from fusion.errors import DataError
from fusion.progress import counted
from volumes.tomography.projection import Array, all_projections, cube_of, project
from volumes.tomography.shift import step_along

_SMOOTH: Final = 1.0
"""Standard deviation in pixels of the Gaussian that suppresses noise before views are compared."""
_LEAST: Final = 0.15
"""Pixels below this share of the largest mean are background and left out."""
_SLOPES: Final = np.concatenate([np.arange(-20.0, -0.9, 0.5), np.arange(1.0, 20.1, 0.5)])
"""Degrees from view to view that are tried; 0 would be no tilt series."""


class Orientation(NamedTuple):
    """How a series of views sits on a volume.

    Attributes
    ----------
    tilt_axis : str
        The axis of the volume about which the specimen was turned.
    angles : DataArray
        Angle of each view in degrees, along the dim of the views, from the straight line through the best angles.
        At 0 the beam runs along the first of the two other axes, at 90 along the second one, backwards.
    free_angles : DataArray
        The best angle of each view on its own.
    untilted : int
        The view in the middle of the series: the one without tilt, if the series is symmetric.
    transposed, flipped : bool
        Whether the columns of a view run along the tilt axis, and whether it runs backwards.
    table : DataArray, dims (tilt_axis, transposed, flipped)
        Mean correlation of what changes from view to view with what changes from angle to angle, for each way in
        which the views could sit on the volume. The largest one was taken.
    shift : tuple of float
        Mean offset (rows, columns) of the views against the volume's projections, in um; the poses contain it.
    poses : list of Affine
        For each view the transform of its coordinates (z along the beam, y, x) to those of the volume.
    """

    tilt_axis: str
    angles: xr.DataArray
    free_angles: xr.DataArray
    untilted: int
    transposed: bool
    flipped: bool
    table: xr.DataArray
    shift: tuple[float, float]
    poses: list[Affine]


def orient(views: xr.DataArray, volume: xr.DataArray, *, bins: int = 2, step: float = 5.0) -> Orientation:
    """Find tilt axis, angles and in-plane orientation of a tilt series by correlation with a volume.

    A specimen has much the same shape from all sides, so plain correlations discriminate poorly. What is compared are
    residuals: each view less the mean of the views, and each computed projection less the mean over the same series
    of angles. The mean over all angles would favour series that are too wide.

    Parameters
    ----------
    views : DataArray (y, x, view)
        Projections, in order of their tilt, at even steps; the pixel size is that of the volume.
    volume : DataArray (z, y, x)
        A tomogram of the same specimen with voxels of equal sides.
    bins : int
        Pixels and voxels that are summed along each axis before anything is compared.
    step : float
        Distance of the angles that are tried, in degrees.

    Returns
    -------
    Orientation
        The direction of the turn and the zero of the angles hold as far as the volume's own axes do; a specimen that
        is symmetric leaves them open.

    Raises
    ------
    DataError
        If the views or the volume do not have the dims and sizes that are needed.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> rng = np.random.default_rng(0)
    >>> from scipy.ndimage import gaussian_filter
    >>> blobs = gaussian_filter(rng.normal(size=(24, 24, 24)), 2.0) ** 2
    >>> um = {dim: Axis("um", 1.0) for dim in "zyx"}
    >>> volume = dataset({"v": (("z", "y", "x"), blobs)}, um, name="v", cell_methods="mean")["v"]
    >>> from scipy.ndimage import rotate
    >>> turned = [rotate(blobs, angle, axes=(0, 1), reshape=False, order=1) for angle in range(-30, 31, 10)]
    >>> series = np.stack([cube.sum(0).T for cube in turned], -1)
    >>> views = dataset({"v": (("y", "x", "channel"), series)}, {"y": um["y"], "x": um["x"], "channel": range(7)},
    ...                 name="views", cell_methods="sum")["v"]
    >>> orient(views, volume, bins=1).tilt_axis
    'x'
    """
    dim = _view_dim(views, volume)
    images = _binned(np.moveaxis(views.values, views.dims.index(dim), -1).astype(np.float32), bins, (0, 1))
    cube = cube_of(volume.values.astype(np.float32))
    small = _binned(cube, bins, (0, 1, 2))
    angles = np.arange(0.0, 360.0, step)
    scores, lines, best = {}, {}, {}
    for index, axis in enumerate(spatial_dims(volume)):
        computed = all_projections(small, index, angles[: angles.size // 2])
        for transposed, flipped in product((False, True), (False, True)):
            rows = _rows(_turned(images, transposed, flipped), computed)
            key = (axis, transposed, flipped)
            scores[key], lines[key], free = _line(*rows, step)
            best[key] = angles[free]
    winner = max(scores, key=scores.__getitem__)
    axis, transposed, flipped = winner
    start, slope = lines[winner]
    fitted = (start + slope * np.arange(images.shape[-1])) % 360.0
    offset = _shift(images, small, spatial_dims(volume).index(axis), fitted, transposed, flipped)
    shift = (offset[0] * bins * step_along(views, "y"), offset[1] * bins * step_along(views, "x"))
    attrs = {"units": "degree", "long_name": "angle of the view"}
    return Orientation(
        tilt_axis=axis,
        angles=xr.DataArray(fitted, dims=(dim,), attrs=attrs),
        free_angles=xr.DataArray(best[winner], dims=(dim,), attrs=attrs),
        untilted=images.shape[-1] // 2,
        transposed=transposed,
        flipped=flipped,
        table=_table(scores, spatial_dims(volume)),
        shift=shift,
        poses=[_pose(angle, views, volume, winner, shift) for angle in fitted],
    )


def _view_dim(views: xr.DataArray, volume: xr.DataArray) -> str:
    others = [str(dim) for dim in views.dims if dim not in ("y", "x")]
    if len(others) != 1 or views.ndim != 3 or volume.dims != ("z", "y", "x"):
        raise DataError(
            f"views (y, x, view) and a volume (z, y, x) are needed; received dims {views.dims} and {volume.dims}"
        )
    steps = {round(step_along(volume, dim), 9) for dim in ("z", "y", "x")} | {
        round(step_along(views, d), 9) for d in ("y", "x")
    }
    if len(steps) > 1 or views.sizes[others[0]] < 3:
        raise DataError(f"three views at least and one pixel size are needed; received steps {sorted(steps)} um")
    return others[0]


def _binned(values: Array, bins: int, axes: tuple[int, ...]) -> Array:
    for axis in axes:
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], bins), axis=axis)
    return values


def _turned(images: Array, transposed: bool, flipped: bool) -> Array:
    """Return the views with the tilt axis down the rows, in the direction of the volume."""
    turned = images.swapaxes(0, 1) if transposed else images
    return turned[::-1] if flipped else turned


def _rows(images: Array, computed: Array) -> tuple[Array, Array, float]:
    """Return views and projections as rows of pixels with mean 1, and the correlation of their means."""
    from scipy.ndimage import gaussian_filter

    if images.shape[:2] != computed.shape[:2]:
        raise DataError(f"views and volume differ in size: {images.shape[:2]} and {computed.shape[:2]} pixels")
    sets = [gaussian_filter(values, (_SMOOTH, _SMOOTH, 0.0)) for values in (images, computed)]
    means = [values.mean(axis=-1) for values in sets]
    seen = np.logical_or.reduce([mean > _LEAST * mean.max() for mean in means])
    # Each view is divided by its own mean: beam current and exposure differ from view to view.
    views, projections = (values[seen].T / values[seen].mean(axis=0)[:, None] for values in sets)
    likeness = np.corrcoef(means[0].ravel(), means[1].ravel())[0, 1]
    return views, projections, max(float(likeness), 0.0)


def _line(views: Array, computed: Array, likeness: float, step: float) -> tuple[float, tuple[float, float], Array]:
    """Find the straight line of angles with the best mean correlation of the residuals.

    Residuals of two different shapes may correlate by chance, so the score is multiplied by the `likeness` of the
    means. Returned are the correlation, start and slope in degrees, and for each view the number of the angle that
    suits it best by itself.
    """
    residuals = views - views.mean(axis=0)
    residuals /= np.linalg.norm(residuals, axis=1, keepdims=True)
    products, squares = residuals @ computed.T, computed @ computed.T
    best = (-np.inf, 0, 0.0)
    for slope in _SLOPES:
        scores = _run_scores(products, squares, _runs(slope, step, *products.shape))
        best = max(best, (float(scores.max()), int(scores.argmax()), float(slope)))
    score, start, slope = best
    around = computed - computed[_runs(slope, step, *products.shape)[start]].mean(axis=0)
    free = (residuals @ around.T / np.linalg.norm(around, axis=1)).argmax(axis=1)
    return score * likeness, (start * step, slope), free


def _runs(slope: float, step: float, count: int, turn: int) -> Array:
    """Return the numbers of the angles (start, view) of all runs of one slope."""
    run = np.rint(slope * np.arange(count) / step).astype(np.intp)
    runs: Array = (np.arange(turn)[:, None] + run) % turn
    return runs


def _run_scores(products: Array, squares: Array, runs: Array) -> Array:
    """Correlate each view with its angle of a run, less the mean over the run; return the mean for each start."""
    # With the residuals r_i = v_i - mean(v) and c_i = p_i - mean(p) of one series, <r_i, c_i> and |c_i|^2 need only
    # the products <v, p> and <p, p>, computed once for all angles: |c_i|^2 = <p_i, p_i> - 2 mean_j <p_i, p_j> +
    # mean_jk <p_j, p_k>. That makes thousands of candidate series cost no more than lookups.
    order = np.arange(runs.shape[1])
    block = squares[runs[:, :, None], runs[:, None, :]]
    spread = block.diagonal(axis1=1, axis2=2) - 2 * block.mean(axis=2) + block.mean(axis=(1, 2))[:, None]
    shared = products[order, runs] - products[order[:, None], runs[:, None, :]].mean(axis=2)
    scores: Array = (shared / np.sqrt(np.maximum(spread, np.finfo(np.float32).tiny))).mean(axis=1)
    return scores


def _shift(
    images: Array, cube: Array, axis: int, angles: Array, transposed: bool, flipped: bool
) -> tuple[float, float]:
    """Return the mean offset (rows, columns) in pixels of the views against the projections at their angles."""
    from scipy.ndimage import gaussian_filter
    from skimage.registration import phase_cross_correlation

    computed = project(cube, axis, angles)
    computed = computed[::-1] if flipped else computed
    computed = computed.swapaxes(0, 1) if transposed else computed
    offsets = []
    for index in counted(range(images.shape[-1]), "orient", "views"):
        pair = [gaussian_filter(values[..., index], _SMOOTH) for values in (images, computed)]
        # Plain cross-correlation and not phase correlation: projections have hardly any power at high frequencies,
        # which phases alone would weigh like the others. The mean over views averages its error.
        offset, *_ = phase_cross_correlation(*pair, upsample_factor=20, normalization=None)
        offsets.append(offset)
    rows, columns = np.mean(offsets, axis=0)
    return float(rows), float(columns)


def _pose(
    angle: float, views: xr.DataArray, volume: xr.DataArray, layout: tuple[str, bool, bool], shift: tuple[float, float]
) -> Affine:
    """Return the transform of view coordinates (beam, y, x) to volume coordinates, right-handed."""
    # Columns of `linear` are the directions of beam, rows and columns of a view in the volume; the beam is reversed
    # where they would be left-handed, because a pose is a rotation.
    axis, transposed, flipped = layout
    dims = spatial_dims(volume)
    t = np.eye(3)[dims.index(axis)] * (-1.0 if flipped else 1.0)
    p, q = (np.eye(3)[row] for row, dim in enumerate(dims) if dim != axis)
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    across, beam = cosine * q + sine * p, cosine * p - sine * q
    rows, columns = (across, t) if transposed else (t, across)
    linear = np.stack([beam, rows, columns], axis=1)
    # det = 1 for a rotation, -1 for a reflection.
    linear[:, 0] *= np.sign(np.linalg.det(linear))
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    middle = Affine.translation(
        0.0, *(-(_middle(views, dim) + offset) for dim, offset in zip("yx", shift, strict=True))
    )
    back = Affine.translation(*(_middle(volume, dim, max(volume.shape)) for dim in dims))
    return back @ Affine(matrix) @ middle


def _middle(array: xr.DataArray, dim: str, size: int = 0) -> float:
    """Return the centre of an axis; of a volume that lacks its last slices, the centre of the cube."""
    return float(array[dim][0]) + step_along(array, dim) * (max(size, array.sizes[dim]) - 1) / 2.0


def _table(scores: dict[tuple[str, bool, bool], float], axes: tuple[str, ...]) -> xr.DataArray:
    values = [[[scores[axis, t, f] for f in (False, True)] for t in (False, True)] for axis in axes]
    coords = {"tilt_axis": list(axes), "transposed": [False, True], "flipped": [False, True]}
    attrs = {"long_name": "mean correlation of the residuals", "units": "1"}
    return xr.DataArray(values, dims=tuple(coords), coords=coords, attrs=attrs)
