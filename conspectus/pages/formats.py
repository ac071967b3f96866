"""The page of formats: every measured file opened, and what came from it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from conspectus.pages.inventory import UNKNOWN, Item, opened
from fusion import limits
from fusion.errors import DataError
from fusion.specimens import measured

_SHOWN: Final = 4
_HEAD: Final = """# Formats

What opens, shown by opening it: a row for each item of each measured file, and for items that are alike. Written by
`conspectus formats --page docs/formats.md`; the files with their sources are `fusion.specimens.measured.entries()`.
`conspectus info FILE` says the same of a file of yours.

- **technique**: what took it; in brackets what the file itself says, where that is another word.
- **arguments**: what the file does not say, and `volumes.open` needs.
- **position**: frame, centre and tilt, where the file gives them.
- **lazy**: values are read when they are needed.
"""
_ASIDE: Final = "## Measured files that are not opened\n"
_GENERATED: Final = """## Formats without a measured file of the technique

Each test writes a file in the layout of the format, by code of our own or by a library, and reads it: values at known
places, axes, units. **operando**: a series over time.
"""
_UNPROVEN: Final = """## Formats read by RosettaSciIO

Further formats open through [RosettaSciIO](https://hyperspy.org/rosettasciio/) and are tested there, not here.
"""


class Entry(NamedTuple):
    """A measured file or folder: the technique that took it, its format, and what `volumes.open` needs beside it."""

    technique: str
    format: str
    arguments: Mapping[str, Any] = MappingProxyType({})


def entries() -> dict[str, Entry]:
    """Return what is known of each measured file that is opened, by its name.

    Examples
    --------
    >>> entries()["eels/EELS_SI.dm4"].format
    'DigitalMicrograph'
    """
    return {name: Entry(**row) for name, row in content()["file"].items()}


@cache
def content() -> dict[str, Any]:
    """Return the table as it is written in ``formats.toml``: ``file``, ``aside``, ``generated`` and ``unproven``."""
    return tomllib.loads(files("conspectus.pages").joinpath("formats.toml").read_text(encoding="utf-8"))


def show(*, page: Path | None = None, console: Console | None = None) -> None:
    """Print the formats with their techniques; or open all measured files and write the page.

    Raises
    ------
    DataError
        If the page is not to be a Markdown file.
    FileReadError
        If a measured file is not at hand.
    """
    if page is None:
        (console or Console(markup=False)).print(_screen())
        return
    if page.suffix != ".md":
        raise DataError(f"{page}: the page is written in Markdown; name a file that ends in .md")
    page.write_text(markdown(everything()), encoding="utf-8")


def everything() -> dict[str, list[Item]]:
    """Open every measured file; return its items by its name."""
    items = {}
    # the files are known by their sha256, and what is compiled for the first serves the others
    with limits(direct=True):
        for name, entry in entries().items():
            items[name] = opened(measured.locate(name), entry.arguments)[1]
    return items


def markdown(items: Mapping[str, Sequence[Item]]) -> str:
    """Return the page as text, from the items of each measured file."""
    known = entries()
    rows = [_row(name, known[name], item) for name in sorted(items, key=lambda n: (known[n].technique.casefold(), n))
            for item in items[name]]  # fmt: skip
    written = [(word, name, f"`{test}`") for name, row in content()["generated"].items() for word, test in row.items()]
    return "\n".join([
        _HEAD,
        _grid(("technique", "format", "file", "item", "axes", "arguments", "position", "lazy"), rows),
        _ASIDE,
        _grid(("file", "reason"), content()["aside"].items()),
        _GENERATED,
        _grid(("technique", "format", "test"), sorted(written, key=lambda row: row[0].casefold())),
        _UNPROVEN,
        _grid(("format", "technique"), ((name, ", ".join(names)) for name, names in content()["unproven"].items())),
    ])  # fmt: skip


def by_technique() -> dict[str, list[str]]:
    """Return the formats of each word for a technique, in the order of the table."""
    pairs = [(entry.technique, entry.format) for entry in entries().values()]
    pairs += [(word, name) for name, row in content()["generated"].items() for word in row]
    pairs += [(word, name) for name, words in content()["unproven"].items() for word in words]
    return {word: list(dict.fromkeys(name for other, name in pairs if other == word)) for word, _ in pairs}


def _row(name: str, entry: Entry, item: Item) -> tuple[str, ...]:
    more = f" and {len(item.names) - _SHOWN} more" if len(item.names) > _SHOWN else ""
    stated = "" if item.technique in (entry.technique, UNKNOWN) else f" ({item.technique})"
    axes = "<br>".join([*item.axes, *filter(None, [item.fault])])
    return (
        f"{entry.technique}{stated}", entry.format, name, ", ".join(item.names[:_SHOWN]) + more, axes,
        "<br>".join(f"`{key}={value!r}`" for key, value in entry.arguments.items()) or "–",
        "<br>".join(item.position) or "–", "yes" if item.lazy else "no",
    )  # fmt: skip


def _screen() -> Table:
    grid = Table(title="formats", title_justify="left", title_style="bold")
    grid.add_column("technique")
    grid.add_column("formats", overflow="fold")
    for technique, names in sorted(by_technique().items(), key=lambda row: row[0].casefold()):
        grid.add_row(technique, ", ".join(names))
    return grid


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
