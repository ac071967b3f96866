"""What a page shows: one dataset, or a tab for each of a tree, made small enough together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, get_args

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, check, spatial_dims
from fusion.conventions import title as title_of
from fusion.errors import ConspectusError, DataError
from fusion.frames import locate, with_pose
from volumes.drawing.mesh import refuse_points, unlinked
from volumes.viewer.content import Choice, Content, Precision, choose, content
from volumes.viewer.document import Packed, document, packed
from volumes.viewer.overlays import Overlay, is_points, is_surface, laid_over, overlay

Factors = tuple[int, int, int]
_FULL: Final = (1, 1, 1)


@dataclass(frozen=True)
class Look:
    """The options of `volumes.page`, which describes them.

    Raises
    ------
    DataError
        If there is no such precision.
    """

    variable: str | None = None
    components: Sequence[str | int] | None = None
    colors: Sequence[str] | None = None
    overlay: xr.Dataset | Sequence[xr.Dataset] = ()
    peaks: Mapping[str, float] = field(default_factory=dict)
    region: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    precision: Precision = "noise"
    largest: float = np.inf
    title: str | None = None

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise DataError(f"precision is one of {', '.join(get_args(Precision))}; received {self.precision!r}")


@dataclass(frozen=True)
class Tab:
    """One dataset of a page, and what of it is shown."""

    ds: xr.Dataset
    choice: Choice
    name: str

    def content(self, look: Look, factors: Factors) -> Content:
        """Return what the page holds of it, with voxels joined in blocks."""
        return content(
            self.ds, self.choice, colors=look.colors, precision=look.precision, factors=factors, peaks=look.peaks,
            name=self.name,
        )  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A page as text, what its tabs hold, and the blocks of voxels that made each small enough."""

    text: str
    tabs: list[Tab]
    contents: list[Content]
    blocks: list[Factors]
    first: int
    """The tab that is open at first."""


def written(ds: xr.Dataset | xr.DataTree, look: Look) -> Written:
    """Return the page of a dataset, or of all of a tree that can be shown."""
    tabs, overlays, left_out = _of_tree(ds, look) if isinstance(ds, xr.DataTree) else _of_dataset(ds, look)
    first = next((n for n, tab in enumerate(tabs) if tab.choice.spectra is not None), 0)
    contents = [tab.content(look, _FULL) for tab in tabs]
    small, blocks = [packed(shown) for shown in contents], [_FULL] * len(tabs)
    frames = [[k for k, over in enumerate(overlays) if _meet(over, shown)] for shown in contents]

    def page() -> str:
        shown = [
            replace(one, header=one.header | {"overlays": on, "surface": is_surface(tab.ds)})
            for one, on, tab in zip(small, frames, tabs, strict=True)
        ]
        return document(shown, overlays, left_out, first)

    while len(text := page()) > look.largest:
        n = _largest(small)
        if n is None:
            break
        excess = small[n].size / _share(small, len(text), look.largest)
        header = contents[n].header
        blocks[n] = _coarser(header["shape"], header["step"], blocks[n], excess)
        contents[n] = tabs[n].content(look, blocks[n])
        small[n] = packed(contents[n])
    return Written(text, tabs, contents, blocks, first)


def _of_dataset(ds: xr.Dataset, look: Look) -> tuple[list[Tab], list[Overlay], list[str]]:
    over = [look.overlay] if isinstance(look.overlay, xr.Dataset) else list(look.overlay)
    ds, names, vertices = laid_over(_showable(ds, look.region), over)
    components = look.components if look.components is not None else names
    tab = Tab(ds, choose(ds, components, look.variable), look.title or title_of(ds))
    return [tab], [overlay(one, title_of(one), k) for k, one in enumerate(vertices)], []


def _of_tree(tree: xr.DataTree, look: Look) -> tuple[list[Tab], list[Overlay], list[str]]:
    if look != replace(Look(), peaks=look.peaks, precision=look.precision, largest=look.largest):
        raise DataError("a tree takes peaks=, precision= and largest=; choose the rest in its datasets beforehand")
    tabs: list[Tab] = []
    overlays: list[Overlay] = []
    left_out = []
    for node in (node for node in tree.subtree if node.has_data):
        name = str(node.name or title_of(node.to_dataset()))
        ds = node.to_dataset()
        ds = with_pose(ds, *locate(tree, name)) if node.name else ds
        if is_points(ds) or is_surface(ds):
            overlays.append(overlay(ds, name, len(overlays)))
        if is_points(ds):
            continue
        try:
            ds = _showable(ds, {})
            tabs.append(Tab(ds, choose(ds, None, None), name))
        except ConspectusError as error:
            left_out.append(f"{name} ({str(error).removeprefix(f'{title_of(ds)}: ')})")
    if not tabs:
        raise DataError(f"the tree holds nothing that a page can show: {'; '.join(left_out) or 'no dataset'}")
    return tabs, overlays, left_out


def _meet(over: Overlay, shown: Content) -> bool:
    """Whether points or a surface lie in the frame of a dataset; a surface is drawn where there is depth."""
    surface = over.header["kind"] == "surface"
    return over.frame == shown.header["frame"] and not (surface and shown.header["flat"])


def _largest(tabs: Sequence[Packed]) -> int | None:
    """Return the largest dataset that can still be joined in blocks."""
    free = [n for n, tab in enumerate(tabs) if max(tab.header["shape"]) > 1 and tab.planes]
    return max(free, key=lambda n: tabs[n].size, default=None)


def _share(tabs: Sequence[Packed], total: float, largest: float) -> float:
    """Return the size that no dataset may exceed so that all fit, the smaller ones in full."""
    rest, sizes = largest - (total - sum(tab.size for tab in tabs)), sorted(tab.size for tab in tabs)
    for n, size in enumerate(sizes):
        share = rest / (len(sizes) - n)
        if size > share:
            return max(share, size / 64)
        rest -= size
    return sizes[-1]


def _coarser(shape: Sequence[int], step: Sequence[float], factors: Factors, excess: float) -> Factors:
    """Double the blocks where voxels are finest until enough of them are gone, so that they become cubes."""
    sizes, steps, doubled = list(shape), list(step), list(factors)
    while True:
        free = [axis for axis in range(3) if sizes[axis] > 1]
        if not free:
            break
        finest = min(free, key=lambda axis: steps[axis])
        sizes[finest], steps[finest], doubled[finest] = -(-sizes[finest] // 2), 2 * steps[finest], 2 * doubled[finest]
        excess /= 2.0
        if excess <= 1.0:
            break
    return doubled[0], doubled[1], doubled[2]


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
