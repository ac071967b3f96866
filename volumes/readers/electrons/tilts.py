"""Tilt angles of a series of projections, from the extended header of an MRC file or from a file beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError

Array = npt.NDArray[np.float64]
_AGREE: Final = 0.5
_OLD_FEI: Final = 1024 * 128
_TILT: Final = re.compile(r"^\s*TiltAngle\s*=\s*(\S+)", re.MULTILINE)


def angles(path: Path, mrc: Any, sections: int) -> Array | None:
    """Return the tilt angle of each section in degrees; None where nothing says that these are projections.

    Looked for are ``NAME.tlt`` (refined), ``NAME.rawtlt``, ``NAME.mdoc`` or ``NAME.mrc.mdoc`` (SerialEM), then the
    extended header of FEI (``FEI1``, ``FEI2``, or 128 bytes for each of 1024 sections). The first that exists counts.

    Parameters
    ----------
    path : Path
        Of the MRC file.
    mrc : MrcFile
        Opened, with its extended header.
    sections : int
        How many images the file holds.

    Raises
    ------
    FileReadError
        If the number of angles is not that of the sections, two sources are more than 0.5 degrees apart, or an angle
        is there twice.
    """
    sources = {**_beside(path), **_in_header(mrc, sections)}
    for source, tilts in sources.items():
        if tilts.size != sections or not np.isfinite(tilts).all():
            reason = f"{source} has {tilts.size} tilt angles for {sections} sections"
            raise FileReadError(path, reason, hint="correct that file, or move it away if it belongs to another series")
    if not sources:
        return None
    (first, tilts), *others = sources.items()
    for source, other in others:
        apart = np.abs(other - tilts)
        if apart.max() > _AGREE:
            at = int(apart.argmax())
            reason = f"section {at} was taken at {tilts[at]:g} degrees by {first} and at {other[at]:g} by {source}"
            raise FileReadError(path, reason, hint="move the wrong one away")
    if np.unique(tilts).size < tilts.size:
        raise FileReadError(path, f"{first} has one tilt angle for two sections", hint="leave one of them out")
    return tilts


def _beside(path: Path) -> dict[str, Array]:
    names = [path.with_suffix(".tlt"), path.with_suffix(".rawtlt"), path.with_suffix(".mdoc")]
    files = [file for file in (*names, path.with_name(f"{path.name}.mdoc")) if file.is_file()]
    return {file.name: _read(file) for file in files}


def _read(file: Path) -> Array:
    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        return np.array([float(word) for word in (_TILT.findall(text) if file.suffix == ".mdoc" else text.split())])
    except ValueError as error:
        raise FileReadError(file, f"not a list of tilt angles ({error})", hint="one angle in degrees a line") from error


def _in_header(mrc: Any, sections: int) -> Mapping[str, Array]:
    kind = bytes(mrc.header.exttyp.tobytes())
    if kind in (b"FEI1", b"FEI2"):
        records = mrc.indexed_extended_header
        if records is None:  # it is called FEI's, and is not laid out so
            return {}
        return {"the extended header": np.asarray(records["Alpha tilt"][:sections], dtype=np.float64)}
    if kind.strip(b"\0 ") == b"" and int(mrc.header.nsymbt) == _OLD_FEI and sections <= 1024:
        order = mrc.header.nsymbt.dtype.byteorder
        records = np.frombuffer(mrc.extended_header.tobytes(), f"{order}f4").reshape(1024, 32)[:sections]
        # the first of 32 numbers is alpha; zero throughout means that nothing was written
        return {"the extended header": records[:, 0].astype(np.float64)} if records[:, 0].any() else {}
    return {}
