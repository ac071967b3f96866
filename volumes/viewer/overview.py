"""What is in a specimen, at a glance: a row with a picture for each dataset of a tree."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, fields
from html import escape
from io import BytesIO
from typing import Final

import numpy as np
import xarray as xr

from fusion.conventions import SPATIAL, check, spacing, spatial_dims, title
from fusion.display import edges, length, spelled, y_upwards
from fusion.errors import DataError
from fusion.frames import get_pose
from volumes.drawing import layers
from volumes.drawing.mesh import unlinked
from volumes.drawing.mixing import covered, mixed
from volumes.drawing.options import Options, chosen

_THUMBNAIL: Final = 96
_COLORS: Final = 32
"""Of a thumbnail, which then has about 4 kB."""


@dataclass(frozen=True)
class Row:
    """One dataset: its picture as PNG (None where there is none), and what it is in words."""

    thumbnail: bytes | None
    name: str
    technique: str
    voxels: str
    extent: str
    step: str
    signal: str
    frame: str
    covered: str


HEADINGS: Final = ("", "dataset", "technique", "voxels", "extent", "step", "signal", "frame", "covered")


class Overview:
    """The rows, as a table in a terminal and with pictures in a notebook.

    Attributes
    ----------
    rows : list of Row
    """

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in HEADINGS)
        body = "".join(
            f"<tr>{_picture(row)}{''.join(f'<td>{escape(t)}</td>' for t in _texts(row))}</tr>" for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        table = [list(HEADINGS[1:]), *map(_texts, self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def overview(tree: xr.DataTree | xr.Dataset) -> Overview:
    """Return what is in a specimen: for each dataset a picture, size, step, signal axis, frame and covered share.

    Parameters
    ----------
    tree : DataTree or Dataset
        Lazy data are read in strides, as much as a thumbnail needs.

    Returns
    -------
    Overview
        A table in the terminal; in a notebook with pictures, y as its instrument shows it.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> axes = {"y": Axis("um", 0.5), "x": Axis("nm", 250.0)}
    >>> print(overview(dataset({"image": (("y", "x"), np.eye(4))}, axes, name="map", cell_methods="mean")))
    dataset  technique  voxels  extent       step             signal  frame  covered
    map                 4 × 4   2 µm × 1 µm  500 nm × 250 nm          map
    """
    if isinstance(tree, xr.Dataset):
        return Overview([_row(title(tree), check(tree))])
    nodes = [node for node in tree.subtree if node.has_data]
    return Overview([_row(node.name or title(node.to_dataset()), check(node.to_dataset())) for node in nodes])


def _texts(row: Row) -> list[str]:
    return [getattr(row, field.name) for field in fields(row) if field.name != "thumbnail"]


def _picture(row: Row) -> str:
    if row.thumbnail is None:
        return "<td></td>"
    return f'<td><img alt="{escape(row.name)}" src="data:image/png;base64,{b64encode(row.thumbnail).decode()}"></td>'


def _row(name: str, ds: xr.Dataset) -> Row:
    dims = spatial_dims(ds)
    steps = {dim: spacing(ds[dim]) for dim in dims}
    unit = str(ds[dims[-1]].attrs["units"]) if dims else ""
    voxels = " × ".join(str(ds.sizes[dim]) for dim in dims) or f"{ds.sizes.get('point', 1)} points"
    width = min((size for size in steps.values() if size is not None), default=1.0)
    extent = " × ".join(length(float(np.ptp(edges(ds[dim].values, width=width))), unit) for dim in dims)
    step = " × ".join(length(size, unit) if size is not None else "uneven" for size in steps.values())
    coverage = ds.get("coverage")
    share = "" if coverage is None else f"{100 * float((coverage > 0).mean()):.0f} %"
    frame = str(get_pose(ds)[1])
    return Row(
        _thumbnail(ds), name, str(ds.attrs.get("technique", "")), voxels, extent, step, _signal(ds), frame, share
    )


def _signal(ds: xr.Dataset) -> str:
    axes = [str(dim) for dim in ds.dims if dim not in (*SPATIAL, "point", "axis") and dim in ds.coords]
    texts = []
    for dim in axes:
        values = ds[dim].values
        unit = spelled(str(ds[dim].attrs.get("units", "1")))
        span = f" {values[0]:.4g} – {values[-1]:.4g} {unit}" if values.dtype.kind == "f" and values.size else ""
        texts.append(f"{dim} {values.size}{span}".replace(" 1/", " ").rstrip())
    return ", ".join(texts)


def _thumbnail(ds: xr.Dataset) -> bytes | None:
    """Return the middle plane as a small PNG; None where nothing can be drawn without a choice of the user."""
    from PIL import Image

    plane = _small(ds)
    if plane is None:
        return None
    try:
        drawn = chosen(plane, Options())
        shown = [layers.grey_layer(drawn.grey)] if drawn.grey is not None else drawn.layers
        rgb = mixed(shown)[..., :3] * covered(shown)[..., None]
    except DataError:
        return None
    rgb = rgb[::-1] if y_upwards(ds) else rgb
    buffer = BytesIO()
    Image.fromarray(rgb.astype(np.uint8)).quantize(_COLORS).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _best_plane(ds: xr.Dataset) -> int:
    """Return the plane that is covered best by what was placed in the volume; else the middle one."""
    if "coverage" not in ds or ds["coverage"].chunks is not None:
        return ds.sizes["z"] // 2
    covered_share = (ds["coverage"] > 0).mean(("y", "x")).values
    return int(covered_share.argmax()) if covered_share.any() else ds.sizes["z"] // 2


def _small(ds: xr.Dataset) -> xr.Dataset | None:
    """Return every n-th pixel of the middle plane, sums over the signal axis where there is nothing else to see."""
    if not {"y", "x"} <= set(ds.dims):
        return None
    stride = -(-max(ds.sizes["y"], ds.sizes["x"]) // _THUMBNAIL)
    plane = ds.isel({"z": _best_plane(ds)} if "z" in ds.dims else {})
    plane = unlinked(plane.isel(y=slice(None, None, stride), x=slice(None, None, stride)))
    drawable = [
        v for v in plane.data_vars.values() if v.dims in (("y", "x"), ("y", "x", "component"), ("y", "x", "channel"))
    ]
    if drawable or not plane.data_vars:
        return plane.compute()
    spectra = next((v for v in plane.data_vars.values() if v.dims[:2] == ("y", "x")), None)
    if spectra is None:
        return None
    total = spectra.sum([dim for dim in spectra.dims if dim not in ("y", "x")], keep_attrs=True)
    return plane.drop_vars(list(plane.data_vars)).assign(total=total).compute()
