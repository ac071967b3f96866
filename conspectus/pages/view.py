"""Open a saved project in the browser, as a page that needs no server."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Final

import xarray as xr
from rich.console import Console

import fusion
import volumes
from fusion.errors import DataError
from volumes.viewer.page import LARGEST

FUSED: Final = "fused"
_TREE: Final = 20e6
"""Bytes of a page of several datasets, which is opened here and not mailed."""


def view(path: Path, *, node: str | None = None, output: Path | None = None) -> Path:
    """Write a page of a saved project, and open it unless `output` says where to keep it.

    Parameters
    ----------
    path : Path
        What `fusion.save` wrote, or an image or a volume that `volumes.open` reads.
    node : str, optional
        Which dataset of a project; left out, all of it, a tab for each dataset.
    output : Path, optional
        Where to write the page. Left out, it is a file that only this user can read, opened in the browser.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the project has no such dataset.
    """
    ds = _dataset(path, node)
    largest = _TREE if isinstance(ds, xr.DataTree) else LARGEST
    # mkdtemp makes a folder that no other user can enter; a page on a port could be reached by any of them
    target = output or Path(tempfile.mkdtemp(prefix="conspectus-")) / f"{path.stem}.html"
    with Console(stderr=True).status(f"writing {target.name}"):
        written = volumes.page(ds, target, largest=largest).path
    if output is None:
        webbrowser.open(written.as_uri())
    return written


def chosen_dataset(path: Path, node: str | None) -> xr.Dataset:
    """Return one dataset of a file: the one that is named, ``fused``, or the only one there is.

    Raises
    ------
    DataError
        If there are several and none of them is named.
    """
    project = _dataset(path, node)
    if isinstance(project, xr.Dataset):
        return project
    names = [name for name, child in project.children.items() if child.has_data]
    chosen = FUSED if FUSED in names else names[0] if len(names) == 1 else None
    if chosen is None:
        raise DataError(f"{path.name}: which dataset to draw? Name one of {names} with --name")
    return project[chosen].to_dataset()


def _dataset(path: Path, node: str | None) -> xr.Dataset | xr.DataTree:
    if path.suffix != ".nc":
        opened: xr.Dataset = volumes.open(path) if node is None else volumes.open(path, name=node)
        return opened
    project: xr.Dataset | xr.DataTree = fusion.load(path)
    if node is None or isinstance(project, xr.Dataset):
        return project
    names = [name for name, child in project.children.items() if child.has_data]
    if node not in names:
        raise DataError(f"{path.name}: no dataset {node!r}; name one of {names} with --name")
    shown: xr.Dataset = project[node].to_dataset()
    return shown
