"""The bar of text below the image of an electron microscope."""

from __future__ import annotations

from typing import Final

import xarray as xr

from fusion import provenance
from fusion.errors import DataError

DATA_BAR: Final = "data_bar_rows"
"""Attribute: how many of the last rows of an image are a data bar, where the file says so (FEI, Tescan, JEOL)."""


def crop_data_bar(ds: xr.Dataset, rows: int | None = None) -> xr.Dataset:
    """Return an image without the data bar below it.

    The coordinates and the pose stay as they are: the bar was never counted among the rows of the field.

    Parameters
    ----------
    ds : Dataset
        An image of `volumes.open`, with the dim ``y``.
    rows : int, optional
        How many rows the bar has; left out, what the file says (FEI, Tescan and JEOL), kept as ``data_bar_rows``.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the file does not say how high the bar is and `rows` is left out, or if no row of the image would be left.

    Examples
    --------
    >>> import numpy as np
    >>> from fusion import Axis, dataset
    >>> ds = dataset({"image": (("y", "x"), np.eye(5))}, dict.fromkeys("yx", Axis("nm", 5.0)),
    ...              name="sem", cell_methods="mean")
    >>> crop_data_bar(ds, rows=2).sizes
    Frozen({'y': 3, 'x': 5})
    """
    bar = ds.attrs.get(DATA_BAR) if rows is None else rows
    if bar is None:
        raise DataError("the file does not say that there is a data bar; give its height, e.g. rows=64")
    height = ds.sizes.get("y", 0)
    if not 0 <= bar < height:
        raise DataError(
            f"a data bar of {bar} rows is none of an image of {height}; rows= is the height of the bar alone"
        )
    attrs = {key: value for key, value in ds.attrs.items() if key != DATA_BAR}
    cropped = ds.isel(y=slice(0, height - int(bar))).drop_attrs(deep=False).assign_attrs(attrs)
    return provenance.record(cropped, "volumes.crop_data_bar", {"rows": int(bar)})
