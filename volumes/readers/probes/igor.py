"""Igor Pro binary waves (ibw), version 5, as Asylum Research microscopes write them; igor2 reads them.

The layers of the wave are the channels. A wave is indexed x first, and y rises from the bottom of the frame; retrace
lines run from left to right like trace lines, as Gwyddion shows them too. The note holds what the microscope says; its
scan angle is taken to turn the frame counter-clockwise.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.affine import Affine
from fusion.errors import FileReadError
from fusion.reading.contents import unique
from fusion.reading.stored_array import StoredArray, missing
from volumes.readers.probes import scan

_HEADER: Final = 384
_AGAIN: Final = "copy it again from the microscope"
_FOOTER: Final = b"MFP3D"
_UNITS: Final = (
    (re.compile("height|z_sensor|deflection|amplitude"), "m"),
    (re.compile("phase"), "degree"),
    (re.compile("potential|bias|lateral|user_in"), "V"),
    (re.compile("current"), "A"),
    (re.compile("frequency"), "Hz"),
)


def is_wave(head: bytes) -> bool:
    """Whether these are the first bytes of a wave of version 5: its 384 bytes of header sum up to zero."""
    for order in "<>":
        if len(head) >= _HEADER and int(np.frombuffer(head, f"{order}i2", 1)[0]) == 5:
            return int(np.frombuffer(head, f"{order}i2", _HEADER // 2).sum(dtype=np.int64)) & 0xFFFF == 0
    return False


def arrays(path: Path) -> list[StoredArray]:
    """List the layers of the wave."""
    wave, values = _wave(path)
    if values.ndim not in (2, 3) or values.dtype.kind not in "iuf":
        reason = f"it holds an array of shape {values.shape} and type {values.dtype}, no images"
        raise FileReadError(path, reason, hint="images are waves of two dimensions, or of three with a layer for each")
    note = _note(wave["note"])
    frame = _frame(path, wave, values.shape, note)
    labels = _labels(wave, 1 if values.ndim == 2 else values.shape[2])
    names = unique([scan.variable_name(label) for label in labels], "_")
    return [
        scan.channel(name, label, _unit(name, wave, note), frame, partial(_turned, image))
        for name, label, image in zip(names, labels, _layers(values), strict=True)
    ]


def _layers(values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [values] if values.ndim == 2 else list(np.moveaxis(values, 2, 0))


def _turned(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return image.T.astype(np.float64)


def _wave(path: Path) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    """Return the wave as igor2 reads it, and its values."""
    try:
        from igor2 import binarywave
    except ImportError as error:
        raise missing(path, "igor2", "afm") from error
    loaded = binarywave.load(str(path))
    _require_whole(path, loaded["wave"]["bin_header"])
    return loaded["wave"], loaded["wave"]["wData"]


def _require_whole(path: Path, header: dict[str, Any]) -> None:
    """Refuse a file shorter than its header says, or whose thumbnails lack their footer."""
    blocks = ("formulaSize", "noteSize", "dataEUnitsSize", "dimEUnitsSize", "dimLabelsSize", "sIndicesSize")
    needed = 64 + int(header["wfmSize"]) + sum(int(np.sum(header[key])) for key in blocks)
    content = path.read_bytes()
    if len(content) < needed or (len(content) > needed and not content.rstrip(b"\0 \r\n").endswith(_FOOTER)):
        raise FileReadError(path, "the file is cut short", hint=_AGAIN)


def _note(note: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in note.decode("latin-1").replace("\n", "\r").split("\r"))
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _labels(wave: dict[str, Any], layers: int) -> list[str]:
    """Return the names of the layers; the first label of a dimension names the dimension itself."""
    named = [label.decode("latin-1") for label in wave["labels"][2][1:]]
    if len(named) == layers and all(named):
        return named
    title = bytes(wave["wave_header"]["bname"]).rstrip(b"\0").decode("latin-1")
    return [title] if layers == 1 else [f"{title} {layer}" for layer in range(layers)]


def _frame(path: Path, wave: dict[str, Any], shape: tuple[int, ...], note: dict[str, str]) -> scan.Frame:
    header = wave["wave_header"]
    dx, dy = (float(step) for step in header["sfA"][:2])
    unit_x, unit_y = (b"".join(letters).decode("latin-1") for letters in header["dimUnits"][:2])
    if unit_x != unit_y:
        raise FileReadError(path, f"x is in {unit_x!r}, y in {unit_y!r}", hint="give both axes of the wave one unit")
    steps = (dy, dx) if units.is_compatible(unit_x, units.LENGTH) else None
    return scan.Frame((shape[1], shape[0]), steps, unit_x, _pose(note), _about(note), note)


def _pose(note: dict[str, str]) -> Affine | None:
    if not {"ScanAngle", "XOffset", "YOffset"} <= note.keys():
        return None
    metre = units.convert_factor("m", units.LENGTH)
    y, x = (float(note[key]) * metre for key in ("YOffset", "XOffset"))
    return scan.placed(float(note["ScanAngle"]), y, x)


def _unit(name: str, wave: dict[str, Any], note: dict[str, str]) -> str | None:
    """Return the unit of a channel: Asylum's by its name, that of the wave for any other program."""
    if "ScanAngle" in note:
        return next((unit for words, unit in _UNITS if words.search(name)), None)
    return b"".join(wave["wave_header"]["dataUnits"]).decode("latin-1") or None


def _about(note: dict[str, str]) -> dict[str, str]:
    if "ImagingMode" not in note:
        return {}
    instrument = f"Asylum Research {note.get('MicroscopeModel', '')}".strip()
    return {"technique": "AFM", "instrument": instrument, **scan.imaging_mode(note["ImagingMode"])}
