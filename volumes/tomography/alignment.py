"""The alignment of a tilt series: how each view is shifted, and where the tilt axis runs."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import stderr_name, title
from fusion.errors import ConventionError, DataError
from fusion.model import Axis, dataset, like
from volumes.tomography.common_line import Minimum, directions, first_motion, gauge
from volumes.tomography.matching import Matched, match
from volumes.tomography.moving import Motion, moved, turning
from volumes.tomography.neighbours import correlated_motion
from volumes.tomography.series import TiltAxis, TiltSeries, tilt_series
from volumes.tomography.shift import step_along

Array = npt.NDArray[Any]
Method = Literal["projection_matching", "common_line", "correlation"]
_SIDE: Final = 80
"""Largest side in pixels of the views that are compared; larger ones are binned."""
_CANDIDATES: Final = 3


def align_tilts(
    views: xr.Dataset,
    *,
    method: Method = "projection_matching",
    axis: TiltAxis = "x",
    variable: str | None = None,
) -> xr.Dataset:
    """Find how the views of a tilt series are shifted and where its tilt axis runs.

    Parameters
    ----------
    views : Dataset
        With a variable over y, x and ``tilt`` in degrees, without NaN, with square pixels.
    method : {"projection_matching", "common_line", "correlation"}
        Each view against a volume of the other views, after the common lines; sums across the axis and centres of
        mass alone, for a specimen that ends within the field on both sides of the axis; or each view against its
        neighbour, stretched by the ratio of the cosines, for one that does not.
    axis : {"x", "y"}
        Axis of the image that the tilt axis lies along to within 12 degrees.
    variable : str, optional
        The variable, where the dataset has several.

    Returns
    -------
    Dataset
        ``shift`` (axis, tilt) in um, across and along the tilt axis: what lies at q in the aligned view lies at
        R (q + shift) in the measured one, both counted from the middle of the image, where R turns by ``rotation``, in
        degrees from the tilt axis towards the other one. ``offset`` in um is the part of the shifts across that is the
        same in all views, i.e. the distance of the tilt axis from the middle. Shifts as of a moved specimen are 0.
        Standard errors come with projection matching, and are NaN otherwise. ``minimum_rotation`` and ``minimum_cost``
        (point) are all directions that explain the common lines better than their neighbours, best first.
        ``residual`` is the share of the views that a volume of the other views does not predict.

    Raises
    ------
    ConventionError, UnitError
        If this is no tilt series in um.
    DataError
        If there are fewer than five views, NaN, pixels that are not square, or `method` is unknown.

    Notes
    -----
    Common lines: Y. Liu, P. A. Penczek, B. F. McEwen and J. Frank, Ultramicroscopy 58, 393 (1995). Projection matching:
    D. Gürsoy et al., Sci. Rep. 7, 11818 (2017); here a view is never matched with a volume that it took part in, and
    errors come from groups of slices, which are reconstructed independently. They are a lower bound: what all slices
    share is not in them, such as wrong angles, a specimen that shrinks, or drift that the volume follows. Simulated
    (``benchmarks/volumes/alignment.py``), 1.96 of them held the shifts across the axis in 76 %, along it in 88 %; on a
    measured needle, against its authors' alignment, in 15 % and 100 %. The interval of the direction is as uncertain.
    """
    series = tilt_series(views, variable, axis)
    if method not in get_args(Method):
        raise DataError(f"method is one of {', '.join(get_args(Method))}; received {method!r}")
    if abs(step_along(series.array, series.along) / series.step - 1.0) > 1e-3:
        raise DataError(f"{title(views)}: pixels that are not square; fusion.resample the views onto square ones")
    values = _finite(series, title(views))
    minima = directions(_binned(values, _SIDE)[0])
    if not minima:
        raise DataError(f"{title(views)}: no direction within 12 degrees of {axis} explains the views")
    found = _found(values, series.angles, method, minima)
    result = _labelled(found, minima, series, views)
    return provenance.record(result, "volumes.align_tilts", {"method": method, "axis": axis, "variable": variable})


def apply_alignment(views: xr.Dataset, alignment: xr.Dataset, *, variable: str | None = None) -> xr.Dataset:
    """Move the views of a tilt series to where an alignment puts them, by cubic interpolation, once.

    Parameters
    ----------
    views : Dataset
        The tilt series.
    alignment : Dataset
        As `align_tilts` or `load_alignment` gives it.
    variable : str, optional
        The variable, where the dataset has several.

    Returns
    -------
    Dataset
        The variable on the same grid, NaN where nothing was measured.

    Raises
    ------
    DataError
        If the alignment is of other tilts, or values are NaN.
    """
    require_alignment(alignment)
    axis: TiltAxis = "x" if list(alignment["axis"].values) == ["y", "x"] else "y"
    series = tilt_series(views, variable, axis)
    if not np.array_equal(alignment["tilt"].values, series.array["tilt"].values):
        raise DataError(f"{title(views)}: the alignment is of other tilts than the views")
    shifts = alignment["shift"].transpose("tilt", "axis").values / series.step
    # one interpolation for turn and shift together: each further one would blur the views again
    placed = moved(_finite(series, title(views)), Motion(float(alignment["rotation"]), shifts))
    name = str(series.array.name)
    array = series.array.copy(data=placed).transpose("y", "x", "tilt")
    return provenance.record(
        like(views, {name: array}), "volumes.apply_alignment", {"variable": variable}, parents=[alignment]
    )


def _finite(series: TiltSeries, name: str) -> Array:
    values = np.ascontiguousarray(series.array.values, np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{name}: NaN in {series.array.name}; fill it, or leave these views out with isel(tilt=...)")
    return values


# Matched on views that are binned to `_SIDE` pixels, where a round costs seconds; shifts are found to some hundredths
# of their pixels. `middle` is by how much the middle of a view moved when it was cut to a multiple of the bin.
def _found(values: Array, angles: Array, method: Method, minima: list[Minimum]) -> Matched:
    small, bins, middle = _binned(values, _SIDE)
    candidates = [minimum.rotation for minimum in minima[:_CANDIDATES]]
    if method == "projection_matching":
        matched = match(small, angles, candidates, first_motion)
    else:
        start = correlated_motion if method == "correlation" else first_motion
        motion = start(small, angles, candidates[0])
        matched = Matched(motion, np.nan, np.full(motion.shifts.shape, np.nan), np.nan)
    off = turning(matched.motion.rotation).T @ middle - middle
    motion = matched.motion._replace(shifts=matched.motion.shifts * bins + off)
    return matched._replace(motion=motion, shift_errors=matched.shift_errors * bins)


# Means over square blocks keep the middle of the image in place where the sides are multiples of the bin; else the
# middle of what is left, in pixels from that of the image, is added to the shifts again.
def _binned(values: Array, side: int) -> tuple[Array, int, Array]:
    """Return the views with sides of at most `side`, the bin, and by how much their middle lies off, in pixels."""
    bins = max(-(-max(values.shape[1:]) // side), 1)
    sizes = np.array(values.shape[1:]) // bins * bins
    starts = (np.array(values.shape[1:]) - sizes) // 2
    cut = values[:, starts[0] : starts[0] + sizes[0], starts[1] : starts[1] + sizes[1]]
    means = cut.reshape(len(values), sizes[0] // bins, bins, sizes[1] // bins, bins).mean((2, 4))
    return means, bins, starts + (sizes - 1) / 2 - (np.array(values.shape[1:]) - 1) / 2


def _labelled(found: Matched, minima: list[Minimum], series: TiltSeries, views: xr.Dataset) -> xr.Dataset:
    length, degree = {"units": "um"}, {"units": "degree"}
    offset, offset_error = _offset(found, series.angles)
    variables: dict[str, Any] = {
        "shift": (("axis", "tilt"), found.motion.shifts.T * series.step, length),
        stderr_name("shift"): (("axis", "tilt"), found.shift_errors.T * series.step, length),
        "rotation": ((), found.motion.rotation, degree),
        stderr_name("rotation"): ((), found.rotation_error, degree),
        "offset": ((), offset * series.step, length),
        stderr_name("offset"): ((), offset_error * series.step, length),
        "minimum_rotation": ("point", [each.rotation for each in minima], degree),
        "minimum_cost": ("point", [each.cost for each in minima]),
        "residual": ((), found.residual),
    }
    axes: dict[str, Any] = {
        "axis": [series.across, series.along],
        "tilt": Axis("degree", values=series.array["tilt"].values),
    }
    return dataset(variables, axes, name=f"alignment of {title(views)}", attrs=_history(views))


def _history(ds: xr.Dataset) -> dict[str, Any]:
    diary = {key: ds.attrs[key] for key in ("history", "provenance") if key in ds.attrs}
    return {**diary, **provenance.arrays(ds)}


# Shifts across the axis are c + (what moves the specimen) + rest; c by least squares, its error by the same weights.
def _offset(found: Matched, angles: Array) -> tuple[float, float]:
    design = np.column_stack([np.ones(angles.size), gauge(angles)])
    weights = np.linalg.pinv(design)[0]
    error = float(np.sqrt((weights**2 * found.shift_errors[:, 0] ** 2).sum()))
    return float(weights @ found.motion.shifts[:, 0]), error


def require_alignment(alignment: xr.Dataset) -> None:
    """Refuse what is no alignment.

    Raises
    ------
    ConventionError
        Naming what is missing.
    """
    missing = [name for name in ("shift", "rotation") if name not in alignment]
    if missing:
        raise ConventionError([f"no alignment of a tilt series: {', '.join(missing)} is missing"])
