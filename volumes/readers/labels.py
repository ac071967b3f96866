"""Label images: what each value stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from fusion.conventions import CELL_METHODS
from fusion.errors import FileReadError
from fusion.reading.stored_array import StoredArray

_MANY_LABELS: Final = 64


def as_labels(path: Path, array: StoredArray, labels: bool | Mapping[str, int]) -> StoredArray:
    """Return an array with its values as labels, and the CF attributes that name them.

    With names, each pixel takes the nearest of their values; otherwise the values are taken as they are.

    Raises
    ------
    FileReadError
        If the values are not whole numbers, or too many for labels.
    """
    values = array.load()
    if values.dtype.kind not in "iub":
        reason = f"labels are whole numbers; the values are {values.dtype}"
        raise FileReadError(path, reason, hint="open it without labels=")
    if isinstance(labels, Mapping):
        flags = np.array(sorted(labels.values()), dtype=values.dtype)
        borders = (flags[:-1].astype(float) + flags[1:].astype(float)) / 2
        values = _mapped(values, flags, borders)
        names = sorted(labels, key=lambda key: labels[key])
    else:
        flags = np.unique(np.asarray(values))
        names = [f"label_{flag}" for flag in flags]
        if flags.size > _MANY_LABELS:
            reason = f"{flags.size} different values are too many for labels: the edges are smoothed, or it is an image"
            raise FileReadError(path, reason, hint="name the labels, e.g. labels={'background': 0, 'cell': 255}")
    attrs = {key: value for key, value in array.attrs.items() if key != CELL_METHODS}
    meanings = " ".join(name.replace(" ", "_") for name in names)
    attrs |= {"flag_values": flags, "flag_meanings": meanings}
    return replace(array, load=lambda: values, attrs=attrs)


def _mapped(values: Any, flags: Any, borders: Any) -> Any:
    """Give each pixel the nearest label, block by block where the array is lazy."""

    def nearest(block: Any) -> Any:
        return flags[np.digitize(block, borders)]

    return values.map_blocks(nearest, dtype=flags.dtype) if hasattr(values, "map_blocks") else nearest(values)
