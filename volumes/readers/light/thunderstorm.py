"""Localisations as text: the tables of ThunderSTORM (Ovesný et al., Bioinformatics 30, 2389, 2014) and the like.

Their columns are separated by commas; a spreadsheet that saves them again may put tabs or semicolons, write decimals
with a comma, and quote the line of titles, which holds quotes itself, as a whole. Other programs write the unit of a
position in another way, ``X (um)`` or ``x_nm``, and columns of words, which are left out with the reason.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fusion import units
from fusion.conventions import SPATIAL
from fusion.errors import FileReadError, TruncatedFileWarning
from fusion.reading.metadata import decoded
from fusion.reading.stored_array import StoredArray, Unreadable
from fusion.reading.titles import label_and_unit
from volumes.readers.light.localisations import X_ERROR, Y_ERROR, Z_ERROR, Column, arrays_of
from volumes.readers.unit_spelling import spelled

_SEPARATORS: Final = ",;\t"
_POSITION: Final = re.compile(r"(?:position[ _]?)?([xyz])(?:[ _]?position)?", re.IGNORECASE)
_BEFORE: Final = re.compile(r"^(?:(?:sep=.|#[^\n]*)\n)+", re.IGNORECASE)
"""What may stand before the titles: comments, and the line in which a spreadsheet notes its separator."""
_QUOTED_COMMA: Final = re.compile(r'"([-+]?\d+),(\d+(?:[eE][-+]?\d+)?)"')
"""A number with a decimal comma, which a spreadsheet quotes where commas stand between the columns."""
_COUNT, _PHOTONS = "count", ("photon", "photons")
_MISSING: Final = ("", "na", "n/a", "nan", "null", "none", "-")
"""What programs write where a number is missing."""
_WITHOUT_END: Final = "its last line has no end: complete, or cut within its last number"
_NAMES: Final = {
    "frame": "frame_number", "intensity": "photons", "offset": "background", "bkgstd": "background_std",
    "sigma": "psf_sigma", "sigma1": "psf_sigma_1", "sigma2": "psf_sigma_2", "uncertainty_z": Z_ERROR,
    "number photons": "photons", "first frame": "frame_number",
}  # fmt: skip


def is_table(head: bytes) -> bool:
    """Whether a file begins with a row of titles, one of which is a position with its unit, and none a voltage."""
    line = _plain_lines(head).partition("\n")[0].rstrip(_SEPARATORS)
    _, titles = _titles(line)
    of_voltages = any(units.is_compatible(label_and_unit(title)[1], "V") for title in titles)
    return any(map(_is_position, titles)) and not of_voltages


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
    columns: dict[str, Column] = {}
    left_out: list[StoredArray | Unreadable] = []
    for title, values in zip(titles, _columns(path, body, separator, titles), strict=True):
        label, written = label_and_unit(title)
        unit = _COUNT if written in _PHOTONS else spelled(written, units.LENGTH) or written
        fault = _fault(path, title, unit, values)
        for name in _names(label):
            if name in columns:
                raise FileReadError(path, f"two columns are called {name!r}", hint="leave one of them out")
            if fault is None:
                columns[name] = Column(unit, values.dtype, values.copy)
            elif name in SPATIAL:
                raise fault
            else:
                left_out.append(Unreadable(name, fault))
    return [*arrays_of(path, columns, {"columns": titles}, _without_end(path, text)), *left_out]


def _fault(path: Path, title: str, unit: str, values: NDArray[Any]) -> FileReadError | None:
    """Return why a column cannot be read; None if it can."""
    if values.dtype.kind not in "f":
        word = next(word for word in values.tolist() if not _is_number(word))
        reason = f"the column {title!r} holds words, such as {word!r}"
        return FileReadError(path, reason, hint="give numbers instead, e.g. one for each word")
    if not units.is_compatible(unit, unit):
        reason = f"the column {title!r} has a unit that is not known"
        return FileReadError(path, reason, hint="export the table in nm and photons")
    return None


def _plain_lines(content: bytes) -> str:
    """Return text whose lines end in one way, from the line of titles on."""
    return _BEFORE.sub("", decoded(content).replace("\r\n", "\n").replace("\r", "\n"))


def _titles(line: str) -> tuple[str, list[str]]:
    """Return the separator of the columns and their titles: that which sets a position apart."""
    headers = {separator: _fields(line, separator) for separator in _SEPARATORS}
    return max(headers.items(), key=lambda item: sum(map(_is_position, item[1])))


def _is_position(title: str) -> bool:
    """Whether a title is a position with a unit of length, or in pixels of the camera, or any unit in brackets."""
    label, unit = label_and_unit(title)
    return bool(unit and _POSITION.fullmatch(label))


def _fields(line: str, separator: str) -> list[str]:
    """Return the fields of a line, also of one that was quoted as a whole."""
    try:
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
        quoted_as_one = len(fields) == 1 and fields[0] != line
        return next(csv.reader(fields, delimiter=separator, skipinitialspace=True), []) if quoted_as_one else fields
    except csv.Error:  # no line of text
        return []


def _columns(path: Path, body: str, separator: str, titles: Sequence[str]) -> list[NDArray[Any]]:
    """Return the columns of a table: numbers, or text where they hold words."""
    if not body.strip():
        return [np.empty(0) for _ in titles]
    numbers = _QUOTED_COMMA.sub(r"\1.\2", body)
    if separator != ",":
        numbers = numbers.replace(",", ".")
    bare = numbers.replace('"', "")
    filled = re.sub(rf"(?<={separator})(?= *(?:{separator}|$))|^(?={separator})", "nan", bare, flags=re.MULTILINE)
    try:
        columns = list(_table(path, StringIO(filled), separator, titles).T)
    except ValueError:
        words = _table(path, StringIO(numbers), separator, titles, words=True)
        columns = [_as_numbers(column) for column in words.T]
    positions = [column for title, column in zip(titles, columns, strict=True) if _is_position(title)]
    if any(column.dtype.kind != "f" for column in positions):
        raise FileReadError(path, "a row is damaged (a position is no number)", hint="export the table again")
    if "nan" not in bare.lower() and any(np.isnan(column).any() for column in positions):
        raise FileReadError(path, "a row is damaged (a position is empty)", hint="export the table again")
    return columns


def _table(path: Path, body: StringIO, separator: str, titles: Sequence[str], *, words: bool = False) -> NDArray[Any]:
    """Return the cells of a table, as numbers or as text.

    Raises
    ------
    ValueError
        If a cell is no number.
    FileReadError
        If the rows have not a cell for each title.
    """
    options: dict[str, Any] = {"delimiter": separator, "ndmin": 2, "comments": None}
    try:
        rows = np.loadtxt(body, dtype=str, quotechar='"', **options) if words else np.loadtxt(body, **options)
    except ValueError as error:
        if not words:
            raise
        raise FileReadError(path, f"a row is damaged ({error})", hint="export the table again") from error
    if rows.shape[1] != len(titles):
        reason = f"the rows have {rows.shape[1]} numbers where the titles name {len(titles)} columns"
        raise FileReadError(path, reason, hint="export the table again")
    return np.asarray(rows)


def _as_numbers(words: NDArray[Any]) -> NDArray[Any]:
    """Return a column as numbers, NaN where they are missing, or as it is where it holds words."""
    column = [word.strip() for word in words.tolist()]
    if not all(map(_is_number, column)):
        return words
    return np.array([np.nan if word.lower() in _MISSING else float(word) for word in column])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word.strip().lower() in _MISSING
    return True


def _without_end(path: Path, text: str) -> dict[str, str]:
    """Return the attribute of a table whose last line has no end, and warn of it."""
    if text.endswith(("\n", "\r")):
        return {}
    warnings.warn(TruncatedFileWarning(f"{path}: {_WITHOUT_END}"), stacklevel=4)
    return {"truncated": _WITHOUT_END}


def _names(label: str) -> list[str]:
    plain = label.lower()
    if plain in ("uncertainty", "uncertainty_xy", "precision"):
        return [Y_ERROR, X_ERROR]
    if position := _POSITION.fullmatch(plain):
        return [position[1]]
    return [_NAMES.get(plain, re.sub(r"\W", "_", label))]
