"""What a reader hands out: with its file on record, in a frame of that file alone."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from fusion import provenance
from fusion.files.store import wrote
from fusion.frames import Frame, get_pose, with_pose


def from_file(ds: xr.Dataset, reader: str, parameters: Mapping[str, Any], path: str | PathLike[str]) -> xr.Dataset:
    """Return a dataset as a reader hands it out: with its file on record, in a frame of that file alone.

    Two files may both speak of a stage, or have one name, and yet lie in different places. The frame of a file
    therefore carries its name and the beginning of its sha256; what one file holds shares it. A dataset that this
    project saved keeps the frame that it was given.

    Parameters
    ----------
    ds : Dataset
        In a frame that is named within its file.
    reader : str
        Name of the function that opened it.
    parameters : mapping
        How it was opened.
    path : path-like
        The file, or folder of slices.

    Returns
    -------
    Dataset
    """
    file = provenance.file(path)
    if not wrote(path):
        pose, frame = get_pose(ds)
        mark = f"{file['path']} {file['sha256'][:8]}"
        named_by_file = frame == Path(path).stem and not frame.on_stage
        ds = with_pose(ds, pose, Frame(mark) if named_by_file else frame.of(mark))
    return provenance.record(ds, reader, parameters, inputs=[file])
