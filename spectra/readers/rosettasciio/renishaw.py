"""Renishaw maps (wdf): where on the stage each spectrum was measured, which RosettaSciIO leaves aside.

The block ``ORGN`` holds a position for each spectrum, ``WMAP`` the plan of the map, ``WXIS`` the motors of the stage
(Gwyddion, ``modules/file/wdffile.c``; RosettaSciIO, ``renishaw``). All positions are those of the stage in um, so
that maps, lines, depth series and the white-light image of a file lie in one frame, "stage".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.affine import Affine
from fusion.conventions import SPATIAL
from fusion.errors import FileReadError
from fusion.model import Axis
from spectra.attributes import lookup
from spectra.readers.rosettasciio.truncation import blocks

Array = npt.NDArray[np.float64]
Raw = dict[str, Any]

_ROW_BY_ROW: Final = 0
_COLUMN_BY_COLUMN: Final = 2
_LINE: Final = "Abs. Distance"
_DIMS: Final = {3: "x", 4: "y", 5: "z"}
_MICROMETRE: Final = 5
_TIME: Final = 11
_FOCUS: Final = ("Z", "FocusTrack_Z")
_FOCUS_TRACK: Final = 14
_TICKS: Final = 1e7
_PLANNED_AT: Final = 64
_COUNT_AT: Final = 72
_AGAIN: Final = "copy it again"
_NEAR: Final = 0.01


class Layout(NamedTuple):
    """What RosettaSciIO read, brought to the stage: the axes, the coordinates of dims that it has not, the pose."""

    raw: Raw
    fixed: Mapping[str, Axis]
    pose: Affine | None = None


def timed(raws: list[Raw], path: Path) -> list[Raw]:
    """Return the items of a file with the times of a series in seconds, and ``truncated`` where it was stopped.

    The times are ticks of 100 ns, whatever unit the file gives them; the axis is that since the first spectrum. The
    header has the number of spectra that were planned, and that of those that were measured.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them.
    path : Path
    """
    with path.open("rb") as stream:
        stream.seek(_PLANNED_AT)
        planned, measured = struct.unpack("<QQ", stream.read(16))
    times = next((series.view("<i8") for kind, _, series in _series(path) if kind == _TIME), None)
    if times is not None:
        seconds = (times - times[:1]) / _TICKS
        raws = [{**raw, "axes": [_timed(axis, seconds) for axis in raw["axes"]]} for raw in raws]
    focus = next((heights for kind, _, heights in _series(path) if kind == _FOCUS_TRACK), None)
    if focus is not None:
        raws = [{**raws[0], "attrs": {"focus_um": focus.tolist()}}, *raws[1:]]
    if measured >= planned:
        return raws
    rows = [int(axis["size"]) for axis in raws[0]["axes"][:-1]]
    rest = measured - math.prod(rows)
    left_out = f", of which {rest} in an incomplete row are left out" if rest else ""
    stopped = {"truncated": f"{measured} of {planned} spectra were measured{left_out}"}
    return [{**raws[0], "attrs": {**raws[0].get("attrs", {}), **stopped}}, *raws[1:]]


def _timed(axis: Raw, seconds: Array) -> Raw:
    """Return the axis of a series over time, whether it is called so or has heights that do not rise."""
    repeated = str(axis.get("name")) in _FOCUS and not {"axis", "scale"} & axis.keys()
    fits = (str(axis.get("name")) == "Time" or repeated) and int(axis["size"]) == len(seconds)
    return {**axis, "name": "time", "units": "s", "axis": seconds} if fits else axis


def placed(raw: Raw, main: Raw, path: Path) -> Layout:
    """Return an item of a wdf file with its spectra where they were measured.

    Parameters
    ----------
    raw, main : dict
        The item as RosettaSciIO reads it, and the spectra of the file.
    path : Path

    Returns
    -------
    Layout
        A map has z as a single coordinate; a depth series has x and y so. A line has an axis x of its own, the
        distance from its first spectrum in um, and a pose that turns it into place.

    Raises
    ------
    FileReadError
        If the order of a map is none that can be put in place, or the positions in the file contradict its plan.
    """
    names = [str(axis.get("name")) for axis in raw["axes"]]
    origins, rest = _origins(path), _rest(main)
    if raw is not main:
        return Layout(raw, _known({"z": _single(origins, "z", rest)}))
    if names[0] == _LINE:
        return _line(raw, origins, rest, path)
    if len(names) > 2:
        _require_plane(origins, path)
        folded = _folded(raw, path)
        _require_plan(folded, origins, path)
        return Layout(folded, _known({"z": _single(origins, "z", rest)}))
    return Layout(raw, _known({dim: _single(origins, dim, rest) for dim in SPATIAL if dim.upper() not in names}))


def _origins(path: Path) -> dict[str, Array]:
    """Return the positions x, y, z of each spectrum in um, those that the block ORGN has."""
    return {_DIMS[kind]: series for kind, unit, series in _series(path) if kind in _DIMS and unit == _MICROMETRE}


def _series(path: Path) -> Iterator[tuple[int, int, Array]]:
    """Yield kind, unit and values of each series of the block ORGN, which has one value for each spectrum."""
    origins = next((block for block in blocks(path) if block.name == b"ORGN"), None)
    if origins is None:
        return
    with path.open("rb") as stream:
        stream.seek(_COUNT_AT)
        (spectra,) = struct.unpack("<Q", stream.read(8))
        stream.seek(origins.start)
        content = stream.read(origins.size)
    count, length = int.from_bytes(content[:4], "little"), 24 + 8 * spectra
    if len(content) < 4 + count * length:
        raise FileReadError(path, f"damaged: its block ORGN is too short for {spectra} positions", hint=_AGAIN)
    for start in range(4, 4 + count * length, length):
        kind, unit = struct.unpack_from("<II", content, start)
        # the highest bit says that this series is an axis of the map
        yield kind & 0x7FFFFFFF, unit, np.frombuffer(content, "<f8", spectra, start + 24)


def _rest(main: Raw) -> dict[str, float]:
    """Return where the stage stood in um: z as the map was planned, the others from its motors."""
    original = main.get("original_metadata")
    motors = lookup(original, "WXIS_0", "logicalMotorPositions") or {}
    stood = {dim: motors.get(f"XYZ Stage {dim.upper()} Motor") for dim in SPATIAL}
    planned = lookup(original, "WMAP_0", "offset_xyz")
    stood["z"] = stood["z"] if planned is None else str(planned[2])
    return {dim: float(value) for dim, value in stood.items() if value is not None}


def _known(fixed: Mapping[str, float | None]) -> dict[str, Axis]:
    # a motor at rest reads -0.0
    return {dim: Axis(units.LENGTH, values=value + 0.0) for dim, value in fixed.items() if value is not None}


def _single(origins: Mapping[str, Array], dim: str, rest: Mapping[str, float]) -> float | None:
    """Return the one position of all spectra along `dim`; None where it is not known or they differ."""
    positions = origins.get(dim)
    if positions is None:
        return rest.get(dim)
    return float(positions[0]) if np.ptp(positions) == 0 else None


def _require_plane(origins: Mapping[str, Array], path: Path) -> None:
    z = origins.get("z", np.zeros(1))
    if np.ptp(z) > 0:
        reason = f"its map follows the surface: z goes from {z.min():g} to {z.max():g} um, and a map lies in a plane"
        raise FileReadError(path, reason, hint="export it from WiRE as text with X, Y and Z")


def _line(raw: Raw, origins: Mapping[str, Array], rest: Mapping[str, float], path: Path) -> Layout:
    """Return a line with the distance from its first spectrum as x, and the pose that leads to the stage."""
    count = int(raw["axes"][0]["size"])
    if not {"x", "y"} <= set(origins) or any(len(positions) != count for positions in origins.values()):
        reason = f"it holds a line of {count} spectra, but not where each of them lies (X and Y in ORGN)"
        raise FileReadError(path, reason, hint="measure the whole line, or export it from WiRE as text")
    points = np.stack([origins.get(dim, np.full(count, rest.get(dim, 0.0))) for dim in SPATIAL], axis=-1)
    along = points - points[0]
    distance = np.linalg.norm(along, axis=-1)
    direction = along[-1] / distance[-1] if distance[-1] > 0 else np.array([0.0, 0.0, 1.0])
    if not np.allclose(along, np.outer(distance, direction), atol=_NEAR * max(float(distance[-1]) / count, 1e-9)):
        raise FileReadError(path, "its spectra do not lie on a straight line", hint="export it from WiRE as text")
    axis = {**raw["axes"][0], "name": "x", "units": units.LENGTH, "axis": distance}
    line = {**raw, "axes": [axis, *raw["axes"][1:]]}
    return Layout(line, {}, Affine.translation(*points[0]) @ _turn(direction))


def _turn(direction: Array) -> Affine:
    """Return the rotation that takes x to a direction (z, y, x): about y up to its height, then about z."""
    z, y, x = direction
    rise = np.rad2deg(np.arctan2(z, np.hypot(y, x)))
    return Affine.rotation(np.rad2deg(np.arctan2(y, x))) @ Affine.rotation(-rise, axis=(0.0, 1.0, 0.0))


def _folded(raw: Raw, path: Path) -> Raw:
    """Return a map with its spectra where they were measured: the plugin takes every map as row by row."""
    order, sizes = _order(path)
    if order not in (_ROW_BY_ROW, _COLUMN_BY_COLUMN):
        reason = f"its map was measured in an order of type {order}, and only row by row (0) or column by column (2)"
        raise FileReadError(path, f"{reason} can be put in place", hint="export the map from WiRE as text or NetCDF")
    if order == _ROW_BY_ROW:
        return raw
    y, x = (int(axis["size"]) for axis in raw["axes"][:2])
    if (x, y, 1) != sizes:
        reason = f"its map is {x} by {y} but was planned as {' by '.join(map(str, sizes))}, column by column"
        raise FileReadError(path, f"{reason}: no spectrum has a sure place", hint="measure all columns")
    # as read, the spectra are still in the order of the file: y runs fastest
    return {**raw, "data": raw["data"].reshape(x, y, -1).swapaxes(0, 1)}


def _require_plan(raw: Raw, origins: Mapping[str, Array], path: Path) -> None:
    """Refuse a map whose spectra were not measured where its plan says."""
    order, _ = _order(path)
    sizes = tuple(int(axis["size"]) for axis in raw["axes"][:2])
    for along, dim in enumerate("yx"):
        axis = raw["axes"][along]
        if dim not in origins or str(axis["name"]).lower() != dim:
            continue
        planned = float(axis["offset"]) + float(axis["scale"]) * np.arange(sizes[along])
        grid = np.broadcast_to(planned[:, None] if dim == "y" else planned, sizes)
        measured = (grid.T if order == _COLUMN_BY_COLUMN else grid).ravel()
        there = origins[dim][: measured.size]
        far = float(np.abs(there - measured[: there.size]).max())
        if far > _NEAR * abs(float(axis["scale"])):
            reason = f"its spectra lie up to {far:g} um along {dim} from where its plan has them"
            raise FileReadError(path, reason, hint="export the map from WiRE as text or NetCDF")


def _order(path: Path) -> tuple[int, tuple[int, ...]]:
    """Return type and sizes (x, y, z) of a map: the plugin keeps the type only where it knows its name."""
    plan = next((block for block in blocks(path) if block.name == b"WMAP"), None)
    if plan is None:
        raise FileReadError(path, "it holds a map but does not say in which order (no block WMAP)")
    with path.open("rb") as stream:
        stream.seek(plan.start)
        order, *_, x, y, z = struct.unpack("<II6fIII", stream.read(44))
    return int(order), (int(x), int(y), int(z))
