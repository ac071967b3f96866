"""An image as registration sees it: numbers on a square grid in um, and which of them were measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import check, describing, spatial_dims, title
from fusion.errors import ConventionError, DataError, RegistrationError
from fusion.model import require_lengths

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """Values (y, x), how far each was measured (0 to 1), and where their centres lie.

    Parameters
    ----------
    values, weight : ndarray (y, x)
        Values are finite everywhere; where the weight is 0 they mean nothing.
    origin : ndarray (2,)
        y and x of the first centre, in um.
    step : ndarray (2,)
        Between centres, in um.
    """

    values: Array
    weight: Array
    origin: Array
    step: Array

    @property
    def extent(self) -> Array:
        """Height and width in um, to the outer edges of the pixels."""
        return np.asarray(np.array(self.values.shape) * self.step)

    @property
    def centre(self) -> Array:
        """The middle (y, x) in um."""
        return np.asarray(self.origin + (np.array(self.values.shape) - 1) / 2.0 * self.step)

    @property
    def corners(self) -> Array:
        """The outer corners (4, 2) in um."""
        signs = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        return np.asarray(self.centre + signs * self.extent / 2.0)

    def indices(self, points: Array) -> Array:
        """Return positions (n, 2) in um as fractional indices (2, n)."""
        return np.asarray(((points - self.origin) / self.step).T)

    def back(self, matrix: Array) -> Array:
        """Return the matrix (2, 3) from points of the image that `matrix` leads to, to fractional indices here."""
        inverse = np.linalg.inv(matrix)[:2]
        inverse[:, 2] -= self.origin
        return np.asarray(inverse / self.step[:, None])

    def mirrored(self) -> Picture:
        """Return the picture with its columns in reverse order, where it lies."""
        return replace(self, values=self.values[:, ::-1], weight=self.weight[:, ::-1])

    def points(self) -> Array:
        """Return the centres (y, x, 2) in um."""
        rows, columns = (self.origin[i] + self.step[i] * np.arange(self.values.shape[i]) for i in (0, 1))
        return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)


def read(image: xr.Dataset | xr.DataArray, variable: str | None, mask: xr.DataArray | None, which: str) -> Picture:
    """Return the one image of a dataset.

    Raises
    ------
    ConventionError
        If there is no image, or several could be meant.
    RegistrationError
        If it has other dims or axes that are not uniform, or the mask does not fit.
    DataError
        If it has no contrast, fewer than 64 pixels that were measured, or no real numbers.
    UnitError
        If its pixel size is not known.
    """
    array = _image(image, variable, which)
    values = np.asarray(array.values, dtype=np.float32)
    valid = np.isfinite(values)
    if mask is not None:
        valid &= _mask(mask, array, which)
    if valid.sum() < 64 or np.ptp(values[valid]) == 0:
        raise DataError(f"{which}: {array.name} has no contrast, or fewer than 64 pixels that were measured")
    lines, step = uniform_axes(array, 7, which)
    origin = np.array([line[0] for line in lines])
    return Picture(np.where(valid, values, values[valid].mean()), valid.astype(np.float32), origin, step)


def uniform_axes(array: xr.DataArray, fewest: int, which: str) -> tuple[list[Array], Array]:
    """Return the centres along each dim and the mean distances (dims,) between them, in um.

    Raises
    ------
    RegistrationError
        If a dim has too few steps, or they differ by more than a hundredth.
    """
    lines = [array[dim].values.astype(float) for dim in array.dims]
    for dim, steps in zip(array.dims, map(np.diff, lines), strict=True):
        if len(steps) < fewest or np.ptp(steps) > 0.01 * steps.mean():
            raise RegistrationError(
                f"{which}: at least {fewest} uniform steps along {dim} are needed; resample it first"
            )
    return lines, np.array([np.diff(line).mean() for line in lines])


def _image(image: xr.Dataset | xr.DataArray, variable: str | None, which: str) -> xr.DataArray:
    """Return the variable over y and x."""
    ds = image.to_dataset(name=image.name or "image") if isinstance(image, xr.DataArray) else image
    ds = check(ds)
    require_lengths(ds, "registered")
    names = [str(name) for name in ds.data_vars if spatial_dims(ds[name]) and name not in describing(ds)]
    if variable is None and len(names) != 1:
        raise ConventionError([f"{which}: {title(ds)} has {names or 'no images'}; name one with variable_{which}="])
    name = names[0] if variable is None else variable
    if name not in ds.data_vars:
        raise ConventionError([f"{which}: {title(ds)} has no variable {name!r}; it has {names}"])
    array = ds[name].squeeze(drop=True)
    if set(array.dims) != {"y", "x"}:
        raise RegistrationError(
            f"{which}: an image over y and x is needed, and {name} has the dims {', '.join(map(str, array.dims))}; "
            "select one plane or channel (isel), or sum over the others"
        )
    if array.dtype.kind not in "biuf":
        raise DataError(f"{which}: {name} has {array.dtype} values and real numbers are needed")
    return array.transpose("y", "x")


def _mask(mask: xr.DataArray, array: xr.DataArray, which: str) -> npt.NDArray[np.bool_]:
    if not isinstance(mask, xr.DataArray) or set(mask.dims) != {"y", "x"} or mask.sizes != dict(array.sizes):
        raise RegistrationError(f"{which}: a mask is a DataArray over the same y and x as the image, True where to use")
    return np.asarray(mask.transpose("y", "x").values, dtype=bool)


def smoothed(picture: Picture, blur: Array | float) -> Array:
    """Return the values smoothed by a Gaussian of `blur` pixels, of what was measured alone."""
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(picture.weight, blur, mode="constant")
    return np.asarray(gaussian_filter(picture.values * picture.weight, blur, mode="constant") / (weight + 1e-6))


def sampled(picture: Picture, step: float) -> Picture:
    """Return the picture on a square grid of this step, averaged over what a coarser pixel covers."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    # A Gaussian of half the new step keeps what the new grid can hold (its transfer at the new Nyquist frequency is
    # 0.29) without the ringing of a box; where pixels are missing it is a normalised convolution, sum(w v) / sum(w)
    # (Knutsson and Westin, CVPR 1993).
    blur = 0.5 * np.sqrt(np.maximum((step / picture.step) ** 2 - 1.0, 0.0))
    weight = gaussian_filter(picture.weight, blur, mode="constant")
    values = gaussian_filter(picture.values * picture.weight, blur, mode="constant")
    shape = np.maximum(np.floor(picture.extent / step + 1e-6).astype(int), 1)
    origin = picture.centre - (shape - 1) / 2.0 * step
    grid = Picture(np.zeros(shape, np.float32), np.zeros(shape, np.float32), origin, np.full(2, step))
    where = picture.indices(grid.points().reshape(-1, 2))
    inside = map_coordinates(picture.weight, where, order=1, mode="nearest").reshape(shape)
    total = map_coordinates(weight, where, order=1, mode="nearest").reshape(shape)
    summed = map_coordinates(values, where, order=1, mode="nearest").reshape(shape)
    mean = np.average(picture.values, weights=picture.weight)
    result = np.where(total > 1e-3, summed / np.maximum(total, 1e-3), mean).astype(np.float32)
    return Picture(result, (inside > 0.99).astype(np.float32), origin, np.full(2, step))


def at(picture: Picture, values: Array, matrix: Array, points: Array) -> Array:
    """Return `values` on the grid of a picture at points (n, 2) of the image that `matrix` leads to; 0 outside."""
    from scipy.ndimage import map_coordinates

    back = picture.back(matrix)
    where = (points @ back[:, :2].T + back[:, 2]).T
    return np.asarray(map_coordinates(values, where, order=1, mode="constant"))


def moved(matrix: Array, points: Array) -> Array:
    """Return points (n, 2) under a matrix (3, 3) on (y, x, 1)."""
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2])


def in_plane(linear: Array, which: str) -> Array:
    """Return the part (2, 2) of a linear map of space (3, 3) that acts on y and x.

    Raises
    ------
    RegistrationError
        If the map mixes z with them, or mirrors the plane.
    """
    tilt = max(np.abs(linear[0, 1:]).max(), np.abs(linear[1:, 0]).max())
    within = linear[1:, 1:]
    if tilt > 1e-6 * np.abs(within).max() or np.linalg.det(within) <= 0:
        raise RegistrationError(f"{which} leaves the plane, or mirrors it; give a transform of y and x alone")
    return within


def finest_step(moving: Picture, fixed: Picture, most: int, scale: float = 1.0) -> float:
    """Return a pixel in um: that of the coarser picture, but so large that the smaller one has `most` at most.

    `scale` is that of the moving picture as it lies on the fixed one.
    """
    pixel = max(float(np.sqrt(moving.step.prod())) * scale, float(np.sqrt(fixed.step.prod())))
    area = min(float(moving.extent.prod()) * scale**2, float(fixed.extent.prod()))
    return max(pixel, float(np.sqrt(area / most)))


def corners_apart(first: Array, second: Array, picture: Picture) -> float:
    """Return how far apart in um two matrices, of the plane or of space, bring the corner that is furthest."""
    dim = len(first) - 1
    corners = np.pad(picture.corners, ((0, 0), (dim - 2, 0)))
    gap = (first - second)[:dim]
    return float(np.linalg.norm(corners @ gap[:, :dim].T + gap[:, dim], axis=1).max())
