"""An image as the page for picking landmarks holds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from fusion import units
from fusion.conventions import check, spacing, spatial_dims, title
from fusion.display import y_upwards
from fusion.errors import DataError, UnitError
from volumes.drawing import layers
from volumes.drawing.mesh import refuse_points, unlinked
from volumes.drawing.mixing import mixed
from volumes.drawing.options import Options, chosen
from volumes.viewer import _planes

_LARGEST = 2048


def image(ds: xr.Dataset, side: str) -> tuple[dict[str, Any], list[_planes.Bytes]]:
    """Return what a page says of an image, and its planes: one of grey, or red, green and blue.

    Raises
    ------
    DataError
        If it is no image on uniform axes.
    UnitError
        If a pixel size is not known: landmarks are in um.
    """
    ds = check(unlinked(ds))
    refuse_points(ds)
    ds = ds.squeeze("z") if ds.sizes.get("z") == 1 else ds
    if spatial_dims(ds) != ("y", "x"):
        raise DataError(f"{side}: landmarks are picked in an image with y and x; take a plane, e.g. ds.isel(z=5), or "
                        "volumes.slice")  # fmt: skip
    if ds["x"].attrs["units"] != units.LENGTH:
        raise UnitError(f"{side}: the size of a pixel is not known; fusion.set_pixel_size gives it")
    # every n-th pixel of a large image: its place is that of the pixel, whatever lies between
    stride = -(-max(ds.sizes["y"], ds.sizes["x"]) // _LARGEST)
    ds = ds.isel(y=slice(None, None, stride), x=slice(None, None, stride)).compute()
    steps = [spacing(ds[dim]) for dim in ("y", "x")]
    if None in steps:
        raise DataError(f"{side}: {title(ds)} has no uniform y and x; fusion.resample it to a uniform grid first")
    header = {
        "name": title(ds), "shape": [ds.sizes["y"], ds.sizes["x"]], "step": steps,
        "origin": [float(ds[dim][0]) for dim in ("y", "x")], "z": float(ds["z"]) if "z" in ds.coords else None,
        "yUp": y_upwards(ds),
    }  # fmt: skip
    return header, _shades(ds)


def _shades(ds: xr.Dataset) -> list[_planes.Bytes]:
    drawn = chosen(ds, Options())
    shown = [layers.grey_layer(drawn.grey)] if drawn.grey is not None else drawn.layers
    colours = mixed(shown)
    if drawn.grey is not None:
        layer = shown[0]
        return [_planes.coded_brightness(np.asarray(layer.values, dtype=np.float64), layer.bottom, layer.top)]
    return [np.ascontiguousarray(colours[..., k]) for k in range(3)]
