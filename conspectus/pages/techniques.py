"""The table of techniques on the screen and as a page, and how two of them go together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from fusion.errors import DataError
from fusion.techniques.catalogue import HARM, NEEDS, Quantity, Technique, find, references, table
from fusion.techniques.chart import chart
from fusion.techniques.compatibility import CAVEATS, OBSTACLES, compatible

_LENGTHS = ("lateral", "axial", "field", "depth")
_HEAD = """# Techniques

What each technique sees, and what it asks of a specimen. Written by `conspectus techniques --page docs/techniques.md`
from [`fusion/techniques/techniques.toml`](../fusion/techniques/techniques.toml): correct that file, not this
page. In Python the table is `fusion.techniques.table()`; `fusion.compatible("SECM", "SEM")` says whether two techniques
can see one region, in which order, and why not.

![Length scales: from the resolution of each technique to the width of its field]({picture})
"""
_LENGTH_TEXT = """## Length scales

Each figure carries the number of its source in the list below. They are what a source shows or states, often the best
of its kind, and not what any instrument does on any day. "A few" in a source is entered as 2 to 5. A dash: no source at
hand states it.
"""
_HARM_TEXT = """## Harm

The harm is a number that orders techniques on one specimen, from 0 ({first}) to {top} ({last}: nothing is left). It is
a judgement and measures nothing: the dose, the material and the temperature decide. In words: {words}.
"""
_RULES_TEXT = """## Which go together

What can be undone comes first: a technique that destroys the specimen is the last, and one that needs a section comes
after those that do not. Of the others the less harmful goes first, then the one that does without high vacuum, then the
coarser. So the live and the wet precede the fixed and the dry, as in correlative practice
{sources}.

A pair is impossible if one of these rules speaks:
"""
_PRACTICE = ("ando2018", "fonta2015", "heiligenstein2022", "cardell2016")


def show(names: Sequence[str] = (), *, page: Path | None = None, console: Console | None = None) -> None:
    """Print all techniques, or how two of them go together; or write the page.

    A word such as AFM that means several techniques is answered for each of them.

    Raises
    ------
    DataError
        If a name is not known, or their number is not two.
    """
    console = console or Console(markup=False)
    if page is not None:
        write(page)
    elif not names:
        console.print(_screen())
    elif len(names) == 2:
        console.print("\n\n".join(_answers(*names)))
    else:
        raise DataError(f"name two techniques, or none to list them all; received {len(names)}: {', '.join(names)}")


def _answers(first: str, second: str) -> Iterator[str]:
    """Return the answer for each pair of techniques that two words can mean, under their names if there are several."""
    pairs = list(product(find(first), find(second)))
    for a, b in pairs:
        head = "" if len(pairs) == 1 else f"{a.name} and {b.name}: "
        yield f"{head}{compatible(a, b)}"


def write(page: Path) -> None:
    """Write the page in Markdown, and the chart beside it as PNG.

    Raises
    ------
    DataError
        If the page is not to be a Markdown file.
    """
    if page.suffix != ".md":
        raise DataError(f"{page}: the page is written in Markdown; name a file that ends in .md")
    picture = page.with_suffix(".png")
    page.write_text(markdown(picture.name), encoding="utf-8")
    chart(picture)


def markdown(picture: str) -> str:
    """Return the page as text.

    Parameters
    ----------
    picture : str
        Where the chart is, as seen from the page.
    """
    rows = table().values()
    lengths = [[row.name, *(_cited(getattr(row, key)) for key in _LENGTHS), _note(row.note)] for row in rows]
    views = [[row.name, row.contrast, row.dimensions, _code(row.signal), ", ".join(row.formats) or "–"] for row in rows]
    asks = [[row.name, ", ".join(row.environment), _needs(row), _damage(row), str(row.harm)] for row in rows]
    rules = [[[rule.name, rule.text] for rule in rules] for rules in (OBSTACLES, CAVEATS)]
    harm = _HARM_TEXT.format(first=HARM[0], top=len(HARM) - 1, last=HARM[-1], words=", ".join(HARM))
    sections = [
        _HEAD.format(picture=picture),
        _LENGTH_TEXT,
        _grid(("technique", "lateral resolution", "axial resolution", "field of view", "depth", "remarks"), lengths),
        "## What is seen\n",
        _grid(("technique", "contrast", "view", "signal axis", "formats read here"), views),
        "## What it asks of the specimen, and does to it\n",
        _grid(("technique", "surroundings", "needs", "damage", "harm"), asks),
        harm,
        _RULES_TEXT.format(sources=_numbers(_PRACTICE)),
        _grid(("rule", "when"), rules[0]),
        "Otherwise these may have something to say:\n",
        _grid(("rule", "when"), rules[1]),
        "## Sources\n",
        _sources(),
    ]
    return "\n".join(sections)


def _screen() -> Table:
    grid = Table(title="techniques", title_justify="left", title_style="bold")
    for column in ("technique", "probe", "lateral", "axial", "field", "surroundings", "needs", "harm"):
        grid.add_column(column, overflow="fold")
    for row in table().values():
        sizes = (str(getattr(row, key) or "–") for key in ("lateral", "axial", "field"))
        grid.add_row(row.name, row.probe, *sizes, ", ".join(row.environment), ", ".join(row.needs), HARM[row.harm])
    return grid


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cited(quantity: Quantity | None) -> str:
    return f"{quantity} {_numbers(quantity.sources)}" if quantity else "–"


def _damage(row: Technique) -> str:
    return f"{row.damage} {_numbers(row.damage_sources)}".strip()


def _needs(row: Technique) -> str:
    return "; ".join(_note(NEEDS[need]) for need in row.needs) or "–"


def _code(text: str) -> str:
    return f"`{text}`" if text else "–"


def _note(text: str) -> str:
    for key in references():
        text = text.replace(f"[{key}]", _numbers((key,)))
    return text


def _numbers(keys: Iterable[str]) -> str:
    """Return links to sources, by their number in the list."""
    order = list(references())
    return " ".join(f"[[{number}]](#{number})" for number in sorted(order.index(key) + 1 for key in keys))


def _sources() -> str:
    lines = []
    for number, (text, doi) in enumerate(references().values(), 1):
        link = f", [doi:{doi}](https://doi.org/{quote(doi)})" if doi else ""
        lines.append(f'{number}. <a id="{number}"></a>{text}{link}\n')
    return "".join(lines)
