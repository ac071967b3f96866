"""Points and tables as CSV, for spreadsheets, R and pandas: a row for each point, a column for each value."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.errors import ConventionError
from fusion.files.aside import aside

Column = tuple[str, npt.NDArray[Any]]


def write_csv(ds: xr.Dataset, target: Path) -> None:
    """Write variables along one dim as columns named with their unit; a second dim gives a column for each label.

    Numbers are written so that reading gives the same float; NaN is an empty cell.

    Raises
    ------
    ConventionError
        If the variables have no dim in common that comes first in each.
    """
    dim = _row_dim(ds)
    columns = list(_columns(ds, dim))
    with aside(target) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([name for name, _ in columns])
        writer.writerows(zip(*(map(_cell, values.tolist()) for _, values in columns), strict=True))


def _row_dim(ds: xr.Dataset) -> str:
    first = {str(array.dims[0]) if array.ndim in (1, 2) else "" for array in ds.data_vars.values()}
    if len(first) != 1 or "" in first:
        held = ", ".join(f"{name} {array.dims}" for name, array in ds.data_vars.items())
        reason = "a table has variables along one dim, such as point, with at most a second one"
        raise ConventionError([f"{reason}; received {held}; choose some of them with ds[[...]], or export to .nc"])
    return first.pop()


def _columns(ds: xr.Dataset, dim: str) -> Iterator[Column]:
    named = [*(name for name in ds.coords if ds[name].dims == (dim,)), *ds.data_vars]
    for name in named:
        array = ds[name]
        unit = array.attrs.get("units", "1")
        end = "" if unit == "1" else f" ({unit})"
        if array.ndim == 1:
            yield f"{name}{end}", array.values
            continue
        second = array.dims[1]
        labels = ds[second].values if second in ds.coords else np.arange(array.sizes[second])
        yield from ((f"{name}_{label}{end}", array.values[:, index]) for index, label in enumerate(labels))


def _cell(value: Any) -> Any:
    return "" if value != value else value
