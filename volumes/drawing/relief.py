"""A height map as the relief that it is, with what is drawn on it draped over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import xarray as xr

from fusion.display import y_upwards
from fusion.errors import DataError
from volumes.drawing.annotations import round_length
from volumes.drawing.mesh import to_pyvista
from volumes.drawing.options import Options

if TYPE_CHECKING:
    import pyvista as pv

HEIGHT: Final = "height"
_SHARE: Final = 0.25
"""Of the longer side: what heights reach where no exaggeration is asked for."""


class Relief(NamedTuple):
    """Heights over y and x, and the factor by which they are drawn: negative where z points down on the screen."""

    height: xr.DataArray
    stretch: float


def relief_of(ds: xr.Dataset, options: Options) -> Relief | None:
    """Return the relief that a picture has, or None where it is to have none.

    Raises
    ------
    DataError
        If the dataset is no surface, no height is finite, or an option has no meaning for a relief or without one.
    """
    if options.style != "relief":
        if options.exaggeration is not None:
            raise DataError("exaggeration is that of heights: it needs style='relief'")
        return None
    if options.in_frame:
        raise DataError("a relief is seen in the axes of its own image; leave out in_frame=")
    height = ds.get(HEIGHT)
    if height is None or height.dims != ("y", "x"):
        held = {str(key): array.dims for key, array in ds.data_vars.items()}
        raise DataError(f"a relief is drawn of a variable {HEIGHT!r} over y and x; the dataset has {held}")
    if not np.isfinite(height.values).any():
        raise DataError("no height is finite, so there is no relief to draw")
    factor = _round_factor(height) if options.exaggeration is None else options.exaggeration
    return Relief(height, factor if y_upwards(ds) else -factor)


def _round_factor(height: xr.DataArray) -> float:
    """Return the round factor that lets heights reach a quarter of the longer side; 1 for those that do already."""
    span = float(height.max() - height.min())
    side = max(float(np.ptp(height[dim].values)) for dim in ("y", "x"))
    return max(1.0, round_length(_SHARE * side / span)) if span > 0 else 1.0


def draped(plane: xr.Dataset, relief: Relief) -> pv.DataSet:
    """Return an image as a surface over its heights, open where a height is missing."""
    surface: Any = to_pyvista(plane).cast_to_structured_grid()
    z = relief.height.values.astype(float).ravel()
    known = np.isfinite(z)
    surface.points[:, 2] = relief.stretch * np.where(known, z, z[known].min())
    return surface if known.all() else surface.extract_points(known, adjacent_cells=False)  # type: ignore[no-any-return]
