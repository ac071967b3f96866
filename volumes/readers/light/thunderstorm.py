"""Localisations as text: the tables of ThunderSTORM (Ovesný et al., Bioinformatics 30, 2389, 2014).

Their columns are separated by commas; a spreadsheet that saves them again may put tabs or semicolons, write decimals
with a comma, and quote the line of titles, which holds quotes itself, as a whole.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.conventions import SPATIAL
from fusion.errors import FileReadError, TruncatedFileWarning
from fusion.reading.metadata import decoded
from fusion.reading.stored_array import StoredArray, Unreadable
from volumes.readers.light.localisations import X_ERROR, Y_ERROR, Z_ERROR, Column, arrays_of
from volumes.readers.unit_spelling import spelled

Array = npt.NDArray[np.float64]
_SEPARATORS: Final = ",;\t"
_POSITION: Final = re.compile(r"[xyz] ?\[")
_BEFORE: Final = re.compile(r"^(?:(?:sep=.|#[^\n]*)\n)+", re.IGNORECASE)
"""What may stand before the titles: comments, and the line in which a spreadsheet notes its separator."""
_QUOTED_COMMA: Final = re.compile(r'"([-+]?\d+),(\d+(?:[eE][-+]?\d+)?)"')
"""A number with a decimal comma, which a spreadsheet quotes where commas stand between the columns."""
_COUNT, _PHOTONS = "count", ("photon", "photons")
_WITHOUT_END: Final = "its last line has no end: complete, or cut within its last number"
_NAMES: Final = {
    "frame": "frame_number", "intensity": "photons", "offset": "background", "bkgstd": "background_std",
    "sigma": "psf_sigma", "sigma1": "psf_sigma_1", "sigma2": "psf_sigma_2", "uncertainty_z": Z_ERROR,
}  # fmt: skip


def is_table(head: bytes) -> bool:
    """Whether a file begins with a row of titles, one of which is a position with its unit: ``"x [nm]"``."""
    line = _plain_lines(head).partition("\n")[0].rstrip(_SEPARATORS)
    return any(_POSITION.match(title) for separator in _SEPARATORS for title in _fields(line, separator))


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the columns of a table, whose titles name units.

    ``uncertainty_xy``, in older files ``uncertainty``, holds for x and for y.

    Warns
    -----
    TruncatedFileWarning
        If the last line has no end: it is complete, or cut within its last number.
    """
    text = _plain_lines(path.read_bytes())
    line, _, body = text.partition("\n")
    separator, titles = _titles(line.rstrip(_SEPARATORS))
    if line.endswith(tuple(_SEPARATORS)):
        # a spreadsheet fills all lines up to the same number of cells
        body = re.sub(rf"[{_SEPARATORS}]+$", "", body, flags=re.MULTILINE)
    rows = _rows(path, body, separator, titles)
    columns: dict[str, Column] = {}
    left_out: list[StoredArray | Unreadable] = []
    for title, values in zip(titles, rows.T, strict=True):
        label, _, unit = title.strip().rstrip("]").partition("[")
        label = label.strip()
        for name in _names(label):
            if name in columns:
                raise FileReadError(path, f"two columns are called {name!r}", hint="leave one of them out")
            known = _COUNT if unit in _PHOTONS else spelled(unit, units.LENGTH) or unit
            if units.is_compatible(known, known):
                columns[name] = Column(known, rows.dtype, values.copy)
            else:
                error = _unknown(path, title)
                if name in SPATIAL:
                    raise error
                left_out.append(Unreadable(name, error))
    return [*arrays_of(path, columns, {"columns": titles}, _without_end(path, text)), *left_out]


def _plain_lines(content: bytes) -> str:
    """Return text whose lines end in one way, from the line of titles on."""
    return _BEFORE.sub("", decoded(content).replace("\r\n", "\n").replace("\r", "\n"))


def _titles(line: str) -> tuple[str, list[str]]:
    """Return the separator of the columns and their titles: that which sets a position apart."""
    headers = {separator: _fields(line, separator) for separator in _SEPARATORS}
    return max(headers.items(), key=lambda item: sum(bool(_POSITION.match(title)) for title in item[1]))


def _fields(line: str, separator: str) -> list[str]:
    """Return the fields of a line, also of one that was quoted as a whole."""
    try:
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
        quoted_as_one = len(fields) == 1 and fields[0] != line
        return next(csv.reader(fields, delimiter=separator, skipinitialspace=True), []) if quoted_as_one else fields
    except csv.Error:  # no line of text
        return []


def _rows(path: Path, body: str, separator: str, titles: Sequence[str]) -> Array:
    if not body.strip():
        return np.empty((0, len(titles)))
    numbers = _QUOTED_COMMA.sub(r"\1.\2", body).replace('"', "")
    if separator != ",":
        numbers = numbers.replace(",", ".")
    filled = re.sub(rf"(?<={separator})(?= *(?:{separator}|$))|^(?={separator})", "nan", numbers, flags=re.MULTILINE)
    try:
        rows = np.loadtxt(StringIO(filled), delimiter=separator, ndmin=2, comments=None)
    except ValueError as error:
        raise FileReadError(path, f"a row is damaged ({error})", hint="export the table again") from error
    if rows.shape[1] != len(titles):
        reason = f"the rows have {rows.shape[1]} numbers where the titles name {len(titles)} columns"
        raise FileReadError(path, reason, hint="export the table again")
    positions = rows[:, [bool(_POSITION.match(title)) for title in titles]]
    if "nan" not in numbers.lower() and np.isnan(positions).any():
        raise FileReadError(path, "a row is damaged (a position is empty)", hint="export the table again")
    return rows


def _without_end(path: Path, text: str) -> dict[str, str]:
    """Return the attribute of a table whose last line has no end, and warn of it."""
    if text.endswith(("\n", "\r")):
        return {}
    warnings.warn(TruncatedFileWarning(f"{path}: {_WITHOUT_END}"), stacklevel=4)
    return {"truncated": _WITHOUT_END}


def _names(label: str) -> list[str]:
    if label in ("uncertainty", "uncertainty_xy"):
        return [Y_ERROR, X_ERROR]
    return [_NAMES.get(label, re.sub(r"\W", "_", label))]


def _unknown(path: Path, title: str) -> FileReadError:
    reason = f"the column {title!r} has a unit that is not known"
    return FileReadError(path, reason, hint="export the table in nm and photons")
