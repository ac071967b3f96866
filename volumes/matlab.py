"""MATLAB files up to version 7; those of version 7.3 are HDF5 and read by `volumes.hdf`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from volumes.part import Part, image_dims

_CLASSES: Final = {
    "double": "f8", "single": "f4", "logical": "u1",
    **{f"{sign}int{bits}": f"{sign or 'i'}{bits // 8}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def parts(path: Path) -> list[Part]:
    """List the numeric arrays; cells, structures, text, single numbers and lists are left out.

    MATLAB does not name axes: an image is y, x, anything else needs ``dims``.
    """
    from scipy.io import whosmat

    return [
        Part(name, image_dims(len(shape)), tuple(shape), np.dtype(_CLASSES[kind]), partial(_load, path, name))
        for name, shape, kind in whosmat(path)
        if kind in _CLASSES and min(shape) > 1
    ]


def _load(path: Path, name: str) -> Any:
    from scipy.io import loadmat

    values = np.ascontiguousarray(loadmat(path, variable_names=[name])[name])
    return values.astype(np.uint8) if values.dtype == bool else values
