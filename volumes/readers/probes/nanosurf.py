"""Nanosurf NID files: sections as in an INI file, ``#!``, then one block for each image.

A value is Min + Range · (raw + 2^(bits-1)) / 2^bits (as Nanosurf's own NSFopen computes it). The first line of a block
is the bottom of the frame, whichever way it was scanned, and backward lines run from left to right like forward ones
(as Gwyddion shows them). The rotation is taken to turn the frame counter-clockwise.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.affine import Affine
from fusion.errors import FileReadError
from fusion.reading.contents import unique
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable
from volumes.readers.probes import scan

HEAD: Final = b"[DataSet]"
_DATA: Final = b"#!"
_AGAIN: Final = "copy it again from the microscope"
_VECTOR: Final = re.compile(r"V\[([^\]]*)\]")
Section = dict[str, str]


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the images in the order of the file: those of the way forward, then those of the way back."""
    content = path.read_bytes()
    start = content.find(_DATA)
    if start < 0:
        raise FileReadError(path, "the file is cut short within its header", hint=_AGAIN)
    sections = _sections(content[:start])
    names = _listed(sections["DataSet"])
    ends = start + len(_DATA) + np.cumsum([_bytes(path, sections[name]) for name in names])
    if not names or ends[-1] > len(content):
        raise FileReadError(path, "the file is cut short within its images", hint=_AGAIN)
    images = {name: int(end) for name, end in zip(names, ends, strict=True) if _is_image(sections[name])}
    titles = unique([_title(sections[name]) for name in images], "_")
    return [
        readable(path, title, partial(_array, path, title, sections, name, end - _bytes(path, sections[name])))
        for title, (name, end) in zip(titles, images.items(), strict=True)
    ]


def _sections(head: bytes) -> dict[str, Section]:
    sections: dict[str, Section] = {}
    for line in head.decode("latin-1").splitlines():
        key, equals, value = line.partition("=")
        if line.startswith("["):
            sections[line.strip()[1:-1]] = {}
        elif equals and sections:
            next(reversed(sections.values()))[key.strip()] = value.strip()
    return sections


def _listed(index: Section) -> list[str]:
    """Return the sections of the images in the order of their blocks; a group may leave out channels."""
    groups = range(int(index["GroupCount"]))
    keys = [f"Gr{group}-Ch{item}" for group in groups for item in range(int(index[f"Gr{group}-Count"]))]
    return [index[key] for key in keys if key in index]


def _bytes(path: Path, section: Section) -> int:
    kept = (section["SaveMode"], section["SaveSign"], section["SaveOrder"])
    if kept != ("Binary", "Signed", "Intel"):
        raise FileReadError(path, f"its values are stored as {', '.join(kept)}", hint="only Binary, Signed, Intel")
    return int(section["Points"]) * int(section["Lines"]) * int(section["SaveBits"]) // 8


def _is_image(section: Section) -> bool:
    """Whether a block is a scanned area; spectroscopy has its blocks in between."""
    return "scan" in section["Frame"].lower() and int(section["Lines"]) > 1


def _title(section: Section) -> str:
    frame = section["Frame"].lower()
    second = "_second" if frame.startswith("2nd") else ""
    back = "_retrace" if "backward" in frame else ""
    return f"{scan.variable_name(section['Dim2Name'])}{second}{back}"


def _array(path: Path, title: str, sections: dict[str, Section], name: str, offset: int) -> StoredArray:
    section = sections[name]
    shape = (int(section["Lines"]), int(section["Points"]))
    if section["Dim0Unit"] != section["Dim1Unit"]:
        raise FileReadError(path, f"x is in {section['Dim0Unit']!r}, y in {section['Dim1Unit']!r}", hint=_AGAIN)
    steps = (float(section["Dim1Range"]) / shape[0], float(section["Dim0Range"]) / shape[1])
    frame = scan.Frame(shape, steps, section["Dim0Unit"], _pose(sections), _about(sections), sections)
    read = partial(_read, path, offset, shape, section)
    return scan.channel(title, f"{section['Dim2Name']}, {section['Frame']}", section["Dim2Unit"], frame, read)


def _read(path: Path, offset: int, shape: tuple[int, int], section: Section) -> npt.NDArray[np.float64]:
    bits = int(section["SaveBits"])
    raw = np.fromfile(path, f"<i{bits // 8}", shape[0] * shape[1], offset=offset).reshape(shape)
    return float(section["Dim2Min"]) + float(section["Dim2Range"]) * (raw + 2.0 ** (bits - 1)) / 2.0**bits


def _pose(sections: dict[str, Section]) -> Affine | None:
    section = sections.get("DataSet\\Parameters\\Imaging", {})
    offset, turn = (_VECTOR.match(section.get(key, "")) for key in ("ScanOffset", "ScanRotation"))
    if not offset or not turn:
        return None
    x, y, _ = (float(number) * units.convert_factor("m", units.LENGTH) for number in offset[1].split(","))
    return scan.placed(float(turn[1].split(",")[2]), y, x)


def _about(sections: dict[str, Section]) -> dict[str, str]:
    section = sections.get("DataSet-Info", {})
    technique = "STM" if section.get("Op. mode", "").startswith("STM") else "AFM"
    return {"technique": technique, "instrument": f"Nanosurf {section.get('Head type', '')}".strip(),
            **scan.imaging_mode(section.get("Op. mode", ""))}  # fmt: skip
