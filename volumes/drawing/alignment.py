"""Pictures of a registration: two datasets before and after, residuals with their errors, and the error expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import display
from fusion.affine import Affine
from fusion.conventions import LABELS, SPATIAL, check, spatial_dims, title
from fusion.errors import DataError, FrameError
from fusion.registration.result import Registration
from fusion.resampling.resample import resample
from fusion.variables import main_variable
from fusion.warp import Transform
from volumes.drawing import layers
from volumes.drawing.annotations import round_length
from volumes.drawing.mesh import unlinked
from volumes.drawing.mixing import mixed, window
from volumes.drawing.overlay import as_intensity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
_INK: Final = "#1c2733"
_MOVING, _FIXED = display.color(0), display.color(1)
_DROPPED: Final = display.color(4)
_SQUARES: Final = 8
_DEEP: Final = 1e6
"""um: as far along its normal as a map without z can matter to a drawing."""
_LONGEST: Final = 0.1
"""Of the longest arrow, as a share of the width of the picture."""
_CELLS: Final = 80


class Pair(NamedTuple):
    """A plane of the fixed dataset, and the moving one on its pixels, both from 0 to 1."""

    fixed: xr.DataArray
    moving: xr.DataArray
    overlap: bool


def plot_alignment(
    moving: xr.Dataset, fixed: xr.Dataset, transform: Transform, *, before: Transform | None = None
) -> Figure:
    """Draw two datasets before and after a registration, as a checkerboard and as a blend of two colours.

    Parameters
    ----------
    moving, fixed : Dataset
        Images, maps or volumes; of spectra the sum over the signal axis is drawn. Of a fixed volume, it is the plane
        in which the middle of `moving` comes to lie.
    transform : Affine or Warp
        Maps coordinates of `moving` to those of `fixed`, as `Registration.transform`.
    before : Affine or Warp, optional
        The transform to compare with; left out, the two as they lie in their own coordinates.

    Returns
    -------
    matplotlib.figure.Figure
        Before above, after below; squares of the two in turns on the left, where edges go on if the two agree, and
        the two as orange and blue light on the right, which is white where they agree.

    Raises
    ------
    DataError
        If there is nothing to draw, or the two do not overlap after the registration.
    """
    from matplotlib.figure import Figure

    moving, fixed = _grey(moving), _grey(fixed)
    plane = _plane(fixed, transform(_middle(moving)))
    figure = Figure(figsize=(9.0, 8.0), layout="constrained", facecolor="white")
    rows = figure.subplots(2, 2, sharex=True, sharey=True)
    shown = (("before", Affine.identity() if before is None else before), ("after", transform))
    for panels, (name, way) in zip(rows, shown, strict=True):
        pair = _on_one_grid(moving, plane, way)
        if name == "after" and not pair.overlap:
            raise DataError(f"{title(moving)} and {title(fixed)} do not overlap after this registration")
        note = "" if pair.overlap else ": no overlap"
        _draw(panels[0], _checkerboard(pair), plane, f"{name}, in squares{note}")
        _draw(panels[1], _blend(pair), plane, f"{name}, blended{note}")
    figure.suptitle(f"{title(moving)} (orange) on {title(fixed)} (blue)", color=_INK)
    return figure


def plot_residuals(
    result: Registration[Any], moving: npt.ArrayLike, fixed: xr.Dataset | None = None, *, level: float = 0.95
) -> Figure:
    """Draw the residuals of landmarks as arrows, with the ellipse in which each position is expected to lie.

    Parameters
    ----------
    result : Registration
    moving : array_like (n, 3) or (n, 2)
        The moving landmarks that were registered, in um.
    fixed : Dataset, optional
        What to draw beneath: an image, or a volume, of which it is the plane in the middle of the landmarks.
    level : float, optional
        Probability with which the ellipse of the transform's error holds the truth.

    Returns
    -------
    matplotlib.figure.Figure
        In the coordinates of `fixed`, x and y. Arrows lead from where a landmark is mapped to where it was found.
        Arrows and ellipses are magnified alike, by the factor in the heading; pairs that were left out of the fit are
        vermilion. The ellipse is the error of the transform alone: an arrow holds that of its landmark too, and is
        longer. Landmarks that could not tell their own error have no ellipses.

    Raises
    ------
    DataError
        If there are not as many landmarks as residuals.
    """
    from matplotlib.figure import Figure

    start = np.asarray(moving, dtype=float)
    start = np.pad(start, ((0, 0), (1, 0))) if start.ndim == 2 and start.shape[1] == 2 else start
    if start.shape != result.residuals.shape:
        raise DataError(
            f"give the {len(result.residuals)} moving landmarks of the registration, z, y, x or y, x in um; received "
            f"an array of {start.shape}"
        )
    mapped, residuals = result.transform(start)[:, 1:], result.residuals.values[:, 1:]
    figure = Figure(figsize=(7.0, 6.0), layout="constrained", facecolor="white")
    ax = figure.subplots()
    upwards = _beneath(ax, fixed, result.transform(start).mean(axis=0), mapped)
    factor = _magnification(ax, residuals)
    colors = np.where(result.kept.values, _MOVING, _DROPPED)
    ellipses = _ellipses(result, start, level)
    for at, residual, color, ellipse in zip(mapped, residuals, colors, ellipses, strict=True):
        if ellipse is not None:
            _add_ellipse(ax, at, factor * ellipse, str(color))
        far = at + factor * residual
        ax.annotate("", far[::-1], at[::-1], arrowprops={"arrowstyle": "->", "color": color, "linewidth": 1.5})
        ax.plot(at[1], at[0], "o", color=color, markersize=3)
    if upwards is None:
        ax.invert_yaxis()
    known = f"; ellipses: error of the transform, {level:.0%}" if ellipses[0] is not None else "; errors are not known"
    ax.set_title(f"residuals × {factor:g}, rms {display.length(result.rms)}{known}", color=_INK, fontsize=10)
    return figure


def plot_expected_error(transform: Transform, moving: xr.Dataset, landmarks: npt.ArrayLike | None = None) -> Figure:
    """Draw the registration error that is expected over a dataset: contours over its picture.

    Parameters
    ----------
    transform : Affine or Warp
        With a covariance, as `Registration.transform` or a pose.
    moving : Dataset
        Where it is drawn: an image, a map, or a volume, of which it is the middle plane.
    landmarks : array_like (n, 3) or (n, 2), optional
        Of the moving dataset, in um, drawn as crosses.

    Returns
    -------
    matplotlib.figure.Figure
        The root mean square distance in um between where a point is put and where it belongs; clear beyond the
        landmarks of a warp, where nothing is known of it.

    Raises
    ------
    FrameError
        If the error of the transform is not known.
    """
    from matplotlib.figure import Figure

    ds = _grey(moving)
    plane = _plane(ds, _middle(ds))
    left, right, low, high = display.extent(plane, "y", "x")
    y, x = np.linspace(low, high, _CELLS), np.linspace(left, right, _CELLS)
    z = float(plane["z"]) if "z" in plane.coords else 0.0
    points = np.stack(np.meshgrid(z, y, x, indexing="ij"), axis=-1)[0]
    error = _error(transform, points)
    factor, unit = display.length_unit(float(np.nanmax(error)))
    figure = Figure(figsize=(7.0, 6.0), layout="constrained", facecolor="white")
    ax = figure.subplots()
    _draw(
        ax, plane, plane, f"{title(ds)}: expected registration error, {display.length(float(np.nanmin(error)))} at best"
    )
    field = ax.imshow(
        factor * error, cmap="viridis", alpha=0.35, vmin=0.0, origin="lower", interpolation="bilinear",
        extent=(left, right, low, high),
    )  # fmt: skip
    if not display.y_upwards(plane):
        ax.set_ylim(high, low)
    if np.nanmax(error) - np.nanmin(error) > 1e-6 * np.nanmax(error):
        lines = ax.contour(x, y, factor * error, colors="white", linewidths=1.2)
        ax.clabel(lines, fmt=f"%.3g {unit}")
    figure.colorbar(field, ax=ax, label=f"root mean square error ({unit})")
    if landmarks is not None:
        at = np.asarray(landmarks, dtype=float)[:, -2:]
        ax.plot(at[:, 1], at[:, 0], "+", color=_MOVING, markersize=9)
    return figure


def _error(transform: Transform, points: Array) -> Array:
    """Return the root mean square error in um of where points land."""
    try:
        covariance = transform.covariance_at(points)
    except FrameError as error:
        raise FrameError(
            "the error of this transform is not known; register with more landmarks, or give their sigma"
        ) from error
    size = np.sqrt(np.trace(covariance, axis1=-2, axis2=-1))
    if not np.isfinite(size).any():
        raise FrameError("the error of this transform is not known anywhere over this dataset")
    return np.asarray(size)


def _grey(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset with the one array ``shown``: its grey array, or the sum over the signal axis."""
    ds = check(unlinked(ds))
    dims = spatial_dims(ds)
    if not {"y", "x"} <= set(dims):
        raise DataError(f"{title(ds)}: an image or a volume with y and x is needed; it has {dims}")
    try:
        array = layers.scalar(ds)
    except DataError:
        array = main_variable(ds, "abundance" if "abundance" in ds else None)
        array = array.sum([dim for dim in array.dims if dim not in (*SPATIAL, *LABELS)], skipna=False, keep_attrs=True)
    bare = ds.drop_vars(list(ds.data_vars)).drop_vars([key for key in ds.coords if key in ("component", "channel")])
    return unlinked(bare.assign(shown=as_intensity(array.rename("shown"))))


def _middle(ds: xr.Dataset) -> Array:
    return np.array([float(np.mean(ds[dim].values)) if dim in ds.coords else 0.0 for dim in SPATIAL])


def _plane(ds: xr.Dataset, at: Array) -> xr.DataArray:
    """Return the plane of a dataset that is nearest to a position."""
    plane = ds["shown"].sel(z=at[0], method="nearest") if "z" in ds["shown"].dims else ds["shown"]
    return plane.transpose("y", "x").compute()


def _on_one_grid(moving: xr.Dataset, plane: xr.DataArray, transform: Transform) -> Pair:
    """Return both on the pixels of the fixed plane; a map without depth reaches as far as it takes."""
    grid = plane.to_dataset(name="shown")
    try:
        depth = None if "z" in moving["shown"].dims else _DEEP
        moved = resample(moving, grid, transform=transform, depth=depth)["shown"]
    except DataError:  # the two do not overlap, which is worth showing before a registration
        return Pair(_scaled(plane), xr.full_like(plane, np.nan, dtype=float), False)
    return Pair(_scaled(plane), _scaled(moved.compute()), bool(moved.notnull().any()))


def _scaled(array: xr.DataArray) -> xr.DataArray:
    low, high = window(np.asarray(array.values, dtype=float), *layers.PERCENTILES)
    return ((array - low) / (high - low)).clip(0.0, 1.0)


def _checkerboard(pair: Pair) -> xr.DataArray:
    """Return squares of the two in turns, of the fixed one where the other has no value."""
    rows, columns = pair.fixed.shape
    side = max(1, max(rows, columns) // _SQUARES)
    turn = (np.arange(rows)[:, None] // side + np.arange(columns) // side) % 2 == 0
    return pair.fixed.where(turn | pair.moving.isnull().values, pair.moving.values)


def _blend(pair: Pair) -> npt.NDArray[np.uint8]:
    shown = ((pair.fixed, _FIXED), (pair.moving, _MOVING))
    return mixed([layers.Layer("", values, color, 0.0, 1.0, "1") for values, color in shown])[..., :3]


def _draw(ax: Axes, image: xr.DataArray | npt.NDArray[np.uint8], plane: xr.DataArray, heading: str) -> bool:
    """Draw an image on the pixels of a plane, face-on, and return whether y points up."""
    left, right, low, high = display.extent(plane, "y", "x")
    upwards = display.y_upwards(plane)
    ends = (left, right, low, high) if upwards else (left, right, high, low)
    shown = image.values if isinstance(image, xr.DataArray) else image
    ax.imshow(shown, cmap="gray", origin="lower" if upwards else "upper", extent=ends)
    ax.set_title(heading, color=_INK, fontsize=10)
    ax.set_xlabel(display.with_unit("x", "um"), color=_INK)
    ax.set_ylabel(display.with_unit("y", "um"), color=_INK)
    return upwards


def _beneath(ax: Axes, fixed: xr.Dataset | None, at: Array, mapped: Array) -> bool | None:
    """Draw the fixed dataset, and return whether its y points up; without one, make room for the landmarks."""
    if fixed is not None:
        ds = _grey(fixed)
        return _draw(ax, _plane(ds, at), _plane(ds, at), "")
    low, high = mapped.min(axis=0), mapped.max(axis=0)
    margin = 0.15 * float((high - low).max())
    ax.set(xlim=(low[1] - margin, high[1] + margin), ylim=(low[0] - margin, high[0] + margin), aspect="equal")
    ax.set_xlabel(display.with_unit("x", "um"), color=_INK)
    ax.set_ylabel(display.with_unit("y", "um"), color=_INK)
    return None


def _magnification(ax: Axes, residuals: Array) -> float:
    """Return the round factor that makes the longest arrow a tenth of the picture."""
    longest = float(np.linalg.norm(residuals, axis=1).max())
    return round_length(_LONGEST * abs(float(np.diff(ax.get_xlim())[0])) / longest) if longest > 0 else 1.0


def _ellipses(result: Registration[Any], start: Array, level: float) -> list[Array | None]:
    """Return, for each landmark, the half-axes (2, 2) in um of the ellipse that holds its true position."""
    # r' C^-1 r < d F(d, dof) for the two axes of the picture; the half-axes are the eigenvectors of C, each as long as
    # the root of its eigenvalue times that bound
    from scipy.special import chdtri, fdtri

    if not result.transform.is_uncertain:
        return [None] * len(start)
    covariances = np.nan_to_num(result.transform.covariance_at(start)[:, 1:, 1:])
    bound = 2.0 * float(fdtri(2, result.dof, level)) if np.isfinite(result.dof) else float(chdtri(2, 1.0 - level))
    lengths, axes = np.linalg.eigh(covariances)
    return list(axes.swapaxes(1, 2) * np.sqrt(np.maximum(lengths, 0.0) * bound)[..., None])


def _add_ellipse(ax: Axes, at: Array, half_axes: Array, color: str) -> None:
    turn = np.linspace(0.0, 2.0 * np.pi, 61)
    edge = at + np.cos(turn)[:, None] * half_axes[0] + np.sin(turn)[:, None] * half_axes[1]
    ax.plot(edge[:, 1], edge[:, 0], color=color, linewidth=1.0, alpha=0.8)
