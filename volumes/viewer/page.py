"""A fused volume as one HTML file: the volume, three slices, and the spectrum under the cursor with its error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple, get_args

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, check, spatial_dims
from fusion.conventions import title as title_of
from fusion.errors import DataError, StoreError
from fusion.reading.paths import PathArg
from volumes.drawing.mesh import refuse_points, unlinked
from volumes.viewer.content import Content, Precision, choose, content
from volumes.viewer.document import document

LARGEST: Final = 5e6
"""Bytes of a page that can be mailed."""
_NOTEBOOK: Final = 2e6
_HEIGHT: Final = 1010
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
        How many voxels along z, y, x are shown as their mean.
    """

    path: Path
    size: int
    rounding: float
    blocks: tuple[int, ...]


def page(
    ds: xr.Dataset,
    path: PathArg,
    *,
    variable: str | None = None,
    components: Sequence[str | int] | None = None,
    colors: Sequence[str] | None = None,
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
    ds : Dataset
        A fused dataset, a decomposition, or any volume, stack or image on uniform axes.
    path : path-like
        A name ending in ``.html``; an existing file is replaced.
    variable : str, optional
        The grey image or colour photograph behind the components; left out, the first one.
    components : sequence of str or int, optional
        Which components to show, eight at most.
    colors : sequence of str, optional
        One colour for each component.
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
        If there is nothing to show, an axis is not uniform, or there are more than eight components.
    FrameError
        If the pose shears or mirrors.
    StoreError
        If the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".html" or not target.parent.is_dir():
        raise StoreError(f"{target}: a page is a .html file in a folder that exists")
    text, shown, factors = _written(
        ds, variable=variable, components=components, colors=colors, peaks=peaks, region=region, precision=precision,
        largest=largest, title=title,
    )  # fmt: skip
    data = text.encode()
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StoreError(f"{target}: {error.strerror or error}") from error
    return Page(target, len(data), shown.rounding, factors)


class Live:
    """A page within a notebook, in a frame that can reach neither the notebook nor the network."""

    def __init__(self, html: str, text: str) -> None:
        self._html, self._text = html, text

    def _repr_html_(self) -> str:
        # Without allow-same-origin the frame has an origin of its own, and cannot reach the token of the notebook.
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{escape(self._html)}" title="{escape(self._text)}" '
            f'style="width: 100%; height: {_HEIGHT}px; border: 0"></iframe>'
        )

    def __repr__(self) -> str:
        return self._text


def show(
    ds: xr.Dataset,
    *,
    variable: str | None = None,
    components: Sequence[str | int] | None = None,
    colors: Sequence[str] | None = None,
    peaks: Mapping[str, float] | None = None,
    region: Mapping[str, tuple[float, float]] | None = None,
    precision: Precision = "noise",
    largest: float = _NOTEBOOK,
    title: str | None = None,
) -> Live:
    """Show a page in a notebook; it stays live in the saved file, and in HTML made of it.

    Parameters
    ----------
    ds, variable, components, colors, peaks, region, precision, title
        As for `page`.
    largest : float, optional
        Bytes of the page, which is kept in the notebook.

    Returns
    -------
    Live
        What Jupyter displays: a frame without access to the notebook around it.
    """
    text, shown, _ = _written(
        ds, variable=variable, components=components, colors=colors, peaks=peaks, region=region, precision=precision,
        largest=largest, title=title,
    )  # fmt: skip
    return Live(text, f"{shown.header['title']}: {'; '.join(shown.header['about'])}")


def _written(
    ds: xr.Dataset,
    *,
    variable: str | None,
    components: Sequence[str | int] | None,
    colors: Sequence[str] | None,
    peaks: Mapping[str, float] | None,
    region: Mapping[str, tuple[float, float]] | None,
    precision: Precision,
    largest: float,
    title: str | None,
) -> tuple[str, Content, tuple[int, ...]]:
    """Return the page, what it holds, and the blocks of voxels that made it small enough."""
    if precision not in get_args(Precision):
        raise DataError(f"precision is one of {', '.join(get_args(Precision))}; received {precision!r}")
    ds = _showable(ds, region or {})
    choice = choose(ds, components, variable)
    factors: tuple[int, ...] = (1, 1, 1)
    while True:
        shown = content(
            ds, choice, colors=colors, precision=precision, factors=factors, peaks=peaks or {},
            name=title or title_of(ds),
        )  # fmt: skip
        text = document(shown)
        if len(text) <= largest or max(shown.header["shape"]) < 2:
            return text, shown, factors
        factors = _coarser(shown.header["shape"], shown.header["step"], factors, len(text) / largest)


def _coarser(shape: Sequence[int], step: Sequence[float], factors: tuple[int, ...], excess: float) -> tuple[int, ...]:
    """Double the blocks where voxels are finest until enough of them are gone, so that they become cubes."""
    sizes, steps, doubled = list(shape), list(step), list(factors)
    while excess > 1.0:
        free = [axis for axis in range(3) if sizes[axis] > 1]
        if not free:
            break
        finest = min(free, key=lambda axis: steps[axis])
        sizes[finest], steps[finest], doubled[finest] = -(-sizes[finest] // 2), 2 * steps[finest], 2 * doubled[finest]
        excess /= 2.0
    return tuple(doubled)


def _showable(ds: xr.Dataset, region: Mapping[str, tuple[float, float]]) -> xr.Dataset:
    ds = check(unlinked(ds))
    refuse_points(ds)
    if not {"y", "x"} <= set(ds.dims):
        raise DataError(f"a page shows y and x; the dataset has {spatial_dims(ds)}")
    for dim, (low, high) in region.items():
        if dim not in SPATIAL or dim not in ds.dims:
            raise DataError(f"region names spatial dims of the dataset, {spatial_dims(ds)}; received {dim!r}")
        inside = np.flatnonzero((ds[dim].values >= low) & (ds[dim].values <= high))
        if not inside.size:
            ends = f"{float(ds[dim][0]):.6g} to {float(ds[dim][-1]):.6g}"
            raise DataError(f"no voxel with {dim} from {low} to {high} um; it runs from {ends}")
        ds = ds.isel({dim: inside})
    return ds
