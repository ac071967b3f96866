"""Say what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import fusion
import spectra
import volumes
from conspectus.steps import describe_axes
from fusion.errors import FileReadError


def show(path: Path, *, console: Console | None = None) -> None:
    """Print the items of a file, or the datasets of a saved project.

    Raises
    ------
    FileReadError
        If the file is missing or no reader knows it.
    """
    console = console or Console(markup=False)
    if not path.exists():
        raise FileReadError(path, "there is no such file; check the path")
    project = _project(path)
    table = _datasets(path, project) if project is not None else _items(path)
    console.print(table)


def _project(path: Path) -> Any:
    """Return what `fusion.save` wrote, or None if it was not that."""
    if path.suffix != ".nc":
        return None
    try:
        return fusion.load(path, chunks={})
    except (FileReadError, fusion.ConventionError):
        return None


def _datasets(path: Path, project: Any) -> Table:
    import xarray as xr

    nodes = {"dataset": project} if isinstance(project, xr.Dataset) else project.children
    table = _table(path, "dataset", "variables", "axes", "frame")
    for name, node in nodes.items():
        ds = node if isinstance(node, xr.Dataset) else node.to_dataset()
        table.add_row(str(name), ", ".join(map(str, ds.data_vars)), describe_axes(ds), fusion.get_pose(ds)[1])
    return table


def _items(path: Path) -> Table:
    """List the items by the first wing that can read the file."""
    refusals = []
    for wing in (spectra, volumes):
        try:
            found = wing.contents(path)
        except FileReadError as error:
            refusals.append(f"as {wing.__name__}: {error.reason}{f'; {error.hint}' if error.hint else ''}")
            continue
        table = _table(path, "item", *found[0]._fields[1:])
        for item in found:
            table.add_row(*(_text(part) for part in item))
        return table
    raise FileReadError(path, "; ".join(refusals))


def _table(path: Path, *columns: str) -> Table:
    table = Table(title=str(path), title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(part: Any) -> str:
    return " × ".join(map(str, part)) if isinstance(part, tuple) else str(part)
