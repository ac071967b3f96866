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
from fusion.errors import FileReadError, UnitError
from fusion.reading.metadata import decoded
from spectra.axes import dim_name, number, split_unit

Array = npt.NDArray[np.float64]
Raw = dict[str, Any]
_KEYWORD: Final = re.compile(r"^#\s*([A-Za-z_]+)\s*(?:-\s*(\w+)\s*)?:\s*(.*?)\s*$")
_DECIMAL_COMMA: Final = re.compile(r"^[-+]?\d+,\d+(?:[eE][-+]?\d+)?$")
_MEASURED: Final = re.compile(r"^(?P<number>[-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*(?P<unit>\S.*)?$")
_WITH_COMMAS: Final = re.compile(r"[^\s;]+")
_BETWEEN_COMMAS: Final = re.compile(r"[^\s;,]+")
_FORTRAN: Final = re.compile(r"(?<=\d|\.)[dD](?=[-+]?\d)")
_X_RAYS: Final = ("WDS", "XRF")
"""Types of signals whose axis the plugin leaves open."""
_SAME: Final = {"EELS": "ELS", "EDX": "EDS", "CL": "CLS"}
"""What others call the types of signals of the standard."""
_OTHER: Final = {"AES": "Auger electrons", "PES": "photoelectrons", "CLS": "light", "GAM": "gamma rays"}
"""Types of signals whose energies have no axis here."""
_NO_END: Final = "all channels are there, but not the keyword #ENDOFDATA behind them"


def read(path: Path) -> list[Raw]:
    """Return the spectrum of a file as RosettaSciIO reads it, with the axis that its table holds.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileReadError
        If the table is cut, holds more channels than the header promises, or the header has an unknown unit or no width
        of a channel.

    Notes
    -----
    ISO 22029 ends a file with ``#ENDOFDATA``, which some programs leave out: where all channels are there, the spectrum
    opens, and its attribute ``truncated`` says so; and where that end is marked, but channels are missing before it.
    """
    from rsciio.msa import parse_msa_string

    content = decoded(path.read_bytes())
    lines = content.splitlines()
    entries = [(match[1].upper(), match[2] or "", _plain(match[3])) for match in map(_KEYWORD.match, lines) if match]
    entries = [(key, unit, _SAME.get(value, value) if key == "SIGNALTYPE" else value) for key, unit, value in entries]
    header = {key: value for key, _, value in entries}
    _require_known_axis(path, header)
    end = next((i for i, line in enumerate(lines) if line.upper().startswith("#ENDOFDATA")), len(lines))
    rows = [_FORTRAN.sub("e", line.strip()) for line in lines[:end] if line.strip() and not line.startswith("#")]
    table = _table(path, rows, header)
    if table.shape[1] == 1 and not header.get("XPERCHAN"):
        raise FileReadError(
            path, "its header has no width of a channel", hint="add it, e.g. the line '#XPERCHAN: 10.0'"
        )
    # the plugin reads what is written here: one number in a line, with a decimal point, in the unit of its keyword
    unit = header.get("XUNITS", "")
    text = [
        f"#{key}: {value.replace(': ', ':')}\n"
        for key, value in (_in_known_unit(path, entry, unit) for entry in entries)
        if key not in _ITS_OWN
    ]
    text += ["#DATATYPE: Y\n", "#SPECTRUM: \n", *(f"{row[-1]!r}\n" for row in table.tolist()), "#ENDOFDATA: \n"]
    (raw,) = parse_msa_string("".join(text), path.name)
    if table.shape[1] == 2:
        raw["axes"] = [{**raw["axes"][0], "axis": table[:, 0]}]
    if (kind := header.get("SIGNALTYPE", "").upper()) in _X_RAYS:
        raw["metadata"]["Signal"]["signal_type"] = kind
    missing, surplus = _missing(path, content, header, table), _surplus(header, table)
    attrs = {key: text for key, text in (("truncated", missing), ("channels", surplus)) if text}
    return [{**raw, "attrs": attrs} if attrs else raw]


def _require_known_axis(path: Path, header: dict[str, str]) -> None:
    """Refuse energies of which the header does not say that they are of X-rays or of energy losses."""
    kind, (label, unit) = header.get("SIGNALTYPE", "").upper(), split_unit(header.get("XUNITS"))
    if not units.is_compatible(unit, "eV") or kind in ("EDS", "ELS", *_X_RAYS):
        return
    if kind in _OTHER:
        reason = f"its energies are those of {_OTHER[kind]} (#SIGNALTYPE {kind}), which have no axis here"
        hint = "export light over the wavelength, in nm" if kind == "CLS" else "read its numbers as text"
        raise FileReadError(path, reason, hint=hint)
    if not kind and not any(_is_known(name, unit) for name in (label, header.get("XLABEL", ""))):
        reason = "its header does not say what its energies are those of (#SIGNALTYPE is empty or missing)"
        raise FileReadError(path, reason, hint="add the line '#SIGNALTYPE: EDS' for X-rays, ELS for energy losses")


def _is_known(label: str, unit: str) -> bool:
    """Whether a label says what its axis is."""
    try:
        return bool(dim_name(label, unit))
    except UnitError:
        return False


def _surplus(header: dict[str, str], table: Array) -> str:
    """Return what is to be said of a table that has more channels before its end than the header promises."""
    promised = _promised(header)
    return f"{len(table)} are there, and the header promises {promised}" if len(table) > promised >= 0 else ""


_ITS_OWN: Final = ("DATATYPE", "SPECTRUM", "ENDOFDATA")


def _missing(path: Path, content: str, header: dict[str, str], table: Array) -> str:
    """Return what is to be said of a table that is shorter than promised, or whose end is not marked.

    Without a mark and shorter, it is cut.
    """
    promised, ended = _promised(header), "ENDOFDATA" in header
    counted = f"{len(table)} of {promised} channels" if promised >= 0 else f"{len(table)} channels, without #NPOINTS"
    if len(table) > promised >= 0 and not ended:
        raise FileReadError(path, f"its table has {counted}", hint="correct #NPOINTS in its header, or export it again")
    if not ended and len(table) != promised:
        raise FileReadError(path, f"cut short: {counted} and no #ENDOFDATA", hint="copy or export it again")
    if ended:
        return f"{counted} are there" if len(table) < promised else ""
    return _NO_END + ("" if content.endswith("\n") else "; the last number may be cut")


def _plain(value: str) -> str:
    return value.replace(",", ".") if _DECIMAL_COMMA.match(value) else value


def _in_known_unit(path: Path, entry: tuple[str, str, str], axis_unit: str) -> tuple[str, str]:
    """Return a keyword and its value, without a unit: the beam energy in kV, scale and offset in the unit of the axis.

    The unit may stand behind the keyword, ``#BEAMKV -V: 200000``, or behind the number, ``#XPERCHAN: 10 eV``.
    """
    key, behind_keyword, value = entry
    wanted = {"BEAMKV": "kV", "XPERCHAN": axis_unit, "OFFSET": axis_unit}.get(key)
    measured = _MEASURED.match(value)
    if wanted is None or measured is None:
        return (f"{key} -{behind_keyword}" if behind_keyword else key), value
    unit = behind_keyword or measured["unit"]
    if not unit:
        return key, value
    known = split_unit(wanted)[1]
    accepted = (known, "keV") if key == "BEAMKV" else (known,)
    for target in accepted:
        if units.is_compatible(unit, target):
            return key, f"{number(_plain(measured['number'])) * units.convert_factor(unit, target):.12g}"
    hint = f"correct this line of its header; {' or '.join(filter(None, accepted)) or '#XUNITS'} is expected"
    raise FileReadError(path, f"#{key} is {measured['number']} {unit!r}", hint=hint)


def _table(path: Path, rows: list[str], header: dict[str, str]) -> Array:
    """Return a row for each channel: x and y, or y alone.

    Whether a comma is a decimal one or stands between two numbers is decided by the promised number of channels, which
    fits one of the two. Where there are points beside the commas, or no commas, there is nothing to decide.
    """
    promised = _promised(header)
    separated = [token for row in rows for token in _BETWEEN_COMMAS.findall(row)]
    # some programs write both columns and call them Y
    in_pairs = len(rows) == promised and all("." in row and len(_BETWEEN_COMMAS.findall(row)) == 2 for row in rows)
    width = 2 if header.get("DATATYPE", "Y").strip().upper() == "XY" or in_pairs else 1
    if any("," in row for row in rows) and not any("." in row for row in rows):
        with_commas = [token for row in rows for token in _WITH_COMMAS.findall(row)]
        whole = not any(token.endswith(",") or token.startswith(",") for token in with_commas)
        ways = (separated, with_commas) if whole else (separated,)
        fitting = [tokens for tokens in ways if len(tokens) == promised * width]
        if len(fitting) != 1:
            reason = f"its numbers have commas; as decimal commas or as separators, they are not {promised} channels"
            raise FileReadError(path, reason, hint="export it with decimal points")
        separated = fitting[0]
    try:
        return np.array([number(token) for token in separated]).reshape(-1, width)
    except ValueError as error:
        raise FileReadError(path, f"its table is damaged ({error})", hint="copy it again") from error


def _promised(header: dict[str, str]) -> int:
    """Return the number of channels that the header promises, -1 if it promises none."""
    return round(number(header["NPOINTS"].split()[0])) if header.get("NPOINTS") else -1
