"""Draw a saved dataset, or any image or volume that opens, as a picture or a film."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import volumes
from conspectus.pages.view import chosen_dataset

_FRAMES: Final = 48


def picture(path: Path, output: Path, *, node: str | None = None, turn: bool = False) -> str:
    """Write a picture of a dataset, or a film of a volume that turns.

    Parameters
    ----------
    path : Path
        What `fusion.save` wrote, or an image or a volume that `volumes.open` reads.
    output : Path
        For a picture .png, .pdf or .svg; for a film .gif, .webp or .png.
    node : str, optional
        Which dataset of a project; left out, ``fused``, or the only one there is.
    turn : bool, optional
        A film of one turn instead of a picture.

    Returns
    -------
    str
        What was written, in words.
    """
    ds = chosen_dataset(path, node)
    if not turn:
        made = volumes.picture(ds, output)
        return f"{made.path}{f' ({made.note})' if made.note else ''}"
    return str(volumes.turntable(ds, output, frames=_FRAMES))
