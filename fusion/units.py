"""Units: every spelling that real files have, brought to one.

Lengths are kept in micrometres (``um``). A pixel (``px``) is a unit of its own and never a length.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from fusion.errors import UnitError

if TYPE_CHECKING:
    import pint

LENGTH = "um"
PIXEL = "px"

_SPELLINGS = {
    "": "1", "1": "1", "dimensionless": "1", "a.u.": "1", "arb": "1", "arb.": "1", "arb. unit": "1",
    "arb. units": "1", "arbitrary units": "1",
    "px": PIXEL, "pix": PIXEL, "pixel": PIXEL, "pixels": PIXEL,
    "micron": "um", "microns": "um", "micrometer": "um", "micrometers": "um", "micrometre": "um",
    "å": "angstrom", "angstrom": "angstrom", "angstroms": "angstrom", "angstroem": "angstrom",
    "counts": "count", "cts": "count", "ct": "count", "count": "count",
    "deg": "degree", "degrees": "degree", "degree": "degree", "°": "degree",
    "ev": "eV", "kev": "keV",
}  # fmt: skip
_PINT_NAME = {"1": "dimensionless"}
_BYTES = re.compile("[\udc80-\udcff]")
_MICRO = re.compile("[\u00b5\u03bc]")
_POWER = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")
_INVERSE = re.compile(r"^([^\W\d_]+)(?:\^|\*\*)?-1$")


def parse(text: str | None) -> str:
    """Return the one spelling used here for a unit as it stands in a file.

    Parameters
    ----------
    text : str or None
        A unit: ``"µm"`` with either micro sign, ``"cm-1"``, ``"Å"``, ``"keV"``, ``"counts"``, ``"px"``.

    Returns
    -------
    str
        A unit that pint reads, ``"1"`` for a pure number, or ``"px"``.

    Raises
    ------
    UnitError
        If the unit is None or unknown. An empty text is a pure number; None means that no unit is known.

    Examples
    --------
    >>> [parse(u) for u in ("µm", "cm-1", "Å", "pixels", "counts")]
    ['um', '1/cm', 'angstrom', 'px', 'count']
    """
    if text is None or not isinstance(text, str):
        raise UnitError(f"no unit given (received {text!r}); name one, e.g. 'um', 'nm' or 'px' where unknown")
    unit = _respell(text)
    if unit in ("1", PIXEL):
        return unit
    try:
        _registry().parse_units(unit)
    except Exception as error:  # pint raises errors of many unrelated classes for text it cannot read
        raise UnitError(f"unknown unit {unit!r}; accepted are SI and common units: 'nm', 'keV', '1/cm'") from error
    return unit


def convert_factor(unit: str | None, to: str) -> float:
    """Return the factor that turns a number in `unit` into a number in `to`.

    Parameters
    ----------
    unit, to : str
        Units of the same dimension. Only a pixel converts to a pixel.

    Returns
    -------
    float

    Raises
    ------
    UnitError
        If the two are not of the same dimension.

    Examples
    --------
    >>> convert_factor("nm", "um")
    0.001
    """
    source, target = parse(unit), parse(to)
    if source == target:
        return 1.0
    if PIXEL in (source, target) or not _compatible(source, target):
        raise UnitError(f"cannot convert {unit!r} to {to!r}: {_kind_hint(source, target)}")
    return _decimal(float(_quantity(source).to(_PINT_NAME.get(target, target)).magnitude))


def is_compatible(unit: str | None, to: str) -> bool:
    """Whether `unit` can be converted to `to`.

    Examples
    --------
    >>> is_compatible("Å", "um"), is_compatible("px", "um")
    (True, False)
    """
    try:
        source, target = parse(unit), parse(to)
    except UnitError:
        return False
    return source == target or (PIXEL not in (source, target) and _compatible(source, target))


def _respell(text: str) -> str:
    # bytes that are no UTF-8 arrive as surrogates: they are Latin-1
    text = _BYTES.sub(lambda byte: chr(ord(byte[0]) - 0xDC00), text)
    plain = _MICRO.sub("u", unicodedata.normalize("NFC", text.strip()).translate(_POWER))
    inverse = _INVERSE.match(plain)
    if inverse:
        return f"1/{_respell(inverse.group(1))}"
    return _SPELLINGS.get(plain.lower(), plain)


def _decimal(factor: float) -> float:
    """Undo the last-digit noise of chained factors: 0.0010000000000000002 is 0.001."""
    nearest = float(f"{factor:.12g}")
    return nearest if abs(nearest - factor) <= 2e-15 * abs(factor) else factor


def _compatible(source: str, target: str) -> bool:
    """Whether a factor leads from one to the other; none leads from a scale with another zero, °C to K."""
    name = _PINT_NAME.get(target, target)
    zero = _registry().Quantity(0.0, _PINT_NAME.get(source, source))
    return bool(zero.is_compatible_with(name)) and float(zero.to(name).magnitude) == 0.0


def _quantity(unit: str) -> pint.Quantity[float]:
    return _registry().Quantity(1.0, _PINT_NAME.get(unit, unit))


def _kind_hint(source: str, target: str) -> str:
    if PIXEL in (source, target):
        return "a pixel is not a length; give the pixel size"
    if source == "A" and _compatible(target, LENGTH):
        return "'A' is an ampere; write 'Å' or 'angstrom' for the length"
    return "they measure different things"


@cache
def _registry() -> pint.UnitRegistry[float]:
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry(on_redefinition="ignore")
    registry.define("px = pixel")  # pint's own px is a length, 1/96 inch
    return registry
