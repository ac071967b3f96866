"""Current maps of a scanning electrochemical microscope as text: ``#`` lines with the units, then x, y, current."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fusion.conventions import cell_methods
from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.metadata import decoded
from fusion.reading.stored_array import IMAGE, StoredArray

MARK: Final = b"#Units of "
_AGAIN: Final = "export the map again"
_ENTRY: Final = re.compile(r"^#\s*([^:]+):\s*(.*?)\s*$")


def arrays(path: Path) -> list[StoredArray]:
    """Return the one map; a file that ends within a line, or not at the end of the grid, is refused.

    A file that was cut exactly between two rows of the grid has the form of a smaller map.
    """
    lines = decoded(path.read_bytes()).splitlines(keepends=True)
    if not lines[-1].endswith("\n"):
        raise FileReadError(path, f"cut short within line {len(lines)}", hint=_AGAIN)
    header = {match[1].strip(): match[2] for match in map(_ENTRY.match, lines) if match}
    distance, current = (_unit(path, header, quantity) for quantity in ("distance", "current"))
    x, y, values = _columns(path, [line for line in lines if not line.startswith("#") and line.strip()])
    image = _grid(path, x, y, values)
    axes = {"y": Axis(distance, values=np.unique(y)), "x": Axis(distance, values=np.unique(x))}
    return [
        StoredArray(
            name="current",
            dims=IMAGE,
            shape=image.shape,
            dtype=image.dtype,
            load=lambda: image,
            axes=axes,
            attrs={"units": current, "long_name": "tip current", **cell_methods("yx", "point")},
            dataset_attrs={"technique": "SECM"},
            metadata=header,
            variable="current",
        )
    ]


def _unit(path: Path, header: dict[str, str], quantity: str) -> str:
    key = f"Units of {quantity}"
    if not header.get(key):
        example = {"distance": "um", "current": "nA"}[quantity]
        raise FileReadError(path, f"it does not tell the unit of {quantity}", hint=f"add the line '#{key}: {example}'")
    return header[key]


def _columns(path: Path, rows: list[str]) -> npt.NDArray[np.float64]:
    try:
        table = np.loadtxt(rows, delimiter=",", ndmin=2)
    except ValueError as error:
        raise FileReadError(path, f"its table is damaged ({error})", hint=_AGAIN) from error
    if table.shape[1:] != (3,) or not len(table):
        raise FileReadError(path, f"columns x, y, current are needed; its table is {table.shape}", hint=_AGAIN)
    return np.ascontiguousarray(table.T)


def _grid(path: Path, *columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the values as an image; each point of the grid must be there once."""
    x, y, values = columns
    (xs, column), (ys, row) = np.unique(x, return_inverse=True), np.unique(y, return_inverse=True)
    image = np.full((len(ys), len(xs)), np.nan)
    image[row, column] = values
    if len(values) != image.size or len(np.unique(row * len(xs) + column)) != image.size:
        reason = f"{len(values)} points do not fill a grid of {len(ys)} x {len(xs)}"
        raise FileReadError(path, reason, hint="copy it again, or complete the grid; a point may be there only once")
    return image
