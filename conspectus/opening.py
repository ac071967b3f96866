"""One function that opens any file, and one that writes for any program.

Nothing is imported before it is used, so that ``conspectus --help`` answers at once.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr


@overload
def open(path: str | PathLike[str]) -> xr.DataTree: ...


@overload
def open(path: str | PathLike[str], *, name: str) -> xr.Dataset: ...


def open(path: str | PathLike[str], *, name: str | None = None) -> xr.DataTree | xr.Dataset:
    """Open everything that a file holds: maps, electron images, overviews, white-light images.

    `spectra.open` and `volumes.open` do the work; this function knows which of them a file needs.

    Parameters
    ----------
    path : path-like
        A file of any format in ``docs/formats.md``, a folder with one slice per file, or what `fusion.save` wrote.
    name : str, optional
        One item, by the name of its node in the tree or the name that the file gives it.

    Returns
    -------
    DataTree or Dataset
        A node for each item, called as in the file, with ``_`` for ``/``; each with its own pose, all of one file in
        one frame. An item that cannot be opened is left out, and ``tree.attrs["left_out"]`` has one line for each of
        them: its name and the reason. With `name`, the dataset of that item.

    Raises
    ------
    FileReadError
        If the file is missing, damaged or of an unknown format, has no item of that name, or none of its items opens.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> path = f"{tempfile.mkdtemp()}/sem.tif"
    >>> tifffile.imwrite(path, np.zeros((3, 4), np.uint8))
    >>> list(open(path).children), dict(open(path, name="sem").sizes)
    (['sem'], {'y': 3, 'x': 4})
    """
    from conspectus import items

    return items.tree(path) if name is None else items.one(path, name)


def export(ds: xr.Dataset, path: str | PathLike[str]) -> Path:
    """Write one dataset for another program, chosen by the ending of the name.

    `fusion.export` writes ``.nc``, ``.nxs`` and ``.csv``, `volumes.export` ``.vti``, ``.vtkhdf``, ``.ome.zarr`` and
    ``.tif``, `spectra.export` ``.hspy``; this function knows which of them a name needs.

    Parameters
    ----------
    ds : Dataset
        One modality; what a format can hold is said by these functions.
    path : path-like

    Returns
    -------
    Path

    Raises
    ------
    ConspectusError
        If the ending is not known, the format cannot hold the dataset, or the file cannot be written.

    Examples
    --------
    >>> import numpy as np, tempfile, fusion
    >>> axes = {dim: fusion.Axis("nm", 5.0) for dim in "yx"}
    >>> ds = fusion.dataset({"image": (("y", "x"), np.zeros((3, 4), np.uint8))}, axes, name="sem", cell_methods="mean")
    >>> path = export(ds, f"{tempfile.mkdtemp()}/sem.tif")
    >>> float(open(path, name="sem")["x"][1])
    0.005
    """
    from conspectus import items

    return items.export(ds, path)
