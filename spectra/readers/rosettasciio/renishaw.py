"""Renishaw maps (wdf): where on the stage each spectrum was measured, which RosettaSciIO leaves aside.

The block ``ORGN`` holds a position for each spectrum, ``WMAP`` the plan of the map, ``WXIS`` the motors of the stage
(Gwyddion, ``modules/file/wdffile.c``; RosettaSciIO, ``renishaw``). All positions are those of the stage in um, so
that maps, lines, depth series and the white-light image of a file lie in one frame, "stage".
"""

from __future__ import annotations

import importlib
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
_AGAIN: Final = "copy it again"
_NEAR: Final = 0.01


class Layout(NamedTuple):
    """What RosettaSciIO read, brought to the stage: the axes, the coordinates of dims that it has not, the pose."""

    raw: Raw
    fixed: Mapping[str, Axis]
    pose: Affine | None = None


def read(filename: str, *, lazy: bool = False) -> list[Raw]:
    """Return the items of a file as RosettaSciIO reads them, those of a stopped series and a stopped line among them.

    The block ``ORGN`` has room for every spectrum that was planned; RosettaSciIO believes that it ends with those that
    were measured.

    Parameters
    ----------
    filename : str
    lazy : bool
        Without effect: the values are read at once, as RosettaSciIO does.

    Raises
    ------
    FileReadError
        If it holds a slice along z or a volume.
    """
    path = Path(filename)
    _require_one_plane(path)
    api = importlib.import_module("rsciio.renishaw._api")

    class Reader(api.WDFReader):  # type: ignore[misc, name-defined]
        _num_spectra: int

        def _set_data_for_ORGN(self, dtype: str) -> Any:  # noqa: N802
            measured, self._num_spectra = self._num_spectra, self.original_metadata["WDF1_1"]["capacity"]
            try:
                return super()._set_data_for_ORGN(dtype)[:measured]
            finally:
                self._num_spectra = measured

        def _set_wmap_nav_linexy(self, x_axis: Raw, y_axis: Raw) -> dict[str, Raw]:
            line = super()._set_wmap_nav_linexy(x_axis, y_axis)
            return {key: {**axis, "size": min(axis["size"], self._num_spectra)} for key, axis in line.items()}

    with path.open("rb") as stream:
        reader = Reader(stream, path.name, use_uniform_signal_axis=False, load_unmatched_metadata=False)
        reader.read_file(path.stat().st_size)
        spectra = {name: getattr(reader, name) for name in ("data", "axes", "metadata", "original_metadata")}
        image = reader._get_WHTL()
    return [spectra, *([image] if image else [])]


def _require_one_plane(path: Path) -> None:
    if not any(block.name == b"WMAP" for block in blocks(path)):
        return
    _, (x, y, z) = _order(path)
    if z > 1 and _counts(path)[1] > x * y:
        reason = f"its map has {x} by {y} by {z} places, and only maps in one plane are read"
        raise FileReadError(path, reason, hint="export it from WiRE as text with X, Y and Z")


def _counts(path: Path) -> tuple[int, int]:
    """Return the number of spectra that were planned, and that of those that were measured."""
    with path.open("rb") as stream:
        stream.seek(_PLANNED_AT)
        planned, measured = struct.unpack("<QQ", stream.read(16))
    return int(planned), int(measured)


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
    planned, measured = _counts(path)
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
        return Layout(_folded(raw, origins, path), _known({"z": _single(origins, "z", rest)}))
    return Layout(raw, _known({dim: _single(origins, dim, rest) for dim in SPATIAL if dim.upper() not in names}))


def _origins(path: Path) -> dict[str, Array]:
    """Return the positions x, y, z of each spectrum in um, those that the block ORGN has."""
    return {_DIMS[kind]: series for kind, unit, series in _series(path) if kind in _DIMS and unit == _MICROMETRE}


def _series(path: Path) -> Iterator[tuple[int, int, Array]]:
    """Yield kind, unit and values of each series of the block ORGN, which has one value for each spectrum."""
    origins = next((block for block in blocks(path) if block.name == b"ORGN"), None)
    if origins is None:
        return
    planned, spectra = _counts(path)
    with path.open("rb") as stream:
        stream.seek(origins.start)
        content = stream.read(origins.size)
    count = int.from_bytes(content[:4], "little")
    # it has room for all spectra that were planned; a file that was written anew may have dropped the others
    length = next((size for n in (planned, spectra) if len(content) >= 4 + count * (size := 24 + 8 * n)), 0)
    if not length:
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


def _folded(raw: Raw, origins: Mapping[str, Array], path: Path) -> Raw:
    """Return a map with its spectra where they were measured: the plugin takes every map as row by row."""
    order, planned = _order(path)
    y, x = (int(axis["size"]) for axis in raw["axes"][:2])
    if not y:
        raise FileReadError(path, "its map was stopped before the end of its first row", hint="measure a whole row")
    if order != _ROW_BY_ROW and (x, y, 1) != planned:
        reason = (
            f"its map is {x} by {y} but was planned as {' by '.join(map(str, planned))}, in an order of type {order}"
        )
        raise FileReadError(path, f"{reason}: no spectrum has a sure place", hint="measure all spectra")
    cells = _cells(raw, origins, path, order)
    spectra = raw["data"].reshape(y * x, -1)
    placed = np.empty_like(spectra)
    placed[cells] = spectra
    return {**raw, "data": placed.reshape(y, x, -1)}


def _cells(raw: Raw, origins: Mapping[str, Array], path: Path, order: int) -> npt.NDArray[np.intp]:
    """Return the number of the cell, row by row, that each spectrum was measured in.

    By the position of each, whatever the order is called; by the order where the file has no positions.
    """
    y, x = (int(axis["size"]) for axis in raw["axes"][:2])
    number = np.arange(y * x)
    if order == _COLUMN_BY_COLUMN:
        row, column = number % y, number // y
    else:
        row, column = number // x, number % x
    ordered = {"y": row, "x": column}
    for dim, axis in zip("yx", raw["axes"], strict=False):
        if dim in origins and str(axis["name"]).lower() == dim:
            ordered[dim] = _nearest(axis, origins[dim][: y * x], dim, path)
        elif order not in (_ROW_BY_ROW, _COLUMN_BY_COLUMN):
            reason = f"its map was measured in an order of type {order} and does not say where each spectrum lies"
            raise FileReadError(path, reason, hint="export the map from WiRE as text or NetCDF")
    cells = ordered["y"] * x + ordered["x"]
    if np.unique(cells).size < cells.size:
        reason = "two of its spectra lie at one place of its plan, and none at another"
        raise FileReadError(path, reason, hint="export the map from WiRE as text or NetCDF")
    return np.asarray(cells)


def _nearest(axis: Raw, positions: Array, dim: str, path: Path) -> npt.NDArray[np.intp]:
    """Return the number along an axis of the plan that each position has."""
    offset, step, size = float(axis["offset"]), float(axis["scale"]), int(axis["size"])
    numbers = np.clip(np.rint((positions - offset) / step), 0, size - 1)
    far = float(np.abs(positions - offset - step * numbers).max())
    if far > _NEAR * abs(step):
        reason = f"its spectra lie up to {far:g} um along {dim} from where its plan has them"
        raise FileReadError(path, reason, hint="export the map from WiRE as text or NetCDF")
    return numbers.astype(np.intp)


def _order(path: Path) -> tuple[int, tuple[int, ...]]:
    """Return type and sizes (x, y, z) of a map: the plugin keeps the type only where it knows its name."""
    plan = next((block for block in blocks(path) if block.name == b"WMAP"), None)
    if plan is None:
        raise FileReadError(path, "it holds a map but does not say in which order (no block WMAP)")
    with path.open("rb") as stream:
        stream.seek(plan.start)
        order, *_, x, y, z = struct.unpack("<II6fIII", stream.read(44))
    return int(order), (int(x), int(y), int(z))
