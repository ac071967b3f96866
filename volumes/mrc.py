"""MRC files: voxel size and origin in Å, and the header's own axis order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fusion.errors import FileReadError
from fusion.model import Axis
from volumes.part import Part

_AXES = {1: "x", 2: "y", 3: "z"}


def parts(path: Path) -> list[Part]:
    """List the one array of an MRC file.

    The header's ``mapc``, ``mapr`` and ``maps`` say which axis the columns, rows and sections are. A header that
    calls its sections a stack of images leaves their axis open: a tilt series is not a volume.
    """
    import mrcfile

    with _opened(path, header_only=True) as mrc:
        header = mrc.header
        shape, dtype = mrcfile.utils.data_shape_from_header(header), mrcfile.utils.data_dtype_from_header(header)
        if dtype.kind == "c":
            reason = "the file holds a Fourier transform"
            raise FileReadError(path, reason, hint="store the image or volume itself")
        voxel = {dim: _step(header, dim) for dim in "xyz"}
        dims = _dims(path, header, len(shape))
        axes = _axes(header, voxel)
        metadata = {key: header[key].tolist() for key in header.dtype.names if header[key].dtype.kind in "iuf"}
        metadata["label"] = [text.decode("latin-1").strip() for text in header.label[: int(header.nlabl)].tolist()]
    return [Part("", dims, tuple(shape), dtype, partial(_load, path), axes=axes, metadata=metadata)]


def _load(path: Path) -> Any:
    with _opened(path) as mrc:
        return mrc.data.copy()


@contextmanager
def _opened(path: Path, *, header_only: bool = False) -> Iterator[Any]:
    import mrcfile

    with warnings.catch_warnings():
        # mrcfile turns the byte order of its header in a way that NumPy 2.5 deprecates
        warnings.filterwarnings("ignore", "Setting the dtype", DeprecationWarning)
        with mrcfile.open(path, mode="r", header_only=header_only) as mrc:
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
