"""Levelling of heights: the tilt of the specimen, or the offset and tilt of each scan line, taken off a background."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import kind
from fusion.errors import ConventionError, DataError
from fusion.model import like

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Levelling = Literal["plane", "lines"]
_FEWEST: Final = 8
"""Pixels that a plane or a line needs."""
_ROUNDS: Final = 15
_TUKEY: Final = 4.685
"""Residual over its scale from which Tukey's biweight is zero; 95 % efficient for normal noise."""
_MAD: Final = 1.4826
_EXACT: Final = 1e-9
"""Residual, relative to the range of the heights, that counts as none."""


def level(
    ds: xr.Dataset, *, method: Levelling = "plane", mask: xr.DataArray | None = None, variable: str = "height"
) -> xr.Dataset:
    """Take the tilt of a specimen, or offset and tilt of each scan line, off a height image.

    Parameters
    ----------
    ds : Dataset
        With a height (y, x); one row along x is a scan line.
    method : {"plane", "lines"}
        "plane" subtracts one plane. "lines" subtracts from each row its own straight line: offsets between lines, as
        drift and feedback leave them.
    mask : DataArray of bool, dims (y, x), optional
        The background, which is level in truth. Left out, it is found: pixels that lie within the noise of the plane or
        line through most pixels. Objects that fill more than half of a row need a mask.
    variable : str
        The height to level; others are kept as they are.

    Returns
    -------
    Dataset
        The background is at zero height. The labels ``<variable>_background`` say which pixels were taken for it: 1 for
        background, 0 for objects, and for pixels without a value. Standard errors are kept: that of the plane is
        smaller by the square root of the number of pixels.

    Raises
    ------
    ConventionError
        If the method or the mask is none, or the variable is no image (y, x).
    DataError
        If fewer than 8 pixels of the image, or of a row, are background.

    Examples
    --------
    >>> y, x = np.mgrid[:20, :30]
    >>> tilted = 0.01 * x + 0.02 * y + 5.0 * ((x > 10) & (x < 15) & (y > 8))
    >>> px = fusion.Axis("um", 1.0)
    >>> ds = fusion.dataset({"height": (("y", "x"), tilted, {"units": "um"})}, {"y": px, "x": px}, name="scan",
    ...                     cell_methods="mean")
    >>> levelled = level(ds)
    >>> float(levelled["height"].max().round(6)), int((levelled["height_background"] == 0).sum())
    (5.0, 44)
    """
    height = _height(fusion.check(ds), variable)
    if method not in get_args(Levelling):
        raise ConventionError([f"method={method!r}: 'plane' or 'lines' is expected"])
    allowed = np.isfinite(height.values) & _allowed(mask, height)
    values = height.values.astype(np.float64)
    positions = {dim: height[dim].values - float(height[dim].values.mean()) for dim in ("y", "x")}
    trend, background = (_plane if method == "plane" else _lines)(values, allowed, positions)
    levelled = height.copy(data=(values - trend).astype(np.result_type(height.dtype, np.float32)))
    name = f"{variable}_background"
    labels = xr.DataArray(
        background.astype(np.int32), dims=height.dims,
        attrs={"units": "1", "long_name": f"what {variable} was levelled on", "flag_values": np.array([0, 1], np.int32),
               "flag_meanings": "object background"},
    )  # fmt: skip
    kept = {str(key): array for key, array in ds.data_vars.items()}
    result = like(ds, {**kept, variable: levelled, name: labels})
    parameters = {"method": method, "mask": mask, "variable": variable}
    return fusion.check(provenance.record(result, "volumes.level", parameters))


def _height(ds: xr.Dataset, variable: str) -> xr.DataArray:
    images = [
        str(name) for name, array in ds.data_vars.items() if set(array.dims) == {"y", "x"} and kind(array) != "label"
    ]
    if variable not in images:
        raise ConventionError([f"variable={variable!r}: a height (y, x) is needed; the dataset has {images}"])
    return ds[variable].transpose("y", "x")


def _allowed(mask: xr.DataArray | None, height: xr.DataArray) -> Mask:
    if mask is None:
        return np.ones(height.shape, dtype=bool)
    if not isinstance(mask, xr.DataArray) or mask.dtype != bool or mask.sizes != height.sizes:
        received = f"{type(mask).__name__} {dict(getattr(mask, 'sizes', {}))} {getattr(mask, 'dtype', '')}".strip()
        raise ConventionError([f"mask={received}: true and false on the pixels of {dict(height.sizes)} are needed"])
    return np.asarray(mask.transpose("y", "x").values)


def _plane(values: Array, allowed: Mask, positions: dict[str, Array]) -> tuple[Array, Mask]:
    # z = a + b y + c x, with y and x from their means, so that a does not depend on b and c
    y, x = np.broadcast_arrays(positions["y"][:, None], positions["x"])
    design = np.stack([np.ones_like(y), y, x], axis=-1)
    _require(int(allowed.sum()), "the image")
    coefficients, level = _robust(design[allowed], values[allowed])
    background = np.zeros(values.shape, dtype=bool)
    background[allowed] = level
    return design @ coefficients, background


def _lines(values: Array, allowed: Mask, positions: dict[str, Array]) -> tuple[Array, Mask]:
    # z = a + b x in each row by itself: feedback and drift shift rows against each other, and b changes with them
    design = np.stack([np.ones_like(positions["x"]), positions["x"]], axis=-1)
    trend, background = np.zeros_like(values), np.zeros(values.shape, dtype=bool)
    for row, inside in enumerate(allowed):
        _require(int(inside.sum()), f"row {row}")
        coefficients, background[row, inside] = _robust(design[inside], values[row, inside])
        trend[row] = design @ coefficients
    return trend, background


def _require(count: int, where: str) -> None:
    if count < _FEWEST:
        raise DataError(
            f"{count} pixels of {where} are background, at least {_FEWEST} are needed; give a larger mask, "
            "or method='plane'"
        )


def _robust(design: Array, values: Array) -> tuple[Array, Mask]:
    """Return the coefficients of a fit that objects do not pull, and which values lie on it."""
    # Iterated weighted least squares. Weights 1 / |r| minimise the sum of |r|, which few large residuals do not pull,
    # from any start; then Tukey's biweight (1 − (r / c s)²)² with s = 1.4826 median |r| gives objects no weight at all
    # (Beaton and Tukey, Technometrics 16, 147 (1974)). A background without noise has s = 0: the least scale, a
    # billionth of the range, or of a um if there is none, then separates it from objects, where a division by zero
    # would keep or drop all.
    least = _EXACT * (float(np.ptp(values)) or 1.0)
    weights = np.ones_like(values)
    for step in range(2 * _ROUNDS):
        root = np.sqrt(weights)
        coefficients: Any = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        size = np.abs(values - design @ coefficients)
        scale = max(_MAD * float(np.median(size)), least)
        tukey = np.maximum(1.0 - (size / (_TUKEY * scale)) ** 2, 0.0) ** 2
        weights = 1.0 / np.maximum(size, scale / 10.0) if step < _ROUNDS else tukey
    return np.asarray(coefficients), np.asarray(size <= _TUKEY * scale)
