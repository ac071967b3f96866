"""How the stored rows and columns of an image lie: the tag 274 of TIFF and Exif."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

from fusion.reading.stored_array import StoredArray

TAG: Final = 274


class Turn(NamedTuple):
    """What brings stored rows and columns into place: each reversed or not, and then exchanged or not."""

    rows: bool
    columns: bool
    exchange: bool


# TIFF 6.0, page 36: the tag names the edges at which the 0th row and the 0th column lie, e.g. 6: right side, top.
# Values 5 to 8 have their rows along x. Exif 2.32 (4.6.4 A) has the same table.
TURNS: Final = {
    1: Turn(False, False, False),
    2: Turn(False, True, False),
    3: Turn(True, True, False),
    4: Turn(True, False, False),
    5: Turn(False, False, True),
    6: Turn(True, False, True),
    7: Turn(True, True, True),
    8: Turn(False, True, True),
}


def is_turned(orientation: Any) -> bool:
    """Whether a value of the tag changes rows or columns; values that the standard does not know change nothing.

    Examples
    --------
    >>> is_turned(1), is_turned(6), is_turned(0)
    (False, True, False)
    """
    return orientation in TURNS and any(TURNS[orientation])


def upright(array: StoredArray, orientation: int) -> StoredArray:
    """Return an array whose rows and columns lie as the tag says; the pixel sizes are exchanged with them.

    Parameters
    ----------
    array : StoredArray
        With the dims y and x, and axes that begin at zero.
    orientation : int
        A value of `TURNS`.
    """
    if not is_turned(orientation) or array.dims is None:
        return array
    turn, dims = TURNS[orientation], array.dims
    renamed = {"y": "x", "x": "y"} if turn.exchange else {}
    sizes = dict(zip(dims, array.shape, strict=True))
    return replace(
        array,
        shape=tuple(sizes[renamed.get(dim, dim)] for dim in dims),
        load=lambda: turned(array.load(), turn, dims.index("y"), dims.index("x")),
        axes={renamed.get(dim, dim): axis for dim, axis in array.axes.items()},
        doubts={renamed.get(dim, dim): reason for dim, reason in array.doubts.items()},
        attrs={**array.attrs, "orientation": f"rows and columns turned as tag {TAG} = {orientation} says"},
    )


def turned(values: Any, turn: Turn, rows: int, columns: int) -> Any:
    """Return values with their rows and columns in place; `rows` and `columns` are the numbers of these axes.

    Examples
    --------
    >>> import numpy as np
    >>> turned(np.arange(6).reshape(2, 3), TURNS[6], 0, 1).tolist()
    [[3, 0], [4, 1], [5, 2]]
    """
    index = [slice(None)] * values.ndim
    for axis, reverse in ((rows, turn.rows), (columns, turn.columns)):
        index[axis] = slice(None, None, -1) if reverse else slice(None)
    placed = values[tuple(index)]
    return placed.swapaxes(rows, columns) if turn.exchange else placed
