"""Raman bands of common materials, each with the work that its position was read from."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Band(NamedTuple):
    """A Raman band of a material."""

    raman_shift: float
    """In 1/cm, at room temperature; strain, temperature and the laser move some bands by several 1/cm."""
    material: str
    assignment: str
    reference: str

    @property
    def name(self) -> str:
        """Return what a table calls it, ``"diamond: F2g optical phonon"``."""
        return f"{self.material}: {self.assignment}"


@cache
def raman_bands() -> tuple[Band, ...]:
    """Return all known bands in ascending order.

    Examples
    --------
    >>> [band.raman_shift for band in raman_bands() if band.material == "diamond"]
    [1332.0]
    """
    text = files("spectra.lines").joinpath("bands.tsv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines(), delimiter="\t"))[1:]
    return tuple(Band(float(shift), *words) for shift, *words in rows)
