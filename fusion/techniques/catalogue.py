"""What each technique sees: resolution, field, surroundings and harm, every figure with the paper that it comes from.

The table is ``techniques.toml`` beside this file and is read when it is first needed. Lengths are in um.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from fusion.display import length
from fusion.errors import DataError

HARM: Final = ("none known", "slight", "moderate", "marked", "strong", "severe", "total")
"""What the numbers of `Technique.harm` mean. They order techniques on one specimen; they measure nothing."""
NEEDS: Final[Mapping[str, str]] = {
    "label": "a fluorescent label",
    "transparent": "light must reach it and leave it",
    "glass": "it lies on glass",
    "thin": "electrons must pass: about 0.1 µm thick, up to 0.5 µm in ice [elferich2022] [yang2023]",
    "vitrified": "frozen in vitreous ice, and kept so",
    "conductive": "conductive, or coated to be so",
    "luminescent": "it emits light under electrons",
    "reachable": "a tip must reach the surface",
    "electrolyte": "its surface is wetted by an electrolyte",
}
"""What a technique may ask of the specimen."""
PROBES: Final = ("light", "electrons", "X-rays", "tip")
"""What reaches the specimen, in the order of tables and charts."""
_OF_IMAGES: Final = ("", "channel")
_OF_SPECTRA: Final = ("energy", "energy_loss", "raman_shift", "wavelength", "potential")


class Quantity(NamedTuple):
    """A length from `low` to `high` in um, and the keys of the references that state it."""

    low: float
    high: float
    sources: tuple[str, ...]

    def __str__(self) -> str:
        ends = dict.fromkeys(length(value) for value in (self.low, self.high))
        return " – ".join(ends)


class Reference(NamedTuple):
    """A paper or a book."""

    text: str
    doi: str = ""


@dataclass(frozen=True)
class Technique:
    """One technique, as a row of the table.

    Parameters
    ----------
    name : str
    aliases : tuple of str
        Other names of this one technique.
    probe : str
        ``"light"``, ``"electrons"``, ``"X-rays"`` or ``"tip"``.
    lateral, axial, field, depth : Quantity, optional
        Resolution across and along the axis of view, width of the field and depth reached, in um; None where no source
        at hand states it.
    dimensions : str
        ``"surface"``, ``"2-D"`` (a projection or a plane) or ``"3-D"``.
    environment : tuple of str
        Where the specimen can be: ``"vacuum"``, ``"low vacuum"``, ``"ambient"``, ``"liquid"``.
    contrast : str
        What is seen.
    signal : str
        Dim of the signal axis, by the names of CONVENTIONS.md; empty for an image.
    damage : str
        What it does to the specimen.
    damage_sources : tuple of str
    harm : int
        How harmful that is, an index into `HARM`; the highest one is the end of the specimen.
    needs : tuple of str
        What it asks of the specimen, keys of `NEEDS`.
    formats : tuple of str
        Formats that are read here.
    note : str
        How the figures are meant.
    """

    name: str
    aliases: tuple[str, ...]
    probe: str
    lateral: Quantity | None
    axial: Quantity | None
    field: Quantity | None
    depth: Quantity | None
    dimensions: str
    environment: tuple[str, ...]
    contrast: str
    signal: str
    damage: str
    damage_sources: tuple[str, ...]
    harm: int
    needs: tuple[str, ...]
    formats: tuple[str, ...]
    note: str

    @property
    def destroys(self) -> bool:
        """Whether nothing of the specimen is left."""
        return self.harm == len(HARM) - 1

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of all references of this row, those in square brackets in the note among them."""
        quantities = (self.lateral, self.axial, self.field, self.depth)
        keys = [key for quantity in quantities if quantity for key in quantity.sources]
        return tuple(dict.fromkeys([*keys, *self.damage_sources, *re.findall(r"\[(\w+)\]", self.note)]))


@cache
def table() -> Mapping[str, Technique]:
    """Return every technique by its name, grouped by probe.

    Returns
    -------
    mapping of str to Technique

    Examples
    --------
    >>> str(table()["confocal"].lateral), table()["confocal"].environment
    ('200 nm – 300 nm', ('ambient', 'liquid'))
    """
    techniques = [_technique(row) for row in _content()["technique"]]
    techniques.sort(key=lambda technique: PROBES.index(technique.probe))
    return MappingProxyType({technique.name: technique for technique in techniques})


@cache
def references() -> Mapping[str, Reference]:
    """Return every paper that the table rests on, by its key.

    Returns
    -------
    mapping of str to Reference

    Examples
    --------
    >>> references()["binnig1986"].doi
    '10.1103/PhysRevLett.56.930'
    """
    return MappingProxyType({key: Reference(**entry) for key, entry in sorted(_content()["reference"].items())})


def find(word: str) -> tuple[Technique, ...]:
    """Return the techniques that a word can mean, such as what a dataset says in ``attrs["technique"]``.

    Parameters
    ----------
    word : str
        A name, an alias, or a wider word: ``"EDX"`` may be that of an SEM or of a STEM, ``"image"`` any image. Case,
        spaces and hyphens do not matter.

    Returns
    -------
    tuple of Technique
        One if the word says which.

    Raises
    ------
    DataError
        If no technique goes by the word; the message names the nearest ones. So too for a technique that files are of
        and the table has no figures for.

    Examples
    --------
    >>> [technique.name for technique in find("eds")], [technique.name for technique in find("ESEM")]
    (['SEM-EDX', 'STEM-EDX'], ['environmental SEM'])
    """
    names = _words().get(_plain(word)) if isinstance(word, str) else None
    if names == ():
        raise DataError(f"{word!r} is known, but the table has no figures for it; {_nearest('')}")
    if names is None:
        raise DataError(f"{word!r} is no technique of the table; {_nearest(str(word))}")
    return tuple(table()[name] for name in names)


def one(word: str) -> Technique:
    """Return the one technique that a word means.

    Parameters
    ----------
    word : str
        A name or an alias.

    Returns
    -------
    Technique

    Raises
    ------
    DataError
        If no technique goes by the word, or more than one.

    Examples
    --------
    >>> one("STORM").name
    'SMLM'
    """
    meant = find(word)
    if len(meant) > 1:
        raise DataError(f"{word!r} can mean {_listed(technique.name for technique in meant)}; say which")
    return meant[0]


def _technique(row: Mapping[str, Any]) -> Technique:
    fields: dict[str, Any] = {"harm": row["harm"], "damage_sources": tuple(row.get("damage_source", ()))}
    fields |= {key: row.get(key, "") for key in ("name", "probe", "dimensions", "contrast", "signal", "damage", "note")}
    fields |= {key: tuple(row.get(key, ())) for key in ("aliases", "environment", "needs", "formats")}
    fields |= {key: _quantity(row.get(key)) for key in ("lateral", "axial", "field", "depth")}
    return Technique(**fields)


def _quantity(entry: Mapping[str, Any] | None) -> Quantity | None:
    if entry is None:
        return None
    low, high = entry["um"]
    return Quantity(float(low), float(high), tuple(entry["source"]))


@cache
def _content() -> dict[str, Any]:
    return tomllib.loads(files("fusion.techniques").joinpath("techniques.toml").read_text(encoding="utf-8"))


@cache
def _words() -> dict[str, tuple[str, ...]]:
    """Return the names of the techniques that each plain word means."""
    words = {_plain(word): tuple(names) for word, names in _content()["words"].items()}
    words["image"] = tuple(technique.name for technique in table().values() if technique.signal in _OF_IMAGES)
    words["spectroscopy"] = tuple(technique.name for technique in table().values() if technique.signal in _OF_SPECTRA)
    for technique in table().values():
        words |= {_plain(word): (technique.name,) for word in (technique.name, *technique.aliases)}
    return words


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "", word.casefold())


def _nearest(word: str) -> str:
    close = difflib.get_close_matches(_plain(word), _words(), 3, 0.6)
    names = dict.fromkeys(name for key in close for name in _words()[key])
    return (
        f"near to it {'is' if len(names) == 1 else 'are'} {_listed(names)}"
        if names
        else f"there are {_listed(table())}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
