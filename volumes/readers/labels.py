"""Label images: what each value stands for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from fusion.errors import FileReadError

_MANY_LABELS: Final = 64


def labelled(path: Path, values: Any, labels: bool | Mapping[str, int]) -> tuple[Any, dict[str, Any]]:
    """Return label values and the CF attributes that name them.

    With names, each pixel takes the nearest of their values; otherwise the values are taken as they are.

    Raises
    ------
    FileReadError
        If the values are not whole numbers, or too many for labels.
    """
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
    return values, {"flag_values": flags, "flag_meanings": " ".join(name.replace(" ", "_") for name in names)}


def _mapped(values: Any, flags: Any, borders: Any) -> Any:
    """Give each pixel the nearest label, block by block where the array is lazy."""

    def nearest(block: Any) -> Any:
        return flags[np.digitize(block, borders)]

    return values.map_blocks(nearest, dtype=flags.dtype) if hasattr(values, "map_blocks") else nearest(values)
