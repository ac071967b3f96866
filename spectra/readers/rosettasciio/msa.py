"""Spectra of EMSA/MAS (msa), where RosettaSciIO drops the column X and takes a decimal comma for a separator.

ISO 22029: ``#DATATYPE XY`` writes the abscissa of each channel beside its value, ``#NPOINTS`` says how many channels
there are, and a unit may stand behind a keyword, ``#BEAMKV -kV``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.errors import FileReadError
from spectra.axes import number

Array = npt.NDArray[np.float64]
Raw = dict[str, Any]
_KEYWORD: Final = re.compile(r"^#\s*([A-Za-z_]+)\s*(?:-\s*(\w+)\s*)?:\s*(.*?)\s*$")
_DECIMAL_COMMA: Final = re.compile(r"^[-+]?\d+,\d+(?:[eE][-+]?\d+)?$")
_WITH_COMMAS: Final = re.compile(r"[^\s;]+")
_BETWEEN_COMMAS: Final = re.compile(r"[^\s;,]+")


def read(path: Path) -> list[Raw]:
    """Return the spectrum of a file as RosettaSciIO reads it, with the axis that its table holds.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If the table has not a number for each channel that the header promises.
    """
    from rsciio.msa import parse_msa_string

    lines = path.read_text(encoding="latin-1").splitlines()
    entries = [(match[1].upper(), match[2] or "", _plain(match[3])) for match in map(_KEYWORD.match, lines) if match]
    header = {key: value for key, _, value in entries}
    rows = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    table = _table(path, rows, header)
    # the plugin reads what is written here: one number in a line, with a decimal point, in the unit of its keyword
    text = [
        f"#{key}: {value.replace(': ', ':')}\n" for key, value in map(_in_kilovolts, entries) if key not in _ITS_OWN
    ]
    text += ["#DATATYPE: Y\n", "#SPECTRUM: \n", *(f"{row[-1]!r}\n" for row in table.tolist()), "#ENDOFDATA: \n"]
    (raw,) = parse_msa_string("".join(text), path.name)
    if table.shape[1] == 2:
        raw["axes"] = [{**raw["axes"][0], "axis": table[:, 0]}]
    return [raw]


_ITS_OWN: Final = ("DATATYPE", "SPECTRUM", "ENDOFDATA")


def _plain(value: str) -> str:
    return value.replace(",", ".") if _DECIMAL_COMMA.match(value) else value


def _in_kilovolts(entry: tuple[str, str, str]) -> tuple[str, str]:
    """Return a keyword and its value; the beam energy, which may stand there in another unit, in kV."""
    key, unit, value = entry
    if key != "BEAMKV" or not unit:
        return (f"{key} -{unit}" if unit else key), value
    factor = units.convert_factor(unit, "kV" if units.is_compatible(unit, "V") else "keV")
    return key, f"{number(value) * factor:.10g}"


def _table(path: Path, rows: list[str], header: dict[str, str]) -> Array:
    """Return a row for each channel: x and y, or y alone.

    Whether a comma is a decimal one or stands between two numbers is decided by the promised number of channels, which
    fits one of the two. Where there are points beside the commas, or no commas, there is nothing to decide.
    """
    width = 2 if header.get("DATATYPE", "Y").strip().upper() == "XY" else 1
    promised = round(number(header["NPOINTS"].split()[0])) if header.get("NPOINTS") else -1
    separated = [token for row in rows for token in _BETWEEN_COMMAS.findall(row)]
    if any("," in row for row in rows) and not any("." in row for row in rows):
        with_commas = [token for row in rows for token in _WITH_COMMAS.findall(row)]
        fitting = [tokens for tokens in (separated, with_commas) if len(tokens) == promised * width]
        if len(fitting) != 1:
            reason = f"its numbers have commas; as decimal commas or as separators, they are not {promised} channels"
            raise FileReadError(path, reason, hint="export it with decimal points")
        separated = fitting[0]
    try:
        return np.array([number(token) for token in separated]).reshape(-1, width)
    except ValueError as error:
        raise FileReadError(path, f"its table is damaged ({error})", hint="copy it again") from error
