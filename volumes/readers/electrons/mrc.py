"""MRC files: voxel size and origin in Å, the header's own axis order, and the angles of tilt series."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.lazy import by_rows
from fusion.reading.stored_array import StoredArray
from volumes.readers import planes
from volumes.readers.electrons.tilts import angles

_AXES = {1: "x", 2: "y", 3: "z"}
_IMOD = 1146047817


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
    import mrcfile

    with _opened(path, header_only=True) as mrc:
        header = mrc.header
        shape, dtype = mrcfile.utils.data_shape_from_header(header), _dtype(header)
        if dtype.kind == "c":
            reason = "the file holds a Fourier transform"
            raise FileReadError(path, reason, hint="store the image or volume itself")
        _require_upright(path, header)
        voxel = {dim: _step(header, dim) for dim in "xyz"}
        dims = _dims(path, header, len(shape))
        axes = _axes(header, voxel)
        tilts = angles(path, mrc, shape[0]) if len(shape) == 3 else None
        load = partial(_load, path, tuple(shape), dtype)
        if tilts is not None:
            order = np.argsort(tilts)
            dims, load = ("tilt", "y", "x"), partial(_load, path, tuple(shape), dtype, order)
            axes = {**axes, "tilt": Axis("degree", values=tilts[order])}
        metadata = {key: header[key].tolist() for key in header.dtype.names if header[key].dtype.kind in "iuf"}
        metadata["label"] = [text.decode("latin-1").strip() for text in header.label[: int(header.nlabl)].tolist()]
    return [StoredArray("", dims, tuple(shape), dtype, load, axes=_along(axes, dims), metadata=metadata)]


def _load(path: Path, shape: tuple[int, ...], dtype: Any, order: Any = None) -> Any:
    if planes.is_large(shape, dtype) and len(shape) > 2:
        values = by_rows(partial(_section, path, dtype), shape[0], shape[1:], dtype)
        return values if order is None else values[order]
    with _opened(path) as mrc:
        values = mrc.data.view(dtype)
        return values.copy() if order is None else values[order]


def _section(path: Path, dtype: Any, index: int) -> Any:
    with _opened(path, mapped=True) as mrc:
        return np.array(mrc.data[index]).view(dtype)


def _dtype(header: Any) -> Any:
    """Return the type of the values: bytes of IMOD (words 39 and 40 of its header) may be unsigned."""
    from mrcfile.utils import data_dtype_from_header

    dtype = data_dtype_from_header(header)
    stamp, flags = np.frombuffer(header.extra2.tobytes()[40:48], header.nx.dtype.str[0] + "i4")
    return np.dtype(np.uint8) if dtype == np.int8 and stamp == _IMOD and not flags & 1 else dtype


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


@contextmanager
def _opened(path: Path, *, header_only: bool = False, mapped: bool = False) -> Iterator[Any]:
    import mrcfile

    with warnings.catch_warnings():
        # mrcfile turns the byte order of its header in a way that NumPy 2.5 deprecates
        warnings.filterwarnings("ignore", "Setting the dtype", DeprecationWarning)
        with mrcfile.mmap(path) if mapped else mrcfile.open(path, header_only=header_only) as mrc:
            yield mrc


def _dims(path: Path, header: Any, ndim: int) -> tuple[str, ...] | None:
    order = (int(header.maps), int(header.mapr), int(header.mapc))
    if sorted(order) == [0, 0, 0]:
        order = (3, 2, 1)
    if sorted(order) != [1, 2, 3]:
        reason = f"maps, mapr, mapc are {order} where a permutation of 3, 2, 1 is expected"
        raise FileReadError(path, reason, hint="correct the header, e.g. with mrcfile")
    if ndim == 4 or (ndim == 3 and int(header.ispg) == 0 and int(header.mz) == 1):
        return None
    return tuple(_AXES[number] for number in order)[-ndim:]


def _step(header: Any, dim: str) -> float:
    """Return the cell length over the number of samples, in float64: the header keeps float32."""
    samples = int(header[f"m{dim}"])
    return float(header.cella[dim]) / samples if samples else 0.0


def _axes(header: Any, voxel: dict[str, float]) -> dict[str, Axis]:
    """Offsets are the header's origin, or its start indices where the origin is zero."""
    start = dict(
        zip(
            (_AXES.get(int(header[key]), key) for key in ("mapc", "mapr", "maps")),
            (int(header[key]) for key in ("nxstart", "nystart", "nzstart")),
            strict=True,
        )
    )
    placed = any(float(header.origin[dim]) for dim in "xyz")
    axes = {}
    for dim, step in voxel.items():
        if step:
            offset = float(header.origin[dim]) if placed else start.get(dim, 0) * step
            axes[dim] = Axis("angstrom", step=step, offset=offset)
    return axes
