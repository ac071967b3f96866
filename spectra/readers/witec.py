"""WITec text exports of a Raman map: one column for each spectrum, named by its place ``(x/y)`` in the map."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion.errors import ConventionError, FileReadError, UnitError
from fusion.model import Axis
from fusion.reading.contents import Builders
from spectra.attributes import technique

_AGAIN: Final = "export the whole map again"
HEAD: Final = b"X-Axis\t"
_PLACE: Final = re.compile(r"\((\d+)/(\d+)\)\s*$")
_UNITS: Final = {"rel. 1/cm": ("raman_shift", "1/cm"), "nm": ("wavelength", "nm")}


def builders(path: Path) -> Builders:
    """Return the one map of a file.

    The format does not say how many channels there are: a file that was cut exactly at the end of a line opens with
    the channels that are left.

    Parameters
    ----------
    path : Path
    """
    return {path.stem: partial(_build, path)}


def _build(path: Path) -> xr.Dataset:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = stream.readlines()
        _require_whole(path, lines)
        titles, said = (line.rstrip("\n").split("\t") for line in lines[:2])
        table = np.loadtxt(lines[2:], ndmin=2)
        return _labelled(titles[1:], said, table, path.stem)
    except (ConventionError, UnitError, ValueError, KeyError) as error:
        raise FileReadError(path, f"not a WITec export of a map ({error})", hint=_AGAIN) from error


def _require_whole(path: Path, lines: list[str]) -> None:
    """Refuse a file that ends within a line, or whose lines have not a number for each title."""
    columns = len(lines[0].split("\t"))
    counts = {number: len(line.split()) for number, line in enumerate(lines[2:], start=3) if line.strip()}
    number, count = next(((key, value) for key, value in counts.items() if value != columns), (0, columns))
    # the last number of a line without an end may lack digits, even where every column is there
    if not counts or not lines[-1].endswith("\n"):
        raise FileReadError(path, f"cut short within line {len(lines)}", hint=_AGAIN)
    if number:
        raise FileReadError(path, f"cut short or damaged: line {number} has {count} of {columns} columns", hint=_AGAIN)


def _labelled(titles: list[str], said: list[str], table: npt.NDArray[np.float64], name: str) -> xr.Dataset:
    dim, unit = _UNITS[said[0].strip()]
    columns, rows = _places(titles)
    values = np.full((rows.max() + 1, columns.max() + 1, len(table)), np.nan)
    values[rows, columns] = table[:, 1:].T
    counted = "count" if said[1].strip().endswith("cts") else "1"
    return fusion.dataset(
        {"intensity": (("y", "x", dim), values, {"units": counted})},
        {"y": Axis("px", step=1.0), "x": Axis("px", step=1.0), dim: Axis(unit, values=table[:, 0])},
        name=name,
        cell_methods="mean",
        attrs={"technique": technique("", (dim,)), "instrument": "WITec"},
    )


def _places(titles: list[str]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    found = [_PLACE.search(title) for title in titles]
    if not all(found):
        raise ValueError(f"column {titles[found.index(None)]!r} does not say its place (x/y)")
    numbers = np.array([[int(part) for part in match.groups()] for match in found if match], dtype=np.intp)
    return numbers[:, 0], numbers[:, 1]
