"""Whether two techniques can see one region of one specimen, in which order, and why not.

Each rule is a function of two techniques that returns what it has to say, or nothing. `OBSTACLES` forbid; `CAVEATS`
only warn. The rules know no specimen: they compare what two techniques need of any specimen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from fusion.display import length
from fusion.techniques.catalogue import HARM, Technique, one

_FEW: Final = 30
_MARKED: Final = HARM.index("marked")


@dataclass(frozen=True, repr=False)
class Compatibility:
    """What `compatible` says of two techniques; true where they can see the same region.

    Parameters
    ----------
    possible : bool
    order : tuple of str
        The names, the least harmful first; empty if it is not possible.
    reasons : tuple of str
        Why not; or, if it is possible, what to watch for.
    """

    possible: bool
    order: tuple[str, ...]
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.possible

    def __repr__(self) -> str:
        head = f"possible: {', then '.join(self.order)}" if self.possible else "not possible"
        return "\n".join([head, *(f"- {reason}" for reason in self.reasons)])


class Rule(NamedTuple):
    """One rule: its name, what it says in general and, of a first and a second technique, in particular."""

    name: str
    text: str
    applies: Callable[[Technique, Technique], str]


def compatible(first: str | Technique, second: str | Technique) -> Compatibility:
    """Say whether two techniques can see the same region of one specimen, and in which order.

    Parameters
    ----------
    first, second : str or Technique
        Names or aliases of the table `fusion.techniques.table`, in any order.

    Returns
    -------
    Compatibility
        True or false; the order, which goes from what can be undone to what cannot (see `rank`); the reasons.

    Raises
    ------
    DataError
        If a name is not of the table, or means more than one technique.

    Examples
    --------
    >>> compatible("SEM", "SECM").order
    ('SECM', 'SEM')
    >>> compatible("TEM", "FIB-SEM")
    not possible
    - TEM needs a section cut out of the block that FIB-SEM mills away: one region goes to one of them
    """
    pair = [name if isinstance(name, Technique) else one(name) for name in (first, second)]
    a, b = sorted(pair, key=rank)
    obstacles = _reasons(OBSTACLES, a, b)
    if obstacles:
        return Compatibility(False, (), obstacles)
    return Compatibility(True, (a.name, b.name), _reasons(CAVEATS, a, b))


def rank(technique: Technique) -> tuple[bool, bool, int, bool, float, str]:
    """Return what orders techniques on one specimen: what leaves it as it was comes first.

    Parameters
    ----------
    technique : Technique

    Returns
    -------
    tuple
        Whether it destroys the specimen; whether it needs a section, which cannot be put back; its harm; whether it
        works in high vacuum alone; then the coarser resolution, which finds the region for the finer one; the name.

    Examples
    --------
    >>> from fusion.techniques import table
    >>> [technique.name for technique in sorted(table().values(), key=rank)][:3]
    ['RICM', 'Raman', 'confocal']
    """
    dry = set(technique.environment) == {"vacuum"}
    finest = technique.lateral.low if technique.lateral else 0.0
    return technique.destroys, "thin" in technique.needs, technique.harm, dry, -finest, technique.name


def _reasons(rules: tuple[Rule, ...], a: Technique, b: Technique) -> tuple[str, ...]:
    return tuple(reason for rule in rules if (reason := rule.applies(a, b)))


def _consumed(a: Technique, b: Technique) -> str:
    return f"{a.name} and {b.name} both leave nothing of the specimen" if a.destroys and b.destroys else ""


def _section_or_block(a: Technique, b: Technique) -> str:
    if not ("thin" in a.needs and b.destroys):
        return ""
    return f"{a.name} needs a section cut out of the block that {b.name} mills away: one region goes to one of them"


def _ice(a: Technique, b: Technique) -> str:
    if {"electrolyte", "vitrified"} - {*a.needs, *b.needs}:
        return ""
    wet, frozen = (a, b) if "electrolyte" in a.needs else (b, a)
    return f"{wet.name} wets an electrode, {frozen.name} needs a film of ice on a grid that never warms"


def _no_common_length(a: Technique, b: Technique) -> str:
    for fine, coarse in ((a, b), (b, a)):
        if fine.field and coarse.lateral and fine.field.high < coarse.lateral.low:
            return (
                f"the field of {fine.name} ({length(fine.field.high)}) is smaller than the finest that "
                f"{coarse.name} resolves ({length(coarse.lateral.low)})"
            )
    return ""


def _medium(a: Technique, b: Technique) -> str:
    if set(a.environment) & set(b.environment):
        return ""
    return (
        f"not at one time: {a.name} works in {' or '.join(a.environment)}, {b.name} in {' or '.join(b.environment)}; "
        "what happens in between (fixing, drying, freezing) moves and shrinks soft matter"
    )


def _section(a: Technique, b: Technique) -> str:
    if "thin" not in b.needs or "thin" in a.needs:
        return ""
    return f"{b.name} sees only the thin section or film that is made after {a.name}; mark the region"


def _last(a: Technique, b: Technique) -> str:
    return f"{b.name} comes last: it mills the specimen away" if b.destroys else ""


def _coat(a: Technique, b: Technique) -> str:
    if "conductive" not in b.needs or "conductive" in a.needs:
        return ""
    return f"coat for {b.name} only after {a.name}: a coat hides the surface from light and tip"


def _label(a: Technique, b: Technique) -> str:
    labelled = "label" in a.needs or "label" in b.needs
    if labelled and "Raman" in (a.name, b.name):
        return "fluorescence drowns Raman scattering: keep the label away from the laser line"
    if "label" in a.needs and b.probe == "electrons" and "vitrified" not in b.needs:
        return f"stain and resin for {b.name} quench labels: {a.name} first, or a label that outlives them"
    return ""


def _traces(a: Technique, b: Technique) -> str:
    return f"{b.name} sees what {a.name} has done: {a.damage}" if a.harm >= _MARKED else ""


def _few_points(a: Technique, b: Technique) -> str:
    for fine, coarse in ((a, b), (b, a)):
        if fine.field and coarse.lateral and fine.field.high < _FEW * coarse.lateral.low:
            count = fine.field.high / coarse.lateral.low
            return f"the field of {fine.name} is but {count:.0f} resolved points of {coarse.name}; take an overview"
    return ""


def _surface(a: Technique, b: Technique) -> str:
    if (a.dimensions == "surface") == (b.dimensions == "surface"):
        return ""
    shallow, deep = (a, b) if a.dimensions == "surface" else (b, a)
    return f"{shallow.name} sees the surface, {deep.name} what lies beneath or all along the beam"


OBSTACLES: Final = (
    Rule("one end", "Two techniques that leave nothing of the specimen.", _consumed),
    Rule(
        "section or block",
        "One needs a thin section, the other mills the block it would be cut from.",
        _section_or_block,
    ),
    Rule("ice or electrolyte", "One needs vitreous ice, the other an electrode under an electrolyte.", _ice),
    Rule(
        "length scales", "The field of the finer is smaller than the finest detail of the coarser.", _no_common_length
    ),
)
"""What forbids a pair."""
CAVEATS: Final = (
    Rule("medium", "No surroundings in common (vacuum, air, liquid): one after the other.", _medium),
    Rule("section", "The second needs a thin section: only that is seen by both.", _section),
    Rule("last", "The second destroys the specimen.", _last),
    Rule("coat", "The second needs a conductive specimen, the first does not: coat in between.", _coat),
    Rule("label", "Stain and resin quench fluorescent labels; labels drown Raman scattering.", _label),
    Rule("traces", "The first does marked harm, or worse: the second sees it.", _traces),
    Rule("few points", f"The field of one is less than {_FEW} resolved points of the other.", _few_points),
    Rule("surface", "One sees the surface, the other a volume or a projection.", _surface),
)
"""What to watch for with a pair that is possible; the first technique is the one that comes first."""
