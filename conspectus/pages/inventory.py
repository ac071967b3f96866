"""What opens from a file, item by item: its axes, where it lies, what took it, and what the user must add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

import fusion
import volumes
from conspectus.items import opener, reason
from fusion import units
from fusion.conventions import SPATIAL
from fusion.display import length
from fusion.errors import ConspectusError
from fusion.reading.contents import Content

UNKNOWN: Final = "unknown"
MANY: Final = 16
_POINT: Final = "point"
_ANGLE: Final = 0.05
_TIMES: Final = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"), (1e12, "ps"), (1e15, "fs"))


class Item(NamedTuple):
    """Items of a file that are alike: their names, and what is the same for all of them.

    Parameters
    ----------
    names : tuple of str
    technique : str
    axes : tuple of str
        One line for each axis: its size, step and extent.
    position : tuple of str
        Frame, position of the centre and tilt; ``"unknown"`` where the file does not give them.
    lazy : bool
    fault : str
        Why it does not open as it is, and what to give.
    """

    names: tuple[str, ...]
    technique: str
    axes: tuple[str, ...]
    position: tuple[str, ...]
    lazy: bool
    fault: str = ""


def opened(path: Path, arguments: Mapping[str, Any] | None = None) -> tuple[str, list[Item]]:
    """Open everything in a file, and say what came.

    Of more than 16 items with the same axes only the first is opened.

    Parameters
    ----------
    path : Path
        A file, or a folder with a slice per file.
    arguments : mapping, optional
        What `volumes.open` needs beside the path.

    Returns
    -------
    str
        The function that opens it, ``"spectra.open"`` or ``"volumes.open"``.
    list of Item

    Raises
    ------
    FileReadError
        If neither opens it; the message has the reasons of both.
    """
    wing, contents = opener(path)
    many = len(contents) > MANY
    examples: dict[Content, Item] = {}
    rows = []
    for content in contents:
        key = content._replace(name="") if many else content
        if key not in examples:
            examples[key] = _item(wing, path, content, arguments or {})
        rows.append(examples[key]._replace(names=(content.name,)))
    return f"{wing.__name__}.open", merged(rows)


def merged(items: Iterable[Item]) -> list[Item]:
    """Return items that differ in nothing but their names as one."""
    names: dict[Item, list[str]] = {}
    for item in items:
        names.setdefault(item._replace(names=()), []).extend(item.names)
    return [item._replace(names=tuple(alike)) for item, alike in names.items()]


def item_of(ds: xr.Dataset, *names: str) -> Item:
    """Describe a labelled dataset.

    Examples
    --------
    >>> ds = fusion.dataset({"image": (("y", "x"), np.zeros((3, 4)))}, {d: fusion.Axis("nm", 5.0) for d in "yx"},
    ...                     name="a", cell_methods="mean")
    >>> item_of(ds, "a").axes
    ('y 3 × 5 nm = 15 nm', 'x 4 × 5 nm = 20 nm')
    """
    lazy = any(variable.chunks is not None for variable in ds.data_vars.values())
    return Item(names, str(ds.attrs.get("technique", UNKNOWN)), tuple(_axes(ds)), tuple(_position(ds)), lazy)


def _item(wing: ModuleType, path: Path, content: Content, arguments: Mapping[str, Any]) -> Item:
    try:
        return item_of(wing.open(path, name=content.name, **(arguments if wing is volumes else {})))
    except ConspectusError as error:
        shape = " × ".join(map(str, content.shape))
        return Item((), content.technique, (shape,) if shape else (), (), False, reason(error))


def _axes(ds: xr.Dataset) -> list[str]:
    dims = [dim for dim in (*SPATIAL, *map(str, ds.sizes)) if dim in ds.sizes]
    lines = [_axis(dim, ds[dim], ds.sizes[dim]) for dim in dict.fromkeys(dims)]
    fixed = [dim for dim in SPATIAL if dim in ds.coords and ds[dim].ndim == 0]
    along = [dim for dim in SPATIAL if dim in ds.coords and ds[dim].dims == (_POINT,)]
    return [*lines, *(_range(dim, ds[dim]) for dim in along), *(f"{dim} at {_signed(float(ds[dim]))}" for dim in fixed)]


def _axis(dim: str, coordinate: xr.DataArray, size: int) -> str:
    """Say the size, step and extent of one axis."""
    unit, values = str(coordinate.attrs.get("units", "")), coordinate.values
    if values.dtype.kind in "US":
        return f"{dim} {size}: {', '.join(values[:8])}{', …' if size > 8 else ''}"
    if values.dtype.kind != "f":
        return f"{dim} {size}"
    if unit == units.PIXEL:
        return f"{dim} {size} px, pixel size {UNKNOWN}"
    steps = np.diff(values)
    even = size < 3 or bool(np.ptp(steps) <= 1e-3 * abs(steps.mean()))
    if dim not in SPATIAL:
        return f"{dim} {size}, {_signal(values, unit, even)}"
    if size == 1:
        return f"{dim} 1 at {_signed(float(values[0]))}"
    step, extent = float(steps.mean()), abs(float(values[-1] - values[0]))
    if even:
        return f"{dim} {size} × {length(step)} = {length(size * step)}"
    return f"{dim} {size}, uneven, over {length(extent)}"


def _signal(values: Any, unit: str, even: bool) -> str:
    """Say the first and the last value of a signal axis, and its step; seconds with a prefix.

    Examples
    --------
    >>> _signal(np.array([-2e-12, 4e-12, 1e-11]), "s", True), _signal(np.array([-0.4, 20.0]), "keV", True)
    ('−2 to 10 ps, step 6 ps', '−0.4 to 20 keV, step 20.4 keV')
    """
    factor, unit = _prefixed(float(abs(values).max())) if unit == "s" else (1.0, unit)
    first, last = (f"{value * factor:.6g}".replace("-", "−") for value in values[[0, -1]])
    if len(values) == 1:
        return f"{first} {unit}"
    step = (values[-1] - values[0]) * factor / (len(values) - 1)
    return f"{first} to {last} {unit}, {f'step {step:.4g} {unit}' if even else 'uneven'}"


def _prefixed(seconds: float) -> tuple[float, str]:
    """Return the factor and the unit in which a time is at least 1."""
    return next((known for known in _TIMES if seconds * known[0] >= 1.0), _TIMES[-1])


def _range(dim: str, coordinate: xr.DataArray) -> str:
    if not coordinate.size:
        return f"{dim} of no point"
    if coordinate.attrs.get("units") == units.PIXEL:
        return f"{dim} {float(coordinate.min()):.4g} to {float(coordinate.max()):.4g} px"
    return f"{dim} {_signed(float(coordinate.min()))} to {_signed(float(coordinate.max()))}"


def _position(ds: xr.Dataset) -> list[str]:
    """Say where the centre lies in the frame of the pose, and how it is turned there."""
    pose, frame = fusion.get_pose(ds)
    if not frame.on_stage and isinstance(pose, fusion.Affine) and np.array_equal(pose.matrix, np.eye(4)):
        return [UNKNOWN]
    lines = ["on the stage" if frame.on_stage else f"in {frame}"]
    spatial = [dim for dim in SPATIAL if dim in ds.coords and ds[dim].size]
    if all(ds[dim].attrs.get("units") != units.PIXEL for dim in spatial):
        middle = [(float(ds[d].min()) + float(ds[d].max())) / 2 if d in spatial else 0.0 for d in SPATIAL]
        z, y, x = pose(middle)
        lines.append(f"x {_signed(x)}, y {_signed(y)}, z {_signed(z)}")
    if isinstance(pose, fusion.Warp):
        return [*lines, "warped"]
    tilt, turn = _angles(pose)
    angles = [
        f"{name} {angle:.4g}°".replace("-", "−")
        for name, angle in (("tilted", tilt), ("turned", turn))
        if abs(angle) > _ANGLE
    ]
    return [*lines, *filter(None, [", ".join(angles)])]


def _angles(pose: fusion.Affine) -> tuple[float, float]:
    """Return the angle between the z of dataset and frame, and that from the frame's x to the dataset's, in degrees.

    An image that is seen from above has its z downwards, so that the first is at most 90.
    """
    turned = pose.matrix[:3, :3] / np.linalg.norm(pose.matrix[:3, :3], axis=0)
    tilt = np.rad2deg(np.arccos(min(abs(float(turned[0, 0])), 1.0)))
    return float(tilt), float(np.rad2deg(np.arctan2(turned[1, 2], turned[2, 2])))


def _signed(um: float) -> str:
    return f"{'−' if um < 0 else ''}{length(abs(um))}" if um else "0"
