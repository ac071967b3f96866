"""A fused volume or a specimen as one HTML file: volume, slices, and the spectrum under the cursor with its error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from math import prod
from pathlib import Path
from typing import Final, NamedTuple

import xarray as xr

from fusion.errors import StoreError
from fusion.reading.paths import PathArg
from volumes.viewer.content import Precision
from volumes.viewer.tabs import Look, written

LARGEST: Final = 5e6
"""Bytes of a page that can be mailed."""
NOTEBOOK: Final = 2e6
"""Bytes of a page that is kept in a notebook."""
HEIGHT: Final = 1010
"""Pixels of a page in a frame: views, readout and spectrum without scrolling."""


class Page(NamedTuple):
    """A page that was written: where, how large, and how it differs from the data.

    Attributes
    ----------
    path : Path
    size : int
        In bytes.
    rounding : float
        By how many standard errors a value may be rounded; without errors, by which share of the brightest value.
    blocks : tuple of int
        How many voxels along z, y, x are shown as their mean; of a tree, in the dataset with the largest blocks.
    """

    path: Path
    size: int
    rounding: float
    blocks: tuple[int, ...]


def page(
    ds: xr.Dataset | xr.DataTree,
    path: PathArg,
    *,
    variable: str | None = None,
    components: Sequence[str | int] | None = None,
    colors: Sequence[str] | None = None,
    overlay: xr.Dataset | Sequence[xr.Dataset] = (),
    peaks: Mapping[str, float] | None = None,
    region: Mapping[str, tuple[float, float]] | None = None,
    precision: Precision = "noise",
    largest: float = LARGEST,
    title: str | None = None,
) -> Page:
    """Write one HTML file that shows a volume, or a map over an image, with the spectrum of every voxel.

    The file needs no server, no network and nothing installed but a browser. It can be mailed.

    Parameters
    ----------
    ds : Dataset or DataTree
        A fused dataset, a decomposition, or any volume, stack or image on uniform axes. Of a tree, each dataset is a
        tab; the place of the cursor in a frame that they share shows values and spectrum of every one that covers it.
        Points of the tree are drawn over the datasets of their frame, surfaces over its volumes.
    path : path-like
        A name ending in ``.html``; an existing file is replaced.
    variable : str, optional
        The grey image or colour photograph behind the components; left out, the first one.
    components : sequence of str or int, optional
        Which components to show, eight at most.
    colors : sequence of str, optional
        One colour for each component.
    overlay : Dataset or sequence of Dataset, optional
        What lies over `ds`, through the poses of both: points, surfaces (``height``), and maps or images, of which
        each pixel of `ds` takes the nearest pixel. A decomposition brings its spectra and errors along.
    peaks : mapping of str to float, optional
        Names and positions on the signal axis to mark in spectra, beside those that the endmembers name in their
        attributes ``peak_names`` and ``peak_positions``.
    region : mapping, optional
        Lowest and highest position in um along dims, ``{"x": (1.0, 2.0)}``: only this part is shown.
    precision : {"noise", "exact"}
        With 8 bits a value, rounded far below its noise, or with 16.
    largest : float, optional
        Bytes of the page. A larger volume is shown as means of blocks of voxels, and the page says so.
    title : str, optional
        The heading; left out, that of the dataset.

    Returns
    -------
    Page

    Raises
    ------
    DataError
        If there is nothing to show, an axis is not uniform, or there are more than eight components. Of a tree, what
        cannot be shown is named on the page.
    FrameError
        If the pose shears or mirrors, or an overlay lies in another frame.
    StoreError
        If the file cannot be written.
    """
    target = checked(path)
    made = written(ds, Look(
        variable=variable, components=components, colors=colors, overlay=overlay, peaks=peaks or {},
        region=region or {}, precision=precision, largest=largest, title=title,
    ))  # fmt: skip
    write(target, made.text)
    rounding = max(shown.rounding for shown in made.contents)
    return Page(target, len(made.text.encode()), rounding, max(made.blocks, key=prod))


def checked(path: PathArg) -> Path:
    """Return a path to which a page can be written.

    Raises
    ------
    StoreError
        If it is no .html file in a folder that exists.
    """
    target = Path(path)
    if target.suffix.lower() != ".html" or not target.parent.is_dir():
        raise StoreError(f"{target}: a page is a .html file in a folder that exists")
    return target


def write(path: PathArg, text: str) -> Path:
    """Write a page, whole or not at all.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    target = checked(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(text.encode())
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StoreError(f"{target}: {error.strerror or error}") from error
    return target


class Live:
    """A page within a notebook, in a frame that can reach neither the notebook nor the network."""

    def __init__(self, html: str, text: str) -> None:
        self._html, self._text = html, text

    def _repr_html_(self) -> str:
        # Without allow-same-origin the frame has an origin of its own, and cannot reach the token of the notebook.
        # It may save a spectrum as a file, which the browser asks about.
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" srcdoc="{escape(self._html)}" '
            f'title="{escape(self._text)}" style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )

    def __repr__(self) -> str:
        return self._text


def show(
    ds: xr.Dataset | xr.DataTree,
    *,
    variable: str | None = None,
    components: Sequence[str | int] | None = None,
    colors: Sequence[str] | None = None,
    overlay: xr.Dataset | Sequence[xr.Dataset] = (),
    peaks: Mapping[str, float] | None = None,
    region: Mapping[str, tuple[float, float]] | None = None,
    precision: Precision = "noise",
    largest: float = NOTEBOOK,
    title: str | None = None,
) -> Live:
    """Show a page in a notebook; it stays live in the saved file, and in HTML made of it.

    Parameters
    ----------
    ds, variable, components, colors, overlay, peaks, region, precision, title
        As for `page`.
    largest : float, optional
        Bytes of the page, which is kept in the notebook.

    Returns
    -------
    Live
        What Jupyter displays: a frame without access to the notebook around it.
    """
    made = written(ds, Look(
        variable=variable, components=components, colors=colors, overlay=overlay, peaks=peaks or {},
        region=region or {}, precision=precision, largest=largest, title=title,
    ))  # fmt: skip
    texts = [f"{shown.header['title']}: {'; '.join(shown.header['about'])}" for shown in made.contents]
    return Live(made.text, "\n".join(texts))
