"""What lies over a page: maps on the pixels of an image, and points and surfaces at their place in the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import SPATIAL, check, error_of, spatial_dims, title
from fusion.display import PALETTE
from fusion.errors import DataError
from fusion.frames import POSE, between, get_pose
from fusion.resampling.resample import COVERAGE, resample
from fusion.units import LENGTH
from volumes.drawing.options import Options
from volumes.drawing.overlay import with_overlay
from volumes.drawing.relief import HEIGHT
from volumes.viewer import _planes
from volumes.viewer.content import ABUNDANCE, ENDMEMBER

_MOST_POINTS: Final = 20_000
_MOST_ROWS: Final = 160
"""Of a surface, and columns: 50,000 triangles are cut by three planes in a few milliseconds."""
Kind = Literal["points", "surface"]


@dataclass(frozen=True)
class Overlay:
    """Points or a surface: its frame, what the page says of it, and its vertices in the frame as bytes."""

    frame: str
    header: dict[str, Any]
    vertices: _planes.Bytes


def is_points(ds: xr.Dataset) -> bool:
    """Whether a dataset holds positions."""
    return "point" in ds.dims and {"y", "x"} <= set(ds.coords)


def is_surface(ds: xr.Dataset) -> bool:
    """Whether a dataset holds a surface: heights in um over y and x."""
    return HEIGHT in ds and ds[HEIGHT].dims == ("y", "x") and ds[HEIGHT].attrs.get("units") == LENGTH


def overlay(ds: xr.Dataset, name: str, number: int) -> Overlay:
    """Return points or a surface, as many vertices as a page can draw at once."""
    pose, frame = get_pose(ds)
    kind: Kind = "points" if is_points(ds) else "surface"
    at, note = _points(ds) if kind == "points" else _surface(ds)
    vertices = pose(at)
    origin = np.nan_to_num(np.nanmean(vertices.reshape(-1, 3), axis=0))
    header = {
        "kind": kind, "name": f"{name}{note}", "color": PALETTE[-1 - number % len(PALETTE)], "origin": origin.tolist(),
        "shape": list(at.shape[:-1]),
    }  # fmt: skip
    # positions of a stage have more digits than float32 keeps: what is stored is the distance from their mean
    near = (vertices - origin).reshape(-1, 3).astype("<f4")
    return Overlay(str(frame), header, near.view(np.uint8))


def laid_over(ds: xr.Dataset, maps: Sequence[xr.Dataset]) -> tuple[xr.Dataset, list[str] | None, list[xr.Dataset]]:
    """Return a dataset with maps on its own pixels, the names of what is drawn in colour, and points and surfaces.

    Each pixel takes the values of the nearest one of the map, so that its spectrum and errors are those measured.

    Raises
    ------
    DataError
        If a map does not overlap, or the dataset has abundances already.
    FrameError
        If the two share no frame.
    """
    names: list[str] | None = None
    vertices = []
    for over in map(check, maps):
        if is_points(over) or (is_surface(over) and spatial_dims(ds) == SPATIAL):
            between(over, ds)
            vertices.append(over)
        elif {ABUNDANCE, ENDMEMBER} <= set(over.data_vars):
            ds = _with_decomposition(ds, over)
        else:
            ds, options, _ = with_overlay(ds, Options(overlay=over, components=names))
            names = [*(names or []), *map(str, options.components or [])]
    return ds, list(dict.fromkeys(names)) if names else None, vertices


def _with_decomposition(ds: xr.Dataset, over: xr.Dataset) -> xr.Dataset:
    if ABUNDANCE in ds:
        raise DataError(f"{title(ds)} has abundances of its own; show the two as tabs of one tree")
    error = error_of(over[ABUNDANCE])
    amounts = over[[ABUNDANCE, *([error] if error else [])]]
    moved = resample(amounts, ds, method="nearest")
    bare = moved.drop_vars([COVERAGE, *(name for name in moved.coords if name in (*SPATIAL, POSE))])
    return ds.assign(bare).assign({ENDMEMBER: over[ENDMEMBER]})


def _points(ds: xr.Dataset) -> tuple[npt.NDArray[np.float64], str]:
    count = ds.sizes["point"]
    stride = -(-count // _MOST_POINTS)
    columns = [ds[dim].values if dim in ds.coords else np.zeros(()) for dim in SPATIAL]
    at = np.stack(np.broadcast_arrays(*columns), axis=-1).astype(np.float64)
    return at[np.isfinite(at).all(axis=-1)][::stride], f" ({count} points{f', one in {stride} drawn' * (stride > 1)})"


def _surface(ds: xr.Dataset) -> tuple[npt.NDArray[np.float64], str]:
    stride = -(-max(ds.sizes["y"], ds.sizes["x"]) // _MOST_ROWS)
    height = ds[HEIGHT].isel(y=slice(None, None, stride), x=slice(None, None, stride))
    y, x = np.meshgrid(height["y"].values, height["x"].values, indexing="ij")
    note = f" (one row in {stride} drawn)" if stride > 1 else ""
    return np.stack([height.values, y, x], axis=-1).astype(np.float64), note
