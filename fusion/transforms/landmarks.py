"""Landmarks of BigWarp (CSV, JSON) and 3D Slicer (.fcsv, .mrk.json).

Both count axes x, y, z. BigWarp writes pairs in the unit of its images, which is not in the file, and infinity for a
side that was not set. Slicer writes one set, by default in mm, in patient axes that the file names: LPS, whose x, y and
z are ours, or RAS, whose x and y run the other way.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError
from fusion.units import convert_factor

Array = npt.NDArray[np.float64]
Sides = dict[str, Array]


class Marks(NamedTuple):
    """Points (n, 3) in um of each side, their names, and how many were left out: not active, or not set."""

    sides: Sides
    names: list[str]
    left_out: int = 0


_SIGNS: Final = {"LPS": (1.0, 1.0, 1.0), "RAS": (1.0, -1.0, -1.0)}
"""Of z, y, x."""
_SYSTEMS: Final = {"0": "RAS", "1": "LPS", "RAS": "RAS", "LPS": "LPS"}


def read_bigwarp_csv(path: Path, factor: float) -> Marks:
    """Return pairs (n, 3) in um of a table, without those that are not active or not set, and their names."""
    rows = [row for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))) if row]
    widths = {len(row) for row in rows}
    if widths not in ({6}, {8}):
        raise FileReadError(path, f"BigWarp writes 6 or 8 columns; received {sorted(widths)}")
    dim = (widths.pop() - 2) // 2
    try:
        table = np.array([[float(value) for value in row[2:]] for row in rows])
    except ValueError as error:
        raise FileReadError(path, f"a coordinate is no number ({error})") from error
    active = [row[1].strip().lower() == "true" for row in rows]
    return _pairs(table[:, :dim], table[:, dim:], active, [row[0] for row in rows], factor)


def read_bigwarp_json(path: Path, content: Mapping[str, Any], factor: float) -> Marks:
    """Return the same of JSON: the landmarks of a file, or of the transform in a project."""
    content = content.get("Transform", {}).get("landmarks", content)
    try:
        sides = [np.array(content[key], dtype=float).reshape(-1, int(content["numDimensions"]))
                 for key in ("movingPoints", "fixedPoints")]  # fmt: skip
        return _pairs(sides[0], sides[1], content["active"], [str(name) for name in content["names"]], factor)
    except (KeyError, ValueError, TypeError) as error:
        raise FileReadError(path, f"the landmarks of BigWarp are incomplete ({error!r})") from error


def _pairs(moving: Array, fixed: Array, active: Iterable[bool], names: list[str], factor: float) -> Marks:
    kept = np.array(list(active), bool) & np.isfinite(moving).all(axis=1) & np.isfinite(fixed).all(axis=1)
    sides = {"moving": _ours(moving[kept]) * factor, "fixed": _ours(fixed[kept]) * factor}
    return Marks(sides, [name for name, keep in zip(names, kept, strict=True) if keep], int((~kept).sum()))


def bigwarp_csv(sides: Sides, names: list[str], factor: float) -> str:
    """Return pairs as a table of BigWarp."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for name, moving, fixed in zip(names, sides["moving"] / factor, sides["fixed"] / factor, strict=True):
        writer.writerow([name, "true", *(repr(float(value)) for value in (*moving[::-1], *fixed[::-1]))])
    return out.getvalue()


def bigwarp_json(sides: Sides, names: list[str], factor: float) -> str:
    """Return pairs as JSON of BigWarp."""
    points = {f"{side}Points": (values[:, ::-1] / factor).tolist() for side, values in sides.items()}
    content = {"type": "BigWarpLandmarks", "numDimensions": 3, **points, "active": [True] * len(names), "names": names}
    return json.dumps(content, indent=1)


def read_fcsv(path: Path) -> Marks:
    """Return points (n, 3) in um of a table of Slicer, and their labels."""
    text = path.read_text(encoding="utf-8")
    system = re.search(r"^#\s*CoordinateSystem\s*=\s*(\w+)", text, re.MULTILINE)
    columns = re.search(r"^#\s*columns\s*=\s*(\S+)", text, re.MULTILINE)
    if system is None or columns is None:
        raise FileReadError(path, "the file does not say its CoordinateSystem (LPS or RAS) and its columns")
    names = columns[1].split(",")
    rows = [row for row in csv.reader(io.StringIO(text)) if row and not row[0].startswith("#")]
    try:
        table = [dict(zip(names, row, strict=False)) for row in rows]
        points = np.array([[float(row[axis]) for axis in "xyz"] for row in table]).reshape(-1, 3)
    except (KeyError, ValueError) as error:
        raise FileReadError(path, f"a point has no x, y, z ({error!r})") from error
    placed = _ours(points) * _signs(path, system[1]) * convert_factor("mm", "um")
    return Marks({"points": placed}, [row.get("label", "") for row in table])


def read_markups(path: Path, content: Mapping[str, Any]) -> Marks:
    """Return the same of JSON."""
    try:
        (markup,) = content["markups"]
        every = markup["controlPoints"]
        points = [point for point in every if point.get("positionStatus", "defined") == "defined"]
        placed = np.array([point["position"] for point in points], dtype=float).reshape(-1, 3)
        signs = _signs(path, markup["coordinateSystem"])
        factor = convert_factor(markup.get("coordinateUnits", "mm"), "um")
    except (KeyError, ValueError, TypeError) as error:
        raise FileReadError(path, f"no file with one list of markups and its coordinateSystem ({error!r})") from error
    names = [str(point.get("label", "")) for point in points]
    return Marks({"points": _ours(placed) * signs * factor}, names, len(every) - len(points))


def fcsv(points: Array, names: list[str]) -> str:
    """Return points as a table of Slicer, in LPS and mm."""
    head = "# Markups fiducial file version = 5.0\n# CoordinateSystem = LPS\n"
    head += "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for number, (name, point) in enumerate(zip(names, points * convert_factor("um", "mm"), strict=True), 1):
        place = [repr(float(value)) for value in point[::-1]]
        writer.writerow([number, *place, 0, 0, 0, 1, 1, 1, 0, name, "", ""])
    return head + out.getvalue()


def markups(points: Array, names: list[str]) -> str:
    """Return points as JSON of Slicer, in LPS and mm."""
    placed = (points[:, ::-1] * convert_factor("um", "mm")).tolist()
    listed = [{"id": str(number), "label": name, "position": point, "positionStatus": "defined"}
              for number, (name, point) in enumerate(zip(names, placed, strict=True), 1)]  # fmt: skip
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": listed}
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    return json.dumps({"@schema": f"{schema}markups-schema-v1.0.3.json#", "markups": [markup]}, indent=2)


def _signs(path: Path, system: str) -> Array:
    if system not in _SYSTEMS:
        raise FileReadError(path, f"the coordinate system {system!r} is not known", hint="known are LPS and RAS")
    return np.array(_SIGNS[_SYSTEMS[system]])


def _ours(points: Array) -> Array:
    """Return points in the order z, y, x; those of a plane at z = 0."""
    return np.pad(points[:, ::-1], ((0, 0), (3 - points.shape[1], 0)))
