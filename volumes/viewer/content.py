"""What a page holds of a dataset: its axes, components, spectra and position, as plain data and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import units
from fusion.conventions import SPATIAL, error_of, spacing, spatial_dims, title
from fusion.display import color, spelled, with_unit, y_upwards
from fusion.errors import DataError
from fusion.frames import affine_pose
from volumes.drawing import layers
from volumes.drawing.mesh import rotation_of
from volumes.drawing.mixing import window
from volumes.viewer import _planes

Array = npt.NDArray[np.float64]
Precision = Literal["noise", "exact"]
MOST: Final = 8
"""Components that a page can draw: two textures of four channels."""
ABUNDANCE: Final = "abundance"
ENDMEMBER: Final = "endmember"


@dataclass(frozen=True)
class Content:
    """The header of a page, its planes of bytes by name, and how far rounding moves a value."""

    header: dict[str, Any]
    planes: dict[str, _planes.Bytes]
    rounding: float
    """The largest change of a value by rounding, in its standard errors; in shares of the brightest without errors."""


@dataclass(frozen=True)
class Choice:
    """What of a dataset goes into a page."""

    base: list[xr.DataArray]
    """Nothing, one grey array, or red, green and blue."""
    bands: list[xr.DataArray]
    errors: list[xr.DataArray] | None
    spectra: xr.DataArray | None


def choose(ds: xr.Dataset, components: Sequence[str | int] | None, variable: str | None) -> Choice:
    """Choose the components with their errors and spectra, and the image that lies behind them.

    Raises
    ------
    DataError
        If there is nothing to draw, or a name is unknown.
    """
    base = _base(ds, variable)
    if ABUNDANCE in ds:
        array = ds[ABUNDANCE]
        kept = _selected([str(label) for label in array["component"].values], components)
        error = error_of(array)
        errors = [ds[error].isel(component=k) for k in kept] if error is not None and error in ds else None
        spectra = ds[ENDMEMBER].isel(component=kept) if ENDMEMBER in ds else None
        return Choice(base, [array.isel(component=k) for k in kept], errors, spectra)
    photograph = len(base) == 3
    if components is not None or (not photograph and layers.has_layers(ds, None)):
        rest = ds.drop_vars([name for name in ds.data_vars if photograph and layers.photograph(ds, str(name))])
        drawn = layers.layers(rest, None, components, None)
        return Choice(base, [layer.values.rename(layer.name) for layer in drawn], None, None)
    if not base:
        raise DataError(f"{title(ds)}: nothing to draw; it has {list(ds.data_vars)}")
    return Choice(base, [], None, None)


def content(
    ds: xr.Dataset,
    choice: Choice,
    *,
    colors: Sequence[str] | None,
    precision: Precision,
    factors: tuple[int, ...],
    peaks: Mapping[str, float],
    name: str,
) -> Content:
    """Return header and planes, with voxels joined in blocks of `factors` (z, y, x)."""
    header = _axes(ds, factors) | _place(ds) | {"title": name, "valueUnit": _unit(choice.bands)}
    planes: dict[str, _planes.Bytes] = {}
    parts, worst = [], 0.0
    for k, band in enumerate(choice.bands):
        values = _block(band, ds, factors)
        errors = None if choice.errors is None else _block(choice.errors[k], ds, factors)
        part, rounding = _component(f"{k}", values, errors, planes, exact=precision == "exact")
        spectrum = None if choice.spectra is None else _digits(choice.spectra.isel(component=k).values, 7)
        parts.append(part | {"name": _name(band, k), "color": _shade(k, colors), "spectrum": spectrum})
        worst = max(worst, rounding)
    header |= {"components": parts, "bits": 16 if precision == "exact" else 8, "signal": _signal(choice, peaks)}
    header |= _base_planes(ds, choice.base, factors, planes)
    header["start"] = _start(planes, header["shape"])
    header["errors"] = choice.errors is not None
    header["about"] = _about(header, factors, worst, choice)
    return Content(header, planes, worst)


def _base(ds: xr.Dataset, variable: str | None) -> list[xr.DataArray]:
    if variable is not None and variable not in ds.data_vars:
        raise DataError(f"no variable {variable!r} to draw; the dataset has {list(ds.data_vars)}")
    names = [variable] if variable is not None else [str(name) for name in ds.data_vars]
    for name in names:
        if colours := layers.photograph(ds, name):
            return [layer.values for layer in colours]
    try:
        return [layers.scalar(ds, variable)]
    except DataError:
        if variable is not None:
            raise
        return []


def _selected(labels: list[str], components: Sequence[str | int] | None) -> list[int]:
    numbers = list(range(len(labels)))
    if components is not None:
        known = dict(zip(labels, numbers, strict=True))
        wrong = [key for key in components if str(key) not in known]
        if wrong:
            raise DataError(f"no component {wrong[0]!r}; there are {labels}")
        numbers = [known[str(key)] for key in components]
    if not 0 < len(numbers) <= MOST:
        raise DataError(f"a page draws 1 to {MOST} components; name them, e.g. components={labels[:MOST]}")
    return numbers


def _axes(ds: xr.Dataset, factors: tuple[int, ...]) -> dict[str, Any]:
    """Return shape, step and origin of the voxels, each a list in the order z, y, x."""
    steps = {dim: spacing(ds[dim]) for dim in spatial_dims(ds) if ds.sizes[dim] > 1}
    uneven = [dim for dim, step in steps.items() if step is None]
    if uneven:
        raise DataError(f"{title(ds)}: {uneven[0]} is not uniform; fusion.resample the dataset to a uniform grid first")
    known = [step for step in steps.values() if step is not None]
    step = [(steps.get(dim) or min(known)) * factor for dim, factor in zip(SPATIAL, factors, strict=True)]
    first = [float(np.atleast_1d(ds[dim].values)[0]) if dim in ds.coords else 0.0 for dim in SPATIAL]
    # the centre of a block lies half a block behind its first voxel's outer edge
    origin = [
        at + one * (factor - 1) / (2 * factor) for at, one, factor in zip(first, step, factors, strict=True)
    ]  # fmt: skip
    unit = str(ds[spatial_dims(ds)[-1]].attrs["units"])
    shape = [-(-ds.sizes.get(dim, 1) // factor) for dim, factor in zip(SPATIAL, factors, strict=True)]
    return {"shape": shape, "step": step, "origin": origin, "unit": unit}


def _place(ds: xr.Dataset) -> dict[str, Any]:
    """Return the pose: where a voxel lies in the frame, and how the volume is turned there."""
    pose, frame = affine_pose(ds)
    flat = "z" not in ds.dims or ds.sizes["z"] < 2
    rotation, stretch = rotation_of(pose.matrix[:3, :3][::-1, ::-1])
    turned = not np.allclose(rotation, np.eye(3)) and not flat
    placed = not np.array_equal(pose.matrix, np.eye(4))
    known = ds[spatial_dims(ds)[-1]].attrs["units"] == units.LENGTH
    return {
        "yUp": y_upwards(ds),
        "flat": flat,
        "depth": _depth(ds) if flat else 0.0,
        "rotation": rotation.ravel().tolist() if turned else None,
        "stretch": stretch[::-1].tolist(),
        "matrix": pose.matrix.ravel().tolist() if placed else None,
        "inverse": pose.inverse().matrix.ravel().tolist() if placed else None,
        "frame": str(frame) if known else "",
    }


def _depth(ds: xr.Dataset) -> float:
    """Return how thick a map is along its normal in um, if it says so, else 0."""
    depth = ds.attrs.get("depth", 0.0)
    return float(depth) if isinstance(depth, int | float | np.number) and 0 < depth < np.inf else 0.0


def _component(
    key: str, values: Array, errors: Array | None, planes: dict[str, _planes.Bytes], *, exact: bool
) -> tuple[dict[str, Any], float]:
    """Code one component; return what decodes it, and the largest rounding in standard errors."""
    plane = _planes.coded(values, exact=exact)
    planes[f"a{key}"] = plane.high
    if plane.low is not None:
        planes[f"l{key}"] = plane.low
    change = np.abs(_planes.decoded(plane) - values)
    bright = plane.high[plane.high > 1]
    part = {
        "bottom": plane.bottom,
        "top": plane.top,
        "shown": float(np.percentile(bright, 99.5)) if bright.size else 0.0,
        "rounding": float(np.nanmax(change, initial=0.0)),
    }
    if errors is None:
        return part, part["rounding"] / plane.top
    scale = _planes.coded_errors(errors)
    planes[f"e{key}"] = scale.codes
    usable = np.isfinite(errors) & (errors > 0) & np.isfinite(values)
    worst = float((change[usable] / errors[usable]).max(initial=0.0))
    return part | {"errorLow": scale.low, "errorRatio": scale.ratio}, worst


def _base_planes(
    ds: xr.Dataset, base: list[xr.DataArray], factors: tuple[int, ...], planes: dict[str, _planes.Bytes]
) -> dict[str, Any]:
    blocks = [_block(array, ds, factors) for array in base]
    if not blocks:
        return {"base": []}
    low, high = window(np.stack(blocks), *layers.PERCENTILES)
    names = ["grey"] if len(base) == 1 else ["red", "green", "blue"]
    for key, block in zip(names, blocks, strict=True):
        planes[key] = _planes.coded_brightness(block, low, high)
    unit = spelled(str(base[0].attrs.get("units", "1")))
    label = "photograph" if len(base) == 3 else str(base[0].name)
    return {"base": names, "baseName": label, "baseLow": low, "baseHigh": high, "baseUnit": unit}


def _block(array: xr.DataArray, ds: xr.Dataset, factors: tuple[int, ...]) -> Array:
    """Return an array (z, y, x), a missing dim of one voxel, joined in blocks."""
    dims = spatial_dims(ds)
    values = np.asarray(array.transpose(*dims).values, dtype=np.float64)
    values = values.reshape([ds.sizes.get(dim, 1) for dim in SPATIAL])
    return values if max(factors) == 1 else _planes.block_means(values, factors)


def _signal(choice: Choice, peaks: Mapping[str, float]) -> dict[str, Any] | None:
    if choice.spectra is None:
        return None
    (dim,) = (str(dim) for dim in choice.spectra.dims if dim != "component")
    axis = choice.spectra[dim]
    label = with_unit(dim.replace("_", " "), str(axis.attrs.get("units", "1")))
    named = dict(zip(_texts(choice.spectra, "peak_names"), _numbers(choice.spectra, "peak_positions"), strict=False))
    marks = [[str(name), float(at)] for name, at in {**named, **peaks}.items()]
    return {"values": _digits(axis.values, 9), "label": label, "peaks": marks}


def _texts(array: xr.DataArray, key: str) -> list[str]:
    value = array.attrs.get(key, [])
    return value.split() if isinstance(value, str) else list(map(str, value))


def _numbers(array: xr.DataArray, key: str) -> list[float]:
    return [float(value) for value in np.atleast_1d(array.attrs.get(key, []))]


def _name(band: xr.DataArray, k: int) -> str:
    label = str(band["component"].item()) if "component" in band.coords else str(band.name)
    return f"component {label}" if label.isdigit() else label


def _shade(k: int, colors: Sequence[str] | None) -> str:
    from matplotlib.colors import to_hex

    if colors is not None and k < len(colors):
        return str(to_hex(colors[k]))
    return (*(color(i) for i in range(6)), "#ffffff", "#8c8c8c")[k]


def _unit(bands: Sequence[xr.DataArray]) -> str:
    unit = str(bands[0].attrs.get("units", "1")) if bands else "1"
    return "" if unit == "1" else spelled(unit)


def _digits(values: Any, digits: int) -> list[float]:
    """Return numbers with so many digits, which is shorter as text."""
    return [float(f"{value:.{digits}g}") for value in np.asarray(values, dtype=np.float64)]


def _start(planes: Mapping[str, _planes.Bytes], shape: Sequence[int]) -> list[int]:
    """Return the voxel that is chosen first: the covered one nearest the middle of what is covered."""
    covered = np.nonzero(planes["a0"]) if "a0" in planes else (np.array([]),) * 3
    if not covered[0].size:
        return [size // 2 for size in shape]
    at = np.stack(covered, axis=1)
    return [int(v) for v in at[np.abs(at - np.median(at, axis=0)).sum(axis=1).argmin()]]


def _about(header: Mapping[str, Any], factors: tuple[int, ...], worst: float, choice: Choice) -> list[str]:
    """Return the sentences that say what the numbers on the page are worth."""
    sizes = " × ".join(str(size) for size in header["shape"])
    unit = spelled(header["unit"])
    steps = " × ".join(f"{step:.3g}" for step in header["step"])
    lines = [f"{sizes} voxels (z, y, x) of {steps} {unit}"]
    if max(factors) > 1:
        blocks = " × ".join(map(str, factors))
        lines.append(f"Means of {blocks} voxels; their errors are means too, which is an upper bound")
    if choice.bands:
        share = f"{worst:.2g} standard errors" if choice.errors is not None else f"{100 * worst:.2g} % of the brightest"
        lines.append(f"Values are rounded by at most {share}")
    if header["unit"] == units.PIXEL:
        lines.append("The size of a pixel is not known")
    return lines
