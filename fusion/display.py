"""How quantities are written for people."""

from __future__ import annotations


def length(um: float) -> str:
    """Return a length with the unit in which it reads well.

    Parameters
    ----------
    um : float

    Returns
    -------
    str

    Examples
    --------
    >>> length(4.7e-5), length(0.3), length(25.0), length(6000)
    ('0.047 nm', '300 nm', '25 µm', '6 mm')
    """
    for unit, scale in (("cm", 1e4), ("mm", 1e3), ("µm", 1.0)):
        if um >= (1e5 if unit == "cm" else scale):
            return f"{um / scale:.3g} {unit}"
    return f"{um * 1e3:.3g} nm"
