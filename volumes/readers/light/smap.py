"""Localisations of SMAP: MATLAB 7.3 files (Ries, Nat. Methods 17, 870, 2020)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.conventions import stderr_name
from fusion.files import hdf5
from fusion.reading.stored_array import StoredArray
from volumes.readers.light.localisations import X_ERROR, Y_ERROR, Z_ERROR, Column, arrays_of

Array = npt.NDArray[np.float64]
Named = tuple[str, str]
_TABLE: Final = "saveloc/loc"
_SMAP: Final[Mapping[str, Named]] = {
    "xnm": ("x", "nm"), "ynm": ("y", "nm"), "znm": ("z", "nm"),
    "xnmerr": (X_ERROR, "nm"), "ynmerr": (Y_ERROR, "nm"), "locprecznm": (Z_ERROR, "nm"),
    "phot": ("photons", "count"), "photerr": (stderr_name("photons"), "count"), "bg": ("background", "count"),
    "frame": ("frame_number", "1"), "channel": ("channel_number", "1"), "filenumber": ("file_number", "1"),
    "PSFxnm": ("psf_sigma_x", "nm"), "PSFynm": ("psf_sigma_y", "nm"), "iterations": ("iterations", "1"),
    "logLikelihood": ("log_likelihood", "1"), "LLrel": ("relative_log_likelihood", "1"),
}  # fmt: skip


def is_smap(path: Path) -> bool:
    """Whether a MATLAB 7.3 file was written by SMAP (Ries, Nat. Methods 17, 870, 2020)."""
    with hdf5.opened(path, arrays=()) as file:
        return f"{_TABLE}/xnm" in file


def arrays(path: Path) -> list[StoredArray]:
    """List the columns of SMAP's localisations; where x and y have no errors of their own, ``locprecnm`` is both."""
    with hdf5.opened(path, arrays=()) as file:
        hdf5.refuse_foreign(file, [f"{_TABLE}/{key}" for key in file[_TABLE]])
        sizes = {key: _size(item) for key, item in file[_TABLE].items()}
    filled = {key for key, size in sizes.items() if size == sizes["xnm"]}
    names = {new: (key, unit) for key, (new, unit) in _SMAP.items() if key in filled}
    if "locprecnm" in filled:
        names = {Y_ERROR: ("locprecnm", "nm"), X_ERROR: ("locprecnm", "nm")} | names
    columns = {new: Column(unit, np.dtype(np.float64), _smap(path, key)) for new, (key, unit) in names.items()}
    return arrays_of(path, columns, {"columns": sorted(sizes)})


def _size(item: Any) -> int:
    """Return the length of a MATLAB vector; an empty one is stored as its shape."""
    return 0 if "MATLAB_empty" in item.attrs or len(item.shape) != 2 else int(item.size)


def _smap(path: Path, key: str) -> Callable[[], Array]:
    def load() -> Array:
        name = f"{_TABLE}/{key}"
        with hdf5.opened(path, arrays=[name]) as file:
            item = file[name]
            return np.asarray(item[()], np.float64).ravel()[: _size(item)]

    return load
