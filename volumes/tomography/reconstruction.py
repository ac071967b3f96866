"""A volume from a tilt series: slice by slice along the tilt axis, with errors from half of the views each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import cell_methods, stderr_name, title
from fusion.errors import DataError
from fusion.frames import get_pose
from fusion.model import Axis, dataset
from fusion.progress import Progress, bar
from volumes.tomography.projector import Projector
from volumes.tomography.series import TiltAxis, TiltSeries, cleaned, require_content, tilt_series
from volumes.tomography.solvers import cgls, filtered_back_projection, fista, sirt
from volumes.tomography.stopping import Solver, Stop, left_out, stop_by

Array = npt.NDArray[Any]
Method = Literal["fista", "cgls", "sirt", "fbp", "tv"]
_SAMPLE: Final = 16
"""Slices on which the number of rounds is chosen."""
_WEIGHTS: Final = (0.001, 0.003, 0.01, 0.03)
"""Weights of the total variation that are tried, as shares of the brightest density of a first round of SIRT."""
_BLOCK: Final = 2**24
"""Voxels of a block of slices."""
_WINDOW: Final = 2.0
"""Standard deviation in voxels of the window over which the square of a difference of halves is averaged."""


@dataclass(frozen=True)
class _Plan:
    """What is done to a block of slices."""

    method: Method
    angles: Array
    nonnegative: bool
    rounds: int
    threshold: float
    names: tuple[str, ...]


def reconstruct(
    views: xr.Dataset,
    *,
    method: Method = "fista",
    axis: TiltAxis = "x",
    variable: str | None = None,
    nonnegative: bool = True,
    leave_out: float = 0.1,
    rounds: int | None = None,
    weight: float | None = None,
    halves: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Reconstruct a volume from a tilt series about one axis of the image.

    Parameters
    ----------
    views : Dataset
        With a variable over y, x and ``tilt`` in degrees, aligned so that the tilt axis runs through the middle of the
        image (`volumes.align_tilts` does that). NaN is a pixel without a value.
    method : {"fista", "cgls", "sirt", "fbp", "tv"}
        Accelerated gradient descent; conjugate gradients, which is faster and fits noise sooner; the simultaneous
        iterative technique; filtered back-projection; or least squares with the total variation of each slice
        across the tilt axis.
    axis : {"x", "y"}
        Axis of the image that the specimen was turned about.
    variable : str, optional
        The variable, where the dataset has several.
    nonnegative : bool
        Whether densities are kept from falling below zero. Filtered back-projection ignores it.
    leave_out : float
        Share of the views, evenly spread, that the number of rounds and the weight are judged by. The volume is then
        made of all views.
    rounds : int, optional
        Number of rounds, instead of judging it.
    weight : float, optional
        Of the total variation, as a share of the brightest density of a first round; judged if left out.
    halves : bool
        Whether the volumes of the even and of the odd views come along, for `volumes.resolution`.
    progress : callable, optional
        Called with the share that is done, from 0 to 1; where views are lazy the volume is too, and dask's own progress
        bar shows its computation.

    Returns
    -------
    Dataset
        ``density`` (z, y, x) in the unit of the views per um, ``density_stderr``, and with `halves` ``density_even``
        and ``density_odd``. z runs along the beam of the view without tilt, from the middle of the specimen. The
        attributes of ``density`` hold the ``rounds`` and, where they were judged, the ``held_out_error`` after each
        round, as a share of the norm of the views that were left out. NaN where no view has a value.

        The standard error is half the difference of the volumes of the even and the odd views, root mean square over a
        Gaussian window of two voxels across the tilt axis. It holds the noise and the gaps between the views, twice as
        wide as in the result, but not the missing wedge, which both halves share.

    Raises
    ------
    ConventionError
        If the dims are not y, x and tilt.
    DataError
        If there are fewer than five views, no signal, too much negative intensity, or a parameter is out of range.
    UnitError
        If the pixel size is not known.

    Notes
    -----
    A. Beck and M. Teboulle, SIAM J. Imaging Sci. 2, 183 (2009); P. Gilbert, J. Theor. Biol. 36, 105 (1972). The
    projector shares square voxels exactly between pixels: B. De Man and S. Basu, Phys. Med. Biol. 49, 2463 (2004).

    Examples
    --------
    >>> image = np.zeros((8, 4, 9))
    >>> image[3:5] = 2.0
    >>> um, tilt = Axis("um", 0.5), Axis("degree", values=np.arange(-80.0, 81.0, 20.0))
    >>> views = dataset({"haadf": (("y", "x", "tilt"), image)}, {"y": um, "x": um, "tilt": tilt}, name="rod",
    ...                 cell_methods="mean")
    >>> volume = reconstruct(views, rounds=30)
    >>> volume["density"].dims, round(float(volume["density"][3:5, 3:5].mean()), 1)
    (('z', 'y', 'x'), 2.1)
    """
    series = tilt_series(views, variable, axis)
    _require_parameters(method, leave_out, rounds, weight)
    sample = _sample(series)
    require_content(*sample, title(views), nonnegative=nonnegative and method != "fbp")
    names = ("density", stderr_name("density"), *(("density_even", "density_odd") if halves else ()))
    plan = _Plan(method, series.angles, nonnegative, rounds or 1, 0.0, names)
    plan, stop = _judged(plan, sample, leave_out, rounds, weight)
    volume = _labelled(_run(series, plan, progress), series, views, plan, stop)
    parameters = {"method": method, "axis": axis, "variable": variable, "nonnegative": nonnegative, "weight": weight}
    chosen = {"leave_out": leave_out, "rounds": plan.rounds, "threshold": plan.threshold, "halves": halves}
    return provenance.record(volume, "volumes.reconstruct", {**parameters, **chosen})


def _require_parameters(method: str, leave_out: float, rounds: int | None, weight: float | None) -> None:
    if method not in get_args(Method):
        raise DataError(f"method is one of {', '.join(get_args(Method))}; received {method!r}")
    if not 0.0 < leave_out <= 0.5:
        raise DataError(f"leave_out is a share of the views above 0 and up to 0.5; received {leave_out!r}")
    if rounds is not None and rounds < 1:
        raise DataError(f"rounds is a positive number; received {rounds!r}")
    if weight is not None and (method != "tv" or not weight > 0):
        raise DataError(f"weight is positive and goes with method='tv'; received {weight!r} with {method!r}")


def _sample(series: TiltSeries) -> tuple[Array, Array | None]:
    """Return slices spread over the tilt axis."""
    size = series.array.sizes[series.along]
    count = min(_SAMPLE, size)
    # the middle of each of `count` equal parts: the outermost slices are often cut off by the alignment
    return series.slices(((np.arange(count) + 0.5) * size / count).astype(int))


# The weight of the total variation is found as the number of rounds is: the pair that predicts the views left out best.
# The brightest density after one round of SIRT sets the scale, so that one list of weights serves every unit.
def _judged(
    plan: _Plan, sample: tuple[Array, Array | None], share: float, rounds: int | None, weight: float | None
) -> tuple[_Plan, Stop | None]:
    """Return the plan with the weight and the rounds that predict views that were left out best."""
    if plan.method == "fbp":
        return plan, None
    views, seen = sample
    projector = Projector(plan.angles, views.shape[1], seen)
    plans = [plan]
    if plan.method == "tv":
        brightest = float(next(sirt(projector, views)).max())
        plans = [replace(plan, threshold=w * brightest) for w in (_WEIGHTS if weight is None else (weight,))]
    if rounds is not None and len(plans) == 1:
        return plans[0], None
    chosen = left_out(views.shape[0], share)
    stops = [stop_by(_solver(each), projector, views, chosen) for each in plans]
    best = int(np.argmin([min(stop.errors) for stop in stops]))
    return replace(plans[best], rounds=rounds or stops[best].rounds), stops[best]


def _solver(plan: _Plan) -> Solver:
    if plan.method in ("fista", "tv"):
        return partial(fista, nonnegative=plan.nonnegative, threshold=plan.threshold)
    return partial({"cgls": cgls, "sirt": sirt}[plan.method], nonnegative=plan.nonnegative)


def _solved(plan: _Plan, projector: Projector, views: Array) -> Array:
    if plan.method == "fbp":
        return filtered_back_projection(projector, views)
    return next(islice(_solver(plan)(projector, views), plan.rounds - 1, None))


def _block(values: Array, plan: _Plan) -> Array:
    """Return the volumes (name, z, across, slice) of a block of views (tilt, across, slice)."""
    views, seen = cleaned(values)
    projector = Projector(plan.angles, views.shape[1], seen)
    full, even, odd = (
        _solved(plan, projector.subset(part), views[part])
        for part in (slice(None), slice(0, None, 2), slice(1, None, 2))
    )
    volumes = np.stack([full, _half_difference(even, odd), even, odd][: len(plan.names)])
    if seen is not None:
        volumes[:, projector.adjoint(np.ones_like(views)) == 0.0] = np.nan
    return volumes


# The mean of two independent halves a and b has the variance (a - b)² / 4, known from one difference with a relative
# error of 1.4; averaged over a window it is known to some 20 %.
def _half_difference(even: Array, odd: Array) -> Array:
    from scipy.ndimage import gaussian_filter

    square = gaussian_filter((even - odd) ** 2, (_WINDOW, _WINDOW, 0.0), mode="nearest")
    error: Array = np.sqrt(np.maximum(square, 0.0)) / 2.0
    return error


# Slices along the tilt axis do not depend on each other: a block of them needs its own columns of the views alone, and
# the memory is that of some ten copies of a block, however long the specimen is. Blocks are wide enough that the
# shares of a voxel, computed anew for each, cost little beside the sums over slices.
def _run(series: TiltSeries, plan: _Plan, progress: Progress | None) -> Any:
    """Return the volumes (name, z, across, along), lazy where the views are."""
    size, length = series.array.sizes[series.across], series.array.sizes[series.along]
    width = int(np.clip(_BLOCK // size**2, 1, 64))
    if series.array.chunks is not None:
        import dask.array as da

        views = series.array.data.rechunk((-1, -1, width))
        chunks = ((len(plan.names),), (size,), (size,), views.chunks[2])
        return da.map_blocks(_block, views, plan, new_axis=0, chunks=chunks, dtype=np.float32)
    starts = range(0, length, width)
    out = np.empty((len(plan.names), size, size, length), np.float32)
    threads = min(os.cpu_count() or 1, len(starts))
    with ThreadPoolExecutor(threads) as pool, bar("reconstruct", "slices", length, progress) as to:
        blocks: Iterator[Array] = pool.map(lambda at: _block(series.array.values[..., at : at + width], plan), starts)
        for at, block in zip(starts, blocks, strict=True):
            out[..., at : at + width] = block
            to(min(at + width, length))
    return out


def _labelled(values: Any, series: TiltSeries, views: xr.Dataset, plan: _Plan, stop: Stop | None) -> xr.Dataset:
    unit = series.array.attrs.get("units", "1")
    attrs: dict[str, Any] = {"units": f"{unit}/um", **cell_methods("zyx", "mean")}
    # solved in units of the side of a voxel; per um of the beam it does not depend on the pixel size
    scaled = values / np.float32(series.step)
    variables = {
        name: (("z", series.across, series.along), scaled[k], dict(attrs)) for k, name in enumerate(plan.names)
    }
    variables["density"][2].update({"rounds": plan.rounds} | ({"held_out_error": list(stop.errors)} if stop else {}))
    size = series.array.sizes[series.across]
    middle = float(views["z"]) if "z" in views.coords and views["z"].ndim == 0 else 0.0
    axes = {
        "z": Axis("um", series.step, offset=middle - series.step * (size - 1) / 2),
        **{dim: Axis("um", values=series.array[dim].values) for dim in ("y", "x")},
    }
    pose, frame = get_pose(views)
    kept = {key: value for key, value in views.attrs.items() if key not in ("Conventions", "title")}
    volume = dataset(
        variables, axes, name=title(views), pose=pose, frame=frame, attrs={**kept, "technique": "tomogram"}
    )
    for dim in ("y", "x"):
        volume[dim].attrs.update(views[dim].attrs)
    return volume
