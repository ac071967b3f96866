"""What a file holds: the rows that `spectra.contents` and `volumes.contents` list, each by a name of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

UNREADABLE = "unreadable"


class Content(NamedTuple):
    """One item of a file.

    Parameters
    ----------
    name : str
        What `spectra.open` or `volumes.open` takes as `name`.
    technique : str
        ``"EDX"``, ``"EELS"``, ``"Raman"``, ``"confocal"``, ..., ``"image"`` where the file does not say which;
        ``"unreadable"`` where the item cannot be labelled.
    dims : tuple of str
        In the order z, y, x, then the signal axes; of an array in the order in which it is stored. Empty where the
        file does not name its axes.
    shape : tuple of int
    dtype : str
        Of the values.
    units : tuple of str
        Of the coordinates, one for each dim: ``"px"`` where the file does not state a size, ``"1"`` for axes without a
        unit.
    fault : str, optional
        Why the item is unreadable.

    Examples
    --------
    >>> Content("EDX", "EDX", ("y", "x", "energy"), (75, 100, 2048), "uint8", ("um", "um", "keV"))
    EDX: EDX, y 75 (um), x 100 (um), energy 2048 (keV), uint8
    >>> Content("stack", "image", (), (4, 5, 6), "float32")
    stack: image, axes without names 4 x 5 x 6, float32
    """

    name: str
    technique: str
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = ""
    units: tuple[str, ...] = ()
    fault: str = ""

    def __repr__(self) -> str:
        parts = [self.technique, *self._axes(), *filter(None, [self.dtype])]
        return f"{self.name}: {', '.join(parts)}{f' ({self.fault})' if self.fault else ''}"

    def _axes(self) -> list[str]:
        if self.shape and not self.dims:
            return [f"axes without names {' x '.join(map(str, self.shape))}"]
        return [f"{dim} {size} ({unit})" for dim, size, unit in zip(self.dims, self.shape, self.units, strict=True)]


def listed(rows: Iterable[Sequence[Any]]) -> list[Content]:
    """Return contents from plain rows, as they come from another process.

    Examples
    --------
    >>> listed([["EDX", "EDX", ["energy"], [2048], "uint32", ["keV"], ""]])
    [EDX: EDX, energy 2048 (keV), uint32]
    """
    return [
        Content(name, technique, tuple(dims), tuple(shape), dtype, tuple(units), fault)
        for name, technique, dims, shape, dtype, units, fault in rows
    ]


def unique(names: Iterable[str], join: str = " ") -> list[str]:
    """Return the names, the second of one kind with the number 2, and so on.

    Examples
    --------
    >>> unique(["HAADF", "EDS", "HAADF"]), unique(["height", "height"], "_")
    (['HAADF', 'EDS', 'HAADF 2'], ['height', 'height_2'])
    """
    counts: dict[str, int] = {}
    numbered = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        numbered.append(name if counts[name] == 1 else f"{name}{join}{counts[name]}")
    return numbered
