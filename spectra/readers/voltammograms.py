"""Voltammograms by place, as scanning electrochemical cell microscopy (hopping mode) exports them: a table as text.

The first line that is no comment (``#``) names the columns with their units, ``x (um), y (um), z (um), potential (V),
current (nA)``; z, the height at which the tip stood, may be missing. Other columns are left out; the attribute
``left_out`` names them. Columns stand apart by commas, semicolons or tabs, and by the latter two with decimal points or
commas.
Each place of a complete grid has the same potentials in the same order. A cyclic voltammogram has several sweeps, and
each of them, in which the potential rises or falls throughout, is an item of its own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.stored_array import StoredArray
from fusion.reading.titles import label_and_unit
from spectra.readers.number_tables import decimal_points, ends_within_a_number

_AGAIN: Final = "export the table again"
_SEPARATED: Final = re.compile(r"[,;\t]")
_NAMES: Final = {"e": "potential", "voltage": "potential", "i": "current"}
_UNITS: Final = {"x": "um", "y": "um", "z": "um", "potential": "V", "current": "A"}
_NEEDED: Final = ("x", "y", "potential", "current")
Array = npt.NDArray[np.float64]


class _Table(NamedTuple):
    """Columns as (places, potentials), the places in rows of the grid, and their units."""

    values: dict[str, Array]
    units: dict[str, str]
    shape: tuple[int, int]
    left_out: list[str]


def is_table(path: Path) -> bool:
    """Whether the first line that is no comment names a place, a potential and a current."""
    try:
        with path.open(encoding="utf-8") as stream:
            first = next((line for line in stream if line.strip() and not line.startswith("#")), "")
    except UnicodeDecodeError:
        return False
    return set(_NEEDED) <= set(_columns(first))


def arrays(path: Path) -> list[StoredArray]:
    """Return one item for each sweep; a table with a single sweep has the name of its file.

    The format does not say how many places there are: a file that was cut exactly after a row of the grid opens with
    the rows that are left.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If a place is missing or there twice, if places have different potentials, or if the file ends within a line.
    """
    table = _read(path)
    for name, unit in table.units.items():
        if not units.is_compatible(unit, _UNITS[name]):
            reason = f"its columns are no voltammograms: {name} is in {unit!r}, and not in {_UNITS[name]!r} or the like"
            raise FileReadError(path, reason, hint=_AGAIN)
    sweeps = _sweeps(table.values["potential"][0])
    names = [path.stem] if len(sweeps) == 1 else [f"sweep {number}" for number in range(1, len(sweeps) + 1)]
    return [array for name, sweep in zip(names, sweeps, strict=True) for array in _described(table, sweep, name)]


def _columns(line: str) -> dict[str, tuple[int, str]]:
    """Return number and unit of each column of places, potentials and currents, by its name."""
    columns = {}
    for number, title in enumerate(_SEPARATED.split(line)):
        label, unit = label_and_unit(title)
        name = _NAMES.get(label.lower(), label.lower())
        if unit and name in _UNITS:
            columns[name] = number, unit
    return columns


def _read(path: Path) -> _Table:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if ends_within_a_number(lines):
        raise FileReadError(path, f"cut short within line {len(lines)}", hint=_AGAIN)
    header, *rows = [line for line in lines if line.strip() and not line.startswith("#")]
    columns, titles = _columns(header), _SEPARATED.split(header.strip())
    numbers = [number for number, _ in columns.values()]
    if re.search(r"[;\t]", header):
        rows = decimal_points(path, rows)
    cells = [_SEPARATED.split(row.strip()) for row in rows]
    uneven = next((len(row) for row in cells if len(row) != len(titles)), 0)
    if uneven or not cells:
        raise FileReadError(path, f"a row has {uneven} numbers for the columns {', '.join(titles)}", hint=_AGAIN)
    try:
        values = np.array([[float(row[number]) for number in numbers] for row in cells])
    except ValueError as error:
        raise FileReadError(path, f"its table is damaged ({error})", hint=_AGAIN) from error
    left_out = [title for number, title in enumerate(titles) if number not in numbers]
    unit = {name: unit for name, (_, unit) in columns.items()}
    return _gridded(path, dict(zip(columns, values.T, strict=True)), unit, left_out)


def _gridded(path: Path, columns: dict[str, Array], unit: dict[str, str], left_out: list[str]) -> _Table:
    """Bring the places into the rows of a grid; the order of the potentials at a place is that of the file."""
    shape = (len(np.unique(columns["y"])), len(np.unique(columns["x"])))
    places = shape[0] * shape[1]
    order = np.lexsort((columns["x"], columns["y"]))
    if len(order) % places:
        reason = f"{len(order)} lines do not fill a grid of {shape[0]} x {shape[1]} places"
        raise FileReadError(path, reason, hint="copy it again; each place needs the same potentials")
    values = {name: column[order].reshape(places, -1) for name, column in columns.items()}
    grid = np.meshgrid(np.unique(columns["x"]), np.unique(columns["y"]))
    if any((values[name] != line.reshape(places, 1)).any() for name, line in zip("xy", grid, strict=True)):
        reason = f"its places are not a grid of {shape[0]} x {shape[1]}: one is missing or there twice"
        raise FileReadError(path, reason, hint="each place of the grid needs the same potentials")
    if "z" in values and np.ptp(values["z"], axis=1).any():
        raise FileReadError(path, "z changes within a place", hint="leave z out, or give the one of the contact")
    if np.ptp(values["potential"], axis=0).any():
        raise FileReadError(path, "the places have different potentials", hint="interpolate them to common ones")
    if not np.diff(values["potential"][0]).all():
        raise FileReadError(path, "the potential rests within a sweep", hint="leave out the lines of the rest")
    return _Table(values, unit, shape, left_out)


def _sweeps(potential: Array) -> list[slice]:
    """Return the stretches in which the potential rises or falls; the turning point belongs to the one before it."""
    if len(potential) < 2:
        return [slice(0, len(potential))]
    turns = np.flatnonzero(np.diff(np.sign(np.diff(potential)))) + 2
    bounds = [0, *turns.tolist(), len(potential)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _described(table: _Table, sweep: slice, name: str) -> list[StoredArray]:
    """Return the currents of a sweep, and the heights of the tip where the table has them."""
    currents = table.values["current"][:, sweep].reshape((*table.shape, -1))
    axes = {dim: Axis(table.units[dim], values=np.unique(table.values[dim])) for dim in ("y", "x")}
    potential = Axis(table.units["potential"], values=table.values["potential"][0, sweep])
    current = StoredArray(
        name=name,
        dims=("y", "x", "potential"),
        shape=currents.shape,
        dtype=currents.dtype,
        load=lambda: currents,
        axes={**axes, "potential": potential},
        attrs={"units": table.units["current"], "long_name": "current"},
        cell_method="point",
        dataset_attrs={"technique": "SECCM", **({"left_out": table.left_out} if table.left_out else {})},
        variable="current",
    )
    if "z" not in table.values:
        return [current]
    heights = table.values["z"][:, 0].reshape(table.shape) * units.convert_factor(table.units["z"], units.LENGTH)
    attrs = {"units": units.LENGTH, "long_name": "height"}
    height = replace(current, dims=("y", "x"), shape=table.shape, load=lambda: heights, axes=axes, attrs=attrs)
    return [current, replace(height, variable="height")]
