"""Landmarks that were picked, as a dataset: made of pairs, and read from the file that a page saves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import dataset, provenance, units
from fusion.errors import FileReadError
from fusion.reading.paths import PathArg

SIDES: Final = ("moving", "fixed")
_COLUMNS: Final = ["moving_y", "moving_x", "fixed_y", "fixed_x"]


def as_dataset(pairs: npt.ArrayLike, names: Sequence[str] = SIDES) -> xr.Dataset:
    """Return pairs (n, 2, 2), of moving and fixed, y and x in um, as a dataset with a variable for each side."""
    at = np.asarray(pairs, dtype=np.float64).reshape(-1, 2, 2)
    meaning = dict(zip(SIDES, names, strict=True))
    variables = {
        side: (("point", "axis"), at[:, k], {"units": units.LENGTH, "long_name": f"landmarks in {meaning[side]}"})
        for k, side in enumerate(SIDES)
    }
    return dataset(variables, {"axis": ["y", "x"]}, name="landmarks")


def read_landmarks(path: PathArg) -> xr.Dataset:
    """Read the landmarks that the page of `volumes.pick_page` saved.

    Parameters
    ----------
    path : path-like
        A CSV file with the columns ``moving_y, moving_x, fixed_y, fixed_x`` in um.

    Returns
    -------
    Dataset
        Variables ``moving`` and ``fixed`` over (point, axis), axis y and x, as `fusion.register_landmarks` takes
        them: ``register_landmarks(marks["moving"], marks["fixed"], model="rigid")``.

    Raises
    ------
    FileReadError
        If the file cannot be read, or a row is no pair.
    """
    source = Path(path)
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileReadError(source, str(getattr(error, "strerror", None) or error)) from error
    head, *rows = list(csv.reader(line for line in lines if line.strip() and not line.startswith("#"))) or [[]]
    if [name.strip() for name in head] != _COLUMNS:
        raise FileReadError(source, f"its columns are {head}", hint=f"the first row names {', '.join(_COLUMNS)}")
    try:
        pairs = np.array([[float(cell) for cell in row] for row in rows]).reshape(-1, 4)
    except ValueError as error:
        raise FileReadError(source, f"a row is not four numbers ({error})") from error
    if not np.isfinite(pairs).all():
        raise FileReadError(source, f"landmark {int(np.argwhere(~np.isfinite(pairs))[0, 0])} is not finite")
    return provenance.record(as_dataset(pairs), "volumes.read_landmarks", inputs=[source])
