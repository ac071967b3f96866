"""Headers of MRC files (MRC2014, CCP4, IMOD): their byte order, and where and how the values lie behind them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError

IMOD: Final = 1146047817
"""What IMOD writes into word 39 of its headers."""
_SIGNED_BYTES, _ORIGIN_INVERTED = 1, 4
_SIZE: Final = 1024
_ITEM_SIZES: Final[Mapping[int, int]] = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 6: 2, 12: 2}
_NOT_READ: Final = {
    3: "a Fourier transform",
    4: "a Fourier transform",
    16: "an image in colour",
    101: "values of 4 bits",
}
_STAMPS: Final = {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}
_SUFFIXES: Final = (".mrc", ".mrcs", ".st", ".ali", ".rec", ".map")
_SENSED: Final = 4 * 24
"""Bytes of the header up to the last word that `_sense` reads."""
_STANDARD: Final = {"<": b"\x44\x44\0\0", ">": b"\x11\x11\0\0"}


class Header(NamedTuple):
    """A header as mrcfile reads it, with what it does not say of the values."""

    mrc: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def fields(self) -> Any:
        """The fields of the header, by their names in MRC2014."""
        return self.mrc.header


def read(path: Path) -> Header:
    """Read the header of a file, and its extended header.

    A machine stamp that is none of the standard's, or that contradicts the header, does not decide on the byte order:
    the order is then that in which the header makes sense.

    Raises
    ------
    FileReadError
        If the values are no real numbers, there are none, or the file is shorter than its header says.
    """
    from mrcfile.mrcinterpreter import MrcInterpreter
    from mrcfile.utils import data_shape_from_header

    with path.open("rb") as stream:
        main = stream.read(_SIZE)
        if len(main) < _SIZE:
            raise FileReadError(path, "the file is cut short", hint="copy it again")
        order = _byte_order(main, path.stat().st_size)
        extended = max(0, _word(main, order, 24))
        content = main[:208] + b"MAP " + _STANDARD[order] + main[216:] + stream.read(extended)
    _require_real_numbers(path, _word(main, order, 4))
    with warnings.catch_warnings():
        # mrcfile turns the byte order of its header in a way that NumPy 2.5 deprecates
        warnings.filterwarnings("ignore", "Setting the dtype", DeprecationWarning)
        mrc = MrcInterpreter(iostream=BytesIO(content), header_only=True)
    shape, dtype = tuple(data_shape_from_header(mrc.header)), _dtype(mrc.header)
    if min(shape) <= 0:
        raise FileReadError(path, f"its header names an array of shape {shape}: it is damaged", hint="copy it again")
    offset = _SIZE + extended
    if path.stat().st_size < offset + prod(shape) * dtype.itemsize:
        raise FileReadError(path, "the file is cut short", hint="copy it again")
    return Header(mrc, shape, dtype, offset)


def is_older(path: Path, head: bytes) -> bool:
    """Whether a file is one from before MRC2000, without ``MAP``: by its name, and a header that fits its length."""
    if path.suffix.lower() not in _SUFFIXES or len(head) < _SENSED:
        return False
    size = path.stat().st_size
    return any(_sense(head, order, size)[1] for order in _STANDARD)


def stored_values(path: Path, header: Header) -> npt.NDArray[Any]:
    """Return the values in the order in which they are stored, mapped from the file."""
    return np.memmap(path, header.dtype, mode="r", offset=header.offset, shape=header.shape)


def origin(fields: Any) -> dict[str, float]:
    """Return the coordinates of the first voxel in Å.

    MRC2014 stores these. IMOD stores where the zero lies as seen from the first voxel, the negative, unless bit 2 of
    its flags is set or the header says its version of MRC2014 (IMOD, "MRC format", and its ``alterheader``).
    """
    stamp, flags = _imod_words(fields)
    inverted = stamp == IMOD and not flags & _ORIGIN_INVERTED and int(fields.nversion) == 0
    sign = -1.0 if inverted else 1.0
    return {dim: sign * float(fields.origin[dim]) for dim in "xyz"}


def _dtype(fields: Any) -> np.dtype[Any]:
    """Return the type of the values: bytes of IMOD are unsigned unless bit 0 of its flags is set."""
    from mrcfile.utils import data_dtype_from_header

    dtype = np.dtype(data_dtype_from_header(fields))
    stamp, flags = _imod_words(fields)
    return np.dtype(np.uint8) if dtype == np.int8 and stamp == IMOD and not flags & _SIGNED_BYTES else dtype


def _imod_words(fields: Any) -> tuple[int, int]:
    """Return words 39 and 40: IMOD's mark and its flags."""
    mark, flags = np.frombuffer(fields.extra2.tobytes()[40:48], fields.nx.dtype.str[0] + "i4")
    return int(mark), int(flags)


def _byte_order(main: bytes, size: int) -> str:
    """Return the order in which the header makes sense; where both or none do, that of the machine stamp."""
    first = _STAMPS.get(main[212:214], "<")
    return max((first, "<" if first == ">" else ">"), key=lambda order: _sense(main, order, size))


def _sense(main: bytes, order: str, size: int) -> tuple[bool, bool]:
    """Say whether mode, sizes and order of the axes are possible, and whether such a file would be complete."""
    shape, mode, extended = [_word(main, order, i) for i in (1, 2, 3)], _word(main, order, 4), _word(main, order, 24)
    axes = [_word(main, order, i) for i in (17, 18, 19)]
    possible = min(shape) > 0 and (mode in _ITEM_SIZES or mode in _NOT_READ) and set(axes) <= {0, 1, 2, 3}
    return possible, possible and _SIZE + extended + prod(shape) * _ITEM_SIZES.get(mode, 0) <= size


def _word(main: bytes, order: str, number: int) -> int:
    """Return one of the words of four bytes of the header, which the standard counts from one."""
    return int(np.frombuffer(main, f"{order}i4", 1, 4 * (number - 1))[0])


def _require_real_numbers(path: Path, mode: int) -> None:
    if mode in _NOT_READ:
        hint = "store the image or volume itself, e.g. with IMOD: newstack -mode 2"
        raise FileReadError(path, f"the file holds {_NOT_READ[mode]} (mode {mode}), which is not read", hint=hint)
    if mode not in _ITEM_SIZES:
        raise FileReadError(path, f"mode {mode} of its header is not known", hint="copy it again, or save it anew")
