"""Gwyddion files (gwy), read by gwyfile: channels of any instrument.

Gwyddion counts y downwards from the top line. Here y is its negative, so that x, y and height are right-handed as in
the files of the microscopes. Each channel has a position of its own, kept in its pose; masks are left out.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.errors import FileReadError
from fusion.reading.contents import unique
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable, missing
from volumes.readers.probes import scan

HEAD: Final = b"GWYPGwyContainer\0"
_CHANNEL: Final = re.compile(r"^/(\d+)/data$")


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the channels by their numbers."""
    container = _container(path)
    numbers = sorted(int(match[1]) for match in map(_CHANNEL.match, container) if match)
    titles = [str(container.get(f"/{number}/data/title", f"channel {number}")) for number in numbers]
    names = unique([scan.variable_name(title) for title in titles], "_")
    return [
        readable(path, name, partial(_array, container, number, name, title))
        for number, name, title in zip(numbers, names, titles, strict=True)
    ]


def _container(path: Path) -> Any:
    try:
        import gwyfile
    except ImportError as error:
        raise missing(path, "gwyfile", "afm") from error
    with path.open("rb") as stream:
        head = stream.read(len(HEAD) + 4)
    needed = len(head) + int.from_bytes(head[len(HEAD) :], "little")
    if path.stat().st_size < needed:
        raise FileReadError(path, "the file is cut short", hint="copy it again, or save it anew with Gwyddion")
    return gwyfile.load(str(path))


def _array(container: Any, number: int, name: str, title: str) -> StoredArray:
    field = container[f"/{number}/data"]
    shape = (int(field["yres"]), int(field["xres"]))
    unit = _unit(field, "si_unit_xy")
    known = units.is_compatible(unit, units.LENGTH)
    steps = (float(field["yreal"]) / shape[0], float(field["xreal"]) / shape[1]) if known else None
    pose = None
    if known:
        um = units.convert_factor(unit, units.LENGTH)
        y, x = (float(field.get(f"{dim}off", 0.0)) + float(field[f"{dim}real"]) / 2 for dim in "yx")
        pose = scan.placed(0.0, -y * um, x * um)
    metadata = {str(key): str(value) for key, value in container.get(f"/{number}/meta", {}).items()}
    frame = scan.Frame(shape, steps, unit, pose, {}, metadata)
    return scan.channel(name, title, _unit(field, "si_unit_z"), frame, partial(_upwards, field))


def _upwards(field: Any) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = field.data
    return values[::-1]


def _unit(field: Any, key: str) -> str:
    """Return a unit; Gwyddion leaves out that of a pure number."""
    return str(field[key]["unitstr"]) if field.get(key) else "1"
