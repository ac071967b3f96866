"""A page in a notebook that tells Python which voxel was clicked and which region was drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, spatial_dims
from fusion.display import edges
from fusion.errors import DataError
from fusion.fused.abundances import spectrum
from volumes.viewer.content import Precision
from volumes.viewer.page import HEIGHT, NOTEBOOK
from volumes.viewer.tabs import Look, Written, written
from volumes.widgets.frame import Frame, Report


class Explorer:
    """A page that answers: where its cursor stands, and what the dataset holds there.

    Attributes
    ----------
    dataset : Dataset
        The one whose tab is open.
    voxel : tuple of int
        Where the cursor stands, an index along each spatial dim of the dataset; of blocks, their middle.
    position : dict of str to float
        The same in um.
    spectrum : DataArray
        There, with its standard error, as `fusion.spectrum` gives it.
    region : dict of str to (float, float), or None
        Outermost centres in um, along each spatial dim, of the region that was drawn with the shift key.
    """

    def __init__(self, made: Written) -> None:
        self._made = made
        self._tab = made.first
        self._at: list[int] = made.contents[made.first].header["start"]
        self._box: list[list[int]] | None = None
        self._frame = Frame(made.text, HEIGHT, self._heard)

    @property
    def dataset(self) -> xr.Dataset:
        """The dataset whose tab is open."""
        return self._made.tabs[self._tab].ds

    @property
    def voxel(self) -> tuple[int, ...]:
        """Where the cursor stands, as indices."""
        blocks, sizes = self._made.blocks[self._tab], self.dataset.sizes
        inside = zip(SPATIAL, self._at, blocks, strict=True)
        return tuple(min(at * n + n // 2, sizes[dim] - 1) for dim, at, n in inside if dim in sizes)

    @property
    def position(self) -> dict[str, float]:
        """Where the cursor stands, in um."""
        ds = self.dataset
        return {dim: float(ds[dim][i]) for dim, i in zip(spatial_dims(ds), self.voxel, strict=True)}

    @property
    def spectrum(self) -> xr.DataArray:
        """The spectrum where the cursor stands, with its standard error."""
        return spectrum(self.dataset, **self.position)

    @property
    def region(self) -> dict[str, tuple[float, float]] | None:
        """The region that was drawn, in um; None without one."""
        if self._box is None:
            return None
        ds, blocks = self.dataset, self._made.blocks[self._tab]
        ends = {}
        for dim, (low, high), n in zip(SPATIAL, self._box, blocks, strict=True):
            if dim in ds.dims:
                last = min((high + 1) * n - 1, ds.sizes[dim] - 1)
                ends[dim] = (float(ds[dim][low * n]), float(ds[dim][last]))
        return ends

    @property
    def selected(self) -> xr.Dataset:
        """The part of the dataset within the region; all of it without one."""
        return self.dataset.sel({dim: slice(low, high) for dim, (low, high) in (self.region or {}).items()})

    def go(self, **position: float) -> None:
        """Move the cursor of the page.

        Parameters
        ----------
        **position : float
            In um along the spatial dims; left out, the cursor stays where it is along a dim.

        Raises
        ------
        DataError
            If it lies outside the dataset.
        """
        ds, at = self.dataset, list(self._at)
        for dim, value in position.items():
            if dim not in spatial_dims(ds):
                raise DataError(f"{dim}: the dataset has {', '.join(spatial_dims(ds))}")
            limits = edges(ds[dim].values)[[0, -1]]
            if not limits[0] <= value <= limits[1]:
                raise DataError(f"{dim}={value} lies outside the dataset, {limits[0]:.6g} to {limits[1]:.6g} um")
            axis = SPATIAL.index(dim)
            at[axis] = int(np.abs(ds[dim].values - value).argmin()) // self._made.blocks[self._tab][axis]
        self._at = at
        self._frame.ask({"go": at})

    def observe(self, call: Callable[[Explorer], Any]) -> None:
        """Call a function with the explorer whenever the cursor, the tab or the region changes."""
        self._frame.observe(lambda: call(self))

    def _heard(self, report: Report) -> bool:
        """Take what the page reports, if it is what a page can say."""
        tab: Any = report.get("tab")
        at: Any = report.get("voxel")
        box: Any = report.get("region")
        if type(tab) is not int or not 0 <= tab < len(self._made.tabs):
            return False
        shape = self._made.contents[tab].header["shape"]
        if not _is_voxel(at, shape) or not (box is None or _is_box(box, shape)):
            return False
        self._tab, self._at, self._box = tab, at, box
        return True

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._frame.mimebundle(**options)

    def __repr__(self) -> str:
        where = ", ".join(f"{dim} {value:.6g}" for dim, value in self.position.items())
        return f"{self._made.tabs[self._tab].name} at {where} um, voxel {self.voxel}"


def explore(
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
) -> Explorer:
    """Show a page in a notebook that tells Python where its cursor stands.

    Parameters
    ----------
    ds, variable, components, colors, overlay, peaks, region, precision, largest, title
        As for `volumes.show`, which needs nothing of Jupyter and stays live in a saved notebook.

    Returns
    -------
    Explorer
        ``voxel``, ``position``, ``spectrum`` and ``region`` follow the page; ``observe`` calls back; ``go`` moves its
        cursor.

    Raises
    ------
    DataError
        As `volumes.page`, or if the tools of Jupyter are not installed.
    """
    return Explorer(written(ds, Look(
        variable=variable, components=components, colors=colors, overlay=overlay, peaks=peaks or {},
        region=region or {}, precision=precision, largest=largest, title=title,
    )))  # fmt: skip


def _is_voxel(at: Any, shape: Sequence[int]) -> bool:
    numbers = isinstance(at, list) and len(at) == len(shape) and all(type(i) is int for i in at)
    return numbers and all(0 <= i < size for i, size in zip(at, shape, strict=True))


def _is_box(box: Any, shape: Sequence[int]) -> bool:
    if not isinstance(box, list) or len(box) != len(shape):
        return False
    pairs = all(isinstance(ends, list) and len(ends) == 2 for ends in box)
    corners = zip(*box, strict=True) if pairs else ()
    return pairs and all(_is_voxel(list(at), shape) for at in corners) and all(low <= high for low, high in box)
