"""WITec text exports of a Raman map: one column for each spectrum, named by its pixel ``(x/y)`` in the map."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.stored_array import StoredArray
from spectra.attributes import technique
from spectra.readers.number_tables import decimal_points, ends_within_a_number

_AGAIN: Final = "export the whole map again"
HEAD: Final = b"X-Axis\t"
_PIXEL: Final = re.compile(r"\((\d+)/(\d+)\)\s*$")
_UNITS: Final = {"rel. 1/cm": ("raman_shift", "1/cm"), "nm": ("wavelength", "nm")}


def arrays(path: Path) -> list[StoredArray]:
    """Return the one map of a file, with the attribute ``truncated`` where spectra of its rectangle are missing.

    The format does not say how many channels and rows there are: a file that was cut exactly at the end of a line
    opens with the channels that are left, a map that was stopped after a row with its rows.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If it ends within a line, or its lines are no table of numbers.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = stream.readlines()
        lines = [*lines[:2], *decimal_points(path, lines[2:])]
        _require_complete(path, lines)
        titles, kinds = (line.rstrip("\n").split("\t") for line in lines[:2])
        return [_described(titles[1:], kinds, np.loadtxt(lines[2:], ndmin=2), path.stem)]
    except (ValueError, KeyError) as error:
        raise FileReadError(path, f"not a WITec export of a map ({error})", hint=_AGAIN) from error


def _require_complete(path: Path, lines: list[str]) -> None:
    """Refuse a file that ends within a line, or whose lines have not a number for each title."""
    columns = len(lines[0].split("\t"))
    counts = {number: len(line.split()) for number, line in enumerate(lines[2:], start=3) if line.strip()}
    number, count = next(((key, value) for key, value in counts.items() if value != columns), (0, columns))
    if not counts or ends_within_a_number(lines[2:]):
        raise FileReadError(path, f"cut short within line {len(lines)}", hint=_AGAIN)
    if number:
        raise FileReadError(path, f"cut short or damaged: line {number} has {count} of {columns} columns", hint=_AGAIN)


def _described(titles: list[str], kinds: list[str], table: npt.NDArray[np.float64], name: str) -> StoredArray:
    dim, unit = _UNITS[kinds[0].strip()]
    columns, rows = _pixels(titles)
    values = np.full((rows.max() + 1, columns.max() + 1, len(table)), np.nan)
    values[rows, columns] = table[:, 1:].T
    planned, measured = values.shape[0] * values.shape[1], len({*zip(rows.tolist(), columns.tolist(), strict=True)})
    stopped = {"truncated": f"{measured} of {planned} spectra were measured"} if measured < planned else {}
    return StoredArray(
        name=name,
        dims=("y", "x", dim),
        shape=values.shape,
        dtype=values.dtype,
        load=lambda: values,
        axes={dim: Axis(unit, values=table[:, 0])},
        attrs={"units": "count" if kinds[1].strip().endswith("cts") else "1", "long_name": "intensity"},
        dataset_attrs={"technique": technique("", (dim,)), "instrument": "WITec", **stopped},
        variable="intensity",
    )


def _pixels(titles: list[str]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the column and the row of each spectrum in the map."""
    pixels = [_PIXEL.search(title) for title in titles]
    if not all(pixels):
        raise ValueError(f"column {titles[pixels.index(None)]!r} does not say its pixel (x/y)")
    numbers = np.array([[int(number) for number in pixel.groups()] for pixel in pixels if pixel], dtype=np.intp)
    return numbers[:, 0], numbers[:, 1]
