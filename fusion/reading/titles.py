"""Titles of columns and axes that hold a unit, as people and programs write them: ``x [nm]``, ``x/µm``, ``x_nm``."""

from __future__ import annotations

import re
from typing import Final

from fusion import units

_IN_BRACKETS: Final = re.compile(r"^(?P<label>[^()\[\]]*?)\s*[(\[](?P<unit>[^()\[\]]*)[)\]]$")
_BEHIND: Final = re.compile(r"^(?P<label>[^/]+?)\s*(?:/|\s+in\s+|_|(?<=^[xyzXYZ]))\s*(?P<unit>[^\s/_]+)$")
_MEASURED: Final = ("um", "V", "A")
"""Units of what tables of positions hold; other words behind a label belong to it, as in ``frame_number``."""


def label_and_unit(title: str) -> tuple[str, str]:
    """Return the label and the unit of a title; an empty unit where it has none.

    A unit in brackets is taken as it stands. Behind a slash, a low line, ``in`` or one of x, y, z it is one only where
    it is known: a length, a number of pixels, a voltage or a current.

    Examples
    --------
    >>> [label_and_unit(title) for title in ("x [nm]", "X (um)", "y/µm", "x_nm", "znm", "current in nA")]
    [('x', 'nm'), ('X', 'um'), ('y', 'µm'), ('x', 'nm'), ('z', 'nm'), ('current', 'nA')]
    >>> label_and_unit("uncertainty_xy [nm]"), label_and_unit("frame_number"), label_and_unit("x_px")
    (('uncertainty_xy', 'nm'), ('frame_number', ''), ('x', 'px'))
    """
    plain = title.strip().strip('"').strip()
    if bracketed := _IN_BRACKETS.match(plain):
        return bracketed["label"].strip(), bracketed["unit"].strip()
    behind = _BEHIND.match(plain)
    if behind and any(units.is_compatible(behind["unit"], known) for known in (*_MEASURED, units.PIXEL)):
        return behind["label"], behind["unit"]
    return plain, ""
