"""Alignments in the files of IMOD: transforms (``.xf``) with the tilt angles (``.tlt``) beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import stderr_name
from fusion.errors import FileReadError
from fusion.model import Axis, dataset
from volumes.tomography.alignment import require_alignment
from volumes.tomography.moving import turning
from volumes.tomography.series import TiltAxis, tilt_series

Array = npt.NDArray[Any]
_STRETCH: Final = 1e-3
_TURN: Final = 0.05


# IMOD's transform of a view, counted from the middle of the image: (X', Y') = A (X, Y) + (DX, DY), in pixels, from the
# measured to the aligned view, a row A11 A12 A21 A22 DX DY for each ("xfmodel" and "newstack" of its manual). Ours goes
# back: r = R (q + d), so that A is the transpose of R, and (DX, DY) = -d.
def save_alignment(alignment: xr.Dataset, views: xr.Dataset, path: str | Path) -> None:
    """Write an alignment as IMOD's transforms, with the tilt angles beside them.

    Parameters
    ----------
    alignment : Dataset
        As `volumes.align_tilts` gives it.
    views : Dataset
        The tilt series, for its pixel size.
    path : path
        Ends in ``.xf``. The angles go to the same name with ``.tlt``. Both have a row for each view, by rising tilt;
        the stack that IMOD reads needs the same order.

    Raises
    ------
    ConventionError
        If this is no alignment or no tilt series.
    """
    require_alignment(alignment)
    dims = [str(dim) for dim in alignment["axis"].values]
    series = tilt_series(views, None, "x" if dims == ["y", "x"] else "y")
    order = [dims.index("x"), dims.index("y")]
    matrix = turning(float(alignment["rotation"])).T[np.ix_(order, order)]
    shifts = -alignment["shift"].transpose("tilt", "axis").values[:, order] / series.step
    rows = np.column_stack([np.tile(matrix.ravel(), (len(shifts), 1)), shifts])
    target = Path(path)
    np.savetxt(target, rows, fmt=["%11.7f"] * 4 + ["%11.3f"] * 2)
    np.savetxt(target.with_suffix(".tlt"), alignment["tilt"].values, fmt="%7.2f")


def load_alignment(path: str | Path, views: xr.Dataset, *, axis: TiltAxis = "y") -> xr.Dataset:
    """Read IMOD's transforms of a tilt series as an alignment.

    Parameters
    ----------
    path : path
        Of the ``.xf`` file; the angles are read from ``.tlt`` or ``.rawtlt`` of the same name.
    views : Dataset
        The tilt series, for its pixel size and its tilts.
    axis : {"y", "x"}
        Axis of the aligned image that the tilt axis lies along; IMOD's is y.

    Returns
    -------
    Dataset
        As that of `volumes.align_tilts`, without minima; the errors, which the file does not hold, are NaN.

    Raises
    ------
    FileReadError
        If a file is missing or is no table of numbers, the angles are not those of the views to 0.5 degrees, or the
        transforms stretch views or turn them differently, which an alignment here does not.
    """
    source = Path(path)
    rows, tilts = _table(source, 6), _angles(source)
    series = tilt_series(views, None, axis)
    expected = series.array["tilt"].values
    if tilts.size != len(rows) or tilts.size != expected.size:
        raise FileReadError(source, f"{len(rows)} transforms and {tilts.size} angles for {expected.size} views")
    rows = rows[np.argsort(tilts)]
    if np.abs(np.sort(tilts) - expected).max() > 0.5:
        raise FileReadError(source, "the angles beside it are not those of the views", hint="take its own series")
    order = [0, 1] if axis == "y" else [1, 0]
    matrices = rows[:, :4].reshape(-1, 2, 2)[:, order][:, :, order]
    turns = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    rotation = float(turns.mean())
    if np.abs(matrices - turning(rotation).T).max() > _STRETCH or np.ptp(turns) > _TURN:
        raise FileReadError(
            source, "transforms that stretch views, or turn them differently", hint="use newstack first"
        )
    unknown = np.full((2, expected.size), np.nan)
    variables: dict[str, Any] = {
        "shift": (("axis", "tilt"), -rows[:, 4:][:, order].T * series.step, {"units": "um"}),
        stderr_name("shift"): (("axis", "tilt"), unknown, {"units": "um"}),
        "rotation": ((), rotation, {"units": "degree"}),
        stderr_name("rotation"): ((), np.nan, {"units": "degree"}),
    }
    axes: dict[str, Any] = {"axis": [series.across, series.along], "tilt": Axis("degree", values=expected)}
    read = dataset(variables, axes, name=f"alignment of {source.stem}")
    return provenance.record(read, "volumes.load_alignment", {"axis": axis}, inputs=[source], parents=[views])


def _angles(source: Path) -> Array:
    for suffix in (".tlt", ".rawtlt"):
        if source.with_suffix(suffix).is_file():
            return _table(source.with_suffix(suffix), 1)[:, 0]
    raise FileReadError(source, "no tilt angles beside it", hint="put the .tlt or .rawtlt of the series there")


def _table(path: Path, columns: int) -> Array:
    try:
        table = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise FileReadError(path, f"not a table of numbers ({error})") from error
    if table.shape[1:] != (columns,) or not np.isfinite(table).all():
        raise FileReadError(path, f"rows of {columns} numbers are needed; it holds a table of shape {table.shape}")
    return table
