r"""Bruker (Veeco, Digital Instruments) NanoScope files, version 5 and later: a text header, then one block an image.

A value is raw · hard value / 256^(bytes/pixel) · sensitivity. Lines are stored from the bottom of the frame to its top,
whether they were scanned up or down, and retrace lines from left to right like trace lines; Gwyddion and pySPM read
them so. ``\Rotate Ang.`` is in radians, here taken to turn the frame counter-clockwise.
"""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError
from fusion.model import length
from fusion.reading.contents import unique
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable
from volumes.readers.probes import scan

HEADS: Final = (b"\\*File list", b"\\*EC File list", b"\\*Force file list")
_END: Final = b"\\*File list end"
_AGAIN: Final = "copy it again from the microscope"
_SCALE: Final = re.compile(r"V\s+(?:\[(?P<sens>[^\]]*)\]\s*)?(?:\([^)]*\)\s*)?(?P<value>[-+.\deE]+)\s*(?P<unit>\S*)")
_CHOICE: Final = re.compile(r"S\s+\[[^\]]*\]\s*\"(?P<text>[^\"]*)\"")
Section = dict[str, str]


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the images; those of the interleaved pass and of the way back have that in their names."""
    content = path.read_bytes()
    sections = _sections(path, content)
    images = [section for kind, section in sections if kind == "Ciao image list"]
    scan_list = {
        key: value for kind, section in sections if kind != "Ciao image list" for key, value in section.items()
    }
    named = dict(zip(unique([_name(section) for section in images], "_"), images, strict=True))
    metadata = {"scan": scan_list, "images": named}
    for name, section in named.items():
        if int(section["Data offset"]) + int(section["Data length"]) > len(content):
            raise FileReadError(path, f"the file is cut short within the image {name!r}", hint=_AGAIN)
    return [readable(path, name, partial(_array, path, name, metadata)) for name in named]


def _sections(path: Path, content: bytes) -> list[tuple[str, Section]]:
    if content.startswith(b"\\*Force"):
        raise FileReadError(path, "it holds force curves, no image", hint="open the image file of the scan")
    end = content.find(_END)
    if end < 0:
        raise FileReadError(path, "the file is cut short within its header", hint=_AGAIN)
    sections: list[tuple[str, Section]] = []
    for line in content[:end].decode("latin-1").splitlines():
        if line.startswith("\\*"):
            sections.append((line[2:].strip(), {}))
        elif line.startswith("\\") and sections:
            # keys such as "@2:Z scale" have a colon of their own
            key, _, value = line[1:].partition(": ")
            sections[-1][1][key.rstrip(":")] = value.strip()
    return sections


def _name(section: Section) -> str:
    passed = "_interleave" if section.get("Scan Line") == "Interleave" else ""
    back = "_retrace" if section.get("Line Direction") == "Retrace" else ""
    return f"{scan.variable_name(_channel(section))}{passed}{back}"


def _channel(section: Section) -> str:
    choice = _CHOICE.match(section.get("@2:Image Data", section.get("@3:Image Data", "")))
    return choice["text"] if choice else "image"


def _array(path: Path, name: str, metadata: dict[str, Any]) -> StoredArray:
    section, scan_list = metadata["images"][name], metadata["scan"]
    offset, stored = int(section["Data offset"]), int(section["Data length"])
    shape = (int(section["Number of lines"]), int(section["Samps/line"]))
    width, rest = divmod(stored, shape[0] * shape[1])
    if rest or width not in (2, 4):
        raise FileReadError(path, f"{stored} bytes do not make {shape[0]} x {shape[1]} pixels of {name!r}", hint=_AGAIN)
    factor, unit = _scale(path, name, section, scan_list)
    frame = scan.Frame(
        shape,
        _steps(path, section, shape),
        unit="um",
        pose=_pose(path, scan_list),
        about=_about(scan_list),
        metadata=metadata,
    )
    scaled_as = int(section.get("Bytes/pixel", width))
    if scaled_as not in (1, 2, 4):
        raise FileReadError(path, f"{scaled_as} bytes for a pixel where 1, 2 or 4 are possible", hint="export it again")
    read = partial(_read, path, offset, shape, f"<i{width}", factor / 256**scaled_as)
    return scan.channel(name, _channel(section), unit, frame, read)


def _read(path: Path, offset: int, shape: tuple[int, int], dtype: str, factor: float) -> npt.NDArray[np.float64]:
    count = shape[0] * shape[1]
    return np.fromfile(path, dtype, count, offset=offset).reshape(shape) * factor


def _scale(path: Path, name: str, section: Section, scan_list: Section) -> tuple[float, str]:
    """Return the full range of the values and its unit: the hard value in V by a sensitivity in nm/V."""
    scale = _SCALE.match(section.get("@2:Z scale", ""))
    if scale is None:
        reason = f"it does not tell the scale of {name!r} as NanoScope 5 and later do"
        raise FileReadError(path, reason, hint="open and save it with a newer NanoScope Analysis, or export it")
    value, unit = float(scale["value"]), scale["unit"]
    if not scale["sens"]:
        return value, unit
    sensitivity = _SCALE.match(scan_list.get(f"@{scale['sens']}", ""))
    if sensitivity is None:
        raise FileReadError(path, f"{name!r} needs the sensitivity {scale['sens']!r}, which it lacks", hint=_AGAIN)
    top, _, per = sensitivity["unit"].partition("/")
    if per and per != unit:
        raise FileReadError(path, f"{name!r} is in {unit}, its sensitivity in {top}/{per}", hint="export it anew")
    return value * float(sensitivity["value"]), top if per else unit


def _steps(path: Path, section: Section, shape: tuple[int, int]) -> tuple[float, float]:
    """Return the distances of lines and points in um; equal sizes are those of a square cut by the aspect ratio."""
    numbers = section.get("Scan Size", "").replace("~m", "um").split()
    if len(numbers) not in (2, 3):
        raise FileReadError(path, f"the scan size {section.get('Scan Size')!r} is no length", hint=_AGAIN)
    sizes = [length(f"{number} {numbers[-1]}") for number in numbers[:-1]]
    fast, slow = sizes[0], sizes[-1]
    if fast == slow:
        along, _, across = section.get("Aspect Ratio", "1:1").partition(":")
        slow = fast * float(across) / float(along)
    return slow / shape[0], fast / shape[1]


def _pose(path: Path, scan_list: Section) -> Any:
    if "Rotate Ang." not in scan_list:
        return None
    angle = float(scan_list["Rotate Ang."].split()[0])
    if abs(angle) > 2 * math.pi + 1e-6:
        raise FileReadError(path, f"the scan angle {angle} is not in radians", hint="export the image, e.g. as TIFF")
    y, x = (_signed_um(scan_list.get(key, "0 nm")) for key in ("Y Offset", "X Offset"))
    return scan.placed(math.degrees(angle), y, x)


def _signed_um(text: str) -> float:
    number, _, unit = text.replace("~m", "um").partition(" ")
    return float(number) * length(f"1 {unit or 'nm'}")


def _about(scan_list: Section) -> dict[str, str]:
    mode = _CHOICE.match(scan_list.get("@MicroscopeList", ""))
    mode_name = mode["text"] if mode else ""
    technique = "STM" if mode_name == "STM" else "AFM"
    return {"technique": technique, "instrument": f"Bruker {scan_list.get('Microscope', '')}".strip(),
            **scan.imaging_mode(mode_name)}  # fmt: skip
