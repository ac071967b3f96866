"""Axes of LabSpec (xml) and TriVista (tvf) files, where RosettaSciIO takes the first step for all, or names another."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from math import degrees
from pathlib import Path
from typing import Any, Final

import numpy as np

from fusion.errors import FileReadError
from spectra.attributes import lookup

Raw = dict[str, Any]

_AXES, _NAME, _VALUES = "0x7B697861", "0x6D707974", "0x7D6CD4DB"  # the identifiers of LabSpec
_FIELD: Final = ("0x2", "0x3")
_ABSOLUTE: Final = ("Wavenumber", "Energy")
_TURNED: Final[Mapping[str, str]] = {"XA": "X", "YA": "Y"}
"""Axes of a map that was turned on the stage, along its own sides."""
_TICKS: Final = 1e7  # TriVista counts in 100 ns


def labspec(raws: list[Raw], path: Path) -> list[Raw]:
    """Return maps of LabSpec on the positions that the file lists, every one of them.

    A map that was turned has the coordinates of its own sides, and its angle in degrees as the attribute
    ``map_rotation``.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them.
    path : Path

    Raises
    ------
    FileReadError
        If the spectrum runs along an absolute wavenumber or a photon energy, which are no dims here.
    """
    listed: dict[str, Any] = {}
    for axes in ET.parse(path).iter("LSX"):
        if axes.get("ID") == _AXES:
            fields = (
                {child.get("ID"): child.text or "" for child in axis} for axis in axes if axis.get("ID") in _FIELD
            )
            listed |= {str(axis.get(_NAME)): np.array(axis.get(_VALUES, "").split(), float) for axis in fields}
    for name in (axis["name"] for raw in raws for axis in raw["axes"] if axis.get("name") in _ABSOLUTE):
        reason = f"its spectra run along {name.lower()}, neither a wavelength nor a Raman shift"
        raise FileReadError(path, reason, hint="choose nm or 1/cm as unit in LabSpec and export again")
    return [_unturned(_placed(raw, listed)) for raw in raws]


def trivista(raws: list[Raw], path: Path) -> list[Raw]:
    """Return time series of TriVista with the time of each frame since the first one.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them.
    path : Path
    """
    frames = ET.parse(path).getroot()[1][0].find("Data")
    ticks = np.array([int(frame.attrib["TimeStamp"]) for frame in (frames if frames is not None else [])])
    return [_placed(raw, {"time": (ticks - ticks[:1]) / _TICKS}) for raw in raws]


def _placed(raw: Raw, listed: Mapping[str, Any]) -> Raw:
    return {**raw, "axes": [_axis(axis, listed.get(str(axis.get("name")))) for axis in raw["axes"]]}


def _unturned(raw: Raw) -> Raw:
    if not any(axis.get("name") in _TURNED for axis in raw["axes"]):
        return raw
    axes = [{**axis, "name": _TURNED.get(axis["name"], axis["name"])} for axis in raw["axes"]]
    angle = lookup(raw.get("original_metadata"), "experimental_setup", "rotation angle (rad)")
    return {**raw, "axes": axes, "attrs": {} if angle is None else {"map_rotation": degrees(float(angle))}}


def _axis(axis: Raw, values: Any) -> Raw:
    return axis if values is None or len(values) != axis.get("size") else {**axis, "axis": values}
