"""MRC files: voxel size and origin in Å, the header's own axis order, and the angles of tilt series."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.lazy import by_rows
from fusion.reading.stored_array import StoredArray
from volumes.readers import planes
from volumes.readers.electrons import mrc_header
from volumes.readers.electrons.mrc_header import Header
from volumes.readers.electrons.tilts import angles

_AXES = {1: "x", 2: "y", 3: "z"}


def arrays(path: Path) -> list[StoredArray]:
    """List the one array of an MRC file.

    The header's ``mapc``, ``mapr`` and ``maps`` say which axis the columns, rows and sections are. A header that
    calls its sections a stack of images leaves their axis open: a tilt series is not a volume. With tilt angles in
    the file or beside it (`volumes.readers.electrons.tilts`) the sections run along ``tilt``, in ascending angles.

    Raises
    ------
    FileReadError
        If the cell is oblique or skewed (CCP4), the axis order is none, or tilt angles contradict each other.
    """
    header = mrc_header.read(path)
    _require_upright(path, header.fields)
    voxel = {dim: _step(header, dim) for dim in "xyz"}
    dims, axes, order = _dims(path, header), _axes(header, voxel), None
    tilts = angles(path, header.mrc, header.shape[0]) if len(header.shape) == 3 else None
    if tilts is not None:
        order = np.argsort(tilts)
        dims, axes = ("tilt", "y", "x"), {**axes, "tilt": Axis("degree", values=tilts[order])}
    load = partial(_load, path, order)
    return [
        StoredArray("", dims, header.shape, header.dtype, load, axes=_along(axes, dims), metadata=_metadata(header))
    ]


def _metadata(header: Header) -> dict[str, Any]:
    fields = header.fields
    numbers = {key: fields[key].tolist() for key in fields.dtype.names if fields[key].dtype.kind in "iuf"}
    labels = [text.decode("latin-1").strip() for text in fields.label[: int(fields.nlabl)].tolist()]
    return {**numbers, "label": labels}


def _load(path: Path, order: Any) -> Any:
    """Return the sections, in another order than that of the file if one is given."""
    header = mrc_header.read(path)
    if planes.is_large(header.shape, header.dtype) and len(header.shape) > 2:
        values = by_rows(partial(_section, path), header.shape[0], header.shape[1:], header.dtype)
        return values if order is None else values[order]
    values = mrc_header.stored_values(path, header)
    return np.array(values if order is None else values[order])


def _section(path: Path, index: int) -> Any:
    return np.array(mrc_header.stored_values(path, mrc_header.read(path))[index])


def _along(axes: dict[str, Axis], dims: tuple[str, ...] | None) -> dict[str, Axis]:
    """Leave the thickness of a single section, and of sections that are projections, out: it is none."""
    return {dim: axis for dim, axis in axes.items() if dims is None or dim in dims}


def _require_upright(path: Path, header: Any) -> None:
    cell = [float(header.cellb[name]) for name in ("alpha", "beta", "gamma")]
    if any(cell) and not np.allclose(cell, 90.0, atol=1e-3):
        reason = f"its cell is oblique (angles {', '.join(f'{angle:g}' for angle in cell)} degrees)"
        raise FileReadError(path, reason, hint="resample it onto a rectangular grid, e.g. with gemmi or ChimeraX")
    # word 25 of CCP4; programs that know MRC2014 or IMOD keep other things there
    skewed = int.from_bytes(header.extra1.tobytes()[:4], "little" if header.nx.dtype.str[0] == "<" else "big") == 1
    if skewed and int(header.nversion) == 0 and bytes(header.exttyp.tobytes()).strip(b"\0 ") == b"":
        raise FileReadError(path, "a CCP4 map with a skew transformation", hint="apply it, e.g. with CCP4's mapmask")


def _dims(path: Path, header: Header) -> tuple[str, ...] | None:
    ndim = len(header.shape)
    order = tuple(int(header.fields[key]) for key in ("maps", "mapr", "mapc"))
    if sorted(order) == [0, 0, 0]:
        order = (3, 2, 1)
    if sorted(order) != [1, 2, 3]:
        reason = f"maps, mapr, mapc are {order} where a permutation of 3, 2, 1 is expected"
        raise FileReadError(path, reason, hint="correct the header, e.g. with mrcfile")
    if ndim == 4 or (ndim == 3 and int(header.fields["ispg"]) == 0 and int(header.fields["mz"]) == 1):
        return None
    return tuple(_AXES[number] for number in order)[-ndim:]


def _step(header: Header, dim: str) -> float:
    """Return the cell length over the number of samples, in float64: the header keeps float32."""
    samples = int(header.fields[f"m{dim}"])
    return float(header.fields["cella"][dim]) / samples if samples else 0.0


def _axes(header: Header, voxel: dict[str, float]) -> dict[str, Axis]:
    """Offsets are the header's origin, or its start indices where the origin is zero."""
    start = dict(
        zip(
            (_AXES.get(int(header.fields[key]), key) for key in ("mapc", "mapr", "maps")),
            (int(header.fields[key]) for key in ("nxstart", "nystart", "nzstart")),
            strict=True,
        )
    )
    origin = mrc_header.origin(header.fields)
    axes = {}
    for dim, step in voxel.items():
        if step:
            offset = origin[dim] if any(origin.values()) else start.get(dim, 0) * step
            axes[dim] = Axis("angstrom", step=step, offset=offset)
    return axes
