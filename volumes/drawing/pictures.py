"""Pictures as files: a volume rendered in three dimensions, an image face-on, and flat where there is no OpenGL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import xarray as xr

from fusion.conventions import spatial_dims
from fusion.errors import StoreError
from fusion.reading.paths import PathArg
from volumes.drawing import opengl
from volumes.drawing.flat import plot
from volumes.drawing.lines import DPI
from volumes.drawing.render import render

_VECTOR: Final = (".pdf", ".svg")


class Picture(NamedTuple):
    """A picture that was written: where, whether it is a 3D rendering, and what kept a volume from being one."""

    path: Path
    rendered: bool
    note: str


def picture(ds: xr.Dataset | xr.DataTree, path: PathArg, **options: Any) -> Picture:
    """Write a picture: a volume in three dimensions, an image face-on in its own axes, profiles as curves.

    Parameters
    ----------
    ds : Dataset or DataTree
        As for `volumes.plot`.
    path : path-like
        A name ending in ``.png``, or in ``.pdf`` or ``.svg`` for a flat vector drawing on white paper; an existing
        file is replaced.
    **options
        Those of `volumes.render`.

    Returns
    -------
    Picture
        ``rendered`` is False where the picture is flat. A volume is drawn as planes through its middle where this
        machine has no OpenGL, and ``note`` then says what to install.

    Raises
    ------
    DataError
        If there is nothing to draw.
    StoreError
        If the file cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".png", *_VECTOR) or not target.parent.is_dir():
        raise StoreError(f"{target}: a picture is a .png, .pdf or .svg file in a folder that exists")
    deep = bool(options.get("in_frame")) or options.get("style") == "relief"
    reason = _flat_because(ds, suffix, deep)
    if reason is None and isinstance(ds, xr.Dataset):
        plotter = render(ds, **{**options, "off_screen": True})
        try:
            plotter.screenshot(target)
        finally:
            plotter.close()
        return Picture(target, True, "")
    plot(ds, light=suffix in _VECTOR, **options).savefig(target, dpi=DPI)
    return Picture(target, False, reason or "")


def _flat_because(ds: xr.Dataset | xr.DataTree, suffix: str, deep: bool) -> str | None:
    """Return what keeps a picture flat, "" if it has no depth to lose; None if it is rendered."""
    if isinstance(ds, xr.DataTree):
        return ""
    image = isinstance(ds, xr.Dataset) and len(spatial_dims(ds)) < 3 and not deep
    if image or suffix in _VECTOR:
        return ""
    return None if opengl.available() else f"drawn flat: {opengl.ADVICE}"
