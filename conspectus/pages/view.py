"""Open a saved project in the browser, as a page that needs no server."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

import xarray as xr

import fusion
import volumes
from fusion.errors import DataError

FUSED = "fused"


def view(path: Path, *, node: str | None = None, output: Path | None = None) -> Path:
    """Write a page of a saved project, and open it unless `output` says where to keep it.

    Parameters
    ----------
    path : Path
        What `fusion.save` wrote, or an image or a volume that `volumes.open` reads.
    node : str, optional
        Which dataset of a project; left out, ``fused``, or the only one there is.
    output : Path, optional
        Where to write the page. Left out, it is a file that only this user can read, opened in the browser.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the project has several datasets and none of them is named.
    """
    ds = _dataset(path, node)
    if output is not None:
        return volumes.page(ds, output).path
    # mkdtemp makes a folder that no other user can enter; a page on a port could be reached by any of them
    folder = Path(tempfile.mkdtemp(prefix="conspectus-"))
    written = volumes.page(ds, folder / f"{path.stem}.html").path
    webbrowser.open(written.as_uri())
    return written


def _dataset(path: Path, node: str | None) -> xr.Dataset:
    if path.suffix != ".nc":
        opened: xr.Dataset = volumes.open(path) if node is None else volumes.open(path, name=node)
        return opened
    project = fusion.load(path)
    if isinstance(project, xr.Dataset):
        return project
    names = [name for name, child in project.children.items() if child.has_data]
    chosen = node if node is not None else FUSED if FUSED in names else names[0] if len(names) == 1 else ""
    if chosen not in names:
        raise DataError(f"{path.name}: which dataset to show? Name one of {names} with --name")
    shown: xr.Dataset = project[chosen].to_dataset()
    return shown
