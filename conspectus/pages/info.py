"""Say what is in a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.table import Table

import fusion
from conspectus.pages.inventory import Item, item_of, opened
from fusion.errors import FileReadError
from fusion.reading.paths import existing


def show(path: Path, *, verify: bool = False, console: Console | None = None) -> None:
    """Print the items of a file, or the datasets of a saved project: axes, position, technique.

    With `verify`, say instead whether a saved file is what was saved.

    Raises
    ------
    FileReadError
        If the file is missing or no reader knows it; with `verify`, if it is damaged.
    """
    console = console or Console(markup=False)
    existing(path)
    if verify:
        console.print(str(_undamaged(path)), soft_wrap=True)
        return
    project = _project(path)
    if project is not None:
        console.print(_table(path, "open with fusion.load", _datasets(project)))
        return
    opener, items = opened(path)
    console.print(_table(path, f"open with {opener}", items))


def _undamaged(path: Path) -> fusion.Verification:
    result = fusion.verify(path)
    if result.damaged:
        raise FileReadError(path, f"damaged: {', '.join(result.damaged)}", hint="copy it again from where it is intact")
    return result


def _project(path: Path) -> Any:
    """Return what `fusion.save` wrote, or None if it was not that."""
    if path.suffix != ".nc":
        return None
    try:
        return fusion.load(path, chunks={})
    except (FileReadError, fusion.ConventionError):
        return None


def _datasets(project: Any) -> list[Item]:
    nodes = {"dataset": project} if isinstance(project, xr.Dataset) else project.children
    datasets = {name: node if isinstance(node, xr.Dataset) else node.to_dataset() for name, node in nodes.items()}
    return [item_of(ds, f"{name}: {', '.join(map(str, ds.data_vars))}") for name, ds in datasets.items()]


def _table(path: Path, hint: str, items: Iterable[Item]) -> Table:
    table = Table(title=f"{path}\n{hint}", title_justify="left", title_style="bold", show_lines=True)
    table.add_column("item", overflow="fold", ratio=3)
    table.add_column("technique", overflow="fold", ratio=2)
    table.add_column("axes", overflow="fold", ratio=5)
    table.add_column("position", overflow="fold", ratio=4)
    table.add_column("lazy", width=4)
    for item in items:
        axes = "\n".join([*item.axes, *filter(None, [item.fault])])
        row = ("\n".join(item.names), item.technique, axes, "\n".join(item.position))
        table.add_row(*row, "" if item.fault else ("yes" if item.lazy else "no"))
    return table
