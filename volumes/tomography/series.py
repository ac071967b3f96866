"""A labelled tilt series as its reconstruction needs it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import check, title
from fusion.errors import ConventionError, DataError, IncompleteResultWarning
from fusion.model import require_lengths
from fusion.variables import main_variable
from volumes.tomography.shift import step_along

Array = npt.NDArray[Any]
TiltAxis = Literal["x", "y"]
_FEWEST: Final = 5
_NEGATIVE: Final = 0.02


@dataclass(frozen=True)
class TiltSeries:
    """Views (tilt, across, along) of a specimen that was turned about an axis of the image.

    Parameters
    ----------
    array : DataArray
        Lazy or not, with the dims in this order.
    across, along : str
        The axes of the image across and along the tilt axis.
    angles : (views,) array
        In degrees, with the sign by which a voxel (z, u) is seen at u cos t - z sin t.
    step : float
        Pixel size across the tilt axis in um.
    """

    array: xr.DataArray
    across: str
    along: str
    angles: Array
    step: float

    def slices(self, chosen: slice | Array) -> tuple[Array, Array | None]:
        """Return the values (tilt, across, slice) of some slices and where there are any; None if everywhere."""
        return cleaned(np.asarray(self.array.isel({self.along: chosen}).values))


def cleaned(values: Array) -> tuple[Array, Array | None]:
    """Return views with 0 for NaN, and 1 where there was a value; None where there were only values."""
    views = np.ascontiguousarray(values, dtype=np.float32)
    seen = np.isfinite(views)
    if seen.all():
        return views, None
    return np.where(seen, views, np.float32(0.0)), seen.astype(np.float32)


# The specimen's frame is that of the image without tilt, z along the beam. A stage that is tilted by t takes y to
# y cos t - z sin t (about x) and x to x cos t + z sin t (about y), right-handed as in `fusion.reading.stage`.
def tilt_series(ds: xr.Dataset, variable: str | None, axis: TiltAxis) -> TiltSeries:
    """Return the views of a dataset, checked.

    Raises
    ------
    ConventionError
        If the dims are not y, x and tilt, or `axis` is neither x nor y.
    DataError
        If there are fewer than five views or an axis of the image is not uniform.
    UnitError
        If the pixel size is not known.
    """
    array = main_variable(check(ds), variable)
    if set(array.dims) != {"y", "x", "tilt"}:
        needed = "a tilt series has the dims y, x and tilt, with the angles in degrees as coordinate"
        raise ConventionError([f"{array.name}: {needed}; its dims are {array.dims}"])
    if axis not in ("x", "y"):
        raise ConventionError(
            [f"axis={axis!r}: the tilt axis lies along 'x' or 'y'; volumes.align_tilts turns it there"]
        )
    require_lengths(ds, "reconstructed")
    if array.sizes["tilt"] < _FEWEST:
        raise DataError(f"{title(ds)}: {array.sizes['tilt']} views; at least {_FEWEST} are needed")
    across = "y" if axis == "x" else "x"
    tilts = array["tilt"].values.astype(np.float64)
    _warn_of_wedge(title(ds), float(tilts[-1] - tilts[0]))
    ordered = array.transpose("tilt", across, axis)
    angles = tilts if axis == "x" else -tilts
    return TiltSeries(ordered, across, axis, angles, step_along(array, across))


def _warn_of_wedge(name: str, span: float) -> None:
    if span < 90.0:
        warnings.warn(
            f"{name}: the views span {span:g} degrees; the missing {180.0 - span:g} degrees leave shapes undetermined",
            IncompleteResultWarning,
            stacklevel=4,
        )


def require_content(views: Array, seen: Array | None, name: str, *, nonnegative: bool) -> None:
    """Refuse views without values or signal, and negative ones where densities are not to be negative.

    Raises
    ------
    DataError
        Saying what is wrong and what to do.
    """
    total = float(np.abs(views).sum())
    if total == 0.0 or (seen is not None and not seen.any()):
        raise DataError(f"{name}: no signal in the views; they are zero or NaN throughout")
    # noise about zero averages out over views and slices; a background that was taken off does not
    profile = views.mean(axis=(0, 2))
    negative = float(-profile[profile < 0].sum() / np.abs(profile).sum())
    if nonnegative and negative > _NEGATIVE:
        raise DataError(
            f"{name}: {negative:.0%} of the intensity is negative, which no density above zero projects to; add the "
            "background that was taken off, or allow negative densities with nonnegative=False"
        )
