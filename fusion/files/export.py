"""One dataset for other programs: flat NetCDF, a table, or NeXus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple

import xarray as xr

from fusion import attributes
from fusion.affine import Affine
from fusion.conventions import check, linked, with_links
from fusion.files import layout, writer
from fusion.files.aside import refuse_suffix, require_dataset
from fusion.files.nexus import write_nexus
from fusion.files.replacing import replacing
from fusion.files.tables import write_csv
from fusion.frames import POSE, get_pose
from fusion.warp import as_text

_TAKEN_APART: Final = ("component", "channel")


def export(ds: xr.Dataset, path: str | PathLike[str]) -> Path:
    """Write one dataset to a file for other programs; `fusion.save` writes files to work on with.

    Parameters
    ----------
    ds : Dataset
        Passes `fusion.check`. Lazy values are written block by block.
    path : path-like
        ``.nc``: flat NetCDF for ParaView, ncdump, cdo, Octave and MATLAB, which know neither groups nor a fourth dim:
        each component and channel becomes a variable of its own, ``abundance_Fe``; text is written as characters; the
        pose is kept in the attributes ``pose_frame`` and ``pose_matrix`` of the file. ``.nxs``: NeXus, each variable an
        NXdata. ``.csv``: points and tables. `volumes.export` and `spectra.export` know other formats,
        `conspectus.export` all of them.

    Returns
    -------
    Path

    Raises
    ------
    ConventionError
        If the dataset breaks the conventions, or is a tree.
    StoreError
        If the ending of the name is not known, or the file cannot be written; an older one is then as it was.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from fusion import Axis, dataset
    >>> ds = dataset({"share": (("y", "x", "component"), np.ones((2, 2, 2)))},
    ...              {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0), "component": ["Fe", "Cu"]}, name="a",
    ...              cell_methods="mean")
    >>> list(xr.open_dataset(export(ds, f"{tempfile.mkdtemp()}/a.nc")).data_vars)
    ['share_Fe', 'share_Cu']
    """
    target = Path(path)
    require_dataset(ds)
    refuse_suffix(target, tuple(WRITERS), "; volumes.export and spectra.export know others")
    WRITERS[target.suffix](check(ds), target)
    return target


def _write_netcdf(ds: xr.Dataset, target: Path) -> None:
    groups = layout.groups(_flat(ds))
    with replacing(target) as file:
        writer.write(groups, file)


WRITERS: Final[Mapping[str, Callable[[xr.Dataset, Path], None]]] = {
    ".nc": _write_netcdf, ".csv": write_csv, ".nxs": write_nexus,
}  # fmt: skip
"""What writes a file, by the ending of its name."""


class _Piece(NamedTuple):
    """What becomes one variable of the file: of which variable it is taken, and of which component or channel."""

    base: str
    suffix: str
    variable: xr.Variable


def _flat(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset without the dims of components and channels, three-dimensional variables first."""
    pieces = [
        piece for name, array in ds.data_vars.items() for piece in _pieces(ds, _Piece(str(name), "", array.variable))
    ]
    # programs show the first variables by default, and VTK opens nothing if these have four dims
    pieces.sort(key=lambda piece: (piece.variable.ndim != 3, piece.variable.ndim))
    names = {piece.base + piece.suffix for piece in pieces}
    variables = {piece.base + piece.suffix: _described(piece, names) for piece in pieces}
    coords = {name: _coordinate(v.variable) for name, v in ds.coords.items() if name not in (POSE, *_TAKEN_APART)}
    attrs = {str(key): _simple(value) for key, value in ds.attrs.items()}
    if POSE in ds.variables:
        pose, frame = get_pose(ds)
        mapping = {"pose_matrix": pose.matrix.ravel()} if isinstance(pose, Affine) else {"pose_warp": as_text(pose)}
        attrs |= {"pose_frame": str(frame), **mapping}
    return xr.Dataset(variables, coords, attrs)


def _pieces(ds: xr.Dataset, piece: _Piece) -> Iterator[_Piece]:
    """Take a variable apart along its components and channels."""
    dim = next((dim for dim in _TAKEN_APART if dim in piece.variable.dims), None)
    if dim is None:
        yield piece
        return
    for index, label in enumerate(_labels(ds, dim)):
        part = piece.variable.isel({dim: index})
        yield from _pieces(ds, _Piece(piece.base, f"{piece.suffix}_{label}", part))


def _labels(ds: xr.Dataset, dim: str) -> list[str]:
    """Return the labels of a dim as ends of names; numbers where they are not all different."""
    values = ds[dim].values.tolist() if dim in ds.coords else range(ds.sizes[dim])
    labels = [re.sub(r"\W+", "_", str(value)).strip("_") for value in values]
    return labels if all(labels) and len(set(labels)) == len(labels) else list(map(str, range(len(labels))))


def _described(piece: _Piece, names: set[str]) -> xr.Variable:
    """Return the variable of a piece with attributes that hold for it alone."""
    attrs = {key: _simple(value) for key, value in piece.variable.attrs.items() if key != "grid_mapping"}
    if piece.suffix and "long_name" in attrs:
        attrs["long_name"] = f"{attrs['long_name']}, {piece.suffix.strip('_').replace('_', ' ')}"
    present = [name + end for name in linked(piece.variable) for end in (piece.suffix, "") if name + end in names]
    return with_links(xr.DataArray(piece.variable.data, dims=piece.variable.dims, attrs=attrs), present).variable


def _coordinate(variable: xr.Variable) -> xr.Variable:
    """Return a coordinate with the attributes of CF: `axis` for z alone, as x and y are no longitudes there."""
    attrs = {key: _simple(value) for key, value in variable.attrs.items() if key != "axis"}
    if variable.attrs.get("axis") == "Z":
        attrs |= {"axis": "Z", "positive": "up"}
    return xr.Variable(variable.dims, variable.values, attrs)


def _simple(value: Any) -> Any:
    """Return text for a list of texts, which many programs cannot read."""
    return ", ".join(map(str, value)) if isinstance(attributes.native(value), list) else value
