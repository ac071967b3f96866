"""Heights from reflection interference contrast microscopy (RICM)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance, units
from fusion.conventions import cell_methods, describing, error_of, kind
from fusion.errors import ConventionError, DataError
from fusion.model import length, like, with_error

Array = npt.NDArray[np.float64]
_OUTSIDE: Final = 3.0
"""How many standard errors an intensity may lie beyond the extremes."""
_SLOPE: Final = 0.9
"""Beyond this normalised intensity an extreme is near, where a fringe may turn into the next."""


def height_from_interference(
    ds: xr.Dataset,
    *,
    wavelength: str | float,
    refractive_index: float,
    minimum: float,
    maximum: float,
    branch: int,
    noise: float | None = None,
    where: xr.DataArray | None = None,
    variable: str | None = None,
) -> xr.Dataset:
    r"""Return the height above the glass from the intensity within one half fringe.

    Light reflected by the glass and light reflected by an object that is optically denser than the medium between
    them interfere. For parallel walls and normal incidence (Rädler and Sackmann, J. Phys. II France 3, 727 (1993);
    Limozin and Sengupta, ChemPhysChem 10, 2752 (2009))

    .. math:: 2 I = I_{max} + I_{min} - (I_{max} - I_{min}) \cos(4 \pi n h / \lambda),

    dark where the object touches the glass. From one extreme to the next, :math:`\lambda / 4 n` higher, the intensity
    determines the height; `branch` says which half fringe it is, because the intensity cannot.

    Parameters
    ----------
    ds : Dataset
        With one image (y, x), perhaps with further axes; the intensity may be lazy.
    wavelength : str or float
        Of the light in vacuum, e.g. ``"546 nm"``; a bare number means um.
    refractive_index : float
        Of the medium between glass and object.
    minimum, maximum : float
        Intensities of a dark and of a bright fringe, with the same background subtracted.
    branch : int
        The half fringe: 0 from contact to the first maximum, 1 from there to the next minimum, and so on.
    noise : float, optional
        Standard deviation of the intensity of a pixel. Left out, the standard error that the dataset carries.
    where : DataArray of bool, optional
        The pixels that lie within the branch; the others become NaN. All, if left out.
    variable : str, optional
        The intensity, where the dataset has several variables.

    Returns
    -------
    Dataset
        ``height`` and ``height_stderr`` in um. The error is that of the noise alone: the larger of the two steps that
        one standard deviation up or down makes, which stays finite at the extremes.

    Raises
    ------
    DataError
        If fringe extremes divide one area into regions, which may then lie on different branches; if intensities lie
        beyond the extremes by more than the noise; or if the noise is not known.
    ConventionError
        If a parameter is out of range, or the variable is not in the dataset.
    UnitError
        If the wavelength is no length.

    Examples
    --------
    >>> px = fusion.Axis("um", step=0.1)
    >>> ds = fusion.dataset({"image": (("y", "x"), np.array([[10.0, 15.0, 20.0]]))}, {"y": px, "x": px}, name="ricm",
    ...                     cell_methods="mean")
    >>> surface = height_from_interference(ds, wavelength="532 nm", refractive_index=1.33, minimum=10.0, maximum=20.0,
    ...                                    branch=0, noise=0.1)
    >>> surface["height"].values
    array([[0.  , 0.05, 0.1 ]])
    """
    image = _intensity(fusion.check(ds), variable)
    wave = length(wavelength)
    _require_sound(refractive_index, minimum, maximum, branch, noise)
    half = (maximum - minimum) / 2.0
    level = (image - (maximum + minimum) / 2.0) / half
    error = xr.zeros_like(level) + _noise(ds, image, noise) / half
    if where is not None:
        level = level.where(where)
    _require_one_branch(level, error, branch)
    # Light that goes to the membrane and back gains 4 π n h / λ: a half fringe is λ / (4 n) high (Rädler and Sackmann,
    # J. Phys. II 3, 727 (1993)).
    scale = wave / (4.0 * np.pi * refractive_index)
    height, stderr = xr.apply_ufunc(
        _branch_height, level, error, kwargs={"branch": branch, "scale": scale}, output_core_dims=[[], []],
        dask="parallelized", output_dtypes=[np.float64, np.float64],
    )  # fmt: skip
    height.attrs = {"units": units.LENGTH, "long_name": "height above the glass", **cell_methods("yx", "mean")}
    result = with_error(like(ds, {"height": height}), "height", stderr)
    parameters = {
        "wavelength": wavelength, "refractive_index": refractive_index, "minimum": minimum, "maximum": maximum,
        "branch": branch, "noise": noise, "where": where, "variable": str(image.name),
    }  # fmt: skip
    return fusion.check(provenance.record(result, "volumes.height_from_interference", parameters))


def _intensity(ds: xr.Dataset, variable: str | None) -> xr.DataArray:
    others = describing(ds)
    images = [str(key) for key, array in ds.data_vars.items() if {"y", "x"} <= set(array.dims) and key not in others]
    chosen = [variable] if variable is not None else images
    if len(chosen) != 1 or chosen[0] not in images:
        raise ConventionError([f"variable={variable!r}: one image (y, x) is needed; the dataset has {images}"])
    image = ds[chosen[0]]
    if kind(image) == "label":
        raise ConventionError([f"{image.name}: labels have no height; intensities are needed"])
    return image.astype(np.float64)


def _require_sound(index: float, minimum: float, maximum: float, branch: int, noise: float | None) -> None:
    faults = []
    if not 1.0 <= index < 5.0:
        faults.append(f"refractive_index={index!r}: that of a transparent medium is needed, e.g. 1.33 for water")
    if not (np.isfinite(minimum) and np.isfinite(maximum) and minimum < maximum):
        faults.append(f"minimum={minimum!r}, maximum={maximum!r}: two intensities, the darker one first, are needed")
    if not isinstance(branch, (int, np.integer)) or isinstance(branch, bool) or branch < 0:
        faults.append(f"branch={branch!r}: the number of the half fringe is needed, 0 next to the glass")
    if noise is not None and not (np.isfinite(noise) and noise > 0):
        faults.append(f"noise={noise!r}: a positive standard deviation is needed")
    if faults:
        raise ConventionError(faults)


def _noise(ds: xr.Dataset, image: xr.DataArray, noise: float | None) -> Any:
    name = error_of(image)
    if noise is not None:
        return float(noise)
    if name is None:
        raise DataError(f"{image.name}: its noise is not known; give noise=, the standard deviation of a flat region")
    return ds[name]


def _require_one_branch(level: xr.DataArray, error: xr.DataArray, branch: int) -> None:
    """Refuse intensities beyond the extremes, and an area that an extreme divides into regions."""
    values, errors = level.values, error.values
    known = np.isfinite(values)
    if not known.any():
        raise DataError(f"{level.name}: no finite intensity")
    beyond = int((np.abs(values[known]) > 1.0 + _OUTSIDE * errors[known]).sum())
    if beyond > 0.01 * known.sum():
        reason = f"{beyond} of {known.sum()} intensities lie beyond minimum and maximum by more than the noise"
        raise DataError(f"{level.name}: {reason}; measure the extremes on a fringe of this image")
    if level.sizes["y"] * level.sizes["x"] != level.size:
        raise DataError(f"{level.name}: its shape is {dict(level.sizes)}; give one image at a time")
    regions = _regions(values.reshape(level.sizes["y"], level.sizes["x"]), branch)
    if regions > 1:
        reason = f"extremes divide it into {regions} regions or more, which may lie on different half fringes"
        raise DataError(f"{level.name}: {reason}; choose the pixels of one by where=, and say its branch")


def _regions(level: Array, branch: int) -> int:
    """Return the number of regions into which extremes divide one connected area; specks of noise do not count.

    Next to the glass, on branch 0, the dark extreme is the contact itself, and nothing lies beyond it.
    """
    from scipy import ndimage

    # Near an extreme the half fringe is ambiguous. Pixels on the slopes are grouped into connected regions: if one
    # connected area of known pixels holds two such groups, an extreme runs between them, and one branch cannot hold
    # for both.
    known = np.isfinite(level)
    slope = level < _SLOPE if branch == 0 else np.abs(level) < _SLOPE
    numbered, _ = ndimage.label(slope, structure=np.ones((3, 3)))
    areas, _ = ndimage.label(known, structure=np.ones((3, 3)))
    numbers, first, sizes = np.unique(numbered, return_index=True, return_counts=True)
    large = (numbers > 0) & (sizes > max(4, 0.01 * known.sum()))
    return int(np.bincount(areas.ravel()[first[large]], minlength=1).max())


def _branch_height(level: Array, error: Array, *, branch: int, scale: float) -> tuple[Array, Array]:
    """Return height and standard error: scale · (arccos of the intensity, counted within its half fringe)."""
    sign = 1.0 if branch % 2 == 0 else -1.0
    inside = np.clip(level, -1.0, 1.0)

    def phase(values: Array) -> Array:
        turned: Array = np.arccos(np.clip(-sign * values, -1.0, 1.0))
        return turned

    # The derivative of arccos diverges at the extremes, so the error is not propagated by it: it is the larger of the
    # two steps in height that one standard deviation up or down makes, which stays finite.
    middle, low, high = phase(inside), phase(inside - error), phase(inside + error)
    spread = np.maximum(np.abs(high - middle), np.abs(middle - low))
    return scale * (branch * np.pi + middle), scale * spread
